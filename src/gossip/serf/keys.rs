//! Operations on everybody's keys (section 3.10), and what comes of them.

use zeroize::Zeroizing;

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
pub fn base64(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, usize> {
    // It never grows: what is left behind would not be wiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 4 * 3 + 3));
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
    pub(super) fn hear_keys(&mut self, now: Time, ltime: u64, from: Name, payload: &[u8]) {
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
            self.close_inquiry(now, ltime);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::base64;
    use crate::gossip::Name;
    use crate::gossip::serf::config::Config;
    use crate::gossip::serf::machine::tests::{at, config, drain, hear, known, said, serf, serf_with};
    use crate::gossip::serf::{KeyChange, KeyOperation, KeyOutcome, KeyReport, Output, Refusal, Serf};
    use crate::gossip::swim::{Delegate, Notice};
    use crate::gossip::wire::serf::{KeyRequest, KeyResponse, Query, QueryResponse, SerfMessage};

    const KEY: &[u8] = b"dGVzdGtleTE2Ynl0ZXMhIQ==";

    fn asked(serf: &mut Serf) -> Query {
        match &said(serf)[..] {
            [SerfMessage::Query(query)] => query.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn answer(serf: &mut Serf, query: &Query, from: &str, payload: Vec<u8>) {
        let response = QueryResponse { ltime: query.ltime, id: query.id, from: from.into(), flags: 0, payload };
        hear(serf, at(1), SerfMessage::Response(response));
    }

    fn says(response: KeyResponse) -> Vec<u8> {
        SerfMessage::KeyResponse(response).encode()
    }

    fn report(serf: &mut Serf) -> KeyReport {
        match &drain(serf)[..] {
            [Output::Keys { key: 1, report }] => report.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn section_4_6_where_base64_ends_is_counted_as_go_does() {
        // From the tests of Go's library.
        let wrong = [
            ("!!!!", 0),
            ("====", 0),
            ("x===", 1),
            ("=AAA", 0),
            ("A=AA", 1),
            ("AA=A", 2),
            ("AA==A", 4),
            ("AAA=AAAA", 4),
            ("AAAAA", 4),
            ("AAAAAA", 4),
            ("A=", 1),
            ("A==", 1),
            ("AA=", 3),
            ("AA==", usize::MAX),
            ("AAA=", usize::MAX),
            ("AAAA", usize::MAX),
            ("AAAAA=", 5),
            ("A", 0),
            ("AB\nCD E", 5),
            ("YWJjZA=====", 8),
        ];
        for (text, at) in wrong {
            assert_eq!(base64(text.as_bytes()).err().unwrap_or(usize::MAX), at, "{text}");
        }
        assert_eq!(base64(b""), Ok(vec![].into()));
        assert_eq!(base64(KEY), Ok(b"testkey16bytes!!".to_vec().into()));
        assert_eq!(base64(b"YWJj\r\nZA\n=\n="), Ok(b"abcd".to_vec().into()));
        assert_eq!(base64(b"+/+/YWI="), Ok(vec![0xfb, 0xff, 0xbf, b'a', b'b'].into()));
        assert_eq!(serf(&[]).keys(at(0), KeyOperation::Use(b"a b".to_vec().into())), Err(Refusal::Base64(1)));
    }

    #[test]
    fn section_3_10_everybody_is_asked_and_the_end_is_when_all_have_answered() {
        let mut serf = serf_with(Config { encrypted: true, ..config() }, &["a", "b"]);
        serf.notice(at(0), &Notice::Left(known("b", 3)));
        drain(&mut serf);
        assert_eq!(serf.keys(at(0), KeyOperation::Install(KEY.to_vec().into())), Ok(1));
        let query = asked(&mut serf);
        assert_eq!((query.name.clone(), query.flags), ("_serf_install-key".into(), 0));
        let request = KeyRequest { key: b"testkey16bytes!!".to_vec().into() };
        assert_eq!(query.payload, SerfMessage::KeyRequest(request).encode());
        let change = KeyChange::Install(b"testkey16bytes!!".to_vec().into());
        assert_eq!(drain(&mut serf), [Output::Ring { key: 1, change }]);
        serf.key_changed(at(0), 1, KeyOutcome::Done);
        assert_eq!(drain(&mut serf), []);
        answer(&mut serf, &query, "a", says(KeyResponse { result: true, ..KeyResponse::default() }));
        assert_eq!(report(&mut serf), KeyReport { nodes: 2, responses: 2, ..KeyReport::default() });
    }

    #[test]
    fn section_3_10_what_fails_is_told() {
        let mut serf = serf(&["a", "b"]);
        serf.keys(at(0), KeyOperation::Remove(KEY.to_vec().into())).expect("a query");
        let query = asked(&mut serf);
        let message: Name = "Removing the primary key is not allowed".into();
        answer(&mut serf, &query, "a", says(KeyResponse { message: message.clone(), ..KeyResponse::default() }));
        answer(&mut serf, &query, "b", vec![6, 0xc0]);
        let report = report(&mut serf);
        assert_eq!((report.error.as_str(), report.keys), ("3/3 nodes reported failure", None));
        assert_eq!(report.messages.get(&"a".into()), Some(&message));
        assert_eq!(report.messages.get(&"b".into()), Some(&"Invalid key query response type".into()));
        let own = report.messages.get(&"me".into()).map(ToString::to_string);
        assert_eq!(own.as_deref(), Some("No keyring to modify (encryption not enabled)"));
    }

    #[test]
    fn section_3_10_who_does_not_answer_in_time_is_missed() {
        let mut serf = serf_with(Config { encrypted: true, ..config() }, &["a"]);
        serf.keys(at(0), KeyOperation::Use(KEY.to_vec().into())).expect("a query");
        drain(&mut serf);
        serf.key_changed(at(0), 1, KeyOutcome::Done);
        serf.tick(at(3200));
        assert_eq!(report(&mut serf).error, "1/2 nodes reported success");
    }

    #[test]
    fn section_3_10_a_list_counts_keys() {
        let mut serf = serf_with(Config { encrypted: true, ..config() }, &["a"]);
        serf.keys(at(0), KeyOperation::List).expect("a query");
        let query = asked(&mut serf);
        assert_eq!(query.payload, [7, 0x81, 0xa3, b'K', b'e', b'y', 0xa0]);
        assert_eq!(drain(&mut serf), [Output::Ring { key: 1, change: KeyChange::List }]);
        let key = |text: &str| Name::from(text);
        serf.key_changed(at(0), 1, KeyOutcome::Keys(vec![key("one"), key("two")]));
        let keys = Some(vec![key("one")]);
        let message = key("truncated key list response, showing first 1 of 2 keys");
        let list = KeyResponse { result: true, keys, message: message.clone(), primary: key("one") };
        answer(&mut serf, &query, "a", says(list));
        let report = report(&mut serf);
        let counts = report.keys.expect("keys");
        assert_eq!((counts.get(&key("one")), counts.get(&key("two"))), (Some(&2), Some(&1)));
        assert_eq!((report.error.as_str(), report.messages.get(&"a".into())), ("", Some(&message)));
    }
}
