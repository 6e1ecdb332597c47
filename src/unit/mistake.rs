//! A mistake in the table: where it is, what it is, and what to do about it.

use std::fmt;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file's name as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong: `unable to read KEY of unit NAME: CAUSE`.
    pub text: String,
    /// What to do about it.
    pub suggestion: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}: {}", self.file, self.line, self.column, self.text)?;
        match &self.suggestion {
            Some(suggestion) => write!(out, "; {suggestion}"),
            None => Ok(()),
        }
    }
}

/// A place in the files that are being read: which file, and the byte in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub file: usize,
    pub byte: usize,
}

/// A mistake whose line and column are not counted yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub place: Place,
    pub text: String,
    pub suggestion: Option<String>,
}

/// `found` in the order of the files, with lines and columns, each once.
pub(super) fn located(files: &[(String, String)], mut found: Vec<Found>) -> Vec<Mistake> {
    found.sort_unstable();
    found.dedup();
    let mut starts: (usize, Vec<usize>) = (usize::MAX, Vec::new());
    let mut mistakes = Vec::with_capacity(found.len());
    for Found { place, text, suggestion } in found {
        let Some((name, content)) = files.get(place.file) else { continue };
        if starts.0 != place.file {
            starts = (place.file, line_starts(content));
        }
        let line = starts.1.partition_point(|start| *start <= place.byte);
        let start = starts.1.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = content.get(start..place.byte).map_or(0, |before| before.chars().count());
        mistakes.push(Mistake { file: name.clone(), line, column: column + 1, text, suggestion });
    }
    mistakes
}

/// `text` in quotes, on one line, and not too long for one.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push_str("...");
    }
    format!("\"{shown}\"")
}

/// The byte that each line starts with.
pub(super) fn line_starts(text: &str) -> Vec<usize> {
    let after = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(after).collect()
}
