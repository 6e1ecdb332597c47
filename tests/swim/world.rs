//! A network that never was, and the nodes on it: delay, loss, another order, cuts. Time passes when nothing more can happen.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use clusteros_init::gossip::swim::{
    Action, Config, Delegate, Event, LAN, Local, Notice, Outcome, Profile, Record, State, Swim,
};
use clusteros_init::gossip::wire::message::{Addr, Message, VSN};
use clusteros_init::gossip::wire::push_pull::PushPull;
use clusteros_init::gossip::{Dice, Name};
use clusteros_init::unit::Time;

use crate::seeded::Seeded;

const PORT: u16 = 7946;

/// What a node hears of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Joined,
    Failed,
    Left,
    Updated,
    Conflict,
}

/// Who heard what of whom, and when.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    pub at: Time,
    pub observer: usize,
    pub heard: Heard,
    pub subject: usize,
}

/// The delegate of each node: it hears, and says nothing.
#[derive(Default)]
struct Ears(Vec<(Heard, usize)>);

impl Delegate for Ears {
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

    fn notice(&mut self, _: Time, notice: &Notice) {
        self.0.push(match notice {
            Notice::Joined(member) => (Heard::Joined, number(&member.name)),
            Notice::Left(member) if member.state == State::Left => (Heard::Left, number(&member.name)),
            Notice::Left(member) => (Heard::Failed, number(&member.name)),
            Notice::Updated(member) => (Heard::Updated, number(&member.name)),
            Notice::Conflict { known, .. } => (Heard::Conflict, number(&known.name)),
        });
    }
}

struct Node {
    swim: Swim,
    ears: Ears,
    dice: Seeded,
    up: bool,
    /// Whether its host says that nothing runs there, if so.
    answers: bool,
    departed: bool,
    tick_at: Option<Time>,
    /// Nodes of different sides hear nothing of each other while the network is cut.
    side: usize,
    /// How many others it believes to be there.
    sees: usize,
    /// Whom it lost, for reconnecting.
    failed: Vec<usize>,
}

enum What {
    Tick,
    Datagram { from: SocketAddr, parts: Vec<Vec<u8>> },
    Told(Event),
    Half { from: usize, remote: PushPull, answer: bool },
    Reconnect,
}

struct Entry {
    at: Time,
    order: u64,
    node: usize,
    what: What,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        (Reverse(self.at), Reverse(self.order)).cmp(&(Reverse(other.at), Reverse(other.order)))
    }
}

/// What went over the network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    pub datagrams: u64,
    pub bytes: u64,
    pub streams: u64,
    pub stream_bytes: u64,
}

pub struct World {
    pub now: Time,
    pub dice: Seeded,
    /// Of 1, how many datagrams are lost.
    pub loss: f64,
    /// The shortest and longest way of a datagram.
    pub delay: [Duration; 2],
    pub cut: bool,
    /// Whether nodes seek whom they lost, as Serf does (section 3.7).
    pub reconnect: bool,
    pub traffic: Traffic,
    pub log: Vec<Line>,
    pub profile: Profile,
    nodes: Vec<Node>,
    coming: BinaryHeap<Entry>,
    order: u64,
    /// Over all nodes that are up, how many others they believe to be there.
    pairs: usize,
    up: usize,
}

/// The name of a node.
pub fn name(node: usize) -> Name {
    Name::from(format!("node{node}").as_str())
}

fn number(name: &Name) -> usize {
    name.to_string().trim_start_matches("node").parse().expect("a name of this world")
}

fn addr(node: usize) -> [u8; 4] {
    let node = node as u32 + 1;
    [10, (node >> 16) as u8, (node >> 8) as u8, node as u8]
}

fn home(node: usize) -> SocketAddr {
    SocketAddr::from((addr(node), PORT))
}

fn who(at: SocketAddr) -> Option<usize> {
    match at.ip() {
        IpAddr::V4(ip) => {
            (u32::from(ip) - u32::from(Ipv4Addr::new(10, 0, 0, 0))).checked_sub(1).map(|node| node as usize)
        }
        IpAddr::V6(_) => None,
    }
}

