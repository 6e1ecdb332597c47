//! A command and no table: the command's status is ours, and what we were given is what it gets.

use std::process::Stdio;

use crate::kit::{self, Plan, SOON, wait_until};
use crate::need;

fn status_of(name: &str, words: &[&str]) -> i32 {
    Plan::new(name).arguments(words).start().end()
}

#[test]
fn its_status_is_ours() {
    need!("its_status_is_ours", kit::no_namespaces());
    for (words, status) in [
        (&["--", "true"][..], 0),
        (&["sh", "-c", "exit 7"], 7),
        (&["sh", "-c", "kill -9 $$"], 137),
        (&["sh", "-c", "kill -15 $$"], 143),
        (&["no-such-program"], 127),
        (&["/no/such/program"], 127),
        (&["/etc/passwd"], 126),
        (&["/etc"], 126),
        (&["--nonsense", "true"], 64),
        (&["--version"], 0),
        (&["--help"], 0),
    ] {
        assert_eq!(status_of("status", words), status, "{words:?}");
    }
}

#[test]
fn nothing_to_do_is_a_configuration_error() {
    need!("nothing_to_do", kit::no_namespaces());
    let mut node = Plan::new("nothing").start();
    assert_eq!(node.end(), 78);
    assert!(node.read("out").contains("unable to find anything to do"), "{}", node.read("out"));
}

#[test]
fn a_wrapped_command_is_all_that_speaks() {
    need!("a_wrapped_command_is_all_that_speaks", kit::no_namespaces());
    let mut node = Plan::new("quiet").arguments(&["echo", "a  b"]).start();
    assert_eq!(node.end(), 0);
    assert_eq!(node.read("out"), "a  b\n");
}

#[test]
fn it_gets_the_mask_and_the_ignored_signals_that_we_were_given() {
    need!("it_gets_the_mask", kit::no_namespaces());
    for (as_what, key, wanted) in [
        ("env --block-signal=TERM,USR1,CHLD {}", "SigBlk", 0x1_4200),
        ("env --ignore-signal=PIPE,HUP,CHLD {}", "SigIgn", 0x1_1001),
        ("env --default-signal=PIPE {}", "SigIgn", 0),
        ("{}", "SigBlk", 0),
    ] {
        let node = Plan::new("entry").started_as(as_what).arguments(&["sleep", "1000"]).start();
        let mut found = 0;
        wait_until(&format!("{as_what} sleeps"), SOON, || {
            let child = kit::children(node.pid).first().copied().unwrap_or(0);
            // Rust's posix_spawn starts every program with 32 and 33 ignored.
            found = u64::from_str_radix(&kit::fact(child, key), 16).unwrap_or(0) & !0x1_8000_0000;
            kit::fact(child, "Name") == "sleep"
        });
        assert_eq!(found, wanted, "{as_what}");
    }
}

#[test]
fn odd_starts_do_no_harm() {
    need!("odd_starts_do_no_harm", kit::no_namespaces());
    for as_what in
        ["{} <&- >&- 2>&-", "{} <&-", "env --ignore-signal=CHLD {}", "env --block-signal {}", "env --ignore-signal {}"]
    {
        let mut node = Plan::new("odd").started_as(as_what).arguments(&["sh", "-c", "exit 9"]).start();
        assert_eq!(node.end(), 9, "{as_what}");
    }
}

#[test]
fn closed_descriptors_are_filled_before_any_is_made() {
    need!("closed_descriptors", kit::no_namespaces());
    let call = ["sh", "-c", "readlink /proc/self/fd/0 /proc/self/fd/2 > @/fds; sleep 1000"];
    let node = Plan::new("closed").started_as("{} <&- 2>&-").arguments(&call).start();
    node.wait_for("fds", "/dev/null\n/dev/null\n");
}

