//! What a unit has been through: its last transitions, and when it first came how far.

use std::collections::VecDeque;

use super::event::Pid;
use super::time::Time;

/// How many transitions are kept: two whole rounds of waiting, starting, up and backoff.
pub const KEPT: usize = 8;

/// What is kept at most of why, in bytes: a sentence. A path or a name in it may be longer.
const REASON: usize = 160;

/// The last transitions of a unit, oldest first, never more than [`KEPT`], and its [`Milestones`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    pub(super) last: VecDeque<Transition>,
    pub(super) milestones: Milestones,
}

/// One change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When.
    pub at: Time,
    /// The state that it entered.
    pub state: &'static str,
    /// Its main process then, as far as it was known.
    pub pid: Option<Pid>,
    /// Why, where there was something to say.
    pub why: Option<Box<str>>,
}

/// When a unit first came how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Milestones {
    /// It was wanted, and began to wait for what it needs.
    pub waiting: Option<Time>,
    /// Its process was asked for.
    pub starting: Option<Time>,
    /// It was ready, or done.
    pub ready: Option<Time>,
}

impl History {
    /// What was before the first transition that [`History::record`] is told.
    pub const fn new() -> History {
        History { last: VecDeque::new(), milestones: Milestones { waiting: None, starting: None, ready: None } }
    }

    /// Adds the newest transition; the oldest goes if there are too many.
    pub fn record(&mut self, at: Time, state: &'static str, pid: Option<Pid>) {
        let first = match state {
            "waiting" => Some(&mut self.milestones.waiting),
            "starting" => Some(&mut self.milestones.starting),
            "up" | "done" => Some(&mut self.milestones.ready),
            _ => None,
        };
        if let Some(first) = first {
            first.get_or_insert(at);
        }
        if self.last.len() >= KEPT {
            self.last.pop_front();
        }
        self.last.push_back(Transition { at, state, pid, why: None });
    }

    /// Says why the newest transition was made.
    pub fn explain(&mut self, why: &str) {
        if let Some(newest) = self.last.back_mut() {
            newest.why = Some(shortened(why).into());
        }
    }

    /// The transitions, oldest first.
    pub fn transitions(&self) -> impl ExactSizeIterator<Item = &Transition> {
        self.last.iter()
    }

    /// When it first came how far.
    pub const fn milestones(&self) -> Milestones {
        self.milestones
    }
}

/// At most [`REASON`] bytes of `text`, with a mark where something is missing.
fn shortened(text: &str) -> String {
    if text.len() <= REASON {
        return text.to_owned();
    }
    let mut short: String = text
        .char_indices()
        .take_while(|(at, letter)| at + letter.len_utf8() <= REASON)
        .map(|(_, letter)| letter)
        .collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Time {
        Time::from_nanos(second * 1_000_000_000)
    }

    #[test]
    fn the_last_ones_are_kept() {
        let mut history = History::new();
        // Nothing to explain yet.
        history.explain("no");
        for second in 0..20 {
            history.record(at(second), if second % 2 == 0 { "starting" } else { "backoff" }, None);
            history.explain(&second.to_string());
        }
        let kept: Vec<(Time, Option<&str>)> = history.transitions().map(|one| (one.at, one.why.as_deref())).collect();
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept.first(), Some(&(at(12), Some("12"))));
        assert_eq!(kept.last(), Some(&(at(19), Some("19"))));
    }

    #[test]
    fn firsts_stay() {
        let mut history = History::new();
        for (second, state) in
            ["waiting", "starting", "backoff", "waiting", "starting", "up", "stopping", "up"].iter().enumerate()
        {
            history.record(at(second as u64), state, Some(Pid(7)));
        }
        let expected = Milestones { waiting: Some(at(0)), starting: Some(at(1)), ready: Some(at(5)) };
        assert_eq!(history.milestones(), expected);
    }

    #[test]
    fn a_long_reason_is_cut_between_letters() {
        let mut history = History::new();
        history.record(at(0), "failed", None);
        history.explain(&"ä".repeat(200));
        let why = history.transitions().next().and_then(|one| one.why.clone()).unwrap_or_default();
        assert_eq!(&*why, format!("{}…", "ä".repeat(REASON / 2)));
    }
}
