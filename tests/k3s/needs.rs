//! What k3s must have, each missing alone where everything else is there: it is refused with one line, and when the remedy of that
//! line is followed it starts. What only a machine of its own can lack is in `machine.rs`.

use super::kmsg::dev;
use super::{IGNORED, Scene, kit};
use crate::need;

fn scene(name: &str) -> Scene {
    Scene::new(&format!("needs-{name}"), &[("NODE_BOOTSTRAP", "true")])
}

/// It is refused for this alone.
fn refused(scene: &Scene, line: &str) {
    let said = scene.run(&["k3s"]);
    // The link may come a moment later: that is tried again.
    let code = if line.starts_with("wg0:") { 1 } else { 78 };
    assert_eq!(said.code, Some(code), "{}", said.err);
    let errors: Vec<&str> = said.err.lines().filter_map(|line| line.strip_prefix("node-agent: error: ")).collect();
    assert_eq!(errors, [format!("unable to start k3s: {line}")]);
    let name = line.split(':').next().unwrap_or_default();
    let condition = format!("node-agent: info: K3S: condition: not met ({name}); server ");
    assert!(said.err.contains(&condition), "{}", said.err);
    assert!(!scene.path("report").exists(), "k3s was started all the same");
}

fn starts(scene: &Scene) {
    let said = scene.run(&["k3s"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(scene.reported("words"), "server");
}

#[test]
fn wg0_that_is_down_or_has_another_address() {
    need!("needs::wg0", kit::no_namespaces());
    let mut scene = scene("wg0");
    let link = scene.link();
    let address = link.split(' ').find_map(|word| word.strip_suffix("/16")).expect("an address").to_owned();
    let remedy = "start the unit wg0 first ('node-agent wg0'), and look at 'initctl logs wg0'";
    for (before, seen) in [
        ("ip link set wg0 down\n", "wg0 is down".to_owned()),
        ("ip address flush dev wg0; ip address add 10.42.255.9/16 dev wg0\n", format!("wg0 does not have {address}")),
    ] {
        scene.before = before.to_owned();
        refused(&scene, &format!("wg0: {seen}; {remedy}"));
    }
    scene.before = String::new();
    starts(&scene);
}

/// As a volume is mounted by a careful hand.
#[test]
fn a_data_directory_that_nothing_runs_from() {
    need!("needs::data_dir", kit::no_namespaces());
    let mut scene = scene("data");
    let at = |options: &str| {
        format!(
            "mount -t tmpfs tmpfs /var/lib && mkdir -p /var/lib/rancher/k3s && mount -t tmpfs -o {options} tmpfs /var/lib/rancher/k3s \
             || exit 98\n"
        )
    };
    let volumes =
        "start the container with a volume each at /var/lib/rancher/k3s, /var/lib/kubelet, /var/lib/cni and /var/log";
    scene.before = at("noexec");
    let seen = "/var/lib/rancher/k3s is mounted noexec, and k3s runs its programs from there";
    refused(&scene, &format!("data-dir: {seen}; mount it without noexec: {volumes}"));
    scene.before = at("ro");
    refused(&scene, &format!("data-dir: /var/lib/rancher/k3s is read-only; {volumes}"));
    scene.before = at("rw");
    starts(&scene);
}

#[test]
fn a_name_that_kubernetes_does_not_take() {
    need!("needs::node_name", kit::no_namespaces());
    let mut scene = scene("name");
    scene.set("NODE_NAME", "node-");
    let said = scene.run(&["k3s"]);
    let line = "node-agent: error: unable to use the environment: NODE_NAME: \"node-\" is no node name: each part between dots \
                begins and ends with a letter or digit; correct it and start the node again\n";
    assert_eq!((said.code, said.err.as_str()), (Some(78), line));
    assert!(!scene.path("report").exists(), "k3s was started all the same");
    scene.set("NODE_NAME", "node-1");
    starts(&scene);
}

/// The data directory was kept and /etc was not, as where only one of them is a volume.
#[test]
fn a_password_that_was_lost() {
    need!("needs::node_password", kit::no_namespaces());
    let mut scene = scene("password");
    scene.write("var/lib/rancher/k3s/agent/client-kubelet.crt", "");
    refused(
        &scene,
        "node-password: this node was in a cluster, and /etc/rancher/node/password is lost; on a server: k3s kubectl delete \
         node node1; then start again with NODE_K3S_IGNORE=node-password",
    );
    scene.set("NODE_K3S_IGNORE", &format!("{IGNORED} node-password"));
    starts(&scene);
}

/// A host with cgroups of version 1, too: one line, and none for what follows from it.
#[test]
fn cgroups_of_version_1() {
    need!("needs::cgroup_v2", kit::no_namespaces());
    let mut scene = scene("cgroups");
    scene.before = "mount -t tmpfs tmpfs /sys/fs/cgroup || exit 98\n".to_owned();
    scene.set("NODE_K3S_IGNORE", "kernel-sysctls inotify modules pids");
    refused(
        &scene,
        "cgroup-v2: the host has cgroup v1, or both, and kubelet 1.35 refuses it; start the host with \
         systemd.unified_cgroup_hierarchy=1 or cgroup_no_v1=all on its kernel's command line",
    );
}

const FLAGS: &str = "start the container with --device /dev/kmsg --cap-add SYSLOG, or with --privileged";

/// Each way in which /dev/kmsg is denied, without the right to mount: the flags are named, and they are enough.
#[test]
fn kmsg_by_the_flags_of_docker_run() {
    need!("needs::kmsg", kit::no_namespaces());
    let restricted = std::fs::read_to_string("/proc/sys/kernel/dmesg_restrict").unwrap_or_default();
    need!("needs::kmsg", (restricted.trim() != "1").then_some("kernel.dmesg_restrict is not 1"));
    let mut scene = scene("kmsg");
    let node = "mknod /dev/kmsg c 1 11";
    let bind = "to bind /dev/null over /dev/kmsg needs CAP_SYS_ADMIN";
    for (options, kmsg, without, seen) in [
        ("mode=755,nodev", node, "-sys_admin", format!("permission denied; {bind}")),
        ("mode=755", node, "-sys_admin,-syslog", format!("operation not permitted; {bind}")),
        ("mode=755", "mount -o remount,ro /dev", "-sys_admin", "no such file or directory".to_owned()),
    ] {
        scene.before = dev(options, kmsg);
        scene.by = format!("setpriv --bounding-set={without}");
        let said = scene.run(&["k3s"]);
        assert_eq!(said.code, Some(78), "{}", said.err);
        let errors: Vec<&str> = said.err.lines().filter(|line| line.contains(" error: ")).collect();
        let line = format!("unable to start k3s: kmsg: /dev/kmsg does not open: {seen}");
        assert!(errors.len() == 1 && errors[0].contains(&line) && errors[0].ends_with(FLAGS), "{errors:#?}");
    }
    // --device /dev/kmsg --cap-add SYSLOG.
    scene.before = dev("mode=755", node);
    scene.by = "setpriv --bounding-set=-sys_admin".to_owned();
    starts(&scene);
    assert_eq!(scene.reported("kmsg"), "opens");
}
