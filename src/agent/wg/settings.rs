//! What the link of this node is to be, from its configuration and its identity.

use std::net::{Ipv4Addr, Ipv6Addr};

use zeroize::Zeroizing;

use super::Link;
use crate::agent::config::Networking;
use crate::agent::node::Node;
use crate::agent::paths::Paths;
use crate::agent::{Failure, clock, hosts, k3s, underlay};
use crate::mesh::overlap;
use crate::mesh::peers::WgKey;

/// Bytes of a packet inside, where nothing below says less. Fits 1500 bytes below, also with IPv6 there.
const MTU: u32 = 1420;

/// What WireGuard adds to a packet, with IPv6 below.
const OVERHEAD: u32 = 80;

/// What every IPv4 host must take (RFC 791).
const SMALLEST: u32 = 576;

/// `node-agent wg0`, or with `down` `node-agent wg0 --down`.
pub fn command(paths: &Paths, down: bool, userspace: bool) -> Result<(), Failure> {
    let node = Node::load(paths)?;
    let settings = Settings::of(&node);
    if down {
        super::down(&settings)?;
        if let Err(error) = hosts::clear(paths) {
            log::warn!(
                "unable to take the names of the mesh out of /etc/hosts: {error}; they lead nowhere until wg0 is back"
            );
        }
        return Ok(());
    }
    apart(&node)?;
    clock::restore(paths);
    super::up(&settings, userspace)
}

/// Makes sure that nothing else of this host, and nothing of k3s, has addresses of the mesh.
fn apart(node: &Node) -> Result<(), Failure> {
    let Networking { interface, .. } = &node.config.networking;
    let mesh = node.subnet;
    if let Some(clash) = k3s::overlap(&node.config, mesh) {
        return Err(Failure::configuration(format!(
            "unable to bring up {interface}: {clash}; choose another range there, or another one for the mesh with NODE_SUBNET, \
             the same on every node"
        )));
    }
    let holdings = super::holdings(interface).unwrap_or_else(|cause| {
        log::warn!(
            "unable to read the addresses and routes of this host: {cause}; what overlaps the mesh is not found"
        );
        Vec::new()
    });
    match overlap::overlap(mesh, &holdings) {
        None => Ok(()),
        Some(clash) => Err(Failure::configuration(format!(
            "unable to bring up {interface}: the mesh {mesh} overlaps what this host has: {clash}; choose another range for the \
             mesh with NODE_SUBNET, the same on every node"
        ))),
    }
}

/// What the link of this node is to be.
#[derive(Clone)]
pub struct Settings {
    /// Its name.
    pub interface: String,
    /// The private key; it is clamped before it is used.
    pub private_key: Zeroizing<[u8; 32]>,
    /// The UDP port; 0 lets the kernel choose.
    pub port: u16,
    /// The address of this node in the mesh.
    pub address: Ipv4Addr,
    /// The prefix length of the mesh.
    pub prefix: u8,
    /// The IPv6 address of this node in the mesh; none if it is to have none.
    pub ula: Option<Ipv6Addr>,
    /// Bytes that a packet may have; none if that follows the link below.
    pub mtu: Option<u32>,
    /// The link below; none if there is none yet.
    pub below: Option<String>,
    /// Who this node is; marks the link as ours.
    pub node_id: String,
}

impl Settings {
    /// The settings of this node. The size of a packet follows the link that this node announces, unless the configuration says it.
    pub fn of(node: &Node) -> Settings {
        let networking = &node.config.networking;
        Settings {
            interface: networking.interface.clone(),
            private_key: node.identity.wireguard_secret(),
            port: networking.listen_port,
            address: node.address,
            prefix: node.subnet.length(),
            ula: node.ula(),
            mtu: networking.mtu,
            below: below(node),
            node_id: node.identity.node_id().to_string(),
        }
    }

    /// The private key as the kernel keeps it. An unclamped one would be a new key to it each time, and drop every
    /// session.
    pub(super) fn clamped(&self) -> Zeroizing<[u8; 32]> {
        let mut key = self.private_key.clone();
        key[0] &= 0b1111_1000;
        key[31] &= 0b0111_1111;
        key[31] |= 0b0100_0000;
        key
    }

    pub(super) fn public_key(&self) -> WgKey {
        WgKey(x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(*self.clamped())).to_bytes())
    }

    /// The alias that says whose the link is.
    pub(super) fn mark(&self) -> String {
        format!("clusteros:{}", self.node_id)
    }

    /// The alias by which `--down` says that it takes the link away: the process that serves it in user space ends then.
    pub(in crate::agent) fn farewell(&self) -> String {
        format!("clusteros:{} down", self.node_id)
    }

    /// Whether the link has our mark.
    pub(super) fn marked(&self, link: &Link) -> bool {
        link.alias == Some(self.mark()) || link.alias == Some(self.farewell())
    }
}

/// Bytes of a packet inside, from those below.
pub(super) fn mtu(below: Option<u32>) -> u32 {
    below.map_or(MTU, |below| below.saturating_sub(OVERHEAD).clamp(SMALLEST, MTU))
}

/// The link below; none if there is none yet.
fn below(node: &Node) -> Option<String> {
    let own = underlay::announced(&[], &node.config.networking.interface, node.subnet)?;
    underlay::addresses().into_iter().find(|(_, address)| *address == own).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::mtu;

    #[test]
    fn a_packet_fits_into_one_below() {
        let cases = [(None, 1420), (Some(1500), 1420), (Some(1460), 1380), (Some(1450), 1370), (Some(1280), 1200)];
        for (below, inside) in cases {
            assert_eq!(mtu(below), inside, "{below:?}");
        }
        assert_eq!(mtu(Some(9000)), 1420, "all nodes should agree");
        assert_eq!(mtu(Some(68)), 576);
    }
}
