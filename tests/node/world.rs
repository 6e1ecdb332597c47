//! A network in memory, with a clock of its own: datagrams, connections and nodes that come and go.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use clusteros_init::gossip::node::{Action, Event, Link, Node, Setup};
use clusteros_init::gossip::rpc::{Line, Secret};
use clusteros_init::gossip::serf::{self, Config, Past, Status};
use clusteros_init::gossip::swim::LAN;
use clusteros_init::gossip::wire::crypt::{Key, Keyring};
use clusteros_init::gossip::wire::message::Addr;
use clusteros_init::gossip::wire::tags::Tags;
use clusteros_init::gossip::{Dice, Name};
use clusteros_init::unit::Time;

use crate::seeded::Seeded;

/// Names an end of a connection.
type End = (usize, Link);

/// What is on its way.
enum Parcel {
    Datagram { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    Call { from: End, to: SocketAddr },
    Answered { end: End },
    Bytes { end: End, bytes: Vec<u8> },
    Closed { end: End, why: Option<String> },
    Unheard { node: usize, to: SocketAddr },
    Found { node: usize, lookup: u64, found: Result<Vec<SocketAddr>, String> },
}

/// A node and what it did.
pub struct Host {
    pub node: Option<Node>,
    dice: Seeded,
    pub log: Vec<String>,
    pub sent: usize,
    /// In bytes, datagrams and streams.
    pub said: u64,
    pub exit: Option<bool>,
    /// Whether something happened to members, and nobody asked yet.
    pub news: bool,
    /// Nodes of different sides hear nothing of each other.
    pub side: usize,
    /// When it is to be woken, as `ticks` has it.
    due: Option<Time>,
    /// The other end of each of its connections.
    connections: BTreeMap<Link, End>,
}

pub struct World {
    pub now: Time,
    pub hosts: Vec<Host>,
    dice: Seeded,
    /// Of 100 datagrams, how many are lost.
    pub loss: usize,
    parcels: BTreeMap<(Time, u64), Parcel>,
    count: u64,
    ticks: BTreeSet<(Time, usize)>,
    /// What a client on this end has been told.
    told: BTreeMap<End, Vec<u8>>,
}

/// Where a host is.
pub fn address(at: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (at >> 8) as u8, at as u8], 7946))
}

/// A node's setup; `change` has the last word.
pub fn setup(at: usize, change: impl FnOnce(&mut Setup)) -> Setup {
    let mut setup = Setup {
        serf: Config::new(name(at), Addr::from(address(at).ip()), 7946),
        profile: LAN,
        keyring: None,
        compress: true,
        secret: Secret::default(),
        join: Vec::new(),
        seeds: Vec::new(),
        retry_interval: Duration::from_secs(30),
        retry_max: 0,
        replay: false,
        broadcast_timeout: Duration::from_secs(5),
        runtime: Vec::new(),
        event_handlers: Tags::new(),
    };
    change(&mut setup);
    setup
}

/// The host of an address.
fn host_of(place: SocketAddr) -> Option<usize> {
    let std::net::IpAddr::V4(ip) = place.ip() else { return None };
    let [10, 0, high, low] = ip.octets() else { return None };
    Some(usize::from(high) << 8 | usize::from(low))
}

pub fn name(at: usize) -> Name {
    Name::from(format!("n{at}").as_str())
}

pub fn keyring(byte: u8) -> Keyring {
    Keyring::new(Key::new(&[byte; 32]).expect("a key")).expect("a ring")
}

impl World {
    pub fn new(seed: u64) -> World {
        World {
            now: Time::ZERO + Duration::from_secs(1),
            hosts: Vec::new(),
            dice: Seeded(seed),
            loss: 0,
            parcels: BTreeMap::new(),
            count: 0,
            ticks: BTreeSet::new(),
            told: BTreeMap::new(),
        }
    }

    /// Starts a node on the next host.
    pub fn start(&mut self, change: impl FnOnce(&mut Setup)) -> usize {
        let at = self.hosts.len();
        let dice = Seeded(self.dice.next());
        self.hosts.push(Host {
            node: None,
            dice,
            log: Vec::new(),
            sent: 0,
            said: 0,
            exit: None,
            news: false,
            side: 0,
            due: None,
            connections: BTreeMap::new(),
        });
        self.restart(at, change);
        at
    }

    /// Starts a node on its host again.
    pub fn restart(&mut self, at: usize, change: impl FnOnce(&mut Setup)) {
        let host = &mut self.hosts[at];
        let node = Node::new(setup(at, change), Past::default(), self.now, &mut host.dice);
        host.node = Some(node.expect("a node"));
        host.exit = None;
        self.drain(at);
    }

