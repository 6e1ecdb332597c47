//! The units' cgroups: each unit has `NAME.service` below the node's own, made when it starts and removed when nobody is in
//! it any more. No descriptor is held: a directory is opened when it is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::boot::cgroup::{ENDING, INIT, Reason, controllers, members};
use crate::control::Usage;
use crate::control::consumption::{entry, number};
use crate::sys::cgroup::Membership;
use crate::sys::{process, signal};
use crate::unit::cgroup::{Knob, Unmet, unmet};
use crate::unit::words::errno_text;
use crate::unit::{Errno, Kill, Role, Table, Unit};

use super::division::{Division, put};
use super::say;

/// How deep a unit's own tree is gone through: the kernel has no limit, a person does.
const DEPTH: usize = 16;
/// How often a cgroup without `cgroup.kill` (before Linux 5.14) is gone through: it is frozen meanwhile, so once is enough.
const PASSES: usize = 8;

/// What PID 1 knows of the units' cgroups.
#[derive(Debug)]
pub struct Cgroups {
    division: Division,
    /// What can be set here.
    knobs: Vec<Knob>,
    /// By unit: how many of its processes the kernel had killed for want of memory when it was started.
    killed: BTreeMap<String, u64>,
    /// Units whose cgroup may be removed when nobody is in it.
    over: BTreeSet<String>,
    /// Units whose cgroup was made here and never killed since.
    unkilled: BTreeSet<String>,
}

impl Cgroups {
    /// From what became of the node's cgroup; none: nobody asked for cgroups. What an earlier life left is removed when
    /// it is empty, and entered again when a unit has its name.
    pub fn new(division: Option<Division>) -> Cgroups {
        let division = division.unwrap_or(Division::Without(Reason::NotInit));
        let mut cgroups = Cgroups {
            division,
            knobs: Vec::new(),
            killed: BTreeMap::new(),
            over: BTreeSet::new(),
            unkilled: BTreeSet::new(),
        };
        if let Some(root) = cgroups.root() {
            let init = root.join(INIT);
            let knobs = Knob::ALL.into_iter().filter(|knob| init.join(knob.file()).exists()).collect();
            let left = folders(root).filter_map(|name| name.strip_suffix(ENDING).map(str::to_owned)).collect();
            (cgroups.knobs, cgroups.over) = (knobs, left);
            cgroups.tidy(|_| false);
            // Who is still there was started before a re-exec.
            let names = cgroups.over.iter().cloned();
            let counted = names.filter_map(|name| Some((cgroups.folder(&name)?, name)));
            cgroups.killed = counted.map(|(folder, name)| (name, kills(&folder))).collect();
        }
        cgroups
    }

    /// What another program knew of them: their directory, if there is one, and how many processes of each unit the kernel had
    /// killed for want of memory when it was started.
    pub fn take_over(root: Option<String>, killed: Vec<(String, u64)>) -> Cgroups {
        let done = |root: String| Division::Done { root: root.into(), refused: Vec::new() };
        let mut cgroups = Cgroups::new(Some(root.map_or(Division::Without(Reason::Before), done)));
        cgroups.killed = killed.into_iter().collect();
        cgroups
    }

    /// What another program takes over.
    pub fn estate(&self) -> (Option<String>, Vec<(String, u64)>) {
        let killed = self.killed.iter().map(|(unit, count)| (unit.clone(), *count));
        (self.root().map(|root| root.to_string_lossy().into_owned()), killed.collect())
    }

    fn root(&self) -> Option<&Path> {
        match &self.division {
            Division::Done { root, .. } => Some(root),
            Division::Without(_) => None,
        }
    }

    fn folder(&self, name: &str) -> Option<PathBuf> {
        self.root().map(|root| root.join(format!("{name}{ENDING}")))
    }

    /// Says in one line what units of `table` go without, at the start.
    pub fn say(&self, table: &Table) {
        if self.warn(table) {
            return;
        }
        match &self.division {
            Division::Without(Reason::NotInit | Reason::Before) => {}
            Division::Without(reason) => {
                let (cause, remedy) = reason.words(|errno| errno_text(Errno(errno)));
                match reason {
                    Reason::HostTree => {
                        log::warn!("unable to give units cgroups: {cause}; a stop ends process groups; {remedy}");
                    }
                    _ => log::info!("units have no cgroups: {cause}; a stop ends process groups; {remedy}"),
                }
            }
            Division::Done { refused, .. } if refused.is_empty() => {}
            Division::Done { refused, .. } => {
                let names = causes(refused);
                log::info!("the cgroup controllers {names} could not be switched on; what they count is not known");
            }
        }
    }

