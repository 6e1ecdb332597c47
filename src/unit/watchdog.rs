//! `watchdog`: a unit that is up must say so again and again.

use std::time::Duration;

use super::state::Why;
use super::time::Time;

/// A unit's watchdog since its last start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Watchdog {
    /// How long it may be silent; none: for ever. What the table says, unless the unit itself has said otherwise.
    pub span: Option<Duration>,
    /// When it has been silent for too long.
    pub until: Option<Time>,
    /// It asked for what follows by itself.
    pub asked: bool,
}

impl Watchdog {
    /// A start: it counts from ready on.
    pub fn new(span: Option<Duration>) -> Watchdog {
        Watchdog { span, until: None, asked: false }
    }

    /// It lives: it has just become ready, or says so.
    pub fn feed(&mut self, now: Time) {
        if !self.asked {
            self.until = self.span.map(|span| now + span);
        }
    }

    /// It wants another span from now on; none at all with zero. `up`: it is ready already.
    pub fn set(&mut self, now: Time, span: Duration, up: bool) {
        self.span = (!span.is_zero()).then_some(span);
        if up {
            self.feed(now);
        }
    }

    /// It says itself that it is beyond help.
    pub fn trigger(&mut self, now: Time) {
        self.asked = true;
        self.until = Some(now);
    }

    /// Why it is to be ended now, if it is.
    pub fn bites(&self, now: Time) -> Option<Why> {
        let span = if self.asked { None } else { self.span };
        self.until.filter(|until| now >= *until).map(|_| Why::Watchdog(span))
    }
}
