//! The machine of all that Serf adds.
//!
//! It hears of members and messages as memberlist's [`Delegate`](crate::gossip::swim::Delegate), is asked by the node, and
//! answers with [`Output`]s. It is told the time; its dice are a seed that it is given once.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use super::coalesce::Coalescer;
use super::complaint::{Complaint, Complaints};
use super::config::{Config, EVENTS_WEIGHT, QUERIES_WEIGHT};
use super::coordinate::{Coordinate, Vivaldi};
use super::event::{Event, Kind};
use super::intent::Intents;
use super::lamport::Clock;
use super::leave::Leave;
use super::member::{Cell, Member, Members, Status};
use super::output::{Level, Output, Refusal};
use super::query::Inquiry;
use super::question::Question;
use super::queues::Queues;
use super::ring::Ring;
use super::snapshot::{Journal, Past};
use super::upkeep::Upkeep;
use crate::gossip::wire::tags::{self, Tags};
use crate::gossip::{Dice, Name, dice};
use crate::unit::Time;

/// Dice from a seed (SplitMix64): relays, ids of queries and places need chance, not secrecy.
#[derive(Debug)]
pub(super) struct Seed(u64);

impl Dice for Seed {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Numbers for a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Members of any status.
    pub members: usize,
    /// Those that failed.
    pub failed: usize,
    /// Those that left.
    pub left: usize,
    /// The clock of members.
    pub member_time: u64,
    /// The clock of events.
    pub event_time: u64,
    /// The clock of queries.
    pub query_time: u64,
    /// Intents that are still to be sent.
    pub intent_queue: usize,
    /// Events that are still to be sent.
    pub event_queue: usize,
    /// Queries that are still to be sent.
    pub query_queue: usize,
    /// How often the coordinate was given up.
    pub coordinate_resets: u64,
}

/// What Serf adds to memberlist.
#[derive(Debug)]
pub struct Serf {
    pub(super) config: Config,
    pub(super) dice: Seed,
    pub(super) clock: Clock,
    pub(super) event_clock: Clock,
    pub(super) query_clock: Clock,
    pub(super) members: Members,
    pub(super) intents: Intents,
    /// When to erase members that a force-leave with `prune` found alive.
    pub(super) prunes: BTreeMap<Name, Time>,
    /// Names and payloads.
    pub(super) events: Ring<(Name, Vec<u8>)>,
    /// Ids.
    pub(super) queries: Ring<u32>,
    /// Whether a join from now on hears of no event from before it.
    pub(super) ignore_old: bool,
    /// Queries of this node, by their Lamport time.
    pub(super) inquiries: BTreeMap<u64, Inquiry>,
    /// Queries that may be responded to, by key.
    pub(super) questions: BTreeMap<u64, Question>,
    pub(super) next_key: u64,
    pub(super) queues: Queues,
    pub(super) vivaldi: Vivaldi,
    pub(super) journal: Option<Journal>,
    pub(super) coalescer: Option<Coalescer>,
    pub(super) leave: Leave,
    /// Members of the snapshot that are still to be tried; the first is being tried.
    pub(super) rejoin: VecDeque<(Name, SocketAddr)>,
    pub(super) upkeep: Upkeep,
    complaints: Complaints,
    pub(super) out: VecDeque<Output>,
}

