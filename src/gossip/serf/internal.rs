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
        let [protocol_min, protocol_max, protocol_cur, delegate_min, delegate_max, delegate_cur] = member.versions;
        ConflictMember {
            name: member.name.clone(),
            addr: member.addr.clone(),
            port: member.port,
            tags: member.tags.clone(),
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
                    let key = self.keep_question(now, question);
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
                let key = self.keep_question(now, question);
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
        while packed.1 > RESPONSE_SIZE && shown > 0 {
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
        if SerfMessage::Response(response.clone()).encode().len() <= RESPONSE_SIZE {
            self.send_response(now, question, response);
        }
    }
}
