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
        let item = (name, payload);
        let verdict = self.events.admit(ltime, clock, &item, weight);
        let (name, payload) = item;
        match verdict {
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

#[cfg(test)]
mod tests {
    use crate::gossip::serf::config::Config;
    use crate::gossip::serf::machine::tests::{at, config, drain, events, hear, lines, said, serf, serf_with};
    use crate::gossip::serf::{Event, Output, Past, Refusal, Serf};
    use crate::gossip::wire::serf::{SerfMessage, UserEvent};

    fn event(ltime: u64, name: &str) -> UserEvent {
        UserEvent { ltime, name: name.into(), payload: b"v1".to_vec(), coalesce: true }
    }

    #[test]
    fn section_3_4_an_event_is_told_here_and_to_everybody() {
        let mut serf = serf(&["a"]);
        assert_eq!(serf.user_event(at(0), "deploy".into(), b"v1".to_vec(), true), Ok(()));
        assert_eq!(serf.user_event(at(0), "deploy".into(), b"v1".to_vec(), true), Ok(()));
        let own = |ltime| {
            Output::Event(Event::User { ltime, name: "deploy".into(), payload: b"v1".to_vec(), coalesce: true })
        };
        assert_eq!(drain(&mut serf), [own(1), own(2)]);
        let sent = said(&mut serf);
        assert_eq!(sent, [SerfMessage::Event(event(2, "deploy")), SerfMessage::Event(event(1, "deploy"))]);
        assert_eq!(serf.numbers().event_time, 3);
        // What comes back is known.
        sent.into_iter().for_each(|message| hear(&mut serf, at(0), message));
        assert_eq!((events(&mut serf).len(), said(&mut serf).len()), (0, 0));
    }

    #[test]
    fn section_3_4_news_goes_on_as_it_came() {
        let mut serf = serf(&["a"]);
        hear(&mut serf, at(0), SerfMessage::Event(event(7, "deploy")));
        hear(&mut serf, at(0), SerfMessage::Event(event(7, "deploy")));
        hear(&mut serf, at(0), SerfMessage::Event(event(7, "other")));
        assert_eq!(events(&mut serf), ["user deploy 7", "user other 7"]);
        assert_eq!((said(&mut serf).len(), serf.numbers().event_time), (2, 8));
    }

    #[test]
    fn section_3_4_what_is_too_old_is_dropped_with_a_word() {
        let mut serf = serf(&["a"]);
        hear(&mut serf, at(0), SerfMessage::Event(event(600, "new")));
        hear(&mut serf, at(0), SerfMessage::Event(event(88, "old")));
        hear(&mut serf, at(0), SerfMessage::Event(event(89, "late")));
        let told = lines(&mut serf);
        assert!(told.contains(&"serf: received old event old from time 88 (current: 601)".to_owned()), "{told:?}");
        assert_eq!(said(&mut serf).len(), 2);
    }

    #[test]
    fn section_3_4_the_limits_of_an_event() {
        let mut serf = serf(&[]);
        let mut tell = |size: usize| serf.user_event(at(0), "n".into(), vec![b'x'; size], true);
        assert_eq!(tell(512), Err(Refusal::EventBefore(512)));
        assert_eq!(tell(511), Err(Refusal::EventAfter(512)));
        // Type, map, four names, a bool, a time, the name, the length of the payload.
        let frame = 1 + 1 + 3 + 1 + 6 + 1 + 5 + 2 + 8 + 3;
        assert_eq!(tell(512 - frame + 1), Err(Refusal::EventAfter(512)));
        assert_eq!(tell(512 - frame), Ok(()));
        assert_eq!(serf.numbers().event_time, 2);

        let mut serf = serf_with(Config { event_size: 100_000, ..config() }, &[]);
        let mut tell = |size: usize| serf.user_event(at(0), "n".into(), vec![b'x'; size], true);
        assert_eq!(tell(9 * 1024), Err(Refusal::EventSane(9 * 1024)));
        assert_eq!(tell(9 * 1024 - 100), Ok(()));
    }

    #[test]
    fn section_3_11_nothing_from_before_the_snapshot_is_told_again() {
        let past = Past { event_clock: 5, query_clock: 3, clock: 9, ..Past::default() };
        let dice = &mut crate::gossip::dice::tests::Seeded(1);
        let mut serf = Serf::new(config(), past, at(0), dice).expect("a configuration");
        let numbers = serf.numbers();
        assert_eq!((numbers.member_time, numbers.event_time, numbers.query_time), (10, 6, 4));
        hear(&mut serf, at(0), SerfMessage::Event(event(5, "old")));
        hear(&mut serf, at(0), SerfMessage::Event(event(6, "new")));
        assert_eq!(events(&mut serf), ["user new 6"]);
    }
}