    /// Warns in one line of the limits in `table` that do not hold here. Whether there are any.
    pub fn warn(&self, table: &Table) -> bool {
        let Some(Unmet { units, keys }) = unmet(table, &self.knobs) else { return false };
        match &self.division {
            Division::Without(reason) => {
                let (cause, remedy) = reason.words(|errno| errno_text(Errno(errno)));
                log::warn!("unable to limit {units}: {cause}; going on without {keys}; {remedy}");
            }
            Division::Done { refused, .. } if refused.is_empty() => log::warn!(
                "unable to limit {units}: this node was not given the controllers for it; going on without {keys}; let the host delegate them"
            ),
            Division::Done { refused, .. } => {
                let names = causes(refused);
                log::warn!(
                    "unable to limit {units}: the cgroup controllers {names} could not be switched on; going on without {keys}"
                );
            }
        }
        true
    }

    /// The cgroup of a new process of `unit`, which is to be made before it; none where there are none.
    pub fn membership(&mut self, unit: &Unit, role: Role) -> Option<Membership> {
        let folder = self.folder(&unit.name)?;
        self.over.remove(&unit.name);
        let old = folder.exists();
        if role == Role::Main {
            let count = if old { kills(&folder) } else { 0 };
            self.killed.insert(unit.name.clone(), count);
            if old && unit.kill == Kill::Cgroup {
                join_up(&folder);
            }
        } else if divides(&folder) {
            // It takes no process, and those in it are not to be disturbed.
            return None;
        }
        let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).ok();
        let mut settings = Vec::new();
        for knob in &self.knobs {
            let mut asked = (0..).zip(&unit.attributes.cgroup);
            let (value, detail) = match asked.find(|(_, setting)| setting.knob == *knob) {
                Some((at, setting)) => (setting.text.as_str(), Some(at)),
                // What an earlier start set is not left.
                None if old => (knob.default(), None),
                None => continue,
            };
            settings.push((text(&folder.join(knob.file()))?, CString::new(value).ok()?, detail));
        }
        if !old {
            self.unkilled.insert(unit.name.clone());
        }
        let killed = !self.unkilled.contains(&unit.name);
        Some(Membership { procs: text(&folder.join("cgroup.procs"))?, folder: text(&folder)?, killed, settings })
    }

    /// Kills everybody in the unit's cgroup.
    pub fn kill(&mut self, name: &str) {
        let Some(folder) = self.folder(name) else { return };
        self.unkilled.remove(name);
        match put(&folder.join("cgroup.kill"), "1") {
            Ok(()) => {}
            Err(error) => {
                // A kernel before 5.14 has no such file.
                if error.kind() != ErrorKind::NotFound {
                    let cause = say::cause(&error);
                    log::warn!("unable to kill the cgroup of {name} as one: {cause}; killing its processes one by one");
                }
                kill_each(&folder);
            }
        }
    }

    /// Whether `pid` is in the unit's cgroup or below it; none if it has none.
    pub fn has(&self, name: &str, pid: i32) -> Option<bool> {
        let folder = self.folder(name).filter(|folder| folder.exists())?;
        // The kernel writes the numbers of our own PID namespace there, whatever /proc is.
        let procs =
            tree(&folder).into_iter().map(|one| fs::read_to_string(one.join("cgroup.procs")).unwrap_or_default());
        Some(procs.into_iter().any(|text| members(&text).pids.contains(&pid)))
    }

    /// A process of the unit has ended: when nobody is left its cgroup goes.
    pub fn ended(&mut self, name: &str) {
        if self.root().is_some() {
            self.over.insert(name.to_owned());
        }
    }

    /// Whether [`Cgroups::tidy`] has anything to do.
    pub fn untidy(&self) -> bool {
        !self.over.is_empty()
    }

    /// Removes the cgroups of units that are over and of which nobody is left. `busy`: PID 1 knows of a process of it. What
    /// cannot be removed yet is tried again at the next call.
    pub fn tidy(&mut self, busy: impl Fn(&str) -> bool) {
        let Some(root) = self.root().map(Path::to_owned) else { return };
        let (killed, unkilled) = (&mut self.killed, &mut self.unkilled);
        self.over.retain(|name| {
            let stays = busy(name) || !removed(&root.join(format!("{name}{ENDING}")));
            if !stays {
                killed.remove(name);
                unkilled.remove(name);
            }
            stays
        });
    }

    /// What the unit uses; none if it has no cgroup. Reading a cgroup waits for no disk.
    pub fn usage(&self, name: &str) -> Option<Usage> {
        let folder = self.folder(name)?;
        let read = |file: &str| fs::read_to_string(folder.join(file)).ok();
        // Every kernel with version 2 has this one, so it says whether there is a cgroup.
        let cpu = read("cpu.stat")?;
        Some(Usage {
            memory: read("memory.current").and_then(|text| number(&text)),
            memory_peak: read("memory.peak").and_then(|text| number(&text)),
            cpu_us: entry(&cpu, "usage_usec"),
            pids: read("pids.current").and_then(|text| number(&text)),
            oom_kills: read("memory.events").and_then(|text| entry(&text, "oom_kill")),
        })
    }

    /// Whether the kernel has killed processes of the unit for want of memory since it was started.
    pub fn lacked_memory(&self, name: &str) -> bool {
        let before = self.killed.get(name).copied();
        self.folder(name).zip(before).is_some_and(|(folder, before)| kills(&folder) > before)
    }
}

