//! Addresses as they are typed, and the one that others are told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::ifaddrs::getifaddrs;

/// Serf's port.
pub const PORT: u16 = 7946;

/// `ADDRESS`, `ADDRESS:PORT`, `[ADDRESS]:PORT` or `:PORT`.
pub fn parse(text: &str, port: u16) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse() {
        return Ok(SocketAddr::new(ip, port));
    }
    let port = text.strip_prefix(':').and_then(|port| port.parse().ok());
    port.map(|port| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)).ok_or_else(|| format!("{text} is no address"))
}

/// Where others reach this node: what was said, else the address that is bound, else the one that the way out begins at.
pub fn advertised(bind: SocketAddr, advertise: Option<SocketAddr>) -> Option<SocketAddr> {
    let told = advertise.filter(|address| !address.ip().is_unspecified());
    let port = advertise.map_or(bind.port(), |address| address.port());
    told.or_else(|| Some(bind).filter(|bind| !bind.ip().is_unspecified()))
        .or_else(|| outward(bind.is_ipv6()).or_else(|| first(bind.is_ipv6())).map(|ip| SocketAddr::new(ip, port)))
}

/// The address that the kernel would send from; nothing is sent. The destinations are of documentation (RFC 5737, RFC 3849).
fn outward(v6: bool) -> Option<IpAddr> {
    let ways: [(IpAddr, IpAddr); 2] = [
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(203, 0, 113, 1).into()),
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
    ];
    let found = |(from, to): (IpAddr, IpAddr)| {
        let socket = UdpSocket::bind((from, 0)).ok()?;
        socket.connect((to, PORT)).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    };
    ways.into_iter().take(if v6 { 2 } else { 1 }).find_map(found)
}

/// The first address of a link that is not the loopback.
fn first(v6: bool) -> Option<IpAddr> {
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => v6 && !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    links().find_map(|(_, ip)| Some(ip).filter(usable))
}

/// The first address of this link.
pub fn of_link(name: &str) -> Option<IpAddr> {
    let all: Vec<_> = links().filter(|(link, _)| link == name).map(|(_, ip)| ip).collect();
    all.iter().find(|ip| ip.is_ipv4()).or(all.first()).copied()
}

fn links() -> impl Iterator<Item = (String, IpAddr)> {
    getifaddrs().into_iter().flatten().filter_map(|link| {
        let address = link.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
        let ip = v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))?;
        Some((link.interface_name, ip))
    })
}

#[cfg(test)]
mod tests {
    use super::{advertised, of_link, parse};

    #[test]
    fn addresses_are_read_with_and_without_a_port() {
        for (text, address) in [
            ("10.0.0.1", "10.0.0.1:7946"),
            ("10.0.0.1:1", "10.0.0.1:1"),
            ("::1", "[::1]:7946"),
            ("[::1]", "[::1]:7946"),
            ("[::1]:2", "[::1]:2"),
            (":3", "0.0.0.0:3"),
        ] {
            assert_eq!(parse(text, 7946).unwrap().to_string(), address);
        }
        assert_eq!(parse("host", 1), Err("host is no address".to_owned()));
    }

    #[test]
    fn what_is_said_goes_before_what_is_bound() {
        let at = |text: &str| parse(text, 7946).unwrap();
        assert_eq!(advertised(at("0.0.0.0"), Some(at("10.0.0.1:1"))), Some(at("10.0.0.1:1")));
        assert_eq!(advertised(at("10.0.0.2"), None), Some(at("10.0.0.2")));
        assert_eq!(of_link("lo"), Some("127.0.0.1".parse().unwrap()));
        assert_eq!(of_link("no-such-link"), None);
    }
}
