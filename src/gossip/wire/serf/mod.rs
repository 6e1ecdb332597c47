//! Serf's messages: what travels as memberlist's user messages and, as the state, in its push/pull.

mod key;
mod query;
mod relay;
mod state;

use super::message::{Addr, typed};
use super::pack::{Malformed, read, record};
use super::tags::Tags;
use crate::gossip::Name;

pub use key::{KeyRequest, KeyResponse};
pub use query::{Filter, Filters, Query, QueryResponse, flag};
pub use relay::Relay;
pub use state::{PastEvent, RING, Ring, Slot, UserState};

/// The byte that a message begins with.
mod kind {
    pub const LEAVE: u8 = 0;
    pub const JOIN: u8 = 1;
    pub const STATE: u8 = 2;
    pub const EVENT: u8 = 3;
    pub const QUERY: u8 = 4;
    pub const RESPONSE: u8 = 5;
    pub const CONFLICT: u8 = 6;
    pub const KEY_REQUEST: u8 = 7;
    pub const KEY_RESPONSE: u8 = 8;
    pub const RELAY: u8 = 9;
}

/// A node means to leave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaveIntent {
    /// When.
    pub ltime: u64,
    /// Which node.
    pub node: Name,
    /// Whether it is to be forgotten.
    pub prune: bool,
}
record!(LeaveIntent { "LTime" => ltime, "Node" => node, "Prune" => prune });

/// A node means to stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinIntent {
    /// When.
    pub ltime: u64,
    /// Which node.
    pub node: Name,
}
record!(JoinIntent { "LTime" => ltime, "Node" => node });

/// An event of Serf's users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserEvent {
    /// When.
    pub ltime: u64,
    /// Its name.
    pub name: Name,
    /// What it carries.
    pub payload: Vec<u8>,
    /// Whether it may be merged with others of its name.
    pub coalesce: bool,
}
record!(UserEvent { "LTime" => ltime, "Name" => name, "Payload" => payload, "CC" => coalesce });

/// A member as another sees it, told to whoever shares its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConflictMember {
    /// Its name.
    pub name: Name,
    /// Its address.
    pub addr: Addr,
    /// Its port.
    pub port: u16,
    /// Its tags.
    pub tags: Tags,
    /// Serf's status: 0 none, 1 alive, 2 leaving, 3 left, 4 failed.
    pub status: i64,
    /// memberlist's lowest protocol.
    pub protocol_min: u8,
    /// memberlist's highest protocol.
    pub protocol_max: u8,
    /// memberlist's current protocol.
    pub protocol_cur: u8,
    /// Serf's lowest protocol.
    pub delegate_min: u8,
    /// Serf's highest protocol.
    pub delegate_max: u8,
    /// Serf's current protocol.
    pub delegate_cur: u8,
}
record!(ConflictMember {
    "Name" => name, "Addr" => addr, "Port" => port, "Tags" => tags, "Status" => status, "ProtocolMin" => protocol_min,
    "ProtocolMax" => protocol_max, "ProtocolCur" => protocol_cur, "DelegateMin" => delegate_min, "DelegateMax" => delegate_max,
    "DelegateCur" => delegate_cur,
});

/// A message of Serf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SerfMessage {
    /// A node means to leave.
    Leave(LeaveIntent),
    /// A node means to stay.
    Join(JoinIntent),
    /// The user part of a push/pull.
    State(UserState),
    /// An event.
    Event(UserEvent),
    /// A question.
    Query(Query),
    /// An answer.
    Response(QueryResponse),
    /// The payload of an answer about a name that two have; nothing if the name is not known.
    Conflict(Option<ConflictMember>),
    /// The payload of a question about keys.
    KeyRequest(KeyRequest),
    /// The payload of an answer about keys.
    KeyResponse(KeyResponse),
    /// A message to be passed on.
    Relay(Relay),
}

impl SerfMessage {
    /// Its bytes, the type byte in front.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            SerfMessage::Leave(intent) => typed(kind::LEAVE, intent),
            SerfMessage::Join(intent) => typed(kind::JOIN, intent),
            SerfMessage::State(state) => typed(kind::STATE, state),
            SerfMessage::Event(event) => typed(kind::EVENT, event),
            SerfMessage::Query(query) => typed(kind::QUERY, query),
            SerfMessage::Response(response) => typed(kind::RESPONSE, response),
            SerfMessage::Conflict(member) => typed(kind::CONFLICT, member),
            SerfMessage::KeyRequest(request) => typed(kind::KEY_REQUEST, request),
            SerfMessage::KeyResponse(response) => typed(kind::KEY_RESPONSE, response),
            SerfMessage::Relay(relay) => relay.encode(),
        }
    }

    /// The message of these bytes, the type byte in front.
    pub fn decode(bytes: &[u8]) -> Result<SerfMessage, Malformed> {
        let (kind, body) = bytes.split_first().ok_or(Malformed("no byte at all"))?;
        Ok(match *kind {
            kind::LEAVE => SerfMessage::Leave(read(body)?),
            kind::JOIN => SerfMessage::Join(read(body)?),
            kind::STATE => SerfMessage::State(read(body)?),
            kind::EVENT => SerfMessage::Event(read(body)?),
            kind::QUERY => SerfMessage::Query(read(body)?),
            kind::RESPONSE => SerfMessage::Response(read(body)?),
            kind::CONFLICT => SerfMessage::Conflict(read(body)?),
            kind::KEY_REQUEST => SerfMessage::KeyRequest(read(body)?),
            kind::KEY_RESPONSE => SerfMessage::KeyResponse(read(body)?),
            kind::RELAY => Relay::decode(body).map(SerfMessage::Relay)?,
            _ => return Err(Malformed("a type of message that Serf does not have")),
        })
    }
}
