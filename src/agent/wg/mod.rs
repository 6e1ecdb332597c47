//! The WireGuard link of this node: brought up, changed, taken down.
//!
//! The kernel's WireGuard if it has one, else the one in user space, loudly. What to change is `mesh::peers`'s to say;
//! this room asks and performs.

mod device;
mod error;
mod holdings;
mod kernel;
mod link;
mod repair;
mod settings;
mod uapi;
mod up;
#[cfg(feature = "userspace")]
mod userspace;

use std::io;
use std::net::{IpAddr, Ipv6Addr};

pub use device::{Changes, Device, Mode, changes, owned};
pub use error::Error;
pub(super) use holdings::holdings;
pub use kernel::weight;
pub use link::{Link, Links};
pub use repair::repair;
pub use settings::{Settings, command};
pub use up::{down, restore, up};

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

/// Gives the link the IPv6 address where it can have one; false if it has it already. The error is why it cannot.
async fn set_ula(links: &Links, link: &Link, ula: Ipv6Addr) -> Result<bool, String> {
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

/// What [`dress`] found and did.
struct Dressed {
    /// The link's number.
    index: u32,
    /// What was not so already.
    changed: Vec<&'static str>,
    /// Why the link has no IPv6 address, though it is to have one.
    lacks_ipv6: Option<String>,
}

/// Mark, addresses, size and routes of the link, which is up then; the same for both modes. What is so already is not sent. A
/// link without its IPv6 address is as good.
async fn dress(settings: &Settings, links: &Links) -> Result<Dressed, Error> {
    let Settings { interface: name, address, prefix, .. } = settings;
    let asked = |what: &str| {
        let what = what.to_owned();
        move |cause: io::Error| Error::refused(what, cause)
    };
    let link = links.find(name).await.map_err(asked("reading the link"))?.ok_or_else(|| Error::Absent(name.clone()))?;
    let index = link.index;
    let mut changed = Vec::new();
    if link.alias.as_deref() != Some(settings.mark().as_str()) {
        links.set_alias(index, &settings.mark()).await.map_err(asked("marking the link"))?;
        changed.push("its mark");
    }
    let set = links.set_address(index, *address, *prefix).await;
    if set.map_err(asked(&format!("setting the address {address}/{prefix}")))? {
        changed.push("its address");
    }
    let mtu = match (settings.mtu, &settings.below) {
        (Some(fixed), _) => fixed,
        (None, None) => settings::mtu(None),
        (None, Some(below)) => {
            let below = links.find(below).await.map_err(asked("reading the link below"))?;
            settings::mtu(below.and_then(|below| below.mtu))
        }
    };
    if link.mtu != Some(mtu) {
        links.set_mtu(index, mtu).await.map_err(asked(&format!("setting the MTU {mtu}")))?;
        changed.push("its MTU");
    }
    if !link.up {
        links.set_up(index).await.map_err(|cause| match cause.raw_os_error() {
            // A WireGuard link binds its port when it comes up.
            Some(libc::EADDRINUSE) => Error::PortTaken(settings.port),
            _ => asked("bringing the link up")(cause),
        })?;
        changed.push("that it is up");
    }
    // It has the size of its packets only now.
    let dressed = Link { mtu: Some(mtu), ..link };
    let lacks_ipv6 = match settings.ula {
        Some(ula) => match set_ula(links, &dressed, ula).await {
            Ok(set) => {
                changed.extend(set.then_some("its IPv6 address"));
                None
            }
            Err(cause) => Some(cause),
        },
        None => None,
    };
    let ula = settings.ula.filter(|_| lacks_ipv6.is_none());
    for (source, length) in [(Some(IpAddr::V4(*address)), *prefix), (ula.map(IpAddr::V6), ula::LENGTH)] {
        let Some(source) = source else { continue };
        if links.restore_route(index, source, length).await.map_err(asked("setting the route of the mesh"))? {
            changed.push("its route");
        }
    }
    Ok(Dressed { index, changed, lacks_ipv6 })
}

/// Dresses the link that was just made, and says it if it can have no IPv6 address. Returns the link's number.
async fn dress_anew(settings: &Settings, links: &Links) -> Result<u32, Error> {
    let dressed = dress(settings, links).await?;
    if let Some(cause) = dressed.lacks_ipv6 {
        log::info!("{} has no IPv6 address: {cause}; the other nodes are reached by IPv4", settings.interface);
    }
    Ok(dressed.index)
}
