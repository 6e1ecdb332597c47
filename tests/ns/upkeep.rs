//! What keeps a unit going, and when to stop trying.

use clusteros_init::control::request::{SIGNAL, number};
use clusteros_init::sys::signal::queue;
use clusteros_init::unit::{Request, UnitId, Wish};

use crate::kit::{self, Plan, SOON, wait_until};
use crate::renewal::{USR2, renewals};
use crate::{need, speaker};

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

/// A finish command that tells what it was told.
const TELLS: &str = "finish = [\"sh\", \"-c\", \"echo $UNIT $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS >> @/finished; id -u >> @/finished\"]\nuser = 3333\ngroup = 3333\n";

#[test]
fn a_finish_command_learns_what_happened() {
    need!("a_finish_command_learns", kit::no_namespaces());
    let table = format!(
        "[unit.bad]\nexec = [\"sh\", \"-c\", \"exit 3\"]\nrestart = \"never\"\n{TELLS}\
         [unit.good]\nexec = [\"true\"]\nrestart = \"never\"\n{TELLS}\
         [unit.shot]\nexec = [\"sh\", \"-c\", \"kill -KILL $$\"]\nrestart = \"never\"\n{TELLS}\
         [unit.late]\nexec = [\"sleep\", \"1000\"]\nready = \"notify\"\nstart-timeout = \"50ms\"\nbackoff = \"1h\"\n{TELLS}\
         [unit.stays]\nexec = [\"sleep\", \"1000\"]\n{TELLS}"
    );
    let may_write = "sh -c 'touch @/finished; chmod 666 @/finished; chmod 755 @/. && exec \"$@\"' sh {}";
    let mut node = Plan::new("finish").table(&table).started_as(may_write).start();
    for told in
        ["bad exit-code exited 3", "good success exited 0", "shot signal killed KILL", "late timeout killed TERM"]
    {
        node.wait_for("finished", &format!("{told}\n"));
    }
    node.wait_state("bad", "failed");
    node.wait_state("good", "done");
    node.wait_state("stays", "up");
    node.signal(15);
    assert_eq!(node.end(), 0);
    let told = node.read("finished");
    assert!(told.contains("stays success killed TERM"), "{told}");
    assert_eq!(told.matches("3333\n").count(), 5, "{told}");
}

#[test]
fn a_finish_command_that_hangs_is_killed() {
    need!("a_finish_command_that_hangs", kit::no_namespaces());
    let table = "[unit.a]\nexec = [\"sh\", \"-c\", \"echo run >> @/runs; sleep 1000\"]\nbackoff = \"20ms\"\n\
                 finish = [\"sh\", \"-c\", \"echo finish >> @/runs; sleep 1000\"]\nstop-timeout = \"200ms\"\n";
    let mut node = Plan::new("finish-hangs").table(table).start();
    node.wait_for("runs", "run");
    node.wait_state("a", "up");
    kit::kill(node.unit_pid("a").expect("its pid"), 9);
    node.wait_state("a", "stopping");
    node.wait_for("out", "unable to wait for the finish command of a: it is not done within 200 ms; killing it");
    node.wait_for("runs", "run\nfinish\nrun");
    node.signal(15);
    assert_eq!(node.end(), 1);
    assert_eq!(node.read("runs"), "run\nfinish\nrun\nfinish\n");
}

#[test]
fn who_is_silent_is_ended_and_who_says_that_it_lives_is_not() {
    need!("who_is_silent", kit::no_namespaces());
    let exec = speaker::exec();
    let told = "[\"sh\", \"-c\", \"echo $$ $WATCHDOG_PID $WATCHDOG_USEC > @/told; exec sleep 1000\"]";
    let table = format!(
        "[unit.silent]\nexec = {exec}\nready = \"notify\"\nwatchdog = \"400ms\"\nenv = {{ SPEAK = \"READY=1\" }}\nbackoff = \"1h\"\n\
         [unit.lives]\nexec = {exec}\nwatchdog = \"2s\"\nenv = {{ SPEAK = \"STATUS=well\", SPEAK_EVERY = \"50\" }}\n\
         [unit.asks]\nexec = {exec}\nready = \"notify\"\nenv = {{ SPEAK = \"READY=1\\nWATCHDOG=trigger\" }}\nbackoff = \"1h\"\n\
         [unit.told]\nexec = {told}\nwatchdog = \"1h\"\n\
         [unit.other]\nexec = [\"sh\", \"-c\", \"env > @/env; exec sleep 1000\"]\n"
    );
    let node = Plan::new("watchdog").table(&table).started_as("env WATCHDOG_USEC=1 WATCHDOG_PID=1 {}").start();
    node.wait_for("out", "unable to keep up silent: it sent no WATCHDOG=1 for 400 ms; ending it with SIGABRT");
    node.wait_state("silent", "backoff");
    assert!(node.unit("silent").contains("signal ABRT"), "{}", node.unit("silent"));
    node.wait_for("out", "unable to keep up asks: it asked for its end (WATCHDOG=trigger); ending it with SIGABRT");
    node.wait_for("told", "3600000000");
    let told = node.read("told");
    let words: Vec<&str> = told.split_whitespace().collect();
    assert_eq!(words.first(), words.get(1), "{told}");
    node.wait_for("env", "PATH=");
    assert!(!node.read("env").contains("WATCHDOG"), "{}", node.read("env"));
    // Longer than it could be silent.
    let up = std::time::Instant::now();
    wait_until("it was up for longer than it may be silent", SOON, || up.elapsed().as_millis() > 2_500);
    assert!(node.unit("lives").contains("\"restarts\":0"), "{}", node.unit("lives"));
    node.wait_state("lives", "up");
}

