//! Children: how they ended, who they are.

use std::ffi::CStr;

use super::{Errno, check};

/// Ends this process by SIGALRM in so many seconds.
pub fn end_after(seconds: u32) {
    // SAFETY: sets a timer.
    unsafe { libc::alarm(seconds) };
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code.
    Code(u8),
    /// A signal ended it.
    Signal {
        /// Which.
        signal: i32,
        /// Whether it left a core dump.
        core: bool,
    },
}

/// A child that has ended and is still a zombie, without reaping it; none if there is none.
pub fn peek() -> Option<(i32, Ended)> {
    wait(libc::P_ALL, 0, libc::WNOWAIT)
}

/// Reaps the child `pid`, which has ended: from now on its number may be used again.
pub fn reap(pid: i32) {
    if let Ok(pid) = libc::id_t::try_from(pid) {
        wait(libc::P_PID, pid, 0);
    }
}

/// Whether `pid` is a child of ours, dead or alive, that is not reaped.
pub fn is_child(pid: i32) -> bool {
    let Ok(pid) = libc::id_t::try_from(pid) else { return false };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: all-zero is a valid siginfo_t for the kernel to write to.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        // Only that one answer says that there is none.
        libc::waitid(libc::P_PID, pid, &raw mut info, flags) == 0 || Errno::last() != Errno::ECHILD
    }
}

/// Calls this process `name` in the lists of processes. After an exec by descriptor some kernels show its number there.
pub fn name_ourselves(name: &CStr) {
    // SAFETY: the kernel reads a C string.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
}

fn wait(of: libc::idtype_t, id: libc::id_t, flags: libc::c_int) -> Option<(i32, Ended)> {
    let flags = flags | libc::WEXITED | libc::WNOHANG | libc::__WALL;
    // SAFETY: all-zero is a valid siginfo_t, and waitid writes a SIGCHLD one, whose pid and status are read.
    let (code, pid, status) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        super::twice(|| check(libc::waitid(of, id, &raw mut info, flags).into())).ok()?;
        (info.si_code, info.si_pid(), info.si_status())
    };
    let ended = match code {
        libc::CLD_EXITED => Ended::Code(u8::try_from(status & 0xff).unwrap_or(u8::MAX)),
        _ => Ended::Signal { signal: status, core: code == libc::CLD_DUMPED },
    };
    (pid > 0).then_some((pid, ended))
}

/// Our own pid.
pub fn own_pid() -> i32 {
    // SAFETY: getpid always succeeds.
    unsafe { libc::getpid() }
}

/// The process group of `pid`; none if there is no such process.
pub fn group(pid: i32) -> Option<i32> {
    // SAFETY: no memory is passed.
    let group = unsafe { libc::getpgid(pid) };
    (pid > 0 && group > 0).then_some(group)
}

/// The pid of the process that made us, or that has adopted us since; 0 if it is outside our namespace.
pub fn parent() -> i32 {
    // SAFETY: getppid always succeeds.
    unsafe { libc::getppid() }
}

/// Has the kernel send us `signal` when `parent`, which was [`parent`] before, ends. Whether it is still there: the kernel
/// says nothing of a parent that ended before this.
pub fn follow(parent: i32, signal: i32) -> Result<bool, Errno> {
    let signal = libc::c_ulong::try_from(signal).map_err(|_| Errno::EINVAL)?;
    // SAFETY: a plain number; no memory is passed.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) }.into())?;
    Ok(self::parent() == parent)
}

/// Our effective user.
pub fn own_user() -> u32 {
    // SAFETY: geteuid always succeeds.
    unsafe { libc::geteuid() }
}

/// Makes this process adopt the orphans among its descendants, as PID 1 does anyway.
pub fn adopt_orphans() -> Result<(), Errno> {
    // SAFETY: a plain flag; no memory is passed.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }.into())?;
    Ok(())
}

/// Ends this process at once, without running anything.
pub fn exit(status: u8) -> ! {
    // SAFETY: _exit never returns and touches no memory of ours.
    unsafe { libc::_exit(status.into()) }
}
