//! `initctl reexec`: PID 1 goes on as the program that is now in its place, or says why it does not.

use std::time::{Duration, Instant};

use log::error;

use super::call::Whom;
use super::code::{ABSENT, NO, OK};
use super::document::{Document, Unable};
use super::{print, reason};
use crate::control::columns::plain;
use crate::control::renewal::TRIAL;
use crate::unit::duration::short;

/// The options of `reexec`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// How long to wait for the outcome.
    pub wait: Option<Duration>,
    pub of: Whom,
}

/// What a trial may take, and what surrounds it.
const WAIT: Duration = TRIAL.saturating_add(Duration::from_secs(5));

/// Asks for it, and says what came of it; the exit code.
pub(super) fn run(wanted: &Wanted) -> u8 {
    ask(wanted).unwrap_or_else(|unable| {
        error!("{unable}");
        unable.code
    })
}

fn ask(wanted: &Wanted) -> Result<u8, Unable> {
    let document = Document::open(&wanted.of)?;
    document.renew().map_err(|unable| unable.and("nothing was asked"))?;
    let before = document.read()?.status;
    document.ask(libc::SIGUSR2, "to be renewed")?;
    let (sent, limit) = (Instant::now(), wanted.wait.unwrap_or(WAIT));
    loop {
        let status = document.read()?.status;
        let (was, is) = (&before.renewals, &status.renewals);
        if is.refused > was.refused {
            let why = is.refusal.as_deref().unwrap_or("unable to be renewed: PID 1 did not say why; its log may");
            error!("{}", plain(why));
            return Ok(NO);
        }
        if is.done > was.done {
            return Ok(print(&format!("went on as {}\n", plain(&status.program))).err().unwrap_or(OK));
        }
        let Some(left) = limit.checked_sub(sent.elapsed()).filter(|left| !left.is_zero()) else {
            error!("unable to tell what came of it: no outcome within {}; PID 1 may still do it", short(limit));
            return Ok(ABSENT);
        };
        let cannot = |error: std::io::Error| {
            Unable::new(NO, format!("unable to wait for a change: {}; PID 1 may still do it", reason(&error)))
        };
        document.changed(Some(left)).map_err(cannot)?;
    }
}
