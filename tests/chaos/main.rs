//! Everything at once, for a while, to a node of 200 units: kill -9, STOP and CONT, another table (broken ones among them),
//! requests, re-exec, too few descriptors, too few processes, orphans, a logd that is killed. At the end nothing is lost:
//! every unit is up, no zombie, no process that nobody knows, every numbered line exactly once, descriptors as before.
//!
//! `CHAOS` says for how many seconds (30), `CHAOS_SEED` with which dice; both are printed. `CHAOS_PATIENCE` says how many times
//! longer than here the node may take to be whole again.
//!
//! With `CHAOS_CLOCK` the wall clock jumps, too: by up to ten years, to and fro. A namespace has no such clock of its own, so
//! that is for the machine of `tests/chaos/machine.sh`.

#[path = "../sim/dice.rs"]
#[expect(dead_code, reason = "dealt numbers are for others")]
mod dice;
#[path = "../kit/mod.rs"]
#[expect(dead_code, reason = "the rest is for the tests of PID 1 alone")]
mod kit;
#[path = "../ns/speaker.rs"]
mod speaker;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clusteros_init::control::request::{SIGNAL, number};
use clusteros_init::sys::signal::{queue, send};
use clusteros_init::unit::{Request, UnitId, Wish};

use dice::Dice;
use kit::{Node, Plan, wait_until, within};

const HUP: i32 = 1;
const KILL: i32 = 9;
const USR2: i32 = 12;
const CONT: i32 = 18;
const STOP: i32 = 19;
/// From one blow to the next.
const PACE: Duration = Duration::from_millis(12);
/// After the last blow, on a busy host.
fn calm() -> Duration {
    let patience = std::env::var("CHAOS_PATIENCE").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(120) * patience.unwrap_or(1)
}

/// The table without a change, or with some.
fn table(dice: Option<&mut Dice>) -> String {
    let often = "backoff = \"10ms..200ms\"\nstop-timeout = \"10s\"\n";
    let mut units: Vec<String> = Vec::new();
    for at in 0..150 {
        let needs = if at >= 20 && at % 3 == 0 { format!("needs = [\"w{}\"]\n", at - 20) } else { String::new() };
        units.push(format!("[unit.w{at}]\nexec = [\"sleep\", \"1000\"]\n{needs}{often}"));
    }
    for at in 0..10 {
        units.push(format!("[unit.b{at}]\nexec = [\"sleep\", \"1000\"]\nbinds = [\"w{at}\"]\n{often}"));
    }
    for at in 0..20 {
        // Each life of it counts for itself.
        let talk = "i=0; while :; do i=$((i+1)); echo $$ $i; sleep 0.4; done";
        units.push(format!("[unit.talk{at}]\nexec = [\"sh\", \"-c\", \"{talk}\"]\n{often}"));
    }
    for at in 0..5 {
        let parent = "while :; do (true &); sleep 0.3; done";
        units.push(format!("[unit.parent{at}]\nexec = [\"sh\", \"-c\", \"{parent}\"]\n{often}"));
    }
    for at in 0..5 {
        let exec = speaker::exec();
        units.push(format!(
            "[unit.speaker{at}]\nexec = {exec}\nready = \"notify\"\nenv = {{ SPEAK = \"READY=1\" }}\n{often}"
        ));
    }
    for at in 0..10 {
        units.push(format!("[unit.once{at}]\ntype = \"oneshot\"\nexec = [\"true\"]\n{often}"));
    }
    assert_eq!(units.len(), 200);
    let Some(dice) = dice else { return units.concat() };
    if dice.chance(15) {
        return units.concat() + "[unit.w7]\nexek = \"twice, and wrong\"\n";
    }
    for unit in &mut units {
        match dice.below(30) {
            0 => *unit = unit.replace("\"sleep\", \"1000\"", "\"sleep\", \"2000\""),
            1 => *unit = unit.replace("stop-timeout = \"10s\"", "stop-timeout = \"2s\""),
            2 => unit.push_str("description = \"another one\"\n"),
            3 => unit.push_str("enabled = false\n"),
            _ => {}
        }
    }
    for _ in 0..dice.below(6) {
        units.push(format!("[unit.x{}]\nexec = [\"sleep\", \"1000\"]\n{often}", dice.below(1_000_000)));
    }
    units.concat()
}

