//! What scenes measured, by size and name, kept in a file across runs: a large cluster is played by itself. And the table of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use clusteros_init::gossip::swim::{LAN, retransmit_limit};

/// The value of each figure of each size.
#[derive(Debug, Default)]
pub struct Figures(BTreeMap<(usize, String), f64>);

/// A row of the table: what it is, and its cell for a size.
type Row = (&'static str, fn(&Figures, usize) -> Option<String>);

const ROWS: &[Row] = &[
    ("**memberlist's formulas**", |_, _| Some(String::new())),
    ("a suspicion lasts, confirmed", |_, nodes| Some(seconds(LAN.suspicion_min(nodes)))),
    ("a suspicion lasts, if nobody confirms", |_, nodes| Some(seconds(LAN.suspicion_max(nodes)))),
    ("news are sent, times", |_, nodes| Some(retransmit_limit(LAN.retransmit_multiplier, nodes).to_string())),
    ("all is exchanged with one other every", |_, nodes| Some(seconds(LAN.push_pull_every(nodes)))),
    ("a round of gossip reaches four times as many: all after", |_, nodes| Some(seconds(spread(nodes)))),
    ("a failure is known: found, not answered, suspected", |_, nodes| Some(seconds(detection(nodes)))),
    ("**played**", |_, _| Some(String::new())),
    ("one joins: all know it after", |figures, nodes| Some(format!("{:.2} s", figures.get(nodes, "join")?))),
    ("all join within a second: all know all after", |figures, nodes| {
        Some(format!("{:.2} s", figures.get(nodes, "gather")?))
    }),
    ("one is killed: the last knows after", |figures, nodes| figures.spread(nodes, "kill", 1, " s")),
    ("its host is gone, too: the last knows after", |figures, nodes| figures.spread(nodes, "silence", 1, " s")),
    ("one leaves: all know it after", |figures, nodes| Some(format!("{:.2} s", figures.get(nodes, "leave")?))),
    ("datagrams a node a second, at rest", |figures, nodes| Some(format!("{:.2}", figures.get(nodes, "datagrams")?))),
    ("bytes a node a second in datagrams", |figures, nodes| Some(format!("{:.0}", figures.get(nodes, "bytes")?))),
    ("bytes a node a second in streams", |figures, nodes| Some(format!("{:.0}", figures.get(nodes, "stream bytes")?))),
    ("wrongly believed dead, 0 % lost", |figures, nodes| figures.wrong(nodes, "0")),
    ("wrongly believed dead, 5 % lost", |figures, nodes| figures.wrong(nodes, "5")),
    ("wrongly believed dead, 20 % lost", |figures, nodes| figures.wrong(nodes, "20")),
    ("believed dead by all, back with 5 % lost: half, 99 % and all of them know after", |figures, nodes| {
        figures.doubted(nodes, "5")
    }),
    ("believed dead by all, back with 20 % lost: half, 99 % and all of them know after", |figures, nodes| {
        figures.doubted(nodes, "20")
    }),
    ("cut in two for an hour: all know all after", |figures, nodes| {
        Some(format!("{:.1} s", figures.get(nodes, "heal")?))
    }),
];

/// Rows of what was measured side by side, in milliseconds or seconds, where it was.
const MEASURED: &[(&str, &str, usize, &str)] = &[
    ("all join: all know all after", "join", 0, " ms"),
    ("one is killed: the last knows after", "kill", 1, " s"),
    ("datagrams a node a second, at rest", "datagrams", 2, ""),
    ("bytes a node a second with headers and streams", "bytes", 0, ""),
];

/// By epidemics: each round of gossip those that know tell so many more.
pub fn spread(nodes: usize) -> Duration {
    let rounds = (nodes as f64).ln() / (LAN.gossip_nodes as f64 + 1.0).ln();
    LAN.gossip_interval.mul_f64(rounds)
}

/// Somebody probes it after an interval, on average; that fails after another; then it is suspected.
pub fn detection(nodes: usize) -> Duration {
    2 * LAN.probe_interval + LAN.suspicion_min(nodes)
}

impl Figures {
    /// Those of a file, or none.
    pub fn read(path: &Path) -> Figures {
        let text = fs::read_to_string(path).unwrap_or_default();
        Figures(text.lines().map(|line| parsed(line).unwrap_or_else(|| panic!("{line}"))).collect())
    }

    pub fn set(&mut self, nodes: usize, name: &str, value: f64) {
        self.0.insert((nodes, name.to_owned()), value);
    }

    pub fn get(&self, nodes: usize, name: &str) -> Option<f64> {
        self.0.get(&(nodes, name.to_owned())).copied()
    }

    /// All sizes that anything is known of.
    pub fn sizes(&self) -> Vec<usize> {
        let mut sizes: Vec<_> = self.0.keys().map(|(nodes, _)| *nodes).collect();
        sizes.dedup();
        sizes
    }

    /// As a file has them.
    pub fn text(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, ((nodes, name), value)| {
            writeln!(text, "{nodes}\t{name}\t{value:.3}").expect("a string");
            text
        })
    }

    /// As Markdown.
    pub fn table(&self) -> String {
        let sizes = self.sizes();
        let mut text = String::from("| nodes |");
        sizes.iter().for_each(|nodes| write!(text, " {nodes} |").expect("a string"));
        text.push_str("\n|---|");
        sizes.iter().for_each(|_| text.push_str("---|"));
        for (name, cell) in ROWS {
            let cells = sizes.iter().map(|nodes| cell(self, *nodes).unwrap_or_else(|| "not played".to_owned()));
            write!(text, "\n| {name} | {} |", cells.collect::<Vec<_>>().join(" | ")).expect("a string");
        }
        for who in ["serf", "gossipd"] {
            write!(text, "\n| **`{who}`, measured** | {} |", vec![""; sizes.len()].join(" | ")).expect("a string");
            for (name, figure, digits, unit) in MEASURED {
                let cell = |nodes: &usize| self.spread(*nodes, &format!("{who} {figure}"), *digits, unit);
                let cells: Vec<_> = sizes.iter().map(|nodes| cell(nodes).unwrap_or_default()).collect();
                write!(text, "\n| {name} | {} |", cells.join(" | ")).expect("a string");
            }
        }
        text.push('\n');
        text
    }

    fn wrong(&self, nodes: usize, loss: &str) -> Option<String> {
        let figure = |name: &str| self.get(nodes, &format!("{name}, {loss} % lost"));
        let (wrong, span) = (figure("wrong")?, figure("span")?);
        let runs = figure("runs").filter(|runs| *runs > 1.0).map(|runs| format!("{runs:.0} x ")).unwrap_or_default();
        let text = format!("{wrong:.0} in {runs}{span:.0} s");
        if wrong == 0.0 {
            return Some(text);
        }
        let (most, median, longest) = (figure("wrong most")?, figure("median")?, figure("longest")?);
        Some(format!("{text} ({most:.0} in one at most), for {median:.1} s, {longest:.1} s at most"))
    }

    fn doubted(&self, nodes: usize, loss: &str) -> Option<String> {
        let figure = |name: &str| self.get(nodes, &format!("{name}, {loss} % lost"));
        let (half, most, all) = (figure("doubt")?, figure("doubt 99 %")?, figure("doubt longest")?);
        Some(format!("{half:.2}, {most:.1}, {all:.1} s"))
    }

    /// A median, and between what it is, if that is known.
    fn spread(&self, nodes: usize, name: &str, digits: usize, unit: &str) -> Option<String> {
        let median = self.get(nodes, name)?;
        let ends = [self.get(nodes, &format!("{name} least")), self.get(nodes, &format!("{name} most"))];
        Some(match ends {
            [Some(least), Some(most)] if least < most => {
                format!("{median:.digits$}{unit} ({least:.digits$} to {most:.digits$})")
            }
            _ => format!("{median:.digits$}{unit}"),
        })
    }
}

fn parsed(line: &str) -> Option<((usize, String), f64)> {
    let mut words = line.split('\t');
    let (nodes, name, value) = (words.next()?, words.next()?, words.next()?);
    Some(((nodes.parse().ok()?, name.to_owned()), value.parse().ok()?))
}

fn seconds(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    if seconds < 2.0 { format!("{seconds:.2} s") } else { format!("{seconds:.1} s") }
}
