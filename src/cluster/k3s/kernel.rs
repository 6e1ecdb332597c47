//! Items 1, 2, 3 and 13: the kernel's log, user namespaces, values and modules.

use super::facts::errno;
use super::finding::{Act, Finding, Need};
use super::judge::{Judge, Title};
use super::mounts::{Mount, covering};

const KMSG: &str = "/dev/kmsg";

/// What kubelet sets, and fails where it cannot (pkg/kubelet/cm of Kubernetes).
const SYSCTLS: &[(&str, &str)] = &[
    ("vm.overcommit_memory", "1"),
    ("vm.panic_on_oom", "0"),
    ("kernel.panic", "10"),
    ("kernel.panic_on_oops", "1"),
    ("kernel.keys.root_maxkeys", "1000000"),
    ("kernel.keys.root_maxbytes", "25000000"),
];

/// What pods' networks lean on. overlay is not among them: it is tried. iptables loads its own.
const MODULES: &[&str] = &["br_netfilter", "nf_conntrack", "vxlan", "veth", "bridge"];

/// kubelet opens it to hear of memory running out. Nothing to read is good enough: then it hears of none.
pub(super) fn kmsg(judge: &Judge<'_>) -> Finding {
    let need = if judge.facts.user_namespace { Need::May } else { Need::Must };
    let title = Title(1, "kmsg", need);
    let Err(number) = judge.facts.kmsg else { return title.fine("it opens") };
    let seen = format!("{KMSG} does not open: {}", errno(number));
    let remedy = "start the container with --device /dev/kmsg --cap-add SYSLOG, or with --privileged";
    let bind = Act::Bind { from: "/dev/null", over: KMSG };
    // A device that is not there is made; where that is refused an empty file; what still does not open is covered.
    let make = [Act::Device { path: KMSG, major: 1, minor: 11 }, Act::File { path: KMSG, text: String::new() }];
    let next = if number == libc::ENOENT { judge.first_of(make) } else { None };
    judge.todo(title, &seen, vec![next.unwrap_or(bind)], remedy)
}

/// In a user namespace kubelet must be told so.
pub(super) fn user_namespace(judge: &Judge<'_>) -> Finding {
    let title = Title(2, "user-namespace", Need::Must);
    if !judge.facts.user_namespace {
        return title.moot("this is the first user namespace");
    }
    judge.told(title, "in a user namespace", "kubelet-arg", "feature-gates=KubeletInUserNamespace=true".to_owned())
}

pub(super) fn sysctls(judge: &Judge<'_>) -> Finding {
    let title = Title(3, "kernel-sysctls", Need::Must);
    if judge.facts.user_namespace {
        return title.moot("in a user namespace kubelet goes without");
    }
    let unreadable = SYSCTLS.iter().find_map(|(key, _)| judge.facts.sysctl(key).err().map(|number| (key, number)));
    if let Some((key, number)) = unreadable {
        let remedy = if judge.facts.container {
            "mount /proc in the container whole; on a kernel without KEYS use another"
        } else {
            "use a kernel that has it (KEYS), and mount /proc"
        };
        return title.cannot(format!("{key} cannot be read: {}", errno(number)), remedy);
    }
    differing(judge, title, SYSCTLS)
}

/// The values that differ are set, and /proc/sys is made writable first if it is not.
pub(super) fn differing(judge: &Judge<'_>, title: Title, wanted: &[(&'static str, &'static str)]) -> Finding {
    let differ: Vec<_> = wanted
        .iter()
        .filter_map(|(key, value)| {
            judge.facts.sysctl(key).ok().filter(|now| now != value).map(|now| (*key, now, *value))
        })
        .collect();
    if differ.is_empty() {
        return title.fine("the values are as they should be");
    }
    let seen: Vec<_> = differ.iter().map(|(key, now, value)| format!("{key} is {now}, not {value}")).collect();
    let mut acts: Vec<Act> = differ.iter().map(|(key, _, value)| Act::Sysctl { key, value }).collect();
    if covering(&judge.facts.mounts, "/proc/sys").is_some_and(Mount::read_only) {
        acts.insert(0, Act::Writable("/proc/sys"));
    }
    let commands: Vec<_> = differ.iter().map(|(key, _, value)| format!("{key}={value}")).collect();
    let remedy = format!("on the host: sysctl -w {}; or start the container with --privileged", commands.join(" "));
    judge.todo(title, &seen.join(", "), acts, remedy)
}

pub(super) fn modules(judge: &Judge<'_>) -> Finding {
    let title = Title(13, "modules", Need::Should);
    let missing: Vec<_> = MODULES.iter().copied().filter(|name| !judge.facts.modules.contains(*name)).collect();
    if missing.is_empty() {
        return title.fine(format!("{} are there", MODULES.join(", ")));
    }
    let seen = format!("not seen, though they may be built in: {}", missing.join(", "));
    let acts: Vec<_> = missing.iter().map(|name| Act::Module(name)).collect();
    let mut remedy = format!("on the host: modprobe -a {}", missing.join(" "));
    if judge.facts.container && !judge.facts.has("/lib/modules") {
        remedy.push_str("; or start the container with -v /lib/modules:/lib/modules:ro --cap-add SYS_MODULE");
    }
    judge.todo(title, &seen, acts, remedy)
}