/// The members of the head of the status document, and of its units the name, state and pid, in their order.
struct Seen {
    generation: u64,
    units: Vec<(String, String, i32)>,
}

fn seen(node: &Node) -> Seen {
    let text = node.read("run/cluster-os/status.json");
    let part = |text: &str, key: &str| {
        let rest = text.split(&format!("\"{key}\":")).nth(1).unwrap_or_default();
        rest.trim_start_matches('"').split([',', '}', '"', '\n']).next().unwrap_or_default().to_owned()
    };
    let lines = text.lines().filter(|line| line.trim_start_matches(',').starts_with("{\"name\":\""));
    let units = lines.map(|line| (part(line, "name"), part(line, "state"), part(line, "pid").parse().unwrap_or(0)));
    Seen { generation: part(&text, "generation").parse().unwrap_or(0), units: units.collect() }
}

/// A cgroup that holds the node, so that it can run out of processes; none where none can be made.
struct Squeeze(Option<PathBuf>);

impl Squeeze {
    fn new(node: &Node) -> Squeeze {
        let root = Path::new("/sys/fs/cgroup");
        // Version 1 has a tree of its own for processes; version 2 is told at the root who counts what.
        let base = if root.join("pids").exists() { root.join("pids") } else { root.to_owned() };
        drop(fs::write(base.join("cgroup.subtree_control"), "+pids"));
        let folder = base.join(format!("clusteros-chaos-{}", node.pid));
        let made = fs::create_dir(&folder).is_ok()
            && folder.join("pids.max").exists()
            && fs::write(folder.join("cgroup.procs"), node.pid.to_string()).is_ok();
        if !made {
            drop(fs::remove_dir(&folder));
            eprintln!("chaos: no pids cgroup can be made here: what too few processes do is not shown");
        }
        Squeeze(made.then_some(folder))
    }

    fn limit(&self, spare: Option<u64>) -> bool {
        let Some(folder) = &self.0 else { return false };
        let current = fs::read_to_string(folder.join("pids.current")).unwrap_or_default();
        let current: u64 = current.trim().parse().unwrap_or(0);
        let limit = spare.map_or("max".to_owned(), |spare| (current + spare).to_string());
        fs::write(folder.join("pids.max"), limit).is_ok()
    }
}

impl Drop for Squeeze {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            within(Duration::from_secs(5), || fs::remove_dir(folder).is_ok());
        }
    }
}

fn descriptors(node: &Node) -> usize {
    fs::read_dir(format!("/proc/{}/fd", node.pid)).map_or(0, Iterator::count)
}

/// What is open and how often, for the message that it is more than before.
fn open(node: &Node) -> String {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{}/fd", node.pid)).into_iter().flatten().flatten() {
        let target = fs::read_link(entry.path()).unwrap_or_default().display().to_string();
        *kinds.entry(target).or_default() += 1;
    }
    let mut found = kinds.into_iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>();
    found.sort();
    found.join(", ")
}

/// How many descriptors PID 1 has with the first table. The pipe of a unit that is gone is closed by the reloads after.
fn settled(node: &Node) -> usize {
    let mut seen = Vec::new();
    while seen.len() < 4 || seen[seen.len() - 4..].iter().any(|count| *count != seen[seen.len() - 1]) {
        assert!(seen.len() < 30, "descriptors: {seen:?}: {}", open(node));
        reload(node, &table(None));
        within(Duration::from_millis(500), || node.pid == 0);
        wait_whole(node);
        seen.push(descriptors(node));
    }
    seen[seen.len() - 1]
}

/// The limit of open files of PID 1; none puts the old one back.
fn few_descriptors(node: &Node, spare: Option<usize>) {
    let limit = spare.map_or("1024".to_owned(), |spare| (descriptors(node) + spare).to_string());
    let done = Command::new("prlimit").args(["--pid", &node.pid.to_string(), &format!("--nofile={limit}:")]).status();
    assert!(done.is_ok_and(|status| status.success()), "prlimit");
}

/// Puts another table in the place of the running one, and asks for it.
fn reload(node: &Node, text: &str) {
    let new = node.dir.join("units.new");
    fs::write(&new, text).expect("a table");
    fs::rename(new, node.dir.join("units.toml")).expect("in its place");
    let _ = send(node.pid, HUP);
}

