//! A node in a container: the root is emptied, units are inside, nothing of them is left.

use std::fs;

use clusteros_init::unit::Wish;

use crate::kit::{self, SOON, lives, wait_until};
use crate::need;
use crate::speaker;
use crate::tree::{NOBODY, Tree, ask, no_ground, read, wait_anew};

const WEB: &str = "[unit.web]\nexec = [\"sleep\", \"1000\"]\n";

/// A unit that leaves its process group three times over, and deafly.
const STRAYS: &str = "[unit.web]\nexec = [\"sh\", \"-c\", \"setsid sh -c 'trap : TERM; while :; do sleep 1000; done' & \
                      setsid sh -c 'setsid sleep 1000 & exec sleep 1000' & exec sleep 1000\"]\n";

#[test]
fn the_root_is_emptied_and_units_are_inside() {
    need!("the_root_is_emptied", no_ground());
    let tree = Tree::new("root");
    let node = tree.node("root", WEB, "sleep 1000 &\nsleep 1000 &");
    node.wait_state("web", "up");
    let web = node.unit_pid("web").expect("its pid");
    assert_eq!(tree.procs("."), NOBODY, "{}", node.read("out"));
    let init = tree.procs("init.scope");
    assert!(init.contains(&node.pid) && init.len() == 3, "{init:?} without {}", node.pid);
    assert_eq!(tree.procs("web.service"), [web]);
    assert_eq!(tree.procs("logd.service").len(), 1);
    let seen = read(std::path::Path::new("/proc"), &format!("{web}/cgroup"));
    assert!(seen.lines().any(|line| line.starts_with("0::") && line.ends_with("/web.service")), "{seen}");
    let mut controllers = [tree.read("cgroup.controllers"), tree.read("cgroup.subtree_control")]
        .map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    controllers.iter_mut().for_each(|names| names.sort());
    assert_eq!(controllers[0], controllers[1]);
    assert!(!node.read("out").contains("cgroup"), "{}", node.read("out"));
}

#[test]
fn nothing_of_a_unit_survives_its_stop_or_its_end() {
    need!("nothing_of_a_unit_survives", no_ground());
    let tree = Tree::new("strays");
    let node = tree.node("strays", STRAYS, "");
    node.wait_state("web", "up");
    let all = || tree.procs("web.service");
    wait_until("all of it is there", SOON, || all().len() == 5);
    let (before, main) = (all(), node.unit_pid("web").expect("its pid"));

    kit::kill(main, 9);
    let again = wait_anew(&node, "web", main);
    wait_until("nothing of the first is left", SOON, || !before.iter().any(|pid| lives(*pid)));
    wait_until("all of it is there again", SOON, || all().len() == 5);
    assert!(all().contains(&again));

    let before = all();
    ask(&node, 0, Wish::Stop);
    node.wait_state("web", "off");
    wait_until("nothing is left", SOON, || !before.iter().any(|pid| lives(*pid)));
    wait_until("its cgroup is gone", SOON, || !tree.has("web.service"));
    assert!(tree.has("logd.service"));
    // What it had for cgroup.kill was enough: nothing was killed at a timeout.
    assert!(!node.read("out").contains("unable to stop"), "{}", node.read("out"));
}

#[test]
fn a_restart_goes_into_the_cgroup_that_is_still_populated() {
    need!("a_restart_goes_into", no_ground());
    let tree = Tree::new("kept");
    let mut node = tree.node("kept", &format!("{STRAYS}kill = \"main\"\n"), "");
    node.wait_state("web", "up");
    wait_until("all of it is there", SOON, || tree.procs("web.service").len() == 5);
    let main = node.unit_pid("web").expect("its pid");
    let kept: Vec<i32> = tree.procs("web.service").into_iter().filter(|pid| *pid != main).collect();
    ask(&node, 0, Wish::Restart);
    wait_anew(&node, "web", main);
    wait_until("old and new are there", SOON, || tree.procs("web.service").len() == 9);
    assert!(kept.iter().all(|pid| lives(*pid)));
    ask(&node, 0, Wish::Stop);
    node.wait_state("web", "off");
    assert!(kept.iter().all(|pid| lives(*pid)));
    node.signal(15);
    node.end();
    assert!(!kept.iter().any(|pid| lives(*pid)), "{}", node.read("out"));
    assert_eq!(tree.procs("web.service"), NOBODY);
}

