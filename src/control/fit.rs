//! The status as a table that fits a terminal.

use super::columns::{filled, padded, shortened, width};
use super::show::{HEAD, NAME, PID, RESTARTS, SINCE, STATE, WHY};
use super::status::Status;

/// The narrowest table; what is narrower still wraps.
const LEAST: usize = 24;
/// Between columns.
const GAP: usize = 2;
/// What a name or a reason gets before a column of less use is left out.
const READABLE: usize = 14;

/// One column of the table.
struct Column {
    head: &'static str,
    /// The cells under the head.
    cells: Vec<String>,
    width: usize,
}

impl Status {
    /// One line a unit and what sums up, in lines of at most `limit` columns. Long names and reasons are shortened; where that
    /// is not enough, columns are left out. With `colours` the states are coloured for a terminal.
    pub fn fitted(&self, limit: usize, colours: bool) -> String {
        let limit = limit.max(LEAST);
        let columns = fit(self.columns(), limit);
        let mut text = head(&columns, limit);
        for (place, unit) in self.units.iter().enumerate() {
            let cells = columns.iter().map(|column| {
                let cell = shortened(column.cells.get(place).map_or("", String::as_str), column.width);
                (padded(&cell, column.width), column.head == STATE && colours)
            });
            let line: Vec<String> =
                cells.map(|(cell, state)| if state { painted(&cell, &unit.state) } else { cell }).collect();
            text.push_str(line.join(&" ".repeat(GAP)).trim_end());
            text.push('\n');
        }
        text + &filled(self.summary().split(' '), limit, "", "  ")
    }

    fn columns(&self) -> Vec<Column> {
        let rows: Vec<[String; 6]> = self.units.iter().map(|unit| self.row(unit)).collect();
        let column = |(place, head): (usize, &'static str)| {
            let cells: Vec<String> = rows.iter().map(|row| row.get(place).cloned().unwrap_or_default()).collect();
            let width = cells.iter().map(|cell| width(cell)).chain([head.len()]).max().unwrap_or(0);
            Column { head, cells, width }
        };
        HEAD.into_iter().enumerate().map(column).collect()
    }
}

/// `text` in the colour of `state`: green where all is well, yellow on the way, red where it is not, grey where nothing runs.
pub fn painted(text: &str, state: &str) -> String {
    let colour = match state {
        "up" | "done" => "32",
        "waiting" | "backoff" | "starting" | "stopping" => "33",
        "stuck" | "failed" => "31",
        _ => "90",
    };
    format!("\x1b[{colour}m{text}\x1b[0m")
}

/// The columns with widths that fit.
fn fit(mut columns: Vec<Column>, limit: usize) -> Vec<Column> {
    for spare in [RESTARTS, PID, SINCE] {
        if total(
            &columns,
            |column| if [NAME, WHY].contains(&column.head) { column.width.min(READABLE) } else { column.width },
        ) <= limit
        {
            break;
        }
        columns.retain(|column| column.head != spare);
    }
    let natural = |name: &str| columns.iter().find(|column| column.head == name).map_or(0, |column| column.width);
    let (name, why) = (natural(NAME), natural(WHY));
    let room = limit
        .saturating_sub(total(&columns, |column| if [NAME, WHY].contains(&column.head) { 0 } else { column.width }));
    if name + why > room {
        let why = why.min(room.saturating_sub(name).max(room / 2));
        for column in &mut columns {
            match column.head {
                NAME => column.width = name.min(room - why),
                WHY => column.width = why,
                _ => {}
            }
        }
    }
    columns
}

fn total(columns: &[Column], of: impl Fn(&Column) -> usize) -> usize {
    columns.iter().map(of).sum::<usize>() + GAP * columns.len().saturating_sub(1)
}

fn head(columns: &[Column], limit: usize) -> String {
    let cells: Vec<String> =
        columns.iter().map(|column| padded(&shortened(column.head, column.width), column.width)).collect();
    let line = cells.join(&" ".repeat(GAP));
    shortened(line.trim_end(), limit) + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::status::UnitStatus;
    use super::*;

    fn status() -> Status {
        let unit = |name: &str, state: &str, why: Option<&str>| UnitStatus {
            name: name.to_owned(),
            state: state.to_owned(),
            why: why.map(str::to_owned),
            pid: Some(40_321),
            restarts: 4_000_000_000,
            ..UnitStatus::default()
        };
        Status {
            phase: "running".into(),
            written: 273_600_000,
            units: vec![
                unit("web", "up", None),
                unit(&"n".repeat(64), "starting", Some("not ready yet")),
                unit(
                    "漢字",
                    "backoff",
                    Some("it exited with status 1 漢字 \u{1b}[2J before it was ready; again in 29 s"),
                ),
                unit("down", "failed", Some(&"x".repeat(300))),
            ],
            ..Status::default()
        }
    }

    #[test]
    fn every_line_fits_every_width() {
        let status = status();
        for limit in 0..200 {
            let text = status.fitted(limit, false);
            for line in text.lines() {
                assert!(width(line) <= limit.max(LEAST), "{limit}: {line}");
            }
            for unit in &status.units {
                assert!(text.contains(&unit.state), "{limit}: the state of {} is missing:\n{text}", unit.name);
            }
            // Colours take no columns.
            let mut bare = status.fitted(limit, true);
            for code in ["\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[90m", "\x1b[0m"] {
                bare = bare.replace(code, "");
            }
            assert_eq!(bare.lines().map(str::trim_end).collect::<Vec<_>>(), text.lines().collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_fits_is_not_shortened() {
        let text = status().fitted(1_000, false);
        assert!(text.contains(&"n".repeat(64)) && !text.contains('…'), "{text}");
    }
}
