//! Joins of the node's own: at the start, through its seeds, and again when it is alone.

use std::time::Duration;

use super::Node;
use super::event::Action;
use super::join::{JoinId, Origin, Outcome};
use super::peer::Purpose;
use crate::gossip::rpc::{Answer, Level};
use crate::unit::Time;

/// Nodes that start together miss each other by little: the first pause is this, each later one twice that before, up to the one
/// that was set.
const SHORTEST: Duration = Duration::from_millis(250);
/// A node that found nobody but itself tries again after this at the latest.
const SLOWEST: Duration = Duration::from_secs(5 * 60);

/// That the same is wrong is said so often at most.
const PACE: Duration = Duration::from_secs(60);

/// The seeds, and when they are tried.
#[derive(Debug)]
pub struct Seeds {
    targets: Vec<String>,
    interval: Duration,
    max: usize,
    replay: bool,
    tries: usize,
    /// Whether everything was exchanged with anybody: gossip alone may show a few members of many.
    exchanged: bool,
    /// When to try; none while it is tried, or if there are none, or no more tries.
    due: Option<Time>,
    /// How long to wait before a node that is alone tries again.
    patience: Duration,
    /// What was last said to be wrong, and when: tries may be many.
    said: Option<(Time, String)>,
}

impl Seeds {
    /// Seeds that are to be tried at once.
    pub fn new(targets: Vec<String>, interval: Duration, max: usize, replay: bool, now: Time) -> Seeds {
        let due = (!targets.is_empty()).then_some(now);
        let interval = interval.max(Duration::from_millis(100));
        Seeds { targets, interval, max, replay, tries: 0, exchanged: false, due, patience: interval, said: None }
    }

    /// How loudly to say that this is wrong.
    fn loudness(&mut self, now: Time, error: &str) -> Level {
        let again = self.said.as_ref().is_some_and(|(said, text)| text == error && now.since(*said) < PACE);
        if again {
            return Level::Debug;
        }
        self.said = Some((now, error.to_owned()));
        Level::Warn
    }

    /// Somebody told everything.
    pub fn exchanged(&mut self) {
        self.exchanged = true;
    }

    /// When they are tried next.
    pub fn deadline(&self) -> Option<Time> {
        self.due
    }
}

impl Node {
    /// Tries the seeds if it is time to.
    pub(super) fn seed(&mut self, now: Time) {
        if self.seeds.due.is_none_or(|due| due > now) {
            return;
        }
        self.seeds.due = None;
        if self.seeds.tries > 0 && self.seeds.exchanged && !self.is_alone() {
            // Nothing to do, as long as somebody is there: look again later.
            self.seeds.patience = self.seeds.interval;
            self.seeds.tries = 1;
            self.seeds.due = Some(now + SLOWEST.max(self.seeds.interval));
            return;
        }
        self.seeds.tries = self.seeds.tries.saturating_add(1);
        let (targets, replay) = (self.seeds.targets.clone(), self.seeds.replay);
        self.join(now, Origin::Seeds, &targets, replay);
    }

    /// Whether no other member is there.
    fn is_alone(&self) -> bool {
        let numbers = self.serf.numbers();
        numbers.members.saturating_sub(numbers.failed + numbers.left) <= 1
    }

    /// Something became of members: a node that is alone now tries its seeds soon.
    pub(super) fn look_for_company(&mut self, now: Time) {
        if self.seeds.due.is_some() && self.is_alone() {
            self.seeds.due = self.seeds.due.min(Some(now + self.seeds.patience));
        }
    }

    /// Begins a join.
    pub(super) fn join(&mut self, now: Time, origin: Origin, targets: &[String], replay: bool) {
        let again = origin == Origin::Seeds && self.seeds.tries > 1;
        let level = if again { Level::Debug } else { Level::Info };
        self.log(level, format!("agent: joining: [{}] replay: {replay}", targets.join(" ")));
        self.serf.ignore_old(!replay);
        let (id, lookups) = self.joins.begin(origin, targets, self.port);
        for (lookup, host, port) in lookups {
            self.actions.push_back(Action::Resolve { lookup, host, port });
        }
        self.go_on_joining(now, id);
    }

    /// Tries what is to be tried of a join, and ends it when that is all.
    pub(super) fn go_on_joining(&mut self, now: Time, id: JoinId) {
        while let Some(attempt) = self.joins.attempt(id) {
            self.connect(now, attempt.to, Purpose::Join(attempt), None, None);
        }
        let Some(Outcome { origin, joined, error }) = self.joins.outcome(id) else { return };
        if self.joins.is_empty() {
            self.serf.ignore_old(false);
        }
        if joined > 0 {
            self.serf.join_intent(now);
            self.log(Level::Info, format!("agent: joined: {joined} nodes"));
        } else if !error.is_empty() {
            let level = if origin == Origin::Seeds { self.seeds.loudness(now, &error) } else { Level::Warn };
            let line: Vec<_> = error.split_whitespace().collect();
            self.log(level, format!("agent: error joining: {}", line.join(" ")));
        }
        match origin {
            Origin::Client(link) => {
                if let Some(session) = self.sessions.get_mut(&link) {
                    session.answer(Answer::Joined(joined, error));
                }
                self.answered.push(link);
            }
            Origin::Start if joined == 0 => {
                self.log(Level::Err, "agent: Failed to join any node given by -join, quitting".to_owned());
                self.exit(false);
            }
            Origin::Start => {}
            Origin::Seeds => self.seeded(now, joined),
        }
    }

    fn seeded(&mut self, now: Time, joined: usize) {
        let seeds = &mut self.seeds;
        let pause = if joined == 0 {
            if seeds.max > 0 && seeds.tries >= seeds.max {
                self.log(Level::Err, "agent: maximum retry join attempts made, exiting".to_owned());
                return self.exit(false);
            }
            let doublings = u32::try_from(seeds.tries.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
            // Who counts tries means pauses of that length.
            if seeds.max > 0 { seeds.interval } else { seeds.interval.min(SHORTEST * 2_u32.pow(doublings)) }
        } else {
            // Perhaps that was this node itself.
            seeds.patience = (seeds.patience * 2).min(SLOWEST.max(seeds.interval));
            seeds.patience
        };
        seeds.due = Some(now + pause);
        if joined > 0 {
            self.log(Level::Info, format!("agent: Join completed. Synced with {joined} initial agents"));
        } else {
            let level =
                if self.seeds.said.as_ref().is_some_and(|(said, _)| *said == now) { Level::Warn } else { Level::Debug };
            self.log(level, format!("agent: Join failed, retrying in {pause:?}, then again and again"));
        }
    }
}
