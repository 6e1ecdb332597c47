//! The status as a table for a person.

use std::time::Duration;

use super::status::{Status, UnitStatus};
use crate::unit::duration::short;

/// Units that the last line names at most; the table above it has them all.
const NAMED: usize = 3;

impl Status {
    /// One line a unit, in columns, and a last line that sums up: `4 of 5 units up; gossip is waiting for identity`.
    pub fn table(&self) -> String {
        let head = ["UNIT", "STATE", "PID", "SINCE", "RESTARTS", "WHY"].map(str::to_owned);
        let rows: Vec<[String; 6]> =
            std::iter::once(head).chain(self.units.iter().map(|unit| self.row(unit))).collect();
        let mut widths = [0; 6];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut text = String::new();
        for row in rows {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text.push_str(&self.summary());
        text.push('\n');
        text
    }

    /// How many units are as they should be, and what is with the others.
    pub fn summary(&self) -> String {
        let on = self.units.iter().filter(|unit| !unit.off()).count();
        let settled = self.units.iter().filter(|unit| unit.settled()).count();
        let mut text = match &self.goal {
            Some(goal) => format!("stopping ({goal}): {settled} of {on} units up"),
            None => format!("{settled} of {on} units up"),
        };
        let others: Vec<&UnitStatus> = self.units.iter().filter(|unit| !unit.off() && !unit.settled()).collect();
        for unit in others.iter().take(NAMED) {
            text.push_str(&format!("; {} is {}", unit.name, unit.state));
            if let Some(why) = unit.why.as_deref().filter(|why| !why.is_empty()) {
                // A unit waits *for* something; everything else is so *because* of something.
                text.push_str(if unit.state == "waiting" { " " } else { ": " });
                text.push_str(&plain(why));
            }
        }
        if others.len() > NAMED {
            text.push_str(&format!("; and {} more", others.len() - NAMED));
        }
        text
    }

    fn row(&self, unit: &UnitStatus) -> [String; 6] {
        [
            plain(&unit.name),
            plain(&unit.state),
            unit.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            short(Duration::from_millis(self.written.saturating_sub(unit.since))),
            unit.restarts.to_string(),
            self.reason(unit),
        ]
    }

    /// The last column: why it is in this state and until when; else what it says of itself; else how it ended before.
    fn reason(&self, unit: &UnitStatus) -> String {
        let mut parts = Vec::new();
        if let Some(why) = &unit.why {
            parts.push(plain(why));
        } else if let Some(said) = &unit.status {
            parts.push(plain(said));
        }
        if let Some(until) = unit.until.filter(|until| *until > self.written) {
            parts.push(format!("for {} more", short(Duration::from_millis(until - self.written))));
        }
        if unit.restarts > 0
            && let Some(last) = &unit.last_exit
            && unit.why.is_none()
        {
            parts.push(format!("before: {}", plain(last)));
        }
        parts.join("; ")
    }
}

/// `text` without anything that would move a terminal's cursor.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}
