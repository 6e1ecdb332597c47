//! The networks of pods and services. They follow from the mesh alone, because every server of a cluster must say the same.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr};

use crate::mesh::Subnet;

/// In the order of choice. The first of each is k3s's own default; 10.42.0.0/16 is also the mesh's, and then the next is taken.
const PODS: &[&str] = &["10.42.0.0/16", "10.44.0.0/16", "172.28.0.0/16"];
const SERVICES: &[&str] = &["10.43.0.0/16", "10.45.0.0/16", "172.29.0.0/16"];

/// An IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range(Subnet);

/// What pods and services are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranges {
    /// `cluster-cidr`.
    pub pods: Range,
    /// `service-cidr`.
    pub services: Range,
}

impl Range {
    /// The network of the text.
    pub fn read(text: &str) -> Result<Range, String> {
        text.parse().map(Range).map_err(|cause| format!("{text:?} is {cause}"))
    }

    /// Whether an address is in both.
    pub fn overlaps(self, other: Subnet) -> bool {
        self.overlaps_network(other.network(), other.length())
    }

    /// Whether an address is in this and in the network of `address` with a prefix of `length` bits.
    pub fn overlaps_network(self, address: Ipv4Addr, length: u8) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
        let own = self.0.network();
        self.0.contains(IpAddr::V4(address)) || (own.to_bits() ^ address.to_bits()) & mask == 0
    }
}

impl Display for Range {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Ranges {
    /// The first that do not overlap the mesh; `pods` and `services` are what node.yaml says instead. The error says which
    /// overlap.
    pub fn choose(mesh: Subnet, pods: Option<&str>, services: Option<&str>) -> Result<Ranges, String> {
        let pick = |key: &str, wanted: Option<&str>, choice: &[&str]| match wanted {
            Some(text) => {
                let range = Range::read(text).map_err(|cause| format!("{key}: {cause}"))?;
                if range.overlaps(mesh) { Err(format!("{key}: {range} overlaps the mesh, {mesh}")) } else { Ok(range) }
            }
            None => {
                let mut free = choice.iter().filter_map(|text| Range::read(text).ok());
                free.find(|range| !range.overlaps(mesh)).ok_or_else(|| {
                    format!("{key}: the mesh, {mesh}, leaves nothing of {}; set {key}", choice.join(", "))
                })
            }
        };
        let ranges =
            Ranges { pods: pick("cluster-cidr", pods, PODS)?, services: pick("service-cidr", services, SERVICES)? };
        if ranges.pods.overlaps(ranges.services.0) {
            return Err(format!("cluster-cidr: {} overlaps service-cidr, {}", ranges.pods, ranges.services));
        }
        Ok(ranges)
    }

    /// Pods, then services.
    pub fn both(&self) -> [Range; 2] {
        [self.pods, self.services]
    }
}

#[cfg(test)]
mod tests {
    use super::Ranges;
    use crate::mesh::Subnet;

    fn chosen(mesh: &str, pods: Option<&str>, services: Option<&str>) -> String {
        match Ranges::choose(mesh.parse().expect("a subnet"), pods, services) {
            Ok(ranges) => format!("{} {}", ranges.pods, ranges.services),
            Err(cause) => cause,
        }
    }

    #[test]
    fn nothing_overlaps_the_mesh() {
        assert_eq!(chosen("10.42.0.0/16", None, None), "10.44.0.0/16 10.43.0.0/16");
        assert_eq!(chosen("10.43.9.0/24", None, None), "10.42.0.0/16 10.45.0.0/16");
        assert_eq!(chosen("192.168.7.0/24", None, None), "10.42.0.0/16 10.43.0.0/16");
        assert_eq!(chosen("10.0.0.0/8", None, None), "172.28.0.0/16 172.29.0.0/16");
        assert_eq!(chosen("0.0.0.0/1", None, None), "172.28.0.0/16 172.29.0.0/16");
        for mesh in [Subnet::DEFAULT, "10.44.0.0/14".parse().expect("a subnet")] {
            let ranges = Ranges::choose(mesh, None, None).expect("ranges");
            assert!(ranges.both().iter().all(|range| !range.overlaps(mesh)));
        }
    }

    #[test]
    fn what_a_person_says_is_checked() {
        assert_eq!(chosen("10.42.0.0/16", Some("10.50.0.0/16"), Some("10.51.0.0/16")), "10.50.0.0/16 10.51.0.0/16");
        assert_eq!(
            chosen("10.42.0.0/16", Some("10.42.128.0/17"), None),
            "cluster-cidr: 10.42.128.0/17 overlaps the mesh, 10.42.0.0/16"
        );
        assert_eq!(
            chosen("10.42.0.0/16", Some("10.43.0.0/16"), None),
            "cluster-cidr: 10.43.0.0/16 overlaps service-cidr, 10.43.0.0/16"
        );
        assert!(chosen("10.42.0.0/16", Some("ten"), None).starts_with("cluster-cidr: \"ten\" is not an IPv4 network"));
    }
}
