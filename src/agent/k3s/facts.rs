//! Looking at this host, without changing anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statfs::statfs;
use sha2::{Digest, Sha256};

use super::Plan;
use super::act::{place, sysctl_file};
use crate::agent::paths::Paths;
use crate::cluster::k3s::environment;
use crate::cluster::k3s::facts::{
    ASKED, Cgroup, DATA, Data, Facts, Link, Password, Read, SYSCTLS, capabilities, cgroup_path, in_user_namespace,
};
use crate::cluster::k3s::mounts;

const CGROUP: &str = "/sys/fs/cgroup";
/// `CGROUP2_SUPER_MAGIC` (linux/magic.h).
const CGROUP2: i64 = 0x6367_7270;
/// The inode of the initial pid namespace (`PROC_PID_INIT_INO`, part of the kernel's interface).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Looks at everything. `overlay` is what the trial said, if there was one.
pub(super) fn look(
    paths: &Paths,
    plan: &Plan,
    overlay: Option<Result<(), String>>,
    arguments: Vec<(&'static str, String)>,
) -> Facts {
    let text = |path: &str| fs::read_to_string(place(paths, path)).unwrap_or_default();
    let there = |path: &str| place(paths, path).exists();
    let interface = plan.config.networking.interface.clone();
    let (link, networks) = links(&interface);
    Facts {
        role: plan.role,
        node_name: plan.name.clone(),
        container: in_container(),
        user_namespace: in_user_namespace(&text("/proc/self/uid_map")),
        user: nix::unistd::geteuid().as_raw(),
        capabilities: capabilities(&text("/proc/self/status")),
        mounts: mounts::read(&text("/proc/self/mountinfo")),
        kmsg: kmsg(),
        sysctls: SYSCTLS.iter().map(|key| ((*key).to_owned(), sysctl(key))).collect(),
        cgroup: cgroup(),
        variables: std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect(),
        data: data(&place(paths, DATA), overlay),
        modules: modules(),
        open_files: getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard),
        pids_max: text("/sys/fs/cgroup/pids.max").trim().parse().ok(),
        resolv_conf: fs::read_to_string(place(paths, "/etc/resolv.conf")).ok(),
        iptables: iptables(),
        link,
        interface,
        address: plan.address(),
        told: super::address::told(paths),
        networks,
        ranges: plan.ranges,
        password: Password {
            kept: there("/etc/rancher/node/password"),
            folder: there("/etc/rancher/node"),
            joined: there("/var/lib/rancher/k3s/agent/client-kubelet.crt"),
        },
        machine_id: fs::read_to_string(place(paths, "/etc/machine-id")).ok().map(|text| text.trim().to_owned()),
        own_machine_id: machine_id(plan.own.as_ref().map_or(&plan.name, |(id, _)| id)),
        clock: clock(),
        present: ASKED.iter().filter(|path| there(path)).map(|path| (*path).to_owned()).collect(),
        hosts: text("/etc/hosts"),
        first: text("/proc/1/comm").trim().to_owned(),
        arguments,
    }
}

/// A container manager has said so, or this is not the kernel's own pid namespace.
pub(super) fn in_container() -> bool {
    let first = fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == FIRST_PID_NAMESPACE);
    std::env::var_os("container").is_some() || !first
}

fn errno(error: &std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

fn kmsg() -> Read<()> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open("/dev/kmsg").map(drop).map_err(|error| errno(&error))
}

fn sysctl(key: &str) -> Read<String> {
    fs::read_to_string(sysctl_file(key)).map_err(|error| errno(&error))
}

pub(super) fn cgroup() -> Cgroup {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let words = |path: &str| text(path).split_whitespace().map(str::to_owned).collect();
    Cgroup {
        unified: statfs(CGROUP).is_ok_and(|of| of.filesystem_type().0 == CGROUP2),
        own: cgroup_path(&text("/proc/self/cgroup")).to_owned(),
        first: cgroup_path(&text("/proc/1/cgroup")).to_owned(),
        kernel_root: !Path::new("/sys/fs/cgroup/cgroup.type").exists(),
        controllers: words("/sys/fs/cgroup/cgroup.controllers"),
        enabled: words("/sys/fs/cgroup/cgroup.subtree_control"),
        processes: text("/sys/fs/cgroup/cgroup.procs").lines().count(),
    }
}

/// The file system of the data directory, or of where it will be.
fn data(path: &Path, overlay: Option<Result<(), String>>) -> Data {
    let of = path.ancestors().find_map(|folder| statfs(folder).ok());
    let percent = |of: &nix::sys::statfs::Statfs| of.blocks_available().saturating_mul(100) / of.blocks().max(1);
    Data {
        magic: of.as_ref().map_or(0, |of| of.filesystem_type().0),
        free: of.as_ref().map_or(100, |of| u8::try_from(percent(of)).unwrap_or(100)),
        overlay,
    }
}

/// What is loaded or built in, by every sign that there is: built-in modules without parameters are not in /sys/module.
fn modules() -> BTreeSet<String> {
    let mut found: BTreeSet<String> = BTreeSet::new();
    let loaded = fs::read_to_string("/proc/modules").unwrap_or_default();
    found.extend(loaded.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned));
    let entries = fs::read_dir("/sys/module").into_iter().flatten().flatten();
    found.extend(entries.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let builtin = fs::read_to_string(format!("/lib/modules/{}/modules.builtin", release.trim())).unwrap_or_default();
    let name = |line: &str| Some(line.rsplit('/').next()?.split('.').next()?.replace('-', "_"));
    found.extend(builtin.lines().filter_map(name));
    let signs =
        [("/proc/sys/net/bridge", "br_netfilter"), ("/proc/sys/net/netfilter/nf_conntrack_max", "nf_conntrack")];
    found.extend(signs.iter().filter(|(sign, _)| Path::new(sign).exists()).map(|(_, name)| (*name).to_owned()));
    found
}

fn iptables() -> Option<String> {
    let path = environment::path(&std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("iptables");
    let output = command.arg("--version").env("PATH", path).stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The mesh's link, and the networks of all others.
fn links(interface: &str) -> (Option<Link>, Vec<(String, Ipv4Addr, u8)>) {
    let mut links: BTreeMap<String, Link> = BTreeMap::new();
    let mut networks = Vec::new();
    for entry in getifaddrs().into_iter().flatten() {
        let up = entry.flags.contains(InterfaceFlags::IFF_UP);
        let link = links.entry(entry.interface_name.clone()).or_insert(Link { up, addresses: Vec::new() });
        let v4 = |address: Option<&nix::sys::socket::SockaddrStorage>| Some(address?.as_sockaddr_in()?.ip());
        let Some(address) = v4(entry.address.as_ref()) else { continue };
        link.addresses.push(address);
        let mask = v4(entry.netmask.as_ref()).unwrap_or(Ipv4Addr::BROADCAST);
        let length = u8::try_from(mask.to_bits().leading_ones()).unwrap_or(32);
        // Those are k3s's own, of a start before.
        let own = ["cni0", "flannel.1", "kube-ipvs0"].contains(&entry.interface_name.as_str());
        if entry.interface_name != interface && !address.is_loopback() && !own {
            networks.push((entry.interface_name, address, length));
        }
    }
    (links.remove(interface), networks)
}

/// 32 hexadecimal digits that no other node has.
fn machine_id(id: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("clusteros-init machine-id 1 {id}"));
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn clock() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(span) => i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |span| -span),
    }
}
