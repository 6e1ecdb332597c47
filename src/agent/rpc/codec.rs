//! Serf's RPC as bytes and values: msgpack objects one after another, each request and answer a header and, for some, a body.
//!
//! Reading is lenient, as Serf's own is: text may be `str` or `bin`, anything may be nil, unknown keys do not matter.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rmpv::{Value, ValueRef};
use zeroize::Zeroizing;

use crate::cluster::{Member, Status};
use crate::mesh::record::Tags;

/// No object is read beyond this many bytes: 10,000 members fit.
pub const LIMIT: usize = 16 << 20;
/// Serf's objects are three levels deep.
const DEPTH: usize = 16;

/// Bytes that are no RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The first whole object in `bytes`, and how many bytes it has; none if more bytes are needed.
pub fn decode(bytes: &[u8]) -> Result<Option<(Value, usize)>, Malformed> {
    let mut rest = bytes;
    match rmpv::decode::read_value_with_max_depth(&mut rest, DEPTH) {
        Ok(value) => Ok(Some((value, bytes.len() - rest.len()))),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof && bytes.len() < LIMIT => Ok(None),
        Err(_) => Err(Malformed),
    }
}

/// The bytes of a request: its header and, if it has one, its body.
pub fn encode(command: &str, seq: u64, body: Option<Value>) -> Vec<u8> {
    let header = Value::Map(vec![("Command".into(), command.into()), ("Seq".into(), seq.into())]);
    let mut bytes = Vec::new();
    for value in [Some(header), body].into_iter().flatten() {
        // Writing to memory cannot fail.
        drop(rmpv::encode::write_value(&mut bytes, &value));
    }
    bytes
}

/// The bytes of a request whose body is a key in base64. They are all that there is of it here.
pub fn encode_key(command: &str, seq: u64, key: &str) -> Zeroizing<Vec<u8>> {
    let head = encode(command, seq, None);
    // It never grows: what is left behind would not be wiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(head.len() + key.len() + 64));
    bytes.extend(head);
    let body = ValueRef::Map(vec![("Key".into(), key.into())]);
    // Writing to memory cannot fail.
    drop(rmpv::encode::write_value_ref(&mut *bytes, &body));
    bytes
}

/// A map of Serf's, by its own order: sorted by key.
pub fn map<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Map(fields.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

/// A map of text.
pub fn texts(tags: &Tags) -> Value {
    Value::Map(tags.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect())
}

/// The header of an answer: the request's number, and what went wrong (empty if nothing).
pub fn header(value: &Value) -> Result<(u64, String), Malformed> {
    let seq = get(value, "Seq").and_then(Value::as_u64).ok_or(Malformed)?;
    Ok((seq, get(value, "Error").and_then(text).unwrap_or_default()))
}

/// The members in the body of an answer. One that has no name or no address is left out.
pub fn members(body: &Value) -> Vec<Member> {
    let Some(Value::Array(all)) = get(body, "Members") else { return Vec::new() };
    all.iter().filter_map(member).collect()
}

/// How many addresses were joined, from the body of an answer.
pub fn joined(body: &Value) -> u64 {
    get(body, "Num").and_then(Value::as_u64).unwrap_or(0)
}

/// What the nodes answered to an operation on their keys.
#[derive(Debug, Default)]
pub struct KeyAnswer {
    /// Nodes that were asked.
    pub nodes: u64,
    /// Nodes that answered.
    pub answered: u64,
    /// Nodes that answered that it could not be done.
    pub failed: u64,
    /// What nodes said, by name.
    pub messages: BTreeMap<String, String>,
    /// The keys in base64 that were listed, and on how many nodes each is.
    pub keys: Vec<(Zeroizing<String>, u64)>,
}

/// What the nodes answered, from the body of an answer. The keys are taken out of it, not copied.
pub fn keys(body: Value) -> KeyAnswer {
    let Value::Map(fields) = body else { return KeyAnswer::default() };
    let mut answer = KeyAnswer::default();
    for (name, value) in fields {
        let number = value.as_u64().unwrap_or(0);
        match (bytes(&name), value) {
            (Some(b"NumNodes"), _) => answer.nodes = number,
            (Some(b"NumResp"), _) => answer.answered = number,
            (Some(b"NumErr"), _) => answer.failed = number,
            (Some(b"Messages"), Value::Map(pairs)) => {
                let said = |(node, said): &(Value, Value)| Some((printable(&text(node)?), printable(&text(said)?)));
                answer.messages = pairs.iter().filter_map(said).collect();
            }
            (Some(b"Keys"), Value::Map(pairs)) => {
                let counted = |(key, count): (Value, Value)| {
                    let bytes = match key {
                        Value::String(text) => text.into_bytes(),
                        Value::Binary(bytes) => bytes,
                        _ => return None,
                    };
                    let key = String::from_utf8(bytes).unwrap_or_else(|error| {
                        drop(Zeroizing::new(error.into_bytes()));
                        String::new()
                    });
                    Some((Zeroizing::new(key), count.as_u64()?))
                };
                answer.keys = pairs.into_iter().filter_map(counted).collect();
            }
            _ => {}
        }
    }
    answer
}

fn member(value: &Value) -> Option<Member> {
    let tags = match get(value, "Tags") {
        Some(Value::Map(pairs)) => pairs.iter().filter_map(|(key, value)| Some((text(key)?, text(value)?))).collect(),
        _ => Tags::new(),
    };
    Some(Member {
        name: get(value, "Name").and_then(text).map(|name| printable(&name)).filter(|name| !name.is_empty())?,
        addr: address(bytes(get(value, "Addr")?)?)?,
        port: get(value, "Port").and_then(Value::as_u64).and_then(|port| port.try_into().ok())?,
        tags,
        status: Status::of(&get(value, "Status").and_then(text).unwrap_or_default()),
    })
}

fn get<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    let Value::Map(pairs) = value else { return None };
    pairs.iter().find(|(name, _)| bytes(name) == Some(key.as_bytes())).map(|(_, value)| value)
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::String(text) => Some(text.as_bytes()),
        Value::Binary(bytes) => Some(bytes),
        _ => None,
    }
}

