//! Another table in the place of the running one, in a real PID 1.

use std::fs;

use crate::kit::{self, Node, Plan, SOON, wait_until};
use crate::need;

const HUP: i32 = 1;

/// A member of the status document.
fn member(node: &Node, name: &str) -> String {
    let text = node.read("run/cluster-os/status.json");
    let rest = text.split(&format!("\"{name}\":")).nth(1).unwrap_or_default();
    rest.split([',', '}', '\n']).next().unwrap_or_default().to_owned()
}

fn number(node: &Node, name: &str) -> u64 {
    member(node, name).parse().unwrap_or(0)
}

/// Writes another table; `@` in it is the node's directory.
fn write(node: &Node, text: &str) {
    let new = node.dir.join("units.new");
    fs::write(&new, text.replace('@', &node.dir.display().to_string())).expect("a table");
    fs::rename(new, node.dir.join("units.toml")).expect("in its place");
}

/// Has it read, and waits until that has ended.
fn reload(node: &Node, text: &str) {
    let before = number(node, "ended");
    write(node, text);
    node.signal(HUP);
    wait_until("the reload ends", SOON, || number(node, "ended") > before && member(node, "reading") == "false");
}

/// How many descriptors its PID 1 has.
fn descriptors(node: &Node) -> usize {
    fs::read_dir(format!("/proc/{}/fd", node.pid)).map_or(0, Iterator::count)
}

fn unit(name: &str, more: &str) -> String {
    format!("[unit.{name}]\nexec = [\"sh\", \"-c\", \"echo {name} >> @/starts; exec sleep 1000\"]\n{more}\n")
}

fn names(node: &Node) -> Vec<String> {
    let text = node.read("run/cluster-os/status.json");
    let lines = text.lines().filter_map(|line| line.trim_start_matches(',').strip_prefix("{\"name\":\""));
    lines.filter_map(|line| Some(line.split('"').next()?.to_owned())).collect()
}

#[test]
fn what_differs_is_done_and_nothing_else() {
    need!("what_differs", kit::no_namespaces());
    let all = |names: &[&str]| names.iter().map(|name| unit(name, "")).collect::<String>();
    let mut node = Plan::new("differs").table(&all(&["a", "b", "c"])).start();
    for name in ["a", "b", "c", "logd"] {
        node.wait_state(name, "up");
    }
    let pids = |node: &Node| ["a", "b", "c"].map(|name| node.unit_pid(name));
    let before = pids(&node);

    // The same, and the same in another order: nothing.
    reload(&node, &all(&["a", "b", "c"]));
    reload(&node, &all(&["c", "a", "b"]));
    assert_eq!(pids(&node), before);
    assert_eq!((number(&node, "generation"), number(&node, "ended")), (3, 2));
    node.wait_for("out", "the unit table was read again: nothing changed; generation 2");

    // A policy: in place. It counts from now on.
    let policy = format!("{}{}{}", unit("a", "restart = \"never\""), unit("b", ""), unit("c", ""));
    reload(&node, &policy);
    assert_eq!(pids(&node), before);
    kit::kill(before[0].expect("a runs"), 9);
    node.wait_state("a", "failed");
    node.wait_for("out", "1 changed in place; generation 4");

    // What it runs: that unit alone, and the one that had failed as little as the others.
    let other = policy.replace("echo b", "echo other");
    reload(&node, &other);
    node.wait_for("starts", "other");
    wait_until("b is another process", SOON, || node.unit_pid("b").is_some_and(|pid| Some(pid) != before[1]));
    let now = pids(&node);
    assert_eq!(now[2], before[2]);
    assert!(node.unit("a").contains("\"failed\""), "{}", node.unit("a"));

    // One comes, one goes, one has another name.
    reload(&node, &format!("{}{}{}", unit("new", ""), unit("c", ""), unit("renamed", "")));
    node.wait_state("new", "up");
    node.wait_state("renamed", "up");
    wait_until("the others are gone", SOON, || names(&node) == ["new", "c", "renamed", "logd"]);
    assert_eq!(node.unit_pid("c"), before[2]);
    assert!(!kit::lives(now[1].expect("b ran")));

    // Switched off, switched on.
    let switched = |on| format!("{}{}", unit("c", &format!("enabled = {on}")), unit("new", ""));
    reload(&node, &switched(false));
    node.wait_state("c", "off");
    reload(&node, &switched(true));
    node.wait_state("c", "up");
    assert_eq!(node.read("starts").matches("new").count(), 1);
    node.signal(15);
    assert_eq!(node.end(), 0);
}

