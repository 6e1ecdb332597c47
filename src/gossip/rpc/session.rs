//! One client of the RPC: bytes in, questions to the node, answers of the node, bytes out.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::ask::{Answer, Ask};
use super::filter::EventFilter;
use super::level::{Level, Line};
use super::outbox::Outbox;
use super::request::{Command, Header, Intake};
use super::{answer, record};
use crate::gossip::serf::{Event, KeyReport, Reply};
use crate::unit::Time;

/// The one version of the RPC.
const VERSION: i64 = 1;
/// Most streams of a client at once.
const STREAMS: usize = 256;
/// Most queries of a client, asked or offered, at once.
const QUERIES: usize = 1024;

/// What a client must say in `auth`; empty if it need not.
pub type Secret = Arc<Zeroizing<Vec<u8>>>;

/// One connection of a client.
///
/// Feed it with [`Session::receive`], then take each question by [`Session::next`] and answer it by [`Session::answer`]
/// before the next; write what [`Session::output`] has, and close when [`Session::is_over`]. As with Serf, a client's
/// requests are done one after another: one that waits (`join`, `leave`) holds up what comes behind it, but no stream.
#[derive(Debug)]
pub struct Session {
    secret: Secret,
    intake: Intake,
    outbox: Outbox,
    greeted: bool,
    trusted: bool,
    closing: bool,
    header: Option<Header>,
    /// What the node was asked and has yet to answer, and for which request.
    asked: Option<(u64, Asked)>,
    streams: Vec<(u64, Vec<EventFilter>)>,
    monitor: Option<(u64, Level)>,
    /// Queries of this client that are under way: the node's key and the request's number.
    queries: Vec<(u64, u64)>,
    /// Queries of others that this client was told of.
    offers: Vec<Offer>,
    offered: u64,
}

/// What kind of answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// One without a body.
    Plain,
    /// One whose body is sent even if it is refused.
    Join,
    Keys,
    /// Everything else.
    Whole,
    /// The lines that a monitor starts with.
    Lines(Level),
}

#[derive(Clone, Copy, Debug)]
struct Offer {
    id: u64,
    key: u64,
    until: Time,
}

impl Session {
    /// A client that has just come and must say `secret`, if that is not empty.
    pub fn new(secret: Secret) -> Session {
        Session {
            trusted: secret.is_empty(),
            secret,
            intake: Intake::default(),
            outbox: Outbox::default(),
            greeted: false,
            closing: false,
            header: None,
            asked: None,
            streams: Vec::new(),
            monitor: None,
            queries: Vec::new(),
            offers: Vec::new(),
            offered: 0,
        }
    }

    /// Whether it takes bytes now: not while what it has taken is yet to be done, nor while its client takes no answers.
    pub fn is_hungry(&self) -> bool {
        !self.closing && !self.outbox.is_full() && (self.asked.is_none() || self.intake.is_empty())
    }

    /// Takes what came from the client.
    pub fn receive(&mut self, bytes: &[u8]) {
        if !self.closing {
            self.intake.push(bytes);
        }
    }

    /// The next question to the node; none until the last one is answered, or more bytes come.
    pub fn next(&mut self, now: Time) -> Option<Ask> {
        while self.asked.is_none() && !self.closing && !self.outbox.is_full() {
            let header = match self.header.take() {
                Some(header) => header,
                None => match self.intake.header() {
                    Ok(Some(header)) => header,
                    Ok(None) => return None,
                    Err(_) => {
                        self.closing = true;
                        return None;
                    }
                },
            };
            if !self.greeted && header.command != b"handshake" {
                self.refuse(header.seq, "Handshake required");
                self.closing = true;
                return None;
            }
            match self.intake.command(&header) {
                Ok(Some(command)) => {
                    if let Some(ask) = self.obey(now, header.seq, command) {
                        return Some(ask);
                    }
                }
                Ok(None) => {
                    self.header = Some(header);
                    return None;
                }
                Err(_) => self.closing = true,
            }
        }
        None
    }

    fn refuse(&mut self, seq: u64, error: &str) {
        self.outbox.answer(answer::header(seq, error));
    }

