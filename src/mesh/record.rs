//! The signed record by which a member proves what it says of itself, and its form as short tags.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::identity::{Identity, NodeId};
use super::keyring::{self, Fingerprint, Keyring, listed};
use super::peers::WgKey;

/// The version of tags and signed bytes. Another version is another record: it is refused, never guessed at.
pub const VERSION: &str = "1";

/// What precedes the fields in the signed bytes, so that the signature means nothing elsewhere.
const LABEL: &[u8] = b"clusteros-init member record 1\0";

/// Every tag that a record may have. One that gossip still shows though the record has it no more makes it another record.
pub const TAGS: [&str; 13] = ["v", "id", "wg", "ip", "port", "gen", "keys", "st", "up", "mtu", "eps", "sig", "mac"];

/// What the tag of a settled node says.
const SETTLED: &str = "1";

/// A node names at most so many endpoints.
pub const ENDPOINTS: usize = 3;

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
    /// The keys of the cluster that it holds, the one that it uses first; 1 to [`keyring::MOST`].
    pub keys: Vec<Fingerprint>,
    /// Whether it has had its address among others for a while, and nobody disputed it.
    pub settled: bool,
    /// Which run of its host it is, if it says that: another one since the host started anew.
    pub run: Option<u32>,
    /// What its WireGuard interface takes in one packet, in bytes, if it says that.
    pub mtu: Option<u16>,
    /// Where its WireGuard may be reached, the best first, at most [`ENDPOINTS`].
    pub endpoints: Vec<SocketAddr>,
}

/// Tags as gossip carries them.
pub type Tags = BTreeMap<String, String>;

