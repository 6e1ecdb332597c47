//! Queries that Serf itself answers (section 3.4): `_serf_ping`, `_serf_conflict` and those about keys.

use super::complaint::Complaint;
use super::config::RESPONSE_SIZE;
use super::machine::Serf;
use super::member::Member;
use super::output::{KeyChange, Level, Output};
use super::question::Question;
use crate::gossip::Name;
use crate::gossip::wire::serf::{ConflictMember, KeyResponse, QueryResponse, SerfMessage};
use crate::unit::Time;

/// Keys that are listed at most: no more of the shortest ones fit into a response, by Serf's estimate of 25 bytes each.
const LISTED: usize = RESPONSE_SIZE / 25;

/// What became of a change of this node's keyring.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyOutcome {
    /// It is done.
    Done,
    /// These are its keys in base64, the one that encrypts first.
    Keys(Vec<Name>),
    /// It is not done, and this is why.
    Failed(String),
}

impl From<&Member> for ConflictMember {
    fn from(member: &Member) -> ConflictMember {
        let [protocol_min, protocol_max, protocol_cur, delegate_min, delegate_max, delegate_cur] = member.vsn;
        ConflictMember {
            name: member.name.clone(),
            addr: member.addr.clone(),
            port: member.port,
            tags: member.tags(),
            status: member.status as i64,
            protocol_min,
            protocol_max,
            protocol_cur,
            delegate_min,
            delegate_max,
            delegate_cur,
        }
    }
}

/// A response about keys that failed.
fn failed(message: &str) -> KeyResponse {
    KeyResponse { message: message.into(), ..KeyResponse::default() }
}

impl Serf {
    /// Answers a query whose name is `_serf_` and this.
    pub(super) fn hear_internal(&mut self, now: Time, name: &[u8], mut question: Question, payload: &[u8]) {
        match name {
            // The ack is all.
            b"ping" => {}
            b"conflict" => self.tell_whose(now, &question, payload),
            b"list-keys" => {
                self.log(Level::Info, "serf: Received list-keys query".to_owned());
                question.lists_keys = true;
                if self.config.encrypted {
                    let key = self.keep_question(question);
                    self.out.push_back(Output::Ring { key, change: KeyChange::List });
                } else {
                    self.send_keys(now, &question, failed("Keyring is empty (encryption not enabled)"));
                }
            }
            b"install-key" | b"use-key" | b"remove-key" => {
                let name = String::from_utf8_lossy(name);
                let Ok(SerfMessage::KeyRequest(request)) = SerfMessage::decode(payload) else {
                    self.complain(now, Complaint::Malformed, || "serf: Failed to decode key request".to_owned());
                    return self.send_keys(now, &question, KeyResponse::default());
                };
                if !self.config.encrypted {
                    let message = "No keyring to modify (encryption not enabled)";
                    self.log(Level::Error, format!("serf: {message}"));
                    return self.send_keys(now, &question, failed(message));
                }
                self.log(Level::Info, format!("serf: Received {name} query"));
                let change = match &*name {
                    "install-key" => KeyChange::Install(request.key),
                    "use-key" => KeyChange::Use(request.key),
                    _ => KeyChange::Remove(request.key),
                };
                let key = self.keep_question(question);
                self.out.push_back(Output::Ring { key, change });
            }
            _ => self.complain(now, Complaint::StrangeQuery, || {
                format!("serf: Unhandled internal query '_serf_{}'", Name::from(name))
            }),
        }
    }

    /// What became of a change of the keyring that was asked for.
    pub fn key_changed(&mut self, now: Time, key: u64, outcome: KeyOutcome) {
        let Some(question) = self.questions.remove(&key) else { return };
        let response = match outcome {
            KeyOutcome::Done => KeyResponse { result: true, ..KeyResponse::default() },
            KeyOutcome::Failed(message) => {
                self.log(Level::Error, format!("serf: unable to change the keyring: {message}"));
                failed(&message)
            }
            KeyOutcome::Keys(keys) => {
                let primary = keys.first().cloned().unwrap_or_default();
                KeyResponse { result: true, message: Name::default(), keys: Some(keys), primary }
            }
        };
        self.send_keys(now, &question, response);
        self.settle(now);
    }

