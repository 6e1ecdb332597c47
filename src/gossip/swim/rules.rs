//! What is believed of a member, and when: by its incarnation (section 2.5).

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::broadcast::Ticket;
use super::event::{Notice, Warning};
use super::machine::{Swim, Turn};
use super::member::{Member, Record, State};
use super::roster::{ME, Slot};
use super::suspicion::Suspicion;
use super::version::versions;
use crate::gossip::Name;
use crate::gossip::wire::message::{Alive, Dead, Message, Suspect};
use crate::unit::Time;

/// A longer name does not fit in every datagram.
const NAME: usize = 512;
/// What a member may say of itself.
const META: usize = 512;

/// Who is suspected, and when each suspicion ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Suspicions {
    of: HashMap<Slot, Suspicion>,
    ends: BTreeSet<(Time, Slot)>,
}

impl Suspicions {
    pub fn deadline(&self) -> Option<Time> {
        self.ends.first().map(|(at, _)| *at)
    }

    fn start(&mut self, slot: Slot, suspicion: Suspicion) {
        self.drop(slot);
        self.ends.insert((suspicion.until(), slot));
        self.of.insert(slot, suspicion);
    }

    fn drop(&mut self, slot: Slot) {
        if let Some(suspicion) = self.of.remove(&slot) {
            self.ends.remove(&(suspicion.until(), slot));
        }
    }

    /// Somebody confirms; nothing, if there is no suspicion, else whether that is news.
    fn confirm(&mut self, slot: Slot, from: &Name) -> Option<bool> {
        let suspicion = self.of.get_mut(&slot)?;
        let before = suspicion.until();
        let news = suspicion.confirm(from);
        if news {
            self.ends.remove(&(before, slot));
            self.ends.insert((suspicion.until(), slot));
        }
        Some(news)
    }

    fn ended(&mut self, now: Time) -> Option<Slot> {
        let (at, slot) = *self.ends.first()?;
        if at > now {
            return None;
        }
        self.drop(slot);
        Some(slot)
    }
}

impl Swim {
    /// A node is there.
    pub(super) fn alive(&mut self, turn: &mut Turn, alive: Alive) {
        let known = self.roster.find(&alive.node);
        if known == Some(ME) && self.is_leaving() {
            return;
        }
        if let Some(why) = unusable(&alive) {
            return self.warn(Warning::Unusable { node: short(&alive.node), why });
        }
        match known.and_then(|slot| Some((slot, self.roster.get(slot)?.clone()))) {
            Some((slot, member)) => self.alive_again(turn, slot, &member, alive),
            None => self.alive_first(turn, alive),
        }
    }

    /// One that is not known.
    fn alive_first(&mut self, turn: &mut Turn, alive: Alive) {
        let Some(vsn) = versions(&alive.vsn) else {
            return self
                .warn(Warning::Unusable { node: alive.node, why: "it does not say which versions it understands" });
        };
        // What is not known has the incarnation 0, and no less than more is believed.
        if alive.incarnation == 0 {
            return;
        }
        if !self.roster.has_room() {
            self.roster.forget(turn.now, self.config.profile.gossip_to_the_dead);
        }
        let Alive { incarnation, node: name, addr, port, meta, .. } = alive;
        let record = Arc::new(Record { name, addr, port, meta, vsn });
        let member = Member { record, incarnation, state: State::Alive, since: turn.now };
        if self.roster.insert(member.clone(), turn.dice).is_none() {
            return self.warn(Warning::Full(member.name.clone()));
        }
        self.arrived(turn, member);
    }

