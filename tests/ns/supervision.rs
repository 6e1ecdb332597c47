//! A table: order, readiness, restarts, status.

use crate::kit::{self, Plan, SOON, wait_until};
use crate::{need, speaker};

#[test]
fn a_unit_may_let_all_of_its_processes_speak() {
    need!("a_unit_may_let", kit::no_namespaces());
    // Without a cgroup of its own it is its process group that counts.
    let unit = |name: &str, start: &str, from: &str| {
        let exec = speaker::exec().replacen(
            '[',
            &format!("[\"sh\", \"-c\", '{start} \"$0\" \"$1\" \"$2\" \"$3\" & sleep 1000', "),
            1,
        );
        format!("[unit.{name}]\nexec = {exec}\nready = \"notify\"\n{from}env = {{ SPEAK = \"READY=1\" }}\n")
    };
    let from = "notify-from = \"cgroup\"\n";
    let units = [unit("open", "", from), unit("left", "setsid", from), unit("shut", "", "")];
    let table = units.concat();
    let mut node = Plan::new("kin").table(&table).start();
    node.wait_state("open", "up");
    node.wait_for("out", "unable to take a notification for left: process ");
    node.wait_for("out", "unable to take a notification for shut: process ");
    assert!(node.read("out").contains("is none of its processes; ignoring such until it starts again\n"));
    assert!(node.read("out").contains("is not its main process; ignoring such until it starts again (notify-from"));
    let main = node.unit_pid("open").expect("its pid");
    assert!(kit::children(node.pid).contains(&main), "it is up as its main process");
    node.signal(15);
    assert_eq!(node.end(), 0);
}

#[test]
fn units_start_in_order_and_stop_in_reverse() {
    need!("units_start_in_order", kit::no_namespaces());
    let service = |name: &str| {
        format!(
            "exec = [\"sh\", \"-c\", \"trap 'sleep 0.1; echo stop {name} >> @/events; exit' TERM; echo start {name} >> @/events; while :; do sleep 0.02; done\"]"
        )
    };
    let table = format!(
        "[unit.c]\n{}\nneeds = [\"b\"]\n[unit.b]\n{}\nneeds = [\"prepare\"]\n[unit.prepare]\ntype = \"oneshot\"\nneeds = [\"a\"]\nexec = [\"sh\", \"-c\", \"sleep 0.1; echo done prepare >> @/events\"]\n[unit.a]\n{}\n",
        service("c"),
        service("b"),
        service("a")
    );
    let mut node = Plan::new("order").table(&table).start();
    node.wait_for("events", "start c");
    node.signal(15);
    assert_eq!(node.end(), 0);
    let events = node.read("events");
    let events: Vec<&str> = events.lines().collect();
    let place =
        |event: &str| events.iter().position(|seen| *seen == event).unwrap_or_else(|| panic!("{event}: {events:?}"));
    assert!(place("done prepare") < place("start b"), "{events:?}");
    assert_eq!(&events[events.len() - 3..], ["stop c", "stop b", "stop a"]);
}

#[test]
fn ready_counts_from_the_main_process_alone() {
    need!("ready_counts", kit::no_namespaces());
    let speaker = speaker::exec();
    let forger = "@/run/cluster-os/notify/quiet.sock".replace("@/run", "/run");
    let table = format!(
        "[unit.honest]\nexec = {speaker}\nready = \"notify\"\nenv = {{ SPEAK = \"READY=1\\nSTATUS=serving\" }}\n\
         [unit.quiet]\nexec = [\"sleep\", \"1000\"]\nready = \"notify\"\n\
         [unit.forger]\nexec = {speaker}\nenv = {{ SPEAK = \"READY=1\", SPEAK_TO = \"{forger}\" }}\n\
         [unit.plain]\nexec = [\"sh\", \"-c\", \"env > @/plain; exec sleep 1000\"]\n"
    );
    let node = Plan::new("notify")
        .table(&table)
        .started_as("env NOTIFY_SOCKET=/theirs LISTEN_FDS=1 INVOCATION_ID=x {}")
        .start();
    node.wait_state("honest", "up");
    node.wait_for("log/cluster-os/init.log", "quiet");
    wait_until("the status line is there", SOON, || node.unit("honest").contains("serving"));
    node.wait_state("quiet", "starting");
    node.wait_for("plain", "PATH=");
    for name in ["NOTIFY_SOCKET", "LISTEN_FDS", "INVOCATION_ID"] {
        assert!(!node.read("plain").contains(name), "{}", node.read("plain"));
    }
}

