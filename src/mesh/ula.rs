//! The IPv6 address of a node beside its IPv4 address: a unique local one (RFC 4193) that follows from the mesh and from the
//! node's id, so that nobody has to hand it out and no two nodes have the same.

use std::net::Ipv6Addr;

use sha2::{Digest, Sha256};

use super::address::Subnet;
use super::identity::NodeId;

/// The length of the mesh's IPv6 network in bits.
pub const LENGTH: u8 = 64;

/// No link with smaller packets can carry IPv6 (RFC 8200).
pub const SMALLEST_MTU: u32 = 1280;

/// What precedes the text of the subnet where the network is made, and the id where the host is.
const NETWORK: &str = "clusteros-init mesh ula network 1\0";
const HOST: &str = "clusteros-init mesh ula host 1\0";

/// The mesh's IPv6 network, a /64: `fd`, then 40 bits of the SHA-256 of the subnet's text, then 16 zeros. It does not follow
/// from the cluster's key, so it stays while the key changes.
pub fn network(subnet: Subnet) -> Ipv6Addr {
    let bits = first(NETWORK, &subnet.to_string()) >> 24;
    Ipv6Addr::from_bits(u128::from(0xfd << 40 | bits) << 80)
}

/// The address of `id` in [`network`]: its last 64 bits are the first of the SHA-256 of the id.
pub fn address(id: &NodeId, subnet: Subnet) -> Ipv6Addr {
    Ipv6Addr::from_bits(network(subnet).to_bits() | u128::from(first(HOST, id.as_str())))
}

/// Whether `address` is in the mesh's IPv6 network.
pub fn contains(subnet: Subnet, address: Ipv6Addr) -> bool {
    (network(subnet).to_bits() ^ address.to_bits()) >> 64 == 0
}

/// The first 64 bits of the SHA-256 of both texts.
fn first(label: &str, text: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(label);
    hash.update(text);
    let digest: [u8; 32] = hash.finalize().into();
    digest.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::{address, contains, network};
    use crate::mesh::address::Subnet;
    use crate::mesh::identity::Identity;
    use std::collections::BTreeSet;

    #[test]
    fn the_network_follows_from_the_subnet_alone_and_is_unique_local() {
        let other: Subnet = "10.99.0.0/16".parse().unwrap();
        assert_eq!(network(Subnet::DEFAULT).to_string(), "fde2:1b26:8c8::");
        assert_eq!(network(other).to_string(), "fdd2:b9f:ba55::");
        assert!(network(other).is_unique_local());
    }

    #[test]
    fn the_address_follows_from_the_node_id() {
        let id = |seed| Identity::from_seed(&[seed; 32]).node_id().clone();
        assert_eq!(address(&id(0), Subnet::DEFAULT).to_string(), "fde2:1b26:8c8:0:6674:3ac4:5e71:2d66");
        assert_eq!(address(&id(1), Subnet::DEFAULT).to_string(), "fde2:1b26:8c8:0:3b2d:f4f7:15fb:4474");
        let all: BTreeSet<_> = (0..=255).map(|seed| address(&id(seed), Subnet::DEFAULT)).collect();
        assert_eq!(all.len(), 256);
        assert!(all.iter().all(|one| contains(Subnet::DEFAULT, *one)));
        assert!(!contains("10.99.0.0/16".parse().unwrap(), address(&id(0), Subnet::DEFAULT)));
    }
}
