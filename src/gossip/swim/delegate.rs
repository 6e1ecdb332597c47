//! What lies above: Serf in a node, nothing in tests.

use std::time::Duration;

use super::event::Notice;
use crate::gossip::Name;
use crate::unit::Time;

/// All that this room knows of what lies above it. It is called within [`super::Swim::handle`] and the like.
pub trait Delegate {
    /// A message for it came, from anybody. Never empty.
    fn user_message(&mut self, now: Time, bytes: &[u8]);

    /// What it wants to tell everybody, for one packet: messages (without the type byte `user`) that fit in `room` bytes, with
    /// `overhead` for each of them. A [`super::Queue`] gives just that. None of them is empty.
    fn broadcasts(&mut self, overhead: usize, room: usize) -> Vec<Vec<u8>>;

    /// Whether [`Delegate::broadcasts`] has anything to give: the ticks of gossip are skipped while nobody has.
    fn pending(&self) -> bool;

    /// What it adds to a push/pull.
    fn local_state(&mut self, join: bool) -> Vec<u8>;

    /// What another added to a push/pull. Never empty.
    fn merge_state(&mut self, now: Time, state: &[u8], join: bool);

    /// What it adds to an ack.
    fn ack_payload(&mut self) -> Vec<u8>;

    /// A node answered a ping directly, within this time, and added that to its ack.
    fn ping_complete(&mut self, now: Time, node: &Name, rtt: Duration, payload: &[u8]);

    /// What became of a member.
    fn notice(&mut self, now: Time, notice: &Notice);
}

/// Nothing lies above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alone;

impl Delegate for Alone {
    fn user_message(&mut self, _: Time, _: &[u8]) {}

    fn broadcasts(&mut self, _: usize, _: usize) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn pending(&self) -> bool {
        false
    }

    fn local_state(&mut self, _: bool) -> Vec<u8> {
        Vec::new()
    }

    fn merge_state(&mut self, _: Time, _: &[u8], _: bool) {}

    fn ack_payload(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn ping_complete(&mut self, _: Time, _: &Name, _: Duration, _: &[u8]) {}

    fn notice(&mut self, _: Time, _: &Notice) {}
}
