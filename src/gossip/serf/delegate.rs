//! Serf above memberlist: what it is told, and what it gives.

use std::time::Duration;

use super::complaint::Complaint;
use super::coordinate::Coordinate;
use super::machine::Serf;
use super::queues::push;
use crate::gossip::Name;
use crate::gossip::swim::{Delegate, Notice};
use crate::gossip::wire::coordinate::Coordinate as Payload;
use crate::gossip::wire::serf::SerfMessage;
use crate::unit::Time;

impl Delegate for Serf {
    fn user_message(&mut self, now: Time, bytes: &[u8]) {
        // What is news goes on as it came.
        match SerfMessage::decode(bytes) {
            Ok(SerfMessage::Leave(intent)) => {
                if self.hear_leave(now, &intent) {
                    push(&mut self.queues.intents, bytes.to_vec());
                }
            }
            Ok(SerfMessage::Join(intent)) => {
                if self.hear_join(now, &intent) {
                    push(&mut self.queues.intents, bytes.to_vec());
                }
            }
            Ok(SerfMessage::Event(event)) => {
                if self.hear_event(now, event) {
                    push(&mut self.queues.events, bytes.to_vec());
                }
            }
            Ok(SerfMessage::Query(query)) => {
                if self.hear_query(now, query, false) {
                    push(&mut self.queues.queries, bytes.to_vec());
                }
            }
            Ok(SerfMessage::Response(response)) => self.hear_response(now, response),
            Ok(SerfMessage::Relay(relay)) => self.carry(now, relay),
            Ok(
                SerfMessage::State(_)
                | SerfMessage::Conflict(_)
                | SerfMessage::KeyRequest(_)
                | SerfMessage::KeyResponse(_),
            ) => {
                self.complain(now, Complaint::Malformed, || "serf: Received message of unknown type".to_owned());
            }
            Err(malformed) => {
                self.complain(now, Complaint::Malformed, || format!("serf: unable to read a message: {malformed}"));
            }
        }
        self.settle(now);
    }

    fn broadcasts(&mut self, overhead: usize, room: usize) -> Vec<Vec<u8>> {
        let taken = self.queues.take(overhead, room, self.members.len());
        self.look_for_intent();
        taken
    }

    fn pending(&self) -> bool {
        self.queues.len() > 0
    }

    fn local_state(&mut self, _: bool) -> Vec<u8> {
        self.state()
    }

    fn merge_state(&mut self, now: Time, state: &[u8], join: bool) {
        self.merge(now, state, join);
        self.settle(now);
    }

    fn ack_payload(&mut self) -> Vec<u8> {
        if self.config.coordinates { Payload::from(self.vivaldi.place()).encode() } else { Vec::new() }
    }

    fn ping_complete(&mut self, now: Time, node: &Name, rtt: Duration, payload: &[u8]) {
        if !self.config.coordinates || payload.is_empty() || self.members.get(node).is_none() {
            return;
        }
        let read = Payload::decode(payload).ok().and_then(|payload| Coordinate::try_from(&payload).ok());
        let Some(coordinate) = read.filter(|place| self.vivaldi.learn(node, place, rtt, &mut self.dice)) else {
            return self.complain(now, Complaint::Coordinate, || {
                format!("serf: Rejected coordinate from node {node} after {} ms", rtt.as_millis())
            });
        };
        self.members.change(node, |cell| cell.coordinate = Some(coordinate));
    }

    fn notice(&mut self, now: Time, notice: &Notice) {
        match notice {
            Notice::Joined(member) => self.joined(now, member),
            Notice::Left(member) => self.gone(now, &member.name),
            Notice::Updated(member) => self.updated(now, member),
            Notice::Conflict { known, other } => self.conflicting(now, known, other),
        }
        self.settle(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::gossip::serf::Coordinate;
    use crate::gossip::serf::machine::tests::{at, drain, hear, lines, serf};
    use crate::gossip::swim::Delegate;
    use crate::gossip::wire::coordinate::Coordinate as Payload;
    use crate::gossip::wire::serf::{SerfMessage, UserEvent, UserState};

    #[test]
    fn section_3_8_coordinates_travel_in_acks() {
        let (mut one, mut other) = (serf(&["a"]), serf(&["a"]));
        let trip = Duration::from_millis(20);
        for _ in 0..200 {
            let payload = other.ack_payload();
            one.ping_complete(at(0), &"a".into(), trip, &payload);
            let payload = one.ack_payload();
            other.ping_complete(at(0), &"a".into(), trip, &payload);
        }
        let (here, there) = (one.coordinate(&"me".into()), one.coordinate(&"a".into()));
        let distance = here.zip(there).map_or(0.0, |(here, there)| here.distance(&there));
        assert!((distance - 0.02).abs() < 0.001, "{distance}");
        assert_eq!((one.coordinate(&"b".into()), drain(&mut one)), (None, vec![]));
    }

    #[test]
    fn section_3_8_what_is_no_coordinate_is_not_learned() {
        let mut serf = serf(&["a"]);
        let short = Payload { vec: vec![0.0; 7], ..Payload::from(&Coordinate::default()) }.encode();
        let wild = Payload { error: f64::INFINITY, ..Payload::from(&Coordinate::default()) }.encode();
        let good = Payload::from(&Coordinate::default()).encode();
        for payload in [&[][..], &[2, 0x80], &[1, 0xc1], &short, &wild] {
            serf.ping_complete(at(0), &"a".into(), Duration::from_millis(1), payload);
        }
        serf.ping_complete(at(0), &"a".into(), Duration::from_secs(11), &good);
        serf.ping_complete(at(0), &"stranger".into(), Duration::from_millis(1), &good);
        assert_eq!((serf.coordinate(&"a".into()), serf.coordinate(&"stranger".into())), (None, None));
        assert_eq!(lines(&mut serf), ["serf: Rejected coordinate from node a after 1 ms"]);
    }

    #[test]
    fn section_2_6_the_limit_of_a_message_counts_all_members() {
        let names: Vec<String> = (0..9).map(|n| format!("n{n}")).collect();
        let mut serf = serf(&names.iter().map(String::as_str).collect::<Vec<_>>());
        hear(&mut serf, at(0), SerfMessage::Event(UserEvent { ltime: 1, ..UserEvent::default() }));
        // Ten members: ceil(log10(11)) is 2, four times.
        let sends = (0..20).filter(|_| !serf.broadcasts(3, 1400).is_empty()).count();
        assert_eq!((sends, serf.pending()), (8, false));
    }

    #[test]
    fn what_is_no_message_is_told_once_a_minute() {
        let mut serf = serf(&["a"]);
        for bytes in [&[][..], &[42], &[0, 0xc1], &SerfMessage::State(UserState::default()).encode()] {
            serf.user_message(at(0), bytes);
        }
        assert_eq!(lines(&mut serf).len(), 1);
        serf.user_message(at(60_000), &[2, 0x80]);
        assert_eq!(lines(&mut serf), ["serf: Received message of unknown type (and 3 more like it since)"]);
    }
}