    /// Does what the session can do by itself, or says what the node must be asked.
    fn obey(&mut self, now: Time, seq: u64, command: Command) -> Option<Ask> {
        let free = matches!(command, Command::Handshake(_) | Command::Auth(_));
        if !self.trusted && !free {
            self.refuse(seq, "Authentication required");
            return None;
        }
        let (asked, ask) = match command {
            Command::Handshake(version) => {
                let error = if version != VERSION {
                    "Unsupported IPC version"
                } else if std::mem::replace(&mut self.greeted, true) {
                    "Handshake already performed"
                } else {
                    ""
                };
                self.refuse(seq, error);
                return None;
            }
            Command::Auth(secret) => {
                // Without a secret of ours any will do, as with Serf.
                let same = self.secret.is_empty() || equal(&self.secret, &secret);
                self.trusted |= same;
                self.refuse(seq, if same { "" } else { "Invalid authentication token" });
                return None;
            }
            Command::Stream(types) => {
                let error = self.stream(seq, &types).err().unwrap_or_default();
                self.refuse(seq, error);
                return None;
            }
            Command::Stop(stopped) => {
                self.streams.retain(|(number, _)| *number != stopped);
                self.monitor = self.monitor.filter(|(number, _)| *number != stopped);
                self.refuse(seq, "");
                return None;
            }
            Command::Monitor(word) => {
                let word = String::from_utf8_lossy(&word).to_uppercase();
                let Some(level) = Level::of(&word) else {
                    self.refuse(seq, &format!("Unknown log level: {word}"));
                    return None;
                };
                if self.monitor.is_some() {
                    self.refuse(seq, "Monitor already exists");
                    return None;
                }
                (Asked::Lines(level), Ask::Lines)
            }
            Command::Respond(id, payload) => {
                self.offers.retain(|offer| now < offer.until);
                let Some(at) = self.offers.iter().position(|offer| offer.id == id) else {
                    self.refuse(seq, "No pending queries matching ID");
                    return None;
                };
                let offer = self.offers.swap_remove(at);
                (Asked::Plain, Ask::Respond { key: offer.key, payload })
            }
            Command::Unknown => {
                self.refuse(seq, "Unsupported command");
                self.closing = true;
                return None;
            }
            Command::Members(None) => {
                // An expression that is none: Serf closes the connection.
                self.closing = true;
                return None;
            }
            Command::Members(Some(filter)) => (Asked::Whole, Ask::Members(filter)),
            Command::Query(query) => {
                let name = query.name.bytes();
                if name.starts_with(b"_serf_") && !(name == b"_serf_ping" && query.payload.is_none()) {
                    self.refuse(seq, "Queries cannot contain the '_serf_' prefix");
                    return None;
                }
                if self.queries.len() >= QUERIES {
                    self.refuse(seq, "Too many queries are under way");
                    return None;
                }
                (Asked::Whole, Ask::Query(query))
            }
            Command::Event { name, payload, coalesce } => (Asked::Plain, Ask::Event { name, payload, coalesce }),
            Command::ForceLeave { node, prune } => (Asked::Plain, Ask::ForceLeave { node, prune }),
            Command::Join { targets, replay } => (Asked::Join, Ask::Join { targets, replay }),
            Command::Tags { set, delete } => (Asked::Plain, Ask::Tags { set, delete }),
            Command::Stats => (Asked::Whole, Ask::Stats),
            Command::Coordinate(node) => (Asked::Whole, Ask::Coordinate(node)),
            Command::Leave => (Asked::Plain, Ask::Leave),
            Command::Keys(ask) => (Asked::Keys, Ask::Keys(ask)),
        };
        self.asked = Some((seq, asked));
        Some(ask)
    }

