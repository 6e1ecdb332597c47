//! The three units of k3s as the shipped table has them, under a real PID 1 in a container of its own, from their start to the end of
//! the node: what each end does, and that nothing is left by it.

use std::time::{Duration, Instant};

use clusteros_init::unit::Wish;

use crate::kit::{self, Node, SOON, kill, lives, wait_until};
use crate::need;
use crate::tree::{Tree, ask, no_controllers, no_ground, wait_anew};
use crate::{IGNORED, Scene};

const WG0: u16 = 0;
const PODS: u16 = 1;
const K3S: u16 = 2;
const NODE: u16 = 3;

/// The units of the shipped table with `k3s` in their name, with this program in the place of `node-agent`; before them a `wg0` that
/// writes what is left on the node when it is stopped, as `last` in the node's directory.
fn table(scene: &Scene) -> String {
    let shipped = include_str!("../../rootfs/etc/cluster-os/units.toml");
    let sections = shipped.split("\n[unit.").filter(|section| section.starts_with("k3s"));
    let program = format!("[\"{}\", \"--root\", \"{}\"", env!("CARGO_BIN_EXE_node-agent"), scene.root.display());
    let units: String = sections.map(|section| format!("[unit.{section}\nlog = \"inherit\"\n\n")).collect();
    assert_eq!(units.matches("[unit.").count(), 3, "{units}");
    let units = units.replace("[\"node-agent\"", &program).replace(&format!("wants = {program}]\n"), "");
    format!(
        "[unit.wg0]\ntype = \"oneshot\"\nexec = [\"true\"]\nlog = \"inherit\"\n\
         stop = [\"sh\", \"-c\", \"exec >@/last; echo reason $CLUSTEROS_STOP; ip -o link; cat /proc/self/mountinfo; \
         ls /sys/fs/cgroup; cat /proc/[0-9]*/comm\"]\n\n{units}"
    )
}

/// A scene of k3s with all that pods leave, and what its node is given as its environment.
fn scene(name: &str, variables: &[(&str, &str)]) -> Scene {
    let mut scene = Scene::new(name, &[("NODE_K3S_ENABLED", "true")]);
    let at = |file: &str| scene.path(file).display().to_string();
    let (kubectl, fail) = (at("kubectl"), at("fail"));
    let root = scene.root.display().to_string();
    let ignored = if no_controllers().is_none() { "" } else { IGNORED };
    let given = [
        ("STAND_IN_STAYS", "1"),
        ("STAND_IN_LEFT", root.as_str()),
        ("STAND_IN_KUBECTL", kubectl.as_str()),
        ("STAND_IN_FAIL", fail.as_str()),
        ("NODE_K3S_IGNORE", ignored),
        // A PID 1 that somebody's systemd started.
        ("INVOCATION_ID", "0123456789abcdef0123456789abcdef"),
    ];
    given.iter().chain(variables).for_each(|(name, value)| scene.set(name, value));
    scene
}

fn start(scene: &Scene, tree: &Tree, name: &str) -> Node {
    start_with(scene, tree, name, 9)
}

/// With so many seconds for its shutdown.
fn start_with(scene: &Scene, tree: &Tree, name: &str, budget: u64) -> Node {
    let exports: String = scene.variables.iter().map(|(name, value)| format!("export {name}='{value}'\n")).collect();
    let options = format!("first=$1; shift; set -- \"$first\" --budget {budget}s \"$@\"\n");
    let before = format!("mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 1\n{}{exports}{options}", scene.link());
    tree.start(name, &table(scene), "--cgroup --net", &before)
}

/// The node is up, and has pods.
fn up(node: &Node, tree: &Tree) -> Vec<i32> {
    node.wait_state("k3s-node", "done");
    let pods = tree.procs("kubepods/burstable/stubborn");
    assert!(!pods.is_empty(), "{}", node.read("out"));
    pods
}

/// What was left when wg0 went: itself, and nothing of k3s or its pods.
fn nothing_left(scene: &Scene, node: &Node, tree: &Tree) {
    let last = node.read("last");
    assert!(last.starts_with("reason shutdown\n") && last.contains(" wg0@"), "{last}{}", node.read("out"));
    for left in [" cni0", " flannel.1", "pods rw", "kubepods", "containerd-shim", "sleep\n", "stand_in", "\nk3s\n"] {
        assert!(!last.contains(left), "{left} is left: {last}\n{}", node.read("out"));
    }
    assert!(!scene.path("run/netns/cni-1").exists() && !scene.path("var/lib/cni/networks/cbr0").exists());
    assert!(!tree.has("kubepods") && !tree.has("k3s"));
}

fn kubectl(scene: &Scene) -> Vec<String> {
    let verb = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    scene.text("kubectl").lines().map(verb).collect()
}

