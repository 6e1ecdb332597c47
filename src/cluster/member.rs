//! One member of gossip: what it shows of itself, and whether that holds.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use x25519_dalek::{PublicKey, StaticSecret};

use crate::mesh::endpoints::Announced;
use crate::mesh::keyring::{Fingerprint, listed};
use crate::mesh::peers::{PeerSpec, WgKey};
use crate::mesh::record::{Flaw, Record, Tags};
use crate::mesh::{Keyring, NodeId, Psk, Subnet, ula};

/// A member as gossip shows it. Nothing in it is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, unique in gossip.
    pub name: String,
    /// Where gossip reaches it.
    pub addr: IpAddr,
    /// Its gossip port.
    pub port: u16,
    /// What it says of itself.
    pub tags: Tags,
    /// What gossip thinks of it.
    pub status: Status,
}

impl Member {
    /// Whether it shows the same as `other`, whatever gossip thinks of the two: then it is judged the same, too.
    pub(super) fn shows_as(&self, other: &Member) -> bool {
        (&self.name, self.addr, self.port, &self.tags) == (&other.name, other.addr, other.port, &other.tags)
    }
}

/// What gossip thinks of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It answers.
    Alive,
    /// It said that it goes.
    Leaving,
    /// It went.
    Left,
    /// It does not answer. Its tunnel may still work: it stays a peer.
    Failed,
    /// Gossip says nothing of it, or a word that it does not have today.
    Unknown,
}

impl Status {
    /// The status of Serf's word.
    pub fn of(word: &str) -> Status {
        match word {
            "alive" => Status::Alive,
            "leaving" => Status::Leaving,
            "left" => Status::Left,
            "failed" => Status::Failed,
            _ => Status::Unknown,
        }
    }

    /// Serf's word.
    pub const fn word(self) -> &'static str {
        match self {
            Status::Alive => "alive",
            Status::Leaving => "leaving",
            Status::Left => "left",
            Status::Failed => "failed",
            Status::Unknown => "unknown",
        }
    }
}

/// This node, beside which members are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Its own record.
    pub record: Record,
    /// Where mesh addresses come from.
    pub subnet: Subnet,
    /// The keys of the cluster that it holds.
    pub keyring: Keyring,
}

/// A member whose record holds. Only [`verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    record: Record,
    ula: Ipv6Addr,
    announced: Announced,
    /// Why it is not looked for where gossip shows it.
    astray: Option<Refusal>,
    psk: Psk,
    status: Status,
}

impl Verified {
    /// Its signed record.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Its IPv6 address in the mesh, which follows from its id.
    pub fn ula(&self) -> Ipv6Addr {
        self.ula
    }

    /// Where it is looked for first.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.announced.first()
    }

    /// Where its WireGuard may be reached.
    pub fn announced(&self) -> &Announced {
        &self.announced
    }

    /// Why it is not looked for where gossip shows it; none if it is. What it signed holds.
    pub const fn astray(&self) -> Option<&Refusal> {
        self.astray.as_ref()
    }

    /// What gossip thinks of it.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Its key and the run in which its host is, if it answers gossip and says that.
    pub fn run(&self) -> Option<(WgKey, u32)> {
        let run = self.record.run.filter(|_| self.status == Status::Alive)?;
        Some((self.record.key, run))
    }

    /// The same, as gossip shows it now.
    pub(super) fn shown_as(&self, status: Status) -> Verified {
        Verified { status, ..self.clone() }
    }

    /// Whether it announces the same endpoint, address and key as `other`.
    pub(super) fn says_as(&self, other: &Verified) -> bool {
        self.announced == other.announced
            && self.astray == other.astray
            && self.record.address == other.record.address
            && self.record.key == other.record.key
    }

    /// The peer that it is, with a keepalive of so many seconds.
    pub fn peer(&self, keepalive: u16) -> PeerSpec {
        PeerSpec {
            key: self.record.key,
            endpoint: self.endpoint(),
            allowed: vec![(IpAddr::V4(self.record.address), 32), (IpAddr::V6(self.ula), 128)],
            keepalive,
            psk: self.psk.clone(),
        }
    }
}