impl World {
    pub fn new(seed: u64) -> World {
        World {
            now: Time::from_nanos(1_000_000_000),
            dice: Seeded(seed),
            loss: 0.0,
            delay: [Duration::from_micros(200), Duration::from_millis(3)],
            cut: false,
            reconnect: false,
            traffic: Traffic::default(),
            log: Vec::new(),
            profile: LAN,
            nodes: Vec::new(),
            coming: BinaryHeap::new(),
            order: 0,
            pairs: 0,
            up: 0,
        }
    }

    /// A cluster of so many that have known each other for long.
    pub fn founded(seed: u64, nodes: usize) -> World {
        let mut world = World::new(seed);
        let record = |node| {
            let (name, addr) = (name(node), Addr(addr(node).to_vec()));
            Arc::new(Record { name, addr, port: PORT, meta: b"tags".to_vec(), vsn: VSN })
        };
        let records: Vec<_> = (0..nodes).map(record).collect();
        for node in 0..nodes {
            world.start(node, b"tags");
            let now = world.now;
            if let Some(Node { swim, dice, sees, .. }) = world.nodes.get_mut(node) {
                swim.recall(&records, now, dice);
                *sees = nodes - 1;
                world.pairs += nodes - 1;
            }
            world.arm(node);
        }
        world.log.clear();
        world
    }

    /// A new node, or one that comes back as if it had never been.
    pub fn start(&mut self, node: usize, meta: &[u8]) {
        let local =
            Local { name: name(node), addr: Addr(addr(node).to_vec()), port: PORT, meta: meta.to_vec(), vsn: VSN };
        let config = Config { profile: self.profile, members: 100_000, ..Config::default() };
        let (mut dice, mut ears) = (Seeded(self.dice.next()), Ears::default());
        let swim = Swim::new(config, local, self.now, &mut dice, &mut ears);
        ears.0.clear();
        let side = self.nodes.get(node).map_or(0, |node| node.side);
        let born = Node {
            swim,
            ears,
            dice,
            up: true,
            answers: true,
            departed: false,
            tick_at: None,
            side,
            sees: 0,
            failed: Vec::new(),
        };
        match self.nodes.get_mut(node) {
            Some(place) => *place = born,
            None => self.nodes.push(born),
        }
        self.up += 1;
        let first = self.dice.fraction();
        self.at(self.now + Duration::from_secs(30).mul_f64(first), node, What::Reconnect);
        self.arm(node);
    }

    /// It is gone, with its host.
    pub fn cut_off(&mut self, node: usize) {
        self.kill(node);
        self.nodes[node].answers = false;
    }

    /// It is gone, and says nothing; its host says that nothing runs there.
    pub fn kill(&mut self, node: usize) {
        let place = &mut self.nodes[node];
        (place.up, place.tick_at) = (false, None);
        self.pairs -= place.sees;
        self.up -= 1;
    }

    pub fn leave(&mut self, node: usize) {
        self.told(node, Event::Leave { within: Duration::from_secs(5) });
    }

    /// Whether it has left, and need not be there any more.
    pub fn has_departed(&self, node: usize) -> bool {
        self.nodes[node].departed
    }

    pub fn side(&mut self, node: usize, side: usize) {
        self.nodes[node].side = side;
    }

    /// The incarnation and what it says of itself, as `observer` sees it.
    pub fn seen(&self, observer: usize, node: usize) -> Option<(State, u32, Vec<u8>)> {
        let member = self.nodes[observer].swim.member(&name(node))?;
        Some((member.state, member.incarnation, member.meta.clone()))
    }

    /// Whether each node that is up knows just those, by count.
    pub fn is_settled(&self) -> bool {
        self.pairs == self.up * (self.up - 1)
    }

