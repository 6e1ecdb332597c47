//! Whether the mesh would take from a host what it has, or the host from the mesh.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr};

use super::address::Subnet;

/// Something of a host that is not of its mesh link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holding {
    /// An address of its own, the length of its network, and the link that has it.
    Address(Ipv4Addr, u8, String),
    /// The destination of a route in the main table, the length of its prefix, and where it leads: over a link, or nowhere.
    Route(Ipv4Addr, u8, Option<String>),
}

impl Holding {
    /// Whether the mesh and this stand in each other's way.
    ///
    /// An address inside the mesh does, however large its network: packets for the node of the mesh that has it would never leave
    /// this host. A route does if it leads to a part of the mesh or to all of it, for then it is as good as the mesh's own route
    /// or better, and takes packets away from the tunnels. A route with a shorter prefix, the default route above all, does not:
    /// the mesh's own route is the more specific one and wins, as it should.
    pub fn overlaps(&self, mesh: Subnet) -> bool {
        match self {
            Holding::Address(address, ..) => mesh.contains(IpAddr::V4(*address)),
            Holding::Route(network, length, _) => *length >= mesh.length() && mesh.contains(IpAddr::V4(*network)),
        }
    }
}

impl Display for Holding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Holding::Address(address, length, link) => write!(f, "{link} has {address}/{length}"),
            Holding::Route(network, length, Some(link)) => write!(f, "{network}/{length} is routed over {link}"),
            Holding::Route(network, length, None) => write!(f, "{network}/{length} is routed nowhere"),
        }
    }
}

/// What to say where something of the host overlaps the mesh; none where nothing does. An address comes before the route that
/// follows from it, and what is said is the first and how many more there are.
pub fn overlap(mesh: Subnet, holdings: &[Holding]) -> Option<String> {
    let mut found: Vec<&Holding> = holdings.iter().filter(|holding| holding.overlaps(mesh)).collect();
    found.sort_by_key(|holding| matches!(holding, Holding::Route(..)));
    let (first, more) = found.split_first()?;
    let more = if more.is_empty() { String::new() } else { format!(", and {} more like it", more.len()) };
    Some(format!("{first}{more}"))
}

#[cfg(test)]
mod tests {
    use super::{Holding, overlap};
    use crate::mesh::address::Subnet;

    fn address(text: &str, link: &str) -> Holding {
        let (address, length) = text.split_once('/').unwrap();
        Holding::Address(address.parse().unwrap(), length.parse().unwrap(), link.to_owned())
    }

    fn route(text: &str, link: Option<&str>) -> Holding {
        let (network, length) = text.split_once('/').unwrap();
        Holding::Route(network.parse().unwrap(), length.parse().unwrap(), link.map(str::to_owned))
    }

    #[test]
    fn a_route_as_specific_as_the_meshs_or_more_is_in_the_way() {
        let said = |text: &str| overlap(Subnet::DEFAULT, &[route(text, Some("cni0"))]);
        for apart in ["0.0.0.0/0", "0.0.0.0/1", "10.0.0.0/8", "10.42.0.0/15", "10.43.0.0/16", "10.41.255.0/24"] {
            assert_eq!(said(apart), None, "{apart}");
        }
        for inside in ["10.42.0.0/16", "10.42.0.0/24", "10.42.128.0/17", "10.42.255.255/32"] {
            assert_eq!(said(inside), Some(format!("{inside} is routed over cni0")));
        }
        assert_eq!(
            overlap(Subnet::DEFAULT, &[route("10.42.3.0/26", None)]).as_deref(),
            Some("10.42.3.0/26 is routed nowhere")
        );
        let whole: Subnet = "10.0.0.0/8".parse().unwrap();
        assert!(route("10.90.0.0/24", Some("eth0")).overlaps(whole));
        assert!(!route("0.0.0.0/0", Some("eth0")).overlaps("0.0.0.0/1".parse().unwrap()));
    }

    #[test]
    fn an_address_inside_the_mesh_is_in_the_way_whatever_its_network() {
        for inside in ["10.42.7.5/24", "10.42.7.5/16", "10.42.7.5/8", "10.42.0.1/32"] {
            assert_eq!(
                overlap(Subnet::DEFAULT, &[address("192.0.2.1/24", "eth0"), address(inside, "eth1")]),
                Some(format!("eth1 has {inside}"))
            );
        }
        for apart in ["10.43.0.1/8", "10.41.0.1/15", "127.0.0.1/8"] {
            assert_eq!(overlap(Subnet::DEFAULT, &[address(apart, "eth0")]), None, "{apart}");
        }
    }

    #[test]
    fn the_address_is_named_before_the_route_that_follows_from_it() {
        let all = [
            route("0.0.0.0/0", Some("eth0")),
            route("10.42.7.0/24", Some("eth1")),
            address("10.42.7.5/24", "eth1"),
            route("10.42.8.0/24", Some("eth2")),
        ];
        assert_eq!(overlap(Subnet::DEFAULT, &all).as_deref(), Some("eth1 has 10.42.7.5/24, and 2 more like it"));
        assert_eq!(overlap("172.30.0.0/16".parse().unwrap(), &all), None);
    }
}
