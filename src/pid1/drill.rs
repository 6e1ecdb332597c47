//! Ways to break PID 1 on purpose, so that the rescue can be tested. Not in release builds.

use nix::libc::{SIGUSR2, SIGWINCH};

use crate::sys::renewal;

/// Breaks at SIGUSR2 by a panic, at SIGWINCH by a bad address.
pub fn break_at(signal: i32) {
    if !cfg!(debug_assertions) {
        return;
    }
    match signal {
        SIGUSR2 => std::panic::panic_any("a drill"),
        SIGWINCH => renewal::fault(),
        _ => {}
    }
}
