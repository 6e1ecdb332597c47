//! The machine: what it holds, how it is told and asked.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::answer::Relays;
use super::awareness::Awareness;
use super::broadcast::Queue;
use super::delegate::Delegate;
use super::departure::Departure;
use super::event::{Action, Event, Notice, Warning};
use super::member::{Member, Record, State};
use super::obituary::Obituaries;
use super::probe::Probe;
use super::profile::{LAN, Profile};
use super::refusal::Refusals;
use super::roster::{ME, Roster};
use super::rules::Suspicions;
use super::version::Versions;
use crate::gossip::wire::message::{Addr, Message};
use crate::gossip::{Dice, Name};
use crate::unit::Time;

/// How many warnings wait at most; further ones are dropped.
pub(super) const WARNINGS: usize = 16;

/// How the machine behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The numbers of the protocol.
    pub profile: Profile,
    /// Whether datagrams are encrypted, and so may hold less.
    pub encrypted: bool,
    /// Whether a node that is silent is pinged over a stream.
    pub stream_pings: bool,
    /// How many bytes a datagram may have.
    pub datagram: usize,
    /// How many members there may be.
    pub members: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config { profile: LAN, encrypted: false, stream_pings: true, datagram: 1400, members: 10_000 }
    }
}

/// What this node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Its name, unique in the cluster.
    pub name: Name,
    /// Where others reach it.
    pub addr: Addr,
    /// The port of that.
    pub port: u16,
    /// What lies above has to say.
    pub meta: Vec<u8>,
    /// [`crate::gossip::wire::message::VSN`], or with other versions of the delegate.
    pub vsn: Versions,
}

/// What every step is given.
pub(super) struct Turn<'a> {
    pub now: Time,
    pub dice: &'a mut dyn Dice,
    pub delegate: &'a mut dyn Delegate,
}

/// Who is alive.
///
/// Told by [`Swim::handle`] and [`Swim::merge`]; after each of them [`Swim::next`] until it answers nothing; then, at
/// [`Swim::deadline`] at the latest, [`Event::Tick`].
#[derive(Debug)]
pub struct Swim {
    pub(super) config: Config,
    pub(super) roster: Roster,
    pub(super) awareness: Awareness,
    pub(super) queue: Queue,
    pub(super) suspicions: Suspicions,
    pub(super) probe: Option<Probe>,
    pub(super) refusals: Refusals,
    pub(super) obituaries: Obituaries,
    pub(super) relays: Relays,
    pub(super) departure: Departure,
    pub(super) probe_at: Time,
    pub(super) gossip_at: Time,
    pub(super) push_pull_at: Time,
    actions: VecDeque<Action>,
    warnings: usize,
}

impl Swim {
    /// A node that knows itself alone; the delegate hears of that as of any that joins.
    pub fn new(config: Config, local: Local, now: Time, dice: &mut dyn Dice, delegate: &mut dyn Delegate) -> Swim {
        let Local { name, addr, port, meta, vsn } = local;
        let record = Arc::new(Record { name, addr, port, meta, vsn });
        let me = Member { record, incarnation: 1, state: State::Alive, since: now };
        let profile = config.profile;
        let mut stagger = |interval: Duration| now + interval.mul_f64(dice.fraction());
        let mut swim = Swim {
            roster: Roster::new(me.clone(), config.members),
            awareness: Awareness::new(profile.awareness_limit),
            queue: Queue::default(),
            suspicions: Suspicions::default(),
            probe: None,
            refusals: Refusals::default(),
            obituaries: Obituaries::new(now),
            relays: Relays::default(),
            departure: Departure::No,
            probe_at: stagger(profile.probe_interval),
            gossip_at: stagger(profile.gossip_interval),
            push_pull_at: stagger(profile.push_pull_interval) + profile.push_pull_interval,
            actions: VecDeque::new(),
            warnings: 0,
            config,
        };
        swim.announce();
        delegate.notice(now, &Notice::Joined(me));
        swim
    }

    /// Takes in what happened, and calls the delegate for what is its.
    pub fn handle(&mut self, now: Time, event: Event, dice: &mut dyn Dice, delegate: &mut dyn Delegate) {
        let turn = &mut Turn { now, dice, delegate };
        match event {
            Event::Tick => self.tick(turn),
            Event::Message { from, message } => self.message(turn, from, message),
            Event::StreamPinged { probe, outcome } => self.stream_pinged(now, probe, outcome),
            Event::Unheard { to } => self.unheard(turn, to),
            Event::UpdateMeta(meta) => self.update(turn, meta),
            Event::Leave { within } => self.leave(turn, within),
        }
        self.go_on_leaving(now);
    }

    /// The next thing to do, or nothing. Called until it answers nothing.
    #[expect(clippy::should_implement_trait, reason = "a machine that answers nothing now may answer again")]
    pub fn next(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if let Some(Action::Warn(_)) = action {
            self.warnings = self.warnings.saturating_sub(1);
        }
        action
    }