fn ask(node: &Node, seen: &Seen, unit: usize, wish: Wish) {
    let request = Request { unit: UnitId(u16::try_from(unit).unwrap_or(u16::MAX)), wish };
    let _ = queue(node.pid, SIGNAL, number(request, seen.generation));
}

/// Sets the wall clock to some time within ten years of 2027.
fn jump(dice: &mut Dice) {
    const TEN_YEARS: u64 = 315_360_000;
    let then = 1_800_000_000 - TEN_YEARS + dice.below(2 * TEN_YEARS);
    let done = Command::new("date").args(["-u", "-s", &format!("@{then}")]).output();
    assert!(done.is_ok_and(|done| done.status.success()), "date -s @{then}");
}

/// One blow; what it was.
fn strike(node: &Node, dice: &mut Dice, squeeze: &Squeeze, stopped: &mut BTreeSet<i32>) -> &'static str {
    let children = kit::children(node.pid);
    let victim = if children.is_empty() { 0 } else { children[dice.below(children.len() as u64) as usize] };
    let logd = |pid: &i32| kit::fact(*pid, "Name") == "logd";
    // One in seven, where the clock may jump.
    let most = if std::env::var_os("CHAOS_CLOCK").is_some() { 233 } else { 200 };
    match dice.below(most) {
        0..80 if victim > 1 && !logd(&victim) => {
            let _ = send(victim, KILL);
            "killed"
        }
        80..86 => {
            if let Some(pid) = children.into_iter().find(logd) {
                let _ = send(pid, KILL);
            }
            "logd killed"
        }
        86..110 if victim > 1 && !logd(&victim) => {
            let _ = send(victim, STOP);
            stopped.insert(victim);
            "stopped"
        }
        110..135 => {
            if let Some(pid) = stopped.pop_first() {
                let _ = send(pid, CONT);
            }
            "continued"
        }
        135..141 => {
            reload(node, &table(Some(dice)));
            "tables"
        }
        141..170 => {
            let seen = seen(node);
            let wish = dice.pick(&[Wish::Start, Wish::Stop, Wish::Restart, Wish::Start, Wish::Reload]);
            if !seen.units.is_empty() {
                ask(node, &seen, dice.below(seen.units.len() as u64) as usize, wish);
            }
            "requests"
        }
        170..176 => {
            let _ = send(node.pid, USR2);
            "re-execs"
        }
        176..180 => {
            few_descriptors(node, Some(dice.below(3) as usize));
            "descriptor squeezes"
        }
        180..184 => {
            few_descriptors(node, None);
            "descriptor reliefs"
        }
        184..188 if squeeze.limit(Some(dice.below(3))) => "process squeezes",
        188..193 if squeeze.limit(None) => "process reliefs",
        193..197 => {
            let _ = queue(node.pid, 10, 1);
            "status asked"
        }
        200.. => {
            jump(dice);
            "clock jumps"
        }
        _ => {
            let _ = send(node.pid, 28);
            "signals"
        }
    }
}

/// The numbered lines of every talker: how many there are. Each life's begin with 1 and go on by 1.
fn lines(node: &Node) -> usize {
    let mut count = 0;
    for at in 0..20 {
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        let files = [3, 2, 1].map(|number| format!("log/cluster-os/talk{at}.log.{number}"));
        let text: String = files.iter().map(|file| node.read(file)).collect::<String>()
            + &node.read(&format!("log/cluster-os/talk{at}.log"));
        // Where processes are few the shell says so.
        for line in text.lines().filter(|line| !line.contains(" sh: ")) {
            let words: Vec<&str> = line.split(' ').collect();
            let [_, pid, number] = words[..] else { panic!("talk{at}: a torn line: {line:?}") };
            let number: u64 = number.parse().unwrap_or_else(|_| panic!("talk{at}: a torn line: {line:?}"));
            let before = last.insert(pid.to_owned(), number).unwrap_or(0);
            assert_eq!(number, before + 1, "talk{at}, pid {pid}: after line {before}");
            count += 1;
        }
    }
    count
}

