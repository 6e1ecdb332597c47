//! What happens in a cluster, as clients and scripts are told.

use super::member::Member;
use crate::gossip::Name;
use crate::unit::Time;

/// What became of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// They are there.
    Join,
    /// They left.
    Leave,
    /// They are gone without a word.
    Failed,
    /// Their tags or addresses are others.
    Update,
    /// They are forgotten.
    Reap,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Join, Kind::Leave, Kind::Failed, Kind::Update, Kind::Reap];

    /// `member-join` and its like.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Join => "member-join",
            Kind::Leave => "member-leave",
            Kind::Failed => "member-failed",
            Kind::Update => "member-update",
            Kind::Reap => "member-reap",
        }
    }

    /// The kind that a word names.
    pub fn of(word: &[u8]) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.word().as_bytes() == word)
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something became of members.
    Members {
        /// What.
        kind: Kind,
        /// Of whom.
        members: Vec<Member>,
    },
    /// Somebody told everybody something.
    User {
        /// Serf's time of it.
        time: u64,
        /// Its name.
        name: Name,
        /// What comes with it.
        payload: Vec<u8>,
        /// Whether the newest of its name stands for all.
        coalesce: bool,
    },
    /// Somebody asks everybody something.
    Query {
        /// By what the node knows it.
        key: u64,
        /// Until when it takes a response.
        until: Time,
        /// Serf's time of it.
        time: u64,
        /// Its name.
        name: Name,
        /// What comes with it.
        payload: Vec<u8>,
    },
}
