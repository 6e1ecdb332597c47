//! Serf's network coordinate, which travels in acks.

use super::pack::{Malformed, gossiped, read, record};

/// How many dimensions a coordinate has; a node with another number is not listened to.
pub const DIMENSIONS: usize = 8;

/// The version of its encoding.
const VERSION: u8 = 1;

/// Where a node is in a space of delays, in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coordinate {
    /// The place.
    pub vec: Vec<f64>,
    /// How wrong it may be.
    pub error: f64,
    /// What is added because predictions were off.
    pub adjustment: f64,
    /// The way to the network itself.
    pub height: f64,
}
record!(Coordinate { "Vec" => vec, "Error" => error, "Adjustment" => adjustment, "Height" => height });

impl Coordinate {
    /// The payload of an ack.
    pub fn encode(&self) -> Vec<u8> {
        let mut payload = gossiped(self);
        payload.insert(0, VERSION);
        payload
    }

    /// The coordinate of the payload of an ack.
    pub fn decode(payload: &[u8]) -> Result<Coordinate, Malformed> {
        let body = payload.strip_prefix(&[VERSION]).ok_or(Malformed("a version of coordinates that is not known"))?;
        read(body)
    }
}
