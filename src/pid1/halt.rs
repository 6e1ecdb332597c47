//! The end: an exit status in a container, the end of the machine on an appliance.

use std::fs;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::sys::power::{self, Power};
use crate::sys::process;
use crate::unit::{Goal, Verdict};

use super::place::{self, Place};

/// The longest that writing everything to disk may keep a machine up.
const SYNC: Duration = Duration::from_secs(10);

/// Ends the node as `verdict` says. The exit status to return where there is no machine to end, or ending it is refused.
pub fn halt(verdict: Verdict) -> u8 {
    let how = match verdict.goal {
        Goal::Exit => return verdict.status,
        Goal::PowerOff => Power::Off,
        Goal::Reboot => Power::Restart,
        Goal::Halt => Power::Halt,
    };
    if !power::sync_within(SYNC) {
        log::warn!("unable to write everything to disk within {} s; going on", SYNC.as_secs());
    }
    // Asked for by --mode, in somebody else's machine: its disks are not ours, and neither is its power.
    if place::find() == Place::Appliance {
        unmount();
    }
    if process::own_pid() != 1 {
        log::error!("unable to end the machine: this process is not its PID 1; exiting");
        return verdict.status;
    }
    let errno = power::end(how);
    log::error!("unable to end the machine: {}; exiting", errno.desc());
    verdict.status
}

/// Takes down every mount that has a disk behind it, the last one first; what will not go becomes read-only.
fn unmount() {
    let Ok(table) = fs::read_to_string("/proc/self/mounts") else { return };
    let mut mounts: Vec<&str> = table.lines().filter_map(on_disk).collect();
    mounts.reverse();
    for place in mounts {
        if place != "/" && umount2(place, MntFlags::UMOUNT_NOFOLLOW).is_ok() {
            continue;
        }
        let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        if let Err(errno) = mount(None::<&str>, place, None::<&str>, read_only, None::<&str>) {
            log::warn!("unable to make {place} read-only: {}; going on", errno.desc());
        }
    }
}

/// Where this line of the mount table is mounted, if it has a disk behind it.
fn on_disk(line: &str) -> Option<&str> {
    let mut words = line.split(' ');
    let (source, place) = (words.next()?, words.next()?);
    source.starts_with("/dev/").then_some(place)
}
