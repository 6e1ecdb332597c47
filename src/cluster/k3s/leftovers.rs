//! What k3s leaves behind when it ends: it lets pods run on, so that it can be restarted without harm to them. A full end takes
//! them away. `wg0` is never among them.

use super::facts::DATA;
use super::mounts::Mount;

/// Where pods' cgroups are.
pub const PODS: &str = "/sys/fs/cgroup/kubepods";
/// Where k3s puts itself, when PID 1 is in another cgroup than it expects.
pub const MISLED: &str = "/sys/fs/cgroup/k3s";
/// The links of flannel and kube-proxy.
pub const LINKS: &[&str] = &["cni0", "flannel.1", "flannel-v6.1", "flannel-wg", "flannel-wg-v6", "kube-ipvs0"];
/// Where kubelet of another distribution keeps pods' cgroups, by systemd.
pub const SLICE: &str = "/sys/fs/cgroup/kubepods.slice";
/// Addresses that were given to pods which are no more: folders, and what in them is of the network of k3s (its name is in k3s's
/// pkg/agent/flannel). What ends with `-` is how names begin.
pub const LEASES: &[(&str, &str)] =
    &[("/var/lib/cni/networks", "cbr0"), ("/var/lib/cni/results", "cbr0-"), ("/var/lib/cni", "flannel")];
/// Where pods' network namespaces are kept, and how they are called.
pub const NAMESPACES: (&str, &str) = ("/run/netns", "cni-");

const MOUNTS: &[&str] = &["/run/k3s", "/var/lib/kubelet/pods", "/var/lib/kubelet/plugins", "/run/netns/cni-"];

/// Whether `name`, in a folder of [`LEASES`], is of k3s, by the name beside that folder.
pub fn is_lease(name: &str, known: &str) -> bool {
    if known.ends_with('-') { name.starts_with(known) } else { name == known }
}

/// The mount points of pods and containers, in the order in which they can be unmounted. `root` is what the paths are under,
/// empty for `/`.
pub fn mounts(mounts: &[Mount], root: &str) -> Vec<String> {
    let ours = |point: &str| {
        let Some(point) = point.strip_prefix(root) else { return false };
        MOUNTS.iter().any(|place| {
            let rest = point.strip_prefix(place);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || place.ends_with('-'))
        })
    };
    // What was mounted later may lie on what was mounted before.
    let mut points: Vec<String> =
        mounts.iter().rev().map(|mount| mount.point.clone()).filter(|point| ours(point)).collect();
    // Stable: of those at one place, the last comes first.
    points.sort_by_key(|point| std::cmp::Reverse(point.matches('/').count()));
    points
}

/// Whether a program is the k3s that k3s brought; what runs as it has the name of its part.
pub fn is_k3s(exe: &str, root: &str) -> bool {
    brought(exe, root) == Some("k3s")
}

/// Whether a process with that program is a server or an agent, and not kubectl or another part.
pub fn is_k3s_name(name: &str) -> bool {
    matches!(name, "k3s-server" | "k3s-agent")
}

/// Whether a process is the shim of a pod: of the containerd that k3s brought, no other's. `exe` is its program, `root` as above.
pub fn is_shim(exe: &str, root: &str) -> bool {
    brought(exe, root).is_some_and(|name| name.starts_with("containerd-shim"))
}

/// The name of a program that k3s brought; none of any other.
fn brought<'a>(exe: &'a str, root: &str) -> Option<&'a str> {
    // A program that was replaced by a newer one.
    let exe = exe.strip_suffix(" (deleted)").unwrap_or(exe);
    let within = exe.strip_prefix(root)?.strip_prefix(DATA)?.strip_prefix("/data/")?;
    within.split_once("/bin/").map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::{LINKS, is_k3s, is_k3s_name, is_lease, is_shim, mounts};
    use crate::cluster::k3s::mounts::read;

    #[test]
    fn mounts_go_deepest_first_and_others_stay() {
        let text = "1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / /run rw - tmpfs a rw\n3 2 0:3 / /run/k3s rw - tmpfs a rw\n\
                    4 3 0:4 / /run/k3s/containerd/x/rootfs rw - overlay a rw\n5 2 0:5 / /run/netns/cni-1 rw - nsfs a rw\n\
                    6 2 0:6 / /run/netns/mine rw - nsfs a rw\n7 1 0:7 / /var/lib/kubelet rw - ext4 a rw\n\
                    8 7 0:8 / /var/lib/kubelet/pods/p/volumes/v rw - tmpfs a rw\n9 2 0:9 / /run/k3s-other rw - tmpfs a rw\n";
        let found = mounts(&read(text), "");
        assert_eq!(
            found,
            ["/var/lib/kubelet/pods/p/volumes/v", "/run/k3s/containerd/x/rootfs", "/run/netns/cni-1", "/run/k3s"]
        );
        assert_eq!(mounts(&read(&text.replace("/run/k3s ", "/r/run/k3s ")), "/r"), ["/r/run/k3s"]);
    }

    #[test]
    fn leases_of_other_networks_stay() {
        assert!(is_lease("cbr0", "cbr0") && is_lease("cbr0-0af3-eth0", "cbr0-"));
        assert!(!is_lease("cbr01", "cbr0") && !is_lease("podman", "cbr0") && !is_lease("bridge-1", "cbr0-"));
    }

    #[test]
    fn only_shims_of_k3s_itself() {
        assert!(is_shim("/var/lib/rancher/k3s/data/abc/bin/containerd-shim-runc-v2", ""));
        assert!(is_shim("/r/var/lib/rancher/k3s/data/abc/bin/containerd-shim-runc-v2 (deleted)", "/r"));
        assert!(!is_shim("/usr/bin/containerd-shim-runc-v2", ""));
        assert!(!is_shim("/var/lib/rancher/k3s/data/abc/bin/k3s", ""));
        assert!(is_k3s("/var/lib/rancher/k3s/data/abc/bin/k3s (deleted)", "") && !is_k3s("/usr/local/bin/k3s", ""));
        assert!(is_k3s_name("k3s-agent") && !is_k3s_name("kubectl") && !is_k3s_name("containerd"));
        assert!(!LINKS.contains(&"wg0"));
    }
}
