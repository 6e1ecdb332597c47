//! A member as clients see it.

use crate::gossip::Name;
use crate::gossip::wire::message::Addr;
use crate::gossip::wire::tags::Tags;

/// What is known of a member's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Nothing yet.
    None,
    /// There.
    Alive,
    /// It says that it goes.
    Leaving,
    /// Gone as it said.
    Left,
    /// Gone without a word.
    Failed,
}

impl Status {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Status::None => "none",
            Status::Alive => "alive",
            Status::Leaving => "leaving",
            Status::Left => "left",
            Status::Failed => "failed",
        }
    }
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Unique in the cluster.
    pub name: Name,
    /// Its address as it came: 4 or 16 bytes.
    pub addr: Addr,
    /// Its port.
    pub port: u16,
    /// Its tags.
    pub tags: Tags,
    /// What is known of its life.
    pub status: Status,
    /// Least, most and used version of memberlist's protocol, then of Serf's.
    pub versions: [u8; 6],
}

#[cfg(test)]
pub mod tests {
    use super::{Addr, Member, Status};

    /// A member like those of the transcripts.
    pub fn member(name: &str, tags: &[(&str, &str)]) -> Member {
        Member {
            name: name.into(),
            addr: Addr(vec![127, 0, 0, 1]),
            port: 17946,
            tags: tags.iter().map(|(tag, value)| ((*tag).into(), (*value).into())).collect(),
            status: Status::Alive,
            versions: [1, 5, 2, 2, 5, 5],
        }
    }
}
