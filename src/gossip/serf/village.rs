//! Small clusters, each from a seed, whose memberlist is perfect and whose network is not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::config::Config;
use super::machine::tests::{at, known};
use super::{Event, KeyOperation, KeyOutcome, Kind, Output, Past, Reply, Request, Serf};
use crate::gossip::Dice;
use crate::gossip::dice::shuffle;
use crate::gossip::dice::tests::Seeded;
use crate::gossip::swim::{Delegate, Notice};
use crate::gossip::wire::message::Addr;
use crate::unit::Time;

/// A cluster whose memberlist is perfect, and whose network loses one of `loss`.
struct World {
    nodes: Vec<Serf>,
    dice: Seeded,
    now: Time,
    loss: usize,
    heard: Vec<BTreeMap<String, usize>>,
    replies: BTreeMap<(usize, u64), Vec<Reply>>,
    reports: Vec<super::KeyReport>,
    shut_down: Vec<usize>,
    left: Vec<usize>,
}

/// Its nodes are named and addressed by their places.
fn name(place: usize) -> String {
    format!("n{place}")
}

impl World {
    fn new(count: usize, seed: u64, loss: usize) -> World {
        let mut dice = Seeded(seed);
        let mut node = |place: usize| {
            let addr = Addr(vec![10, 0, 0, place as u8]);
            let config =
                Config { coalesce: false, encrypted: true, ..Config::new(name(place).as_str().into(), addr, 7946) };
            let mut serf = Serf::new(config, Past::default(), at(0), &mut dice).expect("a node");
            (0..count).for_each(|other| serf.notice(at(0), &Notice::Joined(known(&name(other), other as u8))));
            serf
        };
        let nodes: Vec<Serf> = (0..count).map(&mut node).collect();
        let heard = vec![BTreeMap::new(); count];
        let (replies, reports, shut_down, left) = (BTreeMap::new(), Vec::new(), Vec::new(), Vec::new());
        World { nodes, dice, now: at(0), loss, heard, replies, reports, shut_down, left }
    }

    fn lost(&mut self) -> bool {
        self.loss > 0 && self.dice.below(self.loss) == 0
    }

    /// Does what nodes ask, until they ask nothing.
    fn perform(&mut self) {
        let mut place = 0;
        while place < self.nodes.len() {
            match self.nodes[place].next() {
                None => place += 1,
                Some(output) => {
                    self.one(place, output);
                    place = 0;
                }
            }
        }
    }

    fn one(&mut self, place: usize, output: Output) {
        match output {
            Output::Send { to: SocketAddr::V4(to), bytes } => {
                let arrives = !self.lost();
                if let Some(other) = self.nodes.get_mut(usize::from(to.ip().octets()[3])).filter(|_| arrives) {
                    other.user_message(self.now, &bytes);
                }
            }
            Output::Event(Event::User { name, .. }) => *self.heard[place].entry(name.to_string()).or_default() += 1,
            Output::Event(Event::Query { key, name, .. }) => {
                *self.heard[place].entry(name.to_string()).or_default() += 1;
                assert_eq!(self.nodes[place].respond(self.now, key, place.to_string().into()), Ok(()));
            }
            Output::Event(Event::Members { kind: Kind::Leave | Kind::Failed, members }) => {
                let status = format!("{} {}", members[0].name, members[0].status.word());
                *self.heard[place].entry(status).or_default() += 1;
            }
            Output::Reply { key, reply } => self.replies.entry((place, key)).or_default().push(reply),
            Output::Keys { report, .. } => self.reports.push(report),
            Output::Ring { key, .. } => self.nodes[place].key_changed(self.now, key, KeyOutcome::Done),
            Output::Shutdown { .. } => self.shut_down.push(place),
            Output::Leave => {
                self.nodes[place].departed(self.now);
                for node in &mut self.nodes {
                    node.notice(self.now, &Notice::Left(known(&name(place), place as u8)));
                }
            }
            Output::Left => self.left.push(place),
            _ => {}
        }
    }

    /// Lets so many rounds of gossip pass, 200 ms each, with a push/pull of each node every 30 s.
    fn rounds(&mut self, count: usize) {
        for round in 0..count {
            self.now = self.now + Duration::from_millis(200);
            for place in 0..self.nodes.len() {
                self.nodes[place].tick(self.now);
                let mut others: Vec<usize> = (0..self.nodes.len()).filter(|other| *other != place).collect();
                shuffle(&mut self.dice, &mut others);
                for other in others.iter().take(3) {
                    for bytes in self.nodes[place].broadcasts(3, 1398) {
                        if !self.lost() {
                            self.nodes[*other].user_message(self.now, &bytes);
                        }
                    }
                }
                if round % 150 == place
                    && let Some(other) = others.first()
                {
                    let (ours, theirs) = (self.nodes[place].local_state(false), self.nodes[*other].local_state(false));
                    self.nodes[place].merge_state(self.now, &theirs, false);
                    self.nodes[*other].merge_state(self.now, &ours, false);
                }
                self.perform();
            }
        }
    }
}

