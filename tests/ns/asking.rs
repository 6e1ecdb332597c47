//! `initctl start`, `stop`, `restart` and `shutdown` on a node that it sees from outside, and from inside.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::kit::{self, Node, Plan, SOON, wait_until};
use crate::need;
use crate::person::initctl;

/// Exit code, standard output, standard error.
type Said = (Option<i32>, String, String);

fn ask(node: &Node, words: &[&str]) -> Said {
    let pid = node.pid.to_string();
    initctl(&[words, &["--pid", &pid]].concat())
}

fn quiet(code: i32, out: &str) -> Said {
    (Some(code), out.to_owned(), String::new())
}

fn error(code: i32, err: &str) -> Said {
    (Some(code), String::new(), format!("initctl: error: {err}\n"))
}

/// The line that a wait for `unit` prints.
fn up(node: &Node, unit: &str) -> String {
    let line = node.unit(unit);
    let pid = line.split("\"pid\":").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_default();
    format!("{unit} is up (pid {pid})\n")
}

#[test]
fn a_person_starts_stops_and_restarts() {
    need!("a_person_starts", kit::no_namespaces());
    let table = "[unit.web]\nexec = [\"sh\", \"-c\", \"trap 'sleep 0.3; exit' TERM; echo up >> @/events; while :; do sleep 0.02; done\"]\n\
                 [unit.side]\nexec = [\"sleep\", \"1000\"]\nbinds = [\"web\"]\n";
    let mut node = Plan::new("person").table(table).start();
    node.wait_state("side", "up");
    node.wait_state("logd", "up");
    let before = node.unit_pid("web").expect("its pid");
    let side = node.unit_pid("side").expect("its pid");

    assert_eq!(ask(&node, &["stop", "web", "--wait"]), quiet(0, "web is off\n"));
    assert!(!kit::lives(before));
    node.wait_state("side", "waiting");
    assert!(!kit::lives(side));
    // Again: it is off already.
    assert_eq!(ask(&node, &["stop", "web", "--wait"]), quiet(0, "web is off\n"));

    // What waits for it is not up before it: a wait has its limit, and the request stands.
    assert_eq!(
        ask(&node, &["start", "side", "--wait=1"]),
        error(1, "unable to start side within 1s: it is waiting for web (off); the request stands")
    );

    let said = ask(&node, &["start", "web", "side", "--wait"]);
    assert_eq!((said.0, said.2.as_str()), (Some(0), ""), "{said:?}");
    assert!(said.1.contains(&up(&node, "web")) && said.1.contains(&up(&node, "side")), "{said:?}");
    assert_ne!(node.unit_pid("web"), Some(before));
    // It is up: nothing is started again.
    let now = node.unit_pid("web");
    assert_eq!(ask(&node, &["start", "web", "--wait"]), quiet(0, &up(&node, "web")));
    assert_eq!(node.unit_pid("web"), now);

    let said = ask(&node, &["restart", "web", "--wait"]);
    assert_eq!(said, quiet(0, &up(&node, "web")));
    assert!(node.unit_pid("web").is_some_and(|pid| Some(pid) != now));
    // Without a wait, the answer comes while it still stops.
    let began = Instant::now();
    assert_eq!(ask(&node, &["restart", "web"]), quiet(0, ""));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    node.wait_for("out", "pid 0 user 0 asks to restart web");

    assert_eq!(
        ask(&node, &["stop", "side", "wbe"]),
        error(64, "unable to find a unit called \"wbe\": the table has none; did you mean \"web\"?")
    );
    assert!(!node.read("out").contains("asks to stop side"));
    assert_eq!(
        ask(&node, &["stop", "logd"]),
        error(1, "unable to stop logd: it belongs to PID 1 itself; nothing was changed")
    );
    assert_eq!(ask(&node, &["shutdown"]), quiet(0, ""));
    assert_eq!(node.end(), 0);
    assert!(node.read("out").contains("pid 0 user 0 asks to shut down (RTMIN+4)"), "{}", node.read("out"));
}

