//! Events of Serf's users (section 3.4).

use super::complaint::Complaint;
use super::config::EVENT_SIZE_MAX;
use super::event::Event;
use super::machine::Serf;
use super::output::{Level, Refusal};
use super::queues::push;
use super::ring::Verdict;
use crate::gossip::Name;
use crate::gossip::wire::serf::{SerfMessage, UserEvent};
use crate::unit::Time;

/// What a remembered event weighs beside its name and its payload, about.
const WEIGHT: usize = 96;

impl Serf {
    /// Tells everybody something. Of events that may be coalesced the newest of a name may stand for all.
    pub fn user_event(&mut self, now: Time, name: Name, payload: Vec<u8>, coalesce: bool) -> Result<(), Refusal> {
        let limit = self.config.event_size;
        let size = name.bytes().len() + payload.len();
        if size > limit {
            return Err(Refusal::EventBefore(limit));
        }
        if size > EVENT_SIZE_MAX {
            return Err(Refusal::EventSane(EVENT_SIZE_MAX));
        }
        let event = UserEvent { ltime: self.event_clock.time(), name, payload, coalesce };
        let bytes = SerfMessage::Event(event.clone()).encode();
        if bytes.len() > limit.min(EVENT_SIZE_MAX) {
            return Err(Refusal::EventAfter(limit));
        }
        self.hear_event(now, event);
        push(&mut self.queues.events, bytes);
        self.settle(now);
        Ok(())
    }

    /// Takes an event, whoever told it. Answers whether it is news.
    pub(super) fn hear_event(&mut self, now: Time, event: UserEvent) -> bool {
        let UserEvent { ltime, name, payload, coalesce } = event;
        self.event_clock.witness(ltime);
        let clock = self.event_clock.time();
        let weight = name.bytes().len() + payload.len() + WEIGHT;
        match self.events.admit(ltime, clock, (name.clone(), payload.clone()), weight) {
            Verdict::New => {}
            Verdict::Seen => return false,
            Verdict::Old => {
                self.complain(now, Complaint::OldEvent, || {
                    format!("serf: received old event {name} from time {ltime} (current: {clock})")
                });
                return false;
            }
            Verdict::Full => {
                self.complain(now, Complaint::Crowded, || {
                    format!("serf: unable to remember the event {name}: too much happened at time {ltime}")
                });
                return false;
            }
        }
        if let Some(journal) = &mut self.journal {
            journal.event(ltime);
        }
        self.log(Level::Debug, format!("serf: messageUserEventType: {name}"));
        self.tell(now, Event::User { ltime, name, payload, coalesce });
        true
    }
}