/// Why a member is no peer. It stays out; nothing else is changed by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its tags are no valid record.
    Record(Flaw),
    /// It carries the record that another name's node signed for itself.
    Copied {
        /// The name that the record was signed for.
        signed_for: String,
    },
    /// It carries this node's own identity or key under another name.
    Own,
    /// Its WireGuard key is no key that a tunnel could be made with.
    WeakKey,
    /// Its mesh address cannot be a node's.
    Outside(Ipv4Addr, Subnet),
    /// Its mesh address is this node's own.
    OwnAddress {
        /// The address.
        address: Ipv4Addr,
        /// Whether this node keeps it, being settled or, where neither is, having the smaller id.
        kept: bool,
    },
    /// It and this node hold no key of the cluster that both could use.
    NoCommonKey(Vec<Fingerprint>),
    /// Its endpoint is inside the mesh, which cannot carry itself.
    Loop(IpAddr),
    /// Its endpoint is no address to send to.
    Unreachable(IpAddr),
    /// Its node id is held by another member with a newer record.
    IdHeld(String),
    /// Its WireGuard key is held by another member.
    KeyHeld(String),
    /// Its mesh address is held by another member, which had it first or has the smaller id.
    AddressHeld(Ipv4Addr, String),
    /// A newer record of its node was seen.
    Older {
        /// The generation it carries.
        carries: u64,
        /// The newest one seen.
        seen: u64,
    },
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Record(flaw) => Display::fmt(flaw, f),
            Refusal::Copied { signed_for } => {
                write!(
                    f,
                    "it carries the record of {signed_for}: the name differs from the signed name (an impostor, or a copied disk)"
                )
            }
            Refusal::Own => f.write_str("it carries this node's own identity under another name (a copied disk?)"),
            Refusal::WeakKey => f.write_str("its WireGuard key is a zero or low-order point, which protects nothing"),
            Refusal::Outside(address, subnet) => write!(f, "its mesh address {address} is no host of {subnet}"),
            Refusal::OwnAddress { address, kept: true } => {
                write!(
                    f,
                    "its mesh address {address} is this node's own, and this node keeps it: it had it first or has the smaller node id"
                )
            }
            Refusal::OwnAddress { address, kept: false } => {
                write!(
                    f,
                    "its mesh address {address} is this node's own, and this node moves: that one had it first or has the smaller node id"
                )
            }
            Refusal::NoCommonKey(keys) => {
                write!(
                    f,
                    "it and this node have no key of the cluster in common (it names {}; 'node-agent info' shows this node's): \
                     a change of the key did not reach both; install the key that the others use on both",
                    listed(keys)
                )
            }
            Refusal::Loop(address) => write!(f, "its endpoint {address} is inside the mesh, which cannot carry itself"),
            Refusal::Unreachable(address) => write!(f, "its endpoint {address} is no address to send to"),
            Refusal::IdHeld(by) => write!(f, "its node id is held by member {by} with a newer record (a copied disk?)"),
            Refusal::KeyHeld(by) => write!(f, "its WireGuard key is held by member {by}"),
            Refusal::AddressHeld(address, by) => {
                write!(
                    f,
                    "its mesh address {address} is held by member {by}, which had it first or has the smaller node id"
                )
            }
            Refusal::Older { carries, seen } => {
                write!(f, "its record is an old one (generation {carries}; {seen} was seen)")
            }
        }
    }
}

/// Judges `member` by itself, beside this node.
pub fn verify(member: &Member, local: &Local) -> Result<Verified, Refusal> {
    let record = Record::read(&member.name, &member.tags, &local.keyring).map_err(Refusal::Record)?;
    let own = &local.record;
    if record.node_id == own.node_id || record.key == own.key {
        return Err(Refusal::Own);
    }
    if !contributes(&record.key) {
        return Err(Refusal::WeakKey);
    }
    if !local.subnet.holds(record.address) {
        return Err(Refusal::Outside(record.address, local.subnet));
    }
    if record.address == own.address {
        // A node that is settled is not driven out: an id can be searched until it is small, and has this address.
        let kept = own.settled || !record.settled && own.node_id < record.node_id;
        return Err(Refusal::OwnAddress { address: record.address, kept });
    }
    let signed = record.endpoints.iter().map(|at| Ok(SocketAddr::new(place(at.ip(), local.subnet)?, at.port())));
    let signed: Vec<SocketAddr> = signed.collect::<Result<_, Refusal>>()?;
    // Gossip's own address is not signed: one that is of no use costs a node that says where it is nothing.
    let (shown, astray) = match place(member.addr, local.subnet) {
        Ok(address) => (Some(SocketAddr::new(address, record.port)), None),
        Err(refusal) if signed.is_empty() => return Err(refusal),
        Err(refusal) => (None, Some(refusal)),
    };
    // Never without one: a peer that has another idea of it could not be told from somebody who has none.
    let Some(psk) = local.keyring.pair(own, &record) else {
        return Err(Refusal::NoCommonKey(record.keys));
    };
    let announced = Announced { signed, shown };
    let ula = ula::address(&record.node_id, local.subnet);
    Ok(Verified { record, ula, announced, astray, psk, status: member.status })
}