    /// Responds about keys; of too many, with those that fit.
    fn send_keys(&mut self, now: Time, question: &Question, mut response: KeyResponse) {
        let all = response.keys.as_ref().map_or(0, Vec::len);
        let pack = |serf: &Serf, response: &KeyResponse| -> (QueryResponse, usize) {
            let response = serf.response(question, SerfMessage::KeyResponse(response.clone()).encode());
            let length = SerfMessage::Response(response.clone()).encode().len();
            (response, length)
        };
        let mut packed = pack(self, &response);
        let mut shown = all.min(LISTED + 1);
        while packed.1 > self.config.response_size && shown > 0 {
            shown -= 1;
            if let Some(keys) = &mut response.keys {
                keys.truncate(shown);
            }
            let message = format!("truncated key list response, showing first {shown} of {all} keys");
            response.message = message.as_str().into();
            packed = pack(self, &response);
        }
        if shown < all && question.lists_keys {
            self.log(Level::Warn, format!("serf: {}", response.message));
        }
        self.send_response(now, question, packed.0);
    }

    /// Says who has a name, unless that is this node.
    fn tell_whose(&mut self, now: Time, question: &Question, name: &[u8]) {
        let name = Name::from(name);
        if name == self.config.name {
            return;
        }
        self.log(Level::Debug, format!("serf: Got conflict resolution query for '{name}'"));
        let member = self.member(&name).map(ConflictMember::from);
        let response = self.response(question, SerfMessage::Conflict(member).encode());
        if SerfMessage::Response(response.clone()).encode().len() <= self.config.response_size {
            self.send_response(now, question, response);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::KeyOutcome;
    use crate::gossip::serf::config::Config;
    use crate::gossip::serf::machine::tests::{at, config, drain, hear, lines, serf, serf_with};
    use crate::gossip::serf::{KeyChange, Output, Serf};
    use crate::gossip::wire::message::Addr;
    use crate::gossip::wire::serf::{KeyRequest, KeyResponse, Query, QueryResponse, SerfMessage};

    fn ask(serf: &mut Serf, name: &str, payload: Vec<u8>) -> Vec<Output> {
        let query = Query {
            ltime: 5,
            id: 7,
            addr: Addr(vec![10, 0, 0, 9]),
            port: 7946,
            source: "asker".into(),
            timeout: Duration::from_secs(1),
            name: name.into(),
            payload,
            ..Query::default()
        };
        hear(serf, at(0), SerfMessage::Query(query));
        drain(serf)
    }

    /// The payload of the one response.
    fn payload(outputs: &[Output]) -> SerfMessage {
        let [Output::Send { bytes, .. }] = outputs else { panic!("{outputs:?}") };
        assert!(bytes.len() <= 1024);
        match SerfMessage::decode(bytes) {
            Ok(SerfMessage::Response(QueryResponse { flags: 0, payload, .. })) => {
                SerfMessage::decode(&payload).expect("a payload")
            }
            other => panic!("{other:?}"),
        }
    }

    fn request(key: &[u8]) -> Vec<u8> {
        SerfMessage::KeyRequest(KeyRequest { key: key.to_vec().into() }).encode()
    }

    #[test]
    fn section_3_4_a_ping_is_acked_at_most() {
        assert_eq!(ask(&mut serf(&["a"]), "_serf_ping", vec![]), []);
    }

    #[test]
    fn section_3_4_an_internal_query_that_is_not_known_is_nobodys() {
        let mut serf = serf(&["a"]);
        hear(&mut serf, at(0), SerfMessage::Query(Query { ltime: 1, name: "_serf_later".into(), ..Query::default() }));
        assert!(lines(&mut serf).contains(&"serf: Unhandled internal query '_serf_later'".to_owned()));
        assert_eq!(ask(&mut serf, "_serf_later", vec![]), []);
    }

    #[test]
    fn section_3_9_whose_a_name_is() {
        let mut serf = serf(&["a"]);
        let SerfMessage::Conflict(Some(member)) = payload(&ask(&mut serf, "_serf_conflict", b"a".to_vec())) else {
            panic!("no member")
        };
        assert_eq!((member.name, member.addr, member.port), ("a".into(), Addr(vec![10, 0, 0, 2]), 7946));
        assert_eq!((member.status, member.protocol_max, member.delegate_cur), (1, 5, 5));
    }

    #[test]
    fn section_3_9_who_is_meant_says_nothing_and_a_stranger_is_nil() {
        assert_eq!(ask(&mut serf(&["a"]), "_serf_conflict", b"me".to_vec()), []);
        let outputs = ask(&mut serf(&["a"]), "_serf_conflict", b"stranger".to_vec());
        assert_eq!(payload(&outputs), SerfMessage::Conflict(None));
    }

    #[test]
    fn section_3_10_without_a_keyring() {
        for name in ["install-key", "use-key", "remove-key"] {
            let outputs = ask(&mut serf(&["a"]), &format!("_serf_{name}"), request(b"0123456789abcdef"));
            let message = "No keyring to modify (encryption not enabled)".into();
            assert_eq!(payload(&outputs), SerfMessage::KeyResponse(KeyResponse { message, ..KeyResponse::default() }));
        }
        let outputs = ask(&mut serf(&["a"]), "_serf_list-keys", request(b""));
        let message = "Keyring is empty (encryption not enabled)".into();
        assert_eq!(payload(&outputs), SerfMessage::KeyResponse(KeyResponse { message, ..KeyResponse::default() }));
    }

    fn encrypted() -> Serf {
        serf_with(Config { encrypted: true, ..config() }, &["a"])
    }

    #[test]
    fn section_3_10_the_keyring_is_the_nodes() {
        let key = b"0123456789abcdef".to_vec();
        let changes = [
            ("install-key", KeyChange::Install(key.clone().into())),
            ("use-key", KeyChange::Use(key.clone().into())),
            ("remove-key", KeyChange::Remove(key.clone().into())),
            ("list-keys", KeyChange::List),
        ];
        for (name, change) in changes {
            let mut serf = encrypted();
            let outputs = ask(&mut serf, &format!("_serf_{name}"), request(&key));
            assert_eq!(outputs, [Output::Ring { key: 1, change }]);
            serf.key_changed(at(0), 1, KeyOutcome::Done);
            let done = KeyResponse { result: true, ..KeyResponse::default() };
            assert_eq!(payload(&drain(&mut serf)), SerfMessage::KeyResponse(done));
            serf.key_changed(at(0), 1, KeyOutcome::Done);
            assert_eq!(drain(&mut serf), []);
        }
        let mut serf = encrypted();
        ask(&mut serf, "_serf_remove-key", request(&key));
        serf.key_changed(at(0), 1, KeyOutcome::Failed("Removing the primary key is not allowed".to_owned()));
        let message = "Removing the primary key is not allowed".into();
        let failed = KeyResponse { message, ..KeyResponse::default() };
        assert_eq!(payload(&drain(&mut serf)), SerfMessage::KeyResponse(failed));
    }

    #[test]
    fn section_3_10_a_request_that_is_none_fails() {
        let mut serf = encrypted();
        let outputs = ask(&mut serf, "_serf_use-key", vec![7, 0xc1]);
        assert_eq!(payload(&outputs), SerfMessage::KeyResponse(KeyResponse::default()));
    }

    #[test]
    fn section_3_10_keys_are_listed_as_far_as_they_fit() {
        let list = |count: usize| {
            let mut serf = encrypted();
            ask(&mut serf, "_serf_list-keys", request(b""));
            let keys = (0..count).map(|n| format!("{n:043}=").as_str().into()).collect();
            serf.key_changed(at(0), 1, KeyOutcome::Keys(keys));
            match payload(&drain(&mut serf)) {
                SerfMessage::KeyResponse(response) => response,
                other => panic!("{other:?}"),
            }
        };
        let two = list(2);
        assert_eq!((two.result, two.keys.map(|keys| keys.len()), two.message), (true, Some(2), "".into()));
        assert_eq!(two.primary, "0000000000000000000000000000000000000000000=".into());
        let many = list(60);
        let shown = many.keys.map_or(0, |keys| keys.len());
        let message = format!("truncated key list response, showing first {shown} of 60 keys");
        assert_eq!((many.result, many.message.to_string(), shown), (true, message, 17));
    }
}