    /// One that is known; it may be this node.
    fn alive_again(&mut self, turn: &mut Turn, slot: Slot, member: &Member, alive: Alive) {
        // Real agents accept it without versions, too; then what was known of them holds.
        let vsn = versions(&alive.vsn).unwrap_or(member.vsn);
        let same = |record: &Record| record.addr == alive.addr && record.port == alive.port;
        let moved = !same(member);
        if moved && !self.may_move(turn.now, member) {
            let Alive { incarnation, node: name, addr, port, meta, .. } = alive;
            let record = Arc::new(Record { name, addr, port, meta, vsn });
            let other = Member { record, incarnation, state: State::Alive, since: turn.now };
            return turn.delegate.notice(turn.now, &Notice::Conflict { known: member.clone(), other });
        }
        if slot == ME {
            let equal = alive.incarnation == member.incarnation && alive.meta == member.meta && alive.vsn == member.vsn;
            if alive.incarnation < member.incarnation || equal {
                return;
            }
            return self.refute(alive.incarnation);
        }
        if alive.incarnation <= member.incarnation && !moved {
            return;
        }
        self.suspicions.drop(slot);
        let Alive { incarnation, node: name, addr, port, meta, .. } = alive;
        let fresh = Record { name, addr, port, meta, vsn };
        let record = if fresh == *member.record { member.record.clone() } else { Arc::new(fresh) };
        let since = if member.state == State::Alive { member.since } else { turn.now };
        let now = Member { record, incarnation, state: State::Alive, since };
        self.roster.change(slot, |place| *place = now.clone());
        if member.state.is_gone() {
            return self.arrived(turn, now);
        }
        self.broadcast(&now.name, &Message::Alive(now.alive(incarnation)));
        if now.meta != member.meta {
            turn.delegate.notice(turn.now, &Notice::Updated(now));
        }
    }

    /// Somebody is there that was not.
    fn arrived(&mut self, turn: &mut Turn, member: Member) {
        if self.roster.present_others() == 1 {
            self.resume(turn.now);
        }
        if let Some(slot) = self.roster.find(&member.name) {
            self.refusals.forget(slot);
        }
        self.broadcast(&member.name, &Message::Alive(member.alive(member.incarnation)));
        turn.delegate.notice(turn.now, &Notice::Joined(member));
    }

    /// Whether the name of a member may come back with another address.
    fn may_move(&self, now: Time, member: &Member) -> bool {
        match member.state {
            State::Left => true,
            State::Dead => self.config.profile.reclaim.is_some_and(|reclaim| now.since(member.since) > reclaim),
            State::Alive | State::Suspect => false,
        }
    }

    /// Somebody says that a node does not answer.
    pub(super) fn hear_suspect(&mut self, turn: &mut Turn, suspect: Suspect) {
        if self.believable(suspect.incarnation, &suspect.node, &suspect.from) {
            self.suspect(turn, suspect);
        }
    }

    /// A node does not answer.
    pub(super) fn suspect(&mut self, turn: &mut Turn, suspect: Suspect) {
        let Some(slot) = self.roster.find(&suspect.node) else { return };
        let Some((known, state)) = self.roster.get(slot).map(|member| (member.incarnation, member.state)) else {
            return;
        };
        if suspect.incarnation < known {
            return;
        }
        if let Some(news) = self.suspicions.confirm(slot, &suspect.from) {
            if news {
                self.broadcast(&suspect.node.clone(), &Message::Suspect(suspect));
            }
            return;
        }
        if state != State::Alive {
            return;
        }
        if slot == ME {
            return self.refute(suspect.incarnation);
        }
        let (profile, nodes) = (self.config.profile, self.roster.len());
        let (min, max) = (profile.suspicion_min(nodes), profile.suspicion_max(nodes));
        let suspicion = Suspicion::new(suspect.from.clone(), profile.confirmations(nodes), min, max, turn.now);
        self.suspicions.start(slot, suspicion);
        self.roster.change(slot, |member| {
            member.incarnation = suspect.incarnation;
            member.state = State::Suspect;
            member.since = turn.now;
        });
        self.broadcast(&suspect.node.clone(), &Message::Suspect(suspect));
    }

