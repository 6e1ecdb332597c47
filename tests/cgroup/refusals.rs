//! A tree that is not the node's alone is left as it is, and one line says so.

use crate::kit::{Node, SOON, wait_until};
use crate::need;
use crate::tree::{NOBODY, Tree, ground, no_ground};

const PLAIN: &str = "[unit.web]\nexec = [\"sleep\", \"1000\"]\n";
const LIMITED: &str = "[unit.web]\nexec = [\"sleep\", \"1000\"]\nmemory-max = \"64M\"\npids-max = 50\n[unit.db]\nexec = \
                       [\"sleep\", \"1000\"]\npids-max = 50\n[unit.free]\nexec = [\"sleep\", \"1000\"]\n";

/// The lines about cgroups that the node says, once web is up.
fn said(node: &Node) -> Vec<String> {
    wait_until("web is up", SOON, || node.read("out").contains("web is up"));
    let out = node.read("out");
    let lines = out.lines().filter(|line| line.contains("cgroup"));
    lines.map(|line| line.split_once("clusteros-init: ").map_or(line, |(_, text)| text).to_owned()).collect()
}

/// Nobody was moved, and nothing was made.
fn untouched(tree: &Tree, node: &Node) {
    assert!(tree.procs(".").contains(&node.pid), "{}", node.read("out"));
    assert!(!tree.has("init.scope") && !tree.has("web.service"));
}

#[test]
fn no_cgroup_namespace() {
    need!("no_cgroup_namespace", no_ground());
    let tree = Tree::new("host");
    let mount = "mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 1";
    let node = tree.start("host", PLAIN, "", mount);
    assert_eq!(
        said(&node),
        ["info: units have no cgroups: the container has no cgroup namespace of its own; nothing in the host's was \
             touched; a stop ends process groups; use --cgroupns=private and no -v /sys/fs/cgroup"]
    );
    untouched(&tree, &node);
    drop(node);
    let node = tree.start("host-limited", LIMITED, "", mount);
    assert_eq!(
        said(&node),
        [
            "warning: unable to limit web, db: the container has no cgroup namespace of its own; nothing in the host's was \
             touched; going on without memory-max, pids-max; use --cgroupns=private and no -v /sys/fs/cgroup"
        ]
    );
    untouched(&tree, &node);
}

#[test]
fn the_hosts_tree_bind_mounted() {
    need!("the_hosts_tree", no_ground());
    let tree = Tree::new("bound");
    let outer = ground().expect("asked before").mount;
    // Below /tmp, which is a mount of the node's own, before the tree is out of sight.
    let keep = format!("mkdir -p /mnt && mount --bind {} /mnt && exec", outer.display());
    let bind = "mount --bind /mnt /sys/fs/cgroup || exit 1";
    let namespaces = format!("sh -c '{keep} /usr/bin/unshare --mount --cgroup \"$@\"' sh");
    let node = tree.start("bound", PLAIN, &namespaces, bind);
    assert_eq!(
        said(&node),
        ["warning: unable to give units cgroups: /sys/fs/cgroup is the host's tree, bind-mounted; nothing in it was \
             touched; a stop ends process groups; use --cgroupns=private and no -v /sys/fs/cgroup"]
    );
    untouched(&tree, &node);
}

#[test]
fn nothing_mounted_and_version_1() {
    need!("nothing_mounted", no_ground());
    let tree = Tree::new("none");
    let node = tree.start("none", LIMITED, "--cgroup", "");
    assert_eq!(
        said(&node),
        [
            "warning: unable to limit web, db: nothing is mounted at /sys/fs/cgroup; going on without memory-max, pids-max; \
             mount cgroup2 there, or let the container runtime do it"
        ]
    );
    untouched(&tree, &node);
    drop(node);
    let node = tree.start("one", PLAIN, "--cgroup", "mount -t tmpfs tmpfs /sys/fs/cgroup");
    assert_eq!(
        said(&node),
        [
            "info: units have no cgroups: /sys/fs/cgroup is of version 1; a stop ends process groups; boot the host with \
             cgroup_no_v1=all (systemd: systemd.unified_cgroup_hierarchy=1)"
        ]
    );
    untouched(&tree, &node);
}

#[test]
fn read_only_and_mounted_anew() {
    need!("read_only", no_ground());
    let tree = Tree::new("ro");
    let node = tree.node("ro", PLAIN, "mount -o remount,bind,ro /sys/fs/cgroup || exit 1");
    assert_eq!(said(&node), [] as [&str; 0]);
    assert_eq!(tree.procs("."), NOBODY);
    assert_eq!(tree.procs("web.service").len(), 1);
}
