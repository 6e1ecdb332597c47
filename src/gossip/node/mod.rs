//! A whole node as one machine: who is alive ([`swim`](super::swim)), what Serf adds ([`serf`](super::serf)), its keys, its
//! connections with other nodes and its clients.
//!
//! It is told what happens by [`Node::handle`], and by [`Node::accept`] and [`Node::client`] who has come; then everything that
//! [`Node::next`] answers is to be done. It sleeps until [`Node::deadline`]. Of each connection there is [`Node::output`] to be
//! written, [`Node::is_hungry`] says whether to read, and when [`Node::is_over`] it is to be closed. It knows no clock and
//! throws no dice of its own.

mod clients;
mod event;
mod join;
mod keys;
mod peer;
mod refusals;
mod seeds;
mod streams;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

pub use event::{Action, Event, Link, Lookup};
pub use streams::PEERS;

use self::join::{Joins, Origin};
use self::peer::{Peer, Purpose};
use self::refusals::Refusals;
use self::seeds::Seeds;
use super::rpc::{Level, Line, Secret, Session};
use super::serf::{self, Output, Past, Serf};
use super::swim::{self, Local, Profile, Swim, Warning};
use super::wire::crypt::Keyring;
use super::wire::message::Message;
use super::wire::packet;
use super::wire::tags::Tags;
use super::wire::{Layers, Refusal};
use super::{Dice, Name};
use crate::unit::Time;
use swim::Event as swim_event;

/// So many lines of the log a new monitor begins with.
const LINES: usize = 512;

