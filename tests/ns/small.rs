//! Little to live on: no root, no capability, nothing to write to, no `/proc`, not PID 1, a user namespace. Everything works
//! that can, and each thing that is missing is said once.

use std::path::PathBuf;

use crate::kit::{self, INIT, Plan, SOON, wait_until};
use crate::{need, speaker};

/// What another user can reach, too: our programs, and one of this test.
fn programs(name: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let folder = PathBuf::from("/tmp").join(format!("clusteros-small-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let own = std::env::current_exe().expect("our own path");
    let logd = PathBuf::from(INIT).with_file_name("logd");
    for (from, to) in [(PathBuf::from(INIT), "clusteros-init"), (logd, "logd"), (own, "speaker")] {
        std::fs::copy(&from, folder.join(to)).expect("a copy");
    }
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).expect("open to all");
    folder
}

/// What is missing, how to take it away, and the lines that say so.
const LACKS: &[(&str, &str, &[&str])] = &[
    ("root", "setpriv --reuid 65534 --regid 65534 --clear-groups {}", &["write into /var/log/cluster-os", "make /run"]),
    ("capabilities", "setpriv --bounding-set=-all --inh-caps=-all {}", &[]),
    ("root-to-write", "sh -c 'mount -o remount,ro,bind / && exec \"$@\"' sh {}", &[]),
    ("run", "sh -c 'mount -t tmpfs -o ro none /run && exec \"$@\"' sh {}", &["make /run/cluster-os anew"]),
    (
        "proc",
        "sh -c 'umount -l /proc; mount -t tmpfs -o ro none /proc && exec \"$@\"' sh setpriv --bounding-set=-all {}",
        &["see our children"],
    ),
    ("namespace", "unshare --user --map-root-user {}", &[]),
    (
        "users",
        "setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user {}",
        &["write into /var/log/cluster-os", "make /run"],
    ),
    (
        "everything",
        "sh -c 'for at in /proc /run /var/log /var/lib; do mount -t tmpfs -o ro none $at; done; mount -o remount,ro,bind / && \
         exec \"$@\"' sh setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all {}",
        &["write into /var/log/cluster-os", "make /run/cluster-os anew", "see our children"],
    ),
];

fn table(folder: &std::path::Path) -> String {
    let speaker = speaker::exec_of(&folder.join("speaker"));
    format!(
        "[unit.once]\ntype = \"oneshot\"\nexec = [\"true\"]\n\
         [unit.says]\nneeds = [\"once\"]\nexec = {speaker}\nready = \"notify\"\nenv = {{ SPEAK = \"READY=1\" }}\n\
         [unit.plain]\nneeds = [\"says\"]\nexec = [\"sh\", \"-c\", \"echo line; exec sleep 1000\"]\n"
    )
}

/// How often `text` is in what the node says.
fn said(node: &kit::Node, text: &str) -> usize {
    node.read("out").matches(text).count()
}

fn lives_and_ends(name: &str, as_what: &str, lacks: &[&str], pid_1: bool) {
    let folder = programs(name);
    // The node's own directory may be where another user does not come.
    let units = folder.join("units.toml").display().to_string();
    std::fs::write(&units, table(&folder)).expect("the table");
    let plan = Plan::new(name).program(&folder.join("clusteros-init"));
    let plan = plan.arguments(&["--units", &units]).started_as(as_what);
    let mut node = if pid_1 { plan.start() } else { plan.not_pid_1().start() };
    node.wait_for("out", "plain is up");
    node.wait_for("out", "line\n");
    let mut plain = None;
    wait_until("it runs", SOON, || {
        plain = kit::children(node.pid).into_iter().find(|pid| kit::fact(*pid, "Name") == "sleep");
        plain.is_some()
    });
    kit::kill(plain.expect("it runs"), 9);
    wait_until("what was killed is up again", SOON, || said(&node, "plain is up") == 2);
    node.signal(10);
    node.wait_for("out", "4 of 4 units up");
    node.signal(15);
    assert_eq!(node.end(), 0, "{name}: {}", node.read("out"));
    let out = node.read("out");
    for lack in lacks {
        assert_eq!(out.matches(&format!("unable to {lack}")).count(), 1, "{name}: {lack}\n{out}");
    }
    // What was killed, and nothing else.
    assert_eq!(out.matches("unable to").count(), lacks.len() + 1, "{name}:\n{out}");
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn it_goes_without_and_says_so_once() {
    need!("it_goes_without", kit::no_namespaces());
    for (name, as_what, lacks) in LACKS {
        lives_and_ends(name, as_what, lacks, true);
    }
}

#[test]
fn a_table_needs_no_pid_1() {
    need!("a_table_needs_no_pid_1", kit::no_namespaces());
    lives_and_ends("pid-7", "{}", &[], false);
}

#[test]
fn a_command_is_wrapped_all_the_same() {
    need!("a_command_is_wrapped", kit::no_namespaces());
    let folder = programs("wrap");
    for (name, as_what, _) in LACKS {
        let call = ["sh", "-c", "(sleep 0.1 &) ; exit 5"];
        let plan = Plan::new(name).program(&folder.join("clusteros-init")).started_as(as_what).arguments(&call);
        let mut node = plan.start();
        assert_eq!((node.end(), node.read("out").as_str()), (5, ""), "{name}");
    }
    std::fs::remove_dir_all(folder).expect("removed");
}
