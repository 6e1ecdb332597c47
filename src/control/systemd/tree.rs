//! What a unit is started after, as a tree.

use super::page::glyph;
use super::property::all;
use super::{id, words};
use crate::control::columns::plain;
use crate::control::fit::painted;
use crate::control::status::{Status, UnitStatus};

/// How a tree is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Who comes after the unit, not whom it comes after.
    pub reverse: bool,
    /// Only names, indented.
    pub bare: bool,
    /// For a terminal.
    pub colours: bool,
}

impl Status {
    /// `unit`, which is one of this status, and below it what it needs, is bound to and wants, each with the same below it
    /// where it comes first: a page is no longer than there are ties.
    pub fn tree(&self, unit: &UnitStatus, style: Style) -> String {
        let mut text = format!("{}\n", plain(&id(&unit.name)));
        self.branch(unit, style, "", &mut vec![&unit.name], &mut vec![&unit.name], &mut text);
        text
    }

    /// `path` leads from the root to `unit`: what it has met already is not met again. What is `unfolded` already is but named.
    fn branch<'a>(
        &'a self,
        unit: &'a UnitStatus,
        style: Style,
        before: &str,
        path: &mut Vec<&'a str>,
        unfolded: &mut Vec<&'a str>,
        text: &mut String,
    ) {
        let next: Vec<&UnitStatus> = if style.reverse {
            self.units.iter().filter(|other| all(other).contains(&unit.name.as_str())).collect()
        } else {
            all(unit).into_iter().filter_map(|name| self.units.iter().find(|other| other.name == name)).collect()
        };
        let next: Vec<&UnitStatus> = next.into_iter().filter(|other| !path.contains(&other.name.as_str())).collect();
        for (place, other) in next.iter().enumerate() {
            let last = place + 1 == next.len();
            let name = plain(&id(&other.name));
            if style.bare {
                text.push_str(&format!("{}{name}\n", "  ".repeat(path.len())));
            } else {
                let mark = glyph(words(other)).to_string();
                let mark = if style.colours { painted(&mark, &other.state) } else { mark };
                text.push_str(&format!("{mark} {before}{}{name}\n", if last { "└─" } else { "├─" }));
            }
            if unfolded.contains(&other.name.as_str()) {
                continue;
            }
            unfolded.push(&other.name);
            path.push(&other.name);
            self.branch(other, style, &format!("{before}{}", if last { "  " } else { "│ " }), path, unfolded, text);
            path.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Status, Style, UnitStatus};

    #[test]
    fn a_unit_is_unfolded_once() {
        // Each needs all that come after it: 2^27 paths lead through them.
        let name = |at: usize| format!("u{at:02}");
        let unit = |at| UnitStatus { name: name(at), needs: (at + 1..28).map(name).collect(), ..UnitStatus::default() };
        let status = Status { units: (0..28).map(unit).collect(), ..Status::default() };
        let bare = Style { bare: true, ..Style::default() };
        let first = status.units.first().expect("a unit");
        assert_eq!(status.tree(first, bare).lines().count(), 1 + 28 * 27 / 2);
        let last = status.units.last().expect("a unit");
        assert_eq!(status.tree(last, Style { reverse: true, ..bare }).lines().count(), 1 + 28 * 27 / 2);
    }
}
