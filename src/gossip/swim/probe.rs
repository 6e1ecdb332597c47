//! Probing others, one after another: directly, through some others, over a stream (sections 2.2 and 2.3).

use super::answer::source_of;
use super::event::{Action, Outcome, ProbeId, Warning};
use super::machine::{Swim, Turn};
use super::member::State;
use super::refusal::patience;
use crate::gossip::Name;
use crate::gossip::wire::message::{Ack, IndirectPing, Message, Nack, Ping, Suspect};
use crate::unit::Time;

/// From this version of the protocol on a node answers pings over a stream.
const STREAM_PINGS: u8 = 3;
/// From this version of the protocol on a node says that another is silent.
const NACKS: u8 = 4;

/// The probe under way.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    seq: u32,
    /// Who, and how new what was known of it then.
    node: Name,
    incarnation: u32,
    sent: Time,
    stage: Stage,
    until: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The node itself was asked; others are at `until`.
    Direct { until: Time },
    /// Others were asked, and a stream may have been opened.
    Indirect { nacks_wanted: u32, nacks: u32, stream: Outcome },
}

impl Probe {
    /// Whether it has this sequence number.
    pub fn is(&self, seq: u32) -> bool {
        self.seq == seq
    }

    /// Whether only the node itself was asked.
    pub fn is_direct(&self) -> bool {
        matches!(self.stage, Stage::Direct { .. })
    }

    /// Who is probed.
    pub fn node(&self) -> &Name {
        &self.node
    }

    pub fn deadline(&self) -> Time {
        match self.stage {
            Stage::Direct { until } => until.min(self.until),
            Stage::Indirect { .. } => self.until,
        }
    }
}

impl Swim {
    pub(super) fn start_probe(&mut self, turn: &mut Turn) {
        let profile = self.config.profile;
        let Some(slot) = self.roster.next_to_probe(turn.now, profile.gossip_to_the_dead, turn.dice) else { return };
        let Some(target) = self.roster.get(slot).cloned() else { return };
        let Some((to, source)) = target.socket().zip(self.me().map(|me| source_of(me))) else { return };
        let seq = self.fresh(turn.dice);
        self.probe = Some(Probe {
            seq,
            node: target.name.clone(),
            incarnation: target.incarnation,
            sent: turn.now,
            stage: Stage::Direct { until: turn.now + profile.probe_timeout },
            until: turn.now + self.awareness.stretch(profile.probe_interval),
        });
        let from = source.node.clone();
        let ping = Message::Ping(Ping { seq, node: target.name.clone(), source: Some(source) });
        if target.state == State::Alive {
            let mut first = vec![ping.encode()];
            first.extend(self.carried(turn));
            let parts = self.fill(turn, first);
            return self.send(to, None, parts);
        }
        // So that it can object.
        let suspect = Suspect { incarnation: target.incarnation, node: target.name.clone(), from };
        let parts = vec![ping.encode(), Message::Suspect(suspect).encode()];
        self.send(to, Some(target.protocol_max()), parts);
    }

    pub(super) fn go_on_probing(&mut self, turn: &mut Turn) {
        if let Some(Probe { stage: Stage::Direct { until }, .. }) = self.probe
            && until <= turn.now
        {
            self.probe_indirectly(turn);
        }
        if self.probe.as_ref().is_some_and(|probe| probe.until <= turn.now)
            && let Some(probe) = self.probe.take()
        {
            self.judge(turn, probe);
        }
    }

    pub(super) fn probe_indirectly(&mut self, turn: &mut Turn) {
        let Some((seq, name, until)) = self.probe.as_ref().map(|probe| (probe.seq, probe.node.clone(), probe.until))
        else {
            return;
        };
        let slot = self.roster.find(&name);
        let target = slot.and_then(|slot| self.roster.get(slot)).map(|member| member.record.clone());
        let mut nacks_wanted = 0;
        if let Some((target, source)) = target.zip(self.me().map(|me| source_of(me))) {
            for slot in self.roster.pick_alive(self.config.profile.indirect_checks, turn.dice, slot) {
                let Some(peer) = self.roster.get(slot).map(|peer| peer.record.clone()) else { continue };
                let Some(to) = peer.socket() else { continue };
                let nack = peer.protocol_max() >= NACKS;
                nacks_wanted += u32::from(nack);
                let (addr, port, source) = (target.addr.clone(), target.port, Some(source.clone()));
                let ping = IndirectPing { seq, target: addr, port, node: name.clone(), nack, source };
                self.tell(turn, to, Some(&peer.name), &Message::IndirectPing(ping));
            }
            if self.config.stream_pings
                && target.protocol_max() >= STREAM_PINGS
                && let Some(to) = target.socket()
            {
                let ping = Ping { seq, node: name, source: Some(source) };
                self.act(Action::StreamPing { probe: ProbeId(seq), to, ping, deadline: until });
            }
        }
        if let Some(probe) = &mut self.probe {
            probe.stage = Stage::Indirect { nacks_wanted, nacks: 0, stream: Outcome::Silent };
        }
    }

