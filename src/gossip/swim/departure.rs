//! Leaving: told to everybody before it is done (section 2.8).

use std::time::Duration;

use super::broadcast::Ticket;
use super::event::Action;
use super::machine::{Swim, Turn};
use crate::gossip::wire::message::Dead;
use crate::unit::Time;

/// How far this node is with leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    /// It stays.
    No,
    /// It tells everybody, until then at the latest.
    Telling { news: Ticket, until: Time },
    /// It has left.
    Done,
}

impl Departure {
    pub fn deadline(self) -> Option<Time> {
        match self {
            Departure::Telling { until, .. } => Some(until),
            Departure::No | Departure::Done => None,
        }
    }
}

impl Swim {
    /// Whether this node leaves or has left.
    pub fn is_leaving(&self) -> bool {
        self.departure != Departure::No
    }

    pub(super) fn leave(&mut self, turn: &mut Turn, within: Duration) {
        if self.is_leaving() {
            return;
        }
        let Some((name, incarnation)) = self.me().map(|me| (me.name.clone(), me.incarnation)) else { return };
        // Before it is told: what comes about this node from now on is not refuted.
        self.departure = Departure::Done;
        let news = self.dead(turn, Dead { incarnation, node: name.clone(), from: name });
        match news {
            Some(news) if self.present_others() > 0 => {
                self.departure = Departure::Telling { news, until: turn.now + within };
            }
            Some(_) | None => self.act(Action::Departed { told: true }),
        }
    }

    pub(super) fn go_on_leaving(&mut self, now: Time) {
        if let Departure::Telling { news, until } = self.departure {
            let told = !self.queue.holds(news);
            if told || until <= now {
                self.departure = Departure::Done;
                self.act(Action::Departed { told });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::trial::{Trial, alive, dead, suspect};
    use super::super::{Action, Event, State};
    use crate::gossip::wire::message::{Alive, Message};

    const WITHIN: Duration = Duration::from_secs(5);

    fn departed(actions: &[Action]) -> Vec<bool> {
        let told = |action: &Action| if let Action::Departed { told } = action { Some(*told) } else { None };
        actions.iter().filter_map(told).collect()
    }

    #[test]
    fn leaving_is_told_until_everybody_can_know_2_8() {
        let mut trial = Trial::among(&["b", "c"]);
        trial.handle(Event::Leave { within: WITHIN });
        assert_eq!(trial.news(), [dead("me", 1, "me")]);
        assert_eq!(trial.notices(), [("left", "me".into())]);
        let (mut times, mut told) = (0, None);
        let start = trial.now;
        for (at, action) in trial.pass(WITHIN) {
            match action {
                Action::Send { parts, .. } => {
                    times += parts.iter().filter(|part| Message::decode(part) == Ok(dead("me", 1, "me"))).count();
                }
                Action::Departed { told: yes } => told = Some((at.since(start), yes)),
                _ => {}
            }
        }
        assert_eq!(times, 4);
        assert!(told.is_some_and(|(after, told)| told && after <= Duration::from_millis(600)), "{told:?}");
    }

    #[test]
    fn nobody_waits_for_an_answer_for_ever_2_8() {
        let mut trial = Trial::among(&["b"]);
        trial.handle(Event::Leave { within: Duration::from_millis(1) });
        assert_eq!(departed(&trial.actions()), [false; 0]);
        trial.now = trial.now + Duration::from_millis(1);
        trial.swim.gossip_at = trial.now + WITHIN;
        trial.swim.probe_at = trial.now + WITHIN;
        trial.handle(Event::Tick);
        assert_eq!(departed(&trial.actions()), [false]);
        // Asked again it has nothing to add.
        trial.handle(Event::Leave { within: WITHIN });
        assert_eq!(departed(&trial.actions()), [false; 0]);
    }

    #[test]
    fn alone_it_just_goes_2_8() {
        let mut trial = Trial::among(&["b"]);
        trial.hear(dead("b", 1, "x"));
        trial.handle(Event::Leave { within: WITHIN });
        assert_eq!(departed(&trial.actions()), [true]);
    }

    #[test]
    fn who_leaves_does_not_object_2_5() {
        let mut trial = Trial::among(&["b"]);
        trial.handle(Event::Leave { within: WITHIN });
        let me = trial.swim.me().map(|me| me.addr.clone()).expect("it knows");
        trial.hear(suspect("me", 9, "b"));
        trial.hear(dead("me", 9, "b"));
        trial.hear(Message::Alive(Alive { node: "me".into(), addr: me, ..alive("b", 9) }));
        trial.handle(Event::UpdateMeta(b"new".to_vec()));
        assert_eq!(trial.state("me"), Some((State::Left, 1)));
        assert_eq!(trial.news(), [dead("me", 1, "me")]);
    }
}
