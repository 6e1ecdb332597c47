//! What outlives the program (section 3.11): a text of one record a line, which grows until it is written anew.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::gossip::Name;
use crate::unit::Time;

/// How often the clock of members is looked at.
const PACE: Duration = Duration::from_millis(500);
/// Bytes that a line about a member takes, by Serf's estimate.
const LINE: usize = 128;
/// The text is written anew when it is longer than this many times what it need be ...
const EXCESS: usize = 2;
/// ... and longer than this.
const LEAST: usize = 128 * 1024;

/// What the shell does to the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Append this; it may lie in a buffer for 500 ms.
    Append(Vec<u8>),
    /// Append this, and wait until it is on the disk.
    Sync(Vec<u8>),
    /// Write this to `PATH.compact`, wait until it is on the disk, and put it in the place of the file.
    Rewrite(Vec<u8>),
}

/// What a file says of the past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Who was there, and where.
    pub alive: BTreeMap<Name, SocketAddr>,
    /// The last time of the clock of members.
    pub clock: u64,
    /// That of events.
    pub event_clock: u64,
    /// That of queries.
    pub query_clock: u64,
    /// How long the text is.
    pub length: usize,
}

impl Past {
    /// Reads a file. After a `leave` nothing of before counts, unless this node means to rejoin nevertheless. What is no
    /// record is left out: the last line may be half.
    pub fn read(text: &[u8], rejoin: bool) -> Past {
        let mut past = Past { length: text.len(), ..Past::default() };
        for line in text.split(|byte| *byte == b'\n') {
            past.apply(line, rejoin);
        }
        past
    }

    fn apply(&mut self, line: &[u8], rejoin: bool) {
        let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<u64>().ok());
        if let Some(rest) = line.strip_prefix(b"alive: ") {
            // The address is behind the last space: a name may have some.
            let mut parts = rest.rsplitn(2, |byte| *byte == b' ');
            let address = parts.next().and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok());
            if let (Some(address), Some(name)) = (address, parts.next()) {
                self.alive.insert(name.into(), address);
            }
        } else if let Some(name) = line.strip_prefix(b"not-alive: ") {
            self.alive.remove(&Name::from(name));
        } else if let Some(time) = line.strip_prefix(b"clock: ").and_then(number) {
            self.clock = time;
        } else if let Some(time) = line.strip_prefix(b"event-clock: ").and_then(number) {
            self.event_clock = time;
        } else if let Some(time) = line.strip_prefix(b"query-clock: ").and_then(number) {
            self.query_clock = time;
        } else if line == b"leave" && !rejoin {
            *self = Past { length: self.length, ..Past::default() };
        }
    }
}

/// Keeps the file in step.
#[derive(Debug)]
pub struct Journal {
    past: Past,
    rejoin: bool,
    left: bool,
    /// How long the text was when it was written anew.
    least: usize,
    /// When the clock is looked at.
    look: Option<Time>,
    out: Vec<Record>,
}

impl Journal {
    /// Goes on from a past.
    pub fn new(past: Past, rejoin: bool) -> Journal {
        Journal { past, rejoin, left: false, least: 0, look: None, out: Vec::new() }
    }

    /// A member is there.
    pub fn alive(&mut self, name: &Name, address: SocketAddr, clock: u64) {
        // A name with a line's end would be records of its own.
        if self.left || name.bytes().contains(&b'\n') {
            return;
        }
        self.past.alive.insert(name.clone(), address);
        self.append(&[b"alive: ", name.bytes(), format!(" {address}\n").as_bytes()].concat());
        self.clock(clock);
    }

    /// A member is not there any more.
    pub fn not_alive(&mut self, name: &Name, clock: u64) {
        if self.left || name.bytes().contains(&b'\n') {
            return;
        }
        self.past.alive.remove(name);
        self.append(&[b"not-alive: ", name.bytes(), b"\n"].concat());
        self.clock(clock);
    }

    /// A user event was taken.
    pub fn event(&mut self, time: u64) {
        if !self.left && time > self.past.event_clock {
            self.past.event_clock = time;
            self.append(format!("event-clock: {time}\n").as_bytes());
        }
    }

    /// A query was taken.
    pub fn query(&mut self, time: u64) {
        if !self.left && time > self.past.query_clock {
            self.past.query_clock = time;
            self.append(format!("query-clock: {time}\n").as_bytes());
        }
    }

    /// The clock of members is at `clock`; of what happens in between, the last counts.
    pub fn ticked(&mut self, now: Time, clock: u64) {
        if clock.saturating_sub(1) > self.past.clock && self.look.is_none() {
            self.look = Some(now + PACE);
        }
    }

    /// Notes the clock if it is time to; `clock` is that of members.
    pub fn due(&mut self, now: Time, clock: u64) {
        if self.look.is_some_and(|look| look <= now) {
            self.look = None;
            self.clock(clock);
        }
    }

    /// When [`Journal::due`] has something to do.
    pub fn deadline(&self) -> Option<Time> {
        self.look
    }

    /// This node leaves on purpose. Of what happens from now on only the clock is noted.
    pub fn leave(&mut self) {
        if std::mem::replace(&mut self.left, true) {
            return;
        }
        if !self.rejoin {
            self.past.alive.clear();
        }
        self.past.length += 6;
        self.out.push(Record::Sync(b"leave\n".to_vec()));
    }

