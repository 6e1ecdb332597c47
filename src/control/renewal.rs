//! Going on as another program under the same pid: what became of the wish, and how often a broken program may go on.

use std::time::Duration;

use serde::Deserialize;

use super::json::Object;
use crate::unit::{Ending, SpawnError, Time, words};

/// How long a new program may take to say that it can go on. It reads what we know and makes no process: milliseconds.
pub const TRIAL: Duration = Duration::from_secs(10);

/// Faults within this long.
const SPAN: Duration = Duration::from_secs(300);
/// So many are gone on from; the next is one too many.
const MOST: usize = 3;

/// How PID 1 went on so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
pub struct Renewals {
    /// How often as asked.
    pub done: u64,
    /// How often it was asked and could not.
    pub refused: u64,
    /// Why it could not the last time; none if it could.
    pub refusal: Option<String>,
    /// How often after it had broken.
    pub broken: u64,
}

impl Renewals {
    pub(super) fn object(&self) -> Object {
        Object::new()
            .number("done", Some(self.done))
            .number("refused", Some(self.refused))
            .text("refusal", self.refusal.as_deref())
            .number("broken", Some(self.broken))
    }
}

/// A new program that is asked whether it can go on where we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Its process.
    pub pid: i32,
    /// When it has taken too long.
    until: Time,
    late: bool,
    not_run: Option<String>,
}

impl Trial {
    /// Of the process `pid`, from now on.
    pub fn new(pid: i32, now: Time) -> Trial {
        Trial { pid, until: now + TRIAL, late: false, not_run: None }
    }

    /// When to look whether it is late.
    pub fn deadline(&self) -> Option<Time> {
        (!self.late).then_some(self.until)
    }

    /// Whether it has taken too long by now, and is to be killed. It answers so once.
    pub fn is_late(&mut self, now: Time) -> bool {
        let late = !self.late && now >= self.until;
        self.late |= late;
        late
    }

    /// It could not be run.
    pub fn not_run(&mut self, error: SpawnError) {
        self.not_run = Some(words::errno_text(error.errno));
    }

    /// What its end means, after `answer` (empty: it said nothing).
    ///
    /// # Errors
    /// Why it cannot go on.
    pub fn ended(&self, how: Ending, answer: &str) -> Result<(), String> {
        match (&self.not_run, self.late, answer.split_once(' ')) {
            (Some(cause), _, _) => Err(format!("it could not be run: {cause}")),
            (None, true, _) => Err(format!("it did not answer within {}", words::span(TRIAL))),
            (None, false, Some((YES, _))) if how == Ending::Code(0) => Ok(()),
            (None, false, Some((NO, why))) => Err(why.to_owned()),
            (None, false, _) => Err(format!("it does not know what it was asked: it {}", words::ending(how))),
        }
    }
}

const YES: &str = "yes";
const NO: &str = "no";

/// What a program answers that was asked whether it can go on; `told` is its version, or why it cannot.
pub fn answer(told: Result<&str, &str>) -> String {
    match told {
        Ok(version) => format!("{YES} {version}"),
        Err(why) => format!("{NO} {why}"),
    }
}

/// Whether these faults (nanoseconds, newest first, 0 for none) are too many to go on after the newest.
pub fn too_many(faults: &[u64]) -> bool {
    let Some(newest) = faults.first() else { return false };
    let recent = faults.iter().filter(|at| **at > 0 && Time::from_nanos(*newest).since(Time::from_nanos(**at)) < SPAN);
    recent.count() > MOST
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Errno;

    fn at(second: u64) -> Time {
        Time::from_nanos(second * 1_000_000_000)
    }

    #[test]
    fn only_a_yes_is_a_yes() {
        let trial = Trial::new(7, at(1));
        let kill = Ending::Signal { signal: crate::unit::Signal(9), core: false };
        for (how, said, expected) in [
            (Ending::Code(0), answer(Ok("clusteros-init 2.0")), Ok(())),
            (Ending::Code(1), answer(Err("it is of version 2")), Err("it is of version 2")),
            (Ending::Code(0), answer(Err("no")), Err("no")),
            (Ending::Code(0), String::new(), Err("it does not know what it was asked: it exited with status 0")),
            (Ending::Code(64), "yes".into(), Err("it does not know what it was asked: it exited with status 64")),
            (kill, answer(Ok("x")), Err("it does not know what it was asked: it was killed by SIGKILL")),
        ] {
            assert_eq!(trial.ended(how, &said), expected.map_err(str::to_owned), "{said}");
        }
    }

    #[test]
    fn who_is_late_or_was_not_run_has_not_said_yes() {
        let mut trial = Trial::new(7, at(1));
        assert_eq!(trial.deadline(), Some(at(11)));
        assert!(!trial.is_late(at(10)));
        assert!(trial.is_late(at(11)) && !trial.is_late(at(12)));
        assert_eq!(trial.deadline(), None);
        let yes = answer(Ok("x"));
        assert_eq!(trial.ended(Ending::Code(0), &yes), Err("it did not answer within 10 s".to_owned()));
        trial.not_run(SpawnError::exec(Errno(2)));
        let said = trial.ended(Ending::Code(127), &yes);
        assert_eq!(said, Err("it could not be run: no such file or directory".to_owned()));
    }

    #[test]
    fn the_fourth_fault_in_five_minutes_is_one_too_many() {
        let nanos = |seconds: [u64; 4]| seconds.map(|second| at(second).nanos());
        assert!(!too_many(&[]) && !too_many(&nanos([9, 0, 0, 0])) && !too_many(&nanos([9, 8, 7, 0])));
        assert!(too_many(&nanos([9, 8, 7, 6])));
        assert!(too_many(&nanos([305, 8, 7, 6])));
        assert!(!too_many(&nanos([306, 8, 7, 6])));
    }
}
