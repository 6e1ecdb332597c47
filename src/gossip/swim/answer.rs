//! Being probed: for oneself, and for others who ask (section 1.3).

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use super::event::Warning;
use super::machine::{Swim, Turn};
use crate::gossip::wire::message::{Ack, IndirectPing, Message, Nack, Ping, Source};
use crate::gossip::{Dice, Name};
use crate::unit::Time;

/// How many others' pings are under way at most.
const RELAYS: usize = 1024;

/// Somebody waits for an answer that we wait for.
#[derive(Clone, Debug)]
struct Relay {
    to: SocketAddr,
    node: Option<Name>,
    seq: u32,
    nack: bool,
}

/// Others' pings that are under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Relays {
    waiting: HashMap<u32, Relay>,
    /// All of them take equally long, so the first ends first. Those answered are still there.
    ends: VecDeque<(Time, u32)>,
}

impl Relays {
    pub fn deadline(&self) -> Option<Time> {
        self.ends.front().map(|(at, _)| *at)
    }

    /// What waits for this answer no more.
    fn answered(&mut self, seq: u32) -> Option<Relay> {
        let relay = self.waiting.remove(&seq)?;
        while self.ends.front().is_some_and(|(_, seq)| !self.waiting.contains_key(seq)) {
            self.ends.pop_front();
        }
        Some(relay)
    }

    fn ended(&mut self, now: Time) -> Option<Relay> {
        while let Some((at, seq)) = self.ends.front().copied() {
            if at > now {
                return None;
            }
            self.ends.pop_front();
            if let Some(relay) = self.waiting.remove(&seq) {
                return Some(relay);
            }
        }
        None
    }
}

impl Swim {
    /// The answer to a ping over a stream; nothing if it is meant for somebody else.
    pub fn answer(&self, ping: &Ping) -> Option<Ack> {
        self.is_me(&ping.node).then(|| Ack { seq: ping.seq, payload: Vec::new() })
    }

    pub(super) fn pinged(&mut self, turn: &mut Turn, from: SocketAddr, ping: Ping) {
        let Ping { seq, node, source } = ping;
        if !self.is_me(&node) {
            return self.warn(Warning::Misdirected { from, node });
        }
        let (to, name) = asker(from, source);
        let payload = turn.delegate.ack_payload();
        self.tell(turn, to, name.as_ref(), &Message::Ack(Ack { seq, payload }));
        if let Some(name) = name {
            self.mourned(turn, to, &name);
        }
    }

    pub(super) fn asked_to_ping(&mut self, turn: &mut Turn, from: SocketAddr, ping: IndirectPing) {
        let IndirectPing { seq, target, port, node, nack, source } = ping;
        let Some((my_port, my_source)) = self.me().map(|me| (me.port, source_of(me))) else { return };
        let Some(there) = target.socket(if port == 0 { my_port } else { port }) else { return };
        if self.relays.ends.len() >= RELAYS {
            return self.warn(Warning::TooManyRelays);
        }
        let (to, name) = asker(from, source);
        let mine = self.fresh(turn.dice);
        self.relays.waiting.insert(mine, Relay { to, node: name, seq, nack });
        self.relays.ends.push_back((turn.now + self.config.profile.probe_timeout, mine));
        let ping = Ping { seq: mine, node: node.clone(), source: Some(my_source) };
        self.tell(turn, there, Some(&node), &Message::Ping(ping));
    }

    /// An ack for somebody else.
    pub(super) fn relay(&mut self, turn: &mut Turn, seq: u32) {
        if let Some(relay) = self.relays.answered(seq) {
            let ack = Ack { seq: relay.seq, payload: Vec::new() };
            self.tell(turn, relay.to, relay.node.as_ref(), &Message::Ack(ack));
        }
    }

    pub(super) fn end_relays(&mut self, turn: &mut Turn) {
        while let Some(relay) = self.relays.ended(turn.now) {
            if relay.nack {
                self.tell(turn, relay.to, relay.node.as_ref(), &Message::Nack(Nack { seq: relay.seq }));
            }
        }
    }

    /// A sequence number that nothing waits for. Chance, so that a stranger cannot answer for somebody who is dead.
    pub(super) fn fresh(&self, dice: &mut dyn Dice) -> u32 {
        let taken =
            |seq| self.relays.waiting.contains_key(&seq) || self.probe.as_ref().is_some_and(|probe| probe.is(seq));
        let mut seq = dice.next() as u32;
        while taken(seq) {
            seq = seq.wrapping_add(1);
        }
        seq
    }

    fn is_me(&self, name: &Name) -> bool {
        name.is_empty() || self.me().is_some_and(|me| me.name == *name)
    }
}

/// What a member says for the answer to find it.
pub(super) fn source_of(me: &super::Record) -> Source {
    Source { addr: me.addr.clone(), port: me.port, node: me.name.clone() }
}

