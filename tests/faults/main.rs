//! Every life of a node again, with the n-th system call of PID 1 failing, for every n and each of seven errors.
//!
//! A tracer beside a real PID 1 makes the call fail, not a seam in `sys`: so no call is left out, whether `sys`, the
//! standard library, nix or libc makes it, the program is the very one that is shipped, and it costs nothing there. The
//! children are not traced: what they do between clone and exec is told to PID 1 as an error of the unit.
//!
//! What must hold of each life: it goes as planned and ends with the right status, without a zombie or a lost process; or
//! PID 1 refuses before it has started anything, with a line that says why and a documented exit status.
//!
//! - without `FAULTS`: as many lives as go into `FAULTS_SECONDS` (45), drawn by `FAULTS_SEED`, which is printed
//! - `FAULTS=all`: every one
//! - `FAULTS=start`: every one of one scenario
//! - `FAULTS=start:17:EIO`: that one, and what PID 1 called

#![cfg(target_arch = "x86_64")]

#[path = "../sim/dice.rs"]
#[expect(dead_code, reason = "the rest is for the simulation")]
mod dice;
mod further;
#[path = "../kit/mod.rs"]
#[expect(dead_code, reason = "the rest is for the tests of PID 1 alone")]
mod kit;
mod scenario;
#[path = "../ns/speaker.rs"]
mod speaker;
mod tracer;
#[path = "../cgroup/tree.rs"]
#[expect(dead_code, reason = "the rest is for the tests of cgroups")]
mod tree;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use dice::Dice;
use further::FURTHER;
use scenario::{End, Ground, Life, SCENARIOS, Scenario};
use tracer::{Fault, Trace};
use tree::Tree;

const ERRORS: [(&str, Errno); 7] = [
    ("EAGAIN", Errno::EAGAIN),
    ("ENOMEM", Errno::ENOMEM),
    ("EMFILE", Errno::EMFILE),
    ("ENFILE", Errno::ENFILE),
    ("ENOSPC", Errno::ENOSPC),
    ("EINTR", Errno::EINTR),
    ("EIO", Errno::EIO),
];

/// How a life went that is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// To its end, as planned.
    Done,
    /// There were fewer calls than that.
    NotReached,
    /// PID 1 said why and started nothing.
    Refused,
    /// Memory could not be had, PID 1 became the reaper, and said so.
    Rescued,
}

/// Lives `scenario`, with `fault`: what was traced, and how it went or what is wrong with that.
fn live(scenario: &Scenario, fault: Option<Fault>) -> (Trace, Result<Outcome, String>) {
    let gate = scenario.entry.replace("{}", "sh -c 'mkfifo @/gate && read go < @/gate && exec \"$@\"' sh {}");
    let tree = (scenario.ground == Ground::Cgroup).then(|| Tree::new("faults"));
    let call = tree.as_ref().map_or(gate.clone(), |tree| tree.entry("--cgroup", tree::MOUNTED, &gate));
    let node = (scenario.plan)().started_as(&call).launch();
    let mut first = 0;
    kit::wait_until("the first process", kit::SOON, || {
        first = node.first().unwrap_or(0);
        first != 0
    });
    let gate = node.dir.join("gate");
    let tracer = std::thread::spawn(move || {
        tracer::follow(first, std::path::Path::new(kit::INIT), fault, || {
            // The shell goes on only while the tracer lets it.
            std::thread::spawn(move || {
                kit::wait_until("the gate", kit::SOON, || gate.exists());
                std::fs::write(&gate, "go\n").expect("the gate");
            });
        })
    });
    let mut life = Life { node };
    life.node.wait_for_program();
    let lived = (scenario.live)(&mut life);
    let Life { node } = life;
    let mut said = node.read("out");
    said.push_str(&node.read("log/cluster-os/init.log"));
    let started = node.dir.join("events").exists();
    drop(node);
    drop(tree);
    let trace = match tracer.join().expect("the tracer") {
        Ok(trace) => trace,
        Err(errno) => return (Trace::default(), Err(format!("unable to trace: {errno}"))),
    };
    let judged = judge(scenario, fault, &trace, &lived, &said, started);
    let judged = judged.map_err(|wrong| format!("{wrong}\n{}", indented(&said)));
    (trace, judged)
}

fn judge(
    scenario: &Scenario,
    fault: Option<Fault>,
    trace: &Trace,
    lived: &Result<i32, End>,
    said: &str,
    started: bool,
) -> Result<Outcome, String> {
    let no_memory = trace.failed.is_some_and(|call| [libc::SYS_brk, libc::SYS_mmap, libc::SYS_mremap].contains(&call));
    let breaks = said.matches("unable to go on: ").count();
    let meant = scenario.name == "renewal" || scenario.drills > 0;
    let broke = trace.renewed && (!meant || breaks > scenario.drills);
    match lived {
        _ if broke && no_memory && said.contains("unable to go on") => Ok(Outcome::Rescued),
        _ if broke => Err("PID 1 broke".to_owned()),
        Ok(status) if scenario.statuses.contains(status) => {
            Ok(if fault.is_some() && trace.failed.is_none() { Outcome::NotReached } else { Outcome::Done })
        }
        Ok(status) | Err(End::Over(status))
            if !started && [70, 78].contains(status) && said.contains("clusteros-init: error: unable to ") =>
        {
            Ok(Outcome::Refused)
        }
        Ok(status) | Err(End::Over(status)) => Err(format!("it ended with {status}")),
        Err(End::Not(what)) => Err(format!("not seen: {what}")),
    }
}