#[test]
fn what_an_earlier_life_left_is_taken_over_or_removed() {
    need!("what_an_earlier_life_left", no_ground());
    let tree = Tree::new("life");
    for name in ["web.service/below", "old.service/deep/below", "init.scope", "other"] {
        fs::create_dir_all(tree.path.join(name)).expect("a cgroup");
    }
    let mut node = tree.node("life-1", WEB, "");
    node.wait_state("web", "up");
    assert!(!tree.has("old.service") && tree.has("other"));
    assert_eq!(tree.procs("web.service"), [node.unit_pid("web").expect("its pid")]);
    // A life that was cut off.
    node.signal(9);
    node.end();
    assert!(tree.has("web.service"));
    tree.join_up();
    let node = tree.node("life-2", &WEB.replace("web", "other"), "");
    node.wait_state("other", "up");
    assert!(!tree.has("web.service") && tree.procs("other.service").len() == 1, "{}", node.read("out"));
}

#[test]
fn all_that_is_in_its_cgroup_may_speak_for_a_unit() {
    need!("all_that_is_in_its_cgroup", no_ground());
    let tree = Tree::new("kin");
    // In a session of its own, so it is the cgroup that counts.
    let unit = |name: &str, from: &str| {
        let exec =
            speaker::exec().replacen('[', "[\"sh\", \"-c\", 'setsid \"$0\" \"$1\" \"$2\" \"$3\" & sleep 1000', ", 1);
        format!("[unit.{name}]\nexec = {exec}\nready = \"notify\"\n{from}env = {{ SPEAK = \"READY=1\" }}\n")
    };
    let node = tree.node("kin", &[unit("open", "notify-from = \"cgroup\"\n"), unit("shut", "")].concat(), "");
    node.wait_state("open", "up");
    node.wait_for("out", "unable to take a notification for shut: process ");
    assert!(!node.read("out").contains("notification for open"), "{}", node.read("out"));
}

#[test]
fn who_starts_in_a_cgroup_that_was_killed_lives() {
    need!("who_starts_in_a_cgroup", no_ground());
    let tree = Tree::new("killed");
    let folder = tree.path.join("web.service");
    fs::create_dir(&folder).expect("a cgroup");
    let kill = folder.join("cgroup.kill");
    need!("who_starts_in_a_cgroup", (!kill.exists()).then_some("this kernel is older than 5.14: no cgroup.kill"));
    fs::write(kill, "1").expect("it is killed");
    // Somebody from outside, so that it is not made anew.
    let mut guest = std::process::Command::new("sleep").arg("1000").spawn().expect("sleep");
    fs::write(folder.join("cgroup.procs"), guest.id().to_string()).expect("it takes a process");
    let node = tree.node("killed", WEB, "");
    node.wait_state("web", "up");
    let main = node.unit_pid("web").expect("its pid");
    let kept = || guest_is(&tree, guest.id());
    assert!(kept() && tree.procs("web.service").contains(&main), "{}", node.read("out"));
    assert!(lives(main) && !node.read("out").contains("SIGKILL"), "{}", node.read("out"));
    drop((guest.kill(), guest.wait()));
}

fn guest_is(tree: &Tree, pid: u32) -> bool {
    tree.procs("web.service").iter().any(|one| pid.try_into() == Ok(*one))
}

#[test]
fn a_root_in_which_somebody_forks_without_pause_is_emptied_all_the_same() {
    need!("a_root_in_which", no_ground());
    let tree = Tree::new("storm");
    // It ends by itself: an emulated processor has enough to do.
    let storm = "for one in 1 2; do (for two in $(seq 100); do sleep 0.1 & sleep 0.02; done) & done";
    let node = tree.node("storm", WEB, storm);
    node.wait_state("web", "up");
    assert_eq!(tree.procs("."), NOBODY, "{}", node.read("out"));
    let controllers = [tree.read("cgroup.controllers"), tree.read("cgroup.subtree_control")];
    assert_eq!(controllers[0].split_whitespace().count(), controllers[1].split_whitespace().count());
    assert!(!node.read("out").contains("cgroup"), "{}", node.read("out"));
}

fn no_strace() -> Option<String> {
    let tried = std::process::Command::new("strace").arg("-V").output();
    tried.is_err().then(|| "no strace".to_owned())
}

#[test]
fn a_kernel_that_cannot_make_a_process_inside_is_helped() {
    need!("a_kernel_that_cannot", no_ground().or_else(no_strace));
    let tree = Tree::new("old");
    let folder = kit::directory("old-enter");
    let script = folder.join("strace");
    // Detached, so that the init keeps its pid.
    fs::write(&script, "exec strace -D -o /dev/null -e trace=clone3 -e inject=clone3:error=ENOSYS \"$@\"\n")
        .expect("a script");
    let node = tree.node("old", WEB, &format!("set -- sh {} \"$@\"", script.display()));
    node.wait_state("web", "up");
    assert_eq!(tree.procs("web.service"), [node.unit_pid("web").expect("its pid")]);
    ask(&node, 0, Wish::Stop);
    node.wait_state("web", "off");
    wait_until("its cgroup is gone", SOON, || !tree.has("web.service"));
}