    /// When to call [`Swim::handle`] with [`Event::Tick`] at the latest; none: only an event wakes the machine. It may have
    /// passed already.
    pub fn deadline(&self, delegate: &dyn Delegate) -> Option<Time> {
        let company = self.roster.len() > 1;
        let news = !self.queue.is_empty() || delegate.pending();
        let probe = self.probe.as_ref().map_or(company.then_some(self.probe_at), |probe| Some(probe.deadline()));
        let gossip = (company && news).then_some(self.gossip_at);
        let push_pull = (self.roster.present_others() > 0).then_some(self.push_pull_at);
        let failed = self.obituaries.deadline();
        let others = [self.suspicions.deadline(), self.relays.deadline(), self.departure.deadline(), failed];
        [probe, gossip, push_pull].into_iter().chain(others).flatten().min()
    }

    /// Takes these as members that are alive and known for long: neither the delegate nor anybody else is told. Large clusters of
    /// a simulation begin so.
    pub fn recall(&mut self, records: &[Arc<Record>], now: Time, dice: &mut dyn Dice) {
        self.roster.reserve(records.len());
        for record in records.iter().cloned() {
            self.roster.insert(Member { record, incarnation: 1, state: State::Alive, since: now }, dice);
        }
        self.push_pull_at = now + self.config.profile.push_pull_every(self.roster.len()).mul_f64(dice.fraction());
        self.queue = Queue::default();
    }

    /// Everybody, this node and those that are gone but not forgotten, too.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.roster.iter()
    }

    /// The member of this name.
    pub fn member(&self, name: &Name) -> Option<&Member> {
        self.roster.get(self.roster.find(name)?)
    }

    /// This node, as the others see it.
    pub fn me(&self) -> Option<&Member> {
        self.roster.get(ME)
    }

    /// How many members there are, as in [`Swim::members`].
    pub fn count(&self) -> usize {
        self.roster.len()
    }

    /// How many other members are not gone.
    pub fn present_others(&self) -> usize {
        self.roster.present_others()
    }

    /// How unwell this node seems to itself: 0 is well.
    pub fn health_score(&self) -> u32 {
        self.awareness.score()
    }

    /// How much news waits to be sent.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// The numbers of the protocol.
    pub fn profile(&self) -> &Profile {
        &self.config.profile
    }

    /// The keyring has come to be, or is gone: datagrams hold less, or more.
    pub fn encrypt(&mut self, encrypted: bool) {
        self.config.encrypted = encrypted;
    }

    fn message(&mut self, turn: &mut Turn, from: SocketAddr, message: Message) {
        match message {
            Message::Ping(ping) => self.pinged(turn, from, ping),
            Message::IndirectPing(ping) => self.asked_to_ping(turn, from, ping),
            Message::Ack(ack) => self.acked(turn, &ack),
            Message::Nack(nack) => self.nacked(nack),
            Message::Suspect(suspect) => {
                self.set_right(turn, from, &suspect.from, &suspect.node, suspect.incarnation);
                self.hear_suspect(turn, suspect);
            }
            Message::Alive(alive) => self.alive(turn, alive),
            Message::Dead(dead) => {
                self.set_right(turn, from, &dead.from, &dead.node, dead.incarnation);
                self.hear_dead(turn, dead);
            }
            Message::User(bytes) if bytes.is_empty() => {}
            Message::User(bytes) => turn.delegate.user_message(turn.now, &bytes),
        }
    }

    fn tick(&mut self, turn: &mut Turn) {
        self.end_suspicions(turn);
        self.end_relays(turn);
        self.go_on_probing(turn);
        self.remind(turn);
        let profile = self.config.profile;
        if self.probe_at <= turn.now && self.probe.is_none() {
            self.probe_at = after(self.probe_at, profile.probe_interval, turn.now);
            self.start_probe(turn);
        }
        if self.gossip_at <= turn.now {
            self.gossip_at = after(self.gossip_at, profile.gossip_interval, turn.now);
            self.gossip(turn);
        }
        if self.push_pull_at <= turn.now {
            self.push_pull_at = turn.now + profile.push_pull_every(self.roster.len());
            self.push_pull(turn);
        }
    }

    /// There is company again: what would have been done meanwhile is not caught up with.
    pub(super) fn resume(&mut self, now: Time) {
        let profile = self.config.profile;
        self.probe_at = after(self.probe_at, profile.probe_interval, now);
        self.gossip_at = after(self.gossip_at, profile.gossip_interval, now);
        self.push_pull_at = after(self.push_pull_at, profile.push_pull_interval, now);
    }

    /// The name of this node.
    pub(super) fn my_name(&self) -> Name {
        self.me().map(|me| me.name.clone()).unwrap_or_default()
    }

    pub(super) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(super) fn warn(&mut self, warning: Warning) {
        if self.warnings < WARNINGS {
            self.warnings += 1;
            self.actions.push_back(Action::Warn(warning));
        }
    }
}

/// The first of `at`, `at` + `interval`, ... that is after `now`, or `at` if that still lies ahead.
fn after(at: Time, interval: Duration, now: Time) -> Time {
    if at > now {
        return at;
    }
    let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
    let steps = (now.nanos() - at.nanos()) / interval + 1;
    Time::from_nanos(at.nanos().saturating_add(steps.saturating_mul(interval)))
}
