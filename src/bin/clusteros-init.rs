//! The door of `clusteros-init`. Without Rust's own start, which would ignore SIGPIPE and open missing descriptors before
//! we could see what we were given.
#![no_main]

use std::ffi::{c_char, c_int};

/// Called by libc; the arguments are read from `std::env`.
#[unsafe(no_mangle)]
pub extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
    clusteros_init::pid1::run().into()
}
