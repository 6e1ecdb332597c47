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
        Payload::from(self.vivaldi.place()).encode()
    }

    fn ping_complete(&mut self, now: Time, node: &Name, rtt: Duration, payload: &[u8]) {
        if payload.is_empty() || self.members.get(node).is_none() {
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
