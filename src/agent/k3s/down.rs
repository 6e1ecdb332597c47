//! `node-agent k3s --down`: takes away what k3s leaves behind, pods included. For after k3s was stopped.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use log::{info, warn};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::runtime::Builder;

use crate::agent::Failure;
use crate::agent::paths::Paths;
use crate::agent::wg::Links;
use crate::cluster::k3s::leftovers::{LEASES, LINKS, NAMESPACES, PODS, is_shim, mounts};
use crate::cluster::k3s::mounts::read;

/// Pods have this long to end by themselves, as far as they heed TERM.
const GRACE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// Takes everything away; says what could not be, and then exits with 1.
pub fn down(paths: &Paths) -> Result<(), Failure> {
    let root = paths.resolve(Path::new("/"));
    let root = root.to_str().map_or("", |root| root.trim_end_matches('/'));
    let mut left = Vec::new();
    end_pods(&mut left);
    let shims = processes(|exe| is_shim(exe, root));
    shims.iter().for_each(|pid| send(*pid, Signal::SIGKILL));
    if !shims.is_empty() {
        info!("killed {} shims of pods", shims.len());
    }
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts(&read(&mountinfo), root);
    for point in &points {
        let gone =
            umount2(point.as_str(), MntFlags::MNT_FORCE).or_else(|_| umount2(point.as_str(), MntFlags::MNT_DETACH));
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
    match fs::remove_dir_all(paths.resolve(Path::new(LEASES))) {
        Err(error) if error.kind() != ErrorKind::NotFound => left.push(format!("{LEASES}: {error}")),
        _ => {}
    }
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

/// TERM to all of them, and after the grace the kernel ends the rest.
fn end_pods(left: &mut Vec<String>) {
    let pods = Path::new(PODS);
    if !pods.exists() {
        return;
    }
    let mut all = Vec::new();
    members(pods, &mut all);
    all.iter().for_each(|pid| send(*pid, Signal::SIGTERM));
    let end = Instant::now() + GRACE;
    while populated(pods) && Instant::now() < end {
        sleep(PAUSE);
    }
    if populated(pods) && fs::write(pods.join("cgroup.kill"), "1").is_err() {
        // A kernel before 5.14.
        let mut rest = Vec::new();
        members(pods, &mut rest);
        rest.iter().for_each(|pid| send(*pid, Signal::SIGKILL));
    }
    let end = Instant::now() + GRACE;
    while populated(pods) && Instant::now() < end {
        sleep(PAUSE);
    }
    remove(pods);
    if pods.exists() {
        left.push(format!("{PODS}: somebody is still in it"));
    } else if !all.is_empty() {
        info!("ended {} processes of pods", all.len());
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
