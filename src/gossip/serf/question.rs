//! Queries of others (section 3.4): whom they are for, acks, responses, and relays in both directions.

use std::net::SocketAddr;

use regex_lite::RegexBuilder;

use super::complaint::Complaint;
use super::config::{INTERNAL, RUNNING};
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
        match self.queries.admit(ltime, clock, &id, 1) {
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
            let key = self.keep_question(question);
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

    /// Keeps a query that may be responded to; of too many, the oldest goes. Answers its key.
    pub(super) fn keep_question(&mut self, question: Question) -> u64 {
        if self.questions.len() >= RUNNING {
            self.questions.pop_first();
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
        if SerfMessage::Response(response.clone()).encode().len() > self.config.response_size {
            return Err(Refusal::Response(self.config.response_size));
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
            if bytes.len() <= self.config.response_size {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::fits;
    use crate::gossip::serf::config::Config;
    use crate::gossip::serf::machine::tests::{at, config, drain, events, hear, lines, said, serf, serf_with, tags};
    use crate::gossip::serf::{Event, Output, Refusal, Serf};
    use crate::gossip::wire::message::Addr;
    use crate::gossip::wire::serf::{Filter, Filters, Query, QueryResponse, Relay, SerfMessage};

    fn query(id: u32) -> Query {
        Query {
            ltime: 5,
            id,
            addr: Addr(vec![10, 0, 0, 9]),
            port: 7946,
            source: "asker".into(),
            timeout: Duration::from_secs(1),
            name: "load".into(),
            ..Query::default()
        }
    }

    fn ask(serf: &mut Serf, query: Query) -> Vec<Output> {
        hear(serf, at(0), SerfMessage::Query(query));
        drain(serf)
    }

    fn key_of(outputs: &[Output]) -> u64 {
        let key =
            |output: &Output| if let Output::Event(Event::Query { key, .. }) = output { Some(*key) } else { None };
        outputs.iter().find_map(key).expect("a query")
    }

    /// Where something goes, and what.
    fn sent(outputs: &[Output]) -> Vec<(String, SerfMessage)> {
        let message = |output: &Output| match output {
            Output::Send { to, bytes } => Some((to.to_string(), SerfMessage::decode(bytes).expect("a message"))),
            _ => None,
        };
        outputs.iter().filter_map(message).collect()
    }

    #[test]
    fn section_3_4_a_query_is_heard_once_and_goes_on() {
        let mut serf = serf(&["a"]);
        let outputs = ask(&mut serf, query(1));
        let [Output::Event(Event::Query { key, until, ltime: 5, name, payload, from })] = &outputs[..] else {
            panic!("{outputs:?}")
        };
        assert_eq!((*until, *name == "load".into(), payload.len(), *from == "asker".into()), (at(1000), true, 0, true));
        assert_eq!(*key, 1);
        assert_eq!(ask(&mut serf, query(1)), []);
        assert_eq!(ask(&mut serf, query(2)).len(), 1);
        assert_eq!((said(&mut serf).len(), serf.numbers().query_time), (2, 6));
    }

    #[test]
    fn section_3_4_flag_2_keeps_a_query_here() {
        let mut serf = serf(&["a"]);
        assert_eq!(ask(&mut serf, Query { flags: 2, ..query(1) }).len(), 1);
        assert_eq!(said(&mut serf), []);
    }

    #[test]
    fn section_3_4_flag_1_is_acked_at_once() {
        let mut serf = serf(&["a"]);
        let outputs = ask(&mut serf, Query { flags: 1, ..query(7) });
        let ack = QueryResponse { ltime: 5, id: 7, from: "me".into(), flags: 1, payload: vec![] };
        assert_eq!(sent(&outputs), [("10.0.0.9:7946".to_owned(), SerfMessage::Response(ack))]);
    }

    #[test]
    fn section_3_4_one_response_until_the_deadline() {
        let mut serf = serf(&["a"]);
        let key = key_of(&ask(&mut serf, query(7)));
        assert_eq!(serf.respond(at(999), key, vec![b'x'; 1024]), Err(Refusal::Response(1024)));
        assert_eq!(serf.respond(at(1000), key, b"42".to_vec()), Ok(()));
        let response = QueryResponse { ltime: 5, id: 7, from: "me".into(), flags: 0, payload: b"42".to_vec() };
        assert_eq!(sent(&drain(&mut serf)), [("10.0.0.9:7946".to_owned(), SerfMessage::Response(response))]);
        assert_eq!(serf.respond(at(1000), key, vec![]), Err(Refusal::Answered));
        let late = key_of(&ask(&mut serf, query(8)));
        assert_eq!(serf.respond(at(1001), late, vec![]), Err(Refusal::Deadline));
        assert_eq!(serf.respond(at(0), 99, vec![]), Err(Refusal::Deadline));
    }

    #[test]
    fn section_3_4_all_filters_must_let_a_node_through() {
        let web = tags(&[("role", "web1"), ("dc", "east")]);
        let mut serf = serf_with(Config { tags: web, ..config() }, &["a"]);
        let nodes = |names: &[&str]| Filter::Nodes(names.iter().map(|name| (*name).into()).collect());
        let tag = |tag: &str, expression: &str| Filter::Tag { tag: tag.into(), expression: expression.into() };
        let cases = [
            (vec![], true),
            (vec![nodes(&["a", "me"])], true),
            (vec![nodes(&["a"])], false),
            (vec![tag("role", "web")], true),
            (vec![tag("role", "^web$")], false),
            (vec![tag("role", "w.b[0-9]+"), tag("dc", "^(east|west)$")], true),
            (vec![tag("role", "web"), tag("dc", "north")], false),
            (vec![nodes(&["me"]), tag("none", "^$")], true),
            (vec![tag("none", ".")], false),
            (vec![tag("role", "(")], false),
            (vec![Filter::Other(vec![2, 0x90])], false),
            (vec![Filter::Other(vec![])], false),
        ];
        for (id, (filters, meant)) in (1..).zip(cases) {
            let outputs = ask(&mut serf, Query { flags: 1, filters: Filters(filters.clone()), ..query(id) });
            assert_eq!(outputs.len(), if meant { 2 } else { 0 }, "{filters:?}");
            // Whom it is not for sends it on, too.
            assert_eq!(said(&mut serf).len(), 1);
        }
    }

    #[test]
    fn section_3_1_expressions_are_go_s() {
        let cases =
            [("(?i)WEB", true), ("\\d", true), ("[[:alpha:]]{3}", true), ("web1$", true), ("a{1000}{1000}", false)];
        cases
            .iter()
            .for_each(|(expression, fit)| assert_eq!(fits(&(*expression).into(), b"web1"), *fit, "{expression}"));
        assert!(!fits(&b"\xff"[..].into(), b"\xff"));
        assert!(fits(&".".into(), b"\xff"));
    }

    #[test]
    fn section_3_4_others_carry_the_response_too() {
        let mut serf = serf(&["a", "b", "c"]);
        let outputs = ask(&mut serf, Query { flags: 1, relay_factor: 2, ..query(7) });
        let ack = QueryResponse { ltime: 5, id: 7, from: "me".into(), flags: 1, payload: vec![] };
        let ack = SerfMessage::Response(ack);
        let sends = sent(&outputs);
        assert_eq!(sends[0], ("10.0.0.9:7946".to_owned(), ack.clone()));
        let relay = Relay {
            addr: Addr(vec![10, 0, 0, 9]),
            port: 7946,
            zone: "".into(),
            node: "asker".into(),
            message: ack.encode(),
        };
        assert!(sends[1..].iter().all(|(_, message)| *message == SerfMessage::Relay(relay.clone())), "{sends:?}");
        assert_eq!(sends.len(), 3);
        assert_ne!(sends[1].0, sends[2].0);
        // So few members need no relay.
        let outputs = ask(&mut serf, Query { flags: 1, relay_factor: 4, ..query(8) });
        assert_eq!(sent(&outputs).len(), 1);
        let outputs = ask(&mut serf, Query { flags: 1, relay_factor: 3, ..query(9) });
        assert_eq!(sent(&outputs).len(), 4);
    }

    #[test]
    fn section_3_4_every_other_member_carries_as_often() {
        let mut serf = serf(&["a", "b", "c"]);
        let mut carried = std::collections::BTreeMap::<String, usize>::new();
        for id in 0..300 {
            let outputs = ask(&mut serf, Query { flags: 1, relay_factor: 1, ..query(id) });
            *carried.entry(sent(&outputs)[1].0.clone()).or_default() += 1;
        }
        assert_eq!(carried.len(), 3);
        assert!(carried.values().all(|count| *count > 70), "{carried:?}");
    }

    #[test]
    fn section_3_4_this_node_carries_for_others() {
        let mut serf = serf(&["a"]);
        let relay =
            Relay { addr: Addr(vec![10, 0, 0, 9]), port: 7946, message: b"\x05whatever".to_vec(), ..Relay::default() };
        hear(&mut serf, at(0), SerfMessage::Relay(relay.clone()));
        let to = "10.0.0.9:7946".parse().expect("an address");
        assert_eq!(drain(&mut serf), [Output::Send { to, bytes: b"\x05whatever".to_vec() }]);
        hear(&mut serf, at(0), SerfMessage::Relay(Relay { addr: Addr(vec![1]), ..relay }));
        assert_eq!(lines(&mut serf), ["serf: unable to relay a response to : its address is none"]);
    }

    #[test]
    fn nobody_can_be_asked_to_send_to_no_address() {
        let mut serf = serf(&["a"]);
        let outputs = ask(&mut serf, Query { flags: 1, addr: Addr(vec![]), ..query(7) });
        assert_eq!(serf.respond(at(0), key_of(&outputs), vec![]), Ok(()));
        let outputs = ask(&mut serf, Query { flags: 1, port: 0, ..query(8) });
        assert_eq!((sent(&outputs), drain(&mut serf)), (vec![], vec![]));
    }

    #[test]
    fn questions_are_bounded() {
        let mut serf = serf(&["a"]);
        let first = key_of(&ask(&mut serf, query(0)));
        (1..=1024).for_each(|id| assert_eq!(ask(&mut serf, query(id)).len(), 1));
        assert_eq!((serf.questions.len(), serf.respond(at(0), first, vec![])), (1024, Err(Refusal::Deadline)));
        assert_eq!(events(&mut serf), [""; 0]);
    }
}
