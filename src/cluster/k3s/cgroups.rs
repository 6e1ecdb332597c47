//! Items 4 to 9: cgroups. Emptying the container's root cgroup is PID 1's: here it is only looked at.

use super::facts::Cgroup;
use super::finding::{Act, Finding, Need, State};
use super::judge::{Judge, Title};
use super::mounts::{Mount, covering};

/// Where the cgroups are.
const ROOT: &str = "/sys/fs/cgroup";
/// What k3s refuses to start without (pkg/cgroups and pkg/daemons/agent of k3s).
const NEEDED: &[&str] = &["cpu", "cpuset", "memory", "pids"];
/// Where PID 1 keeps itself, and whoever enters the container by its engine.
const INIT: &str = "/init.scope";
/// Where PID 1 puts the unit k3s.
const UNIT: &str = "/k3s.service";

pub(super) fn all(judge: &Judge<'_>) -> Vec<Finding> {
    let unified = unified(judge);
    if unified.is_obstacle() {
        let titles = [
            Title(4, "controllers", Need::Must),
            Title(5, "evacuated", Need::Must),
            Title(6, "init-scope", Need::Should),
            Title(7, "cgroup-namespace", Need::Must),
        ];
        let mut all: Vec<_> = titles.into_iter().map(|title| title.moot("see cgroup-v2")).collect();
        all.push(super::plan::environment(judge));
        all.push(unified);
        return all;
    }
    let controllers = controllers(judge);
    // Nobody can hand on what is not there, or write where nobody can.
    let evacuated = match controllers.state {
        State::Cannot => Title(5, "evacuated", Need::Must).moot("see controllers"),
        _ => evacuated(judge),
    };
    vec![controllers, evacuated, init_scope(judge), namespace(judge), super::plan::environment(judge), unified]
}

/// Where k3s will be, as who looks by hand sees it: an engine puts him into PID 1's own cgroup, and PID 1 the unit into another.
pub fn of_the_unit(cgroup: &Cgroup) -> &str {
    let entered = !cgroup.kernel_root && cgroup.first == INIT && cgroup.own == INIT;
    if entered { UNIT } else { &cgroup.own }
}

/// Why the pods in the cgroups that are seen here may be another's, who must not lose them; none if they are this node's.
pub fn others(container: bool, cgroup: &Cgroup, mounts: &[Mount]) -> Option<String> {
    // PID 1 is outside of what is seen, so that is a part which somebody made.
    let is_part = cgroup.first.starts_with("/..") && covering(mounts, ROOT).is_some_and(|mount| mount.root == "/");
    if is_part { None } else { hosts(container, cgroup, mounts) }
}

/// Whether the cgroups are the host's own, not this container's.
fn is_hosts(judge: &Judge<'_>) -> Option<String> {
    hosts(judge.facts.container, &judge.facts.cgroup, &judge.facts.mounts)
}

fn hosts(container: bool, cgroup: &Cgroup, mounts: &[Mount]) -> Option<String> {
    if !container || cgroup.kernel_root && cgroup.first == INIT && cgroup.own.starts_with(INIT) {
        return None;
    }
    let root = covering(mounts, ROOT).map_or("", |mount| mount.root.as_str());
    let strange = |path: &str| !matches!(path, "/" | INIT);
    match (root, cgroup.first.as_str()) {
        ("/", first) if strange(first) => Some(format!("PID 1 is in {first}, so this is the host's tree")),
        ("/", _) => None,
        (other, _) => Some(format!("{ROOT} is {other:?} of the host's tree")),
    }
}

fn namespace(judge: &Judge<'_>) -> Finding {
    let title = Title(7, "cgroup-namespace", Need::Must);
    match is_hosts(judge) {
        Some(seen) => title.cannot(
            seen,
            "the host's cgroups are in the container: start it with --cgroupns=private and without -v /sys/fs/cgroup",
        ),
        None if judge.facts.container => title.fine("the container has a tree of its own"),
        None => title.fine("the tree is this machine's"),
    }
}

fn controllers(judge: &Judge<'_>) -> Finding {
    let title = Title(4, "controllers", Need::Must);
    let cgroup = &judge.facts.cgroup;
    let missing: Vec<_> = NEEDED.iter().copied().filter(|name| !cgroup.controllers.contains(*name)).collect();
    if !missing.is_empty() {
        let remedy = if judge.facts.user_namespace {
            "delegate them to the user on the host: Delegate=cpu cpuset io memory pids in user@.service.d/delegate.conf"
        } else if judge.facts.container {
            "start the container with --cgroupns=private --privileged, on a host whose own cgroup has them"
        } else {
            "take cgroup_disable= from the kernel's command line, or build a kernel with them"
        };
        return title.cannot(format!("{ROOT} lacks {}", missing.join(", ")), remedy);
    }
    if covering(&judge.facts.mounts, ROOT).is_some_and(Mount::read_only) {
        let remedy = "start the container with --privileged, or with --cap-add SYS_ADMIN and --cgroupns=private";
        return judge.todo(title, &format!("{ROOT} is read-only"), vec![Act::Writable(ROOT)], remedy);
    }
    title.fine(format!("{} are there", NEEDED.join(", ")))
}

