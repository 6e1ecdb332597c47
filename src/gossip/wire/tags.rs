//! Serf's tags, which travel as a node's meta.

use std::collections::BTreeMap;

use super::pack::{Reader, gossiped};
use crate::gossip::Name;

/// How many bytes the tags of a node may have, encoded.
pub const LARGEST: usize = 512;

/// Keys and values: strings of Go, so they need not be text.
pub type Tags = BTreeMap<Name, Name>;

/// What stands in front of a map.
const MAP: u8 = 0xff;

/// The meta of Serf's protocol 3 and later. Whoever sends it minds [`LARGEST`].
pub fn encode(tags: &Tags) -> Vec<u8> {
    let mut meta = gossiped(tags);
    meta.insert(0, MAP);
    meta
}

/// The meta of Serf's protocol 2: the tag `role` alone.
pub fn encode_role(tags: &Tags) -> Vec<u8> {
    tags.get(&Name::from("role")).map(|role| role.bytes().to_vec()).unwrap_or_default()
}

/// The tags of a meta: all of it is the `role`, unless it is a map. Of a broken map, what comes before the break.
pub fn decode(meta: &[u8]) -> Tags {
    let mut tags = Tags::new();
    let Some(map) = meta.strip_prefix(&[MAP]) else {
        tags.insert(Name::from("role"), Name::from(meta));
        return tags;
    };
    let mut reader = Reader::new(map);
    for _ in 0..reader.map().unwrap_or_default() {
        let (Ok(key), Ok(value)) = (reader.get(), reader.get()) else { break };
        tags.insert(key, value);
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::{Tags, decode, encode, encode_role};
    use crate::gossip::Name;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| (Name::from(*key), Name::from(*value))).collect()
    }

    #[test]
    fn tags_come_back() {
        assert_eq!(encode(&Tags::new()), [0xff, 0x80]);
        let two = tags(&[("role", "web"), ("dc", "east")]);
        assert_eq!(encode(&two), b"\xff\x82\xa2dc\xa4east\xa4role\xa3web");
        assert_eq!(decode(&encode(&two)), two);
        assert_eq!(encode_role(&two), b"web");
        assert_eq!(decode(b"web"), tags(&[("role", "web")]));
        assert_eq!(encode_role(&Tags::new()), b"");
        let odd = Tags::from([(Name::from(&b"\xff\0"[..]), Name::default())]);
        assert_eq!(decode(&encode(&odd)), odd);
    }

    #[test]
    fn what_is_broken_gives_what_comes_before_it() {
        assert_eq!(decode(b"\xff\x82\xa1a\xa1b\xa1c"), tags(&[("a", "b")]));
        assert_eq!(decode(b"\xff\x82\xa1a\xa1b\xa1c\x01"), tags(&[("a", "b")]));
        assert_eq!(decode(b"\xff"), Tags::new());
        assert_eq!(decode(b"\xff\xdf\xff\xff\xff\xff"), Tags::new());
        assert_eq!(decode(b"\xff\x81\xa1a\xc0"), tags(&[("a", "")]));
        assert_eq!(decode(b""), tags(&[("role", "")]));
    }
}
