//! Becoming oneself anew: PID 1 replaces its own program and keeps its children.

use std::ffi::{CStr, CString, c_char};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, Ordering};

use super::{Errno, check};

/// Our own program, open for execution; -1 before [`keep_program`].
static PROGRAM: AtomicI32 = AtomicI32::new(-1);

unsafe extern "C" {
    /// The environment as this process was given it.
    static environ: *const *const c_char;
}

/// Opens our own program, so that it can be run again whatever happens to its file. `path` is tried where there is no
/// `/proc`.
pub fn keep_program(path: Option<&CStr>) -> Result<(), Errno> {
    if PROGRAM.load(Ordering::Relaxed) != -1 {
        return Ok(());
    }
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    // SAFETY: both paths are C strings.
    let opened = unsafe {
        match check(libc::open(c"/proc/self/exe".as_ptr(), flags).into()) {
            Err(errno) => check(path.map_or(Err(errno), |path| Ok(libc::open(path.as_ptr(), flags)))?.into())?,
            Ok(opened) => opened,
        }
    };
    PROGRAM.store(RawFd::try_from(opened).map_err(|_| Errno::EBADF)?, Ordering::Relaxed);
    Ok(())
}

/// Runs our own program again in this process: same pid, same children, same signal mask, our environment. Returns only
/// when that fails.
pub fn renew(arguments: &[CString]) -> Errno {
    let program = PROGRAM.load(Ordering::Relaxed);
    let arguments: Vec<*const c_char> =
        arguments.iter().map(|argument| argument.as_ptr()).chain([std::ptr::null()]).collect();
    // SAFETY: the arguments are C strings with a null at the end, the environment is libc's own, and both outlive the call.
    let answer = unsafe {
        libc::syscall(libc::SYS_execveat, program, c"".as_ptr(), arguments.as_ptr(), environ, libc::AT_EMPTY_PATH)
    };
    check(answer).err().unwrap_or(Errno::EINVAL)
}