impl Record {
    /// The record as tags, signed by `identity` and bound to the cluster by the primary key of `keyring`: those of [`TAGS`]
    /// that it has. With gossip's own few they stay below the 512 bytes that Serf takes.
    pub fn tags(&self, identity: &Identity, keyring: &Keyring) -> Tags {
        let bytes = self.bytes();
        let list = |all: &[SocketAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let tags = [
            ("v", VERSION.to_owned()),
            ("id", self.node_id.to_string()),
            ("wg", STANDARD_NO_PAD.encode(self.key.0)),
            ("ip", self.address.to_string()),
            ("port", self.port.to_string()),
            ("gen", self.generation.to_string()),
            ("keys", self.keys.iter().map(ToString::to_string).collect()),
            ("sig", STANDARD_NO_PAD.encode(identity.sign(&bytes))),
            ("mac", STANDARD_NO_PAD.encode(keyring.tag(&bytes))),
        ];
        let settled = self.settled.then(|| ("st", SETTLED.to_owned()));
        let run = self.run.map(|run| ("up", format!("{run:08x}")));
        let mtu = self.mtu.map(|mtu| ("mtu", mtu.to_string()));
        let endpoints = (!self.endpoints.is_empty()).then(|| ("eps", list(&self.endpoints)));
        tags.into_iter()
            .chain(settled)
            .chain(run)
            .chain(mtu)
            .chain(endpoints)
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }

    /// Reads the record that a member called `name` carries in `tags`, and checks its signature and that it was made with a
    /// key of `keyring`.
    ///
    /// The signature covers the name, which is not among the tags: tags copied to another name do not verify. What
    /// they were signed for cannot be told from them, so such a member is refused as [`Flaw::Forged`].
    pub fn read(name: &str, tags: &Tags, keyring: &Keyring) -> Result<Record, Flaw> {
        let tag = |key: &'static str| tags.get(key).map(String::as_str).ok_or(Flaw::Missing(key));
        match tag("v") {
            Err(_) if !tags.contains_key("id") && !tags.contains_key("sig") => return Err(Flaw::None),
            Ok(VERSION) => {}
            Ok(other) => return Err(Flaw::Version(shorten(other))),
            Err(flaw) => return Err(flaw),
        }
        let node_id = tag("id")?.parse().map_err(|_| Flaw::Malformed("id"))?;
        let key = bytes(tag("wg")?).ok_or(Flaw::Malformed("wg"))?;
        let signature = bytes(tag("sig")?).ok_or(Flaw::Malformed("sig"))?;
        let mac = bytes(tag("mac")?).ok_or(Flaw::Malformed("mac"))?;
        let record = Record {
            node_id,
            name: name.to_owned(),
            key: WgKey(key),
            address: tag("ip")?.parse().map_err(|_| Flaw::Malformed("ip"))?,
            port: tag("port")?.parse().ok().filter(|port| *port != 0).ok_or(Flaw::Malformed("port"))?,
            generation: tag("gen")?.parse().map_err(|_| Flaw::Malformed("gen"))?,
            keys: keys(tag("keys")?).ok_or(Flaw::Malformed("keys"))?,
            settled: match tags.get("st").map(String::as_str) {
                None => false,
                Some(SETTLED) => true,
                Some(_) => return Err(Flaw::Malformed("st")),
            },
            run: match tags.get("up") {
                None => None,
                Some(text) => Some(digits(text).ok_or(Flaw::Malformed("up"))?),
            },
            mtu: match tags.get("mtu").map(|text| text.parse()) {
                None => None,
                Some(Ok(mtu)) if mtu > 0 => Some(mtu),
                Some(_) => return Err(Flaw::Malformed("mtu")),
            },
            endpoints: match tags.get("eps") {
                None => Vec::new(),
                Some(text) => endpoints(text).ok_or(Flaw::Malformed("eps"))?,
            },
        };
        let signed = record.bytes();
        if !record.node_id.signed(&signed, &signature) {
            return Err(Flaw::Forged(record.node_id));
        }
        if !keyring.made(&signed, &mac) {
            return Err(Flaw::Foreign(record.keys));
        }
        Ok(record)
    }

    /// The bytes that are signed: the label, then every field, those of variable length with their length before them.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = LABEL.to_vec();
        for text in [self.node_id.as_str(), &self.name] {
            bytes.extend(count(text.len()));
            bytes.extend(text.as_bytes());
        }
        bytes.extend(self.key.0);
        bytes.extend(self.address.octets());
        bytes.extend(self.port.to_be_bytes());
        bytes.extend(self.generation.to_be_bytes());
        bytes.push(self.settled.into());
        bytes.push(self.run.is_some().into());
        bytes.extend(self.run.unwrap_or(0).to_be_bytes());
        bytes.extend(self.mtu.unwrap_or(0).to_be_bytes());
        bytes.extend(count(self.keys.len()));
        bytes.extend(self.keys.iter().flat_map(|key| key.0));
        bytes.extend(count(self.endpoints.len()));
        for endpoint in &self.endpoints {
            match endpoint.ip() {
                IpAddr::V4(v4) => bytes.extend([4].iter().chain(&v4.octets())),
                IpAddr::V6(v6) => bytes.extend([6].iter().chain(&v6.octets())),
            }
            bytes.extend(endpoint.port().to_be_bytes());
        }
        bytes
    }
}

fn count(items: usize) -> [u8; 4] {
    u32::try_from(items).unwrap_or(u32::MAX).to_be_bytes()
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// A number of eight digits as they are written here, and in no other way.
fn digits(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 16).ok().filter(|number| format!("{number:08x}") == text)
}

/// Fingerprints of eight digits after one another; none for what is no list of 1 to [`keyring::MOST`].
fn keys(text: &str) -> Option<Vec<Fingerprint>> {
    let all = text.as_bytes().chunks(8).map(|chunk| std::str::from_utf8(chunk).ok()?.parse().ok());
    let fits = !text.is_empty() && text.len() <= 8 * keyring::MOST;
    fits.then(|| all.collect()).flatten()
}

