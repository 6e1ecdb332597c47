//! `initctl` called `systemctl` and `journalctl`, on a node with a real PID 1, from outside and from inside.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::kit::{self, Node, Plan, SOON, wait_until};
use crate::need;

/// Exit code, standard output, standard error.
type Said = (Option<i32>, String, String);

fn said(command: &mut Command) -> Said {
    let output = command.output().expect("initctl");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Asks from outside; the words of `line` are parted by spaces.
fn ask(node: &Node, line: &str) -> Said {
    let mut words = line.split(' ');
    let program = words.next().unwrap_or_default();
    said(Command::new(env!("CARGO_BIN_EXE_initctl")).arg0(program).args(words).arg(format!("--pid={}", node.pid)))
}

fn plain(code: i32, out: &str) -> Said {
    (Some(code), out.to_owned(), String::new())
}

fn error(program: &str, code: i32, text: &str) -> Said {
    (Some(code), String::new(), format!("{program}: error: {text}\n"))
}

#[test]
fn hands_that_know_systemd_find_their_way() {
    need!("hands_that_know_systemd", kit::no_namespaces());
    let web = "exec 2>/dev/null; trap 'echo bye; exit' TERM; echo hello; while :; do sleep 0.02; done";
    let table = format!(
        "[unit.web]\ndescription = \"what people see\"\nexec = [\"sh\", \"-c\", \"{web}\"]\n\
         [unit.job]\ntype = \"oneshot\"\nexec = [\"true\"]\n\
         [unit.slow]\nexec = [\"sleep\", \"1000\"]\nready = \"notify\"\nneeds = [\"job\"]\n\
         [unit.config]\nexec = [\"sh\", \"-c\", \"exit 78\"]\npermanent-exit = [78]\nready = \"notify\"\nenabled = false\n"
    );
    let node = Plan::new("habits").table(&table).start();
    for (unit, state) in [("web", "up"), ("job", "done"), ("slow", "starting"), ("logd", "up")] {
        node.wait_state(unit, state);
    }
    let ask = |line: &str| ask(&node, line);
    assert_eq!(ask("systemctl is-active web.service"), plain(0, "active\n"));
    assert_eq!(ask("systemctl is-active job slow config"), plain(0, "active\nactivating\ninactive\n"));
    assert_eq!(ask("systemctl is-active slow"), plain(3, "activating\n"));
    assert_eq!(ask("systemctl is-enabled config web logd"), plain(0, "disabled\nenabled\nstatic\n"));
    assert_eq!(ask("systemctl is-system-running"), plain(1, "starting\n"));

    // Stop, start and restart wait, and say nothing.
    let before = node.unit_pid("web").expect("its pid");
    assert_eq!(ask("systemctl stop web.service"), plain(0, ""));
    assert!(!kit::lives(before));
    assert_eq!(ask("systemctl stop web"), plain(0, ""));
    assert_eq!(ask("systemctl --quiet is-active web"), plain(3, ""));
    assert_eq!(ask("systemctl try-restart web"), plain(0, ""));
    assert_eq!(ask("systemctl is-active web"), plain(3, "inactive\n"));
    assert_eq!(ask("systemctl start web.service job.service"), plain(0, ""));
    let now = node.unit_pid("web");
    assert_eq!(ask("systemctl restart web"), plain(0, ""));
    assert!(node.unit_pid("web").is_some_and(|pid| Some(pid) != now));

    // What fails is said, and what is not there is another code for each question.
    assert_eq!(
        ask("systemctl start config"),
        error(
            "systemctl",
            1,
            "unable to start config: it exited with status 78 before it was ready; it is not tried again"
        )
    );
    assert_eq!(ask("systemctl is-failed config.service"), plain(0, "failed\n"));
    assert_eq!(ask("systemctl is-system-running"), plain(1, "degraded\n"));
    let none = "unable to find a unit called \"wbe.service\": the table has none; did you mean \"web\"?";
    assert_eq!(ask("systemctl start wbe.service"), error("systemctl", 5, none));
    assert_eq!(ask("systemctl status wbe.service"), error("systemctl", 4, none));
    assert_eq!(ask("systemctl is-active wbe.service"), plain(4, "inactive\n"));
    assert_eq!(
        ask("systemctl reload web"),
        error("systemctl", 1, "unable to reload web: it has no reload-signal; nothing was changed")
    );

    // What is told is what is so.
    let shown = ask("systemctl show -p MainPID -p NRestarts -p ExecMainStatus -p UnitFileState --value web config");
    let pid = node
        .unit("web")
        .split("\"pid\":")
        .nth(1)
        .and_then(|rest| rest.split(',').next())
        .unwrap_or_default()
        .to_owned();
    assert!(shown.1.starts_with(&format!("{pid}\n")) && shown.1.ends_with("\n78\ndisabled\n"), "{shown:?}");
    let (code, page, _) = ask("systemctl status config");
    assert_eq!(code, Some(3));
    assert!(
        page.contains("Active: failed (Result: exit-code) since ") && page.contains("(code=exited, status=78)"),
        "{page}"
    );
    let (code, page, _) = ask("systemctl --no-pager status web");
    assert_eq!(code, Some(0));
    let loaded =
        format!("● web.service - what people see\n     Loaded: loaded ({}/units.toml; enabled)\n", node.dir.display());
    assert!(
        page.starts_with(&loaded) && page.contains(&format!("Main PID: {pid}\n")) && page.ends_with("Z hello\n"),
        "{page}"
    );
    let part = format!("# {}/units.toml\n[unit.job]\ntype = \"oneshot\"\nexec = [\"true\"]\n", node.dir.display());
    assert_eq!(ask("systemctl cat job.service"), plain(0, &part));

    // Its lines, and those of one run alone.
    assert_eq!(ask("journalctl -u web.service -o cat"), plain(0, "hello\nbye\nhello\nbye\nhello\n"));
    assert_eq!(ask("journalctl -u web -o cat -b -n 1"), plain(0, "hello\n"));
    assert_eq!(ask("journalctl -u slow --no-pager"), plain(0, "-- No entries --\n"));
    assert!(ask("journalctl -u init --since -1h").1.contains("asks to restart web"));

    // Another table.
    fs::write(node.dir.join("units.toml"), table.replace("what people see", "a web page")).expect("written");
    let (code, _, warned) = ask("systemctl cat web");
    assert!(code == Some(0) && warned.contains("units.toml was changed since PID 1 read it"), "{warned}");
    assert_eq!(ask("systemctl daemon-reload").0, Some(0));
    assert_eq!(ask("systemctl show -P Description web"), plain(0, "a web page\n"));
}

#[test]
fn their_names_are_links_and_a_stranger_may_look() {
    need!("their_names_are_links", kit::no_namespaces());
    let mut node = Plan::new("links").table("[unit.node-agent]\nexec = [\"sleep\", \"1000\"]\n").start();
    node.wait_state("node-agent", "up");
    let place = kit::directory("habits");
    fs::copy(env!("CARGO_BIN_EXE_initctl"), place.join("initctl")).expect("a copy");
    for name in ["systemctl", "journalctl"] {
        fs::hard_link(place.join("initctl"), place.join(name)).expect("a link");
    }
    let pid = node.pid.to_string();
    let inside = |before: &[&str], line: &str| {
        let (program, words) = line.split_once(' ').unwrap_or((line, ""));
        let mut command = Command::new("nsenter");
        said(
            command
                .args(["--target", &pid, "--pid", "--mount"])
                .args(before)
                .arg(place.join(program))
                .args(words.split(' ')),
        )
    };
    assert_eq!(inside(&[], "systemctl is-active node-agent.service"), plain(0, "active\n"));
    assert_eq!(inside(&[], "systemctl is-system-running"), plain(0, "running\n"));
    wait_until("PID 1's lines are kept", SOON, || {
        inside(&[], "journalctl -u init -o cat").1.contains("node-agent is up")
    });

    let stranger = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let lack = Command::new("setpriv").arg("--version").output().is_err().then_some("no setpriv(1)");
    if lack.is_none() {
        assert_eq!(inside(&stranger, "systemctl is-active node-agent"), plain(0, "active\n"));
        let (code, out, err) = inside(&stranger, "systemctl stop node-agent");
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert!(
            err.starts_with("systemctl: error: unable to ask process 1 ") && err.contains("not permitted"),
            "{err}"
        );
        assert_eq!(inside(&[], "systemctl is-active node-agent"), plain(0, "active\n"));
    }
    assert_eq!(ask(&node, "systemctl poweroff"), plain(0, ""));
    assert_eq!(node.end(), 0);
    drop(fs::remove_dir_all(place));
    need!("a_stranger_may_look", lack);
}
