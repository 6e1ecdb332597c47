//! `gossipd` and `serf agent` side by side: the same script for both, in turn, and the medians as a table of Markdown.
//!
//! `tests/bench/gossip/run.sh` runs it. `GOSSIPD` is the program, `BENCH_ROUNDS` how often each has its turn (5), `BENCH_REST` for
//! how many seconds a cluster rests (30), `BENCH_NODES` the sizes (`5 20`). `BENCH_JSON` is a file for every round: a line for each
//! trial, written when it is over.

#[path = "../../kit/mod.rs"]
#[expect(dead_code, reason = "the rest is for the tests of PID 1")]
mod kit;

#[path = "../../rpc/value.rs"]
#[expect(dead_code, reason = "the rest is for the transcripts")]
mod value;

mod client;
mod trial;
mod usage;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use trial::{Contender, Outcome, trial};

/// What is shown of an outcome: its name and unit, its place behind the point, and the figure.
type Figure = (&'static str, usize, fn(&Outcome) -> f64);

const FIGURES: &[Figure] = &[
    ("joins until all list all, ms", 0, |outcome| millis(outcome.converged)),
    ("kill -9 until the first shows `failed`, s", 2, |outcome| outcome.failed[0].as_secs_f64()),
    ("kill -9 until the last shows `failed`, s", 2, |outcome| outcome.failed[1].as_secs_f64()),
    ("leave until all show `left`, ms", 0, |outcome| millis(outcome.left)),
    ("resident memory, kB", 0, |outcome| outcome.memory.resident as f64),
    ("proportional memory (PSS), kB", 0, |outcome| outcome.memory.proportional as f64),
    ("private dirty memory, kB", 0, |outcome| outcome.memory.private_dirty as f64),
    ("processor at rest, ms a second", 3, |outcome| outcome.processor),
    ("datagrams a node a second", 2, |outcome| outcome.datagrams),
    ("bytes a node a second, with headers", 0, |outcome| outcome.bytes),
];

#[test]
fn ours_beside_serf() {
    need!("ours_beside_serf", lack());
    let number = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let rounds: usize = number("BENCH_ROUNDS", "5").parse().expect("BENCH_ROUNDS is a number");
    let rest = Duration::from_secs(number("BENCH_REST", "30").parse().expect("BENCH_REST is a number"));
    let sizes = number("BENCH_NODES", "5 20");
    let ours = std::env::var_os("GOSSIPD").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_gossipd")), PathBuf::from);
    let serf = found("serf").expect("it is there");
    let size = |path: &PathBuf| std::fs::metadata(path).expect("a program").len();
    let bytes = [size(&serf), size(&ours)];
    let contenders = [
        Contender { name: "serf", command: vec![serf, "agent".into()] },
        Contender { name: "gossipd", command: vec![ours] },
    ];
    let folder = kit::directory("bench-gossip");
    eprintln!("| {rounds} rounds, a rest of {} s | serf agent | gossipd | ratio |\n|---|---|---|---|", rest.as_secs());
    eprintln!(
        "| size of the program, bytes | {} | {} | {:.2} |",
        bytes[0],
        bytes[1],
        bytes[1] as f64 / bytes[0] as f64
    );
    for nodes in sizes.split_whitespace().map(|nodes| nodes.parse().expect("BENCH_NODES is a list of numbers")) {
        let mut outcomes = [Vec::new(), Vec::new()];
        for round in 0..rounds {
            // Each is first as often as the other.
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for who in order {
                let outcome = trial(&contenders[who], nodes, rest, &folder);
                keep(&contenders[who], nodes, round, &outcome);
                outcomes[who].push(outcome);
            }
        }
        for (name, digits, figure) in FIGURES {
            let spreads = outcomes.each_ref().map(|outcomes| Spread::of(outcomes.iter().map(figure)));
            let [serf, ours] = spreads.each_ref().map(|spread| spread.shown(*digits));
            let ratio = spreads[1].median / spreads[0].median;
            eprintln!("| {nodes} nodes: {name} | {serf} | {ours} | {ratio:.2} |");
        }
    }
    std::fs::remove_dir_all(folder).expect("a folder of our own");
}

/// Adds a trial to the file of them, if there is to be one.
fn keep(contender: &Contender, nodes: usize, round: usize, outcome: &Outcome) {
    let Some(path) = std::env::var_os("BENCH_JSON") else { return };
    let figures: serde_json::Map<_, _> =
        FIGURES.iter().map(|(name, _, figure)| ((*name).to_owned(), rounded(figure(outcome)).into())).collect();
    let line = json!({ "program": contender.name, "nodes": nodes, "round": round, "figures": figures });
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("a file for the rounds");
    writeln!(file, "{line}").expect("it takes a line");
}

/// To thousandths.
fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

/// Of the figures of all rounds.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Spread {
        let mut figures: Vec<_> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        let median =
            if figures.len() % 2 == 1 { figures[middle] } else { (figures[middle - 1] + figures[middle]) / 2.0 };
        Spread { least: figures[0], median, most: figures[figures.len() - 1] }
    }

    fn shown(&self, digits: usize) -> String {
        let Spread { least, median, most } = self;
        format!("{median:.digits$} ({least:.digits$} to {most:.digits$})")
    }
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn lack() -> Option<&'static str> {
    let namespace = || Command::new("unshare").args(["--net", "ip", "link", "set", "lo", "up"]).output();
    match () {
        () if found("serf").is_none() => Some("no serf(1)"),
        () if !namespace().is_ok_and(|output| output.status.success()) => Some("no network namespace"),
        () => None,
    }
}
