//! `node-agent k3s --down`: takes away what k3s leaves behind, pods included. For after k3s was stopped. `--clear` takes away
//! what is left where no pod lives any more.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use log::{info, warn};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::runtime::Builder;

use super::facts;
use crate::agent::Failure;
use crate::agent::paths::Paths;
use crate::agent::wg::Links;
use crate::cluster::k3s::cgroups;
use crate::cluster::k3s::ending::Haste;
use crate::cluster::k3s::leftovers::{
    LEASES, LINKS, MISLED, NAMESPACES, PODS, SLICE, is_k3s, is_k3s_name, is_lease, is_shim, mounts,
};
use crate::cluster::k3s::mounts::read;
use crate::unit::stopping;

const PAUSE: Duration = Duration::from_millis(50);
/// How the kernel shows a process that is outside of this pid namespace, and so no pod of this node.
const OUTSIDE: i32 = 0;
/// What was sent a KILL is gone in no time, unless it sleeps in the kernel.
const KILLED: Duration = Duration::from_secs(5);

/// How much time there is, as PID 1 tells a `stop` command.
pub(super) fn haste() -> Haste {
    let [reason, span] = [stopping::REASON, stopping::SPAN].map(|name| std::env::var(name).ok());
    Haste::new(reason.as_deref(), span.as_deref())
}

/// Takes everything away; says what could not be, and then exits with 1.
pub fn down(paths: &Paths) -> Result<(), Failure> {
    if let Some(cause) = in_the_way(paths) {
        return Err(Failure { code: 1, text: format!("unable to end the pods of k3s: {cause}") });
    }
    let mut left = Vec::new();
    end_pods(Path::new(PODS), haste().grace(), &mut left);
    let shims = shims(paths);
    shims.iter().for_each(|pid| send(*pid, Signal::SIGKILL));
    if !shims.is_empty() {
        info!("killed {} shims of pods", shims.len());
    }
    end(Path::new(MISLED), &mut left);
    take_away(paths, &mut left);
    let runtime = Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(delete_links())) {
        Ok(gone) if gone.is_empty() => {}
        Ok(gone) => info!("deleted the links {}", gone.join(", ")),
        Err(error) => left.push(format!("the links of pods: {error}")),
    }
    let Some(last) = left.pop() else { return Ok(()) };
    left.iter().for_each(|what| warn!("unable to take away {what}; take it away by hand"));
    Err(Failure { code: 1, text: format!("unable to take away {last}; take it away by hand") })
}

/// Why nothing may be taken away here.
fn in_the_way(paths: &Paths) -> Option<String> {
    if [PODS, MISLED].iter().any(|cgroup| Path::new(cgroup).exists()) {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        if let Some(seen) = cgroups::others(facts::in_container(), &facts::cgroup(), &read(&mountinfo)) {
            return Some(format!("{seen}; they may be the host's, so nothing was changed"));
        }
    }
    let root = root(paths);
    let named = |pid: &i32| is_k3s_name(fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim());
    // PID 1 has stopped it before, as far as it could be.
    let by_hand = std::env::var_os(stopping::REASON).is_none();
    let running = by_hand.then(|| processes(|exe| is_k3s(exe, &root)).into_iter().find(named)).flatten()?;
    Some(format!("k3s runs as process {running}; stop it first with 'initctl stop k3s'"))
}

/// Takes away what a node that ended without order left: the mounts of pods, and the addresses that they had. Where a pod lives
/// nothing is touched. What cannot be taken away keeps no k3s from starting.
pub fn clear(paths: &Paths) -> Result<(), Failure> {
    if [PODS, SLICE].iter().any(|pods| populated(Path::new(pods))) || !shims(paths).is_empty() {
        info!("pods live here: nothing of theirs is taken away");
        return Ok(());
    }
    let mut left = Vec::new();
    take_away(paths, &mut left);
    left.iter().for_each(|what| warn!("unable to take away {what}, which pods left; k3s has to do with it"));
    Ok(())
}

/// What is on disk and mounted.
fn take_away(paths: &Paths, left: &mut Vec<String>) {
    let root = root(paths);
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts(&read(&mountinfo), &root);
    for point in &points {
        // A link at its place leads to what is not a pod's.
        let umount = |how| umount2(point.as_str(), how | MntFlags::UMOUNT_NOFOLLOW);
        let gone = umount(MntFlags::MNT_FORCE).or_else(|_| umount(MntFlags::MNT_DETACH));
        left.extend(gone.err().map(|errno| format!("{point}: {}", errno.desc())));
    }
    if !points.is_empty() {
        info!("unmounted {} mounts of pods", points.len());
    }
    let folder = paths.resolve(Path::new(NAMESPACES.0));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(NAMESPACES.1) {
            left.extend(
                fs::remove_file(entry.path()).err().map(|error| format!("{}: {error}", entry.path().display())),
            );
        }
    }
    for (folder, known) in LEASES {
        let entries = fs::read_dir(paths.resolve(Path::new(folder))).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| is_lease(&entry.file_name().to_string_lossy(), known)) {
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let gone = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            left.extend(gone.err().map(|error| format!("{}: {error}", path.display())));
        }
    }
}

