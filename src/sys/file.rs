//! Files and memory of a process that is on its way to its program: from the kernel alone, async-signal-safe. They may wait
//! for a disk, so PID 1 itself uses none of them.

use std::ffi::CStr;

use super::{Errno, check};

/// Zeroed memory of the new process, from the kernel alone; it goes with the process.
pub(super) fn room(size: usize) -> Result<&'static mut [u8], Errno> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new private mapping of `size` bytes, which nobody else knows of and nobody ever unmaps.
    unsafe {
        let at = check(libc::syscall(libc::SYS_mmap, 0_usize, size, protection, flags, -1_i64, 0_i64))?;
        Ok(std::slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut(at.cast_unsigned() as usize), size))
    }
}

/// Reads the file into `into`, of which one byte stays zero: how long it is. `EFBIG` if it does not fit.
pub(super) fn read(path: &CStr, into: &mut [u8]) -> Result<usize, Errno> {
    // O_NONBLOCK: a FIFO is not waited for.
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
    // SAFETY: the path is a C string.
    let fd = check(unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags) })?;
    let mut length = 0;
    let told = loop {
        let Some(room) = into.get_mut(length..).filter(|room| !room.is_empty()) else { break Err(Errno::EFBIG) };
        // SAFETY: `room` is writable for its length.
        let got = check(unsafe { libc::syscall(libc::SYS_read, fd, room.as_mut_ptr(), room.len()) });
        match got.map(|got| usize::try_from(got).unwrap_or(0)) {
            Ok(0) => break Ok(length),
            Ok(got) => length += got,
            Err(Errno::EINTR) => {}
            Err(errno) => break Err(errno),
        }
    };
    // SAFETY: opened above, and nobody else's.
    unsafe { libc::syscall(libc::SYS_close, fd) };
    told
}

/// Writes `text` into the file in one call.
pub(super) fn write(path: &CStr, text: &[u8]) -> Result<(), Errno> {
    // SAFETY: the path is a C string, `text` is readable for its length; the descriptor is opened and closed here.
    unsafe {
        let fd =
            check(libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC))?;
        let written = check(libc::syscall(libc::SYS_write, fd, text.as_ptr(), text.len()));
        libc::syscall(libc::SYS_close, fd);
        written.map(drop)
    }
}