    /// Takes a node away, without a word.
    pub fn kill(&mut self, at: usize) {
        self.hosts[at].node = None;
        self.arm(at);
        for (_, other) in std::mem::take(&mut self.hosts[at].connections) {
            self.hosts[other.0].connections.remove(&other.1);
            self.send(Parcel::Closed { end: other, why: Some("connection reset by peer".to_owned()) });
        }
    }

    /// Puts a host on this side of the network; what crosses is cut.
    pub fn side(&mut self, at: usize, side: usize) {
        self.hosts[at].side = side;
        let cut = |other: &End| self.hosts[other.0].side != side;
        let crossing: Vec<_> = self.hosts[at]
            .connections
            .iter()
            .filter(|(_, other)| cut(other))
            .map(|(link, other)| (*link, *other))
            .collect();
        for (link, other) in crossing {
            self.hosts[at].connections.remove(&link);
            self.hosts[other.0].connections.remove(&other.1);
            for end in [(at, link), other] {
                self.send(Parcel::Closed { end, why: Some("no route to host".to_owned()) });
            }
        }
    }

    fn send(&mut self, parcel: Parcel) {
        let delay = Duration::from_micros(200 + self.dice.below(800) as u64);
        self.count += 1;
        self.parcels.insert((self.now + delay, self.count), parcel);
    }

    pub fn handle(&mut self, at: usize, event: Event<'_>) {
        let host = &mut self.hosts[at];
        let Some(node) = &mut host.node else { return };
        node.handle(self.now, event, &mut host.dice);
        self.drain(at);
    }

    fn drain(&mut self, at: usize) {
        let mut lines = VecDeque::new();
        loop {
            let host = &mut self.hosts[at];
            let Some(node) = &mut host.node else { return };
            match node.next() {
                None => break,
                Some(Action::Send { to, bytes }) => {
                    host.sent += 1;
                    host.said += bytes.len() as u64;
                    if self.dice.below(100) >= self.loss {
                        self.send(Parcel::Datagram { from: address(at), to, bytes });
                    }
                }
                Some(Action::Connect { link, to }) => self.send(Parcel::Call { from: (at, link), to }),
                Some(Action::Close(link)) => self.close((at, link)),
                Some(Action::Resolve { lookup, host, port }) => {
                    let found = host.parse().map(|ip| vec![SocketAddr::new(ip, port)]);
                    let found = found.map_err(|_| format!("lookup {host}: no such host"));
                    self.send(Parcel::Found { node: at, lookup: lookup.into(), found });
                }
                Some(Action::Log(level, text)) => {
                    let text = format!("[{level}] {text}");
                    host.log.push(text.clone());
                    lines.push_back(Line { level, text: text.into() });
                }
                Some(Action::Exit { well }) => host.exit = Some(well),
                Some(Action::Keyring { key, .. }) => {
                    node.handle(self.now, Event::Kept { key, why: None }, &mut host.dice);
                }
                Some(Action::Happened(event)) => host.news |= matches!(event, serf::Event::Members { .. }),
                Some(Action::Snapshot(_) | Action::Tags(_)) => {}
            }
            if let Some(line) = lines.pop_front() {
                let host = &mut self.hosts[at];
                if let Some(node) = &mut host.node {
                    node.handle(self.now, Event::Said(line), &mut host.dice);
                }
            }
        }
        self.write(at);
        self.arm(at);
    }

    /// Sees to it that a node is woken in time.
    fn arm(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        let due = host.node.as_ref().and_then(Node::deadline);
        if let Some(before) = std::mem::replace(&mut host.due, due) {
            self.ticks.remove(&(before, at));
        }
        self.ticks.extend(due.map(|due| (due, at)));
    }

    /// Takes what a node has to say on its connections.
    fn write(&mut self, at: usize) {
        let ends: Vec<_> = self.hosts[at].connections.iter().map(|(link, other)| (*link, *other)).collect();
        for (link, other) in ends {
            let host = &mut self.hosts[at];
            let Some(node) = &mut host.node else { return };
            let bytes = node.output(link).to_vec();
            node.wrote(link, bytes.len());
            host.said += bytes.len() as u64;
            let over = node.is_over(link);
            if !bytes.is_empty() {
                self.send(Parcel::Bytes { end: other, bytes });
            }
            if over {
                self.close((at, link));
                self.handle(at, Event::Gone { link, why: None, refused: false });
            }
        }
        let clients: Vec<_> = self.told.keys().filter(|end| end.0 == at).copied().collect();
        for end in clients {
            let Some(node) = &mut self.hosts[at].node else { return };
            while !node.output(end.1).is_empty() {
                let bytes = node.output(end.1).to_vec();
                node.wrote(end.1, bytes.len());
                self.told.entry(end).or_default().extend(bytes);
            }
        }
    }

    fn close(&mut self, end: End) {
        if let Some(other) = self.hosts[end.0].connections.remove(&end.1) {
            self.hosts[other.0].connections.remove(&other.1);
            self.send(Parcel::Closed { end: other, why: None });
        }
    }

