//! The lines of the log, as Serf writes them: `2026/11/22 21:19:13 [INFO] serf: EventMemberJoin: d1 127.0.0.1`.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::gossip::rpc::{Level, Line};
use crate::sys::clock;

/// A pipe that is writable takes as much without waiting (POSIX's PIPE_BUF on Linux).
const LONGEST: usize = 4096;

/// Where lines go.
#[derive(Debug)]
pub struct Journal {
    /// The least that is written to standard error. Monitors have levels of their own.
    pub level: Level,
    /// Lines that nobody took: gossip does not wait for them.
    lost: u64,
}

impl Journal {
    /// A log from this level on.
    pub const fn new(level: Level) -> Journal {
        Journal { level, lost: 0 }
    }

    /// Writes a line, if it is heavy enough, and says what it was.
    pub fn write(&mut self, level: Level, text: &str) -> Line {
        // What strangers say drives no terminal.
        let text: String = text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect();
        let line = format!("{} [{level}] {text}", moment());
        if level >= self.level {
            self.put(&line);
        }
        Line { level, text: line.into() }
    }

    fn put(&mut self, line: &str) {
        let error = io::stderr();
        let mut slots = [PollFd::new(error.as_fd(), PollFlags::POLLOUT)];
        if !poll(&mut slots, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
            self.lost += 1;
            return;
        }
        let mut bytes = Vec::with_capacity(line.len() + 1);
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            bytes.extend_from_slice(format!("{} [WARN] agent: {lost} lines were lost\n", moment()).as_bytes());
        }
        bytes.extend_from_slice(line.as_bytes());
        bytes.truncate(LONGEST - 1);
        bytes.push(b'\n');
        drop(error.lock().write_all(&bytes));
    }
}

/// The time on the wall.
fn moment() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let [year, month, day, hour, minute, second] = clock::local(i64::try_from(since.as_secs()).unwrap_or_default());
    format!("{year:04}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::Journal;
    use crate::gossip::rpc::Level;

    #[test]
    fn a_line_is_serfs_and_one_line() {
        let line = Journal::new(Level::Err).write(Level::Info, "serf: a \x1b[31m\nb");
        let text = line.text.to_string();
        assert!(text.ends_with(" [INFO] serf: a ?[31m?b"), "{text}");
        assert!(text.starts_with("20") && text.as_bytes()[4] == b'/' && text.as_bytes()[19] == b' ', "{text}");
    }
}
