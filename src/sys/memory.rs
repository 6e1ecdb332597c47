//! Files in memory, which live as long as somebody holds them open, and the way from a pipe into one.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

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

unsafe extern "C" {
    /// Where the linker put the beginning of our program.
    static __executable_start: u8;
    /// Where it put the end of its instructions.
    static etext: u8;
}

/// [`trim`] was called.
static TRIMMED: AtomicBool = AtomicBool::new(false);

/// Gives back what only the start needed, when it is first called: free heap, and the pages of our program that were mapped
/// by the way. Whatever is wanted again is mapped again, from the page cache.
pub fn trim() {
    const PAGE: usize = 4096;
    if TRIMMED.swap(true, Ordering::Relaxed) {
        return;
    }
    let (from, to) = ((&raw const __executable_start).addr(), (&raw const etext).addr());
    let (from, to) = (from.next_multiple_of(PAGE), to - to % PAGE);
    // SAFETY: malloc_trim touches only what malloc knows to be free. Between the two addresses lie only pages of the program's
    // file that nobody has ever written to, so dropping them loses nothing.
    unsafe {
        #[cfg(target_env = "gnu")]
        libc::malloc_trim(0);
        libc::madvise(std::ptr::with_exposed_provenance_mut(from), to.saturating_sub(from), libc::MADV_DONTNEED);
    }
}