    /// No datagram came in time.
    fn judge(&mut self, turn: &mut Turn, probe: Probe) {
        let (wanted, nacks) = match probe.stage {
            Stage::Indirect { stream: Outcome::Answered, .. } => {
                self.awareness.improve();
                return self.warn(Warning::OnlyStreams(probe.node));
            }
            Stage::Indirect { stream: Outcome::Refused, .. } => {
                if let Some(slot) = self.roster.find(&probe.node) {
                    self.refusals.ended(probe.seq, slot);
                }
                (0, 0)
            }
            Stage::Indirect { nacks_wanted, nacks, stream: Outcome::Silent } if nacks_wanted > 0 => {
                (nacks_wanted, nacks)
            }
            Stage::Indirect { stream: Outcome::Silent, .. } | Stage::Direct { .. } => (1, 0),
        };
        // Who hears nothing from those that should say something is itself to blame; who hears a refusal hears well.
        self.awareness.worsen(wanted.saturating_sub(nacks));
        let from = self.my_name();
        self.suspect(turn, Suspect { incarnation: probe.incarnation, node: probe.node, from });
    }

    pub(super) fn acked(&mut self, turn: &mut Turn, ack: &Ack) {
        let Some(probe) = self.probe.take_if(|probe| probe.is(ack.seq)) else {
            if self.refusals.belied_late(ack.seq) {
                return;
            }
            return self.relay(turn, ack.seq);
        };
        self.awareness.improve();
        match probe.stage {
            Stage::Direct { .. } => {
                turn.delegate.ping_complete(turn.now, &probe.node, turn.now.since(probe.sent), &ack.payload);
            }
            Stage::Indirect { stream: Outcome::Refused, .. } => {
                if let Some(slot) = self.roster.find(&probe.node) {
                    self.refusals.belied(slot);
                }
            }
            Stage::Indirect { .. } => {}
        }
    }

    pub(super) fn nacked(&mut self, nack: Nack) {
        if let Some(Probe { seq, stage: Stage::Indirect { nacks, .. }, .. }) = &mut self.probe
            && *seq == nack.seq
        {
            *nacks = nacks.saturating_add(1);
        }
    }

