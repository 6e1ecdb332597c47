//! The end of a machine.

use std::time::Duration;

use super::{Errno, check, clock, process, twice};

/// How a machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Off.
    Off,
    /// Restart.
    Restart,
    /// Stop where it is.
    Halt,
}

/// Ends the machine. Returns only when that is refused.
pub fn end(how: Power) -> Errno {
    let word = match how {
        Power::Off => libc::RB_POWER_OFF,
        Power::Restart => libc::RB_AUTOBOOT,
        Power::Halt => libc::RB_HALT_SYSTEM,
    };
    // SAFETY: no memory is passed.
    twice(|| check(unsafe { libc::reboot(word) }.into())).err().unwrap_or(Errno::EINVAL)
}

/// Makes Ctrl-Alt-Del send SIGINT to PID 1 instead of restarting the machine on the spot. Refused in a container: only
/// the initial pid namespace may.
pub fn take_ctrl_alt_del() -> Result<(), Errno> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::reboot(libc::RB_DISABLE_CAD) }.into()).map(drop)
}

/// Writes all dirty pages out in a child, and waits for it at most this long: a stuck disk must not keep a machine up.
/// False if the time was up.
pub fn sync_within(limit: Duration) -> bool {
    // SAFETY: this process has one thread; the child makes two raw calls.
    let child = unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::sync();
            libc::_exit(0);
        }
        child
    };
    if child == -1 {
        return false;
    }
    let end = clock::boottime().saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX));
    loop {
        while let Some((pid, _)) = process::peek() {
            process::reap(pid);
            if pid == child {
                return true;
            }
        }
        if clock::boottime() >= end {
            return false;
        }
        // SIGCHLD is blocked and may have been read already: look again 20 times a second, for a few seconds at most.
        // SAFETY: no descriptors; returns after 50 ms.
        unsafe { libc::poll(std::ptr::null_mut(), 0, 50) };
    }
}
