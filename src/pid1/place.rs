//! Where PID 1 runs: in a container, or as the first process of a machine.

use std::ffi::OsStr;
use std::{env, fs};

use crate::sys::{power, process};

/// Where we run. It decides how the node ends, and what some signals mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Somebody outside waits for our exit status.
    Container,
    /// The kernel started us: we never exit.
    Appliance,
}

/// The inode of the initial pid namespace (`PROC_PID_INIT_INO`, part of the kernel's interface).
const INITIAL: &str = "pid:[4026531836]";

/// An appliance is PID 1 of the initial pid namespace that no container manager has marked by the variable `container`.
pub fn find() -> Place {
    if process::own_pid() != 1 || env::var_os("container").is_some() {
        return Place::Container;
    }
    let initial = match fs::read_link("/proc/self/ns/pid") {
        Ok(link) => link.as_os_str() == OsStr::new(INITIAL),
        // /proc is not mounted yet. Only the initial namespace may take Ctrl-Alt-Del.
        Err(_) => power::take_ctrl_alt_del().is_ok(),
    };
    if initial { Place::Appliance } else { Place::Container }
}