#[test]
fn it_is_no_pid_1_and_still_reaps() {
    need!("it_is_no_pid_1", kit::no_namespaces());
    let call = ["sh", "-c", "(sleep 0.2 &) ; sleep 0.1; exit 5"];
    let mut node = Plan::new("subreaper").not_pid_1().arguments(&call).start();
    assert_eq!(node.end(), 5);
}

#[test]
fn every_signal_is_the_commands() {
    need!("every_signal_is_the_commands", kit::no_namespaces());
    let script = "for s in HUP INT QUIT USR1 USR2 TERM PWR 37; do trap \"echo $s >> @/got\" $s; done; echo ready > @/got; while :; do sleep 0.05; done";
    let node = Plan::new("forward").arguments(&["bash", "-c", script]).start();
    node.wait_for("got", "ready");
    for (signal, name) in
        [(1, "HUP"), (2, "INT"), (3, "QUIT"), (10, "USR1"), (12, "USR2"), (15, "TERM"), (30, "PWR"), (37, "37")]
    {
        node.signal(signal);
        node.wait_for("got", name);
    }
}

#[test]
fn a_term_is_kept_from_the_moment_that_signals_are_blocked() {
    need!("a_term_is_kept", kit::no_namespaces());
    for _ in 0..20 {
        let mut node = Plan::new("early").arguments(&["sleep", "1000"]).start();
        // That this is the first instruction of all is seen in the program itself, by rung build of tests/run.sh. Within
        // exec, before it, the kernel throws a signal to a PID 1 away, and nobody can help that.
        wait_until("signals are blocked", SOON, || node.fact("SigBlk").starts_with('f'));
        node.signal(15);
        assert_eq!(node.end(), 143);
    }
}

#[test]
fn orphans_get_a_term_and_a_bounded_grace() {
    need!("orphans_get_a_term", kit::no_namespaces());
    let polite = "trap 'sleep 0.3; echo polite >> @/got; exit' TERM; echo up >> @/got; while :; do sleep 0.05; done";
    let call = format!("(setsid sh -c \"{polite}\" &); while ! grep -q up @/got; do sleep 0.02; done; exit 3");
    let mut node = Plan::new("orphans").arguments(&["sh", "-c", &call]).start();
    assert_eq!(node.end(), 3);
    assert!(node.read("got").contains("polite"), "{}", node.read("got"));

    let deaf = "trap '' TERM; echo up >> @/got; exec sleep 1000";
    let call = format!("(setsid sh -c \"{deaf}\" &); while ! grep -q up @/got; do sleep 0.02; done; exit 4");
    let began = std::time::Instant::now();
    let mut node = Plan::new("deaf").arguments(&["sh", "-c", &call]).start();
    assert_eq!(node.end(), 4);
    assert!(began.elapsed().as_secs() < 9, "{:?}", began.elapsed());
}

#[test]
fn without_proc_it_ends_as_fast() {
    need!("without_proc", kit::no_namespaces());
    for (script, status) in
        [("exit 3", 3), ("(setsid sleep 1000 &) ; exit 4", 4), ("(setsid sh -c 'sleep 0.2' &) ; exit 5", 5)]
    {
        let began = std::time::Instant::now();
        let mut node = Plan::new("procless").without_proc().arguments(&["sh", "-c", script]).start();
        assert_eq!(node.end(), status, "{script}");
        assert!(began.elapsed().as_secs() < 4, "{script}: {:?}", began.elapsed());
    }
}

#[test]
fn a_full_stderr_stalls_nothing() {
    need!("a_full_stderr", kit::no_namespaces());
    // The pipe holds 65,536 bytes and nobody reads; our own error finds no room.
    let fill = "sh -c 'dd if=/dev/zero bs=65536 count=1 status=none && exec \"$@\" 2>&1' sh {}";
    let mut node = Plan::new("full").output(Stdio::piped()).started_as(fill).arguments(&["no-such-program"]).start();
    assert_eq!(node.end(), 127);
}
