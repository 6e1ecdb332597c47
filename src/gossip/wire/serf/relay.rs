//! Messages that another member passes on.

use crate::gossip::Name;
use crate::gossip::wire::message::{Addr, typed};
use crate::gossip::wire::pack::{Malformed, Reader, record};

use super::kind;

/// A message to be passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relay {
    /// The address it is for.
    pub addr: Addr,
    /// Its port.
    pub port: u16,
    /// The zone of a local address of version 6.
    pub zone: Name,
    /// The name of the node.
    pub node: Name,
    /// The message, its type byte in front.
    pub message: Vec<u8>,
}

/// Go's address of a datagram.
#[derive(Default)]
struct Destination {
    addr: Addr,
    port: u16,
    zone: Name,
}
record!(Destination { "IP" => addr, "Port" => port, "Zone" => zone });

/// What comes before a message that is passed on.
#[derive(Default)]
struct RelayHeader {
    destination: Destination,
    node: Name,
}
record!(RelayHeader { "DestAddr" => destination, "DestName" => node });

impl Relay {
    pub(super) fn encode(&self) -> Vec<u8> {
        let destination = Destination { addr: self.addr.clone(), port: self.port, zone: self.zone.clone() };
        let mut bytes = typed(kind::RELAY, &RelayHeader { destination, node: self.node.clone() });
        bytes.extend_from_slice(&self.message);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Relay, Malformed> {
        let mut reader = Reader::new(bytes);
        let RelayHeader { destination: Destination { addr, port, zone }, node } = reader.get()?;
        if reader.rest().is_empty() {
            return Err(Malformed("a relay of nothing"));
        }
        Ok(Relay { addr, port, zone, node, message: reader.rest().to_vec() })
    }
}
