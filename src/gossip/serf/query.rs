//! Queries of this node (section 3.4): who is asked, and what comes back.

use std::collections::BTreeSet;
use std::time::Duration;

use super::complaint::Complaint;
use super::config::{INTERNAL, QUERY_ROUNDS, RUNNING};
use super::conflict::Votes;
use super::keys::Collection;
use super::machine::Serf;
use super::output::{Output, Refusal, Reply};
use super::queues::push;
use crate::gossip::swim::broadcast::retransmit_limit;
use crate::gossip::wire::serf::{Filter, Filters, Query, QueryResponse, SerfMessage, flag};
use crate::gossip::{Dice, Name};
use crate::unit::Time;

/// Responses that are taken in the smallest cluster.
const FEW: usize = 256;

/// What is to be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Its name.
    pub name: Name,
    /// What comes with it; `None` if nothing does.
    pub payload: Option<Vec<u8>>,
    /// Ask only these; all, if there are none.
    pub nodes: Vec<Name>,
    /// Ask only who has tags that fit: tags and regular expressions, which need not match the whole value.
    pub tags: Vec<(Name, Name)>,
    /// Whether each is to say that it heard.
    pub ack: bool,
    /// How many others carry each response, too.
    pub relay: u8,
    /// How long to wait; zero is what Serf thinks right.
    pub timeout: Duration,
}

/// What the responses are for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// A client of this node.
    Client,
    /// Whose name it is.
    Conflict(Votes),
    /// An operation on everybody's keys.
    Keys(Collection),
}

/// A query of this node that runs.
#[derive(Debug)]
pub(super) struct Inquiry {
    id: u32,
    pub until: Time,
    wants_acks: bool,
    acks: BTreeSet<Name>,
    responses: BTreeSet<Name>,
    /// How many of each are taken.
    room: usize,
    pub purpose: Purpose,
}

impl Serf {
    /// Asks everybody something. What comes back is told under the key that this answers.
    pub fn query(&mut self, now: Time, request: Request) -> Result<u64, Refusal> {
        let ping = request.name.bytes() == b"_serf_ping" && request.payload.is_none();
        if request.name.bytes().starts_with(INTERNAL) && !ping {
            return Err(Refusal::Internal);
        }
        let key = self.ask(now, request, Purpose::Client)?;
        self.settle(now);
        Ok(key)
    }

    /// Waits no longer for what comes of a query: nobody is there to hear it.
    pub fn close_query(&mut self, key: u64) {
        if self.inquiries.get(&key).is_some_and(|inquiry| matches!(inquiry.purpose, Purpose::Client)) {
            self.inquiries.remove(&key);
        }
    }

    /// How long a query waits that says nothing of it: so long that gossip reaches everybody and a response comes back.
    pub fn query_timeout(&self) -> Duration {
        self.config.gossip_interval * QUERY_ROUNDS * retransmit_limit(1, self.members.there())
    }

    pub(super) fn ask(&mut self, now: Time, request: Request, purpose: Purpose) -> Result<u64, Refusal> {
        if self.config.protocol < 4 {
            return Err(Refusal::Feature);
        }
        let ltime = self.query_clock.time();
        if self.inquiries.len() >= RUNNING || self.inquiries.contains_key(&ltime) {
            return Err(Refusal::Crowded(RUNNING));
        }
        let timeout = if request.timeout.is_zero() { self.query_timeout() } else { request.timeout };
        let mut filters = Vec::new();
        if !request.nodes.is_empty() {
            filters.push(Filter::Nodes(request.nodes));
        }
        filters.extend(request.tags.into_iter().map(|(tag, expression)| Filter::Tag { tag, expression }));
        let query = Query {
            ltime,
            // As Serf's: 31 bits.
            id: (self.dice.next() >> 33) as u32,
            addr: self.config.addr.clone(),
            port: self.config.port,
            source: self.config.name.clone(),
            filters: Filters(filters),
            flags: if request.ack { flag::ACK } else { 0 },
            relay_factor: request.relay,
            timeout,
            name: request.name,
            payload: request.payload.unwrap_or_default(),
        };
        let bytes = SerfMessage::Query(query.clone()).encode();
        if bytes.len() > self.config.query_size {
            return Err(Refusal::Query(self.config.query_size));
        }
        let inquiry = Inquiry {
            id: query.id,
            until: now + timeout,
            wants_acks: request.ack,
            acks: BTreeSet::new(),
            responses: BTreeSet::new(),
            // More may come than are known: who has just joined knows few.
            room: FEW.max(2 * self.members.len()),
            purpose,
        };
        self.inquiries.insert(ltime, inquiry);
        self.hear_query(now, query, true);
        push(&mut self.queues.queries, bytes);
        Ok(ltime)
    }

