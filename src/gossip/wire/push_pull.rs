//! All that a node knows, exchanged over a stream.

use super::message::{Addr, kind};
use super::pack::{Flavour, Malformed, Pack, Reader, Unpack, Writer, record};
use crate::gossip::Name;

/// How many nodes a list may have: half as many again as members are meant to be, for those that are gone.
pub const NODES: usize = 16_384;

/// How a node is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It is there.
    #[default]
    Alive,
    /// It does not answer.
    Suspect,
    /// It is gone.
    Dead,
    /// It has left of its own will.
    Left,
    /// A state that a later version may have.
    Other(u8),
}

impl From<u8> for State {
    fn from(number: u8) -> State {
        match number {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Dead,
            3 => State::Left,
            other => State::Other(other),
        }
    }
}

impl From<State> for u8 {
    fn from(state: State) -> u8 {
        match state {
            State::Alive => 0,
            State::Suspect => 1,
            State::Dead => 2,
            State::Left => 3,
            State::Other(other) => other,
        }
    }
}

impl Pack for State {
    fn pack(&self, out: &mut Writer) {
        u8::from(*self).pack(out);
    }
}

impl Unpack for State {
    fn unpack(reader: &mut Reader<'_>) -> Result<State, Malformed> {
        u8::unpack(reader).map(State::from)
    }
}

/// A node as another sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeState {
    /// Its name.
    pub name: Name,
    /// Its address.
    pub addr: Addr,
    /// Its port.
    pub port: u16,
    /// What lies above has to say; Serf's tags.
    pub meta: Vec<u8>,
    /// Its incarnation.
    pub incarnation: u32,
    /// How it is seen.
    pub state: State,
    /// Its versions, as [`super::message::VSN`].
    pub vsn: Vec<u8>,
}
record!(NodeState {
    "Name" => name, "Addr" => addr, "Port" => port, "Meta" => meta, "Incarnation" => incarnation, "State" => state, "Vsn" => vsn,
});

/// What comes before the nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// How many nodes.
    pub nodes: u32,
    /// How many bytes of what lies above.
    pub user: u32,
    /// Whether the sender joins.
    pub join: bool,
}
record!(Header { "Nodes" => nodes, "UserStateLen" => user, "Join" => join });

/// One half of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushPull {
    /// Whether the one that began it joins; the answer repeats it.
    pub join: bool,
    /// Every node that the sender knows, itself too.
    pub nodes: Vec<NodeState>,
    /// What lies above has to say; Serf's state.
    pub user: Vec<u8>,
}

impl PushPull {
    /// Its bytes, the type byte in front.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(Flavour::Gossip);
        out.put(&[kind::PUSH_PULL]);
        Header { nodes: self.nodes.len() as u32, user: self.user.len() as u32, join: self.join }.pack(&mut out);
        self.nodes.iter().for_each(|node| node.pack(&mut out));
        out.put(&self.user);
        out.into_bytes()
    }
}
