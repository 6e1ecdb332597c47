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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        Filter, Filters, KeyRequest, KeyResponse, PastEvent, Query, Relay, Ring, SerfMessage, Slot, UserState,
    };
    use crate::gossip::Name;
    use crate::gossip::wire::message::Addr;

    fn back(message: &SerfMessage) -> SerfMessage {
        SerfMessage::decode(&message.encode()).unwrap()
    }

    #[test]
    fn the_ring_has_every_slot_in_its_place() {
        let slot = |ltime| Slot { ltime, events: vec![PastEvent { name: Name::from("e"), payload: vec![1] }] };
        let state = |slots: &[u64]| {
            let events = Ring(slots.iter().map(|ltime| slot(*ltime)).collect());
            SerfMessage::State(UserState { ltime: 3, events, left: vec![Name::from("l")], ..UserState::default() })
        };
        assert_eq!(state(&[]).encode().iter().filter(|byte| **byte == 0xc0).count(), 512);
        assert_eq!(back(&state(&[511, 512, 700])), state(&[512, 700, 511]));
        assert_eq!(back(&state(&[1, 513])), state(&[513]));
        // Of those who have another ring, or none.
        let SerfMessage::State(read) = SerfMessage::decode(b"\x02\x81\xa6Events\x93\xc0\x80\xc0").unwrap() else {
            panic!()
        };
        assert_eq!(read.events.0, [Slot::default()]);
        assert_eq!(SerfMessage::decode(b"\x02\x81\xa6Events\xc0"), Ok(SerfMessage::State(UserState::default())));
    }

    #[test]
    fn a_filter_that_is_not_understood_matches_nobody() {
        let filters = Filters(vec![
            Filter::Nodes(vec![Name::from("a"), Name::from("b")]),
            Filter::Tag { tag: Name::from("role"), expression: Name::from("d.*") },
            Filter::Other(vec![7, 1]),
            Filter::Other(vec![0, 0xc1]),
            Filter::Other(Vec::new()),
        ]);
        let query = SerfMessage::Query(Query { filters, timeout: Duration::from_secs(2), ..Query::default() });
        assert_eq!(back(&query), query);
        let negative = SerfMessage::decode(b"\x04\x81\xa7Timeout\xff").unwrap();
        assert_eq!(negative, SerfMessage::Query(Query::default()));
    }

    #[test]
    fn keys_are_not_shown() {
        let request = KeyRequest { key: b"secret".to_vec().into() };
        let response = KeyResponse {
            primary: Name::from("secret"),
            keys: Some(vec![Name::from("secret")]),
            ..KeyResponse::default()
        };
        assert!(!format!("{request:?} {response:?}").contains("secret"));
        for message in [SerfMessage::KeyRequest(request), SerfMessage::KeyResponse(response)] {
            assert_eq!(back(&message), message);
        }
        assert_eq!(SerfMessage::KeyRequest(KeyRequest::default()).encode(), b"\x07\x81\xa3Key\xa0");
        assert_eq!(SerfMessage::decode(b"\x07\x81\xa3Key\xc0"), Ok(SerfMessage::KeyRequest(KeyRequest::default())));
        assert_eq!(SerfMessage::decode(b"\x06\xc0"), Ok(SerfMessage::Conflict(None)));
        assert_eq!(SerfMessage::Conflict(None).encode(), b"\x06\xc0");
    }

    #[test]
    fn a_relay_carries_a_message_whole() {
        let relay = Relay {
            addr: Addr(vec![10, 0, 0, 1]),
            port: 7946,
            zone: Name::default(),
            node: Name::from("a"),
            message: vec![5, 0x80],
        };
        let message = SerfMessage::Relay(relay.clone());
        assert_eq!(back(&message), message);
        let empty = SerfMessage::Relay(Relay { message: Vec::new(), ..relay });
        assert!(SerfMessage::decode(&empty.encode()).is_err());
        assert!(SerfMessage::decode(b"\x0a\x80").is_err() && SerfMessage::decode(b"").is_err());
    }
}
