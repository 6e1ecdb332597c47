//! Files in memory, which live as long as somebody holds them open, and the way from a pipe into one.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::{Errno, check};

/// A new empty file in memory; it closes on exec. `name` is what `/proc` shows of it.
pub fn file(name: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: `name` is a C string; the new descriptor is owned by what is returned.
    unsafe {
        let made = check(libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC).into())?;
        Ok(OwnedFd::from_raw_fd(RawFd::try_from(made).map_err(|_| Errno::EBADF)?))
    }
}

/// Moves what is in `pipe`, at most `most` bytes, to the place `at` of `file`, without waiting: how many bytes went; 0 at
/// the end of the pipe. Each byte is in the one or in the other, whenever this process is killed.
pub fn move_in(pipe: &impl AsRawFd, file: &impl AsRawFd, at: u64, most: usize) -> Result<usize, Errno> {
    let mut at = libc::loff_t::try_from(at).map_err(|_| Errno::EFBIG)?;
    // SAFETY: both are open, and `at` is a place for an offset.
    let moved = check(unsafe {
        libc::splice(
            pipe.as_raw_fd(),
            std::ptr::null_mut(),
            file.as_raw_fd(),
            &raw mut at,
            most,
            libc::SPLICE_F_NONBLOCK,
        )
    } as libc::c_long)?;
    Ok(usize::try_from(moved).unwrap_or(0))
}