/// What a node is told at its start.
#[derive(Debug)]
pub struct Setup {
    /// What Serf is told: the name, the address and the tags among it.
    pub serf: serf::Config,
    /// The numbers of the protocol.
    pub profile: Profile,
    /// The keys, if anything is encrypted.
    pub keyring: Option<Keyring>,
    /// Whether what is sent is made smaller.
    pub compress: bool,
    /// What clients must say.
    pub secret: Secret,
    /// Through whom to join at the start, or end.
    pub join: Vec<String>,
    /// Through whom to join, again and again.
    pub seeds: Vec<String>,
    /// How long to wait after a join that failed.
    pub retry_interval: Duration,
    /// How often to try; 0: for ever.
    pub retry_max: usize,
    /// Whether events from before a join are told.
    pub replay: bool,
    /// How long news of a leave may take.
    pub broadcast_timeout: Duration,
    /// What the program runs on, for `serf info`.
    pub runtime: Vec<(&'static str, String)>,
    /// Events and the scripts for them, for `serf info`.
    pub event_handlers: Tags,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    swim: Swim,
    serf: Serf,
    name: Name,
    port: u16,
    profile: Profile,
    keyring: Option<Keyring>,
    compress: bool,
    secret: Secret,
    broadcast_timeout: Duration,
    runtime: Vec<(&'static str, String)>,
    event_handlers: Tags,
    sessions: BTreeMap<Link, Session>,
    peers: BTreeMap<Link, Peer>,
    joins: Joins,
    seeds: Seeds,
    refusals: Refusals,
    /// Clients that wait for the leave.
    leavers: Vec<Link>,
    /// Clients that were answered what they had to wait for: perhaps they asked more in the meantime.
    answered: Vec<Link>,
    /// Clients that wait for what becomes of keys, by Serf's key of the operation.
    key_askers: BTreeMap<u64, Link>,
    lines: VecDeque<Line>,
    actions: VecDeque<Action>,
    last_link: u64,
    ended: bool,
}

impl Node {
    /// A node that knows itself alone, and begins to join. `past` is what its snapshot says.
    pub fn new(setup: Setup, past: Past, now: Time, dice: &mut dyn Dice) -> Result<Node, serf::Refusal> {
        let name = setup.serf.name.clone();
        let (addr, port) = (setup.serf.addr.clone(), setup.serf.port);
        let mut serf = Serf::new(setup.serf, past, now, dice)?;
        let local = Local { name: name.clone(), addr, port, meta: serf.meta(), vsn: serf.versions() };
        let config = swim::Config { profile: setup.profile, encrypted: setup.keyring.is_some(), ..Default::default() };
        let swim = Swim::new(config, local, now, dice, &mut serf);
        let mut node = Node {
            swim,
            serf,
            name,
            port,
            profile: setup.profile,
            keyring: setup.keyring,
            compress: setup.compress,
            secret: setup.secret,
            broadcast_timeout: setup.broadcast_timeout,
            runtime: setup.runtime,
            event_handlers: setup.event_handlers,
            sessions: BTreeMap::new(),
            peers: BTreeMap::new(),
            joins: Joins::default(),
            seeds: Seeds::new(setup.seeds, setup.retry_interval, setup.retry_max, setup.replay, now),
            refusals: Refusals::default(),
            leavers: Vec::new(),
            answered: Vec::new(),
            key_askers: BTreeMap::new(),
            lines: VecDeque::new(),
            actions: VecDeque::new(),
            last_link: 0,
            ended: false,
        };
        if !setup.join.is_empty() {
            node.join(now, Origin::Start, &setup.join, setup.replay);
        }
        node.seed(now);
        node.settle(now, dice);
        Ok(node)
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What Serf knows.
    pub fn serf(&self) -> &Serf {
        &self.serf
    }

    /// Takes what happened.
    pub fn handle(&mut self, now: Time, event: Event<'_>, dice: &mut dyn Dice) {
        match event {
            Event::Tick => {
                self.close_late(now, dice);
                self.seed(now);
                self.swim.handle(now, swim_event::Tick, dice, &mut self.serf);
                self.serf.tick(now);
            }
            Event::Datagram { from, bytes } => self.datagram(now, from, bytes, dice),
            Event::Connected(link) => self.connected(link, dice),
            Event::Received { link, bytes } => {
                if let Some(session) = self.sessions.get_mut(&link) {
                    session.receive(bytes);
                    self.serve(now, link);
                } else {
                    self.heard(now, link, bytes, dice);
                }
            }
            Event::Unheard { to } => {
                self.swim.handle(now, swim_event::Unheard { to }, dice, &mut self.serf);
            }
            Event::Gone { link, why, refused } => {
                if self.sessions.contains_key(&link) {
                    self.client_gone(link);
                } else {
                    self.peers.entry(link).and_modify(|peer| peer.refused = refused);
                    self.drop_peer(now, link, why.as_deref().unwrap_or("EOF"), dice);
                }
            }
            Event::Found { lookup, found } => {
                if let Some(join) = self.joins.found(lookup, found) {
                    self.go_on_joining(now, join);
                }
            }
            Event::Respond { key, payload } => {
                if let Err(refusal) = self.serf.respond(now, key, payload) {
                    self.log(Level::Warn, format!("agent: Failed to respond to query: {refusal}"));
                }
            }
            Event::Kept { key, why } => self.keys_kept(now, key, why),
            Event::Said(line) => self.said(line),
            Event::Tags(tags) if tags == *self.serf.tags() => {}
            Event::Tags(tags) => {
                if let Err(refusal) = self.serf.set_tags(tags) {
                    self.log(Level::Err, format!("agent: Failed to update tags: {refusal}"));
                }
            }
            Event::Leave => self.serf.leave(now),
        }
        self.settle(now, dice);
    }

    /// What is to be done next.
    #[expect(clippy::should_implement_trait, reason = "after an end there may be more, once something else happens")]
    pub fn next(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Event::Tick`] is due at the latest.
    pub fn deadline(&self) -> Option<Time> {
        let late = self.peers.values().map(|peer| peer.until).min();
        [self.swim.deadline(&self.serf), self.serf.deadline(), self.seeds.deadline(), late].into_iter().flatten().min()
    }

    /// What is to be written on a connection; empty if nothing is.
    pub fn output(&self, link: Link) -> &[u8] {
        let peer = self.peers.get(&link).map(Peer::output);
        peer.or_else(|| self.sessions.get(&link).map(Session::output)).unwrap_or_default()
    }

    /// So much of [`Node::output`] was written. A client that waited for that goes on with the next event.
    pub fn wrote(&mut self, link: Link, count: usize) {
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.wrote(count);
        } else if let Some(session) = self.sessions.get_mut(&link) {
            session.wrote(count);
            self.answered.push(link);
        }
    }

    /// Whether bytes of a connection are wanted.
    pub fn is_hungry(&self, link: Link) -> bool {
        self.sessions.get(&link).is_none_or(Session::is_hungry)
    }

    /// Whether a connection has done what it was for and is to be closed. What is closed is told by [`Event::Gone`].
    pub fn is_over(&self, link: Link) -> bool {
        match (self.peers.get(&link), self.sessions.get(&link)) {
            (Some(peer), _) => peer.is_over(),
            (None, Some(session)) => session.is_over(),
            (None, None) => true,
        }
    }

    fn link(&mut self) -> Link {
        self.last_link += 1;
        Link(self.last_link)
    }

    fn log(&mut self, level: Level, text: String) {
        self.actions.push_back(Action::Log(level, text));
    }

    /// Counts what is not listened to, and says so once a minute.
    fn refuse(&mut self, now: Time, what: &'static str, from: Option<SocketAddr>, why: &str) {
        if let Some(line) = self.refusals.count(now, what, from, why) {
            self.log(Level::Warn, line);
        }
    }

    fn datagram(&mut self, now: Time, from: SocketAddr, bytes: &[u8], dice: &mut dyn Dice) {
        let layers = Layers { label: &[], keyring: self.keyring.as_ref(), compress: self.compress };
        let packet = match packet::decode(bytes, &layers) {
            Ok(packet) => packet,
            Err(refusal) => return self.refuse(now, kind(refusal), Some(from), &refusal.to_string()),
        };
        for message in packet.messages {
            self.swim.handle(now, swim_event::Message { from, message }, dice, &mut self.serf);
        }
        if let Some(reason) = packet.reason {
            self.refuse(now, "Packet in part refused", Some(from), reason.0);
        }
    }

    /// Does what the machines below ask for, until they ask for nothing.
    fn settle(&mut self, now: Time, dice: &mut dyn Dice) {
        loop {
            if let Some(action) = self.swim.next() {
                self.act(now, action, dice);
            } else if let Some(output) = self.serf.next() {
                self.perform(now, output, dice);
            } else if let Some(link) = self.answered.pop() {
                self.serve(now, link);
            } else {
                return;
            }
        }
    }

    fn act(&mut self, now: Time, action: swim::Action, dice: &mut dyn Dice) {
        match action {
            swim::Action::Send { to, node_pmax, parts } => self.send(to, node_pmax, &parts, dice),
            swim::Action::StreamPing { probe, to, ping, deadline } => self.ping(now, probe, to, ping, deadline),
            swim::Action::PushPull { to, node } => {
                self.log(Level::Debug, format!("memberlist: Initiating push/pull sync with: {node} {to}"));
                self.connect(now, to, Purpose::PushPull(node), None, None);
            }
            swim::Action::Departed { told } => {
                if !told {
                    self.log(Level::Warn, "memberlist: timeout waiting for leave broadcast".to_owned());
                }
                self.serf.departed(now);
            }
            swim::Action::Warn(warning) => self.refuse(now, topic(&warning), None, &warning.to_string()),
        }
    }

    fn send(&mut self, to: SocketAddr, pmax: Option<u8>, parts: &[Vec<u8>], dice: &mut dyn Dice) {
        let layers = Layers { label: &[], keyring: self.keyring.as_ref(), compress: self.compress };
        let packets = packet::encode(parts, pmax, &layers, dice);
        self.actions.extend(packets.into_iter().map(|bytes| Action::Send { to, bytes }));
    }

    fn perform(&mut self, now: Time, output: Output, dice: &mut dyn Dice) {
        match output {
            Output::Send { to, bytes } => self.send(to, None, &[Message::User(bytes).encode()], dice),
            Output::Join { node, to } => self.connect(now, to, Purpose::Rejoin(node), None, None),
            Output::Meta(meta) => self.swim.handle(now, swim_event::UpdateMeta(meta), dice, &mut self.serf),
            Output::Leave => {
                let within = self.broadcast_timeout;
                self.swim.handle(now, swim_event::Leave { within }, dice, &mut self.serf);
            }
            Output::Left => self.left(),
            Output::Event(event) => {
                self.log(Level::Info, format!("agent: Received event: {}", called(&event)));
                self.sessions.values_mut().for_each(|session| session.event(now, &event));
                self.look_for_company(now);
                self.actions.push_back(Action::Happened(event));
            }
            Output::Reply { key, reply } => {
                self.sessions.values_mut().for_each(|session| session.reply(key, &reply));
            }
            Output::Keys { key, report } => self.keys_reported(key, report),
            Output::Ring { key, change } => self.change_keys(now, key, change),
            Output::Shutdown { why } => {
                self.log(Level::Err, format!("serf: {why}"));
                self.log(Level::Warn, "agent: Serf shutdown detected, quitting".to_owned());
                self.exit(false);
            }
            Output::Snapshot(record) => self.actions.push_back(Action::Snapshot(record)),
            Output::Log { level, text } => self.log(level.into(), text),
        }
    }

    fn exit(&mut self, well: bool) {
        if !std::mem::replace(&mut self.ended, true) {
            self.actions.push_back(Action::Exit { well });
        }
    }

    fn said(&mut self, line: Line) {
        self.sessions.values_mut().for_each(|session| session.line(&line));
        if self.lines.len() >= LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

/// An event in a line of the log.
fn called(event: &serf::Event) -> String {
    match event {
        serf::Event::Members { kind, .. } => kind.word().to_owned(),
        serf::Event::User { name, .. } => format!("user-event: {name}"),
        serf::Event::Query { name, .. } => format!("query: {name}"),
    }
}

/// Packets that are refused are counted apart, so that one kind does not hide another.
fn kind(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Label => "Packet of another cluster refused",
        Refusal::Plain => "Plain packet refused",
        Refusal::Encrypted => "Encrypted packet refused",
        Refusal::Key => "Packet of another key refused",
        Refusal::Checksum | Refusal::Malformed(_) => "Broken packet refused",
    }
}

/// What of this kind is said once a minute.
fn topic(warning: &Warning) -> &'static str {
    match warning {
        Warning::Misdirected { .. } => "Got ping for unexpected node",
        Warning::OnlyStreams(_) => "Was able to connect over TCP but UDP probes failed, network may be misconfigured",
        Warning::Full(_) => "Too many members",
        Warning::Unusable { .. } => "Member refused",
        Warning::Irrefutable(_) => "Accusation refused",
        Warning::TooManyRelays => "Too many indirect pings",
        Warning::Incompatible(_) => "Failed push/pull merge",
    }
}
