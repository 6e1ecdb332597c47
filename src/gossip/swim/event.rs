//! What is told to the machine, and what it answers.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::member::Member;
use super::version::Incompatible;
use crate::gossip::Name;
use crate::gossip::wire::message::{Message, Ping};
use crate::unit::Time;

/// Names a probe whose stream was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProbeId(pub(super) u32);

/// What became of a ping over a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An ack of the same sequence number came.
    Answered,
    /// The host is there, and nothing takes connections.
    Refused,
    /// No such ack came.
    Silent,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time passed: does what is due. What has arrived by then is to be told first, so that an answer is never too late only
    /// because nobody looked.
    Tick,
    /// One message of a datagram, decrypted and decoded; those of a compound in their order.
    Message {
        /// The sender of the datagram.
        from: SocketAddr,
        /// The message.
        message: Message,
    },
    /// What became of an [`Action::StreamPing`].
    StreamPinged {
        /// Which.
        probe: ProbeId,
        /// What that was.
        outcome: Outcome,
    },
    /// A host said (by ICMP) that nothing listens where a datagram went. Anybody can say that: it only speeds up what is done
    /// anyway.
    Unheard {
        /// Where it went.
        to: SocketAddr,
    },
    /// What lies above has something else to say of this node.
    UpdateMeta(Vec<u8>),
    /// This node leaves; [`Action::Departed`] says when that was told, after `within` at the latest.
    Leave {
        /// How long it may take.
        within: Duration,
    },
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a datagram.
    Send {
        /// Where to.
        to: SocketAddr,
        /// The highest version of the protocol that the receiver understands, where memberlist would look that up: from 5 on it
        /// takes a checksum.
        node_pmax: Option<u8>,
        /// Encoded messages: 1 to 127, none of them empty.
        parts: Vec<Vec<u8>>,
    },
    /// Ping over a stream, and answer with [`Event::StreamPinged`].
    StreamPing {
        /// Names it in the answer.
        probe: ProbeId,
        /// Where to.
        to: SocketAddr,
        /// What to send.
        ping: Ping,
        /// An answer after this is of no use.
        deadline: Time,
    },
    /// Exchange everything over a stream: connect, send [`super::Swim::local_state`] (`join` is false), read the other half, give
    /// it to [`super::Swim::merge`].
    PushPull {
        /// Where to.
        to: SocketAddr,
        /// Who is there.
        node: Name,
    },
    /// This node has left.
    Departed {
        /// Whether it was told as often as any news.
        told: bool,
    },
    /// Something a person may want to know. A stranger can cause most of them: say each kind once in a while.
    Warn(Warning),
}

/// What became of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It is there, and was not before.
    Joined(Member),
    /// It is gone; its state says whether it left.
    Left(Member),
    /// It says something else of itself, but its address is the same.
    Updated(Member),
    /// Somebody else says that it has the same name.
    Conflict {
        /// Who has it.
        known: Member,
        /// Who wants it.
        other: Member,
    },
}

/// What is odd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A ping for somebody else came here.
    Misdirected {
        /// From where.
        from: SocketAddr,
        /// For whom.
        node: Name,
    },
    /// A member answers streams, but no datagrams.
    OnlyStreams(Name),
    /// There is no room for one more member.
    Full(Name),
    /// A member without versions, or an address, or a name, or that says too much.
    Unusable {
        /// Its name.
        node: Name,
        /// What is wrong.
        why: &'static str,
    },
    /// An accusation that could not be refuted.
    Irrefutable(Name),
    /// More is asked of this node than it does at once.
    TooManyRelays,
    /// A push/pull was refused.
    Incompatible(Incompatible),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::Misdirected { from, node } => write!(f, "a ping for {node} came here from {from}"),
            Warning::OnlyStreams(node) => write!(f, "{node} answers over TCP, but not over UDP"),
            Warning::Full(node) => write!(f, "no room for the member {node}"),
            Warning::Unusable { node, why } => write!(f, "the member {node} is ignored: {why}"),
            Warning::Irrefutable(node) => {
                write!(f, "an accusation of {node} is ignored: its incarnation is the highest")
            }
            Warning::TooManyRelays => write!(f, "an indirect ping is ignored: too many are under way"),
            Warning::Incompatible(why) => write!(f, "a push/pull is refused: {why}"),
        }
    }
}
