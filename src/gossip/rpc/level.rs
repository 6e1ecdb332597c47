//! How much a line of the log matters, in Serf's five words.

use std::fmt;
use std::sync::Arc;

use crate::gossip::serf;

/// The weight of a line, the lightest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `[TRACE]`
    Trace,
    /// `[DEBUG]`
    Debug,
    /// `[INFO]`
    Info,
    /// `[WARN]`
    Warn,
    /// `[ERR]`
    Err,
}

impl Level {
    const ALL: [Level; 5] = [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Err];

    /// The word between the brackets.
    pub const fn word(self) -> &'static str {
        match self {
            Level::Trace => "TRACE",
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warn => "WARN",
            Level::Err => "ERR",
        }
    }

    /// The level that a word names, in small or capital letters.
    pub fn of(word: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.word().eq_ignore_ascii_case(word))
    }
}

/// Serf's machine has no traces.
impl From<serf::Level> for Level {
    fn from(level: serf::Level) -> Level {
        match level {
            serf::Level::Debug => Level::Debug,
            serf::Level::Info => Level::Info,
            serf::Level::Warn => Level::Warn,
            serf::Level::Error => Level::Err,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A line of the log as it was written: `2026/11/22 21:19:13 [INFO] serf: EventMemberJoin: d1 127.0.0.1`, without its end.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it says in brackets.
    pub level: Level,
    /// All of it.
    pub text: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::Level;

    #[test]
    fn a_word_names_a_level_in_any_case() {
        assert_eq!(Level::of("warn"), Some(Level::Warn));
        assert_eq!(Level::of("ERR"), Some(Level::Err));
        assert_eq!(Level::of("error"), None);
        assert!(Level::Trace < Level::Debug && Level::Warn < Level::Err);
    }
}
