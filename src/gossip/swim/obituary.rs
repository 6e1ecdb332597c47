//! Obituaries that may be wrong: who is held failed is told so again and again, and who tells what is old news is set right.
//!
//! memberlist tells it by chance alone, among the news and as long as those go (section 2.6): a datagram lost at the wrong moment
//! leaves somebody with a wrong belief until everything is exchanged, which takes up to half a minute and more.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::machine::{Swim, Turn};
use super::member::{Member, State};
use super::roster::{Roster, Slot};
use crate::gossip::wire::message::{Dead, Message};
use crate::gossip::{Dice, Name};
use crate::unit::Time;

/// So many datagrams all nodes together send to one that failed, in a probe interval.
const REMINDERS: f64 = 3.0;
/// So many obituaries go with a ping at most.
const CARRIED: usize = 2;
/// So many are kept at most, the newest.
const KEPT: usize = 1024;
/// So many others are set right at most, in a probe interval.
const CORRECTIONS: u32 = 8;

/// Who failed a short while ago.
#[derive(Clone, Debug)]
pub(super) struct Obituaries {
    /// The longest ago first. Those who came back meanwhile are still there.
    failed: VecDeque<(Time, Slot)>,
    /// When they are reminded.
    at: Time,
    /// Since when corrections are counted, and how many there were.
    corrected: (Time, u32),
}

impl Obituaries {
    pub fn new(now: Time) -> Obituaries {
        Obituaries { failed: VecDeque::new(), at: now, corrected: (now, 0) }
    }

    /// When something is to be done.
    pub fn deadline(&self) -> Option<Time> {
        (!self.failed.is_empty()).then_some(self.at)
    }

    /// Somebody failed now.
    pub fn add(&mut self, now: Time, slot: Slot) {
        if self.failed.is_empty() {
            self.at = now;
        }
        if self.failed.len() >= KEPT {
            self.failed.pop_front();
        }
        self.failed.push_back((now, slot));
    }

    fn forget(&mut self, now: Time, keep: Duration) {
        while self.failed.front().is_some_and(|(since, _)| now.since(*since) > keep) {
            self.failed.pop_front();
        }
    }

    /// So many of them, from a chance one on.
    fn some<'a>(&self, count: usize, roster: &'a Roster, dice: &mut dyn Dice) -> Vec<&'a Member> {
        let first = if self.failed.len() > count { dice.below(self.failed.len()) } else { 0 };
        let all = self.failed.iter().cycle().skip(first).take(count.min(self.failed.len()));
        let still = |(since, slot): &(Time, Slot)| {
            roster.get(*slot).filter(|member| member.state == State::Dead && member.since == *since)
        };
        all.filter_map(still).collect()
    }

    /// Whether one more may be set right.
    fn may_correct(&mut self, now: Time, every: Duration) -> bool {
        let (since, count) = self.corrected;
        self.corrected = if now.since(since) >= every { (now, 1) } else { (since, count.saturating_add(1)) };
        self.corrected.1 <= CORRECTIONS
    }
}

impl Swim {
    /// Tells some of those who failed that this node believes so, for them to object: each of them hears as much in a large
    /// cluster as in a small one.
    pub(super) fn remind(&mut self, turn: &mut Turn) {
        if self.obituaries.deadline().is_none_or(|at| at > turn.now) {
            return;
        }
        let profile = self.config.profile;
        self.obituaries.forget(turn.now, profile.gossip_to_the_dead);
        self.obituaries.at = turn.now + profile.probe_interval;
        let each = (REMINDERS / self.roster.len() as f64).min(1.0);
        let wanted = self.obituaries.failed.len() as f64 * each;
        let count = wanted as usize + usize::from(turn.dice.fraction() < wanted.fract());
        let from = self.my_name();
        let mut sends = Vec::new();
        for member in self.obituaries.some(count, &self.roster, turn.dice) {
            sends.extend(member.socket().map(|to| (to, member.protocol_max(), obituary(member, &from))));
        }
        for (to, node_pmax, part) in sends {
            self.send(to, Some(node_pmax), vec![part]);
        }
    }

    /// Obituaries that go with a ping: whoever knows better answers with that.
    pub(super) fn carried(&self, turn: &mut Turn) -> Vec<Vec<u8>> {
        let from = self.my_name();
        let some = self.obituaries.some(CARRIED, &self.roster, turn.dice);
        some.into_iter().map(|member| obituary(member, &from)).collect()
    }