    /// Takes a response, or that somebody heard a query.
    pub(super) fn hear_response(&mut self, now: Time, response: QueryResponse) {
        let QueryResponse { ltime, id, from, flags, payload } = response;
        let Some(inquiry) = self.inquiries.get_mut(&ltime) else {
            return self.complain(now, Complaint::StrayResponse, || {
                format!("serf: reply for non-running query (LTime: {ltime}, ID: {id}) From: {from}")
            });
        };
        if inquiry.id != id {
            let local = inquiry.id;
            return self.complain(now, Complaint::StrayResponse, || {
                format!("serf: query reply ID mismatch (Local: {local}, Response: {id})")
            });
        }
        let ack = flags & flag::ACK != 0;
        let heard = if ack { &mut inquiry.acks } else { &mut inquiry.responses };
        if ack && !inquiry.wants_acks || heard.len() >= inquiry.room || !heard.insert(from.clone()) {
            return;
        }
        match (&mut inquiry.purpose, ack) {
            (Purpose::Client, true) => self.out.push_back(Output::Reply { key: ltime, reply: Reply::Ack(from) }),
            (Purpose::Client, false) => {
                self.out.push_back(Output::Reply { key: ltime, reply: Reply::Response(from, payload) });
            }
            (Purpose::Conflict(_), false) => self.hear_vote(now, ltime, &payload),
            (Purpose::Keys(_), false) => self.hear_keys(now, ltime, from, &payload),
            (Purpose::Conflict(_) | Purpose::Keys(_), true) => {}
        }
    }

    /// Ends the queries whose time is over.
    pub(super) fn close_inquiries(&mut self, now: Time) {
        let over: Vec<u64> = self.inquiries.iter().filter(|(_, i)| i.until <= now).map(|(ltime, _)| *ltime).collect();
        over.into_iter().for_each(|ltime| self.close_inquiry(now, ltime));
    }

