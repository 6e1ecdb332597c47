//! Items 15, 19, 20, 21 and 24: limits, names, the clock, files, and who reaps.

use super::facts::Facts;
use super::finding::{Act, Finding, Need, SYS_RESOURCE};
use super::judge::{Judge, Title};

/// What k3s's own unit file asks for.
const OPEN_FILES: u64 = 1_048_576;
/// A container with fewer processes than this runs out of them with a few dozen pods.
const PIDS: u64 = 4096;
/// 1980: k3s does not start before.
const OLDEST: i64 = 315_532_800;

/// Where k3s keeps its node password, and where it is kept with the data directory.
const NODE: &str = "/etc/rancher/node";
const KEPT: &str = "/var/lib/rancher/k3s/node";

pub(super) fn all(judge: &Judge<'_>) -> Vec<Finding> {
    vec![
        open_files(judge),
        pids(judge.facts),
        oom_score(judge.facts),
        node_name(judge.facts),
        node_password(judge),
        machine_id(judge),
        clock(judge.facts),
        files(judge),
        reaper(judge.facts),
    ]
}

fn open_files(judge: &Judge<'_>) -> Finding {
    let title = Title(15, "open-files", Need::Should);
    let limit = judge.facts.open_files;
    if limit >= OPEN_FILES {
        return title.fine("enough files can be open");
    }
    let remedy = format!("start the container with --ulimit nofile={OPEN_FILES}:{OPEN_FILES}");
    judge.todo(title, &format!("{limit} files can be open"), vec![Act::OpenFiles(OPEN_FILES)], remedy)
}

fn pids(facts: &Facts) -> Finding {
    let title = Title(15, "pids", Need::Should);
    match facts.pids_max {
        Some(most) if most < PIDS => title.cannot(
            format!("{most} processes are allowed, for all pods together"),
            "start the container with --pids-limit=-1",
        ),
        Some(most) => title.fine(format!("{most} processes are allowed")),
        None => title.fine("no limit of processes"),
    }
}

/// runc gives every pod's first process a score below zero.
fn oom_score(facts: &Facts) -> Finding {
    let title = Title(15, "oom-score", Need::Should);
    if facts.user_namespace {
        return title.moot("in a user namespace k3s goes without");
    }
    if facts.capabilities >> SYS_RESOURCE.0 & 1 == 1 {
        return title.fine("pods can be protected from memory running out");
    }
    title.cannot(
        format!("{} is missing, so no pod starts", SYS_RESOURCE.1),
        "start the container with --cap-add SYS_RESOURCE, or with --privileged",
    )
}

fn node_name(facts: &Facts) -> Finding {
    let title = Title(19, "node-name", Need::Must);
    let name = &facts.node_name;
    let fits = |part: &str| {
        let inner = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        !part.is_empty()
            && part.len() <= 63
            && part.chars().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(fits) {
        title.fine(format!("this node is {name}"))
    } else {
        title.cannot(
            format!("{name:?} is no name for a node of Kubernetes"),
            "set NODE_NAME to lower-case letters, digits and '-'",
        )
    }
}

/// The password and the data directory: a node that keeps only one of them is refused as somebody else of its name.
fn node_password(judge: &Judge<'_>) -> Finding {
    let title = Title(19, "node-password", Need::Must);
    let password = judge.facts.password;
    if password.kept {
        return title.fine("it was kept");
    }
    if password.joined {
        let name = &judge.facts.node_name;
        return title.cannot(
            "this node was in a cluster, and /etc/rancher/node/password is lost",
            format!("on a server: k3s kubectl delete node {name}; then start again with NODE_K3S_IGNORE=node-password"),
        );
    }
    if password.folder {
        return title.fine("k3s will make one");
    }
    let acts = vec![Act::Link { path: NODE, target: KEPT }];
    judge.todo(title, "it would be lost when the data directory is kept", acts, "make /etc/rancher writable")
}

fn machine_id(judge: &Judge<'_>) -> Finding {
    let title = Title(19, "machine-id", Need::Should);
    if judge.facts.machine_id.as_deref().is_some_and(|id| !id.is_empty()) {
        return title.fine("there is one");
    }
    let act = Act::File { path: "/etc/machine-id", text: format!("{}\n", judge.facts.own_machine_id) };
    judge.todo(title, "/etc/machine-id is missing", vec![act], "make /etc/machine-id: 32 digits, each node its own")
}

fn clock(facts: &Facts) -> Finding {
    let title = Title(20, "clock", Need::Must);
    if facts.clock >= OLDEST {
        return title.fine("it is after 1980");
    }
    title.cannot(
        "it is before 1980, and k3s does not start then",
        "set the clock of the host: date -s, or an NTP client",
    )
}

fn files(judge: &Judge<'_>) -> Finding {
    let title = Title(21, "files", Need::Should);
    let facts = judge.facts;
    let mut acts = Vec::new();
    let mut missing = Vec::new();
    if !facts.has("/etc/nsswitch.conf") {
        missing.push("/etc/nsswitch.conf");
        acts.push(Act::File { path: "/etc/nsswitch.conf", text: "hosts: files dns\n".to_owned() });
    }
    if facts.hosts.trim().is_empty() {
        missing.push("/etc/hosts");
        let name = &facts.node_name;
        let own = facts.address.map(|address| format!("{address} {name}\n")).unwrap_or_default();
        let text = format!("127.0.0.1 localhost\n::1 localhost\n{own}");
        acts.push(Act::File { path: "/etc/hosts", text });
    }
    let given: Vec<_> = ["/etc/ssl/certs", "/etc/passwd", "/etc/group", "/etc/os-release"]
        .into_iter()
        .filter(|path| !facts.has(path))
        .collect();
    missing.extend(&given);
    if missing.is_empty() {
        return title.fine("the files that k3s reads are there");
    }
    let seen = format!("missing: {}", missing.join(", "));
    let remedy = "put them into the image (Debian: ca-certificates, base-files, base-passwd); images are pulled only with certificates";
    if acts.is_empty() { title.cannot(seen, remedy) } else { judge.todo(title, &seen, acts, remedy) }
}

/// Shims of containers leave their parents: only PID 1 can take their children.
fn reaper(facts: &Facts) -> Finding {
    let title = Title(24, "reaper", Need::May);
    const REAP: &[&str] =
        &["clusteros-init", "systemd", "init", "tini", "docker-init", "dumb-init", "catatonit", "s6-svscan"];
    if REAP.contains(&facts.first.as_str()) {
        return title.fine(format!("PID 1 is {}", facts.first));
    }
    title.cannot(
        format!("PID 1 is {}, which may not reap what pods leave", facts.first),
        "let clusteros-init be the container's first process",
    )
}
