//! What keeps a unit going, and when to stop trying.

use clusteros_init::control::request::{SIGNAL, number};
use clusteros_init::sys::signal::queue;
use clusteros_init::unit::{Request, UnitId, Wish};

use crate::kit::{self, Plan};
use crate::need;

#[test]
fn giving_up_leaves_the_others_alone() {
    need!("giving_up_leaves", kit::no_namespaces());
    let table = "[unit.crash]\nexec = [\"sh\", \"-c\", \"echo run >> @/runs; exit 7\"]\nbackoff = \"20ms\"\n\
                 give-up = { after = 3 }\n[unit.other]\nexec = [\"sleep\", \"1000\"]\n";
    let node = Plan::new("gave-up").table(table).start();
    node.wait_state("crash", "failed");
    assert!(
        node.unit("crash").contains("gave up after 3 failures in 5m: it exited with status 7"),
        "{}",
        node.unit("crash")
    );
    assert_eq!(node.read("runs").lines().count(), 3);
    node.wait_state("other", "up");
    // Asked to try again, it counts anew.
    let sent = queue(node.pid, SIGNAL, number(Request { unit: UnitId(0), wish: Wish::Start }, 1));
    assert!(sent.is_ok(), "{sent:?}");
    node.wait_for("runs", &"run\n".repeat(6));
    node.wait_state("crash", "failed");
    assert_eq!(node.read("runs").lines().count(), 6);
}

#[test]
fn giving_up_ends_the_container_with_the_status_of_who_gave_up() {
    need!("giving_up_ends", kit::no_namespaces());
    for (what, arguments, then, status) in [
        ("exit 9", &[][..], "shutdown", 9),
        ("kill -SEGV $$", &[], "reboot", 139),
        ("exit 0", &[], "shutdown", 1),
        ("exit 9", &["--", "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.02; done"], "shutdown", 9),
    ] {
        let table = format!(
            "[unit.crash]\nexec = [\"sh\", \"-c\", \"{what}\"]\nbackoff = \"20ms\"\ngive-up = {{ after = 2, then = \"{then}\" }}\n\
             [unit.other]\nexec = [\"sleep\", \"1000\"]\n"
        );
        let mut node = Plan::new("gave-up-all").table(&table).arguments(arguments).start();
        assert_eq!(node.end(), status, "{what} {arguments:?}: {}", node.read("out"));
    }
}

#[test]
fn a_reload_signal_and_rewritten_signals_arrive() {
    need!("a_reload_signal", kit::no_namespaces());
    let table = "[unit.a]\nexec = [\"sh\", \"-c\", \"trap 'echo heard HUP' HUP; trap 'echo heard USR1' USR1; \
                 trap 'echo heard WINCH' WINCH; trap 'echo heard URG' URG; echo listens; while :; do sleep 0.02; done\"]\n\
                 reload-signal = \"HUP\"\nforward = [\"WINCH\", \"URG\", \"RTMIN+9\"]\nrewrite = { WINCH = \"USR1\", RTMIN+9 = \"drop\" }\n"
        .replace("RTMIN+9 =", "\"RTMIN+9\" =");
    let node = Plan::new("reload-signal").table(&table).start();
    node.wait_for("out", "| listens");
    node.wait_state("a", "up");
    let sent = queue(node.pid, SIGNAL, number(Request { unit: UnitId(0), wish: Wish::Reload }, 1));
    assert!(sent.is_ok(), "{sent:?}");
    node.wait_for("out", "heard HUP");
    node.wait_for("out", "a was sent its reload-signal, HUP");
    for signal in [28, 43, 23] {
        node.signal(signal);
    }
    // RTMIN+9 would have ended it.
    node.wait_for("out", "heard USR1");
    node.wait_for("out", "heard URG");
    node.wait_state("a", "up");
    assert!(!node.read("out").contains("heard WINCH"), "{}", node.read("out"));
    assert!(node.unit("a").contains("\"restarts\":0"), "{}", node.unit("a"));
}
