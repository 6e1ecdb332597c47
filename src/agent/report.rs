//! `/run/cluster-os/peers.json`: what `node-agent start` saw last, for everyone to read.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::state::{self, State};
use super::wg::Sight;
use crate::cluster::k3s;
use crate::cluster::member::claimed_id;
use crate::cluster::{Local, Member, Roster, Status};
use crate::mesh::WgKey;
use crate::mesh::endpoints::lives;
use crate::mesh::peers::{Observed, ObservedPeer};
use crate::mesh::record::Tags;

/// The version of the document.
pub const VERSION: u32 = 1;

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Document {
    /// [`VERSION`].
    pub version: u32,
    /// This node.
    #[serde(rename = "self")]
    pub own: Own,
    /// How many members gossip shows in each state, this node included.
    pub gossip: BTreeMap<String, usize>,
    /// Whom this node asks because no other one answers; empty when one does.
    pub asking: Vec<String>,
    /// The other members, by name.
    pub peers: Vec<Peer>,
}

/// This node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Own {
    /// Its name.
    pub name: String,
    /// Its id.
    pub node_id: String,
    /// Its address in the mesh.
    pub address: Ipv4Addr,
    /// Its IPv6 address in the mesh; none if it is to have none.
    #[serde(default)]
    pub ula: Option<Ipv6Addr>,
    /// Whether its interface has that address.
    #[serde(default)]
    pub ipv6: bool,
    /// Its WireGuard key.
    pub key: String,
    /// Its WireGuard interface.
    pub interface: String,
    /// `kernel`, `userspace`, or `absent` while there is no interface.
    pub mode: String,
    /// Bytes that a packet in the mesh may have; none while there is no interface.
    #[serde(default)]
    pub mtu: Option<u32>,
}

/// Another member.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Peer {
    /// Its name in gossip.
    pub name: String,
    /// Its id; only claimed if it is not verified.
    pub node_id: Option<String>,
    /// Its address in the mesh.
    pub address: Option<Ipv4Addr>,
    /// Its IPv6 address in the mesh.
    #[serde(default)]
    pub ula: Option<Ipv6Addr>,
    /// Where its WireGuard is: as the device has it, else as announced.
    pub endpoint: Option<SocketAddr>,
    /// Its WireGuard key.
    pub key: Option<String>,
    /// Gossip's word for it.
    pub status: String,
    /// Whether it is a peer.
    pub verified: bool,
    /// Why it is none.
    pub reason: Option<String>,
    /// How its tunnel is: `connected`, `waiting` for the first handshake, `silent`, `failed` or `refused`.
    #[serde(default)]
    pub state: String,
    /// Why it is not connected.
    #[serde(default)]
    pub why: Option<String>,
    /// Since when it is a peer, in seconds since 1970, as this program knows.
    #[serde(default)]
    pub since: Option<u64>,
    /// Whether the device has it.
    #[serde(default)]
    pub present: bool,
    /// Whether a tunnel stands: a handshake in the last three minutes.
    pub connected: bool,
    /// The last handshake, in seconds since 1970.
    pub handshake: Option<u64>,
    /// What it is to k3s, if it says that: `server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k3s: Option<String>,
    /// Bytes received.
    pub rx: u64,
    /// Bytes sent.
    pub tx: u64,
}

impl Document {
    /// The document of what gossip shows and the roster decided, on a node whose IPv6 address is `ula`. The tunnels come with
    /// [`Document::observe`].
    pub fn new(
        local: &Local,
        ula: Option<Ipv6Addr>,
        interface: &str,
        members: &[Member],
        roster: &Roster,
        targets: &[String],
    ) -> Document {
        let record = &local.record;
        let mut gossip = BTreeMap::new();
        for member in members {
            *gossip.entry(member.status.word().to_owned()).or_insert(0) += 1;
        }
        let alive = |member: &Member| member.name != record.name && member.status == Status::Alive;
        let tags: BTreeMap<&str, &Tags> = members.iter().map(|member| (member.name.as_str(), &member.tags)).collect();
        let says = |name: &str| tags.get(name)?.get(k3s::TAG).cloned();
        let mut peers: Vec<Peer> = roster
            .verified()
            .map(|peer| Peer {
                node_id: Some(peer.record().node_id.to_string()),
                address: Some(peer.record().address),
                ula: Some(peer.ula()),
                endpoint: peer.endpoint(),
                key: Some(peer.record().key.to_string()),
                verified: true,
                k3s: says(&peer.record().name),
                ..Peer::new(&peer.record().name, peer.status())
            })
            .collect();
        let refused: BTreeMap<&str, _> = roster.refused().collect();
        peers.extend(members.iter().filter_map(|member| {
            Some(Peer {
                node_id: claimed_id(member).map(|id| id.to_string()),
                reason: Some(refused.get(member.name.as_str())?.to_string()),
                ..Peer::new(&member.name, member.status)
            })
        }));
        peers.sort_by(|a, b| a.name.cmp(&b.name));
        Document {
            version: VERSION,
            own: Own {
                name: record.name.clone(),
                node_id: record.node_id.to_string(),
                address: record.address,
                ula,
                ipv6: false,
                key: record.key.to_string(),
                interface: interface.to_owned(),
                mode: "absent".to_owned(),
                mtu: None,
            },
            gossip,
            asking: if members.iter().any(alive) { Vec::new() } else { targets.to_vec() },
            peers,
        }
    }