    pub(super) fn close_inquiry(&mut self, now: Time, ltime: u64) {
        let Some(inquiry) = self.inquiries.remove(&ltime) else { return };
        match inquiry.purpose {
            Purpose::Client => self.out.push_back(Output::Reply { key: ltime, reply: Reply::Done }),
            Purpose::Conflict(votes) => self.judge(now, votes),
            Purpose::Keys(collection) => {
                self.out.push_back(Output::Keys { key: ltime, report: collection.report() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Request;
    use crate::gossip::serf::config::Config;
    use crate::gossip::serf::machine::tests::{at, config, drain, hear, known, lines, said, serf, serf_with};
    use crate::gossip::serf::{Event, Output, Refusal, Reply, Serf};
    use crate::gossip::swim::{Delegate, Notice};
    use crate::gossip::wire::message::Addr;
    use crate::gossip::wire::serf::{Filter, Query, QueryResponse, SerfMessage};

    fn load() -> Request {
        Request { name: "load".into(), payload: Some(b"hello".to_vec()), ack: true, ..Request::default() }
    }

    /// The query as it goes out.
    fn asked(serf: &mut Serf) -> Query {
        match &said(serf)[..] {
            [SerfMessage::Query(query)] => query.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn response(query: &Query, from: &str, flags: u32) -> SerfMessage {
        let payload = if flags == 0 { b"42".to_vec() } else { Vec::new() };
        SerfMessage::Response(QueryResponse { ltime: query.ltime, id: query.id, from: from.into(), flags, payload })
    }

    fn replies(serf: &mut Serf) -> Vec<Reply> {
        let reply = |output| if let Output::Reply { reply, .. } = output { Some(reply) } else { None };
        drain(serf).into_iter().filter_map(reply).collect()
    }

    #[test]
    fn section_3_4_a_query_goes_to_everybody_and_to_this_node() {
        let mut serf = serf(&["a"]);
        let request = Request {
            nodes: vec!["a".into(), "me".into()],
            tags: vec![("role".into(), "".into())],
            relay: 2,
            ..load()
        };
        assert_eq!(serf.query(at(0), request), Ok(1));
        let query = asked(&mut serf);
        assert!(query.id < 1 << 31);
        let filters = vec![
            Filter::Nodes(vec!["a".into(), "me".into()]),
            Filter::Tag { tag: "role".into(), expression: "".into() },
        ];
        let expected = Query {
            ltime: 1,
            id: query.id,
            addr: Addr(vec![10, 0, 0, 1]),
            port: 7946,
            source: "me".into(),
            filters: crate::gossip::wire::serf::Filters(filters),
            flags: 1,
            relay_factor: 2,
            timeout: Duration::from_millis(3200),
            name: "load".into(),
            payload: b"hello".to_vec(),
        };
        assert_eq!((query, serf.numbers().query_time), (expected, 2));
        let outputs = drain(&mut serf);
        // Its own ack needs no network.
        let ack = Output::Reply { key: 1, reply: Reply::Ack("me".into()) };
        assert!(outputs.contains(&ack), "{outputs:?}");
        assert!(
            matches!(outputs.last(), Some(Output::Event(Event::Query { ltime: 1, until, .. })) if *until == at(3200))
        );
    }

    #[test]
    fn section_3_4_each_node_counts_once_of_each_kind() {
        let mut serf = serf(&["a", "b"]);
        let key = serf.query(at(0), load()).expect("a query");
        let query = asked(&mut serf);
        drain(&mut serf);
        for (from, flags) in [("a", 1), ("a", 1), ("a", 0), ("a", 0), ("b", 0), ("b", 1)] {
            hear(&mut serf, at(1), response(&query, from, flags));
        }
        let says = |from: &str| Reply::Response(from.into(), b"42".to_vec());
        assert_eq!(replies(&mut serf), [Reply::Ack("a".into()), says("a"), says("b"), Reply::Ack("b".into())]);
        assert_eq!(serf.deadline(), Some(at(3200)));
        serf.tick(at(3200));
        assert_eq!(drain(&mut serf), [Output::Reply { key, reply: Reply::Done }]);
        hear(&mut serf, at(3201), response(&query, "c", 0));
        let told = lines(&mut serf);
        assert_eq!(told, [format!("serf: reply for non-running query (LTime: 1, ID: {}) From: c", query.id)]);
    }

    #[test]
    fn section_3_4_acks_that_nobody_wants_and_responses_to_others_are_dropped() {
        let mut serf = serf(&["a"]);
        serf.query(at(0), Request { ack: false, ..load() }).expect("a query");
        let query = asked(&mut serf);
        drain(&mut serf);
        hear(&mut serf, at(0), response(&query, "a", 1));
        assert_eq!(drain(&mut serf), []);
        let other = Query { id: query.id ^ 1, ..query.clone() };
        hear(&mut serf, at(0), response(&other, "a", 0));
        let line = format!("serf: query reply ID mismatch (Local: {}, Response: {})", query.id, other.id);
        assert_eq!(lines(&mut serf), [line]);
    }

    #[test]
    fn section_3_4_how_long_a_query_waits() {
        let names: Vec<String> = (0..9).map(|n| format!("n{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(serf(&names[..8]).query_timeout(), Duration::from_millis(3200));
        assert_eq!(serf(&names).query_timeout(), Duration::from_millis(6400));
        // Only those count that are there.
        let mut serf = serf(&names);
        serf.notice(at(0), &Notice::Left(known("n0", 2)));
        assert_eq!(serf.query_timeout(), Duration::from_millis(3200));
        let mut serf = self::serf(&["a"]);
        let request = Request { timeout: Duration::from_secs(60), ..load() };
        serf.query(at(0), request).expect("a query");
        assert_eq!((asked(&mut serf).timeout, serf.deadline()), (Duration::from_secs(60), Some(at(60_000))));
    }

    #[test]
    fn section_3_4_a_query_is_1024_bytes_at_most() {
        let mut serf = serf(&[]);
        let of = |size: usize| Request { payload: Some(vec![b'x'; size]), ..load() };
        assert_eq!(serf.query(at(0), of(1024)), Err(Refusal::Query(1024)));
        assert_eq!(serf.numbers().query_time, 1);
        assert_eq!(serf.query(at(0), of(800)), Ok(1));
    }

    #[test]
    fn section_4_5_of_internal_queries_clients_have_the_ping() {
        let mut serf = serf(&[]);
        let of = |name: &str, payload| Request { name: name.into(), payload, ..Request::default() };
        assert_eq!(serf.query(at(0), of("_serf_conflict", None)), Err(Refusal::Internal));
        assert_eq!(serf.query(at(0), of("_serf_ping", Some(vec![]))), Err(Refusal::Internal));
        assert_eq!(serf.query(at(0), of("_serf_ping", None)), Ok(1));
        // Nobody else hears of it.
        assert_eq!(drain(&mut serf), []);
    }

    #[test]
    fn section_0_queries_are_new_in_protocol_4() {
        let mut serf = serf_with(Config { protocol: 3, ..config() }, &[]);
        assert_eq!(serf.query(at(0), load()), Err(Refusal::Feature));
    }

    #[test]
    fn queries_and_responses_are_bounded() {
        let mut serf = serf(&[]);
        (1..=1024).for_each(|key| assert_eq!(serf.query(at(0), load()), Ok(key)));
        assert_eq!(serf.query(at(0), load()), Err(Refusal::Crowded(1024)));
        serf.tick(at(3200));
        drain(&mut serf);
        said(&mut serf);
        serf.query(at(3200), load()).expect("a query");
        let query = asked(&mut serf);
        (0..300).for_each(|n| hear(&mut serf, at(3200), response(&query, &format!("n{n}"), 0)));
        assert_eq!(replies(&mut serf).len(), 1 + 256);
    }

    #[test]
    fn a_client_that_is_gone_hears_nothing() {
        let mut serf = serf(&["a"]);
        let key = serf.query(at(0), load()).expect("a query");
        drain(&mut serf);
        serf.close_query(key);
        serf.tick(at(4000));
        assert_eq!(drain(&mut serf), []);
    }
}
