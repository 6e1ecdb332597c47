//! What happens in a cluster, as handlers and clients are told.

use super::member::Member;
use crate::gossip::Name;
use crate::unit::Time;

/// What became of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

    /// As it stands in the lines of Serf's log.
    pub(super) const fn camel(self) -> &'static str {
        match self {
            Kind::Join => "EventMemberJoin",
            Kind::Leave => "EventMemberLeave",
            Kind::Failed => "EventMemberFailed",
            Kind::Update => "EventMemberUpdate",
            Kind::Reap => "EventMemberReap",
        }
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
        ltime: u64,
        /// Its name.
        name: Name,
        /// What comes with it.
        payload: Vec<u8>,
        /// Whether the newest of its name stands for all.
        coalesce: bool,
    },
    /// Somebody asks everybody something.
    Query {
        /// For [`Serf::respond`](super::Serf::respond).
        key: u64,
        /// Until when a response is taken.
        until: Time,
        /// Serf's time of it.
        ltime: u64,
        /// Its name.
        name: Name,
        /// What comes with it.
        payload: Vec<u8>,
        /// Who asks.
        from: Name,
    },
}
