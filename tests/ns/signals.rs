//! Every signal, sent to a real PID 1 in every mode: what happens is what `tests/golden/signals.txt` says.
//!
//! Who is to get forwarded signals sleeps with all of them blocked, so that each stays pending where it can be read: in
//! `ShdPnd` of `/proc/PID/status`.

use crate::kit::{self, Node, Plan, SOON, wait_until};
use crate::need;

/// A process that keeps every signal that it can block.
const EAR: &str = "\"env\", \"--block-signal\", \"sleep\", \"1000\"";
const SLEEPER: &str = "[unit.sleeper]\nexec = [\"sleep\", \"1000\"]\n";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Command,
    Pause,
    Container,
    Appliance,
}

struct Row {
    number: i32,
    name: String,
    /// By mode, in the order above.
    meanings: [String; 4],
}

/// The golden table, and the sentences below it.
fn golden() -> (Vec<Row>, Vec<String>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/signals.txt");
    let text = std::fs::read_to_string(path).expect("the golden table");
    let (mut rows, mut notes) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if let [number, name, command, pause, container, appliance] = words[..]
            && let Ok(number) = number.parse()
        {
            let meanings = [command, pause, container, appliance].map(str::to_owned);
            rows.push(Row { number, name: name.to_owned(), meanings });
        } else if let Some((number, note)) = line.split_once(": ")
            && number.parse::<usize>().is_ok()
        {
            notes.push(note.to_owned());
        }
    }
    assert_eq!(rows.len(), 64);
    (rows, notes)
}

/// A node, and the processes that are to get what is forwarded.
struct Scene {
    node: Node,
    ears: Vec<i32>,
}

impl Scene {
    fn new(mode: Mode) -> Scene {
        let forward: Vec<String> = (1..=31)
            .chain(34..=64)
            .filter(|number| !clusteros_init::unit::signal::KEPT.contains(number))
            .map(|number| format!("{:?}", clusteros_init::unit::signal::name(clusteros_init::unit::Signal(number))))
            .collect();
        let table = format!("[unit.ear]\nexec = [{EAR}]\nforward = [{}]\n", forward.join(", "));
        let plan = Plan::new("signals");
        let (plan, wanted) = match mode {
            Mode::Command => (plan.started_as("env --block-signal {}").arguments(&["-v", "-v", "sleep", "1000"]), 1),
            Mode::Pause => (plan.arguments(&["-v", "-P"]), 0),
            Mode::Container => {
                (plan.started_as("env --block-signal {}").table(&table).arguments(&["-v", "--", "sleep", "1000"]), 2)
            }
            Mode::Appliance => (plan.table(&table).arguments(&["--mode", "appliance"]), 1),
        };
        let node = plan.start();
        wait_until("it reads signals", SOON, || {
            node.fact("SigBlk").starts_with('f') && node.fact("State").starts_with('S')
        });
        if matches!(mode, Mode::Container | Mode::Appliance) {
            node.wait_state("ear", "up");
        }
        let mut ears = Vec::new();
        wait_until("everybody listens", SOON, || {
            ears = kit::children(node.pid);
            ears.retain(|pid| kit::fact(*pid, "Name") == "sleep");
            ears.len() == wanted
        });
        Scene { node, ears }
    }

    /// A node that somebody may end.
    fn short(mode: Mode) -> Scene {
        match mode {
            Mode::Command | Mode::Pause => Scene::new(mode),
            Mode::Container | Mode::Appliance => {
                let mode = if mode == Mode::Container { "container" } else { "appliance" };
                let node = Plan::new("signals").table(SLEEPER).arguments(&["--mode", mode]).start();
                node.wait_state("sleeper", "up");
                Scene { node, ears: Vec::new() }
            }
        }
    }

    /// How many ears have `signal` waiting.
    fn heard(&self, signal: i32) -> usize {
        let has =
            |pid: &&i32| u64::from_str_radix(&kit::fact(**pid, "ShdPnd"), 16).unwrap_or(0) & (1 << (signal - 1)) != 0;
        self.ears.iter().filter(has).count()
    }

    /// Waits until `text` is in the output after its first `from` bytes.
    fn said(&self, from: usize, text: &str) {
        wait_until(&format!("{text:?} in {}", self.node.read("out")), SOON, || {
            self.node.read("out").get(from..).unwrap_or_default().contains(text)
        });
    }
}

#[test]
fn every_signal_does_what_the_golden_table_says() {
    need!("every_signal", kit::no_namespaces());
    let (rows, notes) = golden();
    let mut tried = 0;
    for (place, mode) in [Mode::Command, Mode::Pause, Mode::Container, Mode::Appliance].into_iter().enumerate() {
        let mut scene = Scene::new(mode);
        for row in &rows {
            tried += 1;
            let (signal, meaning) = (row.number, row.meanings[place].as_str());
            let what = format!("{signal} {} in mode {mode:?} is {meaning}", row.name);
            let (word, inside) = meaning.split_once('(').unwrap_or((meaning, ""));
            let inside = inside.trim_end_matches(')');
            let note = inside.parse::<usize>().ok().map(|number| notes[number - 1].as_str());
            let out = scene.node.read("out").len();
            match word {
                // From outside KILL ends any process and STOP stops it; there is nothing of ours in that.
                "kernel" => continue,
                "Shutdown" => {
                    let mut short = Scene::short(mode);
                    short.node.signal(signal);
                    let status = match inside {
                        "Exit" => 0,
                        // In a namespace of its own, reboot(2) ends PID 1 by SIGHUP for a restart and by SIGINT for the rest.
                        "Reboot" => 129,
                        _ => 130,
                    };
                    assert_eq!(short.node.end(), status, "{what}\n{}", short.node.read("out"));
                    continue;
                }
                _ => scene.node.signal(signal),
            }
            match word {
                // Nobody can block these two by way of libc, and the test was started with both ignored.
                "Forward" if [32, 33].contains(&signal) => {
                    if mode != Mode::Appliance {
                        scene.said(out, &format!("passing signal {signal} on to pid "));
                    }
                }
                "Forward" => {
                    // Stop signals take a waiting CONT away, and the reverse; each is looked at before the next is sent.
                    wait_until(&what, SOON, || scene.heard(signal) == scene.ears.len());
                }
                "fault" | "Child" => {}
                "Ignore" => {
                    let name = if row.name == "-" { format!("signal {signal}") } else { row.name.clone() };
                    let reason = note.unwrap_or_default();
                    scene.said(out, &format!("{name} from pid 0 user 0 is ignored: {reason}"));
                }
                "NotYet" => scene.said(out, &format!("unable to {}", note.unwrap_or_default())),
                "Status" => scene.said(out, "units up"),
                "Request" => scene.said(out, "unable to take a request from pid 0 user 0"),
                // A meaning that this test does not know leaves the node as it is, and says something.
                _ => scene.said(out, "\n"),
            }
            assert_eq!(scene.node.over(), None, "{what}\n{}", scene.node.read("out"));
        }
        for row in rows.iter().filter(|row| row.meanings[place] != "Forward") {
            assert_eq!(scene.heard(row.number), 0, "{} was passed on in mode {mode:?}", row.name);
        }
        for row in rows.iter().filter(|row| row.meanings[place] != "Forward") {
            assert_eq!(scene.heard(row.number), 0, "{} was passed on in mode {mode:?}", row.name);
        }
    }
    eprintln!("signals: {tried} of a signal and a mode, each as in tests/golden/signals.txt");
}
