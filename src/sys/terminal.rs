//! What a terminal is like.

use std::os::fd::{AsFd, AsRawFd};

use super::check;

/// How many columns the terminal at `fd` has; none if it is no terminal, or does not say.
pub fn columns(fd: impl AsFd) -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel writes a `winsize` to where one is.
    check(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) }.into()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}
