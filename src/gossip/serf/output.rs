//! What Serf asks of the node around it, and what it refuses.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use zeroize::Zeroizing;

use super::event::Event;
use super::snapshot::Record;
use crate::gossip::Name;

/// What Serf asks of the node.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this as a user message, in a packet of its own.
    Send {
        /// To whom.
        to: SocketAddr,
        /// A message of Serf; without the byte of the user message.
        bytes: Vec<u8>,
    },
    /// Join through this one, and say by [`Serf::join_ended`](super::Serf::join_ended) what came of it.
    Join {
        /// Its name.
        node: Name,
        /// Where it is.
        to: SocketAddr,
    },
    /// Tell everybody this meta: the tags are others.
    Meta(Vec<u8>),
    /// Leave memberlist, and say so by [`Serf::departed`](super::Serf::departed).
    Leave,
    /// The node has left: its clients can be answered, and it can end.
    Left,
    /// Tell handlers and clients.
    Event(Event),
    /// Something came of a query of this node.
    Reply {
        /// What [`Serf::query`](super::Serf::query) answered.
        key: u64,
        /// What came.
        reply: Reply,
    },
    /// What came of an operation on everybody's keys.
    Keys {
        /// What [`Serf::keys`](super::Serf::keys) answered.
        key: u64,
        /// What came.
        report: KeyReport,
    },
    /// Do this to the keyring, and say by [`Serf::key_changed`](super::Serf::key_changed) what came of it.
    Ring {
        /// To be said back.
        key: u64,
        /// What to do.
        change: KeyChange,
    },
    /// End at once, without a leave.
    Shutdown {
        /// Why.
        why: String,
    },
    /// Do this to the file of the snapshot.
    Snapshot(Record),
    /// A line for the log.
    Log {
        /// How bad it is.
        level: Level,
        /// The line, as Serf words it.
        text: String,
    },
}

/// How bad a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// For who looks for a mistake.
    Debug,
    /// As it should be.
    Info,
    /// As it should not.
    Warn,
    /// Something does not work.
    Error,
}

/// What comes back of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// This member heard it.
    Ack(Name),
    /// This member says something.
    Response(Name, Vec<u8>),
    /// Nothing more comes.
    Done,
}

/// An operation on everybody's keys; a key is in base64, as a client gave it.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyOperation {
    /// Have it.
    Install(Zeroizing<Vec<u8>>),
    /// Encrypt by it.
    Use(Zeroizing<Vec<u8>>),
    /// Lose it.
    Remove(Zeroizing<Vec<u8>>),
    /// Say all.
    List,
}

/// Without the key.
impl fmt::Debug for KeyOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyOperation::Install(_) => "Install",
            KeyOperation::Use(_) => "Use",
            KeyOperation::Remove(_) => "Remove",
            KeyOperation::List => "List",
        })
    }
}

/// What to do to this node's keyring; a key is its bytes.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyChange {
    /// Have it.
    Install(Zeroizing<Vec<u8>>),
    /// Encrypt by it.
    Use(Zeroizing<Vec<u8>>),
    /// Lose it.
    Remove(Zeroizing<Vec<u8>>),
    /// Say all.
    List,
}

/// Without the key.
impl fmt::Debug for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyChange::Install(_) => "Install",
            KeyChange::Use(_) => "Use",
            KeyChange::Remove(_) => "Remove",
            KeyChange::List => "List",
        })
    }
}

/// What came of an operation on everybody's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyReport {
    /// What went wrong on the whole; empty if nothing.
    pub error: String,
    /// What members said.
    pub messages: BTreeMap<Name, Name>,
    /// How many have each key, in base64; only for a list.
    pub keys: Option<BTreeMap<Name, usize>>,
    /// How many were asked.
    pub nodes: usize,
    /// How many failed.
    pub errors: usize,
    /// How many answered.
    pub responses: usize,
}

/// Why Serf does not do what it is asked; shown in Serf's words (section 4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The protocol is too old for it.
    Feature,
    /// A user event is larger than the configuration allows, before it is encoded.
    EventBefore(usize),
    /// Likewise, than anything allows.
    EventSane(usize),
    /// A user event is larger than the configuration allows, encoded.
    EventAfter(usize),
    /// A query is too large.
    Query(usize),
    /// A response is too large.
    Response(usize),
    /// A response comes too late, or to a query that never was.
    Deadline,
    /// There was a response already.
    Answered,
    /// The name of a query is one of Serf's own.
    Internal,
    /// Too many queries run.
    Crowded(usize),
    /// Tags are too long, encoded.
    Tags(usize),
    /// A key is no base64, from this byte on.
    Base64(usize),
    /// The node leaves, or has left, and joins nobody.
    Leaving,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Feature => f.write_str("Feature not supported"),
            Refusal::EventBefore(limit) => {
                write!(f, "user event exceeds configured limit of {limit} bytes before encoding")
            }
            Refusal::EventSane(limit) => write!(f, "user event exceeds sane limit of {limit} bytes before encoding"),
            Refusal::EventAfter(limit) => {
                write!(f, "encoded user event exceeds configured limit of {limit} bytes after encoding")
            }
            Refusal::Query(limit) => write!(f, "query exceeds limit of {limit} bytes"),
            Refusal::Response(limit) => write!(f, "response exceeds limit of {limit} bytes"),
            Refusal::Deadline => f.write_str("response is past the deadline"),
            Refusal::Answered => f.write_str("response already sent"),
            Refusal::Internal => f.write_str("Queries cannot contain the '_serf_' prefix"),
            Refusal::Crowded(limit) => write!(f, "no more than {limit} queries run at a time"),
            Refusal::Tags(limit) => write!(f, "Encoded length of tags exceeds limit of {limit} bytes"),
            Refusal::Base64(at) => write!(f, "illegal base64 data at input byte {at}"),
            Refusal::Leaving => f.write_str("Serf can't Join after Leave or Shutdown"),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::{KeyChange, Refusal};

    #[test]
    fn section_4_6_the_words_that_clients_see() {
        let words = [
            (Refusal::Feature, "Feature not supported"),
            (Refusal::EventBefore(512), "user event exceeds configured limit of 512 bytes before encoding"),
            (Refusal::EventAfter(512), "encoded user event exceeds configured limit of 512 bytes after encoding"),
            (Refusal::Query(1024), "query exceeds limit of 1024 bytes"),
            (Refusal::Internal, "Queries cannot contain the '_serf_' prefix"),
            (Refusal::Tags(512), "Encoded length of tags exceeds limit of 512 bytes"),
            (Refusal::Base64(4), "illegal base64 data at input byte 4"),
        ];
        words.iter().for_each(|(refusal, words)| assert_eq!(refusal.to_string(), *words));
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", KeyChange::Use(b"secret".to_vec().into())), "Use");
    }
}
