//! The keys that k3s 1.33 to 1.36 reads from config.yaml (pkg/cli/cmds of k3s), per role. k3s only warns of a misspelt one on a
//! server, and ends on an agent: here it is refused, with the nearest that there is.

use super::role::Role;
use crate::unit::suggest::nearest;

/// A server's and an agent's.
const BOTH: &[&str] = &[
    "airgap-extra-registry",
    "alsologtostderr",
    "bind-address",
    "config",
    "container-runtime-endpoint",
    "data-dir",
    "debug",
    "default-runtime",
    "disable-default-registry-endpoint",
    "docker",
    "enable-pprof",
    "flannel-cni-conf",
    "flannel-conf",
    "flannel-iface",
    "image-credential-provider-bin-dir",
    "image-credential-provider-config",
    "image-service-endpoint",
    "kube-proxy-arg",
    "kubelet-arg",
    "lb-server-port",
    "log",
    "node-external-dns",
    "node-external-ip",
    "node-internal-dns",
    "node-ip",
    "node-label",
    "node-name",
    "node-taint",
    "nonroot-devices",
    "pause-image",
    "prefer-bundled-bin",
    "private-registry",
    "protect-kernel-defaults",
    "resolv-conf",
    "rootless",
    "selinux",
    "server",
    "snapshotter",
    "token",
    "token-file",
    "v",
    "vmodule",
    "vpn-auth",
    "vpn-auth-file",
    "with-node-id",
];

/// A server's alone.
const SERVER: &[&str] = &[
    "advertise-address",
    "advertise-port",
    "agent-token",
    "agent-token-file",
    "apiserver-bind-address",
    "apiserver-port",
    "cluster-cidr",
    "cluster-dns",
    "cluster-domain",
    "cluster-init",
    "cluster-reset",
    "cluster-reset-restore-path",
    "datastore-cafile",
    "datastore-certfile",
    "datastore-endpoint",
    "datastore-keyfile",
    "default-local-storage-path",
    "disable",
    "disable-agent",
    "disable-apiserver",
    "disable-cloud-controller",
    "disable-controller-manager",
    "disable-etcd",
    "disable-helm-controller",
    "disable-kube-proxy",
    "disable-network-policy",
    "disable-scheduler",
    "egress-selector-mode",
    "embedded-registry",
    "etcd-arg",
    "etcd-disable-snapshots",
    "etcd-expose-metrics",
    "etcd-s3",
    "etcd-s3-access-key",
    "etcd-s3-bucket",
    "etcd-s3-bucket-lookup-type",
    "etcd-s3-config-secret",
    "etcd-s3-endpoint",
    "etcd-s3-endpoint-ca",
    "etcd-s3-folder",
    "etcd-s3-insecure",
    "etcd-s3-proxy",
    "etcd-s3-region",
    "etcd-s3-retention",
    "etcd-s3-secret-key",
    "etcd-s3-session-token",
    "etcd-s3-skip-ssl-verify",
    "etcd-s3-timeout",
    "etcd-snapshot-compress",
    "etcd-snapshot-dir",
    "etcd-snapshot-name",
    "etcd-snapshot-reconcile-interval",
    "etcd-snapshot-retention",
    "etcd-snapshot-schedule-cron",
    "flannel-backend",
    "flannel-external-ip",
    "flannel-ipv6-masq",
    "helm-controller-arg",
    "helm-job-image",
    "https-listen-port",
    "kine-tls",
    "kube-apiserver-arg",
    "kube-cloud-controller-arg",
    "kube-cloud-controller-manager-arg",
    "kube-controller-arg",
    "kube-controller-manager-arg",
    "kube-scheduler-arg",
    "secrets-encryption",
    "secrets-encryption-provider",
    "service-cidr",
    "service-node-port-range",
    "servicelb-namespace",
    "supervisor-metrics",
    "supervisor-port",
    "system-default-registry",
    "tls-san",
    "tls-san-security",
    "write-kubeconfig",
    "write-kubeconfig-group",
    "write-kubeconfig-mode",
];

/// What a person may not say, and why.
const OURS: &[(&str, &str)] = &[
    ("bind-address", "k3s's own agent would look for the server there; k3s listens everywhere anyway"),
    ("cluster-init", "it follows from NODE_BOOTSTRAP"),
    ("cluster-reset", "it is done by hand, once: k3s server --cluster-reset"),
    ("config", "there is one configuration, and this is it"),
    ("data-dir", "it is /var/lib/rancher/k3s: mount a volume there"),
    ("flannel-iface", "it is the mesh's link"),
    ("log", "k3s would say that it is ready before it is"),
    ("node-ip", "it is this node's address in the mesh"),
    ("node-name", "set NODE_NAME"),
    ("protect-kernel-defaults", "kubelet would fail where it can set a value itself"),
    ("rootless", "k3s would leave the network that the mesh is in"),
    ("server", "it is found by gossip"),
    ("token", "it follows from the cluster key"),
    ("token-file", "it follows from the cluster key"),
    ("vpn-auth", "the mesh is its network"),
    ("vpn-auth-file", "the mesh is its network"),
];

/// Whether a person may give k3s this key in that role; the error says why not.
pub fn check(role: Role, key: &str) -> Result<(), String> {
    if let Some((_, why)) = OURS.iter().find(|(ours, _)| *ours == key) {
        return Err(format!("not to be set: {why}"));
    }
    let known = |key: &str| BOTH.contains(&key) || role == Role::Server && SERVER.contains(&key);
    if known(key) {
        return Ok(());
    }
    if SERVER.contains(&key) {
        return Err("an agent has no such key, and would not start: it is a server's".to_owned());
    }
    let all = BOTH.iter().chain(if role == Role::Server { SERVER } else { &[] }).copied();
    match nearest(key, all) {
        Some(near) => Err(format!("k3s has no such key; did you mean {near}?")),
        None => Err(format!("k3s has no such key; see 'k3s {} --help'", role.word())),
    }
}

#[cfg(test)]
mod tests {
    use super::{BOTH, OURS, SERVER, check};
    use crate::cluster::k3s::Role;

    #[test]
    fn keys_are_checked_by_role() {
        assert_eq!(check(Role::Server, "disable"), Ok(()));
        assert_eq!(check(Role::Agent, "node-label"), Ok(()));
        assert_eq!(
            check(Role::Agent, "disable"),
            Err("an agent has no such key, and would not start: it is a server's".to_owned())
        );
        assert_eq!(check(Role::Server, "disabel"), Err("k3s has no such key; did you mean disable?".to_owned()));
        assert_eq!(check(Role::Server, "tls_san"), Err("k3s has no such key; did you mean tls-san?".to_owned()));
        assert_eq!(
            check(Role::Agent, "zebra-crossing-light"),
            Err("k3s has no such key; see 'k3s agent --help'".to_owned())
        );
        assert_eq!(
            check(Role::Server, "log"),
            Err("not to be set: k3s would say that it is ready before it is".to_owned())
        );
    }

    #[test]
    fn the_lists_are_sorted_and_what_is_ours_is_known() {
        for list in [BOTH, SERVER] {
            assert!(list.is_sorted());
        }
        assert!(BOTH.iter().all(|key| !SERVER.contains(key)));
        assert!(OURS.iter().all(|(key, _)| BOTH.contains(key) || SERVER.contains(key)));
    }
}
