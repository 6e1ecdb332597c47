//! `initctl start|stop|restart|reload` and `initctl shutdown|poweroff|reboot|halt`: requests by signal.

use std::io;
use std::time::{Duration, Instant};

use log::{error, warn};

use super::call::{Demand, Whom};
use super::code::{ABSENT, NO, OK, USAGE};
use super::document::{ANSWER, Document, Unable, bears_our_name, expects};
use super::{print, reason};
use crate::control::columns::plain;
use crate::control::request::{SIGNAL, number};
use crate::control::{Outcome, Status, outcome, signal::asking};
use crate::sys::{Errno, signal};
use crate::unit::duration::short;
use crate::unit::{Goal, Request, UnitId, suggest};

/// How long a full queue is waited for: PID 1 takes thousands of requests a second, so a queue that stays full this long is
/// not being read.
const ROOM: Duration = Duration::from_secs(5);
/// How long to wait for PID 1's next document before a full queue is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// Asks what `demand` says and follows what comes of it; the exit code.
pub(super) fn ask(demand: &Demand) -> u8 {
    said(Asking::begin(demand).and_then(|mut asking| asking.follow()))
}

/// Asks for a shutdown; the exit code.
pub(super) fn shut_down(goal: Goal, of: &Whom) -> u8 {
    said(try_to_shut_down(goal, of))
}

fn said(result: Result<u8, Unable>) -> u8 {
    result.unwrap_or_else(|unable| {
        error!("{unable}");
        unable.code
    })
}

fn try_to_shut_down(goal: Goal, of: &Whom) -> Result<u8, Unable> {
    let document = Document::open(of);
    let pid = document.as_ref().ok().and_then(Document::process).or(of.pid).unwrap_or(1);
    let unable = |code, cause: &str| {
        Unable::new(code, format!("unable to ask process {pid} for a shutdown: {cause}; nothing was changed"))
    };
    // A PID 1 that could not write a document (no /run) is known by its name.
    let ours = document.as_ref().is_ok_and(|document| document.renew().is_ok()) || bears_our_name(pid).unwrap_or(false);
    let expected = expects(pid, asking(goal)).map_err(|error| unable(ABSENT, &reason(&error)))?;
    if !ours || !expected {
        return Err(unable(ABSENT, "it is not clusteros-init, or does not answer"));
    }
    signal::send(pid, asking(goal)).map(|()| OK).map_err(|errno| match errno {
        Errno::EPERM => {
            Unable::new(NO, format!("unable to ask process {pid} for a shutdown: {}; try as root", text(errno)))
        }
        _ => unable(ABSENT, &text(errno)),
    })
}

/// Requests that were sent.
struct Asking<'a> {
    demand: &'a Demand,
    document: Document,
    before: Status,
    /// Who is not done: a unit, and how many requests it had before.
    open: Vec<(&'a str, u64)>,
    since: Instant,
    code: u8,
}

