//! The status as a table for a person.

use std::time::Duration;

use super::columns::plain;
use super::status::{Status, UnitStatus};
use crate::unit::duration::short;

/// The columns of the table.
pub(super) const HEAD: [&str; 6] = [NAME, STATE, PID, SINCE, RESTARTS, WHY];
pub(super) const NAME: &str = "UNIT";
pub(super) const STATE: &str = "STATE";
pub(super) const PID: &str = "PID";
pub(super) const SINCE: &str = "SINCE";
pub(super) const RESTARTS: &str = "RESTARTS";
pub(super) const WHY: &str = "WHY";

/// Units that the last line names at most; the table above it has them all.
const NAMED: usize = 3;

impl Status {
    /// One line a unit, in columns, and a last line that sums up: `4 of 5 units up; gossip is waiting for identity`.
    pub fn table(&self) -> String {
        let head = HEAD.map(str::to_owned);
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
            Some(goal) => format!("stopping ({}): {settled} of {on} units up", plain(goal)),
            None => format!("{settled} of {on} units up"),
        };
        let others: Vec<&UnitStatus> = self.units.iter().filter(|unit| !unit.off() && !unit.settled()).collect();
        for unit in others.iter().take(NAMED) {
            text.push_str(&format!("; {} is ", plain(&unit.name)));
            // The cause alone: what is next stands in the table.
            match unit.why.as_deref().and_then(|why| why.split("; ").next()) {
                // "waiting for identity" says the state itself.
                Some(why) if why.starts_with(&unit.state) => text.push_str(&plain(why)),
                Some(why) => text.push_str(&format!("{}: {}", plain(phrase(&unit.state)), plain(why))),
                None => text.push_str(&plain(phrase(&unit.state))),
            }
        }
        if others.len() > NAMED {
            text.push_str(&format!("; and {} more", others.len() - NAMED));
        }
        if self.table.error.is_some() {
            text.push_str("; the last reload of the unit table was refused, see initctl logs init");
        }
        text
    }

    pub(super) fn row(&self, unit: &UnitStatus) -> [String; 6] {
        [
            plain(&unit.name),
            plain(&unit.state),
            unit.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            short(Duration::from_millis(self.written.saturating_sub(unit.since))),
            unit.restarts.to_string(),
            self.reason(unit),
        ]
    }

    /// The last column: why it is in this state and for how long at most; else what it says of itself; else how it ended
    /// before.
    fn reason(&self, unit: &UnitStatus) -> String {
        let mut parts = Vec::new();
        if let Some(why) = &unit.why {
            parts.push(plain(why));
        }
        if let Some(said) = &unit.status {
            parts.push(plain(said));
        }
        // The reason of a backoff has its end in it.
        if let Some(until) = unit.until.filter(|until| *until > self.written && unit.state != "backoff") {
            parts.push(format!("at most {} more", short(Duration::from_millis(until - self.written))));
        }
        if let Some(last) = unit.last_exit.as_deref().filter(|_| unit.restarts > 0 && unit.why.is_none()) {
            parts.push(format!("before: {}", plain(last)));
        }
        parts.join("; ")
    }
}

/// A state as it follows "is".
fn phrase(state: &str) -> &str {
    if state == "backoff" { "in backoff" } else { state }
}
