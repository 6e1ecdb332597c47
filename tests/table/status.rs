//! The status document and the table that people read.

use std::time::Duration;

use clusteros_init::control::{Node, Reload, Renewals, Status};
use clusteros_init::unit::{Bonds, Ending, Goal, History, Phase, Pid, Signal, Tally, Time, View, Wish};

use crate::golden::assert_golden;

const NOW: Time = Time::from_nanos(1_000_000_000_000);
const WALL: u64 = 1_700_000_000_000;
static NO_HISTORY: History = History::new();
static NOTHING: Tally = Tally { taken: 0, refused: 0, refusal: None };

fn view<'a>(name: &'a str, state: &'static str, seconds_ago: u64) -> View<'a> {
    View {
        name,
        description: "",
        state,
        why: None,
        pid: None,
        since: NOW - Duration::from_secs(seconds_ago),
        until: None,
        restarts: 0,
        last_exit: None,
        ready_after: None,
        status: None,
        asked: &NOTHING,
        pending: None,
        history: &NO_HISTORY,
        bonds: Bonds::default(),
    }
}

/// One unit in each state.
fn everything() -> Vec<View<'static>> {
    vec![
        View {
            description: "this node's identity",
            last_exit: Some(Ending::Code(0)),
            ready_after: Some(Duration::from_millis(41)),
            ..view("identity", "done", 190)
        },
        View {
            pid: Some(Pid(23)),
            ready_after: Some(Duration::from_micros(1_500_400)),
            status: Some("wg0 in user space: no WireGuard in this kernel \u{1b}[31m\"red\" \\ ä"),
            ..view("wg0", "up", 12)
        },
        View {
            pid: Some(Pid(40_321)),
            restarts: 3,
            last_exit: Some(Ending::Signal { signal: Signal(11), core: true }),
            ..view("gossip", "up", 2)
        },
        View { why: Some("waiting for gossip (up)".to_owned()), ..view("node-agent", "waiting", 7_500) },
        View {
            why: Some("it exited with status 1; again in 3.2 s".to_owned()),
            until: Some(NOW + Duration::from_millis(3_250)),
            restarts: 12,
            last_exit: Some(Ending::Code(1)),
            ..view("k3s", "backoff", 0)
        },
        View { why: Some("NODE_K3S_ENABLED is not set".to_owned()), ..view("extra", "skipped", 190) },
        view("unused", "off", 190),
        View {
            pid: Some(Pid(9)),
            why: Some("not ready yet".to_owned()),
            until: Some(NOW + Duration::from_secs(29)),
            ..view("slow", "starting", 1)
        },
        View {
            why: Some("SIGKILL did not end it".to_owned()),
            asked: Box::leak(Box::new(Tally { taken: 2, refused: 1, refusal: Some("\"no\"".into()) })),
            pending: Some(Wish::Stop),
            last_exit: Some(Ending::Signal { signal: Signal(9), core: false }),
            ..view("disk", "stuck", 400_000)
        },
        View { why: Some("exit 78 is permanent".to_owned()), ..view("broken", "failed", 5) },
    ]
}

#[test]
fn the_table_for_a_terminal() {
    let status = status(&everything(), Phase::Running);
    let pages: Vec<String> =
        [120, 80, 50, 30].iter().map(|width| format!("{width}:\n{}", status.fitted(*width, false))).collect();
    assert_golden("status-fitted.txt", &pages.join("\n"));
}

#[test]
fn the_history_is_in_the_document() {
    let mut history = History::new();
    history.record(NOW - Duration::from_secs(90), "waiting", None);
    history.record(NOW - Duration::from_millis(88_500), "starting", None);
    history.record(NOW - Duration::from_secs(80), "up", Some(Pid(23)));
    history.record(NOW - Duration::from_secs(2), "backoff", None);
    history.explain("it was killed by SIGSEGV");
    let status = status(&[View { history: &history, ..view("gossip", "backoff", 2) }], Phase::Running);
    assert_golden("status-history.json", &status.to_json());
}

fn node() -> Node {
    Node {
        program: "clusteros-init 0.1.0".to_owned(),
        pid: 1,
        generation: 1,
        started: NOW - Duration::from_secs(191),
        requests: Tally {
            taken: 2,
            refused: 1,
            refusal: Some("unable to stop disk: \"no\"; nothing was changed".into()),
        },
        table: Reload::default(),
        renewals: Renewals { done: 1, refused: 1, refusal: Some("unable".to_owned()), broken: 0 },
    }
}

fn status(views: &[View<'_>], phase: Phase) -> Status {
    Status::new(views, phase, NOW, WALL, &node())
}

#[test]
fn the_table() {
    assert_golden("status-table.txt", &status(&everything(), Phase::Running).table());
}

#[test]
fn the_document() {
    assert_golden("status.json", &status(&everything(), Phase::Stopping(Goal::PowerOff)).to_json());
}

#[test]
fn the_last_line() {
    let summary = |views: &[View<'_>], phase| status(views, phase).summary();
    let up = view("a", "up", 1);
    let waiting = View { why: Some("waiting for identity (starting)".to_owned()), ..view("gossip", "waiting", 1) };
    assert_eq!(summary(&[], Phase::Running), "0 of 0 units up");
    assert_eq!(summary(std::slice::from_ref(&up), Phase::Running), "1 of 1 units up");
    assert_eq!(
        summary(&[up.clone(), waiting], Phase::Running),
        "1 of 2 units up; gossip is waiting for identity (starting)"
    );
    assert_eq!(summary(&[up, view("b", "off", 1)], Phase::Stopping(Goal::Exit)), "stopping (exit): 1 of 1 units up");
}

#[test]
fn times_before_the_epoch_and_after_now() {
    let late = View { since: NOW + Duration::from_secs(1), until: Some(Time::ZERO), ..view("a", "up", 0) };
    let status = Status::new(&[late], Phase::Running, NOW, 5, &node());
    assert_eq!((status.units[0].since, status.units[0].until, status.started), (1_005, Some(0), 0));
    assert!(status.table().contains("0ms"));
}

#[cfg(feature = "ctl")]
#[test]
fn what_was_written_reads_back_equal() {
    for phase in [Phase::Running, Phase::Stopping(Goal::Halt)] {
        let status = status(&everything(), phase);
        let back: Status = serde_json::from_str(&status.to_json()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(back, status);
    }
    // A newer program's additional members are no error.
    let text = status(&[], Phase::Running).to_json().replacen('{', "{\"new\":{\"x\":[1]},", 1);
    assert!(serde_json::from_str::<Status>(&text).is_ok());
}

#[cfg(feature = "ctl")]
#[test]
fn every_character_reads_back_equal() {
    let mut all = String::new();
    for letter in (0..=0x17f).chain([0x2028, 0x2029, 0xfeff, 0xfffd, 0x1f600]).filter_map(char::from_u32) {
        all.push(letter);
    }
    let status = status(&[View { why: Some(all), ..view("a", "up", 0) }], Phase::Running);
    let back: Status = serde_json::from_str(&status.to_json()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(back, status);
}