#[test]
fn a_bad_table_changes_nothing_and_is_told() {
    need!("a_bad_table", kit::no_namespaces());
    let node = Plan::new("bad").table(&unit("a", "")).start();
    node.wait_state("a", "up");
    let pid = node.unit_pid("a");
    reload(&node, "[unit.a]\nexec = [\"sleep\", \"1\"]\nstop-timout = \"1s\"\n[unit.b]\n");
    let mistake = format!(
        "{}/units.toml:3:1: unable to read unit a: unknown key \"stop-timout\"; did you mean \"stop-timeout\"?",
        node.dir.display()
    );
    node.wait_for("out", "unable to reload the unit table: 2 mistakes; the running one stays");
    node.wait_for("out", &mistake);
    assert!(member(&node, "error").starts_with('"'), "{}", member(&node, "error"));
    assert_eq!((number(&node, "generation"), node.unit_pid("a")), (1, pid));
    fs::remove_file(node.dir.join("units.toml")).expect("gone");
    node.signal(HUP);
    node.wait_for("out", "units.toml: No such file or directory; the running one stays");
    reload(&node, &unit("a", "restart = \"never\""));
    assert_eq!((number(&node, "generation"), node.unit_pid("a")), (2, pid));
    assert_eq!(member(&node, "error"), "null");
    // A copy for who wants to know what another table would change, for root alone.
    let copy = "run/cluster-os/table/2/000.toml";
    assert_eq!(node.read(copy), node.read("units.toml"));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(node.dir.join(copy)).expect("a copy").permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(!node.dir.join("run/cluster-os/table/1").exists());
}

#[test]
fn a_thousand_reloads_lose_no_line_and_leave_nothing_behind() {
    need!("a_thousand_reloads", kit::no_namespaces());
    let speaker = "[unit.speaker]\nexec = [\"sh\", \"-c\", \"i=0; while :; do i=$((i+1)); echo line $i; done\"]\nlog = { size = \"1G\" }\n";
    let table = |turn: u32| match turn % 4 {
        0 => speaker.to_owned(),
        1 => format!("{}{speaker}", unit("x", "ready = \"notify\"")),
        2 => format!("{}{speaker}{}", unit("y", ""), unit("x", "log = \"none\"")),
        _ => format!("{speaker}{}", unit("y", "log = { keep = 5 }")),
    };
    let mut node = Plan::new("thousand").table(&table(0)).start();
    node.wait_state("speaker", "up");
    node.wait_state("logd", "up");
    let pid = node.unit_pid("speaker");
    let turns = if std::env::var("NEED").as_deref() == Ok("all") { 1000 } else { 200 };
    for turn in 1..=4 {
        reload(&node, &table(turn));
    }
    let settled = |node: &Node| {
        wait_until("only the speaker is left", SOON, || names(node) == ["speaker", "logd"]);
        node.wait_state("logd", "up");
        // What was removed goes with the reload after.
        reload(node, &table(0));
        node.wait_state("logd", "up");
        descriptors(node)
    };
    let before = settled(&node);
    for turn in 1..=turns {
        reload(&node, &table(turn));
    }
    let after = settled(&node);
    assert_eq!(after, before, "descriptors");
    assert_eq!(node.unit_pid("speaker"), pid);
    let said = |node: &Node| node.read("log/cluster-os/speaker.log");
    node.signal(15);
    assert_eq!(node.end(), 0);
    let text = said(&node);
    let mut count = 0;
    for line in text.lines() {
        count += 1;
        assert!(line.ends_with(&format!(" line {count}")), "line {count} is {line:?}");
    }
    eprintln!("{turns} reloads, {count} lines, {after} descriptors before and after");
    assert!(count > 1000);
}

#[test]
fn requests_and_crashes_meanwhile_are_not_lost() {
    need!("requests_meanwhile", kit::no_namespaces());
    let table = |turn: u32| {
        let crash = "[unit.crash]\nexec = [\"sh\", \"-c\", \"exit 1\"]\nbackoff = \"1ms..5ms\"\n";
        let first = unit("first", &format!("stop-timeout = \"{}s\"", 1 + turn % 2));
        if turn.is_multiple_of(3) { format!("{first}{crash}{}", unit("more", "")) } else { format!("{crash}{first}") }
    };
    let mut node = Plan::new("meanwhile").table(&table(0)).start();
    node.wait_state("first", "up");
    let pid = node.unit_pid("first");
    for turn in 1..=100 {
        write(&node, &table(turn));
        node.signal(HUP);
        if turn.is_multiple_of(5) {
            node.signal(HUP);
            node.signal(10);
        }
        // A stranger's number: refused whatever the table.
        clusteros_init::sys::signal::queue(node.pid, 42, turn.cast_signed()).expect("queued");
        let ended = u64::from(turn);
        wait_until("it goes on", SOON, || number(&node, "ended") >= ended.min(90));
    }
    node.signal(HUP);
    wait_until("the last is taken", SOON, || names(&node).len() == 3 && member(&node, "reading") == "false");
    assert_eq!(node.unit_pid("first"), pid);
    assert_eq!(number(&node, "refused"), 100);
    let out = node.read("out");
    assert!(!out.contains("unable to reload"), "{out}");
    node.signal(15);
    assert_eq!(node.end(), 0);
    assert_eq!(kit::zombies(node.pid), 0);
}

