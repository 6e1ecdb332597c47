//! What others do wrong, said once a minute of each kind: a line is nothing that a stranger can fill a log with.

use std::collections::BTreeMap;
use std::time::Duration;

use super::output::Level;
use crate::unit::Time;

/// How often a kind of complaint is said.
const PACE: Duration = Duration::from_secs(60);

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Complaint {
    /// A message that is none.
    Malformed,
    /// An event from before what is remembered.
    OldEvent,
    /// A query from before what is remembered.
    OldQuery,
    /// More at one time than is remembered.
    Crowded,
    /// A response that nobody waits for.
    StrayResponse,
    /// An internal query that is not known.
    StrangeQuery,
    /// An address that is none.
    NoAddress,
    /// More members than there is room for.
    TooManyMembers,
    /// A member that is gone twice.
    BadState,
    /// A name of two others.
    Conflict,
    /// This node's own name is another's, too.
    OwnConflict,
    /// Nobody knows whose the name of this node is.
    Undecided,
    /// A coordinate that is none.
    Coordinate,
}

impl Complaint {
    /// How bad it is.
    pub const fn level(self) -> Level {
        match self {
            Complaint::OwnConflict => Level::Error,
            Complaint::Coordinate => Level::Debug,
            _ => Level::Warn,
        }
    }
}

/// What was said when.
#[derive(Debug, Default)]
pub struct Complaints {
    of: BTreeMap<Complaint, (Time, u64)>,
}

impl Complaints {
    /// Counts one. Answers how many were not said before it, if it is to be said.
    pub fn count(&mut self, now: Time, complaint: Complaint) -> Option<u64> {
        let Some((said, silent)) = self.of.get_mut(&complaint) else {
            self.of.insert(complaint, (now, 0));
            return Some(0);
        };
        if now.since(*said) < PACE {
            *silent += 1;
            return None;
        }
        *said = now;
        Some(std::mem::take(silent))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Complaint, Complaints};
    use crate::unit::Time;

    #[test]
    fn each_kind_is_said_once_a_minute() {
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let mut complaints = Complaints::default();
        let counts = [0, 1, 59, 60, 61, 200].map(|second| complaints.count(at(second), Complaint::Malformed));
        assert_eq!(counts, [Some(0), None, None, Some(2), None, Some(1)]);
        assert_eq!(complaints.count(at(1), Complaint::OldQuery), Some(0));
    }
}
