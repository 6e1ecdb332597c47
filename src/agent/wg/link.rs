//! Links, addresses and routes of this network namespace, by rtnetlink.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope};
use netlink_sys::AsyncSocket;
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkWireguard, RouteMessageBuilder};
use tokio::task::JoinHandle;

use crate::mesh::peers::network;

/// The metric of the routes that the kernel makes with IPv6 addresses (IP6_RT_PRIO_ADDRCONF).
const KERNEL_METRIC: u32 = 256;

/// A connection to rtnetlink. It lives inside a tokio runtime, in a task of its own.
pub struct Links {
    handle: rtnetlink::Handle,
    task: JoinHandle<()>,
}

/// A link as the kernel described it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What made it (`wireguard`, `tun`, `veth`); none for hardware and for `lo`.
    pub kind: Option<String>,
    /// Its alias, where our mark is.
    pub alias: Option<String>,
    /// Whether it is up, by its administrator's will.
    pub up: bool,
    /// Bytes a packet may have.
    pub mtu: Option<u32>,
    /// Whether it is an Ethernet link.
    pub ethernet: bool,
}

impl Drop for Links {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Links {
    /// Returns a connection. Errors are the socket's.
    pub fn open() -> io::Result<Links> {
        let (mut connection, handle, _) = rtnetlink::new_connection()?;
        let socket = connection.socket_mut().socket_mut();
        // Without it an error comes back with the whole request.
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        Ok(Links { handle, task: tokio::spawn(connection) })
    }

    /// Returns the link `name`; none if there is none.
    pub async fn find(&self, name: &str) -> io::Result<Option<Link>> {
        match self.handle.link().get().match_name(name).execute().try_next().await {
            Ok(found) => Ok(found.as_ref().map(described)),
            Err(error) => match cause(error) {
                error if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Returns every link.
    pub async fn all(&self) -> io::Result<Vec<Link>> {
        let found: Vec<LinkMessage> = self.handle.link().get().execute().try_collect().await.map_err(cause)?;
        Ok(found.iter().map(described).collect())
    }

    /// Makes a kernel WireGuard link. EEXIST if the name is taken by any kind of link, EOPNOTSUPP if the kernel has no
    /// WireGuard, EPERM without CAP_NET_ADMIN.
    pub async fn add_wireguard(&self, name: &str) -> io::Result<()> {
        self.handle.link().add(LinkWireguard::new(name).build()).execute().await.map_err(cause)
    }

    /// Marks a link as ours. The kernel ignores an alias that comes with the creation, so this is a request of its own.
    pub async fn set_alias(&self, index: u32, alias: &str) -> io::Result<()> {
        self.change(LinkUnspec::new_with_index(index).alias(alias)).await
    }

    /// Sets the bytes that a packet may have.
    pub async fn set_mtu(&self, index: u32, mtu: u32) -> io::Result<()> {
        self.change(LinkUnspec::new_with_index(index).mtu(mtu)).await
    }

    /// Brings a link up. EADDRINUSE if it is a WireGuard link whose port is taken.
    pub async fn set_up(&self, index: u32) -> io::Result<()> {
        self.change(LinkUnspec::new_with_index(index).up()).await
    }

    /// Takes a link down.
    pub async fn set_down(&self, index: u32) -> io::Result<()> {
        self.change(LinkUnspec::new_with_index(index).down()).await
    }

    async fn change(&self, request: LinkMessageBuilder<LinkUnspec>) -> io::Result<()> {
        self.handle.link().change(request.build()).execute().await.map_err(cause)
    }

    /// Deletes a link; one that is gone already is no error.
    pub async fn delete(&self, index: u32) -> io::Result<()> {
        match self.handle.link().del(index).execute().await.map_err(cause) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            done => done,
        }
    }

    /// Gives a link the address, and keeps every other one that it has.
    pub async fn add_address(&self, index: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        self.handle.address().add(index, IpAddr::V4(address), prefix).replace().execute().await.map_err(cause)
    }

    /// Makes `address` the only IPv4 address of a link. Nothing is sent, and false returned, if it is that already.
    pub async fn set_address(&self, index: u32, address: Ipv4Addr, prefix: u8) -> io::Result<bool> {
        self.set_only(index, AddressFamily::Inet, IpAddr::V4(address), prefix).await
    }

    /// Makes `address` the only IPv6 address of a link, beside that of the link itself. Nothing is sent, and
    /// false returned, if it is that already.
    pub async fn set_ula(&self, index: u32, address: Ipv6Addr, prefix: u8) -> io::Result<bool> {
        self.set_only(index, AddressFamily::Inet6, IpAddr::V6(address), prefix).await
    }

    async fn set_only(&self, index: u32, family: AddressFamily, address: IpAddr, prefix: u8) -> io::Result<bool> {
        let (mut present, mut changed) = (false, false);
        for old in self.addresses(index).await?.into_iter().filter(|old| old.header.family == family) {
            match local(&old) {
                Some(own) if own == address && old.header.prefix_len == prefix => present = true,
                Some(IpAddr::V6(own)) if own.is_unicast_link_local() => {}
                _ => {
                    changed = true;
                    self.handle.address().del(old).execute().await.map_err(cause)?;
                }
            }
        }
        if present {
            return Ok(changed);
        }
        self.handle.address().add(index, address, prefix).replace().execute().await.map_err(cause)?;
        Ok(true)
    }

    /// Takes `address` off a link; one that it does not have is no error.
    pub async fn remove_address(&self, index: u32, address: IpAddr) -> io::Result<()> {
        for old in self.addresses(index).await?.into_iter().filter(|old| local(old) == Some(address)) {
            self.handle.address().del(old).execute().await.map_err(cause)?;
        }
        Ok(())
    }

    /// Whether the link has `address`.
    pub async fn has(&self, index: u32, address: IpAddr) -> io::Result<bool> {
        Ok(self.addresses(index).await?.iter().any(|one| local(one) == Some(address)))
    }

    async fn addresses(&self, index: u32) -> io::Result<Vec<AddressMessage>> {
        let request = self.handle.address().get().set_link_index_filter(index);
        request.execute().try_collect().await.map_err(cause)
    }

    /// Every address of every link: the link's number, the address, the length of its network.
    pub async fn every_address(&self) -> io::Result<Vec<(u32, IpAddr, u8)>> {
        let found: Vec<AddressMessage> = self.handle.address().get().execute().try_collect().await.map_err(cause)?;
        let described = |one: &AddressMessage| Some((one.header.index, local(one)?, one.header.prefix_len));
        Ok(found.iter().filter_map(described).collect())
    }

    /// Every IPv4 route of every table.
    pub async fn routes(&self) -> io::Result<Vec<RouteMessage>> {
        let every = RouteMessageBuilder::<Ipv4Addr>::new().build();
        self.handle.route().get(every).execute().try_collect().await.map_err(cause)
    }

    /// The main table's route over the link to the network of its own address `source`; none if there is none.
    pub async fn route(&self, index: u32, source: IpAddr, prefix: u8) -> io::Result<Option<RouteMessage>> {
        let Some((network, prefix)) = network(source, prefix) else { return Ok(None) };
        let every = match network {
            IpAddr::V4(_) => RouteMessageBuilder::<Ipv4Addr>::new().build(),
            IpAddr::V6(_) => RouteMessageBuilder::<Ipv6Addr>::new().build(),
        };
        let all: Vec<RouteMessage> = self.handle.route().get(every).execute().try_collect().await.map_err(cause)?;
        Ok(all.into_iter().find(|route| leads(route, index, network, prefix)))
    }

    /// Takes away a route.
    pub async fn remove_route(&self, route: RouteMessage) -> io::Result<()> {
        self.handle.route().del(route).execute().await.map_err(cause)
    }

    /// Gives a link that is up the route to the network of its own address `source`, which the kernel makes with the address, and
    /// somebody may have taken away. False if it is there.
    pub async fn restore_route(&self, index: u32, source: IpAddr, prefix: u8) -> io::Result<bool> {
        if self.route(index, source, prefix).await?.is_some() {
            return Ok(false);
        }
        let Some((network, prefix)) = network(source, prefix) else { return Ok(false) };
        let route = match (network, source) {
            (IpAddr::V4(network), IpAddr::V4(source)) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(network, prefix)
                .pref_source(source)
                .scope(RouteScope::Link)
                .protocol(RouteProtocol::Kernel)
                .output_interface(index)
                .build(),
            (IpAddr::V6(network), _) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(network, prefix)
                .protocol(RouteProtocol::Kernel)
                .priority(KERNEL_METRIC)
                .output_interface(index)
                .build(),
            _ => return Ok(false),
        };
        match self.handle.route().add(route).execute().await.map_err(cause) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
            done => done.map(|()| true),
        }
    }

    /// Makes `gateway`, reached over the link, the way to everywhere else.
    pub async fn set_default_route(&self, index: u32, gateway: Ipv4Addr) -> io::Result<()> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).output_interface(index).build();
        self.handle.route().add(route).replace().execute().await.map_err(cause)
    }
}