    /// What the shell is to do, in this order.
    pub fn take(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.out)
    }

    fn clock(&mut self, clock: u64) {
        let last = clock.saturating_sub(1);
        if last > self.past.clock {
            self.past.clock = last;
            self.append(format!("clock: {last}\n").as_bytes());
        }
    }

    fn append(&mut self, line: &[u8]) {
        self.past.length += line.len();
        match self.out.last_mut() {
            Some(Record::Append(text)) => text.extend_from_slice(line),
            _ => self.out.push(Record::Append(line.to_vec())),
        }
        if self.past.length > LEAST.max(EXCESS * LINE * self.past.alive.len()).max(EXCESS * self.least) {
            let text = self.whole();
            (self.past.length, self.least) = (text.len(), text.len());
            self.out = vec![Record::Rewrite(text)];
        }
    }

    /// The shortest text that says the same.
    fn whole(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for (name, address) in &self.past.alive {
            text.extend_from_slice(&[b"alive: ", name.bytes(), format!(" {address}\n").as_bytes()].concat());
        }
        let Past { clock, event_clock, query_clock, .. } = self.past;
        let clocks = format!("clock: {clock}\nevent-clock: {event_clock}\nquery-clock: {query_clock}\n");
        text.extend_from_slice(clocks.as_bytes());
        if self.left {
            text.extend_from_slice(b"leave\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Journal, LEAST, Past, Record};
    use crate::unit::Time;

    const GOLDEN: &[u8] = include_bytes!("../../../tests/golden/serf/snapshot.txt");

    fn text(records: &[Record]) -> String {
        let bytes = |record: &Record| match record {
            Record::Append(bytes) | Record::Sync(bytes) | Record::Rewrite(bytes) => bytes.clone(),
        };
        String::from_utf8(records.iter().flat_map(bytes).collect()).expect("text")
    }

    #[test]
    fn section_3_11_a_real_agents_file() {
        let past = Past::read(GOLDEN, false);
        assert_eq!((past.alive.len(), past.clock, past.event_clock, past.query_clock), (0, 9, 0, 0));
        let past = Past::read(GOLDEN, true);
        let alive: Vec<_> = past.alive.iter().map(|(name, address)| format!("{name} {address}")).collect();
        assert_eq!(alive, ["s1 127.0.0.1:17946", "s2 127.0.0.1:17947"]);
        assert_eq!((past.clock, past.event_clock, past.query_clock), (9, 1, 1));
    }

    #[test]
    fn section_3_11_what_a_file_may_hold() {
        let lines = b"# a word\ncoordinate: 1,2\nalive: a b [::1]:7946\nalive: broken\nalive: c nowhere\nclock: x\nclock: 5\nalive: d 1.2.3.4:5\nnot-alive: d\nevent-cl";
        let past = Past::read(lines, false);
        let alive: Vec<_> = past.alive.iter().map(|(name, address)| format!("{name}={address}")).collect();
        assert_eq!(alive, ["a b=[::1]:7946"]);
        assert_eq!((past.clock, past.event_clock, past.length), (5, 0, lines.len()));
    }

    #[test]
    fn section_3_11_what_is_noted() {
        let mut journal = Journal::new(Past::default(), false);
        let address = "127.0.0.1:17946".parse().expect("an address");
        journal.alive(&"s1".into(), address, 2);
        journal.event(1);
        journal.event(1);
        journal.query(1);
        journal.alive(&"pyv0".into(), address, 8);
        journal.not_alive(&"pyv0".into(), 9);
        let expected = "alive: s1 127.0.0.1:17946\nclock: 1\nevent-clock: 1\nquery-clock: 1\nalive: pyv0 127.0.0.1:17946\nclock: 7\nnot-alive: pyv0\nclock: 8\n";
        assert_eq!(text(&journal.take()), expected);
        journal.leave();
        journal.leave();
        journal.event(7);
        journal.alive(&"late".into(), address, 9);
        assert_eq!(journal.take(), [Record::Sync(b"leave\n".to_vec())]);
    }

    #[test]
    fn section_3_11_the_clock_is_noted_every_500_ms_at_most() {
        let at = |millis| Time::ZERO + Duration::from_millis(millis);
        let mut journal = Journal::new(Past::default(), false);
        journal.ticked(at(0), 1);
        assert_eq!(journal.deadline(), None);
        journal.ticked(at(0), 2);
        journal.ticked(at(400), 9);
        assert_eq!(journal.deadline(), Some(at(500)));
        journal.due(at(499), 9);
        assert_eq!(journal.take(), []);
        journal.due(at(500), 9);
        assert_eq!((text(&journal.take()).as_str(), journal.deadline()), ("clock: 8\n", None));
    }

    #[test]
    fn section_3_11_a_long_file_is_written_anew_and_says_the_same() {
        let mut journal = Journal::new(Past { length: LEAST - 40, ..Past::default() }, false);
        let address = "10.0.0.1:7946".parse().expect("an address");
        journal.event(3);
        journal.alive(&"a".into(), address, 6);
        let records = journal.take();
        let [Record::Rewrite(whole), rest @ ..] = records.as_slice() else { panic!("{records:?}") };
        let whole = [whole.clone(), text(rest).into_bytes()].concat();
        let past = Past::read(&whole, false);
        assert_eq!((past.alive.len(), past.clock, past.event_clock), (1, 5, 3));
        assert!(whole.len() < 120);
    }

    #[test]
    fn a_name_is_no_record() {
        let mut journal = Journal::new(Past::default(), false);
        let address = "10.0.0.1:7946".parse().expect("an address");
        journal.alive(&"a\nclock: 99\nalive: b".into(), address, 1);
        journal.not_alive(&"a\nleave".into(), 1);
        assert_eq!(journal.take(), []);
    }
}
