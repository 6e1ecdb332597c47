//! Queries of others (section 3.4): whom they are for, acks, responses, and relays in both directions.

use std::net::SocketAddr;

use regex_lite::RegexBuilder;

use super::complaint::Complaint;
use super::config::{INTERNAL, RESPONSE_SIZE, RUNNING};
use super::event::Event;
use super::machine::Serf;
use super::member::Status;
use super::output::{Level, Output, Refusal};
use super::ring::Verdict;
use crate::gossip::wire::message::Addr;
use crate::gossip::wire::serf::{Filter, Query, QueryResponse, Relay, SerfMessage, flag};
use crate::gossip::{Dice, Name};
use crate::unit::Time;

/// Bytes that a regular expression may take when it is compiled: what matching costs grows with it.
const EXPRESSION_SIZE: usize = 64 * 1024;
/// memberlist's protocol from which on a member carries responses of others.
const RELAYS_SINCE: u8 = 5;

/// A query that may be responded to.
#[derive(Clone, Debug)]
pub(super) struct Question {
    ltime: u64,
    id: u32,
    /// None, if there is no way to whoever asks.
    to: Option<SocketAddr>,
    addr: Addr,
    port: u16,
    source: Name,
    relay: u8,
    until: Time,
    /// Whether this node asked it.
    own: bool,
    answered: bool,
    /// Whether all keys are the response.
    pub(super) lists_keys: bool,
}

impl Question {
    /// Whether no response is taken any more.
    pub(super) fn over(&self, now: Time) -> bool {
        self.until < now
    }
}

/// Whether a regular expression fits somewhere in a value. One that is none fits nowhere.
fn fits(expression: &Name, value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(expression.bytes()) else { return false };
    let regex = RegexBuilder::new(text).size_limit(EXPRESSION_SIZE).build();
    regex.is_ok_and(|regex| regex.is_match(&String::from_utf8_lossy(value)))
}

impl Serf {
    /// Takes a query, whoever asks. Answers whether it is to be sent on.
    pub(super) fn hear_query(&mut self, now: Time, query: Query, own: bool) -> bool {
        let (ltime, id) = (query.ltime, query.id);
        self.query_clock.witness(ltime);
        let clock = self.query_clock.time();
        match self.queries.admit(ltime, clock, id, 1) {
            Verdict::New => {}
            Verdict::Seen => return false,
            Verdict::Old => {
                self.complain(now, Complaint::OldQuery, || {
                    format!("serf: received old query {} from time {ltime} (current: {clock})", query.name)
                });
                return false;
            }
            Verdict::Full => {
                self.complain(now, Complaint::Crowded, || {
                    format!("serf: unable to remember the query {}: too much happened at time {ltime}", query.name)
                });
                return false;
            }
        }
        if let Some(journal) = &mut self.journal {
            journal.query(ltime);
        }
        let goes_on = query.flags & flag::NO_BROADCAST == 0;
        if !query.filters.0.iter().all(|filter| self.is_meant(filter)) {
            return goes_on;
        }
        let to = query.addr.socket(query.port).filter(|to| to.port() != 0);
        if to.is_none() && !own {
            self.complain(now, Complaint::NoAddress, || {
                format!("serf: unable to respond to the query {} of {}: its address is none", query.name, query.source)
            });
        }
        let question = Question {
            ltime,
            id,
            to,
            addr: query.addr,
            port: query.port,
            source: query.source.clone(),
            relay: query.relay_factor,
            until: now + query.timeout,
            own,
            answered: false,
            lists_keys: false,
        };
        if query.flags & flag::ACK != 0 {
            let ack =
                QueryResponse { ltime, id, from: self.config.name.clone(), flags: flag::ACK, payload: Vec::new() };
            self.send_response(now, &question, ack);
        }
        self.log(Level::Debug, format!("serf: messageQueryType: {}", query.name));
        if let Some(internal) = query.name.bytes().strip_prefix(INTERNAL) {
            self.hear_internal(now, internal, question, &query.payload);
        } else {
            let until = question.until;
            let key = self.keep_question(now, question);
            self.tell(
                now,
                Event::Query { key, until, ltime, name: query.name, payload: query.payload, from: query.source },
            );
        }
        goes_on
    }

