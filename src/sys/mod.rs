//! The cellar: raw system calls for the shell rooms, and the only room with `unsafe`. It decides nothing.
//!
//! What PID 1 calls here never blocks, unless its name says so ([`poll::Wait::sleep`]).
#![expect(unsafe_code, reason = "the only room that makes raw system calls")]

pub mod attire;
mod capability;
pub mod cgroup;
pub mod clock;
pub mod descriptor;
mod entry;
mod file;
pub mod inherited;
pub mod interface;
mod lean;
pub mod memory;
pub mod module;
pub mod poll;
pub mod power;
pub mod process;
pub mod renewal;
pub mod signal;
pub mod socket;
pub mod spawn;
pub mod store;
pub mod terminal;

pub use nix::errno::Errno;

/// The one place where a `-1` becomes an error.
fn check(answer: libc::c_long) -> Result<libc::c_long, Errno> {
    if answer == -1 { Err(Errno::last()) } else { Ok(answer) }
}

/// Makes a call that does not wait, and if it failed for want of something once more: nobody else would ask again. That
/// there is nobody, or that it is not allowed, does not change.
fn twice<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    match call() {
        Err(errno) if ![Errno::ESRCH, Errno::ECHILD, Errno::EPERM, Errno::EINVAL].contains(&errno) => call(),
        answer => answer,
    }
}