    /// The node that is there, as seen from a side.
    fn at(&self, place: SocketAddr, side: usize) -> Option<usize> {
        self.host(place, side).filter(|at| self.hosts[*at].node.is_some())
    }

    /// The host that is there, as seen from a side. One without a node says so.
    fn host(&self, place: SocketAddr, side: usize) -> Option<usize> {
        let at = host_of(place)?;
        (self.hosts.get(at)?.side == side && place.port() == 7946).then_some(at)
    }

    fn deliver(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::Datagram { from, to, bytes } => {
                // A stranger is on the first side.
                let side = host_of(from).and_then(|at| self.hosts.get(at)).map_or(0, |host| host.side);
                if let Some(at) = self.at(to, side) {
                    self.handle(at, Event::Datagram { from, bytes: &bytes });
                } else if self.host(to, side).is_some()
                    && let Some(at) = self.at(from, side)
                {
                    self.send(Parcel::Unheard { node: at, to });
                }
            }
            Parcel::Call { from, to } => {
                let link = self.at(to, self.hosts[from.0].side).and_then(|at| {
                    let link = self.hosts[at].node.as_mut()?.accept(self.now, address(from.0))?;
                    Some((at, link))
                });
                match link {
                    Some(end) => {
                        self.hosts[from.0].connections.insert(from.1, end);
                        self.hosts[end.0].connections.insert(end.1, from);
                        self.send(Parcel::Answered { end: from });
                    }
                    None => {
                        let side = host_of(to).and_then(|at| self.hosts.get(at)).map(|host| host.side);
                        let cut = side.is_some_and(|side| side != self.hosts[from.0].side);
                        let why = if cut { "no route to host" } else { "connection refused" };
                        self.send(Parcel::Closed { end: from, why: Some(why.to_owned()) });
                    }
                }
            }
            Parcel::Answered { end } => self.handle(end.0, Event::Connected(end.1)),
            Parcel::Bytes { end, bytes } => self.handle(end.0, Event::Received { link: end.1, bytes: &bytes }),
            Parcel::Closed { end, why } => {
                let refused = why.as_deref() == Some("connection refused");
                self.handle(end.0, Event::Gone { link: end.1, why, refused });
            }
            Parcel::Unheard { node, to } => self.handle(node, Event::Unheard { to }),
            Parcel::Found { node, lookup, found } => {
                self.handle(node, Event::Found { lookup: lookup.into(), found });
            }
        }
    }

    /// Lets this much time pass.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
        self.now = end;
    }

    /// Lets time pass until something holds; how long that took. Fails after `limit`.
    pub fn until(&mut self, what: &str, limit: Duration, holds: impl Fn(&World) -> bool) -> Duration {
        let (begin, end) = (self.now, self.now + limit);
        while !holds(self) {
            assert!(self.step(end), "not within {limit:?}: {what}");
        }
        self.now.since(begin)
    }

    /// Does the next thing that is due before `end`.
    fn step(&mut self, end: Time) -> bool {
        let parcel = self.parcels.keys().next().copied();
        let tick = self.ticks.first().copied();
        let next = [parcel.map(|(time, _)| time), tick.map(|(time, _)| time)].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next < end) else { return false };
        self.now = self.now.max(next);
        match parcel {
            Some(key) if key.0 <= next => {
                let parcel = self.parcels.remove(&key).expect("it is there");
                self.deliver(parcel);
            }
            _ => {
                let (_, at) = tick.expect("one of both");
                self.handle(at, Event::Tick);
            }
        }
        true
    }

    /// How one sees another.
    pub fn status(&self, at: usize, other: usize) -> Option<Status> {
        self.hosts[at].node.as_ref()?.serf().member(&name(other)).map(|member| member.status)
    }

    /// Whether all that run see these as that.
    pub fn all_see(&self, others: impl Iterator<Item = usize>, status: Status) -> bool {
        let others: Vec<_> = others.collect();
        let running = (0..self.hosts.len()).filter(|at| self.hosts[*at].node.is_some());
        running.clone().all(|at| others.iter().all(|other| self.status(at, *other) == Some(status)))
    }

    /// A client of a node, which shakes hands.
    pub fn client(&mut self, at: usize) -> Link {
        let link = self.hosts[at].node.as_mut().expect("it runs").client(self.now).expect("room");
        self.told.insert((at, link), Vec::new());
        self.say(at, link, b"\x82\xa7Command\xa9handshake\xa3Seq\x01\x81\xa7Version\x01");
        link
    }

    pub fn say(&mut self, at: usize, link: Link, bytes: &[u8]) {
        self.handle(at, Event::Received { link, bytes });
    }

    /// What a client was told until now.
    pub fn told(&self, at: usize, link: Link) -> &[u8] {
        &self.told[&(at, link)]
    }
}