/// The directories in `folder`.
fn folders(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
}

/// The cgroup and all below it, the deepest first.
fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    let mut level = found.clone();
    for _ in 0..DEPTH {
        level =
            level.iter().flat_map(|above| folders(above).map(|name| above.join(name)).collect::<Vec<_>>()).collect();
        if level.is_empty() {
            break;
        }
        found.extend(level.iter().cloned());
    }
    found.reverse();
    found
}

/// Whether the cgroup is gone now.
fn removed(folder: &Path) -> bool {
    let events = fs::read_to_string(folder.join("cgroup.events"));
    if events.as_ref().is_ok_and(|text| entry(text, "populated") == Some(1)) {
        return false;
    }
    for one in tree(folder) {
        // Whatever is still in use keeps what is above it.
        let _ = fs::remove_dir(one);
    }
    !folder.exists()
}

/// Whether a unit has divided its own cgroup.
fn divides(folder: &Path) -> bool {
    fs::read_to_string(folder.join("cgroup.subtree_control")).is_ok_and(|text| !controllers(&text).is_empty())
}

fn causes(refused: &[(String, i32)]) -> String {
    let causes = refused.iter().map(|(name, errno)| format!("{name} ({})", errno_text(Errno(*errno))));
    causes.collect::<Vec<_>>().join(", ")
}

/// Takes back what a unit has given to cgroups of its own: a cgroup that divides what it has takes no process. What is
/// below it was killed with the unit.
fn join_up(folder: &Path) {
    for one in tree(folder) {
        let file = one.join("cgroup.subtree_control");
        for name in controllers(&fs::read_to_string(&file).unwrap_or_default()) {
            // What is refused shows when the process enters.
            let _ = put(&file, &format!("-{name}"));
        }
    }
}

/// SIGKILL to each process, where the kernel cannot do it at one go. Frozen, none of them can fork, or end and leave its
/// number to somebody else.
fn kill_each(folder: &Path) {
    // A kernel that cannot freeze has no version 2 worth the name; and who is killed anyway needs no thaw.
    let _ = put(&folder.join("cgroup.freeze"), "1");
    for _ in 0..PASSES {
        let texts =
            tree(folder).into_iter().map(|one| fs::read_to_string(one.join("cgroup.procs")).unwrap_or_default());
        let pids: Vec<i32> =
            texts.flat_map(|text| members(&text).pids).filter(|pid| *pid != process::own_pid()).collect();
        if pids.is_empty() {
            break;
        }
        for pid in pids {
            // That it is gone is no error.
            let _ = signal::send(pid, libc::SIGKILL);
        }
    }
    let _ = put(&folder.join("cgroup.freeze"), "0");
}

/// How many processes of the cgroup itself the kernel has killed for want of memory.
fn kills(folder: &Path) -> u64 {
    let text = fs::read_to_string(folder.join("memory.events.local"));
    text.ok().and_then(|text| entry(&text, "oom_kill")).unwrap_or(0)
}
