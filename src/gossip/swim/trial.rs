//! A machine on the bench: what it is told, what it answers, and what its delegate hears.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Action, Config, Delegate, Event, Local, Notice, State, Swim, Warning};
use crate::gossip::Name;
use crate::gossip::dice::tests::Seeded;
use crate::gossip::wire::message::{Addr, Alive, Dead, Message, Suspect, VSN};
use crate::unit::Time;

/// The port of everybody.
pub const PORT: u16 = 7946;

/// Writes down what it hears.
#[derive(Debug, Default)]
pub struct Above {
    pub notices: Vec<Notice>,
    pub users: Vec<Vec<u8>>,
    pub merged: Vec<(Vec<u8>, bool)>,
    pub trips: Vec<(Name, Duration, Vec<u8>)>,
    pub news: Vec<Vec<u8>>,
}

impl Delegate for Above {
    fn user_message(&mut self, _: Time, bytes: &[u8]) {
        self.users.push(bytes.to_vec());
    }

    fn broadcasts(&mut self, overhead: usize, room: usize) -> Vec<Vec<u8>> {
        let mut used = 0;
        let fitting = self.news.iter().take_while(|bytes| {
            used += overhead + bytes.len();
            used <= room
        });
        let count = fitting.count();
        self.news.drain(..count).collect()
    }

    fn pending(&self) -> bool {
        !self.news.is_empty()
    }

    fn local_state(&mut self, join: bool) -> Vec<u8> {
        vec![2, u8::from(join)]
    }

    fn merge_state(&mut self, _: Time, state: &[u8], join: bool) {
        self.merged.push((state.to_vec(), join));
    }

    fn ack_payload(&mut self) -> Vec<u8> {
        b"place".to_vec()
    }

    fn ping_complete(&mut self, _: Time, node: &Name, rtt: Duration, payload: &[u8]) {
        self.trips.push((node.clone(), rtt, payload.to_vec()));
    }

    fn notice(&mut self, _: Time, notice: &Notice) {
        self.notices.push(notice.clone());
    }
}

/// The node `me` at 10.0.0.1, its clock, its dice and what lies above it.
pub struct Trial {
    pub swim: Swim,
    pub now: Time,
    pub dice: Seeded,
    pub above: Above,
}

/// Where `a`, `b`, ... live: at 10.0.0.97 and so on.
pub fn home(name: &str) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, name.as_bytes()[0]], PORT))
}

/// What `name` says of itself.
pub fn alive(name: &str, incarnation: u32) -> Alive {
    let addr = Addr(vec![10, 0, 0, name.as_bytes()[0]]);
    Alive { incarnation, node: name.into(), addr, port: PORT, meta: b"tags".to_vec(), vsn: VSN.to_vec() }
}

/// An accusation.
pub fn suspect(name: &str, incarnation: u32, from: &str) -> Message {
    Message::Suspect(Suspect { incarnation, node: name.into(), from: from.into() })
}

/// An obituary.
pub fn dead(name: &str, incarnation: u32, from: &str) -> Message {
    Message::Dead(Dead { incarnation, node: name.into(), from: from.into() })
}

impl Trial {
    /// Alone.
    pub fn new() -> Trial {
        Trial::with(Config::default())
    }

    /// Alone, and otherwise configured.
    pub fn with(config: Config) -> Trial {
        let (mut dice, mut above) = (Seeded(1), Above::default());
        let addr = Addr(vec![10, 0, 0, 1]);
        let local = Local { name: "me".into(), addr, port: PORT, meta: b"mine".to_vec(), vsn: VSN };
        let swim = Swim::new(config, local, Time::ZERO, &mut dice, &mut above);
        Trial { swim, now: Time::ZERO, dice, above }
    }

    /// With these, each of one letter, and with nothing left to tell.
    pub fn among(names: &[&str]) -> Trial {
        let mut trial = Trial::new();
        names.iter().for_each(|name| trial.hear(Message::Alive(alive(name, 1))));
        trial.quiet();
        trial
    }

    /// Nothing waits to be sent or read.
    pub fn quiet(&mut self) {
        self.swim.queue = super::Queue::default();
        self.above = Above::default();
        while self.swim.next().is_some() {}
    }

    pub fn handle(&mut self, event: Event) {
        self.swim.handle(self.now, event, &mut self.dice, &mut self.above);
    }

    /// A message from a stranger.
    pub fn hear(&mut self, message: Message) {
        self.hear_from(SocketAddr::from(([192, 0, 2, 1], 9)), message);
    }

    pub fn hear_from(&mut self, from: SocketAddr, message: Message) {
        self.handle(Event::Message { from, message });
    }

    pub fn deadline(&self) -> Option<Time> {
        self.swim.deadline(&self.above)
    }

    pub fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.swim.next()).collect()
    }

    /// All datagrams.
    pub fn sent(&mut self) -> Vec<(SocketAddr, Vec<Message>)> {
        let decode =
            |parts: Vec<Vec<u8>>| parts.into_iter().map(|part| Message::decode(&part).expect("it is a message"));
        let sends = self.actions().into_iter().filter_map(|action| match action {
            Action::Send { to, parts, .. } => Some((to, decode(parts).collect())),
            _ => None,
        });
        sends.collect()
    }

    /// What there is to warn of.
    pub fn warnings(&mut self) -> Vec<Warning> {
        let warn = |action| if let Action::Warn(warning) = action { Some(warning) } else { None };
        self.actions().into_iter().filter_map(warn).collect()
    }

    /// Everything that is due within this time, and what was answered.
    pub fn pass(&mut self, span: Duration) -> Vec<(Time, Action)> {
        let (end, mut all) = (self.now + span, Vec::new());
        while let Some(at) = self.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.handle(Event::Tick);
            let now = self.now;
            all.extend(self.actions().into_iter().map(|action| (now, action)));
        }
        self.now = end;
        all
    }

    /// The state and incarnation of a member.
    pub fn state(&self, name: &str) -> Option<(State, u32)> {
        self.swim.member(&name.into()).map(|member| (member.state, member.incarnation))
    }

    /// What waits to be told, in the order of sending.
    pub fn news(&self) -> Vec<Message> {
        let all = self.swim.queue.clone().take(0, usize::MAX / 2, 1);
        all.iter().map(|bytes| Message::decode(bytes).expect("it is a message")).collect()
    }

    /// The kinds of notices, and the names.
    pub fn notices(&mut self) -> Vec<(&'static str, String)> {
        let shown = |notice: Notice| match notice {
            Notice::Joined(member) => ("joined", member.name.to_string()),
            Notice::Left(member) if member.state == State::Left => ("left", member.name.to_string()),
            Notice::Left(member) => ("failed", member.name.to_string()),
            Notice::Updated(member) => ("updated", member.name.to_string()),
            Notice::Conflict { known, .. } => ("conflict", known.name.to_string()),
        };
        std::mem::take(&mut self.above.notices).into_iter().map(shown).collect()
    }
}