impl Serf {
    /// A node that knows itself alone. `past` is what its snapshot says; empty, if there is none.
    pub fn new(config: Config, past: Past, now: Time, dice: &mut dyn Dice) -> Result<Serf, Refusal> {
        encode_tags(config.protocol, &config.tags)?;
        let mut rejoin: Vec<_> = past.alive.iter().map(|(name, address)| (name.clone(), *address)).collect();
        rejoin.retain(|(name, _)| *name != config.name);
        dice::shuffle(dice, &mut rejoin);
        let mut clocks = [Clock::default(); 3];
        clocks.iter_mut().zip([past.clock, past.event_clock, past.query_clock]).for_each(|(c, time)| c.witness(time));
        let [clock, event_clock, query_clock] = clocks;
        let mut events = Ring::new(EVENTS_WEIGHT);
        let mut queries = Ring::new(QUERIES_WEIGHT);
        events.ignore_before(past.event_clock.saturating_add(1));
        queries.ignore_before(past.query_clock.saturating_add(1));
        let mut serf = Serf {
            dice: Seed(dice.next()),
            clock,
            event_clock,
            query_clock,
            members: Members::new(config.members),
            intents: Intents::new(config.members),
            prunes: BTreeMap::new(),
            events,
            queries,
            ignore_old: false,
            inquiries: BTreeMap::new(),
            questions: BTreeMap::new(),
            next_key: 1,
            queues: Queues::new(config.retransmit),
            vivaldi: Vivaldi::default(),
            journal: config.snapshot.then(|| Journal::new(past, config.rejoin)),
            coalescer: config.coalesce.then(Coalescer::default),
            leave: Leave::No,
            rejoin: rejoin.into(),
            upkeep: Upkeep::new(now),
            complaints: Complaints::default(),
            out: VecDeque::new(),
            config,
        };
        serf.try_rejoin();
        Ok(serf)
    }

    /// What memberlist tells others of this node: its tags, encoded.
    pub fn meta(&self) -> Vec<u8> {
        encode_tags(self.config.protocol, &self.config.tags).unwrap_or_default()
    }

    /// What memberlist tells others of versions: least, most and used of its protocol, then of Serf's.
    pub fn versions(&self) -> [u8; 6] {
        [1, 5, 2, 2, 5, self.config.protocol]
    }

    /// Other tags for this node, from now on.
    pub fn set_tags(&mut self, tags: Tags) -> Result<(), Refusal> {
        let meta = encode_tags(self.config.protocol, &tags)?;
        self.config.tags = tags;
        self.out.push_back(Output::Meta(meta));
        Ok(())
    }

    /// The tags of this node.
    pub fn tags(&self) -> &Tags {
        &self.config.tags
    }

    /// Whether a join from now on hears of no event from before it.
    pub fn ignore_old(&mut self, ignore: bool) {
        self.ignore_old = ignore;
    }

    /// What the node is to do next, or nothing. Called until it answers nothing.
    #[expect(clippy::should_implement_trait, reason = "as the other machines have it")]
    pub fn next(&mut self) -> Option<Output> {
        if let Some(journal) = &mut self.journal {
            self.out.extend(journal.take().into_iter().map(Output::Snapshot));
        }
        self.out.pop_front()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Time) {
        self.close_inquiries(now);
        self.keep_up(now);
        self.go_on_leaving(now);
        if let Some(coalescer) = &mut self.coalescer {
            self.out.extend(coalescer.due(now).into_iter().map(Output::Event));
        }
        self.settle(now);
    }

    /// When to call [`Serf::tick`] at the latest; none: nothing is due by itself.
    pub fn deadline(&self) -> Option<Time> {
        let coalesced = self.coalescer.as_ref().and_then(Coalescer::deadline);
        let noted = self.journal.as_ref().and_then(Journal::deadline);
        let asked = self.inquiries.values().map(|inquiry| inquiry.until).min();
        [coalesced, noted, asked, self.upkeep_deadline(), self.leave.deadline()].into_iter().flatten().min()
    }