#[test]
fn a_newline_on_a_descriptor_is_readiness() {
    need!("a_newline_on_a_descriptor", kit::no_namespaces());
    let fd = |number: u8, what: &str| {
        format!("exec = [\"bash\", \"-c\", \"{what}\"]\nready = \"fd:{number}\"\nbackoff = \"1h\"\n")
    };
    let waits = "until [ -e @/go ]; do sleep 0.02; done; echo >&3; echo more >&3; exec sleep 1000";
    let table = format!(
        "[unit.low]\n{}[unit.high]\n{}[unit.every]\n{}[unit.closes]\n{}[unit.loud]\n{}[unit.bare]\nexec = [\"sh\", \"-c\", \"ls /proc/self/fd > @/bare; exec sleep 1000\"]\n",
        fd(3, &format!("trap '' PIPE; {waits}")),
        fd(255, "echo >&255; exec sleep 1000"),
        fd(77, "echo some text >&77; exec sleep 1000"),
        fd(5, "exec 5>&-; exec sleep 1000"),
        fd(4, "head -c 100000 /dev/zero >&4; exec sleep 1000"),
    );
    let node = Plan::new("fd").table(&table).start();
    node.wait_state("high", "up");
    node.wait_state("every", "up");
    node.wait_for("out", "unable to learn whether loud is ready: 4096 bytes and no newline in them");
    node.wait_state("low", "starting");
    // Another program of ours goes on listening.
    node.signal(USR2);
    wait_until("it went on", SOON, || renewals(&node).0 == 1);
    std::fs::write(node.dir.join("go"), "").expect("the sign");
    node.wait_state("low", "up");
    node.wait_state("closes", "starting");
    // It died of what nobody read, or not: it never counted as ready.
    assert!(node.unit("loud").contains("\"ready_ms\":null"), "{}", node.unit("loud"));
    // Nobody else has such a descriptor, and the node has let go of its own.
    node.wait_for("bare", "2");
    assert_eq!(node.read("bare").split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"], "3 is that of ls");
    let highest = node.unit_pid("high").expect("its pid");
    let open = std::fs::read_dir(format!("/proc/{highest}/fd")).expect("its descriptors");
    let mut open: Vec<String> = open.flatten().map(|entry| entry.file_name().display().to_string()).collect();
    open.sort();
    assert_eq!(open, ["0", "1", "2", "255"]);
}

#[test]
fn a_probe_makes_ready_and_does_not_outlive_its_unit() {
    need!("a_probe_makes_ready", kit::no_namespaces());
    let table = "[unit.a]\nexec = [\"sleep\", \"1000\"]\nuser = 3333\ngroup = 3333\nenv = { OWN = \"x\" }\n\
                 ready = { probe = [\"sh\", \"-c\", \"echo probed $OWN $(id -u); test -e @/go\"], every = \"20ms\" }\n\
                 [unit.after]\nexec = [\"sleep\", \"1000\"]\nneeds = [\"a\"]\n\
                 [unit.hangs]\nexec = [\"sleep\", \"1000\"]\nready = { probe = [\"sh\", \"-c\", \"echo $$ > @/probe; exec sleep 1000\"] }\n\
                 [unit.absent]\nexec = [\"sleep\", \"1000\"]\nready = { probe = [\"/no/such\"], every = \"20ms\" }\n";
    let mut node = Plan::new("probe").table(table).start();
    node.wait_for("log/cluster-os/a.log", "probed x 3333");
    node.wait_state("a", "starting");
    node.wait_state("after", "waiting");
    std::fs::write(node.dir.join("go"), "").expect("the sign");
    node.wait_state("a", "up");
    node.wait_state("after", "up");
    assert!(node.unit("a").contains("\"restarts\":0"), "{}", node.unit("a"));
    node.wait_for("out", "unable to run the probe of absent: its program could not be executed: ");
    assert_eq!(node.read("out").matches("unable to run the probe of absent").count(), 1);
    // A probe that hangs is killed, and another one comes.
    node.wait_for("probe", "\n");
    let first = node.read("probe");
    node.wait_for("out", "unable to wait for the probe of hangs: it is not done within 5 s; killing it");
    wait_until("there is another one", SOON, || node.read("probe") != first && node.read("probe").ends_with('\n'));
    let pid = node.outer_pid(node.read("probe").trim().parse().expect("a pid")).expect("the probe");
    kit::kill(node.unit_pid("hangs").expect("its pid"), 9);
    wait_until("the probe has gone with its unit", SOON, || !kit::lives(pid));
    node.signal(15);
    assert_eq!(node.end(), 0);
}