#[test]
fn a_read_only_run_is_no_hindrance() {
    need!("a_read_only_run", kit::no_namespaces());
    let mut node = Plan::new("read-only")
        .table(&unit("a", ""))
        .started_as("sh -c 'mount -o remount,ro,bind /run && exec \"$@\"' sh {}")
        .start();
    node.wait_for("starts", "a");
    write(&node, &format!("{}{}", unit("a", ""), unit("b", "")));
    node.signal(HUP);
    node.wait_for("out", "the unit table was read again: 1 added; generation 2");
    node.wait_for("starts", "b");
    assert_eq!(node.read("starts"), "a\nb\n");
    node.signal(15);
    assert_eq!(node.end(), 0);
}

#[test]
fn a_reload_in_a_shutdown_is_refused() {
    need!("a_reload_in_a_shutdown", kit::no_namespaces());
    let deaf = "[unit.deaf]\nexec = [\"sh\", \"-c\", \"trap '' TERM; echo up >> @/starts; while :; do read x </dev/zero; done\"]\nstop-timeout = \"2s\"\n";
    let mut node = Plan::new("refused").table(deaf).start();
    node.wait_for("starts", "up");
    node.signal(15);
    node.wait_for("out", "stopping deaf");
    node.signal(HUP);
    node.wait_for("out", "unable to reload the unit table: the node is shutting down; the running one stays");
    assert_eq!(node.end(), 1);
}

#[cfg(feature = "ctl")]
#[test]
fn a_person_reloads_and_asks_before() {
    need!("a_person_reloads", kit::no_namespaces());
    let all = |names: &[&str]| names.iter().map(|name| unit(name, "")).collect::<String>();
    let node = Plan::new("person-reloads").table(&all(&["a", "b", "c", "idle"])).start();
    for name in ["a", "b", "c", "idle", "logd"] {
        node.wait_state(name, "up");
    }
    let pid = node.pid.to_string();
    let ask = |words: &[&str]| crate::person::initctl(&[words, &["--pid", &pid]].concat());
    let quiet = |code, out: &str| (Some(code), out.to_owned(), String::new());
    assert_eq!(ask(&["reload", "--plan"]), quiet(0, "nothing changes\n"));
    assert_eq!(ask(&["reload"]), quiet(0, "nothing changes\n"));
    assert_eq!(number(&node, "generation"), 2);
    assert_eq!(ask(&["stop", "idle", "--wait"]).0, Some(0));

    write(
        &node,
        &format!(
            "{}{}{}{}",
            unit("new", ""),
            unit("a", "backoff = \"1s\"\nstop-timeout = \"3s\""),
            unit("b", "env = { A = \"1\" }"),
            unit("idle", "env = { A = \"1\" }")
        ),
    );
    let plan = "\
UNIT  WHAT              WHY
new   added             the table has it now
a     changed in place  backoff, stop-timeout
b     restarted         env
idle  changed in place  env
c     removed           the table has it no more
";
    let before = node.unit_pid("b");
    assert_eq!(ask(&["reload", "--plan"]), quiet(0, plan));
    assert_eq!((number(&node, "generation"), node.unit_pid("b")), (2, before));
    assert_eq!(ask(&["reload"]), quiet(0, plan));
    assert_eq!(number(&node, "generation"), 3);
    wait_until("it is done", SOON, || names(&node) == ["new", "a", "b", "idle", "logd"]);
    wait_until("b is another process", SOON, || node.unit_pid("b").is_some_and(|pid| Some(pid) != before));
    assert!(node.unit("idle").contains("\"off\""));

    write(&node, "[unit.a]\nexec = [\"sleep\", \"1\"]\nreday = \"exec\"\n");
    let dir = node.dir.display();
    let mistake = |root: &str| {
        format!("{root}{dir}/units.toml:3:1: unable to read unit a: unknown key \"reday\"; did you mean \"ready\"?\n")
    };
    let failed =
        |root: &str, text: &str| (Some(78), String::new(), format!("{}initctl: error: {text}\n", mistake(root)));
    let root = format!("/proc/{pid}/root");
    assert_eq!(
        ask(&["reload", "--plan"]),
        failed(&root, "unable to use this table: 1 mistake; a reload would change nothing")
    );
    assert_eq!(ask(&["reload"]), failed("", "unable to reload the unit table: 1 mistake; the running one stays"));
    let (_, out, _) = ask(&["status"]);
    assert!(out.replace("\n  ", " ").contains("the last reload of the unit table was refused"), "{out}");
    assert_eq!(number(&node, "generation"), 3);
    // A number that was made for an older table.
    let stop =
        clusteros_init::unit::Request { unit: clusteros_init::unit::UnitId(0), wish: clusteros_init::unit::Wish::Stop };
    let old = clusteros_init::control::request::number(stop, 2);
    clusteros_init::sys::signal::queue(node.pid, 42, old).expect("queued");
    node.wait_for("out", "it was made for another unit table; nothing was changed, ask again");
    assert!(node.unit("new").contains("\"up\""));
}