#[test]
fn every_event_is_heard_by_every_node_once() {
    for seed in 0..10 {
        let mut world = World::new(8, seed, 5);
        for event in 0..60 {
            let place = world.dice.below(8);
            let told =
                world.nodes[place].user_event(world.now, format!("e{event}").as_str().into(), vec![1; 100], false);
            assert_eq!(told, Ok(()));
            world.rounds(2);
        }
        world.rounds(600);
        for heard in &world.heard {
            assert!(heard.len() == 60 && heard.values().all(|times| *times == 1), "seed {seed}: {heard:?}");
        }
        assert!(world.nodes.iter().all(|node| node.numbers().event_queue == 0));
    }
}

#[test]
fn a_query_is_answered_by_everybody_once() {
    for (seed, relay) in [(1, 0), (2, 3)] {
        let mut world = World::new(8, seed, 0);
        let request = Request { name: "load".into(), ack: true, relay, ..Request::default() };
        let key = world.nodes[3].query(world.now, request).expect("a query");
        world.rounds(20);
        let replies = &world.replies[&(3, key)];
        let acks = replies.iter().filter(|reply| matches!(reply, Reply::Ack(_))).count();
        assert_eq!((acks, replies.len(), replies.last()), (8, 17, Some(&Reply::Done)));
    }
}

#[test]
fn a_relay_gets_through_where_the_direct_way_is_lossy() {
    let answers = |relay| {
        let of = |seed| {
            let mut world = World::new(8, seed, 3);
            let request = Request { name: "load".into(), relay, ..Request::default() };
            let key = world.nodes[0].query(world.now, request).expect("a query");
            world.rounds(20);
            world.replies[&(0, key)].len() - 1
        };
        (0..40).map(of).sum::<usize>()
    };
    let (without, with) = (answers(0), answers(3));
    // Of 320, of which 40 are the node's own: of those who hear the query at all two thirds, or all but 1/3 x (5/9)^3.
    assert!((190..230).contains(&without) && with > 265, "{without} without a relay, {with} with three");
}

#[test]
fn everybodys_keys_are_changed() {
    let mut world = World::new(8, 4, 0);
    let key = b"dGVzdGtleTE2Ynl0ZXMhIQ==".to_vec();
    world.nodes[5].keys(world.now, KeyOperation::Install(key.into())).expect("a query");
    world.rounds(10);
    let [report] = &world.reports[..] else { panic!("{:?}", world.reports) };
    assert_eq!((report.error.as_str(), report.nodes, report.responses), ("", 8, 8));
}

#[test]
fn who_leaves_has_left_for_everybody() {
    for seed in 0..10 {
        let mut world = World::new(8, seed, 5);
        world.nodes[2].leave(world.now);
        world.rounds(300);
        assert_eq!(world.left, [2]);
        for (place, heard) in world.heard.iter().enumerate() {
            assert_eq!(heard.get("n2 left"), Some(&1), "seed {seed}, node {place}: {heard:?}");
        }
    }
}

#[test]
fn who_takes_a_name_that_is_taken_goes() {
    let mut world = World::new(6, 3, 0);
    // The newcomer says that it is n1, too; the others know the first one.
    let conflict = Notice::Conflict { known: known("n1", 1), other: known("n1", 99) };
    world.nodes[1].notice(world.now, &conflict);
    world.rounds(20);
    assert_eq!(world.shut_down, [0; 0]);
    // Nobody answers to where it says that it is.
    let there = std::mem::replace(&mut world.nodes[1].config.addr, Addr(vec![10, 0, 0, 99]));
    world.nodes[1].notice(world.now, &conflict);
    world.rounds(20);
    assert_eq!(world.shut_down, [0; 0]);
    // Everybody means the other one.
    world.nodes[1].config.addr = there;
    let now = world.now;
    (0..6)
        .filter(|place| *place != 1)
        .for_each(|place| world.nodes[place].notice(now, &Notice::Updated(known("n1", 99))));
    world.nodes[1].notice(world.now, &conflict);
    world.rounds(20);
    assert_eq!(world.shut_down, [1]);
}