    /// Every member.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().map(|(_, cell)| &cell.member)
    }

    /// What is known of a member.
    pub fn member(&self, name: &Name) -> Option<&Member> {
        self.members.get(name).map(|cell| &cell.member)
    }

    /// Where a member is in time.
    pub fn coordinate(&self, name: &Name) -> Option<Coordinate> {
        if *name == self.config.name {
            return self.config.coordinates.then(|| *self.vivaldi.place());
        }
        self.members.get(name).and_then(|cell| cell.coordinate)
    }

    /// Numbers for a person.
    pub fn numbers(&self) -> Numbers {
        Numbers {
            members: self.members.len(),
            failed: self.members.of(Status::Failed),
            left: self.members.of(Status::Left),
            member_time: self.clock.time(),
            event_time: self.event_clock.time(),
            query_time: self.query_clock.time(),
            intent_queue: self.queues.intents.len(),
            event_queue: self.queues.events.len(),
            query_queue: self.queues.queries.len(),
            coordinate_resets: self.vivaldi.resets(),
        }
    }

    /// The clock may have moved: the snapshot is to know.
    pub(super) fn settle(&mut self, now: Time) {
        if let Some(journal) = &mut self.journal {
            journal.due(now, self.clock.time());
            journal.ticked(now, self.clock.time());
        }
    }

    pub(super) fn log(&mut self, level: Level, text: String) {
        self.out.push_back(Output::Log { level, text });
    }

    /// Says what somebody does wrong, unless it was said within the last minute.
    pub(super) fn complain(&mut self, now: Time, complaint: Complaint, text: impl FnOnce() -> String) {
        match self.complaints.count(now, complaint) {
            Some(0) => self.log(complaint.level(), text()),
            Some(more) => self.log(complaint.level(), format!("{} (and {more} more like it since)", text())),
            None => {}
        }
    }

    /// Tells handlers and clients, soon or at once.
    pub(super) fn tell(&mut self, now: Time, event: Event) {
        let passed = match &mut self.coalescer {
            Some(coalescer) => coalescer.take(now, event),
            None => Some(event),
        };
        self.out.extend(passed.map(Output::Event));
    }

    /// Tells what became of a member: the log, the snapshot, handlers and clients.
    pub(super) fn tell_member(&mut self, now: Time, kind: Kind, forced: bool, cell: &Cell) {
        let member = &cell.member;
        let forced = if forced { " (forced)" } else { "" };
        let text = match kind {
            Kind::Join | Kind::Leave | Kind::Failed => {
                format!("serf: {}{forced}: {} {}", kind.camel(), member.name, member.shown_ip())
            }
            Kind::Update | Kind::Reap => format!("serf: {}{forced}: {}", kind.camel(), member.name),
        };
        self.log(Level::Info, text);
        if let Some(journal) = &mut self.journal {
            match (kind, member.socket()) {
                (Kind::Join, Some(address)) => journal.alive(&member.name, address, self.clock.time()),
                (Kind::Leave | Kind::Failed, _) => journal.not_alive(&member.name, self.clock.time()),
                (Kind::Join, None) | (Kind::Update | Kind::Reap, _) => {}
            }
        }
        self.tell(now, Event::Members { kind, members: vec![member.clone()] });
    }
}