    /// A ping over a stream came to an end. After a refusal nothing but an ack can come that says otherwise, and that soon.
    pub(super) fn stream_pinged(&mut self, now: Time, id: ProbeId, outcome: Outcome) {
        let Some(Probe { seq, node, stage: Stage::Indirect { stream, .. }, until, .. }) = &mut self.probe else {
            return;
        };
        let Some(slot) = self.roster.find(node).filter(|_| *seq == id.0) else { return };
        match outcome {
            Outcome::Answered => self.refusals.forget(slot),
            Outcome::Refused if self.refusals.mean_the_end(slot) => {
                *until = (*until).min(now + patience(&self.config.profile));
            }
            Outcome::Refused | Outcome::Silent => return,
        }
        *stream = outcome;
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::super::trial::{Trial, alive, dead, home, suspect};
    use super::super::{Action, Config, Event, Outcome, State, Warning};
    use crate::gossip::wire::message::{Ack, Alive, IndirectPing, Message, Nack, Ping};
    use crate::unit::Time;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Until a ping is sent: to whom, and its sequence number.
    fn until_ping(trial: &mut Trial) -> (SocketAddr, u32) {
        loop {
            trial.now = trial.now.max(trial.deadline().expect("something is due"));
            trial.handle(Event::Tick);
            for (to, messages) in trial.sent() {
                if let Some(Message::Ping(ping)) = messages.first() {
                    return (to, ping.seq);
                }
            }
        }
    }

    fn ack(trial: &mut Trial, seq: u32) {
        trial.hear(Message::Ack(Ack { seq, payload: b"there".to_vec() }));
    }

    type Asked = Vec<(SocketAddr, IndirectPing)>;
    type Stream = Option<(super::ProbeId, Ping, Time)>;

    /// What is asked of others once a ping was not answered.
    fn indirect(trial: &mut Trial) -> (Asked, Stream) {
        trial.now = trial.now + millis(500);
        trial.handle(Event::Tick);
        let (mut asked, mut stream) = (Vec::new(), None);
        for action in trial.actions() {
            match action {
                Action::Send { to, parts, .. } => {
                    if let Ok(Message::IndirectPing(ping)) = Message::decode(&parts[0]) {
                        asked.push((to, ping));
                    }
                }
                Action::StreamPing { probe, ping, deadline, .. } => stream = Some((probe, ping, deadline)),
                _ => {}
            }
        }
        (asked, stream)
    }

    #[test]
    fn everybody_is_pinged_in_turn_every_interval_2_2() {
        let mut trial = Trial::among(&["b", "c", "d"]);
        let mut pinged = Vec::new();
        for _ in 0..3 {
            let (to, seq) = until_ping(&mut trial);
            trial.now = trial.now + millis(3);
            ack(&mut trial, seq);
            pinged.push((trial.now, to));
        }
        assert_eq!(pinged[2].0.since(pinged[0].0), millis(2000));
        let mut who: Vec<_> = pinged.iter().map(|(_, to)| *to).collect();
        who.sort();
        assert_eq!(who, [home("b"), home("c"), home("d")]);
        let (_, trip, payload) = &trial.above.trips[0];
        assert_eq!((trial.above.trips.len(), *trip, payload.as_slice()), (3, millis(3), &b"there"[..]));
    }

    #[test]
    fn a_ping_says_who_asks_1_3() {
        let mut trial = Trial::among(&["b"]);
        let sent = trial.pass(millis(1000));
        let Some((_, Action::Send { to, node_pmax, parts })) = sent.first() else { panic!("a ping: {sent:?}") };
        let Ok(Message::Ping(ping)) = Message::decode(&parts[0]) else { panic!("a ping") };
        let source = ping.source.expect("it says so");
        assert_eq!((*to, *node_pmax, ping.node), (home("b"), None, "b".into()));
        assert_eq!((source.addr.0, source.port, source.node), (vec![10, 0, 0, 1], 7946, "me".into()));
    }

    #[test]
    fn a_silent_node_is_asked_through_others_and_over_a_stream_2_2() {
        let mut trial = Trial::among(&["b", "c", "d", "e", "f"]);
        let (to, seq) = until_ping(&mut trial);
        let start = trial.now;
        let (asked, stream) = indirect(&mut trial);
        assert_eq!(asked.len(), 3);
        for (peer, ping) in &asked {
            assert!(*peer != to && ping.seq == seq && ping.nack);
            assert_eq!(ping.target.socket(ping.port), Some(to));
        }
        let (_, ping, deadline) = stream.expect("a stream is asked for");
        assert_eq!((ping.seq, deadline), (seq, start + millis(1000)));
        // An ack through another is one.
        ack(&mut trial, seq);
        trial.now = trial.now + millis(500);
        trial.handle(Event::Tick);
        assert!(trial.swim.members().all(|member| member.state == State::Alive));
        assert_eq!(trial.above.trips, [], "that is no time of a direct way");
    }

    #[test]
    fn who_answers_nobody_is_suspected_2_2() {
        let mut trial = Trial::among(&["b", "c", "d"]);
        let (to, seq) = until_ping(&mut trial);
        let (asked, _) = indirect(&mut trial);
        assert_eq!(asked.len(), 2);
        trial.hear(Message::Nack(Nack { seq }));
        trial.hear(Message::Nack(Nack { seq: seq.wrapping_add(1) }));
        trial.now = trial.now + millis(500);
        trial.handle(Event::Tick);
        let target = ["b", "c", "d"].into_iter().find(|name| home(name) == to).expect("one of them");
        assert_eq!(trial.state(target), Some((State::Suspect, 1)));
        assert!(trial.sent().iter().any(|(_, messages)| messages.contains(&suspect(target, 1, "me"))));
        assert_eq!(trial.swim.health_score(), 1, "one of two nacks did not come (2.3)");
        // An ack after that changes nothing.
        ack(&mut trial, seq);
        assert_eq!(trial.state(target), Some((State::Suspect, 1)));
    }

    #[test]
    fn nobody_to_ask_is_one_s_own_fault_2_3() {
        let mut trial = Trial::among(&["b"]);
        until_ping(&mut trial);
        let (asked, _) = indirect(&mut trial);
        assert_eq!(asked, []);
        trial.now = trial.now + millis(500);
        trial.handle(Event::Tick);
        assert_eq!(trial.swim.health_score(), 1);
        // From now on it takes its time.
        let (_, seq) = until_ping(&mut trial);
        let start = trial.now;
        let (_, stream) = indirect(&mut trial);
        assert_eq!(stream.map(|(_, _, deadline)| deadline), Some(start + millis(2000)));
        ack(&mut trial, seq);
        assert_eq!(trial.swim.health_score(), 0);
    }

    #[test]
    fn old_nodes_send_no_nacks_and_know_no_stream_pings_2_2() {
        let mut trial = Trial::among(&[]);
        for name in ["b", "c"] {
            trial.hear(Message::Alive(Alive { vsn: vec![1, 2, 2, 2, 5, 5], ..alive(name, 1) }));
        }
        until_ping(&mut trial);
        let (asked, stream) = indirect(&mut trial);
        assert!(matches!(&asked[..], [(_, ping)] if !ping.nack));
        assert_eq!(stream, None);
        trial.now = trial.now + millis(500);
        trial.handle(Event::Tick);
        assert_eq!(trial.swim.health_score(), 1);
    }

    #[test]
    fn a_stream_alone_is_odd_but_alive_2_2() {
        let mut trial = Trial::among(&["b", "c"]);
        until_ping(&mut trial);
        let (probe, ..) = indirect(&mut trial).1.expect("a stream is asked for");
        trial.handle(Event::StreamPinged { probe, outcome: Outcome::Answered });
        trial
            .handle(Event::StreamPinged { probe: super::ProbeId(probe.0.wrapping_add(1)), outcome: Outcome::Answered });
        trial.now = trial.now + millis(500);
        trial.handle(Event::Tick);
        assert!(trial.swim.members().all(|member| member.state == State::Alive));
        assert!(matches!(trial.warnings()[..], [Warning::OnlyStreams(_)]));
        let mut trial = Trial::with(Config { stream_pings: false, ..Config::default() });
        trial.hear(Message::Alive(alive("b", 1)));
        until_ping(&mut trial);
        assert_eq!(indirect(&mut trial).1, None);
    }

    /// The name of who is there.
    fn who(at: SocketAddr) -> &'static str {
        ["b", "c", "d", "e"].into_iter().find(|name| home(name) == at).expect("one of them")
    }

