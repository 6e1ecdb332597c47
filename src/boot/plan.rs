//! The duties of a boot, in their order.

use super::facts::Facts;
use super::module::Wanted;

/// What a failure of a duty means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nothing that follows can be expected to work: said as an error, and the boot goes on all the same.
    Must,
    /// Something will be missing: said as a warning.
    Should,
    /// Where it cannot be done, it was not needed: not said.
    May,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duty {
    /// What its failure means.
    pub need: Need,
    /// What to do.
    pub act: Act,
    /// What will be missing without it, for the line about its failure.
    pub why: &'static str,
}

/// What is done. What is there already is left as it is, and that is a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Mount a file system; the mount point is made if it is missing.
    Mount {
        /// What is mounted, as /proc/mounts will show it.
        source: &'static str,
        /// Where.
        target: &'static str,
        /// The file system.
        fstype: &'static str,
        /// What it may not be used for.
        flags: &'static [Flag],
        /// Options of the file system.
        data: &'static str,
    },
    /// Make a folder.
    Dir {
        /// Where; what leads there must exist.
        path: &'static str,
        /// Its permissions.
        mode: u32,
    },
    /// Make a character device.
    Device {
        /// Where.
        path: &'static str,
        /// Its major number (Documentation/admin-guide/devices.txt of the kernel).
        major: u32,
        /// Its minor number.
        minor: u32,
        /// Its permissions.
        mode: u32,
    },
    /// Make a symbolic link.
    Symlink {
        /// Where.
        path: &'static str,
        /// What it points to.
        target: &'static str,
    },
    /// Load a kernel module and what it leans on.
    Module(Wanted),
    /// Set the host name.
    Hostname(String),
    /// Bring up the network interface `lo`.
    Loopback,
}

/// A restriction of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// Set-user-id bits have no effect.
    NoSuid,
    /// Device nodes cannot be opened.
    NoDev,
    /// Nothing in it can be executed.
    NoExec,
}

const NOTHING: &[Flag] = &[Flag::NoSuid, Flag::NoDev, Flag::NoExec];
const DEVICES: &[Flag] = &[Flag::NoSuid, Flag::NoExec];
const FILES: &[Flag] = &[Flag::NoSuid, Flag::NoDev];

/// Every mount of a machine, in order; the first column is its need on a machine, the last whether a container that lacks
/// it is given it too.
const MOUNTS: &[(Need, Act, &str, bool)] = &[
    (Need::Must, mount("proc", "/proc", "proc", NOTHING, ""), "nothing can look at processes", true),
    (Need::Must, mount("sysfs", "/sys", "sysfs", NOTHING, ""), "nothing can look at devices", true),
    // In a container this would be the whole machine's.
    (Need::Must, mount("devtmpfs", "/dev", "devtmpfs", DEVICES, "mode=0755"), "there are no devices", false),
    (
        Need::Should,
        // gid 5 is tty, everywhere.
        mount("devpts", "/dev/pts", "devpts", DEVICES, "gid=5,mode=0620,ptmxmode=0666"),
        "there are no terminals",
        true,
    ),
    (Need::Should, mount("tmpfs", "/dev/shm", "tmpfs", FILES, "mode=1777"), "there is no shared memory", true),
    (Need::Must, mount("tmpfs", "/run", "tmpfs", FILES, "mode=0755"), "there is no status file and no readiness", true),
    (Need::Should, mount("tmpfs", "/tmp", "tmpfs", FILES, "mode=1777"), "temporary files stay on the root", true),
    (
        Need::Should,
        // A container's cgroups are its runtime's business.
        mount("cgroup2", "/sys/fs/cgroup", "cgroup2", NOTHING, "nsdelegate,memory_recursiveprot"),
        "nothing can be limited",
        false,
    ),
];

const LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

const fn mount(
    source: &'static str,
    target: &'static str,
    fstype: &'static str,
    flags: &'static [Flag],
    data: &'static str,
) -> Act {
    Act::Mount { source, target, fstype, flags, data }
}

/// What is to be done, in order.
pub fn plan(facts: &Facts) -> Vec<Duty> {
    if facts.appliance { appliance(facts) } else { container(facts) }
}

