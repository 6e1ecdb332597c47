//! How wide and how colourful the output may be.

use std::io::{self, IsTerminal};

use crate::sys::terminal;

/// Where nobody says how wide it is.
const WIDTH: usize = 80;

/// What the output is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// In columns.
    pub width: usize,
    pub colours: bool,
    /// A terminal shows it.
    pub terminal: bool,
}

impl Look {
    /// That of standard output: a terminal's own width, else 80 columns; colours on a terminal only, and not where
    /// `NO_COLOR` is set or the terminal has none.
    pub fn found() -> Look {
        let out = io::stdout();
        let terminal = out.is_terminal();
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|value| value.is_empty() || value == "dumb");
        let width = terminal::columns(&out).filter(|_| terminal).unwrap_or(WIDTH);
        Look { width, colours: terminal && !dumb && !set("NO_COLOR"), terminal }
    }
}