#[test]
fn a_server_is_drained_and_nothing_is_left_but_a_restart_leaves_pods_alone() {
    need!("life::a_server_is_drained", no_ground());
    of_a_server("life", 15);
}

/// From its start to its next one, with `budget` seconds for the shutdown.
pub fn of_a_server(name: &str, budget: u64) {
    let scene = scene(name, &[("NODE_BOOTSTRAP", "true")]);
    let tree = Tree::new(name);
    let mut node = start_with(&scene, &tree, name, budget);
    let pods = up(&node, &tree);
    let variables = scene.reported("variables");
    assert!(!variables.contains("INVOCATION_ID") && variables.contains("NOTIFY_SOCKET"), "{variables}");
    assert!(!variables.contains("CLUSTER_AUTH_KEY") && !variables.contains("CLUSTEROS_STOP"), "{variables}");

    // One of its parts fails. It exits with 0, and that is a failure: it is started again.
    let first = node.unit_pid("k3s").expect("its pid");
    scene.write("fail", "");
    wait_until("it ended", SOON, || !lives(first));
    std::fs::remove_file(scene.path("fail")).expect("taken away");
    let second = wait_anew(&node, "k3s", first);
    let out = node.read("out");
    assert!(out.contains("k3s: it exited with status 0"), "{out}");
    // A restart that somebody asks for.
    ask(&node, K3S, Wish::Restart);
    wait_anew(&node, "k3s", second);
    assert!(pods.iter().all(|pid| lives(*pid)), "a restart ended pods: {}", node.read("out"));
    assert_eq!((kubectl(&scene).len(), scene.path("run/netns/cni-1").exists()), (0, true));

    let began = Instant::now();
    node.signal(15);
    assert_eq!(node.end(), 0, "{}", node.read("out"));
    assert!(began.elapsed() < Duration::from_secs(budget), "{}", node.read("out"));
    nothing_left(&scene, &node, &tree);
    assert_eq!(kubectl(&scene), ["get node", "drain node1"]);
    let drain = scene.text("kubectl").lines().nth(1).unwrap_or_default().to_owned();
    let limit: u64 =
        drain.split("--timeout=").nth(1).and_then(|rest| rest.strip_suffix("ms")?.parse().ok()).expect("ms");
    assert!((1..=budget * 1000 / 3).contains(&limit), "{drain}");
    let out = node.read("out");
    let out = out.split("shutting down").nth(1).expect("a shutdown");
    let at = |text: &str| out.find(text).unwrap_or_else(|| panic!("no {text:?} in {out}"));
    let order =
        ["k3s-node is down", "stopping k3s\n", "k3s is down", "stopping k3s-pods", "k3s-pods is down", "stopping wg0"];
    assert!(order.is_sorted_by_key(|text| at(text)), "{out}");

    // The next boot takes the drain back, once.
    drop(node);
    tree.join_up();
    let node = start_with(&scene, &tree, &format!("{name}-2"), budget);
    up(&node, &tree);
    assert_eq!(kubectl(&scene)[2..], ["uncordon node1"]);
    assert!(!scene.path("var/lib/cluster-os/k3s-drained").exists());
    drop(node);
}

/// Pods that a person keeps away from a node are not let in by its next boot.
#[test]
fn who_was_cordoned_stays_so() {
    need!("life::who_was_cordoned_stays_so", no_ground());
    let scene = scene("cordoned", &[("NODE_BOOTSTRAP", "true")]);
    scene.write("kubectl.cordoned", "");
    let tree = Tree::new("cordoned");
    let mut node = start(&scene, &tree, "cordoned");
    up(&node, &tree);
    node.signal(15);
    node.end();
    assert_eq!(kubectl(&scene), ["get node", "drain node1"]);
    assert!(!scene.path("var/lib/cluster-os/k3s-drained").exists());
}

/// Neither a drain that hangs, nor a k3s that takes its time, nor pods that heed no TERM take more than there is.
#[test]
fn a_drain_that_hangs_is_bounded() {
    need!("life::a_drain_that_hangs_is_bounded", no_ground());
    let scene = scene("hangs", &[("NODE_BOOTSTRAP", "true"), ("STAND_IN_DRAIN", "1000"), ("STAND_IN_END", "1000")]);
    let tree = Tree::new("hangs");
    let mut node = start_with(&scene, &tree, "hangs", 12);
    up(&node, &tree);
    let began = Instant::now();
    node.signal(15);
    node.end();
    let (took, out) = (began.elapsed(), node.read("out"));
    assert!(took < Duration::from_secs(12), "{took:?}: {out}");
    let line = "warning: unable to move the pods of node1 to other nodes: kubectl drain was not done in time; they end with it";
    assert!(out.contains(line.trim_start_matches("warning: ")), "{out}");
    // k3s had its second, and was not killed.
    assert!(!out.contains("killing it"), "{out}");
    nothing_left(&scene, &node, &tree);
}

