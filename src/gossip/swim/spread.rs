//! Gossip: who is told the news, and what fits in a datagram (sections 1.2 and 2.6).

use std::net::SocketAddr;

use super::broadcast::{Ticket, retransmit_limit};
use super::event::Action;
use super::machine::{Swim, Turn};
use super::member::State;
use crate::gossip::Name;
use crate::gossip::wire::message::{Message, kind};

/// The bytes of a compound message besides its parts.
const COMPOUND: usize = 2;
/// The bytes of a part besides itself.
const PART: usize = 2;
/// The bytes that encryption adds.
const ENCRYPTION: usize = 29;
/// How many parts real agents understand.
const PARTS: usize = 127;

impl Swim {
    /// Tells some others what is new.
    pub(super) fn gossip(&mut self, turn: &mut Turn) {
        if self.queue.is_empty() && !turn.delegate.pending() {
            return;
        }
        let (now, profile) = (turn.now, self.config.profile);
        let hears = |state, since| match state {
            State::Alive | State::Suspect => true,
            State::Dead => now.since(since) <= profile.gossip_to_the_dead,
            State::Left => false,
        };
        for slot in self.roster.pick(profile.gossip_nodes, turn.dice, |_, member| hears(member.state, member.since)) {
            let Some(member) = self.roster.get(slot) else { continue };
            let (to, node_pmax) = (member.socket(), member.protocol_max());
            let parts = self.fill(turn, Vec::new());
            if parts.is_empty() {
                return;
            }
            if let Some(to) = to {
                self.send(to, Some(node_pmax), parts);
            }
        }
    }

    /// Sends a message; to a member with what is new, as far as that fits. A stranger, who may be not even where it says, hears
    /// no news: those are sent only so often, and would be lost.
    pub(super) fn tell(&mut self, turn: &mut Turn, to: SocketAddr, name: Option<&Name>, message: &Message) {
        let first = vec![message.encode()];
        let member = name.and_then(|name| self.member(name));
        let known = member.is_some_and(|member| member.socket() == Some(to));
        let parts = if known { self.fill(turn, first) } else { first };
        self.send(to, None, parts);
    }

    pub(super) fn send(&mut self, to: SocketAddr, node_pmax: Option<u8>, mut parts: Vec<Vec<u8>>) {
        while parts.len() > PARTS {
            let rest = parts.split_off(PARTS);
            self.act(Action::Send { to, node_pmax, parts });
            parts = rest;
        }
        if !parts.is_empty() {
            self.act(Action::Send { to, node_pmax, parts });
        }
    }

    /// The parts, and what is new, as far as it fits: this room's before what lies above.
    pub(super) fn fill(&mut self, turn: &mut Turn, mut parts: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let around = COMPOUND + if self.config.encrypted { ENCRYPTION } else { 0 };
        let used = |parts: &[Vec<u8>]| around + parts.iter().map(|part| PART + part.len()).sum::<usize>();
        let limit = retransmit_limit(self.config.profile.retransmit_multiplier, self.roster.len());
        let room = self.config.datagram.saturating_sub(used(&parts));
        parts.extend(self.queue.take(PART, room, limit));
        let room = self.config.datagram.saturating_sub(used(&parts));
        if room > PART + 1 {
            let above = turn.delegate.broadcasts(PART + 1, room);
            let messages = above.into_iter().filter(|message| !message.is_empty());
            parts.extend(messages.map(|message| [&[kind::USER], message.as_slice()].concat()));
        }
        parts
    }