impl<'a> Asking<'a> {
    /// Sends every request, or none if a name is wrong.
    fn begin(demand: &'a Demand) -> Result<Asking<'a>, Unable> {
        let document = Document::open(&demand.of)?;
        document.renew().map_err(|unable| unable.and("nothing was asked"))?;
        let before = document.read()?.status;
        let mut numbers = Vec::new();
        for name in &demand.units {
            let place = before.units.iter().position(|unit| unit.name == *name);
            let place = place.and_then(|place| u16::try_from(place).ok()).ok_or_else(|| unknown(name, &before))?;
            numbers.push(number(Request { unit: UnitId(place), wish: demand.wish }, before.generation));
        }
        let pid = document.asked(SIGNAL, "for anything").map_err(|unable| unable.and("nothing was asked"))?;
        for number in numbers {
            send(&document, pid, number)?;
        }
        let count = |name: &str| before.units.iter().find(|unit| unit.name == name).map_or(0, |unit| unit.requests);
        let open = demand.units.iter().map(|name| (name.as_str(), count(name))).collect();
        Ok(Asking { demand, document, before, open, since: Instant::now(), code: OK })
    }

    /// Until every request is answered, or done if that is waited for; the exit code.
    fn follow(&mut self) -> Result<u8, Unable> {
        loop {
            let status = self.document.read()?.status;
            self.settle(&status)?;
            if self.open.is_empty() {
                return Ok(self.code);
            }
            let limit = if self.unread(&status) { ANSWER } else { self.demand.wait.unwrap_or(ANSWER) };
            let Some(left) = limit.checked_sub(self.since.elapsed()).filter(|left| !left.is_zero()) else {
                self.out_of_time(&status, limit);
                return Ok(self.code);
            };
            self.document.changed(Some(left)).map_err(|error| no_wait(&error))?;
        }
    }

    /// Says what is decided, and keeps what is not.
    fn settle(&mut self, status: &Status) -> Result<(), Unable> {
        let wish = self.demand.wish;
        let mut done = String::new();
        let replaced = status.generation != self.before.generation;
        let refused = status.requests.refused > self.before.requests.refused;
        let mut code = OK;
        self.open.retain(|(unit, before)| match outcome(wish, unit, *before, status) {
            Outcome::Sent if replaced && refused => {
                error!("unable to {} {unit}: the unit table was replaced meanwhile; ask again", wish.word());
                code = NO;
                false
            }
            Outcome::Sent => true,
            Outcome::Taken => self.demand.wait.is_some(),
            Outcome::Done(state) => {
                if self.demand.wait.is_some() && !self.demand.quiet {
                    done.push_str(&format!("{unit} is {}\n", plain(&state)));
                }
                false
            }
            Outcome::Failed(cause) => {
                error!("unable to {} {unit}: {}", wish.word(), plain(&cause));
                code = NO;
                false
            }
        });
        self.code = self.code.max(code);
        if done.is_empty() {
            return Ok(());
        }
        match print(&done) {
            // Whoever has read enough does not change what comes of the rest.
            Ok(()) | Err(OK) => Ok(()),
            Err(code) => Err(Unable::new(code, "unable to show what became of it: see above; it was done".to_owned())),
        }
    }

    /// Whether PID 1 has not read every request.
    fn unread(&self, status: &Status) -> bool {
        self.open.iter().any(|(unit, before)| outcome(self.demand.wish, unit, *before, status) == Outcome::Sent)
    }

    fn out_of_time(&mut self, status: &Status, limit: Duration) {
        let word = self.demand.wish.word();
        for (name, before) in &self.open {
            let unit = status.units.iter().find(|unit| unit.name == *name);
            let state = unit.map_or_else(String::new, |unit| match &unit.why {
                Some(why) if !why.starts_with(&unit.state) => format!("{} ({why})", unit.state),
                Some(why) => why.clone(),
                None => unit.state.clone(),
            });
            let unread = outcome(self.demand.wish, name, *before, status) == Outcome::Sent;
            if unread {
                error!("unable to {word} {name}: no answer within {}; PID 1 may still do it", short(limit));
                self.code = self.code.max(ABSENT);
            } else {
                error!("unable to {word} {name} within {}: it is {}; the request stands", short(limit), plain(&state));
                self.code = self.code.max(NO);
            }
        }
    }
}

/// Queues one request. A full queue is tried again when PID 1 has written a document.
fn send(document: &Document, pid: i32, number: i32) -> Result<(), Unable> {
    let unable = |code, cause: &str| Unable::new(code, format!("unable to send a request to process {pid}: {cause}"));
    let end = Instant::now() + ROOM;
    let mut warned = false;
    loop {
        match signal::queue(pid, SIGNAL, number) {
            Ok(()) => return Ok(()),
            Err(Errno::EAGAIN) if Instant::now() < end => {
                if !warned {
                    warn!("the signal queue of process {pid} is full; waiting for room for {}", short(ROOM));
                    warned = true;
                }
                document.changed(Some(AGAIN)).map_err(|error| no_wait(&error))?;
            }
            Err(Errno::EAGAIN) => {
                return Err(unable(ABSENT, &format!("its signal queue stayed full for {}; ask again", short(ROOM))));
            }
            Err(Errno::EPERM) => return Err(unable(NO, &format!("{}; try as root", text(Errno::EPERM)))),
            Err(errno) => return Err(unable(ABSENT, &format!("{}; is the node gone?", text(errno)))),
        }
    }
}

/// That the table has no unit called `name`, and what may have been meant.
pub(super) fn unknown(name: &str, status: &Status) -> Unable {
    let names = status.units.iter().map(|unit| unit.name.as_str());
    let next = match suggest::nearest(name, names) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "\"initctl status\" lists what there is".to_owned(),
    };
    Unable::new(USAGE, format!("unable to find a unit called {name:?}: the table has none; {next}"))
}

fn no_wait(error: &io::Error) -> Unable {
    Unable::new(NO, format!("unable to wait for a change: {}; \"initctl status\" tells what came of it", reason(error)))
}

fn text(errno: Errno) -> String {
    reason(&errno.into())
}
