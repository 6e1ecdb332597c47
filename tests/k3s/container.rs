//! k3s as a unit of a node in a container of its own, with cgroup, network, mounts and processes: what the stand-in does, and what is
//! done about it.

use std::process::{Command, Stdio};

use clusteros_init::unit::Wish;

use crate::kit::{Node, SOON, lives, wait_until};
use crate::need;
use crate::tree::{NOBODY, Tree, ask, no_controllers, no_ground, wait_anew};
use crate::{IGNORED, Scene};

/// A scene, and the table of a node that runs k3s as the shipped one does.
pub fn scene(name: &str, variables: &[(&str, &str)], by: &[&str]) -> (Scene, String) {
    let mut scene = Scene::new(name, &[("NODE_BOOTSTRAP", "true")]);
    scene.set("STAND_IN_STAYS", "1");
    scene.set("NODE_K3S_IGNORE", if no_controllers().is_none() { "" } else { IGNORED });
    variables.iter().for_each(|(name, value)| scene.set(name, value));
    let root = scene.root.display().to_string();
    let words: Vec<&str> =
        by.iter().copied().chain([env!("CARGO_BIN_EXE_node-agent"), "--root", &root, "k3s"]).collect();
    let env: Vec<String> = scene.variables.iter().map(|(name, value)| format!("{name} = {value:?}")).collect();
    let table = format!(
        "[unit.k3s]\nexec = {words:?}\nready = \"notify\"\nkill = \"main\"\nstop-timeout = \"60s\"\npermanent-exit = [78]\n\
         log = \"inherit\"\nenv = {{ {} }}\n",
        env.join(", ")
    );
    (scene, table)
}

/// Commands that come before the node's init: its cgroups and its wg0.
pub fn before(scene: &Scene, more: &str) -> String {
    format!("mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 1\n{}{more}", scene.link())
}

pub fn node(scene: &Scene, tree: &Tree, name: &str, table: &str, more: &str) -> Node {
    tree.start(name, table, "--cgroup --net", &before(scene, more))
}

fn pid(scene: &Scene, file: &str) -> i32 {
    wait_until(&format!("{file} is written"), SOON, || !scene.text(file).is_empty());
    scene.text(file).trim().parse().expect("a pid")
}

#[test]
fn it_is_up_when_it_says_so_and_an_end_is_a_failure() {
    need!("container::it_is_up_when_it_says_so", no_ground());
    let name = "ends";
    let shell = Scene::new("ends-files", &[]);
    let at = |file: &str| shell.path(file).display().to_string();
    let files = [at("shim"), at("pod"), at("fail")];
    let variables = [
        ("STAND_IN_READY", "700"),
        ("STAND_IN_SHIM", files[0].as_str()),
        ("STAND_IN_POD", files[1].as_str()),
        ("STAND_IN_FAIL", files[2].as_str()),
    ];
    let (scene, table) = scene(name, &variables, &[]);
    let tree = Tree::new(name);
    let mut node = node(&scene, &tree, name, &table, "");
    // It runs, and is not up before it says so.
    pid(&shell, "shim");
    assert!(node.unit("k3s").contains("\"state\":\"starting\""), "{}", node.unit("k3s"));
    node.wait_state("k3s", "up");
    let main = node.unit_pid("k3s").expect("its pid");
    let pods = tree.procs("kubepods/pod");
    let shims: Vec<i32> = tree.procs("k3s.service").into_iter().filter(|pid| *pid != main).collect();
    assert_eq!((pods.len(), shims.len()), (1, 1), "{}", node.read("out"));

    // One of its parts fails: it exits with 0, and is started again; pods and shims stay.
    std::fs::write(&files[2], "").expect("written");
    wait_until("it ended", SOON, || !lives(main));
    std::fs::remove_file(&files[2]).expect("taken away");
    let second = wait_anew(&node, "k3s", main);
    assert!(pods.iter().chain(&shims).all(|pid| lives(*pid)), "a restart killed pods");
    // A restart that is asked for, too.
    ask(&node, 0, Wish::Restart);
    wait_anew(&node, "k3s", second);
    assert!(pods.iter().chain(&shims).all(|pid| lives(*pid)), "a restart killed pods");
    // A stop leaves them, as systemd would.
    ask(&node, 0, Wish::Stop);
    node.wait_state("k3s", "off");
    assert!(pods.iter().chain(&shims).all(|pid| lives(*pid)), "a stop killed pods");
    // The end of the node does not.
    node.signal(15);
    node.end();
    assert!(!pods.iter().chain(&shims).any(|pid| lives(*pid)), "{}", node.read("out"));
    for below in [".", "k3s.service", "kubepods/pod", "init.scope"] {
        assert_eq!(tree.procs(below), NOBODY, "{below}");
    }
}