    /// Who did not object in time is dead.
    pub(super) fn end_suspicions(&mut self, turn: &mut Turn) {
        while let Some(slot) = self.suspicions.ended(turn.now) {
            let Some(member) = self.roster.get(slot).filter(|member| member.state == State::Suspect) else { continue };
            let (incarnation, node) = (member.incarnation, member.name.clone());
            let from = self.my_name();
            self.dead(turn, Dead { incarnation, node, from });
        }
    }

    /// Somebody says that a node is gone.
    pub(super) fn hear_dead(&mut self, turn: &mut Turn, dead: Dead) {
        if self.believable(dead.incarnation, &dead.node, &dead.from) {
            self.dead(turn, dead);
        }
    }

    /// A node is gone. Answers what tells that to everybody, if it is news.
    pub(super) fn dead(&mut self, turn: &mut Turn, dead: Dead) -> Option<Ticket> {
        let slot = self.roster.find(&dead.node)?;
        let member = self.roster.get(slot)?;
        if dead.incarnation < member.incarnation {
            return None;
        }
        let gone = member.state.is_gone();
        self.suspicions.drop(slot);
        if gone {
            return None;
        }
        if slot == ME && !self.is_leaving() {
            self.refute(dead.incarnation);
            return None;
        }
        self.roster.change(slot, |member| {
            member.incarnation = dead.incarnation;
            member.state = if dead.node == dead.from { State::Left } else { State::Dead };
            member.since = turn.now;
        });
        let ticket = self.broadcast(&dead.node.clone(), &Message::Dead(dead));
        if let Some(member) = self.roster.get(slot) {
            if member.state == State::Dead {
                self.obituaries.add(turn.now, slot);
            }
            turn.delegate.notice(turn.now, &Notice::Left(member.clone()));
        }
        Some(ticket)
    }

    /// What was said of this node is not so: a higher incarnation says it.
    fn refute(&mut self, accused: u32) {
        self.roster.change(ME, |me| me.incarnation = me.incarnation.max(accused).saturating_add(1));
        self.awareness.worsen(1);
        self.announce();
    }

    /// Tells everybody what this node says of itself.
    pub(super) fn announce(&mut self) {
        if let Some((name, alive)) = self.me().map(|me| (me.name.clone(), me.alive(me.incarnation))) {
            self.broadcast(&name, &Message::Alive(alive));
        }
    }

    /// What lies above has something else to say of this node.
    pub(super) fn update(&mut self, turn: &mut Turn, meta: Vec<u8>) {
        if self.is_leaving() {
            return;
        }
        if meta.len() > META {
            let node = self.my_name();
            return self.warn(Warning::Unusable { node, why: "it says more of itself than 512 bytes" });
        }
        let changed = self.me().is_some_and(|me| me.meta != meta);
        self.roster.change(ME, |me| {
            me.incarnation = me.incarnation.saturating_add(1);
            me.record = Arc::new(Record { meta, ..(*me.record).clone() });
        });
        self.announce();
        if let Some(me) = self.me().filter(|_| changed) {
            turn.delegate.notice(turn.now, &Notice::Updated(me.clone()));
        }
    }

    /// Whether an accusation can be what a node says: one of the highest incarnation could never be refuted.
    fn believable(&mut self, incarnation: u32, node: &Name, from: &Name) -> bool {
        if node.bytes().len() > NAME || from.bytes().len() > NAME {
            self.warn(Warning::Unusable { node: short(node), why: "its name, or that of who accuses it, is too long" });
            return false;
        }
        if incarnation == u32::MAX {
            self.warn(Warning::Irrefutable(node.clone()));
            return false;
        }
        true
    }
}

/// The name, unless it is as long as only mischief is.
fn short(name: &Name) -> Name {
    Name::from(name.bytes().get(..NAME).unwrap_or(name.bytes()))
}