#[test]
fn a_program_that_is_not_there_waits_in_backoff() {
    need!("a_program_that_is_not_there", kit::no_namespaces());
    let node = Plan::new("absent")
        .table("[unit.a]\nexec = [\"/no/such\"]\n[unit.b]\nexec = [\"sleep\", \"9\"]\nneeds = [\"a\"]\n")
        .start();
    node.wait_state("a", "backoff");
    assert!(node.unit("a").contains("no such file"), "{}", node.unit("a"));
    node.wait_state("b", "waiting");
}

#[test]
fn what_is_killed_comes_back() {
    need!("what_is_killed", kit::no_namespaces());
    let talker = "[unit.talker]\nexec = [\"sh\", \"-c\", \"while :; do echo line; sleep 0.05; done\"]\n";
    let node = Plan::new("killed").table(talker).start();
    for unit in ["talker", "logd"] {
        node.wait_state(unit, "up");
        let before = node.unit_pid(unit).expect("its pid");
        kit::kill(before, 9);
        wait_until("it is another process", SOON, || {
            node.unit_pid(unit).is_some_and(|now| now != before) && node.unit(unit).contains("\"state\":\"up\"")
        });
    }
    let seen = node.read("log/cluster-os/talker.log").lines().count();
    wait_until("lines arrive again", SOON, || node.read("log/cluster-os/talker.log").lines().count() > seen + 3);
    assert!(node.read("out").contains("talker | line"), "{}", node.read("out"));
}

#[test]
fn a_bad_table_starts_nothing() {
    need!("a_bad_table", kit::no_namespaces());
    let table = "[unit.good]\nexec = [\"touch\", \"@/started\"]\n[unit.bad]\nexek = [\"x\"]\nneeds = [\"nobody\"]\n";
    let mut node = Plan::new("bad").table(table).start();
    assert_eq!(node.end(), 78);
    assert!(!node.dir.join("started").exists());
    let out = node.read("out");
    assert!(out.contains("exek") && out.contains("nobody"), "{out}");
}

#[test]
fn usr1_writes_the_status_and_prints_it() {
    need!("usr1", kit::no_namespaces());
    let node = Plan::new("usr1").table("[unit.web]\nexec = [\"sleep\", \"1000\"]\n").start();
    node.wait_state("web", "up");
    std::fs::remove_file(node.dir.join("run/cluster-os/status.json")).expect("the status document");
    node.signal(10);
    node.wait_state("web", "up");
    node.wait_for("out", "2 of 2 units up");
}

#[test]
fn the_runtime_directory_is_made_anew_and_links_are_not_followed() {
    need!("the_runtime_directory", kit::no_namespaces());
    let precious = kit::directory("precious");
    std::fs::write(precious.join("kept"), "x").expect("a file");
    let link = format!(
        "sh -c 'mkdir -p /run/cluster-os/old && touch /run/cluster-os/status.json && ln -s {} /run/cluster-os/link && exec \"$@\"' sh {{}}",
        precious.display()
    );
    let node = Plan::new("anew").table("[unit.web]\nexec = [\"sleep\", \"1000\"]\n").started_as(&link).start();
    node.wait_state("web", "up");
    assert!(precious.join("kept").exists());
    assert!(!node.dir.join("run/cluster-os/old").exists() && !node.dir.join("run/cluster-os/link").exists());

    let link = format!("sh -c 'ln -s {} /run/cluster-os && exec \"$@\"' sh {{}}", precious.display());
    let node = Plan::new("linked").table("[unit.web]\nexec = [\"sleep\", \"1000\"]\n").started_as(&link).start();
    node.wait_for("out", "unable to make /run/cluster-os anew");
    assert!(precious.join("kept").exists() && !precious.join("status.json").exists());
    drop(std::fs::remove_dir_all(precious));
}

#[test]
fn it_pins_no_mount() {
    need!("it_pins_no_mount", kit::no_namespaces());
    let table = "[unit.plain]\nexec = [\"sleep\", \"1000\"]\n";
    let node = Plan::new("pins").table(table).started_as("sh -c 'cd @/ && exec \"$@\"' sh {}").start();
    node.wait_state("plain", "up");
    let cwd = |pid: i32| std::fs::read_link(format!("/proc/{pid}/cwd")).expect("a directory");
    assert_eq!(cwd(node.pid), std::path::Path::new("/"));
    assert_eq!(cwd(node.unit_pid("plain").expect("it runs")), std::path::Path::new("/"));
}