fn appliance(facts: &Facts) -> Vec<Duty> {
    let mut duties = Vec::new();
    let mut add = |need, act, why| duties.push(Duty { need, act, why });
    for (need, act, why, _) in MOUNTS {
        if !is_mounted(act, facts) {
            add(*need, act.clone(), *why);
        }
    }
    for (path, target) in LINKS {
        add(Need::Should, Act::Symlink { path, target }, "programs that use it fail");
    }
    if !facts.present.contains("/var/run") {
        let act = Act::Symlink { path: "/var/run", target: "/run" };
        add(Need::May, act, "wg does not find WireGuard in user space");
    }
    add(Need::Should, Act::Dir { path: "/run/cluster-os", mode: 0o755 }, "there is no status file");
    for wanted in &facts.modules {
        add(Need::Should, Act::Module(wanted.clone()), "what needs it fails");
    }
    // After the modules: tun makes both by itself.
    add(Need::Should, Act::Dir { path: "/dev/net", mode: 0o755 }, "there is no WireGuard in user space");
    let tun = Act::Device { path: "/dev/net/tun", major: 10, minor: 200, mode: 0o666 };
    add(Need::Should, tun, "there is no WireGuard in user space");
    if let Some(name) = &facts.node_name {
        add(Need::Should, Act::Hostname(name.clone()), "the machine keeps the name that it has");
    }
    add(Need::Should, Act::Loopback, "programs of this node do not reach each other");
    duties
}

/// Only what is missing, and nothing that would reach beyond the container: no host name (it may be the host's), no
/// devices, no modules, no cgroups.
fn container(facts: &Facts) -> Vec<Duty> {
    let mut duties = Vec::new();
    let mut add = |act, why| duties.push(Duty { need: Need::May, act, why });
    for (_, act, why, given) in MOUNTS {
        let Act::Mount { target, .. } = act else { continue };
        // What somebody mounted below it would be hidden: secrets below /run, mostly.
        let below = format!("{target}/");
        let taken = facts.mounted.iter().any(|point| point.starts_with(&below));
        let usable = taken || is_mounted(act, facts) || facts.writable.contains(*target);
        if *given && !usable {
            add(act.clone(), *why);
        }
    }
    for (path, target) in LINKS.iter().filter(|(path, _)| !facts.present.contains(*path)) {
        add(Act::Symlink { path, target }, "programs that use it fail");
    }
    add(Act::Dir { path: "/run/cluster-os", mode: 0o755 }, "there is no status file");
    add(Act::Loopback, "programs of this node do not reach each other");
    duties
}

fn is_mounted(act: &Act, facts: &Facts) -> bool {
    matches!(act, Act::Mount { target, .. } if facts.mounted.contains(*target))
}

#[cfg(test)]
mod tests {
    use super::{Act, Duty, Need, plan};
    use crate::boot::facts::Facts;
    use crate::boot::module::wanted;

    fn facts(appliance: bool) -> Facts {
        Facts { appliance, ..Facts::default() }
    }

    fn set(names: &[&str]) -> std::collections::BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// One line a duty: need, and what.
    fn lines(duties: &[Duty]) -> Vec<String> {
        let what = |act: &Act| match act {
            Act::Mount { source, target, fstype, flags, data } => {
                format!("mount {source} {target} {fstype} {flags:?} {data}")
            }
            Act::Dir { path, mode } => format!("dir {path} {mode:o}"),
            Act::Device { path, major, minor, mode } => format!("device {path} {major}:{minor} {mode:o}"),
            Act::Symlink { path, target } => format!("link {path} {target}"),
            Act::Module(wanted) => format!("module {} {}", wanted.name, wanted.parameters),
            Act::Hostname(name) => format!("hostname {name}"),
            Act::Loopback => "loopback".into(),
        };
        duties.iter().map(|duty| format!("{:?}: {}", duty.need, what(&duty.act))).collect()
    }

