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
pub mod memory;
pub mod module;
pub mod poll;
pub mod power;
pub mod process;
pub mod renewal;
pub mod signal;
pub mod socket;
pub mod spawn;
pub mod terminal;

pub use nix::errno::Errno;

/// The one place where a `-1` becomes an error.
fn check(answer: libc::c_long) -> Result<libc::c_long, Errno> {
    if answer == -1 { Err(Errno::last()) } else { Ok(answer) }
}
