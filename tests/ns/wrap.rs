//! The options of a command without a table, as tini, dumb-init and catatonit have them.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::kit::{self, INIT, Node, Plan, SOON, wait_until};
use crate::need;

/// Says every signal that it gets, and so does its child, which is in its process group.
const FAMILY: &str = "for s in HUP INT QUIT USR1 USR2 TERM 37; do trap \"echo parent $s >> @/got\" $s; done
    bash -c 'for s in HUP INT QUIT USR1 USR2 37; do trap \"echo child $s >> @/got\" $s; done
        echo $BASHPID > @/child; while :; do sleep 0.02; done' &
    while ! [ -s @/child ]; do sleep 0.02; done; echo ready >> @/got; while :; do sleep 0.02; done";

fn family(as_what: &str, options: &[&str]) -> Node {
    let words = [options, &["bash", "-c", FAMILY]].concat();
    let node = Plan::new("family").started_as(as_what).arguments(&words).start();
    node.wait_for("got", "ready");
    node
}

/// Whether the child in the group got USR1, sent to PID 1.
fn reaches_the_group(node: &Node) -> bool {
    node.signal(10);
    node.wait_for("got", "parent USR1");
    // The lower number comes first, so when this is said the other one has been, if it ever is.
    let child = node.read("child").trim().parse().ok().and_then(|inner| descendant(node.pid, inner));
    kit::kill(child.expect("the child's pid"), 12);
    node.wait_for("got", "child USR2");
    node.read("got").contains("child USR1")
}

fn descendant(of: i32, inner: i32) -> Option<i32> {
    let named = |pid: &i32| kit::fact(*pid, "NSpid").split_ascii_whitespace().last() == Some(&inner.to_string());
    kit::children(of).into_iter().find_map(|pid| if named(&pid) { Some(pid) } else { descendant(pid, inner) })
}

#[test]
fn signals_go_to_the_group_or_to_the_command_alone() {
    need!("signals_go_to_the_group", kit::no_namespaces());
    for (as_what, options, group) in [
        ("{}", &[][..], true),
        ("{}", &["-g"], true),
        ("{}", &["-c"], false),
        ("{}", &["--single-child", "--"], false),
        ("env DUMB_INIT_SETSID=0 {}", &["-s"], false),
        ("env DUMB_INIT_SETSID=0 {}", &["-sg"], true),
        ("env TINI_KILL_PROCESS_GROUP=1 TINI_SUBREAPER=1 {}", &["--"], true),
    ] {
        assert_eq!(reaches_the_group(&family(as_what, options)), group, "{as_what} {options:?}");
    }
}

#[test]
fn signals_are_rewritten_and_dropped() {
    need!("signals_are_rewritten", kit::no_namespaces());
    let node = family("{}", &["-r", "HUP:0", "-rUSR1:SIGRTMIN+3", "--rewrite", "15:2"]);
    for (signal, said) in [(1, None), (10, Some("parent 37")), (15, Some("parent INT")), (3, Some("parent QUIT"))] {
        node.signal(signal);
        if let Some(said) = said {
            node.wait_for("got", said);
        }
    }
    let got = node.read("got");
    assert!(!got.contains("HUP") && !got.contains("USR1") && !got.contains("TERM"), "{got}");
}

#[test]
fn exit_statuses_are_mapped() {
    need!("exit_statuses", kit::no_namespaces());
    for (options, script, status) in [
        (&["-e", "7", "-e3"][..], "exit 7", 0),
        (&["-e", "7", "-e3"], "exit 3", 0),
        (&["-e", "7"], "exit 8", 8),
        (&["-e143"], "kill -TERM $$", 0),
        (&["-e", "143"], "kill -HUP $$", 129),
    ] {
        let words = [options, &["sh", "-c", script]].concat();
        assert_eq!(Plan::new("status").arguments(&words).start().end(), status, "{options:?} {script}");
    }
    // docker stop
    let mut node = Plan::new("stop").arguments(&["-e", "143", "--", "sleep", "1000"]).start();
    wait_until("it sleeps", SOON, || kit::children(node.pid).iter().any(|pid| kit::fact(*pid, "Name") == "sleep"));
    node.signal(15);
    assert_eq!(node.end(), 0);
}