    fn streamed(trial: &mut Trial, probe: super::ProbeId, outcome: Outcome) {
        trial.handle(Event::StreamPinged { probe, outcome });
    }

    #[test]
    fn who_refuses_a_stream_is_suspected_before_the_interval_is_over() {
        let mut trial = Trial::among(&["b", "c", "d"]);
        let (to, _) = until_ping(&mut trial);
        let (probe, ..) = indirect(&mut trial).1.expect("a stream is asked for");
        streamed(&mut trial, probe, Outcome::Refused);
        // A fifth of what an answer may take is left to the others.
        assert_eq!(trial.deadline(), Some(trial.now + millis(100)));
        trial.now = trial.now + millis(100);
        trial.handle(Event::Tick);
        assert_eq!(trial.state(who(to)), Some((State::Suspect, 1)));
        assert_eq!(trial.swim.health_score(), 0, "who hears a refusal is well, whatever nacks are still to come");
        // The next probe is where it would have been.
        let (_, before) = (until_ping(&mut trial), trial.now);
        assert_eq!(before.nanos() % 1_000_000_000, trial.swim.probe_at.nanos() % 1_000_000_000);
    }

    #[test]
    fn an_answer_in_hand_outdoes_a_refusal_and_whoever_gave_both_is_known_for_it() {
        let mut trial = Trial::among(&["b"]);
        let refuse = |trial: &mut Trial| {
            let (_, seq) = until_ping(trial);
            let (probe, ..) = indirect(trial).1.expect("a stream is asked for");
            streamed(trial, probe, Outcome::Refused);
            (seq, probe)
        };
        let (seq, _) = refuse(&mut trial);
        trial.now = trial.now + millis(99);
        ack(&mut trial, seq);
        trial.now = trial.now + millis(1);
        trial.handle(Event::Tick);
        assert_eq!(trial.state("b"), Some((State::Alive, 1)));
        // From now on its refusals say nothing: it is suspected when the interval is over.
        let (_, probe) = refuse(&mut trial);
        assert_eq!(trial.deadline(), Some(trial.now + millis(500)));
        assert_eq!(trial.pass(millis(499)).len(), 0);
        assert_eq!(trial.state("b"), Some((State::Alive, 1)));
        // Until it takes a stream, or was gone.
        streamed(&mut trial, probe, Outcome::Answered);
        trial.pass(millis(1));
        refuse(&mut trial);
        assert_eq!(trial.deadline(), Some(trial.now + millis(100)));
    }