/// Tags as memberlist's meta (section 3.6).
fn encode_tags(protocol: u8, tags: &Tags) -> Result<Vec<u8>, Refusal> {
    let meta = if protocol < 3 { tags::encode_role(tags) } else { tags::encode(tags) };
    if meta.len() > tags::LARGEST { Err(Refusal::Tags(tags::LARGEST)) } else { Ok(meta) }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Config, Output, Past, Serf};
    use crate::gossip::Name;
    use crate::gossip::dice::tests::Seeded;
    use crate::gossip::serf::{Event, Refusal};
    use crate::gossip::swim::{Delegate, Member, Notice, Record, State};
    use crate::gossip::wire::message::{Addr, VSN};
    use crate::gossip::wire::serf::SerfMessage;
    use crate::gossip::wire::tags::{self, Tags};
    use crate::unit::Time;

    /// So many milliseconds after the start.
    pub fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    /// Tags of pairs.
    pub fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(tag, value)| (Name::from(*tag), Name::from(*value))).collect()
    }

    /// A member as memberlist knows it: its address ends in `host`.
    pub fn known(name: &str, host: u8) -> Member {
        let record = Record {
            name: name.into(),
            addr: Addr(vec![10, 0, 0, host]),
            port: 7946,
            meta: tags::encode(&tags(&[("role", "web")])),
            vsn: VSN,
        };
        Member { record: Arc::new(record), incarnation: 1, state: State::Alive, since: Time::ZERO }
    }

    /// What the node `me` is told; events are not coalesced.
    pub fn config() -> Config {
        Config { coalesce: false, ..Config::new("me".into(), Addr(vec![10, 0, 0, 1]), 7946) }
    }

    /// The node `me` beside these others, of which it has told all.
    pub fn serf_with(config: Config, others: &[&str]) -> Serf {
        let mut serf = Serf::new(config, Past::default(), Time::ZERO, &mut Seeded(1)).expect("a configuration");
        serf.notice(Time::ZERO, &Notice::Joined(known("me", 1)));
        for (name, host) in others.iter().zip(2..) {
            serf.notice(Time::ZERO, &Notice::Joined(known(name, host)));
        }
        drain(&mut serf);
        serf
    }

    /// The same, by the usual configuration.
    pub fn serf(others: &[&str]) -> Serf {
        serf_with(config(), others)
    }

    /// What it asks of the node, but for the log.
    pub fn drain(serf: &mut Serf) -> Vec<Output> {
        let all = std::iter::from_fn(|| serf.next());
        all.filter(|output| !matches!(output, Output::Log { .. })).collect()
    }

    /// What it writes to the log.
    pub fn lines(serf: &mut Serf) -> Vec<String> {
        let all = std::iter::from_fn(|| serf.next());
        let line = |output| if let Output::Log { text, .. } = output { Some(text) } else { None };
        all.filter_map(line).collect()
    }

    /// The events among what it asks, in a word each.
    pub fn events(serf: &mut Serf) -> Vec<String> {
        let word = |output| match output {
            Output::Event(Event::Members { kind, members }) => {
                let names: Vec<_> = members.iter().map(|member| member.name.to_string()).collect();
                Some(format!("{} {}", kind.word(), names.join(",")))
            }
            Output::Event(Event::User { ltime, name, .. }) => Some(format!("user {name} {ltime}")),
            Output::Event(Event::Query { ltime, name, .. }) => Some(format!("query {name} {ltime}")),
            _ => None,
        };
        drain(serf).into_iter().filter_map(word).collect()
    }

    /// A message comes from another node.
    pub fn hear(serf: &mut Serf, now: Time, message: SerfMessage) {
        serf.user_message(now, &message.encode());
    }

    /// What it wants to tell everybody. Each is given once, however often it is to be sent.
    pub fn said(serf: &mut Serf) -> Vec<SerfMessage> {
        let queues = [&mut serf.queues.intents, &mut serf.queues.queries, &mut serf.queues.events];
        let bytes: Vec<Vec<u8>> = queues.into_iter().flat_map(|queue| queue.take(0, usize::MAX, 1)).collect();
        bytes.iter().map(|bytes| SerfMessage::decode(bytes).expect("a message")).collect()
    }

    #[test]
    fn section_3_6_tags_are_512_bytes_at_most() {
        let mut serf = serf(&[]);
        let value = "x".repeat(512 - 1 - 1 - 5 - 3);
        let fits = tags(&[("role", &value)]);
        assert_eq!(serf.set_tags(fits.clone()), Ok(()));
        let [Output::Meta(meta)] = &drain(&mut serf)[..] else { panic!("no meta") };
        assert_eq!((meta.len(), tags::decode(meta), serf.tags()), (512, fits.clone(), &fits));
        assert_eq!(serf.set_tags(tags(&[("role", &format!("{value}x"))])), Err(Refusal::Tags(512)));
        assert_eq!(drain(&mut serf), []);
        assert_eq!((serf.tags(), serf.meta().len()), (&fits, 512));
        let config = Config { tags: tags(&[("role", &"x".repeat(600))]), ..config() };
        assert_eq!(Serf::new(config, Past::default(), at(0), &mut Seeded(1)).err(), Some(Refusal::Tags(512)));
    }

    #[test]
    fn section_3_6_protocol_2_has_a_role_alone() {
        let config = Config { protocol: 2, tags: tags(&[("role", "db"), ("dc", "east")]), ..config() };
        let serf = serf_with(config, &[]);
        assert_eq!((serf.meta(), serf.versions()), (b"db".to_vec(), [1, 5, 2, 2, 5, 2]));
    }

    #[test]
    fn an_idle_node_has_no_deadline() {
        let mut serf = serf(&["a", "b"]);
        serf.tick(at(0));
        assert_eq!(serf.deadline(), None);
    }
}