    /// News about a node; takes the place of what else there was about it.
    pub(super) fn broadcast(&mut self, about: &Name, message: &Message) -> Ticket {
        let ticket = self.queue.push(Some(about.clone()), message.encode());
        // One about each member, and about those that were forgotten meanwhile.
        self.queue.prune(self.config.members.saturating_mul(2));
        ticket
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::obituary::Obituaries;
    use super::super::trial::{Trial, alive, dead, home};
    use super::super::{Action, Config, Event, LAN};
    use crate::gossip::wire::message::{Alive, Message};

    fn sizes(actions: &[Action]) -> Vec<usize> {
        let size = |action: &Action| match action {
            Action::Send { parts, .. } => Some(2 + parts.iter().map(|part| 2 + part.len()).sum::<usize>()),
            _ => None,
        };
        actions.iter().filter_map(size).collect()
    }

    fn gossip(trial: &mut Trial) -> Vec<Action> {
        let super::Swim { gossip_at, probe_at, push_pull_at, .. } = &mut trial.swim;
        *gossip_at = trial.now;
        *probe_at = trial.now + Duration::from_secs(100);
        *push_pull_at = *probe_at;
        trial.swim.obituaries = Obituaries::new(trial.now);
        trial.handle(Event::Tick);
        trial.actions()
    }

    #[test]
    fn news_go_to_some_until_it_was_said_often_enough_2_6() {
        let mut trial = Trial::among(&["b", "c", "d", "e"]);
        trial.hear(Message::Alive(alive("f", 1)));
        let mut times = 0;
        loop {
            let sent = gossip(&mut trial);
            if sent.is_empty() {
                break;
            }
            assert!(sent.len() <= LAN.gossip_nodes);
            times += sent.len();
        }
        assert_eq!(times, 4, "4 x ceil(log10(6 + 1))");
        // And then there is nothing to wake up for but probes.
        assert!(trial.deadline().is_some_and(|at| at >= trial.swim.probe_at));
    }

    #[test]
    fn a_receiver_of_gossip_is_known_trap_7() {
        let mut trial = Trial::among(&["b"]);
        trial.hear(Message::Alive(alive("b", 2)));
        let sent = gossip(&mut trial);
        assert!(matches!(&sent[..], [Action::Send { to, node_pmax: Some(5), .. }] if *to == home("b")));
    }

    #[test]
    fn the_dead_hear_news_for_a_while_and_the_left_do_not_2_6() {
        let mut trial = Trial::among(&["b", "c"]);
        trial.hear(dead("b", 1, "x"));
        trial.hear(dead("c", 1, "c"));
        trial.now = trial.now + LAN.gossip_to_the_dead;
        let sent = gossip(&mut trial);
        assert!(matches!(&sent[..], [Action::Send { to, .. }] if *to == home("b")), "{sent:?}");
        trial.now = trial.now + Duration::from_nanos(1);
        assert_eq!(gossip(&mut trial), []);
        assert_eq!(trial.swim.queued(), 2);
    }

    #[test]
    fn a_datagram_holds_1400_bytes_and_29_less_if_encrypted_1_2() {
        for (encrypted, most) in [(false, 1400), (true, 1371)] {
            let mut trial = Trial::with(Config { encrypted, ..Config::default() });
            for name in 'a'..='y' {
                let meta = vec![0; 300];
                trial.hear(Message::Alive(Alive { meta, ..alive(&name.to_string(), 1) }));
            }
            // What is above gets what is left.
            trial.above.news = vec![vec![7; 30]; 1000];
            let sizes = sizes(&gossip(&mut trial));
            assert!(sizes.len() == 3 && sizes.iter().all(|size| (most - 33..=most).contains(size)), "{sizes:?}");
        }
    }

    #[test]
    fn more_than_127_parts_are_two_datagrams_trap_4() {
        let mut trial = Trial::among(&["b"]);
        trial.above.news = vec![vec![7; 1]; 200];
        let counts: Vec<_> = gossip(&mut trial)
            .iter()
            .filter_map(|action| if let Action::Send { parts, .. } = action { Some(parts.len()) } else { None })
            .collect();
        assert_eq!(counts, [127, 73]);
    }

    #[test]
    fn no_part_is_empty_trap_3() {
        let mut trial = Trial::among(&["b"]);
        trial.above.news = vec![vec![], vec![1]];
        let sent = gossip(&mut trial);
        assert!(matches!(&sent[..], [Action::Send { parts, .. }] if *parts == [[8, 1]]), "{sent:?}");
        trial.above.news = vec![vec![]];
        assert_eq!(gossip(&mut trial), []);
        trial.hear(Message::User(Vec::new()));
        assert!(trial.above.users.is_empty());
    }

    #[test]
    fn what_is_for_above_goes_there() {
        let mut trial = Trial::among(&[]);
        trial.hear(Message::User(vec![1, 2]));
        assert_eq!(trial.above.users, [[1, 2]]);
    }

    #[test]
    fn the_largest_member_fits_in_a_datagram() {
        let mut trial = Trial::with(Config { encrypted: true, ..Config::default() });
        let node = crate::gossip::Name::from(&[b'x'; 512][..]);
        let addr = crate::gossip::wire::message::Addr(vec![1; 16]);
        trial.hear(Message::Alive(Alive { meta: vec![0; 512], node, addr, ..alive("b", u32::MAX) }));
        trial.hear(Message::Alive(alive("c", 1)));
        for _ in 0..20 {
            assert!(sizes(&gossip(&mut trial)).iter().all(|size| *size <= 1371));
        }
        assert_eq!(trial.swim.queued(), 0);
    }
}
