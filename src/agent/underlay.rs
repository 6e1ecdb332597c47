//! The node's own addresses on the networks below the mesh, and which of them the others are told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use nix::ifaddrs::getifaddrs;

use crate::mesh::Subnet;

/// An address in a range that is kept for documentation (RFC 5737): only the default route leads there.
const ANYWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// The addresses of this host as (interface, address), in the kernel's order.
pub fn addresses() -> Vec<(String, IpAddr)> {
    let Ok(all) = getifaddrs() else { return Vec::new() };
    all.filter_map(|entry| {
        let address = entry.address?;
        let address = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => IpAddr::V4(v4.ip()),
            (_, Some(v6)) => IpAddr::V6(v6.ip()),
            _ => return None,
        };
        Some((entry.interface_name, address))
    })
    .collect()
}

/// Whether one of `announced` is no address of this host: then something between it and the others translates.
pub fn is_foreign(announced: &[SocketAddr]) -> bool {
    let own = addresses();
    announced.iter().any(|at| !own.iter().any(|(_, address)| *address == at.ip().to_canonical()))
}

/// The address that a packet to `target` would leave from. Sends nothing.
pub fn source(target: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().ok()?;
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(target).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The address to announce: that of the route to the first join target, else of the default route, else the first one
/// on an interface that is neither `lo` nor `interface`. Never one of the mesh.
pub fn announced(targets: &[SocketAddr], interface: &str, subnet: Subnet) -> Option<IpAddr> {
    let addresses = addresses();
    let routes = targets.iter().copied().chain([SocketAddr::from((ANYWHERE, 9))]).filter_map(source);
    choose(routes, &addresses, interface, subnet)
}

fn choose(
    routes: impl Iterator<Item = IpAddr>,
    addresses: &[(String, IpAddr)],
    interface: &str,
    subnet: Subnet,
) -> Option<IpAddr> {
    let in_mesh = |address: &IpAddr| {
        subnet.contains(*address) || addresses.iter().any(|(name, own)| name == interface && own == address)
    };
    let named = addresses.iter().filter(|(name, _)| name != "lo" && name != interface).map(|(_, address)| *address);
    let (v4, v6): (Vec<_>, Vec<_>) = named.partition(IpAddr::is_ipv4);
    routes.chain(v4).chain(v6).find(|address| reachable(address) && !in_mesh(address))
}

/// Whether other hosts can send to it.
fn reachable(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_loopback() && !v4.is_link_local() && !v4.is_multicast(),
        IpAddr::V6(v6) => {
            !v6.is_unspecified() && !v6.is_loopback() && !v6.is_unicast_link_local() && !v6.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::choose;
    use crate::mesh::Subnet;
    use std::net::IpAddr;

    fn chosen(routes: &[&str], addresses: &[(&str, &str)]) -> Option<String> {
        let addresses: Vec<(String, IpAddr)> =
            addresses.iter().map(|(name, address)| ((*name).to_owned(), address.parse().unwrap())).collect();
        let routes = routes.iter().map(|address| address.parse().unwrap());
        choose(routes, &addresses, "wg0", Subnet::DEFAULT).map(|address| address.to_string())
    }

    #[test]
    fn the_route_to_the_others_comes_first() {
        let addresses = [("lo", "127.0.0.1"), ("eth0", "172.30.0.2"), ("wg0", "10.42.3.4")];
        assert_eq!(chosen(&["172.31.0.2", "172.30.0.2"], &addresses).as_deref(), Some("172.31.0.2"));
        assert_eq!(chosen(&[], &addresses).as_deref(), Some("172.30.0.2"));
    }

    #[test]
    fn the_mesh_never_carries_itself() {
        let addresses = [("lo", "127.0.0.1"), ("cni0", "10.42.0.1"), ("wg0", "192.168.9.9"), ("eth0", "fe80::1")];
        assert_eq!(chosen(&["10.42.3.4", "192.168.9.9"], &addresses), None);
        let with_v6 = [("eth0", "2001:db8::5"), ("eth1", "10.0.0.5")];
        assert_eq!(chosen(&["127.0.0.1"], &with_v6).as_deref(), Some("10.0.0.5"));
    }
}
