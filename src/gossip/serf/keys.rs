//! Operations on everybody's keys (section 3.10), and what comes of them.

use super::machine::Serf;
use super::output::{KeyOperation, KeyReport, Level, Refusal};
use super::query::{Purpose, Request};
use crate::gossip::Name;
use crate::gossip::wire::serf::{KeyRequest, SerfMessage};
use crate::unit::Time;

/// What came so far.
#[derive(Debug)]
pub(super) struct Collection(KeyReport);

impl Collection {
    /// What came of the whole.
    pub fn report(self) -> KeyReport {
        let KeyReport { nodes, errors, responses, .. } = self.0;
        let error = if errors > 0 {
            format!("{errors}/{nodes} nodes reported failure")
        } else if responses != nodes {
            format!("{responses}/{nodes} nodes reported success")
        } else {
            String::new()
        };
        KeyReport { error, ..self.0 }
    }
}

/// The bytes that a text in base64 stands for, or where it is none: as Go counts. Ends of lines are left out.
pub fn base64(text: &[u8]) -> Result<Vec<u8>, usize> {
    let mut bytes = Vec::new();
    let (mut word, mut held, mut padding): (u32, usize, usize) = (0, 0, 0);
    for (at, letter) in text.iter().enumerate().filter(|(_, letter)| !b"\r\n".contains(letter)) {
        // What follows the end, and padding that is not where it can be.
        if held + padding == 4 && padding > 0 {
            return Err(at);
        }
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' if held >= 2 => {
                padding += 1;
                continue;
            }
            _ => return Err(at),
        };
        if padding > 0 {
            // Another `=` was due; Go names the place before it.
            return Err(at - 1);
        }
        (word, held) = (word << 6 | u32::from(value), held + 1);
        if held == 4 {
            let [_, whole @ ..] = word.to_be_bytes();
            bytes.extend_from_slice(&whole);
            (word, held) = (0, 0);
        }
    }
    match (held, padding) {
        (0, _) => Ok(bytes),
        (2, 2) | (3, 1) => {
            let [_, whole @ ..] = (word << (6 * (4 - held))).to_be_bytes();
            bytes.extend(whole.iter().take(held - 1));
            Ok(bytes)
        }
        (2, 1) => Err(text.len()),
        // Where the last four begin.
        _ => Err(text.len() - held),
    }
}

impl Serf {
    /// Does something to everybody's keyring. What comes of it is told under the key that this answers.
    pub fn keys(&mut self, now: Time, operation: KeyOperation) -> Result<u64, Refusal> {
        let (name, text) = match &operation {
            KeyOperation::Install(key) => ("_serf_install-key", key.as_slice()),
            KeyOperation::Use(key) => ("_serf_use-key", key.as_slice()),
            KeyOperation::Remove(key) => ("_serf_remove-key", key.as_slice()),
            KeyOperation::List => ("_serf_list-keys", &[][..]),
        };
        let key = base64(text).map_err(Refusal::Base64)?;
        let payload = Some(SerfMessage::KeyRequest(KeyRequest { key }).encode());
        let keys = (operation == KeyOperation::List).then(Default::default);
        // Everybody who is there now: who comes later need not answer.
        let collection = Collection(KeyReport { nodes: self.members.there(), keys, ..KeyReport::default() });
        let request = Request { name: name.into(), payload, ..Request::default() };
        let key = self.ask(now, request, Purpose::Keys(collection))?;
        self.settle(now);
        Ok(key)
    }

    /// A response about keys. When everybody has answered, the operation ends.
    pub(super) fn hear_keys(&mut self, ltime: u64, from: Name, payload: &[u8]) {
        let purpose = self.inquiries.get_mut(&ltime).map(|inquiry| &mut inquiry.purpose);
        let Some(Purpose::Keys(Collection(report))) = purpose else { return };
        report.responses += 1;
        let mut warning = None;
        match SerfMessage::decode(payload) {
            Ok(SerfMessage::KeyResponse(response)) => {
                if !response.result {
                    report.errors += 1;
                    report.messages.insert(from, response.message);
                } else if !response.message.is_empty() {
                    warning = Some(format!("serf: {}", response.message));
                    report.messages.insert(from, response.message);
                }
                for key in response.keys.unwrap_or_default() {
                    *report.keys.get_or_insert_default().entry(key).or_default() += 1;
                }
            }
            Ok(_) => {
                report.errors += 1;
                report.messages.insert(from, "Invalid key query response type".into());
            }
            Err(malformed) => {
                report.errors += 1;
                let message = format!("Failed to decode key query response: {malformed}");
                report.messages.insert(from, message.as_str().into());
            }
        }
        let whole = report.responses == report.nodes;
        if let Some(text) = warning {
            self.log(Level::Warn, text);
        }
        if whole {
            self.close_inquiry(ltime);
        }
    }
}
