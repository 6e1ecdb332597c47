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
    /// `unit`, which is one of this status, and below it what it needs, is bound to and wants, each with the same below it.
    pub fn tree(&self, unit: &UnitStatus, style: Style) -> String {
        let mut text = format!("{}\n", plain(&id(&unit.name)));
        self.branch(unit, style, "", &mut vec![&unit.name], &mut text);
        text
    }

    /// `path` leads from the root to `unit`: what it has met already is not met again.
    fn branch<'a>(
        &'a self,
        unit: &'a UnitStatus,
        style: Style,
        before: &str,
        path: &mut Vec<&'a str>,
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
            path.push(&other.name);
            self.branch(other, style, &format!("{before}{}", if last { "  " } else { "│ " }), path, text);
            path.pop();
        }
    }
}
