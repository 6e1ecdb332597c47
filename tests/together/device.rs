//! A WireGuard device in values, which counts what is done to it.

use std::net::IpAddr;

use clusteros_init::mesh::WgKey;
use clusteros_init::mesh::known::perform;
use clusteros_init::mesh::peers::{Observed, ObservedPeer, Operation};

/// The bytes of a message without a peer: the headers of netlink and generic netlink, the index of the link, the nest (the
/// kernel's `netlink.h`, `genetlink.h` and `wireguard.h`; attributes are padded to four bytes).
const MESSAGE: usize = 16 + 4 + 8 + 4;

#[derive(Default)]
pub struct Device {
    pub seen: Observed,
    pub operations: usize,
    /// How many peers were taken away, and so their sessions.
    pub dropped: usize,
    pub bytes: usize,
}

impl Device {
    pub fn peer(&self, key: &WgKey) -> Option<&ObservedPeer> {
        self.seen.peers.iter().find(|peer| peer.key == *key)
    }

    /// A peer was heard at `now`, in seconds since 1970, from this port.
    pub fn hear(&mut self, key: &WgKey, port: u16, now: u64) {
        if let Some(peer) = self.seen.peers.iter_mut().find(|peer| peer.key == *key) {
            peer.handshake = Some(now);
            if let Some(endpoint) = &mut peer.endpoint {
                endpoint.set_port(port);
            }
        }
    }

    /// Whether what is sent to a peer goes to this port.
    pub fn reaches(&self, key: &WgKey, port: u16) -> bool {
        self.peer(key).and_then(|peer| peer.endpoint).is_some_and(|endpoint| endpoint.port() == port)
    }

    /// One message, however many peers it has: few enough fit into one.
    pub fn apply(&mut self, operations: &[Operation]) {
        if operations.is_empty() {
            return;
        }
        self.operations += operations.len();
        self.bytes += MESSAGE + operations.iter().map(size).sum::<usize>();
        self.dropped += operations.iter().filter(|operation| matches!(operation, Operation::Remove(_))).count();
        perform(&mut self.seen, operations);
        self.seen.peers.sort_by_key(|peer| peer.key);
    }
}

/// The bytes of a peer in a message: the nest, the key, the flags, and what is changed.
fn size(operation: &Operation) -> usize {
    let networks = |all: &[(IpAddr, u8)]| {
        4 + all.iter().map(|(address, _)| if address.is_ipv4() { 28 } else { 40 }).sum::<usize>()
    };
    let if_there = |there: bool, size: usize| if there { size } else { 0 };
    let changed = match operation {
        Operation::Remove(_) => 0,
        Operation::Add(spec) => if_there(spec.endpoint.is_some(), 20) + 8 + 36 + networks(&spec.allowed),
        Operation::Update { endpoint, allowed, keepalive, psk, .. } => {
            if_there(endpoint.is_some(), 20)
                + if_there(keepalive.is_some(), 8)
                + if_there(psk.is_some(), 36)
                + allowed.as_deref().map_or(0, networks)
        }
    };
    4 + 36 + 8 + changed
}