fn indented(text: &str) -> String {
    text.lines().take(25).map(|line| format!("    | {line}\n")).collect()
}

/// All of them.
fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    SCENARIOS.iter().chain(FURTHER)
}

struct Case {
    scenario: &'static Scenario,
    fault: Fault,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let error = ERRORS.iter().find(|(_, errno)| *errno == self.fault.errno).map_or("?", |(name, _)| name);
        write!(f, "FAULTS={}:{}:{error}", self.scenario.name, self.fault.at)
    }
}

/// Runs `cases` until `end`: what is wrong, and how many went how.
fn run(cases: &[Case], end: Option<Instant>) -> (Vec<String>, BTreeMap<(&'static str, Outcome), usize>) {
    let next = AtomicUsize::new(0);
    let (wrong, counts) = (Mutex::new(Vec::new()), Mutex::new(BTreeMap::new()));
    let work = || {
        while end.is_none_or(|end| Instant::now() < end)
            && let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(case) = cases.get(at)
        {
            if at > 0 && at.is_multiple_of(1000) {
                eprintln!("faults: {at} lives of {}", cases.len());
            }
            let (trace, judged) = catch_unwind(AssertUnwindSafe(|| live(case.scenario, Some(case.fault))))
                .unwrap_or_else(|_| (Trace::default(), Err("the test itself broke".to_owned())));
            match judged {
                Ok(outcome) => {
                    *counts.lock().expect("counts").entry((case.scenario.name, outcome)).or_default() += 1;
                }
                Err(text) => {
                    let call = trace.failed.map_or("no call".to_owned(), tracer::name);
                    let text = format!("{case} ({call}): {text}");
                    eprintln!("faults: {text}");
                    wrong.lock().expect("wrong").push(text);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    (wrong.into_inner().expect("wrong"), counts.into_inner().expect("counts"))
}

fn one(asked: &str) -> Option<Case> {
    let words: Vec<&str> = asked.split(':').collect();
    let [name, at, error] = words[..] else { return None };
    let scenario = scenarios().find(|scenario| scenario.name == name)?;
    let (_, errno) = ERRORS.into_iter().find(|(known, _)| *known == error)?;
    Some(Case { scenario, fault: Fault { at: at.parse().ok()?, errno } })
}

#[test]
fn whatever_call_fails_nothing_is_lost() {
    need!("faults", kit::no_namespaces());
    let asked = std::env::var("FAULTS").unwrap_or_default();
    if let Some(case) = one(&asked) {
        let (trace, judged) = live(case.scenario, Some(case.fault));
        for (at, call) in (1..).zip(&trace.calls) {
            eprintln!("{at:5} {}{}", tracer::name(*call), if at == case.fault.at { "    <-- fails" } else { "" });
        }
        eprintln!("faults: {case}: {judged:?}");
        assert!(judged.is_ok(), "{}", judged.unwrap_err());
        return;
    }
    let mut cases = Vec::new();
    let possible = |scenario: &&Scenario| match scenario.ground {
        Ground::Namespace => true,
        Ground::Cgroup => tree::no_ground().is_none(),
    };
    let wanted = |scenario: &&Scenario| ["", "all", scenario.name].contains(&asked.as_str());
    for scenario in scenarios().filter(wanted).filter(possible) {
        let (trace, judged) = live(scenario, None);
        assert_eq!(judged, Ok(Outcome::Done), "{} without any fault", scenario.name);
        eprintln!("faults: {}: {} calls", scenario.name, trace.calls.len());
        let faults = (1..=trace.calls.len()).flat_map(|at| ERRORS.map(|(_, errno)| Fault { at, errno }));
        cases.extend(faults.map(|fault| Case { scenario, fault }));
    }
    let end = if asked.is_empty() {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let seed = number("FAULTS_SEED").unwrap_or(now.as_secs());
        eprintln!("faults: FAULTS_SEED={seed}, {} cases to draw from", cases.len());
        let mut dice = Dice::new(seed);
        for at in (1..cases.len()).rev() {
            cases.swap(at, usize::try_from(dice.below(at as u64 + 1)).unwrap_or(at));
        }
        Some(Instant::now() + Duration::from_secs(number("FAULTS_SECONDS").unwrap_or(45)))
    } else {
        None
    };
    let (wrong, counts) = run(&cases, end);
    for ((name, outcome), count) in &counts {
        eprintln!("faults: {name}: {count} {outcome:?}");
    }
    let lives: usize = counts.values().sum::<usize>() + wrong.len();
    eprintln!("faults: {lives} lives of {}, {} wrong", cases.len(), wrong.len());
    assert!(wrong.is_empty(), "{} of {lives} lives went wrong:\n{}", wrong.len(), wrong.join("\n"));
}
