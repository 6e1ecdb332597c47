//! Where PID 1's own lines go, without ever waiting: what a stuck console or pipe would not take is dropped, counted, and
//! said when there is room again.

use std::io::{self, Write};
use std::os::fd::{IntoRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use env_logger::Target;
use log::LevelFilter;

use crate::sys::{Errno, descriptor};

/// The name in front of every line.
pub const PROGRAM: &str = "clusteros-init";

/// A description of our own of what our stderr is, or 2 itself.
static CONSOLE: AtomicI32 = AtomicI32::new(2);
/// Whether `CONSOLE` is shared with others and may block, so that we ask before each write.
static SHARED: AtomicBool = AtomicBool::new(true);
/// The pipe to `logd`; -1 while there is none.
static PIPE: AtomicI32 = AtomicI32::new(-1);
/// Lines dropped since the last one that went through.
static LOST: AtomicU32 = AtomicU32::new(0);

/// Sends every logged line to our stderr from now on, up to `max`, which [`log::set_max_level`] may change later.
pub fn start(max: LevelFilter) {
    reopen();
    crate::say::start(PROGRAM, Target::Pipe(Box::new(Outlet)), LevelFilter::Debug);
    log::set_max_level(max);
}

/// Makes a description of our own of our stderr, if there is none yet: at the start of a machine there is no `/proc` to
/// make it with.
pub fn reopen() {
    if !SHARED.load(Ordering::Relaxed) {
        return;
    }
    if let Ok(own) = descriptor::reopen_for_writing(2) {
        CONSOLE.store(own.into_raw_fd(), Ordering::Relaxed);
        SHARED.store(false, Ordering::Relaxed);
    }
}

/// Sends lines into `pipe`, a non-blocking description that stays open until [`to_console`].
pub fn to_pipe(pipe: RawFd) {
    PIPE.store(pipe, Ordering::Relaxed);
}

/// Whether lines go to `logd`.
pub fn to_logd() -> bool {
    PIPE.load(Ordering::Relaxed) != -1
}

/// How many lines were lost since the last one that went through.
pub fn lost() -> u32 {
    LOST.load(Ordering::Relaxed)
}

/// So many lines were lost before.
pub fn resume(lost: u32) {
    LOST.fetch_add(lost, Ordering::Relaxed);
}

/// Sends lines to our stderr again.
pub fn to_console() {
    PIPE.store(-1, Ordering::Relaxed);
}

/// Where our stderr is written to, without waiting if that can be had.
pub fn console() -> RawFd {
    CONSOLE.load(Ordering::Relaxed)
}

/// Writes `text`, which ends in a newline, as it is: line by line, so that it is cut between lines if at all.
pub fn text(text: &str) {
    for line in text.split_inclusive('\n') {
        put(line.as_bytes());
    }
}

/// An error in the words of the system, without its number.
pub fn cause(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}

struct Outlet;

impl Write for Outlet {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn put(line: &[u8]) {
    let lost = LOST.load(Ordering::Relaxed);
    if lost > 0 {
        let told = format!("{PROGRAM}: warning: {lost} lines were lost; the log took no more\n");
        if !through(told.as_bytes()) {
            LOST.store(lost.saturating_add(1), Ordering::Relaxed);
            return;
        }
        LOST.store(0, Ordering::Relaxed);
    }
    if !through(line) {
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether the whole line went out.
fn through(line: &[u8]) -> bool {
    let pipe = PIPE.load(Ordering::Relaxed);
    let console = CONSOLE.load(Ordering::Relaxed);
    let written = match (pipe, SHARED.load(Ordering::Relaxed)) {
        (-1, true) => descriptor::write_if_ready(console, line),
        (-1, false) => descriptor::write_now(console, line),
        _ => descriptor::write_now(pipe, line),
    };
    written == Ok(line.len())
}
