//! /dev/kmsg as containers have it: not there, not permitted, denied. kubelet's own open, after ours, must succeed.

use super::{IGNORED, Scene, kit};
use crate::need;

/// A /dev of its own with what is needed; `kmsg` makes its kmsg.
pub fn dev(options: &str, kmsg: &str) -> String {
    format!(
        "mkdir -p /tmp/k3s-dev.$$ && mount --bind /dev /tmp/k3s-dev.$$ && mount -t tmpfs -o {options} tmpfs /dev && mkdir /dev/shm /dev/pts \
         && touch /dev/null && mount --bind /tmp/k3s-dev.$$/null /dev/null && umount /tmp/k3s-dev.$$ && rmdir /tmp/k3s-dev.$$ || exit 98\n{kmsg}\n"
    )
}

fn scene(name: &str, before: String) -> Scene {
    let mut scene = Scene::new(name, &[("NODE_BOOTSTRAP", "true")]);
    scene.before = before;
    scene
}

#[test]
fn not_there() {
    need!("kmsg::not_there", kit::no_namespaces());
    let scene = scene("enoent", dev("mode=755", ""));
    let said = scene.run(&["k3s"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("info: made the device /dev/kmsg (1:11)\n"), "{}", said.err);
    assert_eq!(scene.reported("kmsg"), "opens");
}

/// Without the right to make devices, an empty file is enough for kubelet.
#[test]
fn not_there_and_no_device_can_be_made() {
    need!("kmsg::not_there_and_no_device_can_be_made", kit::no_namespaces());
    let mut scene = scene("enoent-mknod", dev("mode=755", ""));
    scene.by = "setpriv --bounding-set=-mknod".to_owned();
    let said = scene.run(&["k3s"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("info: wrote /dev/kmsg\n"), "{}", said.err);
    assert_eq!(scene.reported("kmsg"), "opens");
}

/// As where a mount forbids devices.
#[test]
fn denied() {
    need!("kmsg::denied", kit::no_namespaces());
    let scene = scene("eacces", dev("mode=755,nodev", "mknod /dev/kmsg c 1 11"));
    let said = scene.run(&["k3s", "--check"]);
    assert!(said.out.contains("/dev/kmsg does not open: permission denied\n"), "{}", said.out);
    let said = scene.run(&["k3s"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("info: bound /dev/null over /dev/kmsg\n"), "{}", said.err);
    assert_eq!(scene.reported("kmsg"), "opens");
}

/// As where the kernel keeps its log from everyone without CAP_SYSLOG.
#[test]
fn not_permitted() {
    need!("kmsg::not_permitted", kit::no_namespaces());
    let restricted = std::fs::read_to_string("/proc/sys/kernel/dmesg_restrict").unwrap_or_default();
    need!("kmsg::not_permitted", (restricted.trim() != "1").then_some("kernel.dmesg_restrict is not 1"));
    let mut scene = scene("eperm", dev("mode=755", "mknod /dev/kmsg c 1 11"));
    scene.by = "setpriv --bounding-set=-syslog".to_owned();
    let said = scene.run(&["k3s", "--check"]);
    assert!(said.out.contains("/dev/kmsg does not open: operation not permitted\n"), "{}", said.out);
    let said = scene.run(&["k3s"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(scene.reported("kmsg"), "opens");
}

/// Nothing can be mounted: then a person must, and is told how.
#[test]
fn denied_without_the_right_to_mount() {
    need!("kmsg::denied_without_the_right_to_mount", kit::no_namespaces());
    let mut scene = scene("eacces-bare", dev("mode=755,nodev", "mknod /dev/kmsg c 1 11"));
    scene.by = "setpriv --bounding-set=-sys_admin".to_owned();
    scene.set("NODE_K3S_IGNORE", IGNORED);
    let said = scene.run(&["k3s"]);
    assert_eq!(said.code, Some(78), "{}", said.err);
    let line = "node-agent: error: unable to start k3s: kmsg: /dev/kmsg does not open: permission denied; to bind /dev/null over \
                /dev/kmsg needs CAP_SYS_ADMIN; start the container with --device /dev/kmsg --cap-add SYSLOG, or with --privileged\n";
    assert!(said.err.contains(line), "{}", said.err);
    assert!(!scene.path("report").exists());
    // Overridden by name, k3s is started all the same.
    scene.set("NODE_K3S_IGNORE", &format!("{IGNORED},kmsg"));
    let said = scene.run(&["k3s"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("node-agent: warning: overridden by NODE_K3S_IGNORE: kmsg: "), "{}", said.err);
    assert_eq!(scene.reported("kmsg"), "Permission denied (os error 13)");
}