    /// Puts in what the device says, `now` in seconds since 1970; without a device no tunnel stands.
    pub fn observe(&mut self, mode: &str, sight: Sight, observed: Option<&Observed>, now: u64) {
        mode.clone_into(&mut self.own.mode);
        (self.own.mtu, self.own.ipv6) = (sight.mtu, sight.ipv6);
        let held = observed.into_iter().flat_map(|device| &device.peers);
        let held: BTreeMap<WgKey, &ObservedPeer> = held.map(|peer| (peer.key, peer)).collect();
        for peer in self.peers.iter_mut().filter(|peer| peer.verified) {
            let key: Option<WgKey> = peer.key.as_deref().and_then(|key| key.parse().ok());
            let seen = key.and_then(|key| held.get(&key));
            peer.present = seen.is_some();
            peer.endpoint = seen.and_then(|seen| seen.endpoint).or(peer.endpoint);
            peer.handshake = seen.and_then(|seen| seen.handshake);
            peer.connected = seen.is_some_and(|seen| lives(seen, now));
            (peer.rx, peer.tx) = seen.map_or((0, 0), |seen| (seen.rx, seen.tx));
        }
        for peer in &mut self.peers {
            State::of(peer).word().clone_into(&mut peer.state);
            peer.why = state::why(peer, &self.own, now);
        }
    }

    /// Puts in since when each peer is one, by name.
    pub fn since(&mut self, since: &BTreeMap<String, u64>) {
        for peer in self.peers.iter_mut().filter(|peer| peer.verified) {
            peer.since = since.get(&peer.name).copied();
        }
    }

    /// How this node is in the mesh, or why it is not: it has no interface, or no tunnel to any of the peers that gossip
    /// sees alive, or it is alone, asks others, and was not told to `begin` the cluster.
    pub fn mesh(&self, begin: bool) -> Result<String, String> {
        let Own { address, interface, mode, .. } = &self.own;
        if mode == "absent" {
            return Err(format!("{interface} is not there; look at the unit wg0"));
        }
        let alive = self.peers.iter().filter(|peer| peer.verified && peer.status == Status::Alive.word());
        let (all, connected) = (alive.clone().count(), alive.filter(|peer| peer.connected).count());
        if all > 0 && connected == 0 {
            return Err(format!("no tunnel to any of {all} peers; is udp open between the nodes?"));
        }
        if all == 0 && !begin && !self.asking.is_empty() {
            return Err(format!(
                "no verified peer is alive, and {} does not answer; 'node-agent peers' says why one stays out",
                self.asking.join(", ")
            ));
        }
        Ok(format!("{address} on {interface}, {connected} of {all} peers connected"))
    }

    /// How many peers there are, and how many of them are connected.
    pub fn counts(&self) -> (usize, usize) {
        let verified = self.peers.iter().filter(|peer| peer.verified);
        (verified.clone().count(), verified.filter(|peer| peer.connected).count())
    }
}

impl Peer {
    fn new(name: &str, status: Status) -> Peer {
        Peer {
            name: name.to_owned(),
            node_id: None,
            address: None,
            ula: None,
            endpoint: None,
            key: None,
            status: status.word().to_owned(),
            verified: false,
            reason: None,
            state: String::new(),
            why: None,
            since: None,
            present: false,
            connected: false,
            handshake: None,
            k3s: None,
            rx: 0,
            tx: 0,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Document, Own, Peer, VERSION};
    use crate::agent::state::{State, why};

    /// This node and three others: one connected, one failed, one refused.
    pub(crate) fn document() -> Document {
        let peer = |name: &str| Peer {
            name: name.to_owned(),
            node_id: Some("4zvwRjXUKGfvwnParsHAS3HuSVzV5cA4McphgmoCtajS".to_owned()),
            address: Some("10.42.227.168".parse().unwrap()),
            ula: Some("fde2:1b26:8c8:0:6674:3ac4:5e71:2d66".parse().unwrap()),
            endpoint: Some("172.30.0.12:51820".parse().unwrap()),
            key: None,
            status: "alive".to_owned(),
            verified: true,
            reason: None,
            state: "connected".to_owned(),
            why: None,
            since: Some(900),
            present: true,
            connected: true,
            handshake: Some(1000),
            k3s: None,
            rx: 1536,
            tx: 42,
        };
        let refused = Peer {
            verified: false,
            connected: false,
            handshake: None,
            address: None,
            endpoint: None,
            reason: Some("its WireGuard key is held by member node2".to_owned()),
            ..peer("no\u{1b}de9")
        };
        let mut document = Document {
            version: VERSION,
            own: Own {
                name: "node1".to_owned(),
                node_id: "FAe4sisG95oZ42w7buUn5qEE4TAnfTTFPiguZUHmhiF".to_owned(),
                address: "10.42.133.224".parse().unwrap(),
                ula: Some("fde2:1b26:8c8::7".parse().unwrap()),
                ipv6: true,
                key: String::new(),
                interface: "wg0".to_owned(),
                mode: "userspace".to_owned(),
                mtu: Some(1420),
            },
            gossip: [("alive".to_owned(), 3), ("failed".to_owned(), 1)].into(),
            asking: Vec::new(),
            peers: vec![
                peer("node2"),
                Peer { connected: false, handshake: None, status: "failed".to_owned(), ..peer("node3") },
                refused,
            ],
        };
        for peer in &mut document.peers {
            State::of(peer).word().clone_into(&mut peer.state);
            peer.why = why(peer, &document.own, 1012);
        }
        document
    }
}
