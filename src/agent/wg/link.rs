//! Links, addresses and routes of this network namespace, by rtnetlink.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage};
use netlink_packet_route::route::RouteMessage;
use netlink_sys::AsyncSocket;
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkWireguard, RouteMessageBuilder};
use tokio::task::JoinHandle;

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

    /// Makes `address` the only IPv4 address of a link. Nothing is sent if it is that already.
    pub async fn set_address(&self, index: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        self.set_only(index, AddressFamily::Inet, IpAddr::V4(address), prefix).await
    }

    /// Makes `address` the only IPv6 address of a link, beside that of the link itself. Nothing is sent if it is that
    /// already.
    pub async fn set_ula(&self, index: u32, address: Ipv6Addr, prefix: u8) -> io::Result<()> {
        self.set_only(index, AddressFamily::Inet6, IpAddr::V6(address), prefix).await
    }

    async fn set_only(&self, index: u32, family: AddressFamily, address: IpAddr, prefix: u8) -> io::Result<()> {
        let mut present = false;
        for old in self.addresses(index).await?.into_iter().filter(|old| old.header.family == family) {
            match local(&old) {
                Some(own) if own == address && old.header.prefix_len == prefix => present = true,
                Some(IpAddr::V6(own)) if own.is_unicast_link_local() => {}
                _ => self.handle.address().del(old).execute().await.map_err(cause)?,
            }
        }
        if present {
            return Ok(());
        }
        self.handle.address().add(index, address, prefix).replace().execute().await.map_err(cause)
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

    /// Makes `gateway`, reached over the link, the way to everywhere else.
    pub async fn set_default_route(&self, index: u32, gateway: Ipv4Addr) -> io::Result<()> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).output_interface(index).build();
        self.handle.route().add(route).replace().execute().await.map_err(cause)
    }
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