#[test]
fn an_agent_has_nothing_to_drain_with() {
    need!("life::an_agent_has_nothing_to_drain_with", no_ground());
    let scene = scene("agent-life", &[]);
    scene.write("var/lib/cluster-os/k3s-server", "10.42.0.7\n");
    let tree = Tree::new("agent-life");
    let mut node = start(&scene, &tree, "agent-life");
    up(&node, &tree);
    assert_eq!(scene.reported("words"), "agent");
    node.signal(15);
    assert_eq!(node.end(), 0, "{}", node.read("out"));
    nothing_left(&scene, &node, &tree);
    assert_eq!(kubectl(&scene).len(), 0);
}

/// Pods of a k3s that was stopped before, or that will not start again, end with the node, too.
#[test]
fn pods_that_k3s_left_end_with_the_node() {
    need!("life::pods_that_k3s_left_end_with_the_node", no_ground());
    let scene = scene("left", &[("NODE_BOOTSTRAP", "true"), ("STAND_IN_MISLED", "1")]);
    let tree = Tree::new("left");
    let mut node = start(&scene, &tree, "left");
    let pods = up(&node, &tree);
    let main = node.unit_pid("k3s").expect("its pid");
    // In its own cgroup, where PID 1 did not put it.
    assert!(tree.procs("k3s").contains(&main));
    ask(&node, K3S, Wish::Stop);
    node.wait_state("k3s", "off");
    assert!(pods.iter().all(|pid| lives(*pid)), "a stop ended pods: {}", node.read("out"));
    node.signal(15);
    node.end();
    nothing_left(&scene, &node, &tree);
}

/// As `initctl stop k3s-pods` and `start` do it.
#[test]
fn pods_are_ended_without_the_node() {
    need!("life::pods_are_ended_without_the_node", no_ground());
    let scene = scene("pods", &[("NODE_BOOTSTRAP", "true")]);
    let tree = Tree::new("pods");
    let mut node = start(&scene, &tree, "pods");
    let pods = up(&node, &tree);
    ask(&node, PODS, Wish::Stop);
    node.wait_state("k3s-pods", "off");
    assert!(!pods.iter().any(|pid| lives(*pid)) && !tree.has("kubepods"), "{}", node.read("out"));
    node.wait_state("k3s", "waiting");
    node.wait_state("wg0", "done");
    ask(&node, PODS, Wish::Start);
    node.wait_state("k3s", "up");
    // wg0 is made anew: k3s follows, and its pods stay.
    let (before, pods) = (node.unit_pid("k3s").expect("its pid"), tree.procs("kubepods/burstable/stubborn"));
    ask(&node, WG0, Wish::Restart);
    wait_anew(&node, "k3s", before);
    assert!(!pods.is_empty() && pods.iter().all(|pid| lives(*pid)), "{}", node.read("out"));
    // The node for a while without pods.
    ask(&node, NODE, Wish::Stop);
    node.wait_state("k3s-node", "off");
    ask(&node, NODE, Wish::Start);
    node.wait_state("k3s-node", "done");
    assert_eq!(kubectl(&scene), ["get node", "drain node1", "uncordon node1"]);
    node.signal(15);
    node.end();
    nothing_left(&scene, &node, &tree);
}

/// k3s exits with 1 at a second TERM. PID 1 sends one; who sends two himself has a failure, and k3s again.
#[test]
fn a_second_term_is_a_failure_of_its_own() {
    need!("life::a_second_term_is_a_failure_of_its_own", no_ground());
    let scene = scene("twice", &[("NODE_BOOTSTRAP", "true"), ("STAND_IN_END", "1500")]);
    let tree = Tree::new("twice");
    let node = start(&scene, &tree, "twice");
    up(&node, &tree);
    let first = node.unit_pid("k3s").expect("its pid");
    kill(first, 15);
    // Both at once would be one.
    wait_until("it has taken the first", SOON, || kit::fact(first, "ShdPnd").trim_start_matches('0').is_empty());
    kill(first, 15);
    let second = wait_anew(&node, "k3s", first);
    assert!(node.read("out").contains("k3s: it exited with status 1"), "{}", node.read("out"));
    ask(&node, K3S, Wish::Stop);
    wait_until("it ended", SOON, || !lives(second));
    node.wait_state("k3s", "off");
    assert!(node.unit("k3s").contains("\"last_exit\":\"exit 0\""), "{}", node.unit("k3s"));
}
