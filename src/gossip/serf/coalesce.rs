//! Many events as few (section 3.7): handlers and clients hear what came of a while of noise, once it is silent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::event::{Event, Kind};
use super::member::Member;
use crate::gossip::Name;
use crate::gossip::swim::Record;
use crate::unit::Time;

/// The longest that a user event is held back, and how long after the last one all are told: Serf's numbers.
const USERS: Window = Window { longest: Duration::from_secs(3), quiet: Duration::from_secs(1) };
/// The same for events of members. Serf takes those of user events, but a tunnel waits for it: a burst of news is over in less.
const MEMBERS: Window = Window { longest: Duration::from_secs(1), quiet: Duration::from_millis(100) };
/// User events that are held back at most; one more, and all are told at once.
const HELD: usize = 1024;

struct Window {
    longest: Duration,
    quiet: Duration,
}

/// When what is held back is told.
#[derive(Clone, Copy, Debug, Default)]
struct Pause(Option<(Time, Time)>);

impl Pause {
    fn another(&mut self, now: Time, window: Window) {
        let latest = self.0.map_or(now + window.longest, |(latest, _)| latest);
        self.0 = Some((latest, now + window.quiet));
    }

    fn end(self) -> Option<Time> {
        self.0.map(|(latest, quiet)| latest.min(quiet))
    }

    /// Whether it is over; if so, there is none any more.
    fn over(&mut self, now: Time) -> bool {
        let over = self.end().is_some_and(|end| end <= now);
        if over {
            self.0 = None;
        }
        over
    }
}

/// Events of members and user events that are held back.
#[derive(Debug, Default)]
pub struct Coalescer {
    members: Pause,
    latest: BTreeMap<Name, (Kind, Member)>,
    /// What was told last of each member, and what it said of itself then.
    told: BTreeMap<Name, (Kind, Arc<Record>)>,
    users: Pause,
    /// The newest of each name, with those of the same time.
    newest: BTreeMap<Name, (u64, Vec<Event>)>,
    held: usize,
}

impl Coalescer {
    /// Takes an event; answers with it if it is none to hold back.
    pub fn take(&mut self, now: Time, event: Event) -> Option<Event> {
        match event {
            Event::Members { kind, members } => {
                self.members.another(now, MEMBERS);
                self.latest.extend(members.into_iter().map(|member| (member.name.clone(), (kind, member))));
                None
            }
            Event::User { ltime, ref name, coalesce: true, .. } => {
                self.users.another(now, USERS);
                let (time, events) = self.newest.entry(name.clone()).or_default();
                if ltime > *time {
                    self.held -= events.len();
                    (*time, *events) = (ltime, Vec::new());
                }
                if ltime == *time {
                    events.push(event);
                    self.held += 1;
                }
                if self.held > HELD {
                    self.users = Pause(Some((now, now)));
                }
                None
            }
            event @ (Event::User { coalesce: false, .. } | Event::Query { .. }) => Some(event),
        }
    }

    /// What is to be told now.
    pub fn due(&mut self, now: Time) -> Vec<Event> {
        let mut due = Vec::new();
        if self.members.over(now) {
            self.tell_members(&mut due);
        }
        if self.users.over(now) {
            self.held = 0;
            due.extend(std::mem::take(&mut self.newest).into_values().flat_map(|(_, events)| events));
        }
        due
    }

    /// Everything that is held back, because nothing comes any more.
    pub fn rest(&mut self) -> Vec<Event> {
        self.members = Pause::default();
        self.users = Pause::default();
        let mut due = Vec::new();
        self.tell_members(&mut due);
        self.held = 0;
        due.extend(std::mem::take(&mut self.newest).into_values().flat_map(|(_, events)| events));
        due
    }

    /// When [`Coalescer::due`] has something.
    pub fn deadline(&self) -> Option<Time> {
        self.members.end().into_iter().chain(self.users.end()).min()
    }

