//! Divides the node's cgroup: what is in its root goes into `/init.scope`, and the controllers are switched on, so that
//! every unit can have a cgroup of its own. It comes before the loop, as the rest of the boot; it moves nothing that is
//! not this node's, and it gives up after a second at most.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use crate::boot::cgroup::{Facts, INIT, ROOT, Reason, Verdict, controllers, is_kernels, members, verdict};
use crate::sys::poll::Wait;
use crate::sys::{Errno, process};

use super::files::twice;

/// How often a refusal is tried again, and how long it is waited for in between: somebody on their way through the root
/// (`docker exec`) is gone in milliseconds.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(5);
/// The most passes over the root at one go: somebody who forks without pause is caught sooner.
const PASSES: u32 = 50;

/// What became of the node's cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Division {
    /// Units get cgroups below this directory.
    Done {
        /// The root of the tree.
        root: PathBuf,
        /// The controllers that could not be switched on, and the error.
        refused: Vec<(String, i32)>,
    },
    /// They get none.
    Without(Reason),
}

/// Divides the cgroup of this node, on a machine of our own (`appliance`) or in a container.
pub fn divide(appliance: bool) -> Division {
    if process::own_pid() != 1 {
        return Division::Without(Reason::NotInit);
    }
    let root = Path::new(ROOT);
    match verdict(&facts(appliance, root)) {
        Verdict::Without(reason) => Division::Without(reason),
        Verdict::Ours { read_only } => below(root, read_only).unwrap_or_else(Division::Without),
    }
}

fn facts(appliance: bool, root: &Path) -> Facts {
    let init = fs::read_to_string(root.join(INIT).join("cgroup.procs")).unwrap_or_default();
    Facts {
        appliance,
        version_2: statfs(root).is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC),
        mountinfo: fs::read_to_string("/proc/self/mountinfo").ok(),
        own: fs::read_to_string("/proc/self/cgroup").ok(),
        true_root: !root.join("cgroup.events").exists(),
        shared: members(&init).foreign > 0,
    }
}

fn below(root: &Path, read_only: bool) -> Result<Division, Reason> {
    if read_only {
        let flags = MsFlags::MS_REMOUNT
            | MsFlags::MS_BIND
            | MsFlags::MS_NOSUID
            | MsFlags::MS_NODEV
            | MsFlags::MS_NOEXEC
            | MsFlags::MS_RELATIME;
        let none: Option<&str> = None;
        mount(none, root, none, flags, none).map_err(|errno| Reason::ReadOnly(errno as i32))?;
    }
    let init = root.join(INIT);
    match fs::create_dir(&init) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(Reason::NotDelegated(code(&error))),
        Ok(()) | Err(_) => {}
    }
    put(&init.join("cgroup.procs"), "0").map_err(|error| Reason::NotDelegated(code(&error)))?;
    let refused = switch_on(root, &init);
    Ok(Division::Done { root: root.to_owned(), refused })
}

/// Empties the root and switches every controller on, each by a write of its own, so that one that is refused does not cost
/// the others. Which were refused, and why.
fn switch_on(root: &Path, init: &Path) -> Vec<(String, i32)> {
    let text = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    let mut refused: Vec<(String, i32)> = controllers(&text).iter().map(|name| ((*name).to_owned(), 0)).collect();
    let mut immovable = BTreeSet::new();
    for _ in 0..TRIES {
        let moved = empty(root, init, &mut immovable);
        refused.retain_mut(|(name, errno)| match put(&root.join("cgroup.subtree_control"), &format!("+{name}")) {
            Ok(()) => false,
            Err(error) => {
                *errno = code(&error);
                true
            }
        });
        // Somebody has come into the root meanwhile.
        if !refused.iter().any(|(_, errno)| *errno == Errno::EBUSY as i32) {
            break;
        }
        if moved == 0 {
            // It only ends early.
            let _ = Wait::default().sleep(Some(PAUSE));
        }
    }
    refused
}

/// Moves whoever is in the root, until nobody is whom we can move: how many were moved. Threads of the kernel stay.
fn empty(root: &Path, init: &Path, immovable: &mut BTreeSet<i32>) -> usize {
    let mut moved = 0;
    for _ in 0..PASSES {
        let text = fs::read_to_string(root.join("cgroup.procs")).unwrap_or_default();
        let mut pids = members(&text).pids;
        pids.retain(|pid| !immovable.contains(pid));
        if pids.is_empty() {
            break;
        }
        for pid in pids {
            if fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| is_kernels(&stat)) {
                immovable.insert(pid);
                continue;
            }
            match put(&init.join("cgroup.procs"), &pid.to_string()) {
                Ok(()) => moved += 1,
                Err(error) if code(&error) == Errno::ESRCH as i32 => {}
                Err(_) => {
                    immovable.insert(pid);
                }
            }
        }
    }
    moved
}

/// Writes `text` into a file of a cgroup, in one call.
pub fn put(path: &Path, text: &str) -> io::Result<()> {
    twice(|| OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes()))
}

fn code(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}