/// Text with what is no UTF-8 replaced: it is shown and compared, and no record verifies with it.
fn text(value: &Value) -> Option<String> {
    bytes(value).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// A name as it can stand in a log line. No node of ours has one that this changes.
fn printable(name: &str) -> String {
    name.chars().take(128).map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| IpAddr::from(v6).to_canonical())
}

#[cfg(test)]
mod tests {
    use super::{decode, encode, encode_key, header, keys, map, members, texts};
    use crate::cluster::Status;
    use crate::mesh::record::Tags;
    use rmpv::Value;

    fn transcript(text: &str, side: &str) -> Vec<Vec<u8>> {
        let hex =
            |line: &str| (0..line.len()).step_by(2).map(|i| u8::from_str_radix(&line[i..i + 2], 16).unwrap()).collect();
        text.lines().filter_map(|line| line.strip_prefix(side)?.strip_prefix(" HEX ")).map(hex).collect()
    }

    const MEMBERS: &str = include_str!("../../../tests/golden/serf/rpc-members-filtered.txt");
    const TAGS: &str = include_str!("../../../tests/golden/serf/rpc-tags.txt");
    const STREAM: &str = include_str!("../../../tests/golden/serf/rpc-stream-query-respond-auth.txt");
    const ERRORS: &str = include_str!("../../../tests/golden/serf/rpc-errors.txt");
    const INSTALL: &str = include_str!("../../../tests/golden/serf/rpc-install-key.txt");
    const LIST: &str = include_str!("../../../tests/golden/serf/rpc-list-keys.txt");
    const REMOVE: &str = include_str!("../../../tests/golden/serf/rpc-remove-key-error.txt");
    const JOIN: &str = include_str!("../../../tests/golden/serf/rpc-join.txt");

    #[test]
    fn requests_are_serfs_own_bytes() {
        let handshake = encode("handshake", 1, Some(map([("Version", 1.into())])));
        assert_eq!(transcript(MEMBERS, "C>")[..2].concat(), handshake);
        let tags = Tags::from([("ver".to_owned(), "2".to_owned())]);
        let body = map([("DeleteTags", Value::Array(vec!["role".into()])), ("Tags", texts(&tags))]);
        assert_eq!(transcript(TAGS, "C>")[2..].concat(), encode("tags", 2, Some(body)));
        let filtered = map([("Name", "".into()), ("Status", "".into()), ("Tags", Value::Map(vec![]))]);
        assert_eq!(transcript(MEMBERS, "C>")[2..].concat(), encode("members-filtered", 2, Some(filtered)));
    }