    /// One event of each kind. What was told last of a member is not told again, unless it is an update or the member says
    /// something else of itself; Serf compares the kind alone, and keeps silent of who is back at once with other tags.
    fn tell_members(&mut self, due: &mut Vec<Event>) {
        let mut of: BTreeMap<Kind, Vec<Member>> = BTreeMap::new();
        for (name, (kind, member)) in std::mem::take(&mut self.latest) {
            let last = match kind {
                Kind::Reap => self.told.remove(&name),
                _ => self.told.insert(name, (kind, member.record.clone())),
            };
            let kind = match last {
                Some((last, record)) if last == kind && kind != Kind::Update => match kind {
                    _ if record == member.record => continue,
                    // It is there, as was told, but it is another.
                    Kind::Join => Kind::Update,
                    _ => kind,
                },
                _ => kind,
            };
            of.entry(kind).or_default().push(member);
        }
        due.extend(of.into_iter().map(|(kind, members)| Event::Members { kind, members }));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Coalescer, Event, HELD, Kind};
    use crate::gossip::serf::Member;
    use crate::gossip::swim::Record;
    use crate::unit::Time;

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    fn member(name: &str, kind: Kind) -> Event {
        let record = Record { name: name.into(), ..Record::default() };
        Event::Members { kind, members: vec![Member { record: record.into(), ..Member::default() }] }
    }

    fn user(name: &str, ltime: u64, payload: u8, coalesce: bool) -> Event {
        Event::User { ltime, name: name.into(), payload: vec![payload], coalesce }
    }

    /// Kinds with names.
    fn told(events: &[Event]) -> Vec<String> {
        let word = |event: &Event| match event {
            Event::Members { kind, members } => {
                let names: Vec<_> = members.iter().map(|member| member.name.to_string()).collect();
                format!("{} {}", kind.word(), names.join(","))
            }
            Event::User { ltime, name, payload, .. } => format!("{name} {ltime} {payload:?}"),
            Event::Query { name, .. } => format!("query {name}"),
        };
        events.iter().map(word).collect()
    }

    #[test]
    fn section_3_7_a_tenth_of_a_second_of_silence_tells() {
        let mut coalescer = Coalescer::default();
        assert_eq!(coalescer.take(at(0), member("a", Kind::Join)), None);
        assert_eq!(coalescer.take(at(90), member("b", Kind::Join)), None);
        assert_eq!(coalescer.deadline(), Some(at(190)));
        assert_eq!(coalescer.due(at(189)), []);
        assert_eq!(told(&coalescer.due(at(190))), ["member-join a,b"]);
        assert_eq!(coalescer.deadline(), None);
    }

    #[test]
    fn section_3_7_noise_holds_news_back_for_a_second_at_most() {
        let mut coalescer = Coalescer::default();
        (0..=19).for_each(|n| assert_eq!(coalescer.take(at(n * 50), member("a", Kind::Update)), None));
        assert_eq!(coalescer.deadline(), Some(at(1000)));
        assert_eq!(told(&coalescer.due(at(1000))), ["member-update a"]);
    }

    #[test]
    fn section_3_7_what_was_told_last_is_not_told_again_but_an_update() {
        let mut coalescer = Coalescer::default();
        let mut run = |kinds: &[Kind]| {
            kinds.iter().for_each(|kind| assert_eq!(coalescer.take(at(0), member("a", *kind)), None));
            told(&coalescer.due(at(5000)))
        };
        assert_eq!(run(&[Kind::Join]), ["member-join a"]);
        assert_eq!(run(&[Kind::Failed, Kind::Join]), [""; 0]);
        assert_eq!(run(&[Kind::Failed]), ["member-failed a"]);
        assert_eq!(run(&[Kind::Update]), ["member-update a"]);
        assert_eq!(run(&[Kind::Update]), ["member-update a"]);
        assert_eq!(run(&[Kind::Reap]), ["member-reap a"]);
        assert_eq!(run(&[Kind::Join]), ["member-join a"]);
    }

