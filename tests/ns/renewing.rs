//! A thousand renewals in a row, under load: no child, no line of a log, no request and no descriptor is lost.

use std::time::{Duration, Instant};

use clusteros_init::control::request::{SIGNAL, number};
use clusteros_init::sys::signal::queue;
use clusteros_init::unit::{Request, UnitId, Wish};

use crate::kit::{self, Node, Plan, SOON, wait_until};
use crate::need;
use crate::renewal::{USR2, open, renewals};
use crate::speaker;

const TIMES: u64 = 1_000;

fn table() -> String {
    let counts = "i=0; while :; do i=$((i+1)); echo line $i; [ $((i%100)) -ne 0 ] || sleep 0.01; done";
    let counter = |name: &str| {
        format!("[unit.{name}]\nexec = [\"sh\", \"-c\", \"{counts}\"]\nlog = {{ size = \"256M\", keep = 1 }}\n")
    };
    format!(
        "[unit.quiet]\nexec = [\"sleep\", \"10000\"]\n{}{}\
         [unit.crasher]\nexec = [\"false\"]\nbackoff = \"20ms..50ms\"\n\
         [unit.absent]\nexec = [\"/no/such/program\"]\nbackoff = \"1s..10m\"\n\
         [unit.speaker]\nexec = {}\nready = \"notify\"\nenv = {{ SPEAK = \"READY=1\" }}\n\
         [unit.dier]\nexec = [\"sh\", \"-c\", \"(true &); sleep 0.05\"]\nbackoff = \"20ms..50ms\"\n",
        counter("one"),
        counter("two"),
        speaker::exec()
    )
}

/// A number in the line of `unit` in the status document.
fn of(node: &Node, unit: &str, key: &str) -> u64 {
    let line = node.unit(unit);
    let value = line.split(&format!("\"{key}\":")).nth(1).unwrap_or_default();
    value.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
}

/// How many lines `unit` has in its log, each number once and in order; the last line may be half.
fn lines(node: &Node, unit: &str) -> u64 {
    let files = [format!("log/cluster-os/{unit}.log.1"), format!("log/cluster-os/{unit}.log")];
    let text: String = files.iter().map(|file| node.read(file)).collect();
    let mut count = 0;
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    for line in whole.lines() {
        count += 1;
        let number = line.rsplit_once("line ").and_then(|(_, number)| number.parse::<u64>().ok());
        assert_eq!(number, Some(count), "{unit}: {line}");
    }
    count
}

#[test]
fn a_thousand_renewals_under_load_lose_nothing() {
    need!("a_thousand_renewals", kit::no_namespaces());
    let mut node = Plan::new("thousand").table(&table()).output(std::process::Stdio::null()).start();
    let lasting = ["quiet", "one", "two", "speaker", "logd"];
    for unit in lasting {
        node.wait_state(unit, "up");
    }
    node.wait_state("absent", "backoff");
    let pids = |node: &Node| lasting.map(|unit| node.unit_pid(unit));
    // crasher and dier may have an exec pipe or not: at some moment neither has.
    let had = (0..1000).map(|_| open(&node)).min_by_key(Vec::len).expect("what it has open");
    let (before, until) = (pids(&node), of(&node, "absent", "until"));
    let (mut asked, mut restarts, mut slowest) = (0, 0, Duration::ZERO);
    let began = Instant::now();
    for time in 1..=TIMES {
        let sent = Instant::now();
        node.signal(USR2);
        for unit in 0..4 {
            // A start of what is up changes nothing, and is counted.
            let wish = number(Request { unit: UnitId(unit), wish: Wish::Start }, 1);
            assert!(queue(node.pid, SIGNAL, wish).is_ok());
            asked += 1;
        }
        wait_until("it went on", SOON, || renewals(&node).0 == time);
        slowest = slowest.max(sent.elapsed());
        let now = of(&node, "crasher", "restarts");
        assert!(now >= restarts, "renewal {time}: {now} restarts after {restarts}");
        restarts = now;
    }
    let took = began.elapsed();
    assert_eq!(renewals(&node), (TIMES, 0, 0));
    assert_eq!(pids(&node), before);
    wait_until("every request is taken", SOON, || {
        let head = node.read("run/cluster-os/status.json").lines().next().unwrap_or_default().to_owned();
        head.contains(&format!("\"requests\":{{\"taken\":{asked},\"refused\":0,"))
    });
    let mut has = Vec::new();
    let held = kit::within(SOON, || {
        has = open(&node);
        has == had
    });
    assert!(held, "it had open {had:?}\nit has open {has:?}");
    assert!(of(&node, "absent", "until").abs_diff(until) <= 20, "the deadline of a backoff moved");
    assert!(restarts > 100, "{restarts}");
    wait_until("no zombie is left", SOON, || kit::zombies(node.pid) == 0);
    node.signal(15);
    assert_eq!(node.end(), 0);
    let (one, two) = (lines(&node, "one"), lines(&node, "two"));
    assert!(one > 1_000 && two > 1_000, "{one} and {two} lines");
    let own = node.read("log/cluster-os/init.log");
    let span = |line: &str| {
        let text = line.split("went on as version").nth(1)?.split("after ").nth(1)?;
        text.strip_suffix(" ms")?.parse::<u64>().ok()
    };
    let spans: Vec<u64> = own.lines().filter_map(span).collect();
    eprintln!(
        "{TIMES} renewals in {took:.1?}: {:.1?} each with its trial, the slowest {slowest:.1?}; from exec to the next turn \
         {:.1} ms; {asked} requests taken, {one} + {two} lines, each there once and whole, {restarts} restarts of a crasher",
        took / TIMES as u32,
        spans.iter().sum::<u64>() as f64 / spans.len().max(1) as f64,
    );
}