    fn stream(&mut self, seq: u64, types: &[u8]) -> Result<(), &'static str> {
        if self.streams.iter().any(|(number, _)| *number == seq) {
            return Err("Stream with given sequence exists");
        }
        if self.streams.len() >= STREAMS {
            return Err("Too many streams");
        }
        let filters = EventFilter::list(types).ok_or("Invalid event filter")?;
        self.streams.push((seq, filters));
        Ok(())
    }

    /// Takes the node's answer to the last question.
    pub fn answer(&mut self, answer: Answer) {
        let Some((seq, asked)) = self.asked.take() else { return };
        let bytes = match answer {
            Answer::Done => answer::header(seq, ""),
            Answer::Refused(error) => match asked {
                Asked::Join => answer::joined(seq, &error, 0),
                Asked::Keys => answer::keys(seq, &KeyReport { error, ..KeyReport::default() }),
                Asked::Plain | Asked::Whole | Asked::Lines(_) => answer::header(seq, &error),
            },
            Answer::Joined(count, error) => answer::joined(seq, &error, count),
            Answer::Members(members) => answer::members(seq, &members),
            Answer::Stats(stats) => answer::stats(seq, &stats),
            Answer::Coordinate(coordinate) => answer::coordinate(seq, coordinate.as_ref()),
            Answer::Keys(keys) => answer::keys(seq, &keys),
            Answer::Asked(key) => {
                self.queries.push((key, seq));
                answer::header(seq, "")
            }
            Answer::Lines(lines) => {
                self.outbox.answer(answer::header(seq, ""));
                if let Asked::Lines(level) = asked {
                    self.monitor = Some((seq, level));
                    lines.iter().for_each(|line| self.line(line));
                }
                return;
            }
        };
        self.outbox.answer(bytes);
    }

    /// Tells the client's streams what happened.
    pub fn event(&mut self, now: Time, event: &Event) {
        let mut id = None;
        for (seq, filters) in &self.streams {
            if !filters.iter().any(|filter| filter.admits(event)) {
                continue;
            }
            // One number for all streams: each may respond, the first one does.
            let number = *id.get_or_insert(self.offered + 1);
            self.outbox.record(|| record::event(*seq, number, event));
        }
        if let (Some(id), Event::Query { key, until, .. }) = (id, event) {
            self.offered = id;
            self.offers.retain(|offer| now < offer.until);
            if self.offers.len() < QUERIES {
                self.offers.push(Offer { id, key: *key, until: *until });
            }
        }
    }

    /// Tells the client's monitor what was said.
    pub fn line(&mut self, line: &Line) {
        if let Some((seq, level)) = self.monitor
            && line.level >= level
        {
            self.outbox.record(|| record::line(seq, &line.text));
        }
    }

    /// Tells what came back of the query that the node calls `key`, if it is this client's.
    pub fn reply(&mut self, key: u64, reply: &Reply) {
        let Some(at) = self.queries.iter().position(|(own, _)| *own == key) else { return };
        let Some((_, seq)) = self.queries.get(at).copied() else { return };
        if *reply == Reply::Done {
            self.queries.swap_remove(at);
            // Without it the client waits for ever.
            self.outbox.answer(record::reply(seq, reply));
        } else {
            self.outbox.reply(record::reply(seq, reply));
        }
    }

    /// What to write next; empty if there is nothing.
    pub fn output(&self) -> &[u8] {
        self.outbox.front()
    }

    /// So many bytes of [`Session::output`] are written.
    pub fn wrote(&mut self, count: usize) {
        self.outbox.wrote(count);
    }

    /// Whether everything is said and the connection is to be closed.
    pub fn is_over(&self) -> bool {
        self.closing && self.outbox.is_empty()
    }

    /// The node's keys of the queries that this client waits for.
    pub fn queries(&self) -> impl Iterator<Item = u64> {
        self.queries.iter().map(|(key, _)| *key)
    }

    /// Whether the client may hear of events.
    pub fn listens(&self) -> bool {
        !self.streams.is_empty()
    }

    /// How many records its client was too slow for.
    pub fn dropped(&self) -> u64 {
        self.outbox.dropped()
    }
}