    /// Whether a filter lets this node through.
    fn is_meant(&self, filter: &Filter) -> bool {
        match filter {
            Filter::Nodes(names) => names.contains(&self.config.name),
            Filter::Tag { tag, expression } => {
                fits(expression, self.config.tags.get(tag).map(Name::bytes).unwrap_or_default())
            }
            Filter::Other(_) => false,
        }
    }

    /// Keeps a query that may be responded to; of too many, the one that ends first goes. Answers its key.
    pub(super) fn keep_question(&mut self, now: Time, question: Question) -> u64 {
        if self.questions.len() >= RUNNING {
            self.questions.retain(|_, question| question.until > now);
        }
        if self.questions.len() >= RUNNING
            && let Some((&first, _)) = self.questions.iter().min_by_key(|(_, question)| question.until)
        {
            self.questions.remove(&first);
        }
        let key = self.next_key;
        self.next_key += 1;
        self.questions.insert(key, question);
        key
    }

    /// Responds to a query by the key that came with it. Each takes one response, until its time is over.
    pub fn respond(&mut self, now: Time, key: u64, payload: Vec<u8>) -> Result<(), Refusal> {
        let Some(question) = self.questions.get(&key) else { return Err(Refusal::Deadline) };
        let response = self.response(question, payload);
        if SerfMessage::Response(response.clone()).encode().len() > RESPONSE_SIZE {
            return Err(Refusal::Response(RESPONSE_SIZE));
        }
        if question.answered {
            return Err(Refusal::Answered);
        }
        if now > question.until {
            self.questions.remove(&key);
            return Err(Refusal::Deadline);
        }
        let question = question.clone();
        if let Some(kept) = self.questions.get_mut(&key) {
            kept.answered = true;
        }
        self.send_response(now, &question, response);
        Ok(())
    }

    /// A response of this node.
    pub(super) fn response(&self, question: &Question, payload: Vec<u8>) -> QueryResponse {
        let from = self.config.name.clone();
        QueryResponse { ltime: question.ltime, id: question.id, from, flags: 0, payload }
    }

    /// Sends a response to whoever asked, and through others if that is wanted. This node needs no way to itself.
    pub(super) fn send_response(&mut self, now: Time, question: &Question, response: QueryResponse) {
        if question.own {
            return self.hear_response(now, response);
        }
        let Some(to) = question.to else { return };
        let message = SerfMessage::Response(response).encode();
        if question.relay > 0 && self.members.len() > usize::from(question.relay) {
            let relay = Relay {
                addr: question.addr.clone(),
                port: question.port,
                zone: Name::default(),
                node: question.source.clone(),
                message: message.clone(),
            };
            let bytes = SerfMessage::Relay(relay).encode();
            if bytes.len() <= RESPONSE_SIZE {
                let carriers = self.carriers(usize::from(question.relay));
                let sends = carriers.into_iter().map(|to| Output::Send { to, bytes: bytes.clone() });
                self.out.push_back(Output::Send { to, bytes: message });
                self.out.extend(sends);
                return;
            }
        }
        self.out.push_back(Output::Send { to, bytes: message });
    }

    /// So many members that can carry a response, each as likely as any other.
    fn carriers(&mut self, count: usize) -> Vec<SocketAddr> {
        let mut chosen = Vec::new();
        let able = self.members.iter().filter_map(|(name, cell)| {
            let alive = cell.member.status == Status::Alive && cell.member.protocol_max() >= RELAYS_SINCE;
            (alive && *name != self.config.name).then(|| cell.member.socket()).flatten()
        });
        for (seen, socket) in able.enumerate() {
            if chosen.len() < count {
                chosen.push(socket);
            } else if let Some(place) = chosen.get_mut(self.dice.below(seen + 1)) {
                *place = socket;
            }
        }
        chosen
    }

    /// Carries a response of another member.
    pub(super) fn carry(&mut self, now: Time, relay: Relay) {
        match relay.addr.socket(relay.port).filter(|to| to.port() != 0) {
            Some(to) => {
                self.log(Level::Debug, format!("serf: Relaying response to addr: {to}"));
                self.out.push_back(Output::Send { to, bytes: relay.message });
            }
            None => self.complain(now, Complaint::NoAddress, || {
                format!("serf: unable to relay a response to {}: its address is none", relay.node)
            }),
        }
    }
}
