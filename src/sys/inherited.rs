//! Descriptors that a process was started with.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::twice;

/// Takes the descriptor `number`, which this process was started with, and makes it close-on-exec.
///
/// # Errors
/// `EBADF` if nothing is open under that number, if it was taken before, or if this process opened it by itself: what
/// came through exec is not close-on-exec, and what Rust opens always is.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(Errno::EBADF.into());
    }
    // SAFETY: the number is not -1, and the borrow ends within this function, which does nothing but ask the kernel
    // about that number; a number that is not open is answered with EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    if FdFlag::from_bits_retain(twice(|| fcntl(borrowed, FcntlArg::F_GETFD))?).contains(FdFlag::FD_CLOEXEC) {
        return Err(Errno::EBADF.into());
    }
    twice(|| fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)))?;
    // SAFETY: it is open, came through exec, and was not taken before (it was not close-on-exec), so nothing else in
    // this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
