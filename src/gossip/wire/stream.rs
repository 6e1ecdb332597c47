//! memberlist's streams: one request and at most one reply a connection.

use super::message::{Ack, Ping};
use super::push_pull::PushPull;

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
    Error(String),
}