fn evacuated(judge: &Judge<'_>) -> Finding {
    let title = Title(5, "evacuated", Need::Must);
    let cgroup = &judge.facts.cgroup;
    if is_hosts(judge).is_some() {
        return title.moot("see cgroup-namespace");
    }
    if cgroup.kernel_root {
        return title.fine("this is the kernel's root cgroup, where processes may stay");
    }
    let remedy = "PID 1 does it: start the container with clusteros-init as its first process, --cgroupns=private and --privileged";
    if cgroup.processes > 0 {
        return title
            .cannot(format!("{} processes are in the root cgroup, so no pod can be", cgroup.processes), remedy);
    }
    let missing: Vec<_> = NEEDED.iter().copied().filter(|name| !cgroup.enabled.contains(*name)).collect();
    if missing.is_empty() {
        title.fine("the root cgroup is empty, and its controllers are handed on")
    } else {
        title.cannot(format!("the root cgroup does not hand on {}", missing.join(", ")), remedy)
    }
}

/// k3s looks at where PID 1 and itself are: at other names it moves itself into /k3s, out of the unit's cgroup.
fn init_scope(judge: &Judge<'_>) -> Finding {
    let title = Title(6, "init-scope", Need::Should);
    let cgroup = &judge.facts.cgroup;
    if is_hosts(judge).is_some() {
        return title.moot("see cgroup-namespace");
    }
    if matches!(cgroup.first.as_str(), "/" | INIT) && !cgroup.own.contains(".scope") {
        return title.fine(format!("PID 1 is in {}, k3s in {}", cgroup.first, cgroup.own));
    }
    let seen = format!("PID 1 is in {}, k3s in {}, so k3s would move itself", cgroup.first, cgroup.own);
    judge.told(title, &seen, "kubelet-arg", format!("kubelet-cgroups={}", cgroup.own))
}

fn unified(judge: &Judge<'_>) -> Finding {
    let title = Title(9, "cgroup-v2", Need::Must);
    if judge.facts.cgroup.unified {
        return title.fine("the host has cgroup v2");
    }
    title.cannot(
        "the host has cgroup v1, or both, and kubelet 1.35 refuses it",
        "start the host with systemd.unified_cgroup_hierarchy=1 or cgroup_no_v1=all on its kernel's command line",
    )
}

#[cfg(test)]
mod tests {
    use super::{Cgroup, of_the_unit, others};
    use crate::cluster::k3s::mounts::read;

    #[test]
    fn who_looks_by_hand_is_not_where_k3s_will_be() {
        let seen = |own: &str, first: &str, kernel_root: bool| {
            let cgroup = Cgroup { own: own.into(), first: first.into(), kernel_root, ..Cgroup::default() };
            of_the_unit(&cgroup).to_owned()
        };
        assert_eq!(seen("/init.scope", "/init.scope", false), "/k3s.service");
        assert_eq!(seen("/shell.scope", "/init.scope", false), "/shell.scope");
        assert_eq!(seen("/init.scope", "/init.scope", true), "/init.scope");
        assert_eq!(seen("/", "/", false), "/");
    }

    #[test]
    fn pods_of_the_host_are_not_this_nodes() {
        let seen = |container: bool, first: &str, root: &str, kernel_root: bool| {
            let (own, first) = ("/init.scope/k3s-pods".to_owned(), first.to_owned());
            let cgroup = Cgroup { own, first, kernel_root, ..Cgroup::default() };
            others(container, &cgroup, &read(&format!("1 0 0:1 {root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")))
        };
        assert_eq!(seen(true, "/init.scope", "/", false), None);
        assert_eq!(seen(false, "/init.scope", "/", true), None);
        assert_eq!(seen(true, "/../..", "/", false), None);
        assert_eq!(
            seen(true, "/system.slice/docker-1.scope", "/", true).as_deref(),
            Some("PID 1 is in /system.slice/docker-1.scope, so this is the host's tree")
        );
        assert_eq!(
            seen(true, "/", "/../../..", false).as_deref(),
            Some("/sys/fs/cgroup is \"/../../..\" of the host's tree")
        );
    }
}