    /// One that is held failed asks something: it is told so, where it is now. It may have come back at another address, where nobody
    /// else looks for it.
    pub(super) fn mourned(&mut self, turn: &mut Turn, to: SocketAddr, name: &Name) {
        let Some(member) = self.member(name).filter(|member| member.state == State::Dead) else { return };
        let (part, node_pmax) = (obituary(member, &self.my_name()), member.protocol_max());
        if self.obituaries.may_correct(turn.now, self.config.profile.probe_interval) {
            self.send(to, Some(node_pmax), vec![part]);
        }
    }

    /// A member says itself what is old news of one that is there: it is told the newer. A rumour that others pass on is not
    /// answered, so no more goes back than came.
    pub(super) fn set_right(&mut self, turn: &mut Turn, to: SocketAddr, from: &Name, node: &Name, incarnation: u32) {
        let Some(member) = self.member(node) else { return };
        if member.state != State::Alive || incarnation >= member.incarnation || from == node {
            return;
        }
        let Some(accuser) = self.member(from) else { return };
        if accuser.socket() != Some(to) {
            return;
        }
        let (news, node_pmax) = (Message::Alive(member.alive(member.incarnation)).encode(), accuser.protocol_max());
        if self.obituaries.may_correct(turn.now, self.config.profile.probe_interval) {
            self.send(to, Some(node_pmax), vec![news]);
        }
    }
}

