//! Members whose host refuses connections: there nothing runs any more, or streams alone are kept out.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::machine::{Swim, Turn};
use super::profile::Profile;
use super::roster::Slot;

/// What others still have to say after a refusal is waited for this part of the time that an answer may take.
const PATIENCE: u32 = 5;

/// Whose refusals mean what.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals {
    /// The last probe that ended with one.
    last: Option<(u32, Slot)>,
    /// Who answered a probe all the same.
    alive: BTreeSet<Slot>,
}

impl Refusals {
    /// Whether its refusal says that it is gone.
    pub fn mean_the_end(&self, slot: Slot) -> bool {
        !self.alive.contains(&slot)
    }

    /// A probe ended with one.
    pub fn ended(&mut self, seq: u32, slot: Slot) {
        self.last = Some((seq, slot));
    }

    /// It answered although it refused a stream. Whoever does that once is suspected for a refusal no more.
    pub fn belied(&mut self, slot: Slot) {
        self.alive.insert(slot);
    }

    /// Somebody answered late. Whether it was one that refused.
    pub fn belied_late(&mut self, seq: u32) -> bool {
        let late = self.last.take_if(|(last, _)| *last == seq);
        late.inspect(|(_, slot)| self.belied(*slot)).is_some()
    }

    /// It takes streams, or it is another.
    pub fn forget(&mut self, slot: Slot) {
        self.alive.remove(&slot);
    }
}

/// How long an answer is still waited for after a refusal: as long as others need that heard the node.
pub(super) fn patience(profile: &Profile) -> Duration {
    profile.probe_timeout / PATIENCE
}

impl Swim {
    /// The host there says that nothing listens: if that is who is probed, others are asked at once.
    pub(super) fn unheard(&mut self, turn: &mut Turn, to: SocketAddr) {
        let asked = self.probe.as_ref().filter(|probe| probe.is_direct()).and_then(|probe| self.member(probe.node()));
        if asked.is_some_and(|member| member.socket() == Some(to)) {
            self.probe_indirectly(turn);
        }
    }
}
