//! `initctl status`: once, or at every change.

use std::io;

use log::error;

use super::call::{Asked, Whom};
use super::code::{DOWN, NO, OK};
use super::document::{Document, Reading, Unable};
use super::logs;
use super::look::Look;
use super::request::unknown;
use super::{print, reason, shown};
use crate::control::Status;
use crate::unit::nameable;

/// How many of a unit's own lines are shown with what is known of it.
const LINES: u64 = 10;
/// Clears a terminal, so that the table stays in one place.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Shows the status that `asked` means; the exit code says whether all is well with the last that was shown.
pub(super) fn run(asked: &Asked) -> u8 {
    match watch(asked) {
        Ok(code) | Err(Stop::Code(code)) => code,
        Err(Stop::Unable(unable)) => {
            error!("{unable}");
            unable.code
        }
    }
}

/// Shows the names of the units, as the document has them now; the exit code.
pub(super) fn names(of: &Whom) -> u8 {
    match Document::open(of).and_then(|document| document.read()) {
        Ok(reading) => {
            // A shell is to have them, and the document may be a stranger's.
            let names = reading.status.units.iter().map(|unit| &unit.name).filter(|name| nameable(name));
            shown(&names.map(|name| format!("{name}\n")).collect::<String>())
        }
        Err(unable) => {
            error!("{unable}");
            unable.code
        }
    }
}

/// Why nothing more is shown.
enum Stop {
    /// What was unable to be done.
    Unable(Unable),
    /// It is said already, or nothing to say.
    Code(u8),
}

impl From<Unable> for Stop {
    fn from(unable: Unable) -> Stop {
        Stop::Unable(unable)
    }
}

fn watch(asked: &Asked) -> Result<u8, Stop> {
    let (document, mut reading) = Document::latest(&asked.of)?;
    for name in &asked.units {
        if reading.status.units.iter().all(|unit| unit.name != *name) {
            return Err(unknown(name, &reading.status).into());
        }
    }
    loop {
        let code = show(&reading, asked).map_err(Stop::Code)?;
        if !asked.watch {
            return Ok(code);
        }
        let changed = |cause: io::Error| {
            Unable::new(NO, format!("unable to wait for a change: {}; nothing more is shown", reason(&cause)))
        };
        while !document.changed(None).map_err(changed)? {}
        reading = document.read()?;
    }
}

/// Prints one reading and answers what it means for the exit code, or the exit code to end with.
fn show(reading: &Reading, asked: &Asked) -> Result<u8, u8> {
    let look = asked.look();
    let mut text = match (asked.json, asked.units.is_empty()) {
        (true, true) => reading.text.clone(),
        (true, false) => of_units(&reading.status, &asked.units).to_json(),
        (false, true) => reading.status.fitted(look.width, look.colours),
        (false, false) => details(&reading.status, asked, &look),
    };
    if asked.watch && !asked.json {
        text = if look.terminal { format!("{CLEAR}{text}") } else { format!("{text}\n") };
    }
    print(&text)?;
    let units = &reading.status.units;
    let well = units.iter().all(|unit| unit.off() || unit.settled());
    let named = asked.units.iter().all(|name| units.iter().any(|unit| unit.name == *name && unit.settled()));
    Ok(match (asked.units.as_slice(), well, named) {
        ([], true, _) | ([_, ..], _, true) => OK,
        ([], false, _) => NO,
        ([_, ..], _, false) => DOWN,
    })
}

impl Asked {
    fn look(&self) -> Look {
        let look = Look::found();
        if self.wide { Look { width: usize::MAX, ..look } } else { look }
    }
}

/// All that is known of the units that were asked for, and the end of what they wrote.
fn details(status: &Status, asked: &Asked, look: &Look) -> String {
    let units = asked.units.iter().filter_map(|name| status.units.iter().find(|unit| unit.name == *name));
    let pages: Vec<String> = units
        .map(|unit| {
            let mut page = status.detail(unit, look.width, look.colours);
            let lines = logs::tail(&asked.of, &unit.name, LINES);
            if !lines.is_empty() {
                page.push_str("  log\n");
            }
            lines.iter().for_each(|line| page.push_str(&format!("    {line}\n")));
            page
        })
        .collect();
    pages.join("\n")
}

/// The status with these units alone; with all if none is named.
fn of_units(status: &Status, names: &[String]) -> Status {
    let mut status = status.clone();
    status.units.retain(|unit| names.is_empty() || names.contains(&unit.name));
    status
}