/// Why nobody can do anything with it.
fn unusable(alive: &Alive) -> Option<&'static str> {
    let nowhere = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast(),
    };
    if alive.node.is_empty() {
        Some("it has no name")
    } else if alive.node.bytes().len() > NAME {
        Some("its name is longer than 512 bytes")
    } else if alive.meta.len() > META {
        Some("it says more of itself than 512 bytes")
    } else if alive.port == 0 || alive.addr.ip().is_none_or(nowhere) {
        Some("it has no address")
    } else if !alive.vsn.is_empty() && versions(&alive.vsn).is_none() {
        Some("what it says of its versions cannot be")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::trial::{Trial, alive, dead, home, suspect};
    use super::super::{Config, Event, LAN, Profile, State, Warning};
    use super::{META, NAME};
    use crate::gossip::Name;
    use crate::gossip::wire::message::{Addr, Alive, Message, VSN};

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn mine(incarnation: u32, meta: &[u8]) -> Alive {
        let addr = Addr(vec![10, 0, 0, 1]);
        Alive { incarnation, node: "me".into(), addr, port: 7946, meta: meta.to_vec(), vsn: VSN.to_vec() }
    }

    #[test]
    fn a_node_begins_with_itself_2_5() {
        let mut trial = Trial::new();
        assert_eq!(trial.state("me"), Some((State::Alive, 1)));
        assert_eq!(trial.news(), [Message::Alive(mine(1, b"mine"))]);
        assert_eq!(trial.notices(), [("joined", "me".into())]);
        assert_eq!(trial.deadline(), None, "alone it waits for nothing");
    }

    #[test]
    fn who_is_not_known_joins_and_is_told_on_2_5() {
        let mut trial = Trial::among(&[]);
        trial.hear(Message::Alive(alive("b", 3)));
        assert_eq!(trial.state("b"), Some((State::Alive, 3)));
        assert_eq!(trial.news(), [Message::Alive(alive("b", 3))]);
        assert_eq!(trial.notices(), [("joined", "b".into())]);
        trial.hear(Message::Alive(alive("c", 0)));
        assert_eq!(trial.state("c"), None);
    }

    #[test]
    fn an_address_goes_on_as_it_came_trap_1() {
        let mut trial = Trial::among(&[]);
        let mapped = Addr([&[0; 10][..], &[0xff, 0xff, 10, 9, 8, 7]].concat());
        trial.hear(Message::Alive(Alive { addr: mapped.clone(), ..alive("b", 1) }));
        let Some(Message::Alive(told)) = trial.news().pop() else { panic!("it is told on") };
        assert_eq!(told.addr, mapped);
        // The same address in its other form is another.
        trial.hear(Message::Alive(Alive { addr: Addr(vec![10, 9, 8, 7]), ..alive("b", 2) }));
        assert_eq!(trial.notices(), [("joined", "b".into()), ("conflict", "b".into())]);
        assert_eq!(trial.state("b"), Some((State::Alive, 1)));
    }

    #[test]
    fn only_what_is_newer_is_believed_of_others_2_5() {
        let mut trial = Trial::among(&["b"]);
        for (incarnation, meta, notices) in [(1, "new", 0), (2, "tags", 0), (3, "new", 1), (2, "tags", 0)] {
            let meta = meta.as_bytes().to_vec();
            trial.hear(Message::Alive(Alive { meta, ..alive("b", incarnation) }));
            assert_eq!(trial.notices().len(), notices, "{incarnation}");
        }
        assert_eq!(trial.state("b"), Some((State::Alive, 3)));
        let Some(Message::Alive(told)) = trial.news().pop() else { panic!("it is told on") };
        assert_eq!((told.incarnation, told.meta), (3, b"new".to_vec()));
    }

    #[test]
    fn a_name_with_another_address_is_a_conflict_2_5() {
        let mut trial = Trial::among(&["b", "c"]);
        let elsewhere = |incarnation| Message::Alive(Alive { port: 1, ..alive("b", incarnation) });
        trial.hear(elsewhere(9));
        assert_eq!(trial.notices(), [("conflict", "b".into())]);
        // The dead keep their name, too, until they are forgotten,
        trial.hear(dead("b", 1, "c"));
        trial.hear(elsewhere(9));
        assert_eq!(trial.notices(), [("failed", "b".into()), ("conflict", "b".into())]);
        // but who left does not, even for a lower incarnation.
        trial.hear(dead("c", 5, "c"));
        trial.hear(Message::Alive(Alive { port: 1, ..alive("c", 1) }));
        assert_eq!(trial.notices(), [("left", "c".into()), ("joined", "c".into())]);
        assert_eq!(trial.swim.member(&"c".into()).map(|member| member.port), Some(1));
        // Nobody takes the name of this node.
        trial.hear(Message::Alive(Alive { port: 1, ..mine(9, b"mine") }));
        assert_eq!(trial.notices(), [("conflict", "me".into())]);
        assert_eq!(trial.state("me"), Some((State::Alive, 1)));
    }

    #[test]
    fn the_name_of_the_dead_can_be_reclaimed_after_a_time_2_5() {
        let profile = Profile { reclaim: Some(secs(5)), ..LAN };
        let mut trial = Trial::with(Config { profile, ..Config::default() });
        trial.hear(Message::Alive(alive("b", 4)));
        trial.hear(dead("b", 4, "c"));
        trial.quiet();
        let elsewhere = Message::Alive(Alive { port: 1, ..alive("b", 1) });
        trial.now = trial.now + secs(5);
        trial.hear(elsewhere.clone());
        trial.now = trial.now + secs(1);
        trial.hear(elsewhere);
        assert_eq!(trial.notices(), [("conflict", "b".into()), ("joined", "b".into())]);
        assert_eq!(trial.state("b"), Some((State::Alive, 1)));
    }

    #[test]
    fn versions_must_be_there_trap_2() {
        let mut trial = Trial::among(&["b"]);
        trial.hear(Message::Alive(Alive { vsn: Vec::new(), ..alive("c", 1) }));
        assert_eq!(trial.state("c"), None);
        assert!(matches!(trial.warnings()[..], [Warning::Unusable { .. }]));
        // Those of one that is known hold on.
        trial.hear(Message::Alive(Alive { vsn: Vec::new(), ..alive("b", 2) }));
        let Some(Message::Alive(told)) = trial.news().pop() else { panic!("it is told on") };
        assert_eq!((told.incarnation, told.vsn), (2, VSN.to_vec()));
        for vsn in [vec![1], vec![0, 5, 2, 2, 5, 5], vec![3, 2, 2, 2, 5, 5]] {
            trial.hear(Message::Alive(Alive { vsn, ..alive("b", 3) }));
        }
        assert_eq!(trial.state("b"), Some((State::Alive, 2)));
    }

    #[test]
    fn what_no_one_can_use_is_not_taken() {
        let mut trial = Trial::among(&[]);
        let long = Name::from(&[b'x'; NAME + 1][..]);
        let zero = Addr(vec![0; 4]);
        for bad in [
            Alive { node: Name::default(), ..alive("b", 1) },
            Alive { node: long.clone(), ..alive("b", 1) },
            Alive { meta: vec![0; META + 1], ..alive("b", 1) },
            Alive { port: 0, ..alive("b", 1) },
            Alive { addr: zero, ..alive("b", 1) },
            Alive { addr: Addr(vec![1; 5]), ..alive("b", 1) },
            Alive { addr: Addr(vec![224, 0, 0, 1]), ..alive("b", 1) },
        ] {
            trial.hear(Message::Alive(bad.clone()));
            assert_eq!(trial.warnings().len(), 1, "{bad:?}");
        }
        assert_eq!((trial.swim.count(), trial.swim.queued()), (1, 0));
    }

    #[test]
    fn there_is_an_end_to_members() {
        let mut trial = Trial::with(Config { members: 3, ..Config::default() });
        ["b", "c", "d"].iter().for_each(|name| trial.hear(Message::Alive(alive(name, 1))));
        assert_eq!((trial.swim.count(), trial.warnings()), (3, vec![Warning::Full("d".into())]));
        trial.hear(dead("b", 1, "b"));
        trial.now = trial.now + LAN.gossip_to_the_dead + secs(1);
        trial.hear(Message::Alive(alive("d", 1)));
        assert_eq!(trial.state("d"), Some((State::Alive, 1)));
        assert_eq!(trial.state("b"), None);
    }

    #[test]
    fn warnings_have_an_end() {
        let mut trial = Trial::new();
        (0..1000).for_each(|_| trial.hear(Message::Alive(Alive { port: 0, ..alive("b", 1) })));
        assert_eq!(trial.warnings().len(), super::super::machine::WARNINGS);
        trial.hear(Message::Alive(Alive { port: 0, ..alive("b", 1) }));
        assert_eq!(trial.warnings().len(), 1);
    }

    #[test]
    fn what_is_said_of_this_node_is_refuted_if_it_is_not_so_2_5() {
        for (message, incarnation) in [
            (Message::Alive(mine(1, b"mine")), None),
            (Message::Alive(mine(0, b"other")), None),
            (Message::Alive(mine(1, b"other")), Some(2)),
            (Message::Alive(Alive { vsn: vec![1, 5, 2, 2, 5, 4], ..mine(1, b"mine") }), Some(2)),
            (Message::Alive(mine(7, b"mine")), Some(8)),
            (suspect("me", 1, "b"), Some(2)),
            (suspect("me", 5, "b"), Some(6)),
            (suspect("me", 0, "b"), None),
            (dead("me", 1, "b"), Some(2)),
            (dead("me", 9, "me"), Some(10)),
            (dead("me", 0, "b"), None),
        ] {
            let mut trial = Trial::among(&["b"]);
            trial.hear(message.clone());
            assert_eq!(trial.state("me"), Some((State::Alive, incarnation.unwrap_or(1))), "{message:?}");
            let told: Vec<_> =
                incarnation.map(|incarnation| Message::Alive(mine(incarnation, b"mine"))).into_iter().collect();
            assert_eq!((trial.news(), trial.swim.health_score()), (told, u32::from(incarnation.is_some())));
            assert_eq!(trial.notices(), []);
        }
    }

    #[test]
    fn the_highest_incarnation_accuses_nobody() {
        let mut trial = Trial::among(&["b"]);
        trial.hear(suspect("b", u32::MAX, "c"));
        trial.hear(dead("me", u32::MAX, "c"));
        assert_eq!(trial.warnings(), [Warning::Irrefutable("b".into()), Warning::Irrefutable("me".into())]);
        trial.hear(suspect("me", u32::MAX - 1, "c"));
        assert_eq!(trial.state("me"), Some((State::Alive, u32::MAX)));
        assert_eq!(trial.state("b"), Some((State::Alive, 1)));
    }

    #[test]
    fn a_suspect_that_does_not_object_is_dead_2_4_2_5() {
        let mut trial = Trial::among(&["b", "c", "d"]);
        trial.hear(suspect("b", 0, "c"));
        trial.hear(suspect("x", 1, "c"));
        assert_eq!(trial.news(), []);
        trial.hear(suspect("b", 2, "c"));
        assert_eq!(trial.state("b"), Some((State::Suspect, 2)));
        assert_eq!(trial.news(), [suspect("b", 2, "c")]);
        // Four nodes: two can confirm, so it lasts 24 s.
        let before = trial.now + secs(24) - Duration::from_millis(1);
        trial.now = before;
        trial.handle(Event::Tick);
        assert_eq!(trial.state("b"), Some((State::Suspect, 2)));
        trial.now = before + Duration::from_millis(1);
        trial.handle(Event::Tick);
        assert_eq!(trial.state("b"), Some((State::Dead, 2)));
        assert!(trial.news().contains(&dead("b", 2, "me")));
        assert_eq!(trial.notices(), [("failed", "b".into())]);
    }

    #[test]
    fn who_confirms_shortens_a_suspicion_and_is_told_on_once_2_4() {
        let mut trial = Trial::among(&["b", "c", "d", "e"]);
        for (from, told) in [("c", true), ("c", false), ("d", true), ("d", false), ("e", true), ("f", false)] {
            trial.swim.queue = Default::default();
            trial.hear(suspect("b", 1, from));
            assert_eq!(trial.news().len(), usize::from(told), "{from}");
        }
        trial.now = trial.now + secs(4);
        trial.handle(Event::Tick);
        assert_eq!(trial.state("b"), Some((State::Dead, 1)));
    }

    #[test]
    fn an_objection_ends_a_suspicion_2_5() {
        let mut trial = Trial::among(&["b", "c", "d"]);
        trial.hear(suspect("b", 1, "c"));
        trial.hear(Message::Alive(alive("b", 1)));
        assert_eq!(trial.state("b"), Some((State::Suspect, 1)));
        trial.hear(Message::Alive(alive("b", 2)));
        assert_eq!(trial.state("b"), Some((State::Alive, 2)));
        assert_eq!(trial.news(), [Message::Alive(alive("b", 2))], "it takes the place of the accusation");
        assert_eq!(trial.swim.suspicions.deadline(), None);
        assert_eq!(trial.notices(), [], "nobody above hears of a suspicion");
    }

    #[test]
    fn the_dead_and_the_left_2_5() {
        let mut trial = Trial::among(&["b", "c"]);
        trial.hear(dead("b", 0, "c"));
        trial.hear(dead("x", 1, "c"));
        assert_eq!((trial.news(), trial.notices()), (vec![], vec![]));
        trial.hear(suspect("b", 1, "c"));
        trial.hear(dead("b", 1, "c"));
        assert_eq!(trial.state("b"), Some((State::Dead, 1)));
        assert_eq!(trial.swim.suspicions.deadline(), None);
        trial.hear(dead("c", 3, "c"));
        assert_eq!(trial.state("c"), Some((State::Left, 3)));
        assert_eq!(trial.notices(), [("failed", "b".into()), ("left", "c".into())]);
        // Dead is dead, and no suspect.
        trial.quiet();
        trial.hear(dead("b", 9, "b"));
        trial.hear(suspect("c", 9, "b"));
        assert_eq!((trial.state("b"), trial.state("c")), (Some((State::Dead, 1)), Some((State::Left, 3))));
        assert_eq!((trial.news(), trial.notices()), (vec![], vec![]));
        // Both can come back.
        trial.hear(Message::Alive(alive("b", 2)));
        trial.hear(Message::Alive(alive("c", 3)));
        trial.hear(Message::Alive(alive("c", 4)));
        assert_eq!(trial.notices(), [("joined", "b".into()), ("joined", "c".into())]);
    }

    #[test]
    fn other_tags_are_another_incarnation_2_5() {
        let mut trial = Trial::among(&["b"]);
        trial.handle(Event::UpdateMeta(b"new".to_vec()));
        assert_eq!(trial.news(), [Message::Alive(mine(2, b"new"))]);
        assert_eq!(trial.notices(), [("updated", "me".into())]);
        trial.handle(Event::UpdateMeta(vec![0; META + 1]));
        assert_eq!(trial.state("me"), Some((State::Alive, 2)));
        assert_eq!(trial.warnings().len(), 1);
    }

    #[test]
    fn who_is_not_gone_is_not_forgotten() {
        let mut trial = Trial::among(&["b"]);
        trial.hear(Message::Alive(alive("b", 2)));
        trial.now = trial.now + secs(3600);
        trial.swim.roster.forget(trial.now, secs(1));
        assert_eq!(trial.state("b"), Some((State::Alive, 2)));
        assert_eq!(trial.swim.member(&"b".into()).and_then(|member| member.socket()), Some(home("b")));
    }
}