    #[test]
    fn who_is_back_at_once_as_another_is_told_of() {
        let mut coalescer = Coalescer::default();
        let mut run = |events: &[(Kind, u8, u16)]| {
            for (kind, tag, port) in events {
                let record = Record { name: "a".into(), meta: vec![*tag], port: *port, ..Record::default() };
                let members = vec![Member { record: record.into(), ..Member::default() }];
                assert_eq!(coalescer.take(at(0), Event::Members { kind: *kind, members }), None);
            }
            let due = coalescer.due(at(5000));
            let said = |event: &Event| match event {
                Event::Members { kind, members } => {
                    let said: Vec<_> = members.iter().map(|member| (member.meta.clone(), member.port)).collect();
                    format!("{} {said:?}", kind.word())
                }
                event => panic!("{event:?}"),
            };
            due.iter().map(said).collect::<Vec<_>>()
        };
        assert_eq!(run(&[(Kind::Join, 1, 1)]), ["member-join [([1], 1)]"]);
        for gone in [Kind::Failed, Kind::Leave] {
            assert_eq!(run(&[(gone, 1, 1), (Kind::Join, 2, 1)]), ["member-update [([2], 1)]"]);
            assert_eq!(run(&[(gone, 2, 1), (Kind::Join, 2, 2)]), ["member-update [([2], 2)]"]);
            // What is told once is told.
            assert_eq!(run(&[(gone, 2, 2), (Kind::Join, 2, 2)]), [""; 0]);
            assert_eq!(run(&[(gone, 2, 2)]), [format!("{} [([2], 2)]", gone.word())]);
            // It was there, and is gone again.
            assert_eq!(run(&[(Kind::Join, 3, 2), (gone, 3, 2)]), [format!("{} [([3], 2)]", gone.word())]);
            assert_eq!(run(&[(Kind::Join, 3, 2), (gone, 3, 2)]), [""; 0]);
            assert_eq!(run(&[(Kind::Join, 1, 1)]), ["member-join [([1], 1)]"]);
        }
    }

    #[test]
    fn section_3_7_of_user_events_the_newest_of_each_name_counts() {
        let mut coalescer = Coalescer::default();
        for event in [user("a", 2, 1, true), user("a", 1, 2, true), user("b", 1, 3, true), user("a", 2, 4, true)] {
            assert_eq!(coalescer.take(at(0), event), None);
        }
        assert_eq!(told(&coalescer.due(at(1000))), ["a 2 [1]", "a 2 [4]", "b 1 [3]"]);
        assert_eq!(coalescer.take(at(1000), user("a", 3, 5, true)), None);
        assert_eq!(told(&coalescer.due(at(2000))), ["a 3 [5]"]);
    }

    #[test]
    fn section_3_7_what_is_not_to_be_coalesced_passes() {
        let mut coalescer = Coalescer::default();
        assert_eq!(coalescer.take(at(0), user("a", 1, 1, false)), Some(user("a", 1, 1, false)));
        let query =
            Event::Query { key: 1, until: at(1), ltime: 1, name: "q".into(), payload: vec![], from: "a".into() };
        assert_eq!(coalescer.take(at(0), query.clone()), Some(query));
        assert_eq!(coalescer.deadline(), None);
    }

    #[test]
    fn what_is_held_back_is_bounded() {
        let mut coalescer = Coalescer::default();
        (0..=HELD).for_each(|n| assert_eq!(coalescer.take(at(1), user("a", 1, n as u8, true)), None));
        assert_eq!(coalescer.deadline(), Some(at(1)));
        assert_eq!(coalescer.due(at(1)).len(), HELD + 1);
    }

    #[test]
    fn the_rest_is_told_at_the_end() {
        let mut coalescer = Coalescer::default();
        assert_eq!(coalescer.take(at(0), member("a", Kind::Join)), None);
        assert_eq!(coalescer.take(at(0), user("a", 1, 1, true)), None);
        assert_eq!(told(&coalescer.rest()), ["member-join a", "a 1 [1]"]);
        assert_eq!((coalescer.deadline(), coalescer.rest().len()), (None, 0));
    }
}