    /// Whether each node that is up knows just those, one by one.
    pub fn is_of_one_mind(&self) -> bool {
        let up: Vec<_> = self.nodes.iter().map(|node| node.up).collect();
        self.nodes.iter().filter(|node| node.up).all(|node| {
            let mut there = node.swim.members().filter(|member| !member.state.is_gone());
            // By the address: to read the names of a large cluster took longer than to play it.
            let all = there.all(|member| member.socket().and_then(who).is_some_and(|other| up[other]));
            all && node.swim.present_others() == self.up - 1
        })
    }

    /// Everything that happens until `met` holds; how long that took. Nothing if it took longer than `limit`.
    pub fn until(&mut self, limit: Duration, met: impl Fn(&World) -> bool) -> Option<Duration> {
        let (start, end) = (self.now, self.now + limit);
        while !met(self) {
            match self.coming.peek() {
                Some(entry) if entry.at <= end => self.step(),
                Some(_) | None => {
                    self.now = end;
                    return None;
                }
            }
        }
        Some(self.now.since(start))
    }

    pub fn pass(&mut self, span: Duration) {
        self.until(span, |_| false);
    }

    /// Asks another for all it knows, as a join.
    pub fn join(&mut self, node: usize, other: usize) {
        self.connect(node, other, true);
    }

    fn step(&mut self) {
        let Some(Entry { at, node, what, .. }) = self.coming.pop() else { return };
        self.now = at;
        if !self.nodes[node].up {
            return;
        }
        match what {
            What::Tick => {
                if self.nodes[node].tick_at != Some(at) {
                    return;
                }
                self.nodes[node].tick_at = None;
                if self.deadline(node).is_some_and(|due| due <= at) {
                    self.told(node, Event::Tick);
                } else {
                    self.arm(node);
                }
            }
            What::Datagram { from, parts } => {
                for part in parts {
                    let message = Message::decode(&part).expect("a node sends what a node understands");
                    let Node { swim, ears, dice, .. } = &mut self.nodes[node];
                    swim.handle(at, Event::Message { from, message }, dice, ears);
                }
                self.perform(node);
            }
            What::Told(event) => self.told(node, event),
            What::Half { from, remote, answer } => {
                let Node { swim, ears, dice, .. } = &mut self.nodes[node];
                let mine = (!answer).then(|| swim.local_state(remote.join, ears));
                swim.merge(at, remote, dice, ears).expect("all are of one version");
                if let Some(mine) = mine {
                    self.send_half(node, from, mine, true);
                }
                self.perform(node);
            }
            What::Reconnect => self.reconnect(node),
        }
    }

    fn told(&mut self, node: usize, event: Event) {
        let Node { swim, ears, dice, .. } = &mut self.nodes[node];
        swim.handle(self.now, event, dice, ears);
        self.perform(node);
    }

    fn deadline(&self, node: usize) -> Option<Time> {
        self.nodes[node].swim.deadline(&self.nodes[node].ears)
    }

    /// Sees to it that the node is woken in time.
    fn arm(&mut self, node: usize) {
        let due = self.deadline(node).map(|due| due.max(self.now));
        let place = &mut self.nodes[node];
        if let Some(due) = due
            && place.tick_at.is_none_or(|at| due < at)
        {
            place.tick_at = Some(due);
            self.at(due, node, What::Tick);
        }
    }

    fn at(&mut self, at: Time, node: usize, what: What) {
        self.order += 1;
        self.coming.push(Entry { at, order: self.order, node, what });
    }

