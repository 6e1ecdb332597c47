//! What k3s's environment must not say.

/// `INVOCATION_ID` makes k3s look for systemd's cgroups; the others speak of a supervisor's things that k3s was not given.
const OF_A_SUPERVISOR: &[&str] = &[
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "MAINPID",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// What its configuration says already, and would be said against.
const OF_K3S: &[&str] = &[
    "K3S_AGENT_TOKEN",
    "K3S_AGENT_TOKEN_FILE",
    "K3S_CLUSTER_INIT",
    "K3S_CONFIG_FILE",
    "K3S_DATA_DIR",
    "K3S_NODE_NAME",
    "K3S_RESOLV_CONF",
    "K3S_TOKEN",
    "K3S_TOKEN_FILE",
    "K3S_URL",
    "K3S_VPN_AUTH",
    "K3S_VPN_AUTH_FILE",
];

/// What is nobody's business but the agent's.
const SECRET: &[&str] = &["CLUSTER_AUTH_KEY"];

/// Where k3s looks for iptables, modprobe and mount.
const FOLDERS: &[&str] = &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Whether k3s must not have the variable.
pub fn is_kept_back(name: &str) -> bool {
    [OF_A_SUPERVISOR, OF_K3S, SECRET].iter().any(|names| names.contains(&name))
}

/// `path` with the folders that it lacks.
pub fn path(path: &str) -> String {
    let mut folders: Vec<&str> = path.split(':').filter(|folder| !folder.is_empty()).collect();
    for folder in FOLDERS {
        if !folders.contains(folder) {
            folders.push(folder);
        }
    }
    folders.join(":")
}

#[cfg(test)]
mod tests {
    use super::{is_kept_back, path};

    #[test]
    fn k3s_is_not_misled() {
        for name in ["INVOCATION_ID", "WATCHDOG_USEC", "LISTEN_FDS", "K3S_URL", "K3S_TOKEN", "CLUSTER_AUTH_KEY"] {
            assert!(is_kept_back(name), "{name}");
        }
        for name in ["NOTIFY_SOCKET", "PATH", "HOME", "NO_PROXY", "CONTAINERD_HTTP_PROXY", "NODE_NAME"] {
            assert!(!is_kept_back(name), "{name}");
        }
        assert_eq!(path("/opt/bin::/usr/bin"), "/opt/bin:/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin");
    }
}