/// What paths are under; empty for `/`.
fn root(paths: &Paths) -> String {
    let root = paths.resolve(Path::new("/"));
    root.to_str().map_or("", |root| root.trim_end_matches('/')).to_owned()
}

fn shims(paths: &Paths) -> Vec<i32> {
    let root = root(paths);
    processes(|exe| is_shim(exe, &root))
}

/// TERM to all of them, and after the grace the kernel ends the rest.
fn end_pods(pods: &Path, grace: Duration, left: &mut Vec<String>) {
    let mut all = Vec::new();
    members(pods, &mut all);
    if all.contains(&OUTSIDE) {
        left.push(strangers(pods));
        return;
    }
    if !pods.exists() {
        return;
    }
    all.iter().for_each(|pid| send(*pid, Signal::SIGTERM));
    wait_until_empty(pods, grace);
    if end(pods, left) && !all.is_empty() {
        info!("ended {} processes of pods", all.len());
    }
}

/// Kills who is in the cgroup, and removes it. Whether that is done.
fn end(cgroup: &Path, left: &mut Vec<String>) -> bool {
    let mut all = Vec::new();
    members(cgroup, &mut all);
    if all.contains(&OUTSIDE) {
        left.push(strangers(cgroup));
        return false;
    }
    if populated(cgroup) && fs::write(cgroup.join("cgroup.kill"), "1").is_err() {
        // A kernel before 5.14.
        let mut rest = Vec::new();
        members(cgroup, &mut rest);
        rest.iter().for_each(|pid| send(*pid, Signal::SIGKILL));
    }
    wait_until_empty(cgroup, KILLED);
    remove(cgroup);
    let there = cgroup.exists();
    if there {
        left.push(format!("{}: somebody is still in it", cgroup.display()));
    }
    !there
}

fn strangers(cgroup: &Path) -> String {
    format!("{}: processes from outside of this container are in it", cgroup.display())
}

fn wait_until_empty(cgroup: &Path, limit: Duration) {
    let until = Instant::now() + limit;
    while populated(cgroup) && Instant::now() < until {
        sleep(PAUSE);
    }
}

fn populated(cgroup: &Path) -> bool {
    fs::read_to_string(cgroup.join("cgroup.events")).is_ok_and(|text| text.lines().any(|line| line == "populated 1"))
}

fn members(cgroup: &Path, all: &mut Vec<i32>) {
    let own = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    all.extend(own.lines().filter_map(|pid| pid.parse::<i32>().ok()));
    below(cgroup, |inner| members(inner, all));
}

fn remove(cgroup: &Path) {
    below(cgroup, remove);
    // What is not gone is said by the caller.
    drop(fs::remove_dir(cgroup));
}

fn below(cgroup: &Path, mut act: impl FnMut(&Path)) {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).for_each(|entry| act(&entry.path()));
}

/// The processes whose program is such a one.
fn processes(is: impl Fn(&str) -> bool) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.to_str().is_some_and(&is)))
        .collect()
}

/// Who is gone already need not be told. 0 is who is outside of this pid namespace, and would be our own group.
fn send(pid: i32, signal: Signal) {
    if pid > 1 {
        kill(Pid::from_raw(pid), signal).unwrap_or_default();
    }
}

async fn delete_links() -> std::io::Result<Vec<String>> {
    let links = Links::open()?;
    let mut gone = Vec::new();
    for name in LINKS {
        if let Some(link) = links.find(name).await? {
            links.delete(link.index).await?;
            gone.push((*name).to_owned());
        }
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::{end, end_pods};
    use std::fs;
    use std::time::Duration;

    #[test]
    fn pods_among_which_are_processes_of_the_host_are_not_ended() {
        let pods = std::env::temp_dir().join(format!("clusteros-init-pods-{}", std::process::id()));
        fs::create_dir_all(pods.join("burstable")).unwrap();
        fs::write(pods.join("cgroup.events"), "populated 1\n").unwrap();
        fs::write(pods.join("burstable/cgroup.procs"), "0\n0\n").unwrap();
        let mut left = Vec::new();
        end_pods(&pods, Duration::ZERO, &mut left);
        assert!(!end(&pods, &mut left));
        let line = format!("{}: processes from outside of this container are in it", pods.display());
        assert_eq!(left, [line.clone(), line]);
        assert!(!pods.join("cgroup.kill").exists());
        fs::remove_dir_all(pods).unwrap();
    }
}