    #[test]
    fn members_of_a_real_agent_are_read() {
        let answers = transcript(MEMBERS, "S<");
        let (value, size) = decode(&answers[2]).unwrap().unwrap();
        assert_eq!(size, answers[2].len());
        let members = members(&value);
        let names: Vec<_> = members.iter().map(|member| (member.name.as_str(), member.port, member.status)).collect();
        assert_eq!(names, [("a3", 17948, Status::Alive), ("a1", 17946, Status::Alive), ("a2", 17947, Status::Alive)]);
        assert_eq!(members[1].tags["role"], "web");
        assert_eq!(members[1].addr.to_string(), "127.0.0.1");
    }

    #[test]
    fn every_transcript_is_read_object_by_object_and_byte_by_byte() {
        for (name, text) in
            [("members", MEMBERS), ("tags", TAGS), ("stream", STREAM), ("errors", ERRORS), ("join", JOIN)]
        {
            let objects = transcript(text, "S<");
            assert!(!objects.is_empty(), "{name}");
            for object in objects {
                for end in 0..object.len() {
                    assert_eq!(decode(&object[..end]), Ok(None), "{name}");
                }
                let (value, size) = decode(&object).unwrap().unwrap();
                assert_eq!(size, object.len(), "{name}");
                let _ = (header(&value), members(&value));
            }
        }
    }

    #[test]
    fn keys_are_asked_for_and_read_as_by_serf() {
        let short = "dGVzdGtleTE2Ynl0ZXMhIQ==";
        for (command, text) in [("install-key", INSTALL), ("remove-key", REMOVE)] {
            assert_eq!(transcript(text, "C>")[2..].concat(), *encode_key(command, 2, short));
        }
        assert_eq!(transcript(LIST, "C>")[2..].concat(), encode("list-keys", 2, None));
        let answer = |text: &str| {
            let objects = transcript(text, "S<");
            keys(decode(objects.last().expect("a body")).unwrap().unwrap().0)
        };
        let installed = answer(INSTALL);
        assert_eq!((installed.nodes, installed.answered, installed.failed, installed.keys.len()), (2, 2, 0, 0));
        let listed: Vec<_> = answer(LIST).keys.into_iter().map(|(key, nodes)| (key.to_string(), nodes)).collect();
        assert_eq!(listed, [("Vk/hxhubMAAPFe+bEcR5FGmiRas2bpzCs5FfX1eQpTM=".to_owned(), 2)]);
        let refused = answer(REMOVE);
        assert_eq!((refused.nodes, refused.answered, refused.failed), (2, 2, 2));
        assert_eq!(refused.messages["b1"], "Removing the primary key is not allowed");
        assert_eq!(refused.messages.len(), 2);
    }

    #[test]
    fn an_error_is_read_from_the_header() {
        let answers = transcript(ERRORS, "S<");
        let (value, _) = decode(&answers[0]).unwrap().unwrap();
        assert_eq!(header(&value).unwrap(), (1, "Handshake required".to_owned()));
    }

    #[test]
    fn nil_and_nonsense_are_survived() {
        for value in [
            Value::Nil,
            Value::from(7),
            map([("Members", Value::Nil)]),
            map([("Members", Value::Array(vec![Value::Nil]))]),
        ] {
            assert_eq!(members(&value), []);
            assert!(header(&value).is_err());
        }
        let bare = map([
            ("Addr", Value::Binary(vec![10, 0, 0, 1])),
            ("Name", Value::Binary(b"n\xff".to_vec())),
            ("Port", 1.into()),
        ]);
        let one = members(&map([("Members", Value::Array(vec![bare]))]));
        assert_eq!((one[0].name.as_str(), one[0].status, one[0].tags.len()), ("n\u{fffd}", Status::Unknown, 0));
        let lines = map([("Addr", Value::Binary(vec![0; 16])), ("Name", "a\nb\u{1b}c".into()), ("Port", 1.into())]);
        assert_eq!(members(&map([("Members", Value::Array(vec![lines]))]))[0].name, "a?b?c");
        assert!(decode(&[0xc1]).is_ok());
        let deep = vec![0x91; 100];
        assert!(decode(&deep).is_err());
    }
}
