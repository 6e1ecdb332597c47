//! What a reload of the table did, or would do: what the status document says of it, and how a person is shown it.

use serde::Deserialize;

use super::columns::{padded, plain, width};
use super::json::Object;
use crate::unit::{Difference, Fate};

/// What became of the last reload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
pub struct Reload {
    /// Reloads that have ended, well or not.
    #[serde(default)]
    pub ended: u64,
    /// The files are being read.
    #[serde(default)]
    pub reading: bool,
    /// The one file that the table is read from; none: the usual ones.
    pub file: Option<String>,
    /// How many mistakes the last one found in the files.
    #[serde(default)]
    pub mistakes: u64,
    /// Why the last one changed nothing, one line a mistake; none if it went well.
    pub error: Option<String>,
    /// What the last one that went well changed, in the order of the table.
    #[serde(default)]
    pub changes: Vec<Change>,
}

/// What became of one unit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct Change {
    /// Its name.
    pub unit: String,
    /// What became of it, as [`Fate::word`] says.
    pub fate: String,
    /// The keys that changed.
    #[serde(default)]
    pub keys: Vec<String>,
}

impl Change {
    /// What `found` says.
    pub fn new(found: &Difference) -> Change {
        let keys = found.keys.iter().map(|key| (*key).to_owned()).collect();
        Change { unit: found.unit.clone(), fate: found.fate.word().to_owned(), keys }
    }

    pub(super) fn object(&self) -> Object {
        Object::new().text("unit", Some(&self.unit)).text("fate", Some(&self.fate)).texts("keys", &self.keys)
    }
}

impl Reload {
    pub(super) fn object(&self, generation: u64) -> Object {
        Object::new()
            .number("generation", Some(generation))
            .number("ended", Some(self.ended))
            .flag("reading", self.reading)
            .text("file", self.file.as_deref())
            .number("mistakes", Some(self.mistakes))
            .text("error", self.error.as_deref())
            .objects("changes", self.changes.iter().map(Change::object))
    }
}

/// `changes` in columns for a person: which unit, what becomes of it, why. One line says so if there are none.
pub fn plan(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "nothing changes\n".to_owned();
    }
    let head = ["UNIT", "WHAT", "WHY"].map(str::to_owned);
    let rows: Vec<[String; 3]> = std::iter::once(head).chain(changes.iter().map(row)).collect();
    let mut widths = [0; 3];
    for row in &rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = width(cell).max(*widest);
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| padded(cell, width)).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn row(change: &Change) -> [String; 3] {
    let why = match change.keys.as_slice() {
        [] if change.fate == Fate::Added.word() => "the table has it now".to_owned(),
        [] if change.fate == Fate::Removed.word() => "the table has it no more".to_owned(),
        [] if change.fate == Fate::Unskipped.word() => "its `when` holds now".to_owned(),
        keys => keys.join(", "),
    };
    [plain(&change.unit), plain(&change.fate), plain(&why)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(unit: &str, fate: Fate, keys: &[&str]) -> Change {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        Change { unit: unit.to_owned(), fate: fate.word().to_owned(), keys }
    }

    #[test]
    fn a_plan() {
        let changes = [
            change("web", Fate::Restarted, &["exec", "stop-timeout"]),
            change("database", Fate::Changed, &["backoff"]),
            change("new", Fate::Added, &[]),
            change("old", Fate::Removed, &[]),
            change("job", Fate::SwitchedOff, &["enabled"]),
            change("disk", Fate::Unskipped, &[]),
        ];
        let expected = "\
UNIT      WHAT               WHY
web       restarted          exec, stop-timeout
database  changed in place   backoff
new       added              the table has it now
old       removed            the table has it no more
job       switched off       enabled
disk      no longer skipped  its `when` holds now
";
        assert_eq!(plan(&changes), expected);
        assert_eq!(plan(&[]), "nothing changes\n");
    }
}
