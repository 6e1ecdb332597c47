//! Serf's part of memberlist's push/pull (section 3.5).

use super::complaint::Complaint;
use super::machine::Serf;
use super::member::Status;
use crate::gossip::wire::serf::{JoinIntent, LeaveIntent, PastEvent, Ring, SerfMessage, Slot, UserEvent, UserState};
use crate::gossip::{Name, wire};
use crate::unit::Time;

impl Serf {
    /// What this node knows.
    pub(super) fn state(&self) -> Vec<u8> {
        let slot = |(ltime, events): (u64, &std::collections::BTreeSet<(Name, Vec<u8>)>)| Slot {
            ltime,
            events: events
                .iter()
                .map(|(name, payload)| PastEvent { name: name.clone(), payload: payload.clone() })
                .collect(),
        };
        let left = self.members.iter().filter(|(_, cell)| cell.member.status == Status::Left);
        let state = UserState {
            ltime: self.clock.time(),
            status_ltimes: self.members.iter().map(|(name, cell)| (name.clone(), cell.heard)).collect(),
            left: left.map(|(name, _)| name.clone()).collect(),
            event_ltime: self.event_clock.time(),
            events: Ring(self.events.slots().flatten().map(slot).collect()),
            query_ltime: self.query_clock.time(),
        };
        SerfMessage::State(state).encode()
    }

    /// What another node knows.
    pub(super) fn merge(&mut self, now: Time, bytes: &[u8], join: bool) {
        let state = match SerfMessage::decode(bytes) {
            Ok(SerfMessage::State(state)) => state,
            Ok(_) => return self.not_a_state(now, wire::Malformed("another message")),
            Err(malformed) => return self.not_a_state(now, malformed),
        };
        // Nothing happened yet at the times that the clocks show.
        let clocks = [&mut self.clock, &mut self.event_clock, &mut self.query_clock];
        for (clock, time) in clocks.into_iter().zip([state.ltime, state.event_ltime, state.query_ltime]) {
            if time > 0 {
                clock.witness(time - 1);
            }
        }
        // Whoever left said so after the last intent that is known of it: one later is when, at the least.
        for node in &state.left {
            let ltime = state.status_ltimes.get(node).copied().unwrap_or_default().saturating_add(1);
            self.hear_leave(now, &LeaveIntent { ltime, node: node.clone(), prune: false });
        }
        let left: std::collections::BTreeSet<&Name> = state.left.iter().collect();
        for (node, ltime) in &state.status_ltimes {
            if !left.contains(node) {
                self.hear_join(now, &JoinIntent { ltime: *ltime, node: node.clone() });
            }
        }
        if join && self.ignore_old {
            self.events.ignore_before(state.event_ltime);
        }
        for Slot { ltime, events } in state.events.0 {
            for PastEvent { name, payload } in events {
                self.hear_event(now, UserEvent { ltime, name, payload, coalesce: false });
            }
        }
    }

    fn not_a_state(&mut self, now: Time, malformed: wire::Malformed) {
        self.complain(now, Complaint::Malformed, || {
            format!("serf: unable to merge the state of another node: {malformed}")
        });
    }
}