    #[test]
    fn an_answer_too_late_for_the_suspicion_is_remembered() {
        let mut trial = Trial::among(&["b"]);
        let (_, seq) = until_ping(&mut trial);
        let (probe, ..) = indirect(&mut trial).1.expect("a stream is asked for");
        streamed(&mut trial, probe, Outcome::Refused);
        trial.pass(millis(100));
        assert_eq!(trial.state("b"), Some((State::Suspect, 1)));
        ack(&mut trial, seq);
        assert_eq!(trial.state("b"), Some((State::Suspect, 1)), "it is told of it, and objects");
        trial.hear(Message::Alive(alive("b", 2)));
        trial.quiet();
        until_ping(&mut trial);
        let (probe, ..) = indirect(&mut trial).1.expect("a stream is asked for");
        streamed(&mut trial, probe, Outcome::Refused);
        assert_eq!(trial.deadline(), Some(trial.now + millis(500)));
        // Who was gone and is back is another.
        trial.hear(dead("b", 2, "x"));
        trial.hear(Message::Alive(alive("b", 3)));
        trial.pass(millis(500));
        trial.quiet();
        until_ping(&mut trial);
        let (probe, ..) = indirect(&mut trial).1.expect("a stream is asked for");
        streamed(&mut trial, probe, Outcome::Refused);
        assert_eq!(trial.deadline(), Some(trial.now + millis(100)));
    }

    #[test]
    fn a_host_that_says_that_nothing_is_there_saves_the_wait_for_an_answer() {
        let mut trial = Trial::among(&["b", "c", "d"]);
        let (to, seq) = until_ping(&mut trial);
        trial.handle(Event::Unheard { to: home("e") });
        assert_eq!(trial.actions(), [], "nobody asked there");
        trial.handle(Event::Unheard { to });
        let actions = trial.actions();
        let [Action::Send { .. }, Action::Send { .. }, Action::StreamPing { probe, ping, .. }] = &actions[..] else {
            panic!("{actions:?}")
        };
        assert_eq!(ping.seq, seq);
        streamed(&mut trial, *probe, Outcome::Refused);
        // Said again it changes nothing.
        trial.handle(Event::Unheard { to });
        assert_eq!(trial.actions(), []);
        trial.pass(millis(100));
        assert_eq!(trial.state(who(to)), Some((State::Suspect, 1)));
        // Anybody can say it, so by itself it proves nothing.
        let mut trial = Trial::among(&["b"]);
        let (to, _) = until_ping(&mut trial);
        trial.handle(Event::Unheard { to });
        trial.pass(millis(999));
        assert_eq!(trial.state("b"), Some((State::Alive, 1)));
        trial.pass(millis(1));
        assert_eq!(trial.state("b"), Some((State::Suspect, 1)));
    }

    #[test]
    fn a_suspect_hears_of_it_with_the_ping_2_2() {
        let mut trial = Trial::among(&["b"]);
        trial.hear(suspect("b", 4, "c"));
        trial.quiet();
        trial.now = trial.now.max(trial.deadline().expect("a probe is due"));
        trial.handle(Event::Tick);
        let actions = trial.actions();
        let [Action::Send { to, node_pmax: Some(5), parts }] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!(*to, home("b"));
        assert!(matches!(Message::decode(&parts[0]), Ok(Message::Ping(_))));
        assert_eq!(Message::decode(&parts[1]), Ok(suspect("b", 4, "me")));
    }

    #[test]
    fn a_tick_that_comes_late_is_not_made_up_for_2_2() {
        let mut trial = Trial::among(&["b", "c"]);
        let (_, seq) = until_ping(&mut trial);
        let first = trial.now;
        ack(&mut trial, seq);
        trial.now = trial.now + millis(10_300);
        let (_, seq) = until_ping(&mut trial);
        ack(&mut trial, seq);
        until_ping(&mut trial);
        assert_eq!(trial.now.since(first), millis(11_000));
    }
}
