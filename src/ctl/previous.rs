//! `initctl logs --previous`: what units wrote before their last starts.

use std::collections::VecDeque;
use std::io;

use super::call::Whom;
use super::code::NO;
use super::document::{Document, Unable};
use super::reel::{Entry, Reel};
use super::request::unknown;
use crate::control::line::stamp;

/// When each of `units` was last started, as a log file writes it.
pub(super) fn starts(of: &Whom, units: &[String]) -> Result<Vec<Vec<u8>>, Unable> {
    let (_, reading) = Document::latest(of)?;
    let start = |name: &String| {
        let unit = reading.status.units.iter().find(|unit| unit.name == *name);
        let unit = unit.ok_or_else(|| unknown(name, &reading.status))?;
        let last = unit.history.iter().rev().find(|passage| passage.state == "starting");
        last.map(|passage| stamp(passage.at).into_bytes()).ok_or_else(|| {
            let text = format!("unable to show what {name} wrote before its last start: no start of it is known");
            Unable::new(NO, format!("{text}; without --previous all its lines are shown"))
        })
    };
    units.iter().map(start).collect()
}

/// The last `count` lines of `reel` that were read before `start`.
pub(super) fn before(reel: &mut Reel, start: &[u8], count: u64) -> io::Result<VecDeque<Entry>> {
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let mut lines = VecDeque::new();
    while reel.head()?.is_some_and(|entry| entry.time.as_slice() < start) {
        lines.extend(reel.take());
        if lines.len() > most {
            lines.pop_front();
        }
    }
    Ok(lines)
}