/// Whether two secrets are the same, in a time that does not say where they differ.
fn equal(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |all, (one, other)| all | (one ^ other));
    one.len() == other.len() && std::hint::black_box(differences) == 0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Answer, Ask, Event, Level, Line, Reply, Secret, Session, VERSION};
    use crate::gossip::rpc::answer::Fields;
    use crate::gossip::wire::pack::{Flavour, Pack, written};
    use crate::unit::Time;
    use zeroize::Zeroizing;

    fn request(command: &str, seq: u64, body: Option<&dyn Pack>) -> Vec<u8> {
        let mut bytes = written(Flavour::Rpc, &Fields([("Command", &command), ("Seq", &seq)]));
        body.iter().for_each(|body| bytes.extend(written(Flavour::Rpc, *body)));
        bytes
    }

    fn greeted() -> Session {
        let mut session = Session::new(Secret::default());
        session.receive(&request("handshake", 1, Some(&Fields([("Version", &VERSION)]))));
        assert!(session.next(Time::ZERO).is_none());
        drop(said(&mut session));
        session
    }

    fn said(session: &mut Session) -> String {
        let mut bytes = Vec::new();
        while !session.output().is_empty() {
            bytes.extend_from_slice(session.output());
            session.wrote(session.output().len());
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn query(until: Time) -> Event {
        Event::Query { key: 40, until, ltime: 1, name: "up".into(), payload: Vec::new(), from: "a".into() }
    }

    #[test]
    fn a_wrong_secret_opens_nothing() {
        let secret = Secret::new(Zeroizing::new(b"open sesame".to_vec()));
        let mut session = Session::new(secret);
        session.receive(&request("handshake", 1, Some(&Fields([("Version", &VERSION)]))));
        for (word, told) in [("open", "Invalid"), ("open sesam", "Invalid"), ("open sesame", "")] {
            session.receive(&request("stats", 2, None));
            assert!(session.next(Time::ZERO).is_none(), "{word}");
            assert!(said(&mut session).contains("Authentication required"));
            session.receive(&request("auth", 3, Some(&Fields([("AuthKey", &word)]))));
            assert!(session.next(Time::ZERO).is_none());
            assert_eq!(said(&mut session).contains("Invalid"), told == "Invalid", "{word}");
        }
        session.receive(&request("stats", 4, None));
        assert!(matches!(session.next(Time::ZERO), Some(Ask::Stats)));
    }

    #[test]
    fn one_request_after_another() {
        let mut session = greeted();
        let join = Fields([("Existing", &vec!["a".to_owned()] as &dyn Pack), ("Replay", &false)]);
        session.receive(&[request("join", 2, Some(&join)), request("leave", 3, None)].concat());
        assert!(matches!(session.next(Time::ZERO), Some(Ask::Join { .. })));
        assert!(session.next(Time::ZERO).is_none() && !session.is_hungry());
        session.answer(Answer::Joined(1, String::new()));
        assert!(matches!(session.next(Time::ZERO), Some(Ask::Leave)));
        session.answer(Answer::Done);
        assert!(session.is_hungry() && !session.is_over());
    }

    #[test]
    fn a_response_is_taken_once_and_in_time() {
        let until = Time::ZERO + Duration::from_secs(3);
        for (now, taken) in [(Time::ZERO, true), (until, false)] {
            let mut session = greeted();
            session.receive(&request("stream", 2, Some(&Fields([("Type", &"query")]))));
            session.receive(&request("stream", 3, Some(&Fields([("Type", &"*")]))));
            assert!(session.next(Time::ZERO).is_none() && session.listens());
            session.event(Time::ZERO, &query(until));
            let respond = Fields([("ID", &1_u64 as &dyn Pack), ("Payload", &b"yes".to_vec())]);
            session.receive(&[request("respond", 4, Some(&respond)), request("respond", 5, Some(&respond))].concat());
            let asked = session.next(now);
            assert_eq!(matches!(asked, Some(Ask::Respond { key: 40, .. })), taken);
            session.answer(Answer::Done);
            assert!(session.next(now).is_none());
            assert_eq!(said(&mut session).matches("No pending queries").count(), if taken { 1 } else { 2 });
        }
    }

    #[test]
    fn what_is_stopped_says_no_more() {
        let mut session = greeted();
        session.receive(&request("monitor", 2, Some(&Fields([("LogLevel", &"Warn")]))));
        assert!(matches!(session.next(Time::ZERO), Some(Ask::Lines)));
        let line = |level: Level| Line { level, text: format!("[{level}] something").into() };
        session.answer(Answer::Lines(vec![line(Level::Info), line(Level::Warn)]));
        session.line(&line(Level::Err));
        session.line(&line(Level::Debug));
        let text = said(&mut session);
        assert!(text.contains("[WARN]") && text.contains("[ERR]") && !text.contains("INFO") && !text.contains("DEBUG"));
        session.receive(&request("monitor", 3, Some(&Fields([("LogLevel", &"err")]))));
        assert!(session.next(Time::ZERO).is_none());
        assert!(said(&mut session).contains("Monitor already exists"));
        session.receive(&request("stop", 4, Some(&Fields([("Stop", &2_u64)]))));
        assert!(session.next(Time::ZERO).is_none());
        drop(said(&mut session));
        session.line(&line(Level::Err));
        assert!(said(&mut session).is_empty());
    }

    #[test]
    fn a_client_that_reads_nothing_costs_little_and_still_learns_the_end() {
        let mut session = greeted();
        session.receive(&request("stream", 2, Some(&Fields([("Type", &"")]))));
        let body = Fields([("Name", &"up" as &dyn Pack), ("Payload", &Vec::<u8>::new())]);
        session.receive(&request("query", 3, Some(&body)));
        assert!(matches!(session.next(Time::ZERO), Some(Ask::Query(_))));
        session.answer(Answer::Asked(8));
        for _ in 0..10_000 {
            session.event(Time::ZERO, &query(Time::ZERO + Duration::from_secs(1)));
            session.reply(8, &Reply::Response("a".into(), vec![0; 1024]));
        }
        session.reply(8, &Reply::Done);
        session.reply(8, &Reply::Done);
        assert!(session.dropped() > 9000 && !session.is_hungry());
        session.receive(&request("stats", 4, None));
        assert!(session.next(Time::ZERO).is_none(), "it is full");
        let text = said(&mut session);
        assert!(text.len() < 6 << 20, "{}", text.len());
        assert_eq!(text.matches("done").count(), 1);
        assert!(matches!(session.next(Time::ZERO), Some(Ask::Stats)));
    }

    #[test]
    fn what_is_no_rpc_ends_the_connection() {
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], &[0xc1], &[0xdb, 0xff, 0xff, 0xff, 0xff], &[0x93, 1, 2, 3]] {
            let mut session = greeted();
            session.receive(bytes);
            assert!(session.next(Time::ZERO).is_none());
            drop(said(&mut session));
            assert!(session.is_over(), "{bytes:?}");
        }
    }
}
