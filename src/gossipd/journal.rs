//! The lines of the log, as Serf writes them: `2026/11/22 21:19:13 [INFO] serf: EventMemberJoin: d1 127.0.0.1`.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::gossip::rpc::{Level, Line};
use crate::sys::clock;

/// Where lines go.
#[derive(Clone, Copy, Debug)]
pub struct Journal {
    /// The least that is written to standard error. Monitors have levels of their own.
    pub level: Level,
}

impl Journal {
    /// Writes a line, if it is heavy enough, and says what it was.
    pub fn write(self, level: Level, text: &str) -> Line {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let [year, month, day, hour, minute, second] = clock::local(i64::try_from(since.as_secs()).unwrap_or_default());
        // What strangers say drives no terminal.
        let text: String = text.chars().map(|letter| if is_harmless(letter) { letter } else { '?' }).collect();
        let line = format!("{year:04}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02} [{level}] {text}\n");
        if level >= self.level {
            drop(std::io::stderr().lock().write_all(line.as_bytes()));
        }
        Line { level, text: line.trim_end_matches('\n').into() }
    }
}

/// Serf's own messages have line ends and tabs in them, lists of what went wrong.
fn is_harmless(letter: char) -> bool {
    letter == '\n' || letter == '\t' || !letter.is_control()
}

#[cfg(test)]
mod tests {
    use super::Journal;
    use crate::gossip::rpc::Level;

    #[test]
    fn a_line_is_serfs() {
        let line = Journal { level: Level::Err }.write(Level::Info, "serf: a \x1b[31m");
        let text = line.text.to_string();
        assert!(text.ends_with(" [INFO] serf: a ?[31m"), "{text}");
        assert!(text.starts_with("20") && text.as_bytes()[4] == b'/' && text.as_bytes()[19] == b' ', "{text}");
    }
}
