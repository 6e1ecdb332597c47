//! What this host has beside its mesh link: addresses, and where it sends what.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType};
use tokio::runtime::Builder;

use super::link::Links;
use crate::mesh::overlap::Holding;

/// The IPv4 addresses of every link but `interface`, and the routes of the main table that lead over another one. Tables that only a
/// rule leads to, and the kernel's own table of local addresses, are left out.
pub fn holdings(interface: &str) -> io::Result<Vec<Holding>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let links = Links::open()?;
        let names: BTreeMap<u32, String> = links.all().await?.into_iter().map(|link| (link.index, link.name)).collect();
        let name = |index: u32| names.get(&index).cloned().unwrap_or_else(|| format!("link {index}"));
        let mut found = Vec::new();
        for (index, address, length) in links.every_address().await? {
            if let IpAddr::V4(address) = address
                && name(index) != interface
            {
                found.push(Holding::Address(address, length, name(index)));
            }
        }
        for route in links.routes().await? {
            if let Some((network, length, over)) = described(&route) {
                let others: Vec<String> =
                    over.iter().map(|index| name(*index)).filter(|name| name != interface).collect();
                if over.is_empty() || !others.is_empty() {
                    found.push(Holding::Route(network, length, others.into_iter().next()));
                }
            }
        }
        Ok(found)
    })
}

/// Where a route of the main table leads, and over which links; over none if it leads nowhere.
fn described(route: &RouteMessage) -> Option<(Ipv4Addr, u8, Vec<u32>)> {
    let mut table = u32::from(route.header.table);
    let mut network = Ipv4Addr::UNSPECIFIED;
    let mut over = Vec::new();
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Destination(RouteAddress::Inet(address)) => network = *address,
            RouteAttribute::Oif(index) => over.push(*index),
            RouteAttribute::MultiPath(hops) => over.extend(hops.iter().map(|hop| hop.interface_index)),
            _ => {}
        }
    }
    let leads = matches!(
        route.header.kind,
        RouteType::Unicast | RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit
    );
    (leads && table == u32::from(RouteHeader::RT_TABLE_MAIN)).then_some((
        network,
        route.header.destination_prefix_length,
        over,
    ))
}

#[cfg(test)]
mod tests {
    use super::described;
    use netlink_packet_route::AddressFamily;
    use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};

    fn route(table: u8, kind: RouteType, attributes: Vec<RouteAttribute>) -> RouteMessage {
        let mut route = RouteMessage::default();
        route.header.address_family = AddressFamily::Inet;
        route.header.destination_prefix_length = 24;
        (route.header.table, route.header.kind, route.attributes) = (table, kind, attributes);
        route
    }

    #[test]
    fn only_what_the_main_table_leads_away_counts() {
        let network = "10.42.7.0".parse().unwrap();
        let to = || RouteAttribute::Destination(RouteAddress::Inet(network));
        let over = RouteAttribute::Oif(3);
        let main = route(254, RouteType::Unicast, vec![to(), over.clone()]);
        assert_eq!(described(&main), Some((network, 24, vec![3])));
        assert_eq!(described(&route(254, RouteType::BlackHole, vec![to()])), Some((network, 24, vec![])));
        let large = vec![RouteAttribute::Table(1000), to(), over.clone()];
        for other in [
            route(255, RouteType::Local, vec![to(), over.clone()]),
            route(254, RouteType::Broadcast, vec![to(), over.clone()]),
            route(52, RouteType::Unicast, vec![to(), over]),
            route(252, RouteType::Unicast, large),
        ] {
            assert_eq!(described(&other), None, "{other:?}");
        }
    }
}
