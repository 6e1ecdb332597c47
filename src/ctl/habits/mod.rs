//! The habits of hands: `initctl` called `systemctl` or `journalctl` answers in systemd's words and exit codes for what is
//! here, and says what is not.

mod answer;
pub(super) mod journalctl;
pub(super) mod missing;
mod origin;
pub(super) mod page;
pub(super) mod systemctl;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use env_logger::Target;
use log::LevelFilter;

/// Answers for the program that is called `program`, if that is one of them; the exit code.
pub(super) fn run(program: &OsStr, words: &mut dyn Iterator<Item = OsString>) -> Option<u8> {
    let start = |name| crate::say::start(name, Target::Stderr, LevelFilter::Info);
    match Path::new(program).file_name()?.to_str()? {
        "systemctl" => {
            start("systemctl");
            Some(systemctl::run(words))
        }
        "journalctl" => {
            start("journalctl");
            Some(journalctl::run(words))
        }
        _ => None,
    }
}
