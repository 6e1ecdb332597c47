//! The signed record by which a member proves what it says of itself, and its form as short tags.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::net::Ipv4Addr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::identity::{Identity, NodeId};
use super::peers::WgKey;

/// The version of tags and signed bytes. Another version is another record: it is refused, never guessed at.
pub const VERSION: &str = "1";

/// What precedes the fields in the signed bytes, so that the signature means nothing elsewhere.
const LABEL: &[u8] = b"clusteros-init member record 1\0";

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose record it is.
    pub node_id: NodeId,
    /// The name it goes by in gossip.
    pub name: String,
    /// Its WireGuard key.
    pub key: WgKey,
    /// Its address in the mesh.
    pub address: Ipv4Addr,
    /// Its WireGuard port.
    pub port: u16,
    /// Grows whenever the record changes; the higher one of two is the newer.
    pub generation: u64,
}

/// Tags as gossip carries them.
pub type Tags = BTreeMap<String, String>;

impl Record {
    /// The record as tags, signed by `identity`: `v id wg ip port gen sig`, less than 400 bytes in all.
    pub fn tags(&self, identity: &Identity) -> Tags {
        let tags = [
            ("v", VERSION.to_owned()),
            ("id", self.node_id.to_string()),
            ("wg", STANDARD_NO_PAD.encode(self.key.0)),
            ("ip", self.address.to_string()),
            ("port", self.port.to_string()),
            ("gen", self.generation.to_string()),
            ("sig", STANDARD_NO_PAD.encode(identity.sign(&self.bytes()))),
        ];
        tags.map(|(key, value)| (key.to_owned(), value)).into()
    }

    /// Reads the record that a member called `name` carries in `tags`, and checks its signature.
    ///
    /// The signature covers the name, which is not among the tags: tags copied to another name do not verify. What
    /// they were signed for cannot be told from them, so such a member is refused as [`Flaw::Forged`].
    pub fn read(name: &str, tags: &Tags) -> Result<Record, Flaw> {
        let tag = |key: &'static str| tags.get(key).map(String::as_str).ok_or(Flaw::Missing(key));
        match tag("v") {
            Err(_) if !tags.contains_key("id") && !tags.contains_key("sig") => return Err(Flaw::None),
            Ok(VERSION) => {}
            Ok(other) => return Err(Flaw::Version(shorten(other))),
            Err(flaw) => return Err(flaw),
        }
        let node_id = tag("id")?.parse().map_err(|_| Flaw::Malformed("id"))?;
        let key = STANDARD_NO_PAD.decode(tag("wg")?).ok().and_then(|bytes| bytes.try_into().ok());
        let signature: Option<[u8; 64]> =
            STANDARD_NO_PAD.decode(tag("sig")?).ok().and_then(|bytes| bytes.try_into().ok());
        let record = Record {
            node_id,
            name: name.to_owned(),
            key: WgKey(key.ok_or(Flaw::Malformed("wg"))?),
            address: tag("ip")?.parse().map_err(|_| Flaw::Malformed("ip"))?,
            port: tag("port")?.parse().ok().filter(|port| *port != 0).ok_or(Flaw::Malformed("port"))?,
            generation: tag("gen")?.parse().map_err(|_| Flaw::Malformed("gen"))?,
        };
        if record.node_id.signed(&record.bytes(), &signature.ok_or(Flaw::Malformed("sig"))?) {
            Ok(record)
        } else {
            Err(Flaw::Forged(record.node_id))
        }
    }

    /// The bytes that are signed: the label, then every field, those of variable length with their length before them.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = LABEL.to_vec();
        for text in [self.node_id.as_str(), &self.name] {
            bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes.extend(self.key.0);
        bytes.extend(self.address.octets());
        bytes.extend(self.port.to_be_bytes());
        bytes.extend(self.generation.to_be_bytes());
        bytes
    }
}

/// Why tags are not a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// There is no trace of a record.
    None,
    /// A record of another version.
    Version(String),
    /// One tag is not there.
    Missing(&'static str),
    /// One tag cannot be read.
    Malformed(&'static str),
    /// The node of this id did not sign this record for this name.
    Forged(NodeId),
}

impl Display for Flaw {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::None => f.write_str("it carries no signed record yet"),
            Flaw::Version(version) => write!(f, "its record is of version {version:?}, not {VERSION:?}"),
            Flaw::Missing(tag) => write!(f, "its record has no tag {tag:?}"),
            Flaw::Malformed(tag) => write!(f, "its record's tag {tag:?} cannot be read"),
            Flaw::Forged(id) => {
                write!(f, "its record was not signed by node {id} for this name (a copied, altered or forged record)")
            }
        }
    }
}

impl std::error::Error for Flaw {}

fn shorten(text: &str) -> String {
    text.chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::{Flaw, Record, Tags};
    use crate::mesh::address::{Subnet, address};
    use crate::mesh::identity::Identity;

    fn record(identity: &Identity, name: &str) -> Record {
        Record {
            node_id: identity.node_id().clone(),
            name: name.to_owned(),
            key: identity.wireguard_key(),
            address: address(identity.node_id(), Subnet::DEFAULT, 0),
            port: 51820,
            generation: 1_795_000_000,
        }
    }

    #[test]
    fn tags_survive_the_round_trip_and_are_short() {
        let identity = Identity::from_seed(&[1; 32]);
        let record = record(&identity, "node1");
        let tags = record.tags(&identity);
        assert_eq!(Record::read("node1", &tags), Ok(record));
        let size: usize = tags.iter().map(|(key, value)| key.len() + value.len() + 4).sum();
        assert!(size < 400, "{size}");
    }

    #[test]
    fn every_changed_tag_and_every_other_name_is_refused() {
        let identity = Identity::from_seed(&[1; 32]);
        let other = Identity::from_seed(&[2; 32]);
        let tags = record(&identity, "node1").tags(&identity);
        let forged = Err(Flaw::Forged(identity.node_id().clone()));
        assert_eq!(Record::read("node2", &tags), forged);
        for (key, value) in [
            ("ip", "10.42.0.9"),
            ("port", "51821"),
            ("gen", "1"),
            ("wg", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ] {
            let mut changed = tags.clone();
            changed.insert(key.to_owned(), value.to_owned());
            assert_eq!(Record::read("node1", &changed), forged, "{key}");
        }
        let mut stolen = tags.clone();
        stolen.insert("id".to_owned(), other.node_id().to_string());
        assert_eq!(Record::read("node1", &stolen), Err(Flaw::Forged(other.node_id().clone())));
        let signed_by_another = record(&identity, "node1").tags(&other);
        assert_eq!(Record::read("node1", &signed_by_another), forged);
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        let identity = Identity::from_seed(&[1; 32]);
        let tags = record(&identity, "node1").tags(&identity);
        assert_eq!(Record::read("node1", &Tags::new()), Err(Flaw::None));
        for key in ["v", "id", "wg", "ip", "port", "gen", "sig"] {
            let mut less = tags.clone();
            less.remove(key);
            assert_eq!(Record::read("node1", &less), Err(Flaw::Missing(key)));
            let mut wrong = tags.clone();
            wrong.insert(key.to_owned(), "?".repeat(3000));
            let flaw = Record::read("node1", &wrong).unwrap_err();
            assert_eq!(flaw, if key == "v" { Flaw::Version("?".repeat(16)) } else { Flaw::Malformed(key) });
        }
    }
}