#[test]
fn a_slow_end_is_waited_for() {
    need!("container::a_slow_end_is_waited_for", no_ground());
    let (scene, table) = scene("slow", &[("STAND_IN_END", "1500")], &[]);
    let tree = Tree::new("slow");
    let mut node = node(&scene, &tree, "slow", &table, "");
    node.wait_state("k3s", "up");
    let main = node.unit_pid("k3s").expect("its pid");
    node.signal(15);
    node.wait_state("k3s", "stopping");
    assert!(lives(main));
    node.end();
    assert!(!node.read("out").contains("killing"), "{}", node.read("out"));
}

/// Switched off, it is no failure that is tried again for ever.
#[test]
fn a_node_that_runs_no_k3s_says_so_and_stays() {
    need!("container::a_node_that_runs_no_k3s", no_ground());
    let (scene, table) = scene("off", &[("NODE_K3S_ENABLED", "false")], &[]);
    let tree = Tree::new("off");
    let mut node = node(&scene, &tree, "off", &table, "");
    node.wait_state("k3s", "up");
    assert!(node.unit("k3s").contains("skipped: NODE_K3S_ENABLED is false"), "{}", node.unit("k3s"));
    assert!(node.read("out").contains("info: K3S: skipped: NODE_K3S_ENABLED is false"), "{}", node.read("out"));
    node.signal(15);
    assert_eq!(node.end(), 0);
}

/// What a full end takes away, and what it leaves: wg0, and what is somebody else's.
#[test]
fn down_takes_away_what_pods_leave() {
    need!("container::down_takes_away", no_ground());
    let mut scene = Scene::new("down", &[("NODE_BOOTSTRAP", "true")]);
    let tree = Tree::new("down");
    let root = scene.root.display().to_string();
    std::fs::create_dir_all(tree.path.join("kubepods/burstable/pod")).expect("cgroups");
    // One pod heeds TERM, the other does not. Each enters by itself before it makes others, so that none of them stays outside.
    let procs = tree.path.join("kubepods/burstable/pod/cgroup.procs");
    let pod = |words: &str| {
        let words = format!("trap '' TERM; echo 0 >{}; {words}", procs.display());
        let mut child = Command::new("sh").args(["-c", &words]).stdout(Stdio::null()).spawn().expect("a pod");
        let pid = child.id().to_string();
        wait_until("the pod is in its cgroup", SOON, || {
            std::fs::read_to_string(&procs).unwrap_or_default().lines().any(|line| line == pid)
        });
        // Reaped when it ends, so that it is seen to be gone.
        std::thread::spawn(move || child.wait());
    };
    pod("trap - TERM; exec sleep 1000000");
    pod("while :; do sleep 1000; done");
    let shim = format!("{root}/var/lib/rancher/k3s/data/abc/bin/containerd-shim-runc-v2");
    scene.write("inner", &format!(
        "umount -l /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 98\n\
         cd {root} && mkdir -p run/k3s/a run/netns var/lib/kubelet/pods/p/v var/lib/kubelet/mine var/lib/cni/networks/cbr0 var/lib/cni/networks/mine var/lib/rancher/k3s/data/abc/bin || exit 98\n\
         for at in run/k3s run/k3s/a/b var/lib/kubelet/pods/p/v var/lib/kubelet/mine; do mkdir -p $at && mount -t tmpfs pods $at || exit 98; done\n\
         touch run/netns/cni-1 run/netns/mine\n\
         ip link add cni0 type veth peer name others || exit 98\n\
         mkfifo run/fifo && cp -L \"$(command -v sh)\" {shim} && {{ {shim} -c 'read -r line <run/fifo' & }}\n\
         \"$@\"; echo \"ended: $?\"; grep ' - tmpfs pods' /proc/self/mountinfo; ip -o link; ls run/netns; kill -0 $! 2>/dev/null && echo 'the shim lives'\n"
    ));
    scene.before = format!("echo 0 >{}/cgroup.procs || exit 98\n", tree.path.display());
    scene.by = format!("/usr/bin/unshare --cgroup sh {}", scene.path("inner").display());
    let said = scene.run(&["k3s", "--down"]);
    assert!(said.out.contains("ended: 0\n"), "{}{}", said.out, said.err);
    for line in ["unmounted 3 mounts of pods", "deleted the links cni0", "killed 1 shims of pods", "processes of pods"]
    {
        assert!(said.err.contains(line), "{line}: {}", said.err);
    }
    assert!(said.out.contains("/var/lib/kubelet/mine ") && !said.out.contains("/run/k3s"), "{}", said.out);
    assert!(said.out.contains(" wg0@") && !said.out.contains(" cni0"), "{}", said.out);
    assert!(
        said.out.contains("\nmine\n") && !said.out.contains("cni-1") && !said.out.contains("the shim lives"),
        "{}",
        said.out
    );
    // What other networks gave is theirs.
    let lease = |name: &str| scene.path("var/lib/cni/networks").join(name).exists();
    assert!(!tree.has("kubepods") && !lease("cbr0") && lease("mine"));
}