/// Every unit is up or done, and PID 1 has no child but these.
fn whole(node: &Node) -> Result<(), String> {
    let seen = seen(node);
    if let Some((name, state, _)) = seen.units.iter().find(|(_, state, _)| !["up", "done"].contains(&state.as_str())) {
        return Err(format!("{name} is {state}: {}", node.unit(name)));
    }
    let known: BTreeSet<i32> = seen.units.iter().map(|(_, _, pid)| *pid).collect();
    for child in kit::children(node.pid) {
        let inner: i32 =
            kit::fact(child, "NSpid").split_ascii_whitespace().last().and_then(|pid| pid.parse().ok()).unwrap_or(0);
        if !known.contains(&inner) {
            return Err(format!(
                "nobody knows pid {inner}, {}, {}",
                kit::fact(child, "Name"),
                kit::fact(child, "State")
            ));
        }
    }
    if seen.units.len() == 201 { Ok(()) } else { Err(format!("{} units", seen.units.len())) }
}

fn wait_whole(node: &Node) {
    let mut wrong = String::new();
    let held = within(calm(), || whole(node).map_err(|why| wrong = why).is_ok());
    assert!(held, "not whole within {:?}: {wrong}\n{}", calm(), tail(node));
}

fn tail(node: &Node) -> String {
    let text = node.read("log/cluster-os/init.log");
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

#[test]
fn nothing_is_lost_in_chaos() {
    need!("chaos", kit::no_namespaces());
    let asked = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = asked("CHAOS").unwrap_or(30);
    let seed = asked("CHAOS_SEED")
        .unwrap_or_else(|| std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs());
    eprintln!("chaos: CHAOS={seconds} CHAOS_SEED={seed}");
    let mut dice = Dice::new(seed);
    let mut node = Plan::new("chaos").table(&table(None)).start();
    wait_whole(&node);
    let squeeze = Squeeze::new(&node);
    let resident = |node: &Node| node.fact("VmRSS");
    // One change of everything first, so that what only grows once has grown.
    reload(&node, &table(Some(&mut dice)));
    within(Duration::from_secs(2), || false);
    let before = (settled(&node), resident(&node));

    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut counts, mut stopped) = (BTreeMap::new(), BTreeSet::new());
    while Instant::now() < end {
        *counts.entry(strike(&node, &mut dice, &squeeze, &mut stopped)).or_insert(0) += 1;
        let over = within(PACE, || node.over().is_some());
        assert!(!over, "PID 1 ended with {:?} after {counts:?}\n{}", node.over(), tail(&node));
    }

    few_descriptors(&node, None);
    squeeze.limit(None);
    for pid in kit::children(node.pid) {
        let _ = send(pid, CONT);
    }
    reload(&node, &table(None));
    wait_until("the first table runs again", calm(), || seen(&node).units.len() == 201);
    let mut wrong = String::new();
    let mut last = Instant::now();
    let held = within(calm(), || {
        // Whoever was asked to stop is asked to start, until it has heard.
        if last.elapsed() > Duration::from_secs(1) {
            last = Instant::now();
            let seen = seen(&node);
            for (at, _) in seen.units.iter().enumerate().filter(|(_, (_, state, _))| state == "off") {
                ask(&node, &seen, at, Wish::Start);
            }
        }
        whole(&node).map_err(|why| wrong = why).is_ok()
    });
    assert!(held, "not whole after {counts:?}: {wrong}\n{}", tail(&node));
    let call = fs::read_to_string(format!("/proc/{}/cmdline", node.pid)).unwrap_or_default();
    let broke = call.contains("--rescue") || node.read("log/cluster-os/init.log").contains("unable to go on:");
    assert!(!broke, "PID 1 broke:\n{}", tail(&node));
    let after = (settled(&node), resident(&node));
    eprintln!("chaos: {counts:?}");
    eprintln!("chaos: descriptors {} before, {} after; RSS {} before, {} after", before.0, after.0, before.1, after.1);
    assert!(after.0 == before.0, "descriptors: {} before, {} after: {}", before.0, after.0, open(&node));
    // Orphans go on coming: at some moment none is a zombie.
    wait_until("no zombie is left", calm(), || kit::zombies(node.pid) == 0);
    node.signal(15);
    let mut status = None;
    wait_until("the node ends", Duration::from_secs(60), || {
        status = node.over();
        status.is_some()
    });
    assert_eq!(status, Some(0), "{}", tail(&node));
    eprintln!("chaos: {} numbered lines, each once", lines(&node));
}
