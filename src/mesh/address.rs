//! The mesh address of a node: computed from its id, so that nobody has to hand it out.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::identity::NodeId;
use super::ula;

/// An IPv4 network that the mesh's addresses come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    network: u32,
    length: u8,
}

impl Subnet {
    /// The subnet of ClusterOS: 10.42.0.0/16.
    pub const DEFAULT: Subnet = Subnet { network: u32::from_be_bytes([10, 42, 0, 0]), length: 16 };

    /// The first address.
    pub fn network(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network)
    }

    /// The length of the prefix in bits, 1 to 30.
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether `address` is inside, also when written as an IPv4-mapped IPv6 address, or in the mesh's IPv6 network.
    pub fn contains(self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => (address.to_bits() ^ self.network) & self.mask() == 0,
            IpAddr::V6(address) => ula::contains(self, address),
        }
    }

    /// Whether a node may have `address`: inside, and neither the network's own address nor its broadcast address.
    pub fn holds(self, address: Ipv4Addr) -> bool {
        let host = address.to_bits() & !self.mask();
        self.contains(IpAddr::V4(address)) && host != 0 && host != !self.mask()
    }

    fn mask(self) -> u32 {
        u32::MAX << (32 - u32::from(self.length))
    }
}

impl Display for Subnet {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.length)
    }
}

/// Text that is not a subnet for a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotASubnet;

impl Display for NotASubnet {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("not an IPv4 network such as 10.42.0.0/16 (with a prefix of 1 to 30 bits, and no host bits set)")
    }
}

impl std::error::Error for NotASubnet {}

impl FromStr for Subnet {
    type Err = NotASubnet;

    fn from_str(text: &str) -> Result<Subnet, NotASubnet> {
        let (network, length) = text.split_once('/').ok_or(NotASubnet)?;
        let network: Ipv4Addr = network.parse().map_err(|_| NotASubnet)?;
        let length: u8 = length.parse().map_err(|_| NotASubnet)?;
        let subnet = Subnet { network: network.to_bits(), length };
        if !(1..=30).contains(&length) || subnet.network & !subnet.mask() != 0 {
            return Err(NotASubnet);
        }
        Ok(subnet)
    }
}

/// The address of `id` in `subnet`. Attempt 0 is ClusterOS's formula: the first four bytes of the id's SHA-256, big-endian,
/// modulo the number of hosts, plus 1. Attempt n hashes the id followed by `/n`: the next one to try when the address
/// before it belongs to another node.
pub fn address(id: &NodeId, subnet: Subnet, attempt: u32) -> Ipv4Addr {
    let mut hash = Sha256::new();
    hash.update(id.as_str());
    if attempt > 0 {
        hash.update(format!("/{attempt}"));
    }
    let digest: [u8; 32] = hash.finalize().into();
    let first = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let hosts = !subnet.mask() - 1;
    Ipv4Addr::from_bits(subnet.network + first % hosts + 1)
}

/// A move gives up after this many addresses that others have: the subnet is full then.
pub const ATTEMPTS: usize = 1000;

/// Where `id` goes when the address of `attempt` is another's: its next attempt whose address is none of `taken`, and that
/// address; none if the subnet is full.
pub fn next(id: &NodeId, subnet: Subnet, attempt: u32, taken: &BTreeSet<Ipv4Addr>) -> Option<(u32, Ipv4Addr)> {
    let later = (attempt.saturating_add(1)..).take(ATTEMPTS);
    later.map(|attempt| (attempt, address(id, subnet, attempt))).find(|(_, address)| !taken.contains(address))
}

#[cfg(test)]
mod tests {
    use super::{Subnet, address, next};
    use crate::mesh::identity::Identity;

    #[test]
    fn subnets_are_read_strictly() {
        for text in ["10.42.0.0/16", "10.0.0.0/8", "192.168.7.0/30", "128.0.0.0/1"] {
            assert_eq!(text.parse::<Subnet>().unwrap().to_string(), text);
        }
        for text in ["", "10.42.0.0", "10.42.0.1/16", "10.42.0.0/0", "10.42.0.0/31", "10.42.0.0/33", "fd00::/8", "a/b"]
        {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_subnet_knows_its_hosts() {
        let subnet = Subnet::DEFAULT;
        assert!(
            subnet.contains("10.42.255.255".parse().unwrap()) && subnet.contains("::ffff:10.42.0.1".parse().unwrap())
        );
        assert!(!subnet.contains("10.43.0.1".parse().unwrap()) && !subnet.contains("fd00::1".parse().unwrap()));
        assert!(subnet.holds("10.42.0.1".parse().unwrap()));
        for text in ["10.42.0.0", "10.42.255.255", "10.41.0.1"] {
            assert!(!subnet.holds(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn attempts_differ_and_stay_inside() {
        let small: Subnet = "10.9.8.4/30".parse().unwrap();
        for seed in 0..50 {
            let identity = Identity::from_seed(&[seed; 32]);
            for attempt in 0..20 {
                assert!(small.holds(address(identity.node_id(), small, attempt)));
                assert!(Subnet::DEFAULT.holds(address(identity.node_id(), Subnet::DEFAULT, attempt)));
            }
            let first = address(identity.node_id(), Subnet::DEFAULT, 0);
            assert_ne!(first, address(identity.node_id(), Subnet::DEFAULT, 1));
        }
    }

    #[test]
    fn a_move_goes_to_the_next_address_that_is_free() {
        let (identity, small): (_, Subnet) = (Identity::from_seed(&[1; 32]), "10.9.8.0/29".parse().unwrap());
        let id = identity.node_id();
        let second = (1, address(id, small, 1));
        assert_eq!(next(id, small, 0, &[].into()), Some(second));
        let (attempt, third) = next(id, small, 0, &[second.1].into()).unwrap();
        assert!(attempt > 1 && third == address(id, small, attempt) && third != second.1);
        let all = (1..7).map(|host| [10, 9, 8, host].into()).collect();
        assert_eq!(next(id, small, 0, &all), None);
    }
}
