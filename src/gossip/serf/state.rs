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

#[cfg(test)]
mod tests {
    use crate::gossip::serf::Status;
    use crate::gossip::serf::machine::tests::{at, drain, events, hear, known, lines, said, serf};
    use crate::gossip::swim::{Delegate, Notice};
    use crate::gossip::wire::serf::{JoinIntent, LeaveIntent, PastEvent, Ring, SerfMessage, Slot, UserState};

    fn slot(ltime: u64, names: &[&str]) -> Slot {
        let events = names.iter().map(|name| PastEvent { name: (*name).into(), payload: b"x".to_vec() }).collect();
        Slot { ltime, events }
    }

    #[test]
    fn section_3_5_what_a_node_knows() {
        let mut serf = serf(&["a", "b"]);
        hear(&mut serf, at(0), SerfMessage::Join(JoinIntent { ltime: 4, node: "a".into() }));
        hear(&mut serf, at(0), SerfMessage::Leave(LeaveIntent { ltime: 6, node: "b".into(), prune: false }));
        serf.notice(at(0), &Notice::Left(known("b", 3)));
        serf.user_event(at(0), "deploy".into(), b"x".to_vec(), true).expect("an event");
        let expected = UserState {
            ltime: 7,
            status_ltimes: [("me", 0), ("a", 4), ("b", 6)].map(|(name, time)| (name.into(), time)).into(),
            left: vec!["b".into()],
            event_ltime: 2,
            events: Ring(vec![slot(1, &["deploy"])]),
            query_ltime: 1,
        };
        assert_eq!(SerfMessage::decode(&serf.local_state(false)), Ok(SerfMessage::State(expected)));
    }

    #[test]
    fn section_3_5_what_another_node_knows() {
        let mut serf = serf(&["a", "b", "c"]);
        serf.notice(at(0), &Notice::Left(known("c", 4)));
        drain(&mut serf);
        let state = UserState {
            ltime: 20,
            status_ltimes: [("a", 9), ("b", 7), ("stranger", 3)].map(|(name, time)| (name.into(), time)).into(),
            left: vec!["b".into(), "c".into()],
            event_ltime: 6,
            events: Ring(vec![slot(2, &["one"]), slot(5, &["two", "three"])]),
            query_ltime: 30,
        };
        serf.merge_state(at(0), &SerfMessage::State(state.clone()).encode(), true);
        let numbers = serf.numbers();
        assert_eq!((numbers.member_time, numbers.event_time, numbers.query_time), (20, 6, 30));
        let of = |name: &str| serf.members.get(&name.into()).map(|cell| (cell.member.status, cell.heard));
        // One later than the last intent that is known.
        assert_eq!((of("b"), of("c")), (Some((Status::Leaving, 8)), Some((Status::Left, 1))));
        assert_eq!((of("a"), of("stranger"), serf.intents.len()), (Some((Status::Alive, 9)), None, 1));
        assert_eq!(events(&mut serf), ["member-leave c", "user one 2", "user two 5", "user three 5"]);
        // What comes by push/pull is not sent on, and not taken twice.
        assert_eq!(said(&mut serf), []);
        serf.merge_state(at(0), &SerfMessage::State(state).encode(), true);
        assert_eq!(events(&mut serf), [""; 0]);
    }

    #[test]
    fn section_3_5_who_joins_may_ignore_old_events() {
        let state = UserState { event_ltime: 6, events: Ring(vec![slot(5, &["old"])]), ..UserState::default() };
        let state = SerfMessage::State(state).encode();
        let mut one = serf(&["a"]);
        one.ignore_old(true);
        one.merge_state(at(0), &state, true);
        assert_eq!(events(&mut one), [""; 0]);
        let late = UserState { event_ltime: 7, events: Ring(vec![slot(6, &["new"])]), ..UserState::default() };
        one.ignore_old(false);
        one.merge_state(at(0), &SerfMessage::State(late).encode(), true);
        assert_eq!(events(&mut one), ["user new 6"]);
        // Only of a join.
        let mut other = serf(&["a"]);
        other.ignore_old(true);
        other.merge_state(at(0), &state, false);
        assert_eq!(events(&mut other), ["user old 5"]);
    }

    #[test]
    fn section_3_5_this_node_says_that_it_has_not_left() {
        let mut serf = serf(&["a"]);
        let state = UserState { ltime: 9, left: vec!["me".into()], ..UserState::default() };
        serf.merge_state(at(0), &SerfMessage::State(state).encode(), true);
        assert_eq!(said(&mut serf), [SerfMessage::Join(JoinIntent { ltime: 9, node: "me".into() })]);
    }

    #[test]
    fn section_3_5_what_is_no_state_changes_nothing() {
        let mut serf = serf(&["a"]);
        let before = serf.numbers();
        for bytes in [&[][..], &[2], &[2, 0xc1], &[3, 0x80], &[99]] {
            serf.merge_state(at(0), bytes, true);
        }
        assert_eq!((serf.numbers(), lines(&mut serf).len()), (before, 1));
    }
}