/// `address` as packets to it have it; an error if none could be sent there, or only through the mesh itself.
fn place(address: IpAddr, subnet: Subnet) -> Result<IpAddr, Refusal> {
    let address = address.to_canonical();
    if subnet.contains(address) {
        Err(Refusal::Loop(address))
    } else if address.is_unspecified() || address.is_multicast() {
        Err(Refusal::Unreachable(address))
    } else {
        Ok(address)
    }
}

/// The id that the member claims, unproven; for the eyes of a person.
pub fn claimed_id(member: &Member) -> Option<NodeId> {
    member.tags.get("id")?.parse().ok()
}

/// Whether a tunnel with `key` depends on our key too: not so for zero and the other points of low order. Any secret
/// tells, so this one is fixed.
fn contributes(key: &WgKey) -> bool {
    StaticSecret::from([0x42; 32]).diffie_hellman(&PublicKey::from(key.0)).was_contributory()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Local, Member, Refusal, Status, verify};
    use crate::mesh::address::address;
    use crate::mesh::record::{Flaw, Record};
    use crate::mesh::{Identity, Keyring, Subnet, WgKey};

    pub(crate) fn keyring() -> Keyring {
        Keyring::new([&[7; 32][..]])
    }

    pub(crate) fn identity(seed: u8) -> Identity {
        Identity::from_seed(&[seed; 32])
    }

    pub(crate) fn record(identity: &Identity, name: &str) -> Record {
        Record {
            node_id: identity.node_id().clone(),
            name: name.to_owned(),
            key: identity.wireguard_key(),
            address: address(identity.node_id(), Subnet::DEFAULT, 0),
            port: 51820,
            generation: 10,
            keys: keyring().fingerprints(),
            settled: false,
            run: None,
            mtu: None,
            endpoints: Vec::new(),
        }
    }

    pub(crate) fn member(record: &Record, signer: &Identity) -> Member {
        Member {
            name: record.name.clone(),
            addr: "172.30.0.9".parse().unwrap(),
            port: 7946,
            tags: record.tags(signer, &keyring()),
            status: Status::Alive,
        }
    }

    pub(crate) fn local() -> Local {
        Local { record: record(&identity(1), "node1"), subnet: Subnet::DEFAULT, keyring: keyring() }
    }

    #[test]
    fn a_good_member_becomes_the_peer_it_says_it_is() {
        let other = identity(2);
        let verified = verify(&member(&record(&other, "node2"), &other), &local()).unwrap();
        let peer = verified.peer(25);
        assert_eq!(peer.key, other.wireguard_key());
        assert_eq!(peer.endpoint.unwrap().to_string(), "172.30.0.9:51820");
        let ula = crate::mesh::ula::address(other.node_id(), Subnet::DEFAULT);
        assert_eq!(peer.allowed, [(verified.record().address.into(), 32), (ula.into(), 128)]);
        assert_eq!(peer.keepalive, 25);
    }

    #[test]
    fn an_impostor_with_copied_tags_stays_out() {
        let other = identity(2);
        let mut impostor = member(&record(&other, "node2"), &other);
        impostor.name = "node3".to_owned();
        assert_eq!(verify(&impostor, &local()), Err(Refusal::Record(Flaw::Forged(other.node_id().clone()))));
    }

    #[test]
    fn a_record_that_its_node_did_not_sign_stays_out() {
        let (other, forger) = (identity(2), identity(3));
        let refused = Err(Refusal::Record(Flaw::Forged(other.node_id().clone())));
        assert_eq!(verify(&member(&record(&other, "node2"), &forger), &local()), refused);
    }

    #[test]
    fn low_order_keys_stay_out() {
        let other = identity(2);
        let mut one = [0; 32];
        one[0] = 1;
        // A point of order 8, from RFC 7748's curve: it is in every list of points to refuse.
        let eight = [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09,
            0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
        ];
        for key in [[0; 32], one, eight] {
            let mut record = record(&other, "node2");
            record.key = WgKey(key);
            assert_eq!(verify(&member(&record, &other), &local()), Err(Refusal::WeakKey));
        }
    }

    #[test]
    fn what_would_break_this_node_stays_out() {
        let (own, other) = (identity(1), identity(2));
        let clone = member(&record(&own, "clone"), &own);
        assert_eq!(verify(&clone, &local()), Err(Refusal::Own));
        let mut thief = record(&other, "node2");
        thief.key = own.wireguard_key();
        assert_eq!(verify(&member(&thief, &other), &local()), Err(Refusal::Own));
        let mut outside = record(&other, "node2");
        for text in ["10.43.0.1", "10.42.0.0", "10.42.255.255", "127.0.0.1"] {
            outside.address = text.parse().unwrap();
            let refused = Err(Refusal::Outside(outside.address, Subnet::DEFAULT));
            assert_eq!(verify(&member(&outside, &other), &local()), refused);
        }
        let mut same = record(&other, "node2");
        same.address = local().record.address;
        let kept = own.node_id() < other.node_id();
        let refused = Err(Refusal::OwnAddress { address: same.address, kept });
        assert_eq!(verify(&member(&same, &other), &local()), refused);
        let mut looped = member(&record(&other, "node2"), &other);
        looped.addr = "::ffff:10.42.0.1".parse().unwrap();
        assert_eq!(verify(&looped, &local()), Err(Refusal::Loop("10.42.0.1".parse().unwrap())));
        looped.addr = crate::mesh::ula::address(other.node_id(), Subnet::DEFAULT).into();
        assert_eq!(verify(&looped, &local()), Err(Refusal::Loop(looped.addr)));
        looped.addr = "0.0.0.0".parse().unwrap();
        assert_eq!(verify(&looped, &local()), Err(Refusal::Unreachable(looped.addr)));
        let mut many = record(&other, "node2");
        many.endpoints = ["192.0.2.1:51820", "[::ffff:10.42.0.1]:51820"].map(|at| at.parse().unwrap()).to_vec();
        assert_eq!(verify(&member(&many, &other), &local()), Err(Refusal::Loop("10.42.0.1".parse().unwrap())));
        // Gossip's own address is anybody's word, and does not drive out who says where it is.
        let mut told = record(&other, "node2");
        told.endpoints = vec!["192.0.2.1:51820".parse().unwrap()];
        let mut told = member(&told, &other);
        for shown in ["10.42.0.1", "0.0.0.0", "::ffff:10.42.0.1"] {
            told.addr = shown.parse().unwrap();
            let announced = verify(&told, &local()).unwrap().announced().clone();
            assert_eq!((announced.signed.len(), announced.shown), (1, None), "{shown}");
        }
        many.endpoints = vec!["[ff02::1]:51820".parse().unwrap()];
        assert_eq!(verify(&member(&many, &other), &local()), Err(Refusal::Unreachable("ff02::1".parse().unwrap())));
    }

    #[test]
    fn a_record_of_another_cluster_stays_out() {
        let other = identity(2);
        let mut replayed = member(&record(&other, "node2"), &other);
        let theirs = Keyring::new([&[8; 32][..]]);
        replayed.tags = Record { keys: theirs.fingerprints(), ..record(&other, "node2") }.tags(&other, &theirs);
        assert_eq!(
            verify(&replayed, &local()).unwrap_err().to_string(),
            format!(
                "its record was not made with this cluster's key (it names {}; 'node-agent info' shows this node's): it is of \
                 another cluster, or a change of the key did not reach both; give both nodes the same key",
                theirs.fingerprints()[0]
            )
        );
    }

    #[test]
    fn a_member_without_a_record_is_said_to_have_none() {
        let other = identity(2);
        let mut bare = member(&record(&other, "node2"), &other);
        bare.tags.clear();
        assert_eq!(verify(&bare, &local()).unwrap_err().to_string(), "it carries no signed record yet");
    }
}