/// Whether it is the main table's route to the network over the link.
fn leads(route: &RouteMessage, index: u32, network: IpAddr, prefix: u8) -> bool {
    let has = |wanted: &RouteAttribute| route.attributes.contains(wanted);
    let to = match network {
        IpAddr::V4(v4) => RouteAddress::Inet(v4),
        IpAddr::V6(v6) => RouteAddress::Inet6(v6),
    };
    route.header.table == RouteHeader::RT_TABLE_MAIN
        && route.header.destination_prefix_length == prefix
        && has(&RouteAttribute::Destination(to))
        && has(&RouteAttribute::Oif(index))
}

/// The address itself. IPv4 names it `Local` where the far end is another one; IPv6 has no `Local` then.
fn local(address: &AddressMessage) -> Option<IpAddr> {
    let own = address.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(ip) => Some(*ip),
        _ => None,
    });
    own.or_else(|| {
        address.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        })
    })
}

/// What of a link message is of use here.
pub(super) fn described(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        kind: None,
        alias: None,
        up: message.header.flags.contains(LinkFlags::Up),
        mtu: None,
        ethernet: message.header.link_layer_type == LinkLayerType::Ether,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias.clone()),
            LinkAttribute::Mtu(mtu) => link.mtu = Some(*mtu),
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(InfoKind::Other(kind)) => Some(kind.clone()),
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    link
}

/// The kernel's error, without the request that it answers.
fn cause(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        rtnetlink::Error::RequestFailed => io::Error::other("the netlink connection was closed"),
        rtnetlink::Error::UnexpectedMessage(_) => io::Error::other("the kernel answered with an unexpected message"),
        other => io::Error::other(other.to_string()),
    }
}