#[test]
fn a_deaf_command_is_killed_when_asked() {
    need!("a_deaf_command", kit::no_namespaces());
    let deaf = "trap '' TERM; echo up > @/got; while :; do sleep 0.02; done";
    let polite = "trap 'echo bye > @/bye; sleep 0.1; exit 7' INT; echo up > @/got; while :; do sleep 0.02; done";
    for (options, script, status) in [
        (&["--kill-after", "300ms"][..], deaf, 137),
        (&["-e137", "-c", "--kill-after=300ms"], deaf, 0),
        (&["-rTERM:INT", "--kill-after", "20s"], polite, 7),
    ] {
        let words = [options, &["sh", "-c", script]].concat();
        let mut node = Plan::new("limit").arguments(&words).start();
        node.wait_for("got", "up");
        let began = Instant::now();
        node.signal(15);
        assert_eq!(node.end(), status, "{options:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{options:?}: {:?}", began.elapsed());
        assert_eq!(node.read("bye").is_empty(), script == deaf);
        assert_eq!(node.read("out").contains("main"), script == deaf, "{}", node.read("out"));
    }
}

#[test]
fn a_parents_end_is_a_signal() {
    need!("a_parents_end", kit::no_namespaces());
    let script = "trap 'echo bye >> @/got; exit 0' USR1; echo up >> @/got; while :; do sleep 0.02; done";
    let node = Plan::new("orphaned").not_pid_1().arguments(&["-pUSR1", "sh", "-c", script]).start();
    node.wait_for("got", "up");
    kit::kill(node.fact("PPid").parse().expect("its parent"), 9);
    node.wait_for("got", "bye");
    wait_until("the node is gone", SOON, || !kit::lives(node.pid));
}

#[test]
fn it_says_what_it_is_asked_to_say() {
    need!("it_says_what", kit::no_namespaces());
    let (reaped, ending, passing) = ("an orphan, pid", "shutting down to exit", "passing CONT on to pid");
    for (as_what, option, said) in [
        ("{}", "-s", &[][..]),
        ("{}", "-w", &[reaped][..]),
        ("{}", "-v", &[ending]),
        ("{}", "-vv", &[reaped, ending, passing]),
        ("env DUMB_INIT_DEBUG=1 {}", "-s", &[reaped, ending, passing]),
        ("env TINI_VERBOSITY=2 {}", "-s", &[ending]),
    ] {
        let script = "(true &); echo up > @/events; while ! [ -e @/end ]; do sleep 0.02; done";
        let mut node = Plan::new("says").started_as(as_what).arguments(&[option, "sh", "-c", script]).start();
        node.wait_for("events", "up");
        wait_until("the orphan is reaped", SOON, || kit::children(node.pid).len() == 1 && kit::zombies(node.pid) == 0);
        node.signal(18);
        std::fs::write(node.dir.join("end"), "").expect("the end");
        assert_eq!(node.end(), 0);
        let out = node.read("out");
        for text in [reaped, ending, passing] {
            assert_eq!(out.contains(text), said.contains(&text), "{as_what} {option}: {out}");
        }
    }
}

#[test]
fn a_pause_reaps_until_it_is_told_to_end() {
    need!("a_pause", kit::no_namespaces());
    for signal in [15, 2] {
        let mut node = Plan::new("pause").arguments(&["-P"]).start();
        wait_until("it waits", SOON, || node.fact("State").starts_with('S') && node.fact("SigBlk").starts_with('f'));
        node.signal(1);
        node.signal(10);
        // A process that joins the namespace leaves an orphan behind.
        let target = node.pid.to_string();
        let joined = Command::new("nsenter")
            .args(["--target", &target, "--pid", "--mount", "sh", "-c", "(sleep 0.05 &)"])
            .status()
            .expect("nsenter");
        assert!(joined.success());
        wait_until("the orphan is reaped", SOON, || kit::children(node.pid).is_empty());
        node.signal(signal);
        assert_eq!(node.end(), 0);
        assert_eq!(node.read("out"), "");
    }
    assert_eq!(Plan::new("pause").arguments(&["-P", "true"]).start().end(), 64);
}

#[test]
fn a_table_takes_no_options_of_a_command() {
    need!("a_table_takes_no_options", kit::no_namespaces());
    let table = "[unit.one]\nexec = [\"sh\", \"-c\", \"echo ran > @/events; exec sleep 1000\"]\n";
    for option in ["-g", "-c", "-e7", "-rTERM:INT", "-pTERM", "-w", "-P"] {
        let mut node = Plan::new("refused").table(table).arguments(&[option]).start();
        assert_eq!(node.end(), 64, "{option}");
        let said = format!(
            "unable to use the option {} with a unit table: it is about a command without one",
            option.get(..2).expect("a letter")
        );
        assert!(node.read("out").contains(&said), "{}", node.read("out"));
        assert_eq!(node.read("events"), "");
    }
    let mut node = Plan::new("taken").table(table).arguments(&["-sv"]).start();
    node.wait_for("events", "ran");
    node.signal(15);
    assert_eq!(node.end(), 0);
}