    fn perform(&mut self, node: usize) {
        while let Some(action) = self.nodes[node].swim.next() {
            match action {
                Action::Send { to, parts, .. } => self.send(node, to, parts),
                Action::StreamPing { probe, to, deadline, .. } => {
                    let Some(to) = who(to) else { continue };
                    self.traffic.streams += 1;
                    let back = self.now + self.stream_trip() + self.stream_trip();
                    let outcome = if self.reaches(node, to) { Outcome::Answered } else { Outcome::Refused };
                    if (outcome == Outcome::Answered || self.is_refused(node, to)) && back < deadline {
                        self.at(back, node, What::Told(Event::StreamPinged { probe, outcome }));
                    }
                }
                Action::PushPull { to, .. } => {
                    if let Some(to) = who(to) {
                        self.connect(node, to, false);
                    }
                }
                Action::Departed { told } => {
                    assert!(told, "leaving is told in time");
                    self.nodes[node].departed = true;
                }
                Action::Warn(_) => {}
            }
        }
        for (heard, subject) in std::mem::take(&mut self.nodes[node].ears.0) {
            self.log.push(Line { at: self.now, observer: node, heard, subject });
            if subject == node {
                continue;
            }
            let place = &mut self.nodes[node];
            match heard {
                Heard::Joined => {
                    place.failed.retain(|other| *other != subject);
                    place.sees += 1;
                    self.pairs += 1;
                }
                Heard::Failed | Heard::Left => {
                    if heard == Heard::Failed {
                        place.failed.push(subject);
                    }
                    place.sees -= 1;
                    self.pairs -= 1;
                }
                Heard::Updated | Heard::Conflict => {}
            }
        }
        self.arm(node);
    }

    fn reaches(&self, node: usize, other: usize) -> bool {
        let Some(there) = self.nodes.get(other) else { return false };
        there.up && !(self.cut && self.nodes[node].side != there.side)
    }

    /// Whether the host of the other says that nothing runs there.
    fn is_refused(&self, node: usize, other: usize) -> bool {
        let Some(there) = self.nodes.get(other) else { return false };
        !there.up && there.answers && !(self.cut && self.nodes[node].side != there.side)
    }

    fn lost(&mut self) -> bool {
        self.loss > 0.0 && self.dice.fraction() < self.loss
    }

    fn trip(&mut self) -> Duration {
        let [shortest, longest] = self.delay;
        shortest + (longest - shortest).mul_f64(self.dice.fraction())
    }

    /// A stream sends again what was lost, later each time.
    fn stream_trip(&mut self) -> Duration {
        let (mut trip, mut again) = (self.trip() * 2, Duration::from_millis(200));
        while self.lost() {
            trip += again;
            again *= 2;
        }
        trip
    }

    fn send(&mut self, node: usize, to: SocketAddr, parts: Vec<Vec<u8>>) {
        self.traffic.datagrams += 1;
        let size: usize = parts.iter().map(|part| part.len() + 2).sum();
        let size = if parts.len() == 1 { size - 2 } else { size + 2 };
        assert!((1..=127).contains(&parts.len()) && parts.iter().all(|part| !part.is_empty()));
        assert!(size <= 1400, "{size} bytes");
        self.traffic.bytes += size as u64;
        let (lost, trip) = (self.lost(), self.trip());
        let Some(other) = who(to).filter(|_| !lost) else { return };
        if self.reaches(node, other) {
            self.at(self.now + trip, other, What::Datagram { from: home(node), parts });
        } else if self.is_refused(node, other) && !self.lost() {
            let back = self.trip();
            self.at(self.now + trip + back, node, What::Told(Event::Unheard { to }));
        }
    }

    fn connect(&mut self, node: usize, to: usize, join: bool) {
        if self.reaches(node, to) {
            let Node { swim, ears, .. } = &mut self.nodes[node];
            let half = swim.local_state(join, ears);
            self.traffic.streams += 1;
            self.send_half(node, to, half, false);
        }
    }

    fn send_half(&mut self, node: usize, to: usize, remote: PushPull, answer: bool) {
        self.traffic.stream_bytes += remote.encode().len() as u64;
        let trip = self.stream_trip();
        if self.reaches(node, to) {
            self.at(self.now + trip, to, What::Half { from: node, remote, answer });
        }
    }

    fn reconnect(&mut self, node: usize) {
        self.at(self.now + Duration::from_secs(30), node, What::Reconnect);
        let Node { failed, sees, dice, .. } = &mut self.nodes[node];
        if !self.reconnect || failed.is_empty() {
            return;
        }
        if dice.fraction() < failed.len() as f64 / (*sees + 1) as f64 {
            let other = failed[dice.below(failed.len())];
            self.connect(node, other, true);
        }
    }
}