/// Where the answer goes, and to whom.
fn asker(from: SocketAddr, source: Option<Source>) -> (SocketAddr, Option<Name>) {
    let Some(source) = source else { return (from, None) };
    let to = if source.port == 0 { None } else { source.addr.socket(source.port) };
    (to.unwrap_or(from), Some(source.node))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::super::trial::{PORT, Trial, alive, home};
    use super::super::{Event, Warning};
    use super::RELAYS;
    use crate::gossip::wire::message::{Ack, Addr, IndirectPing, Message, Nack, Ping, Source};

    fn source(name: &str) -> Option<Source> {
        Some(Source { addr: alive(name, 1).addr, port: PORT, node: name.into() })
    }

    fn indirect(seq: u32) -> Message {
        let (target, node) = (alive("c", 1).addr, "c".into());
        Message::IndirectPing(IndirectPing { seq, target, port: PORT, node, nack: true, source: source("b") })
    }

    #[test]
    fn a_ping_is_answered_to_who_asks_1_3() {
        let mut trial = Trial::among(&["b"]);
        let there: SocketAddr = "192.0.2.7:77".parse().expect("an address");
        for (node, source, to) in [
            ("me", None, there),
            ("", None, there),
            ("me", source("b"), home("b")),
            ("me", Some(Source { port: 0, ..source("b").expect("some") }), there),
            ("me", Some(Source { addr: Addr(vec![1]), ..source("b").expect("some") }), there),
        ] {
            trial.hear_from(there, Message::Ping(Ping { seq: 7, node: node.into(), source }));
            assert_eq!(trial.sent(), [(to, vec![Message::Ack(Ack { seq: 7, payload: b"place".to_vec() })])]);
        }
        trial.hear_from(there, Message::Ping(Ping { seq: 7, node: "you".into(), source: None }));
        assert_eq!(trial.warnings(), [Warning::Misdirected { from: there, node: "you".into() }]);
    }

    #[test]
    fn news_go_with_the_answer_to_a_member_alone() {
        let mut trial = Trial::among(&["b"]);
        trial.hear(Message::Alive(alive("d", 1)));
        trial.hear(Message::Ping(Ping { seq: 1, node: "me".into(), source: source("b") }));
        assert!(matches!(&trial.sent()[0].1[..], [Message::Ack(_), Message::Alive(_)]));
        // A stranger, and a stranger who says to be b.
        let elsewhere = Source { port: 1, ..source("b").expect("some") };
        for source in [None, source("x"), Some(elsewhere)] {
            trial.hear(Message::Ping(Ping { seq: 1, node: "me".into(), source }));
            assert!(matches!(&trial.sent()[0].1[..], [Message::Ack(_)]));
        }
        assert_eq!(trial.swim.queued(), 1);
    }

    #[test]
    fn a_ping_over_a_stream_is_answered_1_4() {
        let trial = Trial::new();
        let ping = |node: &str| Ping { seq: 3, node: node.into(), source: None };
        assert_eq!(trial.swim.answer(&ping("me")), Some(Ack { seq: 3, payload: Vec::new() }));
        assert_eq!(trial.swim.answer(&ping("you")), None);
    }

    #[test]
    fn an_ack_for_somebody_else_is_passed_on_1_3() {
        let mut trial = Trial::among(&["b", "c"]);
        trial.hear(indirect(7));
        let sent = trial.sent();
        let [(to, messages)] = &sent[..] else { panic!("{sent:?}") };
        let [Message::Ping(ping)] = &messages[..] else { panic!("{messages:?}") };
        assert_eq!((*to, &ping.node), (home("c"), &"c".into()));
        assert_eq!(ping.source.as_ref().map(|source| source.node.clone()), Some("me".into()));
        for _ in 0..2 {
            trial.hear_from(home("c"), Message::Ack(Ack { seq: ping.seq, payload: b"place".to_vec() }));
        }
        // Once, with the number of who asked.
        assert_eq!(trial.sent(), [(home("b"), vec![Message::Ack(Ack { seq: 7, payload: Vec::new() })])]);
        assert_eq!(trial.swim.relays.deadline(), None);
    }

    #[test]
    fn silence_is_passed_on_if_asked_for_1_3() {
        for nack in [true, false] {
            let mut trial = Trial::among(&["b", "c"]);
            let Message::IndirectPing(ping) = indirect(7) else { unreachable!() };
            trial.hear(Message::IndirectPing(IndirectPing { nack, ..ping }));
            trial.sent();
            trial.now = trial.now + Duration::from_millis(500);
            trial.swim.probe_at = trial.now + Duration::from_secs(1);
            trial.handle(Event::Tick);
            let nacks = if nack { vec![(home("b"), vec![Message::Nack(Nack { seq: 7 })])] } else { Vec::new() };
            assert_eq!(trial.sent(), nacks);
        }
    }

    #[test]
    fn an_old_node_means_the_same_port_1_3() {
        let mut trial = Trial::among(&["b", "c"]);
        let Message::IndirectPing(ping) = indirect(7) else { unreachable!() };
        trial.hear(Message::IndirectPing(IndirectPing { port: 0, ..ping.clone() }));
        assert_eq!(trial.sent()[0].0, home("c"));
        trial.hear(Message::IndirectPing(IndirectPing { target: Addr(Vec::new()), ..ping }));
        assert_eq!(trial.sent(), []);
    }

    #[test]
    fn a_flood_of_questions_is_bounded() {
        let mut trial = Trial::among(&["b", "c"]);
        (0..100_000).for_each(|seq| trial.hear(indirect(seq)));
        assert_eq!(trial.swim.relays.waiting.len(), RELAYS);
        assert_eq!(trial.sent().len(), RELAYS);
        trial.now = trial.now + Duration::from_millis(500);
        trial.handle(Event::Tick);
        assert_eq!((trial.swim.relays.waiting.len(), trial.swim.relays.ends.len()), (0, 0));
    }
}