#[test]
fn it_is_what_it_is_called() {
    let called = |name: &str| {
        let output = Command::new(INIT).arg0(name).arg("--version").output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(called("clusteros-init").starts_with("clusteros-init "), "{}", called("clusteros-init"));
    for name in ["docker-init", "/sbin/docker-init", "tini", "catatonit"] {
        assert!(called(name).starts_with("tini version ") && called(name).contains(" - git.v"), "{}", called(name));
    }
}

#[test]
fn docker_runs_it_as_its_init() {
    need!("docker_runs_it", kit::no_namespaces());
    let dir = kit::directory("docker");
    let init = dir.join("docker-init");
    std::fs::copy(INIT, &init).expect("a copy");
    let mut node = Plan::new("docker").program(&init).arguments(&["--", "sh", "-c", "exit 7"]).start();
    assert_eq!(node.end(), 7);
    std::fs::remove_dir_all(dir).expect("taken away");
}

#[test]
fn sockets_passed_to_us_are_the_commands() {
    need!("sockets_passed_to_us", kit::no_namespaces());
    for (given, script) in [
        ("LISTEN_PID=1 LISTEN_PIDFDID=5", "[ $LISTEN_PID = $$ ] && [ $LISTEN_FDS = 1 ] && [ -z \"$LISTEN_PIDFDID\" ]"),
        ("LISTEN_PID=77 LISTEN_PIDFDID=5", "[ $LISTEN_PID = 77 ] && [ $LISTEN_PIDFDID = 5 ]"),
    ] {
        let as_what = format!("env LISTEN_FDS=1 {given} {{}}");
        let mut node = Plan::new("listen").started_as(&as_what).arguments(&["sh", "-c", script]).start();
        assert_eq!(node.end(), 0, "{given}");
    }
}

#[test]
fn a_term_is_not_lost_while_the_command_is_made() {
    need!("a_term_is_not_lost", kit::no_namespaces());
    // From before the command exists until it runs.
    for step in 0..60 {
        let mut node = Plan::new("window").arguments(&["sleep", "1000"]).start();
        wait_until("signals are blocked", SOON, || node.fact("SigBlk").starts_with('f'));
        let began = Instant::now();
        let pause = Duration::from_micros(50 * step);
        while began.elapsed() < pause {
            std::hint::spin_loop();
        }
        node.signal(15);
        assert_eq!(node.end(), 143, "after {pause:?}");
    }
}

/// What a program on a terminal of its own does, and what its keys do to it.
#[test]
fn a_terminals_keys_reach_the_command() {
    let lack = Command::new("script").arg("--version").output().is_err().then_some("no script(1), of bsdutils");
    need!("a_terminals_keys", lack);
    let dir = kit::directory("terminal");
    let at = dir.display();
    let got = || std::fs::read_to_string(dir.join("got")).unwrap_or_default();
    let file = dir.join("command");
    let command = format!(
        "trap 'echo INT >> {at}/got' INT; trap 'echo CONT >> {at}/got' CONT; trap 'echo QUIT >> {at}/got; exit 6' QUIT
        echo $$ $PPID > {at}/pids; echo ready >> {at}/got; while :; do sleep 0.02; done\n"
    );
    std::fs::write(&file, command).expect("the command");
    let call = format!("{INIT} -- bash {}", file.display());
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", &call, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("script");
    let mut keys = terminal.stdin.take().expect("its keyboard");
    let mut press = |key: u8| keys.write_all(&[key]).and_then(|()| keys.flush()).expect("a key");
    wait_until("it is ready", SOON, || got().contains("ready"));
    let pids = std::fs::read_to_string(dir.join("pids")).expect("its pids");
    let pids: Vec<i32> = pids.split_ascii_whitespace().map(|pid| pid.parse().expect("a pid")).collect();
    press(3);
    wait_until("Ctrl-C reaches it", SOON, || got().contains("INT"));
    press(26);
    wait_until("Ctrl-Z stops it", SOON, || kit::fact(pids[0], "State").starts_with('T'));
    kit::kill(pids[1], 18);
    wait_until("CONT, sent to us, lets it go on", SOON, || got().contains("CONT"));
    press(28);
    wait_until("Ctrl-\\ reaches it", SOON, || got().contains("QUIT"));
    assert_eq!(terminal.wait().expect("script").code(), Some(6));
    std::fs::remove_dir_all(&dir).expect("taken away");
}
