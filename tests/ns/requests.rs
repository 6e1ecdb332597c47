//! Requests as PID 1 takes them: queued signals with a number beside them.

use clusteros_init::control::request::{SIGNAL, number};
use clusteros_init::sys::signal::queue;
use clusteros_init::unit::{Request, UnitId, Wish};

use crate::kit::{self, Node, Plan, SOON, wait_until};
use crate::need;

const TWO: &str = "[unit.a]\nexec = [\"sleep\", \"1000\"]\n[unit.b]\nexec = [\"sleep\", \"1000\"]\nbinds = [\"a\"]\n";

fn ask(node: &Node, unit: u16, wish: Wish, generation: u64) {
    let number = number(Request { unit: UnitId(unit), wish }, generation);
    let sent = queue(node.pid, SIGNAL, number);
    assert!(sent.is_ok(), "{wish:?} to unit {unit}: {sent:?}");
}

/// Waits until the status document counts this many requests.
fn wait_counts(node: &Node, taken: u64, refused: u64) {
    let wanted = format!("\"requests\":{{\"taken\":{taken},\"refused\":{refused},");
    let head = || node.read("run/cluster-os/status.json").lines().next().unwrap_or_default().to_owned();
    wait_until(&format!("{wanted} is in {}", head()), SOON, || head().contains(&wanted));
}

#[test]
fn a_thousand_requests_at_once_lose_none() {
    need!("a_thousand_requests", kit::no_namespaces());
    let table: String = ('a'..='j').map(|name| format!("[unit.{name}]\nexec = [\"sleep\", \"1000\"]\n")).collect();
    let mut node = Plan::new("burst").table(&table).start();
    for unit in 'a'..='j' {
        node.wait_state(&unit.to_string(), "up");
    }
    // Stopped, it takes none before all are there.
    node.signal(19);
    wait_until("it is stopped", SOON, || node.fact("State").starts_with('T'));
    let wishes = [Wish::Restart, Wish::Start, Wish::Stop, Wish::Start];
    for (at, wish) in (0..1_000_u16).zip(wishes.into_iter().cycle()) {
        ask(&node, at % 10, wish, 1);
    }
    node.signal(18);
    wait_counts(&node, 1_000, 0);
    for unit in 'a'..='j' {
        wait_until(&format!("{unit} has its hundred"), SOON, || {
            node.unit(&unit.to_string()).contains("\"requests\":100,")
        });
    }
    // A unit's last request is number 990 + its place, and every fourth from the third on is a stop.
    for (place, unit) in ('a'..='j').enumerate() {
        let state = if (990 + place) % 4 == 2 { "off" } else { "up" };
        node.wait_state(&unit.to_string(), state);
    }
    node.signal(15);
    assert_eq!(node.end(), 0);
}

#[test]
fn what_is_no_request_of_this_table_is_refused() {
    need!("what_is_no_request", kit::no_namespaces());
    let node = Plan::new("stale").table(TWO).start();
    node.wait_state("b", "up");
    node.wait_state("logd", "up");
    let before = (node.unit_pid("a"), node.unit_pid("b"));
    ask(&node, 0, Wish::Stop, 2);
    wait_counts(&node, 0, 1);
    node.wait_for("out", "unable to take a request from pid 0 user 0: it was made for another unit table; nothing was changed, ask again");
    ask(&node, 3, Wish::Stop, 1);
    wait_counts(&node, 0, 2);
    assert!(node.read("run/cluster-os/status.json").contains("there is no unit number 3; nothing was changed"));
    node.signal(SIGNAL);
    wait_counts(&node, 0, 3);
    for stray in [0, 1, -1, 0x1234_5678] {
        let sent = queue(node.pid, SIGNAL, stray);
        assert!(sent.is_ok(), "{sent:?}");
    }
    wait_counts(&node, 0, 7);
    assert!(node.read("run/cluster-os/status.json").contains("its number is no request"));
    // logd is PID 1's own: the machine itself refuses.
    ask(&node, 2, Wish::Stop, 1);
    wait_counts(&node, 0, 8);
    node.wait_for("out", "pid 0 user 0 asks to stop logd");
    node.wait_for("out", "unable to stop logd: it belongs to PID 1 itself; nothing was changed");
    assert_eq!((node.unit_pid("a"), node.unit_pid("b")), before);
}

#[test]
fn a_shutdown_refuses_what_comes_after_it() {
    need!("a_shutdown_refuses", kit::no_namespaces());
    let deaf = "[unit.deaf]\nexec = [\"sh\", \"-c\", \"trap '' TERM; echo up > @/events; while :; do sleep 0.05; done\"]\nstop-timeout = \"2s\"\n";
    let mut node =
        Plan::new("late").table(&format!("{deaf}[unit.off]\nexec = [\"sleep\", \"1000\"]\nenabled = false\n")).start();
    node.wait_for("events", "up");
    node.wait_state("deaf", "up");
    node.signal(15);
    node.wait_state("deaf", "stopping");
    ask(&node, 1, Wish::Start, 1);
    wait_counts(&node, 0, 1);
    assert_eq!(node.end(), 1);
    assert!(
        node.read("out").contains("unable to start off: the node is shutting down; nothing was changed"),
        "{}",
        node.read("out")
    );
}