#[test]
fn a_wait_tells_a_failure() {
    need!("a_wait_tells_a_failure", kit::no_namespaces());
    let table = "[unit.crash]\nexec = [\"sh\", \"-c\", \"exit 3\"]\nready = \"notify\"\nenabled = false\n\
                 [unit.config]\nexec = [\"sh\", \"-c\", \"exit 78\"]\npermanent-exit = [78]\nready = \"notify\"\nenabled = false\n\
                 [unit.job]\ntype = \"oneshot\"\nexec = [\"sh\", \"-c\", \"echo x >> @/jobs\"]\n\
                 [unit.skipped]\nexec = [\"sleep\", \"9\"]\nwhen = { env = \"NOT_THERE\" }\n";
    let node = Plan::new("failure").table(table).start();
    node.wait_state("job", "done");
    let (code, out, err) = ask(&node, &["start", "crash", "--wait"]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(
        err.starts_with(
            "initctl: error: unable to start crash: it exited with status 3 before it was ready; again in "
        ),
        "{err}"
    );
    assert_eq!(
        ask(&node, &["start", "config", "--wait"]),
        error(1, "unable to start config: it exited with status 78 before it was ready; it is not tried again")
    );
    node.wait_for("out", "permanent-exit says so; `initctl start config` tries again");
    assert_eq!(
        ask(&node, &["start", "skipped"]),
        error(1, "unable to start skipped: its `when` does not hold; nothing was changed")
    );
    assert_eq!(ask(&node, &["restart", "job", "--wait"]), quiet(0, "job is done\n"));
    assert_eq!(node.read("jobs"), "x\nx\n");
    assert_eq!(ask(&node, &["stop", "crash", "--wait"]), quiet(0, "crash is off\n"));
}

#[test]
fn from_inside_the_log_says_who_and_a_stranger_asks_nothing() {
    need!("from_inside", kit::no_namespaces());
    let node = Plan::new("inside").table("[unit.web]\nexec = [\"sleep\", \"1000\"]\n").start();
    node.wait_state("web", "up");
    node.wait_state("logd", "up");
    // Where a stranger may execute it.
    let copy = std::env::temp_dir().join(format!("initctl-inside-{}", std::process::id()));
    std::fs::copy(env!("CARGO_BIN_EXE_initctl"), &copy).expect("a copy");
    let inside = |before: &[&str], words: &[&str]| {
        let pid = node.pid.to_string();
        let output = Command::new("nsenter")
            .args(["--target", &pid, "--pid", "--mount"])
            .args(before)
            .arg(&copy)
            .args(words)
            .output()
            .expect("nsenter");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let before = node.unit_pid("web");
    assert_eq!(inside(&[], &["restart", "web", "--wait"]), (Some(0), String::new()));
    assert_ne!(node.unit_pid("web"), before);
    wait_until("the log says who", SOON, || {
        let out = node.read("out");
        let line = out.lines().find(|line| line.ends_with("asks to restart web")).unwrap_or_default().to_owned();
        line.contains(" user 0 asks") && line.contains("info: pid ") && !line.contains("info: pid 0 ")
    });
    let stranger = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let lack = Command::new("setpriv").arg("--version").output().is_err().then_some("no setpriv(1)");
    if lack.is_none() {
        let before = node.unit_pid("web");
        let refused = |what: &str, next: &str| {
            let text = format!("initctl: error: unable to ask process 1 for {what}: operation not permitted; {next}\n");
            (Some(1), text)
        };
        assert_eq!(inside(&stranger, &["stop", "web"]), refused("its status", "nothing was asked"));
        assert_eq!(inside(&stranger, &["reboot"]), refused("a shutdown", "try as root"));
        // Nor by the signal itself.
        let number = clusteros_init::control::request::SIGNAL.to_string();
        let sent = Command::new("setpriv")
            .args(&stranger[1..])
            .args(["sh", "-c", &format!("kill -{number} {}", node.pid)])
            .output()
            .expect("setpriv");
        assert!(!sent.status.success());
        assert_eq!(inside(&[], &["start", "web"]), (Some(0), String::new()));
        assert_eq!(node.unit_pid("web"), before);
        assert!(node.unit("web").contains("\"requests\":2,"), "{}", node.unit("web"));
        assert!(node.read("run/cluster-os/status.json").contains("\"refused\":0,"));
    }
    drop(std::fs::remove_file(&copy));
    need!("a_stranger_asks_nothing", lack);
}

#[test]
fn a_reader_that_has_seen_enough_changes_no_exit_code() {
    need!("a_reader_that_has_seen_enough", kit::no_namespaces());
    let table = "[unit.web]\nexec = [\"sleep\", \"1000\"]\n[unit.bad]\nexec = [\"false\"]\nrestart = \"never\"\n";
    let node = Plan::new("enough").table(table).start();
    node.wait_state("web", "up");
    node.wait_state("bad", "failed");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_initctl"))
        .args(["restart", "web", "bad", "--wait", "--pid", &node.pid.to_string()])
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .expect("initctl");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.starts_with("initctl: error: unable to restart bad: ") && err.lines().count() == 1, "{err}");
}

#[test]
fn a_full_queue_is_waited_for() {
    need!("a_full_queue", kit::no_namespaces());
    need!("a_full_queue", Command::new("prlimit").arg("--version").output().is_err().then_some("no prlimit(1)"));
    // Where nothing may be queued, every queue is full; USR1 comes through, as it needs no place in it.
    let node = Plan::new("full")
        .table("[unit.web]\nexec = [\"sleep\", \"1000\"]\n")
        .started_as("prlimit --sigpending=0: {}")
        .start();
    node.wait_state("web", "up");
    node.wait_state("logd", "up");
    let pid = node.pid.to_string();
    let mut child = Command::new(env!("CARGO_BIN_EXE_initctl"))
        .args(["restart", "web", "--wait", "--pid", &pid])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("initctl");
    let mut line = String::new();
    let mut said = BufReader::new(child.stderr.take().expect("piped"));
    said.read_line(&mut line).expect("a line");
    assert_eq!(line, format!("initctl: warning: the signal queue of process {pid} is full; waiting for room for 5s\n"));
    let room = Command::new("prlimit").args(["--pid", &pid, "--sigpending=1000:"]).status().expect("prlimit");
    assert!(room.success());
    let output = child.wait_with_output().expect("initctl");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout), up(&node, "web"));
}

#[test]
fn a_renewal_that_is_asked_for_is_waited_for() {
    need!("a_renewal_that_is_asked_for", kit::no_namespaces());
    let node = Plan::new("reexec").table("[unit.web]\nexec = [\"sleep\", \"1000\"]\n").start();
    node.wait_state("web", "up");
    let pid = node.pid.to_string();
    let ask = || Command::new(env!("CARGO_BIN_EXE_initctl")).args(["reexec", "--pid", &pid]).output().expect("initctl");
    let output = ask();
    let expected = concat!("went on as clusteros-init ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()), (Some(0), expected));
    node.signal(15);
    node.wait_for("out", "going to exit");
}
