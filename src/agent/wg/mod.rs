//! The WireGuard link of this node: brought up, changed, taken down.
//!
//! The kernel's WireGuard if it has one, else the one in user space, loudly. What to change is `mesh::peers`'s to say;
//! this room asks and performs.

mod device;
mod error;
mod holdings;
mod kernel;
mod link;
mod settings;
mod uapi;
mod up;
#[cfg(feature = "userspace")]
mod userspace;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use device::{Changes, Device, Mode, changes, owned};
pub use error::Error;
pub(super) use holdings::holdings;
pub use link::{Link, Links};
pub use settings::{Settings, command};
pub use up::{down, up};

use crate::mesh::ula;

/// What of a link a person is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Bytes a packet may have.
    pub mtu: Option<u32>,
    /// Whether it has the IPv6 address that it may have.
    pub ipv6: bool,
}

/// Looks at the link `name`, which may have `ula`; what cannot be seen is none.
pub async fn sight(name: &str, ula: Option<Ipv6Addr>) -> Sight {
    let look = async || {
        let links = Links::open()?;
        let Some(link) = links.find(name).await? else { return Ok(Sight::default()) };
        let ipv6 = match ula {
            Some(ula) => links.has(link.index, IpAddr::V6(ula)).await?,
            None => false,
        };
        Ok::<_, io::Error>(Sight { mtu: link.mtu, ipv6 })
    };
    look().await.unwrap_or_default()
}

/// Gives the link the IPv6 address where it can have one; the error is why it cannot. Nothing is sent if it has it already.
pub async fn place_ula(name: &str, ula: Ipv6Addr) -> Result<(), String> {
    let links = Links::open().map_err(|cause| cause.to_string())?;
    match links.find(name).await.map_err(|cause| cause.to_string())? {
        Some(link) => set_ula(&links, &link, ula).await,
        None => Ok(()),
    }
}

async fn set_ula(links: &Links, link: &Link, ula: Ipv6Addr) -> Result<(), String> {
    if link.mtu.is_some_and(|mtu| mtu < ula::SMALLEST_MTU) {
        return Err(format!("its packets are smaller than the {} bytes of IPv6", ula::SMALLEST_MTU));
    }
    let switch = format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", link.name);
    match std::fs::read_to_string(switch) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Err("this kernel has no IPv6".to_owned()),
        Ok(text) if text.trim() == "1" => return Err("IPv6 is switched off here (disable_ipv6=1)".to_owned()),
        // What cannot be read is tried.
        _ => {}
    }
    links.set_ula(link.index, ula, ula::LENGTH).await.map_err(|cause| cause.to_string())
}

/// Gives the link the address, should this node have moved since it was brought up. Nothing is sent if it has it already.
pub async fn place(name: &str, address: Ipv4Addr, prefix: u8) -> Result<(), Error> {
    let refused = |cause| Error::refused(format!("unable to set the address {address}/{prefix}"), cause);
    let links = Links::open().map_err(refused)?;
    let link = links.find(name).await.map_err(refused)?.ok_or_else(|| Error::Absent(name.to_owned()))?;
    links.set_address(link.index, address, prefix).await.map_err(refused)
}

/// Mark, addresses and size of the link, then up; the same for both modes. What is so already is not sent. A link without
/// its IPv6 address is said to be so, and is as good.
/// Returns the link's number.
async fn dress(settings: &Settings, links: &Links) -> Result<u32, Error> {
    let name = &settings.interface;
    let asked = |what: &str| {
        let what = what.to_owned();
        move |cause: io::Error| Error::refused(what, cause)
    };
    let link = links.find(name).await.map_err(asked("reading the link"))?.ok_or_else(|| Error::Absent(name.clone()))?;
    if link.alias.as_deref() != Some(settings.mark().as_str()) {
        links.set_alias(link.index, &settings.mark()).await.map_err(asked("marking the link"))?;
    }
    links
        .set_address(link.index, settings.address, settings.prefix)
        .await
        .map_err(asked(&format!("setting the address {}/{}", settings.address, settings.prefix)))?;
    if link.mtu != Some(settings.mtu) {
        links.set_mtu(link.index, settings.mtu).await.map_err(asked(&format!("setting the MTU {}", settings.mtu)))?;
    }
    if !link.up {
        links.set_up(link.index).await.map_err(|cause| match cause.raw_os_error() {
            // A WireGuard link binds its port when it comes up.
            Some(libc::EADDRINUSE) => Error::PortTaken(settings.port),
            _ => asked("bringing the link up")(cause),
        })?;
    }
    if let Some(ula) = settings.ula {
        // It has the size of its packets only now.
        let dressed = Link { mtu: Some(settings.mtu), ..link.clone() };
        if let Err(cause) = set_ula(links, &dressed, ula).await {
            log::info!("{name} has no IPv6 address: {cause}; the other nodes are reached by IPv4");
        }
    }
    Ok(link.index)
}
