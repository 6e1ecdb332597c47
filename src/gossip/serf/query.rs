//! Queries of this node (section 3.4): who is asked, and what comes back.

use std::collections::BTreeSet;
use std::time::Duration;

use super::complaint::Complaint;
use super::config::{INTERNAL, QUERY_ROUNDS, QUERY_SIZE, RUNNING};
use super::conflict::Votes;
use super::keys::Collection;
use super::machine::Serf;
use super::output::{Output, Refusal, Reply};
use super::queues::push;
use crate::gossip::wire::serf::{Filter, Filters, Query, QueryResponse, SerfMessage, flag};
use crate::gossip::{Dice, Name};
use crate::unit::Time;

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
        let mut digits = 1;
        let mut reach = 10;
        while reach < self.members.there() + 1 {
            digits += 1;
            reach *= 10;
        }
        self.config.gossip_interval * QUERY_ROUNDS * digits
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
        if bytes.len() > QUERY_SIZE {
            return Err(Refusal::Query(QUERY_SIZE));
        }
        let inquiry = Inquiry {
            id: query.id,
            until: now + timeout,
            wants_acks: request.ack,
            acks: BTreeSet::new(),
            responses: BTreeSet::new(),
            // More may come than are known: who has just joined knows few.
            room: self.config.members,
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
            (Purpose::Keys(_), false) => self.hear_keys(ltime, from, &payload),
            (Purpose::Conflict(_) | Purpose::Keys(_), true) => {}
        }
    }

    /// Ends the queries whose time is over.
    pub(super) fn close_inquiries(&mut self, now: Time) {
        let over: Vec<u64> = self.inquiries.iter().filter(|(_, i)| i.until <= now).map(|(ltime, _)| *ltime).collect();
        over.into_iter().for_each(|ltime| self.close_inquiry(ltime));
    }

    pub(super) fn close_inquiry(&mut self, ltime: u64) {
        let Some(inquiry) = self.inquiries.remove(&ltime) else { return };
        match inquiry.purpose {
            Purpose::Client => self.out.push_back(Output::Reply { key: ltime, reply: Reply::Done }),
            Purpose::Conflict(votes) => self.judge(votes),
            Purpose::Keys(collection) => {
                self.out.push_back(Output::Keys { key: ltime, report: collection.report() });
            }
        }
    }
}
