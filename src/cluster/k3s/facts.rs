//! What is there, as the shell read it. Nothing here is judged.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::finding::{Act, Right};
use super::mounts::Mount;
use super::relocation::ETCD;
use super::role::Role;

/// Where k3s keeps its state.
pub const DATA: &str = "/var/lib/rancher/k3s";

/// A value that could be read, or the errno.
pub type Read<T> = Result<T, i32>;

/// What the plan follows from.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What this node is to k3s.
    pub role: Role,
    /// The name that it goes by in k3s.
    pub node_name: String,
    /// In a container, not on a machine of its own.
    pub container: bool,
    /// In another user namespace than the first.
    pub user_namespace: bool,
    /// The effective user.
    pub user: u32,
    /// `CapEff` of /proc/self/status.
    pub capabilities: u64,
    /// Every mount.
    pub mounts: Vec<Mount>,
    /// Whether /dev/kmsg opens for reading.
    pub kmsg: Read<()>,
    /// Values of the kernel that somebody asked for, by their names with dots.
    pub sysctls: BTreeMap<String, Read<String>>,
    /// The cgroups.
    pub cgroup: Cgroup,
    /// Names of the environment's variables.
    pub variables: Vec<String>,
    /// The data directory.
    pub data: Data,
    /// Modules that were seen, loaded or built in.
    pub modules: BTreeSet<String>,
    /// The hard limit of open files.
    pub open_files: u64,
    /// `pids.max` of the container's cgroup; none is no limit.
    pub pids_max: Option<u64>,
    /// /etc/resolv.conf.
    pub resolv_conf: Option<String>,
    /// What `iptables --version` says; none if there is none.
    pub iptables: Option<String>,
    /// The link of the mesh.
    pub link: Option<Link>,
    /// The mesh's link.
    pub interface: String,
    /// This node's address in the mesh; none before it has an identity.
    pub address: Option<Ipv4Addr>,
    /// The one that k3s was last started with; none before its first start.
    pub told: Option<Ipv4Addr>,
    /// Networks of this host's other links, with their names.
    pub networks: Vec<(String, Ipv4Addr, u8)>,
    /// What pods and services are given.
    pub ranges: super::ranges::Ranges,
    /// What keeps k3s's node password.
    pub password: Password,
    /// /etc/machine-id, trimmed.
    pub machine_id: Option<String>,
    /// A machine-id that follows from this node's id.
    pub own_machine_id: String,
    /// Seconds since 1970, negative before.
    pub clock: i64,
    /// Which of [`ASKED`] are there.
    pub present: BTreeSet<String>,
    /// /etc/hosts.
    pub hosts: String,
    /// The name of PID 1.
    pub first: String,
    /// What k3s will be started with beside its usual configuration.
    pub arguments: Vec<(&'static str, String)>,
}

/// The paths whose being there matters.
pub const ASKED: &[&str] = &[
    "/etc/ssl/certs",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/os-release",
    "/dev/shm",
    "/dev/pts",
    "/dev/mqueue",
    "/dev/fuse",
    "/dev/mapper",
    "/lib/modules",
    ETCD,
];

/// The values of the kernel that are asked for.
pub const SYSCTLS: &[&str] = &[
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.keys.root_maxkeys",
    "kernel.keys.root_maxbytes",
    "net.ipv4.conf.all.forwarding",
    "net.ipv4.conf.default.forwarding",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.default.rp_filter",
    "net.bridge.bridge-nf-call-iptables",
    "fs.inotify.max_user_watches",
    "fs.inotify.max_user_instances",
];

/// The cgroups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// Whether /sys/fs/cgroup is cgroup2, alone.
    pub unified: bool,
    /// Where this process is, of the line `0::` in /proc/self/cgroup.
    pub own: String,
    /// Where PID 1 is.
    pub first: String,
    /// Whether /sys/fs/cgroup is the kernel's root cgroup, in which processes may stay.
    pub kernel_root: bool,
    /// cgroup.controllers of the root.
    pub controllers: BTreeSet<String>,
    /// cgroup.subtree_control of the root.
    pub enabled: BTreeSet<String>,
    /// How many processes are in the root itself.
    pub processes: usize,
}

