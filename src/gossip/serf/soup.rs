//! Lives by chance, each from a seed: a node that hears anything at all.

use std::time::Duration;

use super::config::{Config, EVENTS_WEIGHT, QUERIES_WEIGHT, RUNNING};
use super::machine::tests::{at, known};
use super::{KeyOperation, KeyOutcome, Output, Past, Request, Serf, Status};
use crate::gossip::dice::tests::Seeded;
use crate::gossip::swim::{Delegate, Member, Notice, Record};
use crate::gossip::wire::message::Addr;
use crate::gossip::wire::serf::{
    ConflictMember, Filter, Filters, JoinIntent, KeyRequest, KeyResponse, LeaveIntent, PastEvent, Query, QueryResponse,
    Relay, Ring, SerfMessage, Slot, UserEvent, UserState,
};
use crate::gossip::{Dice, Name};
use crate::unit::Time;

/// Members at most, so that the bound is met often.
const MEMBERS: usize = 12;

/// Anything.
struct Any(Seeded);

impl Any {
    fn below(&mut self, count: usize) -> usize {
        self.0.below(count)
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn name(&mut self) -> Name {
        match self.below(4) {
            0 => "me".into(),
            1 => Name::from(&[self.0.next() as u8][..]),
            2 => format!("n{}\n", self.0.next()).as_str().into(),
            _ => self.one(&["a", "b", "c", "d", "", "role"]).into(),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let most = self.one(&[0, 1, 9, 1500]);
        let mut bytes = vec![0; self.below(most + 1)];
        self.0.fill(&mut bytes);
        bytes
    }

    fn ltime(&mut self) -> u64 {
        match self.below(10) {
            0 => self.0.next(),
            1 => u64::MAX - self.below(3) as u64,
            2 => self.below(5000) as u64,
            _ => self.below(20) as u64,
        }
    }

    fn id(&mut self) -> u32 {
        if self.below(2) == 0 { self.below(4) as u32 } else { self.0.next() as u32 }
    }

    fn addr(&mut self) -> Addr {
        match self.below(5) {
            0 => Addr(self.bytes()),
            1 => Addr(vec![0xff; 16]),
            host => Addr(vec![10, 0, 0, host as u8]),
        }
    }

    fn list<T>(&mut self, most: usize, mut item: impl FnMut(&mut Any) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| item(self)).collect()
    }

    fn filter(&mut self) -> Filter {
        match self.below(3) {
            0 => Filter::Nodes(self.list(3, Any::name)),
            1 => {
                let expression = match self.below(3) {
                    0 => Name::from(&self.bytes()[..]),
                    _ => self.one(&["", ".*", "(a+)+$", "[", "\\pL", "(?i)x{99}{99}", "^(web|db)"]).into(),
                };
                Filter::Tag { tag: self.name(), expression }
            }
            _ => Filter::Other(self.bytes()),
        }
    }

    fn query(&mut self) -> Query {
        let internal =
            ["_serf_ping", "_serf_conflict", "_serf_install-key", "_serf_list-keys", "_serf_", "_serf_use-key"];
        Query {
            ltime: self.ltime(),
            id: self.id(),
            addr: self.addr(),
            port: self.id() as u16,
            source: self.name(),
            filters: Filters(if self.below(3) == 0 { self.list(3, Any::filter) } else { Vec::new() }),
            flags: self.below(4) as u32,
            relay_factor: self.one(&[0, 0, 0, 1, 3, 255]),
            timeout: Duration::from_millis(self.one(&[0, 1, 3200, u64::MAX / 2_000_000])),
            name: if self.below(2) == 0 { self.one(&internal).into() } else { self.name() },
            payload: if self.below(2) == 0 { self.payload().encode() } else { self.bytes() },
        }
    }

    /// What queries and responses carry.
    fn payload(&mut self) -> SerfMessage {
        match self.below(4) {
            0 => SerfMessage::KeyRequest(KeyRequest { key: self.bytes().into() }),
            1 => SerfMessage::Conflict(None),
            2 => {
                let (addr, port) = (self.addr(), self.one(&[7946, 1]));
                SerfMessage::Conflict(Some(ConflictMember { addr, port, ..ConflictMember::default() }))
            }
            _ => {
                let (result, message) = (self.below(2) == 0, self.name());
                let keys = if self.below(2) == 0 { None } else { Some(self.list(9, Any::name)) };
                SerfMessage::KeyResponse(KeyResponse { result, message, keys, primary: self.name() })
            }
        }
    }

    fn state(&mut self) -> UserState {
        UserState {
            ltime: self.ltime(),
            status_ltimes: self.list(20, |any| (any.name(), any.ltime())).into_iter().collect(),
            left: self.list(5, Any::name),
            event_ltime: self.ltime(),
            events: Ring(self.list(5, |any| Slot {
                ltime: any.ltime(),
                events: any.list(3, |any| PastEvent { name: any.name(), payload: any.bytes() }),
            })),
            query_ltime: self.ltime(),
        }
    }

    fn message(&mut self) -> SerfMessage {
        match self.below(8) {
            0 => SerfMessage::Leave(LeaveIntent { ltime: self.ltime(), node: self.name(), prune: self.below(3) == 0 }),
            1 => SerfMessage::Join(JoinIntent { ltime: self.ltime(), node: self.name() }),
            2 | 3 => SerfMessage::Event(UserEvent {
                ltime: self.ltime(),
                name: self.name(),
                payload: self.bytes(),
                coalesce: self.below(2) == 0,
            }),
            4 => SerfMessage::Query(self.query()),
            5 => SerfMessage::Response(QueryResponse {
                ltime: self.ltime(),
                id: self.id(),
                from: self.name(),
                flags: self.below(2) as u32,
                payload: if self.below(2) == 0 { self.payload().encode() } else { self.bytes() },
            }),
            6 => SerfMessage::Relay(Relay {
                addr: self.addr(),
                port: self.id() as u16,
                zone: self.name(),
                node: self.name(),
                message: self.bytes(),
            }),
            _ => self.payload(),
        }
    }

    /// A message as it comes, or what became of it.
    fn damaged(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        match self.below(10) {
            0 => bytes.truncate(self.below(bytes.len() + 1)),
            1 if !bytes.is_empty() => {
                let at = self.below(bytes.len());
                bytes[at] = self.0.next() as u8;
            }
            2 => return self.bytes(),
            _ => {}
        }
        bytes
    }

    fn member(&mut self) -> Member {
        let record = Record {
            name: self.name(),
            addr: self.addr(),
            port: self.id() as u16,
            meta: self.bytes(),
            vsn: self.one(&[[1, 5, 2, 2, 5, 5], [0; 6], [255; 6]]),
        };
        Member { record: record.into(), ..known("a", 1) }
    }

    fn notice(&mut self) -> Notice {
        match self.below(4) {
            0 => Notice::Joined(self.member()),
            1 => Notice::Left(self.member()),
            2 => Notice::Updated(self.member()),
            _ => Notice::Conflict { known: self.member(), other: self.member() },
        }
    }

    fn request(&mut self) -> Request {
        Request {
            name: self.name(),
            payload: if self.below(2) == 0 { None } else { Some(self.bytes()) },
            nodes: self.list(2, Any::name),
            tags: self.list(2, |any| (any.name(), any.name())),
            ack: self.below(2) == 0,
            relay: self.one(&[0, 1, 255]),
            timeout: Duration::from_millis(self.one(&[0, 1, u64::MAX])),
        }
    }

    /// Does something to a node, whatever it be.
    fn disturb(&mut self, serf: &mut Serf, now: Time) {
        match self.below(30) {
            0..=11 => {
                let bytes = self.message().encode();
                serf.user_message(now, &self.damaged(bytes));
            }
            12 => {
                let bytes = SerfMessage::State(self.state()).encode();
                serf.merge_state(now, &self.damaged(bytes), self.0.next() & 1 == 0);
            }
            13..=16 => serf.notice(now, &self.notice()),
            17 => {
                let payload = if self.below(2) == 0 { serf.ack_payload() } else { self.bytes() };
                let payload = self.damaged(payload);
                serf.ping_complete(now, &self.name(), Duration::from_millis(self.below(11_000) as u64), &payload);
            }
            18 | 19 => {
                let (overhead, room) = (self.below(5), self.below(2000));
                let taken = serf.broadcasts(overhead, room);
                let length: usize = taken.iter().map(|bytes| bytes.len() + overhead).sum();
                assert!(length <= room && taken.iter().all(|bytes| !bytes.is_empty()));
            }
            20 => drop(serf.local_state(false)),
            21 => serf.join_intent(now),
            22 => serf.force_leave(now, self.name(), self.0.next() & 1 == 0),
            23 => {
                let (name, payload, coalesce) = (self.name(), self.bytes(), self.below(2) == 0);
                let _ = serf.user_event(now, name, payload, coalesce);
            }
            24 => drop(serf.query(now, self.request())),
            25 => {
                let key = serf.next_key.saturating_sub(self.below(9) as u64);
                let _ = serf.respond(now, key, self.bytes());
            }
            26 => {
                let key = self.bytes();
                let operation = match self.below(4) {
                    0 => KeyOperation::Install(key.into()),
                    1 => KeyOperation::Use(b"dGVzdGtleTE2Ynl0ZXMhIQ==".to_vec().into()),
                    2 => KeyOperation::Remove(key.into()),
                    _ => KeyOperation::List,
                };
                let _ = serf.keys(now, operation);
            }
            27 => {
                let key = serf.next_key.saturating_sub(self.below(9) as u64);
                let outcome = match self.below(3) {
                    0 => KeyOutcome::Done,
                    1 => KeyOutcome::Failed("no".to_owned()),
                    _ => KeyOutcome::Keys(self.list(60, |_| "dGVzdGtleTE2Ynl0ZXMhIQ==".into())),
                };
                serf.key_changed(now, key, outcome);
            }
            28 => match self.below(50) {
                0 => serf.leave(now),
                1 => serf.departed(now),
                2 => serf.ignore_old(self.0.next() & 1 == 0),
                3..=9 => drop(serf.set_tags(self.list(9, |any| (any.name(), any.name())).into_iter().collect())),
                10..=20 => serf.join_ended(&self.name(), self.0.next() & 1 == 0),
                _ => serf.close_query(self.ltime()),
            },
            _ => {
                serf.tick(now);
                assert!(serf.deadline().is_none_or(|due| due > now), "what is due is not done");
            }
        }
    }
}

fn bounded(serf: &Serf) {
    assert!(serf.members.len() <= MEMBERS && serf.intents.len() <= MEMBERS);
    assert!(serf.prunes.len() <= MEMBERS && serf.vivaldi.known() <= MEMBERS);
    assert!(serf.events.weight() <= EVENTS_WEIGHT && serf.queries.weight() <= QUERIES_WEIGHT);
    assert!(serf.inquiries.len() <= RUNNING && serf.questions.len() <= RUNNING);
    assert!(serf.queues.len() <= 3 * 8192);
    let statuses = [Status::None, Status::Alive, Status::Leaving, Status::Left, Status::Failed];
    for status in statuses {
        let counted = serf.members().filter(|member| member.status == status).count();
        assert_eq!(serf.members.of(status), counted, "{status:?}");
    }
}

fn disturbed(seed: u64, steps: usize) {
    let mut any = Any(Seeded(seed));
    let config = Config {
        coalesce: any.below(2) == 0,
        snapshot: any.below(2) == 0,
        rejoin: any.below(2) == 0,
        encrypted: any.below(2) == 0,
        protocol: any.one(&[5, 5, 5, 4, 2]),
        members: MEMBERS,
        ..Config::new("me".into(), Addr(vec![10, 0, 0, 1]), 7946)
    };
    let past = Past::read(&any.bytes(), false);
    let mut serf = Serf::new(config, past, at(0), &mut any.0).expect("a node");
    serf.notice(at(0), &Notice::Joined(known("me", 1)));
    let mut now = at(0);
    for _ in 0..steps {
        let millis = any.one(&[0, 0, 0, 1, 200, 5000]);
        now = now + Duration::from_millis(if any.below(500) == 0 { 90_000_000 } else { millis });
        any.disturb(&mut serf, now);
        let mut asked = 0;
        while let Some(output) = serf.next() {
            asked += 1;
            if let Output::Send { to, bytes } = output {
                assert!(to.port() != 0 && !bytes.is_empty());
            }
        }
        assert!(asked < 5000, "{asked} things to do at once");
        bounded(&serf);
    }
}

#[test]
fn a_node_survives_whatever_it_hears_and_stays_small() {
    (0..40).for_each(|seed| disturbed(seed, 1000));
}