    #[test]
    fn a_machine_that_has_nothing() {
        let facts = Facts {
            modules: wanted("wireguard\ndummy numdummies=0\n"),
            node_name: Some("node1".into()),
            ..facts(true)
        };
        assert_eq!(
            lines(&plan(&facts)),
            [
                "Must: mount proc /proc proc [NoSuid, NoDev, NoExec] ",
                "Must: mount sysfs /sys sysfs [NoSuid, NoDev, NoExec] ",
                "Must: mount devtmpfs /dev devtmpfs [NoSuid, NoExec] mode=0755",
                "Should: mount devpts /dev/pts devpts [NoSuid, NoExec] gid=5,mode=0620,ptmxmode=0666",
                "Should: mount tmpfs /dev/shm tmpfs [NoSuid, NoDev] mode=1777",
                "Must: mount tmpfs /run tmpfs [NoSuid, NoDev] mode=0755",
                "Should: mount tmpfs /tmp tmpfs [NoSuid, NoDev] mode=1777",
                "Should: mount cgroup2 /sys/fs/cgroup cgroup2 [NoSuid, NoDev, NoExec] nsdelegate,memory_recursiveprot",
                "Should: link /dev/fd /proc/self/fd",
                "Should: link /dev/stdin /proc/self/fd/0",
                "Should: link /dev/stdout /proc/self/fd/1",
                "Should: link /dev/stderr /proc/self/fd/2",
                "May: link /var/run /run",
                "Should: dir /run/cluster-os 755",
                "Should: module wireguard ",
                "Should: module dummy numdummies=0",
                "Should: dir /dev/net 755",
                "Should: device /dev/net/tun 10:200 666",
                "Should: hostname node1",
                "Should: loopback",
            ]
        );
    }

    #[test]
    fn a_machine_whose_initramfs_mounted_some() {
        let facts =
            Facts { mounted: set(&["/", "/proc", "/sys", "/dev", "/run"]), present: set(&["/var/run"]), ..facts(true) };
        let lines = lines(&plan(&facts));
        assert_eq!(lines.iter().filter(|line| line.contains(": mount ")).count(), 4);
        assert!(lines.iter().all(|line| !line.starts_with("Must")), "{lines:?}");
        assert!(lines.iter().all(|line| !line.contains("hostname") && !line.contains("/var/run")));
    }

    #[test]
    fn a_container_as_docker_makes_it_lacks_nothing() {
        let facts = Facts {
            mounted: set(&["/", "/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/sys/fs/cgroup"]),
            writable: set(&["/run", "/tmp"]),
            present: set(&["/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr"]),
            modules: wanted("wireguard\n"),
            node_name: Some("node1".into()),
            appliance: false,
        };
        assert_eq!(lines(&plan(&facts)), ["May: dir /run/cluster-os 755", "May: loopback"]);
    }

    #[test]
    fn a_mount_hides_no_other() {
        let facts = Facts { mounted: set(&["/", "/run/secrets"]), ..facts(false) };
        assert!(lines(&plan(&facts)).iter().all(|line| !line.contains(" /run ")));
    }

    #[test]
    fn a_bare_container_with_a_read_only_root() {
        assert_eq!(
            lines(&plan(&facts(false))),
            [
                "May: mount proc /proc proc [NoSuid, NoDev, NoExec] ",
                "May: mount sysfs /sys sysfs [NoSuid, NoDev, NoExec] ",
                "May: mount devpts /dev/pts devpts [NoSuid, NoExec] gid=5,mode=0620,ptmxmode=0666",
                "May: mount tmpfs /dev/shm tmpfs [NoSuid, NoDev] mode=1777",
                "May: mount tmpfs /run tmpfs [NoSuid, NoDev] mode=0755",
                "May: mount tmpfs /tmp tmpfs [NoSuid, NoDev] mode=1777",
                "May: link /dev/fd /proc/self/fd",
                "May: link /dev/stdin /proc/self/fd/0",
                "May: link /dev/stdout /proc/self/fd/1",
                "May: link /dev/stderr /proc/self/fd/2",
                "May: dir /run/cluster-os 755",
                "May: loopback",
            ]
        );
        assert!(plan(&facts(false)).iter().all(|duty| duty.need == Need::May));
    }
}