/// The data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// `f_type` of its file system (linux/magic.h).
    pub magic: i64,
    /// Whether overlayfs can be mounted in it; the cause if not. None if it was not tried.
    pub overlay: Option<Result<(), String>>,
    /// Percent of it that is free.
    pub free: u8,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whether it is up.
    pub up: bool,
    /// Its IPv4 addresses.
    pub addresses: Vec<Ipv4Addr>,
}

/// What keeps k3s's node password, which must be kept or lost together with the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Password {
    /// Whether /etc/rancher/node/password is there.
    pub kept: bool,
    /// Whether /etc/rancher/node is there at all.
    pub folder: bool,
    /// Whether this node has been in a cluster: the data directory has its certificate.
    pub joined: bool,
}

impl Facts {
    /// Whether the kernel will let us; what is missing if not.
    pub(super) fn may(&self, act: &Act) -> Result<(), String> {
        let has = |number: u8| self.capabilities >> number & 1 == 1;
        match act.right() {
            Right::Anyone => Ok(()),
            Right::Here(capability) | Right::First(capability) if !has(capability.0) => {
                Err(format!("needs {}", capability.1))
            }
            Right::First(_) | Right::Root if self.user_namespace => {
                Err("is the host's to do: this is a user namespace".to_owned())
            }
            Right::Root if self.user != 0 => Err("needs root".to_owned()),
            Right::Here(_) | Right::First(_) | Right::Root => Ok(()),
        }
    }

    /// The value of the kernel.
    pub(super) fn sysctl(&self, key: &str) -> Read<&str> {
        match self.sysctls.get(key) {
            Some(Ok(value)) => Ok(value.trim()),
            Some(Err(errno)) => Err(*errno),
            None => Err(libc::ENOENT),
        }
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.present.contains(path)
    }

    /// Whether k3s will be started with this.
    pub(super) fn says(&self, key: &str, value: &str) -> bool {
        self.arguments.iter().any(|(known, with)| *known == key && with == value)
    }
}

/// Whether /proc/self/uid_map is another one than the first user namespace's.
pub fn in_user_namespace(uid_map: &str) -> bool {
    let first: Vec<&str> = uid_map.lines().next().unwrap_or_default().split_whitespace().collect();
    first != ["0", "0", "4294967295"]
}

/// `CapEff` of /proc/self/status; 0 if it has none.
pub fn capabilities(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

/// The path of cgroup v2 in a /proc/PID/cgroup; empty if there is none.
pub fn cgroup_path(cgroup: &str) -> &str {
    cgroup.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default()
}

/// The kernel's word for an errno, as a person knows it.
pub fn errno(number: i32) -> String {
    let word = match number {
        libc::ENOENT => "no such file or directory",
        libc::EPERM => "operation not permitted",
        libc::EACCES => "permission denied",
        libc::EROFS => "read-only file system",
        libc::ENODEV => "no such device",
        libc::ENXIO => "no such device or address",
        libc::EINVAL => "invalid argument",
        libc::EBUSY => "device or resource busy",
        other => return format!("error {other}"),
    };
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::{capabilities, cgroup_path, in_user_namespace};

    #[test]
    fn proc_is_read() {
        assert!(!in_user_namespace("         0          0 4294967295\n"));
        assert!(in_user_namespace("         0     100000      65536\n"));
        assert!(in_user_namespace(""));
        assert_eq!(capabilities("Name:\tx\nCapEff:\t000001fffeffffff\n"), 0x1ff_feff_ffff);
        assert_eq!(capabilities(""), 0);
        assert_eq!(cgroup_path("12:pids:/a\n0::/init.scope\n"), "/init.scope");
        assert_eq!(cgroup_path("12:pids:/a\n"), "");
    }
}
