//! memberlist's streams: one request and at most one reply a connection, taken byte by byte as they come.

mod body;
mod incoming;

use super::layers::Layers;
use super::message::{Ack, Ping, kind, typed};
use super::pack::record;
use super::push_pull::PushPull;
use crate::gossip::{Dice, Name};

pub use incoming::Incoming;

/// How many bytes may be sealed in a stream.
pub const SEALED: usize = 20 << 20;
/// How many bytes a request or a reply may have, expanded.
pub const LARGEST: usize = 40 << 20;

/// What a connection begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Are you there?
    Ping(Ping),
    /// All that the other knows, for all that we know.
    PushPull(PushPull),
    /// A message of what lies above, with no reply.
    User(Vec<u8>),
}

/// What a connection ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To a ping.
    Ack(Ack),
    /// To a push/pull.
    PushPull(PushPull),
    /// Why there is no other reply.
    Error(Name),
}

impl Request {
    /// Its bytes on the stream.
    pub fn encode(&self, layers: &Layers<'_>, dice: &mut dyn Dice) -> Vec<u8> {
        let message = match self {
            Request::Ping(ping) => typed(kind::PING, ping),
            Request::PushPull(state) => state.encode(),
            Request::User(bytes) => {
                let mut message = typed(kind::USER, &UserHeader { length: bytes.len() as u32 });
                message.extend_from_slice(bytes);
                message
            }
        };
        wrapped(message, layers, dice)
    }
}

impl Reply {
    /// Its bytes on the stream.
    pub fn encode(&self, layers: &Layers<'_>, dice: &mut dyn Dice) -> Vec<u8> {
        let message = match self {
            Reply::Ack(ack) => typed(kind::ACK, ack),
            Reply::PushPull(state) => state.encode(),
            Reply::Error(error) => typed(kind::ERROR, &Failure { error: error.clone() }),
        };
        wrapped(message, layers, dice)
    }
}

/// What comes before a message of what lies above.
#[derive(Default)]
struct UserHeader {
    length: u32,
}
record!(UserHeader { "UserMsgLen" => length });

/// [`Reply::Error`] on the wire.
#[derive(Default)]
struct Failure {
    error: Name,
}
record!(Failure { "Error" => error });

fn wrapped(mut message: Vec<u8>, layers: &Layers<'_>, dice: &mut dyn Dice) -> Vec<u8> {
    if layers.compress {
        let smaller = super::lzw::compressed(&message).filter(|small| small.len() < message.len());
        message = smaller.unwrap_or(message);
    }
    let mut stream = layers.front();
    match layers.keyring {
        Some(ring) => {
            let head = head(message.len() + super::crypt::OVERHEAD);
            stream.extend_from_slice(&head);
            stream.extend_from_slice(&layers.sealed(ring, &head, &message, dice));
        }
        None => stream.extend_from_slice(&message),
    }
    stream
}

/// What stands in front of `length` sealed bytes, and is sealed in.
fn head(length: usize) -> [u8; 5] {
    let [a, b, c, d] = (length as u32).to_be_bytes();
    [kind::ENCRYPT, a, b, c, d]
}

/// What a stream turns out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Ping(Ping),
    Ack(Ack),
    PushPull(PushPull),
    User(Vec<u8>),
    Error(Name),
}