/// What says that it is gone.
fn obituary(member: &Member, from: &Name) -> Vec<u8> {
    Message::Dead(Dead { incarnation: member.incarnation, node: member.name.clone(), from: from.clone() }).encode()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::trial::{Trial, alive, dead, home, suspect};
    use super::super::{Action, Event, LAN, State};
    use super::{CORRECTIONS, KEPT};
    use crate::gossip::wire::message::{Alive, Message, Ping, Source};

    /// How often each of these is sent straight to `b`, and to whom else.
    fn told(actions: &[(crate::unit::Time, Action)]) -> usize {
        let to_b = |action: &Action| {
            matches!(action, Action::Send { to, parts, .. }
                if *to == home("b") && parts.len() == 1 && Message::decode(&parts[0]) == Ok(dead("b", 1, "me")))
        };
        actions.iter().filter(|(_, action)| to_b(action)).count()
    }

    #[test]
    fn who_failed_is_told_so_by_each_of_few() {
        let mut trial = Trial::among(&["b", "c"]);
        trial.hear(dead("b", 1, "x"));
        trial.quiet();
        assert_eq!(trial.deadline(), Some(trial.now), "at once");
        // Three nodes, and three datagrams an interval from all of them.
        assert_eq!(told(&trial.pass(LAN.gossip_to_the_dead)), 31);
        assert_eq!(told(&trial.pass(LAN.gossip_to_the_dead)), 0);
        assert_eq!(trial.swim.obituaries.deadline(), None);
    }

    #[test]
    fn many_together_tell_it_as_often_as_few() {
        let mut trial = Trial::new();
        for number in 0..300 {
            trial.hear(Message::Alive(Alive { node: format!("n{number}").as_str().into(), ..alive("z", 1) }));
        }
        trial.hear(Message::Alive(alive("b", 1)));
        trial.hear(dead("b", 1, "x"));
        trial.quiet();
        let slot = trial.swim.roster.find(&"b".into()).expect("it is known");
        let mut times = 0;
        for _ in 0..2000 {
            // It has failed just now, and nothing else happens.
            trial.swim.obituaries = super::Obituaries::new(trial.now);
            trial.swim.obituaries.add(trial.now, slot);
            let now = trial.now;
            trial.swim.roster.change(slot, |member| member.since = now);
            trial.swim.probe_at = trial.now + Duration::from_secs(1);
            trial.handle(Event::Tick);
            times += trial.sent().iter().filter(|(to, _)| *to == home("b")).count();
        }
        // 2000 rounds x 3 / 302 nodes.
        assert!((10..=30).contains(&times), "{times}");
    }

    #[test]
    fn who_came_back_or_left_is_told_nothing() {
        let mut trial = Trial::among(&["b", "c"]);
        trial.hear(dead("c", 1, "c"));
        trial.hear(dead("b", 1, "x"));
        trial.hear(Message::Alive(alive("b", 2)));
        trial.quiet();
        assert_eq!(told(&trial.pass(Duration::from_secs(5))), 0);
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let mut trial = Trial::among(&["b"]);
        for incarnation in 1..3000 {
            trial.hear(dead("b", incarnation, "x"));
            trial.hear(Message::Alive(alive("b", incarnation + 1)));
        }
        assert_eq!(trial.swim.obituaries.failed.len(), KEPT);
    }

    #[test]
    fn a_ping_carries_who_failed() {
        let mut trial = Trial::among(&["b", "c"]);
        trial.hear(dead("b", 1, "x"));
        trial.quiet();
        let actions = trial.pass(Duration::from_secs(1));
        let ping = actions.iter().find_map(|(_, action)| match action {
            Action::Send { to, parts, .. } if *to == home("c") => Some(parts.clone()),
            _ => None,
        });
        let [ping, obituary] = &ping.expect("a ping")[..] else { panic!("two parts") };
        assert!(matches!(Message::decode(ping), Ok(Message::Ping(Ping { .. }))));
        assert_eq!(Message::decode(obituary), Ok(dead("b", 1, "me")));
    }

    #[test]
    fn who_says_what_is_old_news_is_told_the_newer() {
        let mut trial = Trial::among(&["c"]);
        trial.hear(Message::Alive(alive("b", 3)));
        trial.quiet();
        let answer = [(home("c"), vec![Message::Alive(alive("b", 3))])];
        for old in [suspect("b", 2, "c"), dead("b", 2, "c")] {
            trial.hear_from(home("c"), old.clone());
            assert_eq!(trial.sent(), answer);
            // A rumour is not answered, nor is a stranger.
            trial.hear_from(home("d"), old.clone());
            trial.hear_from(home("b"), old);
            assert_eq!(trial.sent(), []);
        }
        assert_eq!(trial.state("b"), Some((State::Alive, 3)));
        // Of this node, too.
        let mine = Message::Alive(trial.swim.me().expect("it knows").alive(1));
        trial.hear_from(home("c"), dead("me", 0, "c"));
        assert_eq!(trial.sent(), [(home("c"), vec![mine])]);
        // What is as new is heard, and who is gone has nobody who objects.
        trial.hear_from(home("c"), dead("b", 3, "c"));
        trial.quiet();
        trial.hear_from(home("c"), dead("b", 2, "c"));
        assert_eq!(trial.sent(), []);
    }

    #[test]
    fn one_that_failed_and_asks_from_elsewhere_is_told_so_there() {
        let mut trial = Trial::among(&["b", "c"]);
        trial.hear(dead("b", 1, "x"));
        trial.quiet();
        let (elsewhere, addr) = ("192.0.2.99:7".parse().expect("an address"), alive("b", 1).addr);
        let ping = |node: &str| {
            let source = Some(Source { addr: addr.clone(), port: 0, node: node.into() });
            Message::Ping(Ping { seq: 1, node: "me".into(), source })
        };
        trial.hear_from(elsewhere, ping("b"));
        let answer = trial.sent();
        assert!(matches!(&answer[..], [(to, ack), (there, told)] if *to == elsewhere && *there == elsewhere
            && matches!(ack[..], [Message::Ack(_)]) && told[..] == [dead("b", 1, "me")]));
        for other in ["c", "x"] {
            trial.hear_from(elsewhere, ping(other));
            assert_eq!(trial.sent().len(), 1, "the answer alone");
        }
    }

    #[test]
    fn corrections_are_few_however_much_comes() {
        let mut trial = Trial::among(&["c"]);
        trial.hear(Message::Alive(alive("b", 3)));
        trial.quiet();
        let flood = |trial: &mut Trial| {
            (0..1000).for_each(|_| trial.hear_from(home("c"), suspect("b", 1, "c")));
            trial.sent().len()
        };
        assert_eq!(flood(&mut trial), CORRECTIONS as usize);
        trial.now = trial.now + LAN.probe_interval;
        assert_eq!(flood(&mut trial), CORRECTIONS as usize);
        trial.handle(Event::Tick);
    }
}
