//! File descriptors: making 0-2 valid, pipes, writing without waiting.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::{Errno, check};

/// Opens `/dev/null` on each of 0-2 that is closed; where there is no `/dev/null`, the end of a pipe that nobody uses.
/// Must come before any other descriptor is made, or a log pipe becomes somebody's stdout.
pub fn fill_stdio() {
    for wanted in 0..3 {
        // SAFETY: F_GETFD only asks.
        if unsafe { libc::fcntl(wanted, libc::F_GETFD) } != -1 {
            continue;
        }
        // SAFETY: the path is a C string. The lowest free number is `wanted`, as all below it are open.
        if unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) } != -1 {
            continue;
        }
        let mut ends = [-1; 2];
        // SAFETY: `ends` has room for two descriptors.
        if unsafe { libc::pipe(ends.as_mut_ptr()) } == 0 {
            // Reading stdin is to give the end of the file, writing stdout an error: close the other end.
            let [read, write] = ends;
            let (keep, other) = if wanted == 0 { (read, write) } else { (write, read) };
            // SAFETY: both are ours, made just above.
            unsafe {
                libc::dup2(keep, wanted);
                if other != wanted {
                    libc::close(other);
                }
                if keep != wanted {
                    libc::close(keep);
                }
            }
        }
    }
}

/// The descriptors from 3 up that a program started by this process would inherit, as they were given to us. From now on
/// they close on exec.
pub fn adopt_inherited() -> Vec<RawFd> {
    let mut open: Vec<RawFd> = match fs::read_dir("/proc/self/fd") {
        Ok(entries) => entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect(),
        // No /proc yet: nobody hands the first process of a machine more than this.
        Err(_) => (3..256).collect(),
    };
    open.retain(|fd| {
        // SAFETY: F_GETFD only asks, F_SETFD changes a flag; a number that is not open gives an error.
        *fd > 2
            && unsafe {
                let flags = libc::fcntl(*fd, libc::F_GETFD);
                flags != -1
                    && flags & libc::FD_CLOEXEC == 0
                    && libc::fcntl(*fd, libc::F_SETFD, flags | libc::FD_CLOEXEC) != -1
            }
    });
    open.sort_unstable();
    open
}

/// Closes descriptors that [`adopt_inherited`] returned; nothing else owns them.
pub fn close_inherited(open: Vec<RawFd>) {
    for fd in open {
        // SAFETY: came from outside with the process, and no `OwnedFd` was ever made of it.
        unsafe { libc::close(fd) };
    }
}

/// PID 1 has no descriptor above this: the kernel gives the lowest that is free.
pub(super) const HIGHEST: RawFd = 4096;

/// Closes every descriptor above 2 but `keep`, whoever owns it: for a process that only ends what is left.
pub fn close_all_but(keep: RawFd) {
    for fd in (3..HIGHEST).filter(|fd| *fd != keep) {
        // SAFETY: nothing that owns one of them is used again, as the caller vouches.
        unsafe { libc::close(fd) };
    }
}

/// A pipe, read end first; both close on exec and block.
pub fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    super::twice(|| nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC))
}

/// Another descriptor of what `fd` is, with a number above `number`; it closes on exec.
pub fn above(fd: &impl AsRawFd, number: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: makes a new descriptor, which is owned by what is returned.
    unsafe {
        let made = check(libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, number.saturating_add(1)).into())?;
        Ok(OwnedFd::from_raw_fd(RawFd::try_from(made).map_err(|_| Errno::EBADF)?))
    }
}

/// Makes the open file description behind `fd` non-blocking, for everybody who shares it.
pub fn set_nonblocking(fd: &impl AsRawFd) -> Result<(), Errno> {
    // SAFETY: asks for and sets flags of an open descriptor.
    unsafe {
        let flags = check(libc::fcntl(fd.as_raw_fd(), libc::F_GETFL).into())?;
        let flags = libc::c_int::try_from(flags).unwrap_or(0);
        check(libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK).into())?;
    }
    Ok(())
}

/// A description of our own of what is open on `fd`, for writing without waiting: `O_NONBLOCK` on it is not seen by those
/// who share `fd`. `ENXIO` for a socket, `ENOENT` without `/proc`, `EINVAL` for a regular file: that never blocks, and all
/// who write to it share one place in it.
pub fn reopen_for_writing(fd: RawFd) -> Result<OwnedFd, Errno> {
    let name = format!("/proc/self/fd/{fd}");
    let path = std::ffi::CString::new(name.as_str()).map_err(|_| Errno::EINVAL)?;
    if std::fs::metadata(&name).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?.is_file() {
        return Err(Errno::EINVAL);
    }
    let flags = libc::O_WRONLY | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: `path` is a C string; the new descriptor is owned by what is returned.
    unsafe {
        let opened = check(libc::open(path.as_ptr(), flags).into())?;
        Ok(OwnedFd::from_raw_fd(RawFd::try_from(opened).map_err(|_| Errno::EBADF)?))
    }
}

/// Writes what fits of `bytes` into a non-blocking description: how many bytes went in.
pub fn write_now(fd: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: `bytes` is readable for its length.
    let written =
        super::twice(|| check(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) } as libc::c_long))?;
    Ok(usize::try_from(written).unwrap_or(0))
}

/// As [`write_now`] for a description that others share and that may block: asks first whether there is room. A pipe that
/// polls writable takes `PIPE_BUF` bytes, so at most so many are written.
pub fn write_if_ready(fd: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
    let mut asked = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one valid pollfd; a timeout of zero returns at once.
    let ready = super::twice(|| check(unsafe { libc::poll(&raw mut asked, 1, 0) }.into()))?;
    if ready == 0 || asked.revents & libc::POLLOUT == 0 {
        return Err(if asked.revents == 0 { Errno::EAGAIN } else { Errno::EPIPE });
    }
    write_now(fd, bytes.get(..libc::PIPE_BUF).unwrap_or(bytes))
}

/// Whether nothing is in this pipe and nobody can write into it any more.
pub fn ended(pipe: &impl AsRawFd) -> bool {
    let mut asked = libc::pollfd { fd: pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd; a timeout of zero returns at once.
    let ready = unsafe { libc::poll(&raw mut asked, 1, 0) };
    ready == 1 && asked.revents & libc::POLLHUP != 0 && asked.revents & libc::POLLIN == 0
}

/// Reads what is there: 0 at the end.
pub fn read_now(fd: &impl AsRawFd, into: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: `into` is writable for its length.
    let got = check(unsafe { libc::read(fd.as_raw_fd(), into.as_mut_ptr().cast(), into.len()) } as libc::c_long)?;
    Ok(usize::try_from(got).unwrap_or(0))
}

/// Whether `fd` is a terminal.
pub fn is_terminal(fd: RawFd) -> bool {
    // SAFETY: isatty only asks.
    unsafe { libc::isatty(fd) == 1 }
}
