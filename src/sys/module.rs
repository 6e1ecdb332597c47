//! Loading kernel modules.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::{Errno, check};

/// `MODULE_INIT_COMPRESSED_FILE` (linux/module.h, since 5.17): the kernel unpacks the file itself.
const COMPRESSED: libc::c_int = 4;

/// Loads the module in `file`. It waits for the module's own start.
///
/// # Errors
/// `EEXIST`: it is loaded already; `EPERM`: no right to, or the kernel takes no more modules; `ENOENT`: what it leans on
/// is not loaded; `ENOEXEC`: not for this kernel; with `compressed`, `EOPNOTSUPP` or `EINVAL` if the kernel cannot unpack.
pub fn load(file: BorrowedFd<'_>, parameters: &CStr, compressed: bool) -> Result<(), Errno> {
    let flags = if compressed { COMPRESSED } else { 0 };
    // SAFETY: the descriptor is open and the string ends in NUL; the kernel copies both.
    let answer = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), parameters.as_ptr(), flags) };
    check(answer).map(drop)
}
