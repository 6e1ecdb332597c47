//! The WireGuard link of this node: brought up, changed, taken down.
//!
//! The kernel's WireGuard if it has one, else the one in user space, loudly. What to change is `mesh::peers`'s to say;
//! this room asks and performs.

mod device;
mod error;
mod kernel;
mod link;
mod settings;
mod uapi;
mod up;
#[cfg(feature = "userspace")]
mod userspace;

use std::io;
use std::net::Ipv4Addr;

pub use device::{Changes, Device, Mode, changes, owned};
pub use error::Error;
pub use link::{Link, Links};
pub use settings::{Settings, command};
pub use up::{down, up};

/// Gives the link the address, should this node have moved since it was brought up. Nothing is sent if it has it already.
pub async fn place(name: &str, address: Ipv4Addr, prefix: u8) -> Result<(), Error> {
    let refused = |cause| Error::refused(format!("unable to set the address {address}/{prefix}"), cause);
    let links = Links::open().map_err(refused)?;
    let link = links.find(name).await.map_err(refused)?.ok_or_else(|| Error::Absent(name.to_owned()))?;
    links.set_address(link.index, address, prefix).await.map_err(refused)
}

/// Mark, address and size of the link, then up; the same for both modes. What is so already is not sent.
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
    Ok(link.index)
}