/// Socket addresses with commas between them; none for what is no list of 1 to [`ENDPOINTS`]. A scope is of one host alone.
fn endpoints(text: &str) -> Option<Vec<SocketAddr>> {
    // 47 characters are the longest socket address without a scope.
    if text.len() > ENDPOINTS * 48 {
        return None;
    }
    let all: Option<Vec<SocketAddr>> = text.split(',').map(|one| one.parse().ok()).collect();
    let plain = |endpoint: &SocketAddr| match endpoint {
        SocketAddr::V4(_) => endpoint.port() != 0,
        SocketAddr::V6(v6) => endpoint.port() != 0 && v6.scope_id() == 0 && v6.flowinfo() == 0,
    };
    all.filter(|all| all.len() <= ENDPOINTS && all.iter().all(plain))
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
    /// It was made with none of this node's keys of the cluster: it names these.
    Foreign(Vec<Fingerprint>),
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
            Flaw::Foreign(keys) => {
                write!(
                    f,
                    "its record was not made with this cluster's key (it names {}; 'node-agent info' shows this node's): it is \
                     of another cluster, or a change of the key did not reach both; give both nodes the same key",
                    listed(keys)
                )
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
    use super::{Flaw, Record, TAGS, Tags};
    use crate::mesh::address::{Subnet, address};
    use crate::mesh::identity::Identity;
    use crate::mesh::keyring::Keyring;

    fn keyring(n: u8) -> Keyring {
        Keyring::new([&[n; 32][..]])
    }

    fn record(identity: &Identity, name: &str) -> Record {
        Record {
            node_id: identity.node_id().clone(),
            name: name.to_owned(),
            key: identity.wireguard_key(),
            address: address(identity.node_id(), Subnet::DEFAULT, 0),
            port: 51820,
            generation: 1_795_000_000,
            keys: keyring(1).fingerprints(),
            settled: true,
            run: Some(0xbeef),
            mtu: Some(1420),
            endpoints: vec!["192.0.2.1:51820".parse().unwrap(), "[2001:db8::1]:51820".parse().unwrap()],
        }
    }

    fn tags(identity: &Identity) -> Tags {
        record(identity, "node1").tags(identity, &keyring(1))
    }

    #[test]
    fn tags_survive_the_round_trip() {
        let identity = Identity::from_seed(&[1; 32]);
        let read = |record: &Record| Record::read("node1", &record.tags(&identity, &keyring(1)), &keyring(1));
        let full = record(&identity, "node1");
        assert_eq!(read(&full).as_ref(), Ok(&full));
        let bare = Record { settled: false, run: None, mtu: None, endpoints: Vec::new(), ..full };
        assert_eq!(read(&bare).as_ref(), Ok(&bare));
        assert!(bare.tags(&identity, &keyring(1)).keys().all(|key| TAGS.contains(&key.as_str())));
    }

    #[test]
    fn the_longest_record_fits_into_what_serf_takes() {
        let identity = Identity::from_seed(&[0; 32]);
        assert_eq!(identity.node_id().as_str().len(), 44);
        let key = keyring(1).fingerprints()[0];
        let longest = Record {
            address: "255.255.255.255".parse().unwrap(),
            port: u16::MAX,
            generation: u64::MAX,
            keys: vec![key; 4],
            run: Some(u32::MAX),
            mtu: Some(u16::MAX),
            endpoints: vec!["[2001:2001:2001:2001:2001:2001:2001:2001]:65535".parse().unwrap(); 3],
            ..record(&identity, &"n".repeat(63))
        };
        let mut tags = longest.tags(&identity, &keyring(1));
        assert_eq!(Record::read(&longest.name, &tags, &keyring(1)).as_ref(), Ok(&longest));
        tags.insert("k3s".to_owned(), "server".to_owned());
        // As Serf packs them: a byte of its own, a map of up to 15 pairs, each text with one byte before it or, from 32 on, three.
        let packed = |text: &str| text.len() + if text.len() < 32 { 1 } else { 3 };
        let size: usize = 2 + tags.iter().map(|(key, value)| packed(key) + packed(value)).sum::<usize>();
        assert!(tags.len() <= 15 && size < 512, "{size}");
        assert_eq!(size, 508);
    }

    #[test]
    fn every_changed_tag_and_every_other_name_is_refused() {
        let identity = Identity::from_seed(&[1; 32]);
        let other = Identity::from_seed(&[2; 32]);
        let (tags, keyring) = (tags(&identity), keyring(1));
        let forged = Err(Flaw::Forged(identity.node_id().clone()));
        assert_eq!(Record::read("node2", &tags, &keyring), forged);
        for (key, value) in [
            ("ip", "10.42.0.9"),
            ("port", "51821"),
            ("gen", "1"),
            ("wg", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            ("keys", "00000001"),
            ("up", "0000bee0"),
            ("mtu", "1421"),
            ("eps", "192.0.2.1:51820"),
            ("eps", "[2001:db8::1]:51820,192.0.2.1:51820"),
        ] {
            let mut changed = tags.clone();
            changed.insert(key.to_owned(), value.to_owned());
            assert_eq!(Record::read("node1", &changed, &keyring), forged, "{key}");
        }
        for key in ["st", "up", "mtu", "eps"] {
            let mut less = tags.clone();
            less.remove(key);
            assert_eq!(Record::read("node1", &less, &keyring), forged, "{key}");
        }
        let mut stolen = tags.clone();
        stolen.insert("id".to_owned(), other.node_id().to_string());
        assert_eq!(Record::read("node1", &stolen, &keyring), Err(Flaw::Forged(other.node_id().clone())));
        let signed_by_another = record(&identity, "node1").tags(&other, &keyring);
        assert_eq!(Record::read("node1", &signed_by_another, &keyring), forged);
    }

    #[test]
    fn a_record_of_another_cluster_is_refused_whoever_signed_it() {
        let identity = Identity::from_seed(&[1; 32]);
        let own = record(&identity, "node1");
        let foreign = Err(Flaw::Foreign(own.keys.clone()));
        assert_eq!(Record::read("node1", &own.tags(&identity, &keyring(2)), &keyring(1)), foreign);
        assert_eq!(Record::read("node1", &own.tags(&identity, &keyring(1)), &keyring(2)), foreign);
        // A tag of the cluster that another member's record carries is good for that one alone.
        let mut mixed = tags(&identity);
        mixed.insert("mac".to_owned(), record(&identity, "node2").tags(&identity, &keyring(1))["mac"].clone());
        assert_eq!(Record::read("node1", &mixed, &keyring(1)), foreign);
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        let identity = Identity::from_seed(&[1; 32]);
        let (tags, keyring) = (tags(&identity), keyring(1));
        assert_eq!(Record::read("node1", &Tags::new(), &keyring), Err(Flaw::None));
        for key in TAGS {
            if !["st", "up", "mtu", "eps"].contains(&key) {
                let mut less = tags.clone();
                less.remove(key);
                assert_eq!(Record::read("node1", &less, &keyring), Err(Flaw::Missing(key)));
            }
            let mut wrong = tags.clone();
            wrong.insert(key.to_owned(), "?".repeat(3000));
            let flaw = Record::read("node1", &wrong, &keyring).unwrap_err();
            assert_eq!(flaw, if key == "v" { Flaw::Version("?".repeat(16)) } else { Flaw::Malformed(key) });
        }
        for (key, value) in [
            ("keys", ""),
            ("keys", "0001abf"),
            ("keys", "0001abff0"),
            ("keys", "0001abff0001abff0001abff0001abff0001abff"),
            ("st", ""),
            ("st", "0"),
            ("up", "beef"),
            ("up", "0000BEEF"),
            ("up", "+000beef"),
            ("mtu", ""),
            ("mtu", "0"),
            ("mtu", "65536"),
            ("eps", ""),
            ("eps", "192.0.2.1:0"),
            ("eps", "192.0.2.1"),
            ("eps", "[fe80::1%2]:51820"),
            ("eps", "192.0.2.1:1,192.0.2.1:2,192.0.2.1:3,192.0.2.1:4"),
        ] {
            let mut wrong = tags.clone();
            wrong.insert(key.to_owned(), value.to_owned());
            assert_eq!(Record::read("node1", &wrong, &keyring), Err(Flaw::Malformed(key)), "{value}");
        }
    }
}
