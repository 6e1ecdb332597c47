//! A connection with another node: one request, at most one reply, within a time.

use std::net::SocketAddr;

use super::join::Attempt;
use crate::gossip::Name;
use crate::gossip::swim::ProbeId;
use crate::gossip::wire::stream::{Incoming, Reply, Request};
use crate::unit::Time;

/// What a connection of ours is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A join.
    Join(Attempt),
    /// Serf's own, of a member that was lost or is remembered.
    Rejoin(Name),
    /// The exchange that comes around again and again.
    PushPull(Name),
    /// A ping of one that is silent: the probe, and what the ack must repeat.
    Ping(ProbeId, u32),
}

/// What is waited for.
#[derive(Debug)]
pub enum Side {
    /// A request; it was they who came.
    Theirs(Incoming<Request>),
    /// The reply to the request that is to be sent when the connection is there.
    Ours {
        /// What it is for.
        purpose: Purpose,
        /// What is sent, if it is not everything that is known by then.
        request: Option<Request>,
        /// Whether the connection is there.
        connected: bool,
        /// What comes.
        reply: Incoming<Reply>,
    },
    /// Nothing more: what is to be written is the end.
    Neither,
}

/// One connection.
#[derive(Debug)]
pub struct Peer {
    /// The other end.
    pub address: SocketAddr,
    /// When it is closed at the latest.
    pub until: Time,
    /// What is waited for.
    pub side: Side,
    /// Whether its host says that nothing takes connections.
    pub refused: bool,
    out: Vec<u8>,
    written: usize,
}

impl Peer {
    /// A connection with nothing to write.
    pub fn new(address: SocketAddr, until: Time, side: Side) -> Peer {
        Peer { address, until, side, refused: false, out: Vec::new(), written: 0 }
    }

    /// Adds what is to be written.
    pub fn write(&mut self, bytes: Vec<u8>) {
        self.out = bytes;
        self.written = 0;
    }

    /// What is to be written next.
    pub fn output(&self) -> &[u8] {
        self.out.get(self.written..).unwrap_or_default()
    }

    /// So much of it is written.
    pub fn wrote(&mut self, count: usize) {
        self.written += count;
        if self.written >= self.out.len() {
            self.out = Vec::new();
            self.written = 0;
        }
    }

    /// Whether it has done what it was for.
    pub fn is_over(&self) -> bool {
        matches!(self.side, Side::Neither) && self.output().is_empty()
    }

    /// How many bytes it holds.
    pub fn held(&self) -> usize {
        let side = match &self.side {
            Side::Theirs(incoming) => incoming.held(),
            Side::Ours { reply, .. } => reply.held(),
            Side::Neither => 0,
        };
        side + self.out.len()
    }
}
