//! A member as this node sees it.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use super::version::Versions;
use crate::gossip::Name;
use crate::gossip::wire::message::{Addr, Alive};
use crate::gossip::wire::push_pull::{self, NodeState};
use crate::unit::Time;

/// What a member says of itself. All of it changes at once, so it is shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Unique in the cluster.
    pub name: Name,
    /// Its address in the bytes that it came in.
    pub addr: Addr,
    /// Its port.
    pub port: u16,
    /// What lies above has to say; Serf's tags.
    pub meta: Vec<u8>,
    /// Least, most and used version of memberlist's protocol, then of the delegate's.
    pub vsn: Versions,
}

impl Record {
    /// Where it listens; nothing if its address is none.
    pub fn socket(&self) -> Option<SocketAddr> {
        self.addr.socket(self.port)
    }

    /// The highest version of memberlist's protocol that it understands.
    pub fn protocol_max(&self) -> u8 {
        let [_, max, ..] = self.vsn;
        max
    }

    /// What says that it is there.
    pub fn alive(&self, incarnation: u32) -> Alive {
        Alive {
            incarnation,
            node: self.name.clone(),
            addr: self.addr.clone(),
            port: self.port,
            meta: self.meta.clone(),
            vsn: self.vsn.to_vec(),
        }
    }
}

/// How a member is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It is there.
    Alive,
    /// It does not answer.
    Suspect,
    /// It is gone.
    Dead,
    /// It has left of its own will.
    Left,
}

impl State {
    /// Whether it is gone, of its own will or not.
    pub fn is_gone(self) -> bool {
        match self {
            State::Alive | State::Suspect => false,
            State::Dead | State::Left => true,
        }
    }
}

impl From<State> for push_pull::State {
    fn from(state: State) -> push_pull::State {
        match state {
            State::Alive => push_pull::State::Alive,
            State::Suspect => push_pull::State::Suspect,
            State::Dead => push_pull::State::Dead,
            State::Left => push_pull::State::Left,
        }
    }
}

/// A member: what it says of itself (reached by dereference) and how it is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it says of itself.
    pub record: Arc<Record>,
    /// How new that is.
    pub incarnation: u32,
    /// How it is seen.
    pub state: State,
    /// Since when it is seen so.
    pub since: Time,
}

impl Deref for Member {
    type Target = Record;
    fn deref(&self) -> &Record {
        &self.record
    }
}

impl Member {
    /// As it goes into a push/pull.
    pub fn as_node(&self) -> NodeState {
        NodeState {
            name: self.name.clone(),
            addr: self.addr.clone(),
            port: self.port,
            meta: self.meta.clone(),
            incarnation: self.incarnation,
            state: self.state.into(),
            vsn: self.vsn.to_vec(),
        }
    }
}
