//! `node-agent wg0` and `node-agent wg0 --down`.

use std::io;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::timeout;

use super::error::Error;
use super::kernel::Kernel;
use super::link::{Link, Links};
use super::{Settings, changes, dress_anew, uapi};
use crate::agent::{Failure, notify};

/// How long the process in user space may take to end: it stops its tasks within two seconds.
const FAREWELL: Duration = Duration::from_secs(4);

/// Brings the link up and says so to the supervisor. With the kernel's WireGuard it returns then; in user space, or if
/// `userspace` asks for it, it returns when the device has ended.
pub fn up(settings: &Settings, userspace: bool) -> Result<(), Failure> {
    run("bring up", settings, async |links| bring_up(settings, userspace, links).await)
}

/// Takes the link down if it is ours; nothing there is no failure.
pub fn down(settings: &Settings) -> Result<(), Failure> {
    run("take down", settings, async |links| take_down(settings, links).await)
}

fn run(verb: &str, settings: &Settings, task: impl AsyncFnOnce(&Links) -> Result<(), Error>) -> Result<(), Failure> {
    let done = Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        runtime.block_on(async {
            let links = Links::open()?;
            Ok(task(&links).await)
        })
    });
    let done = done.unwrap_or_else(|cause| Err(Error::refused("opening a netlink socket", cause)));
    done.map_err(|error| {
        let next = if matches!(error, Error::Refused(..)) { "; running it again goes on from here" } else { "" };
        let text = format!("unable to {verb} {}: {error}{next}", settings.interface);
        Failure { code: error.exit_code(), text }
    })
}

async fn bring_up(settings: &Settings, userspace: bool, links: &Links) -> Result<(), Error> {
    let name = &settings.interface;
    let present = links.find(name).await.map_err(|cause| Error::refused("reading the link", cause))?;
    match present {
        Some(link) => match link.kind.as_deref() {
            Some("wireguard") => adopt(settings, &link).await?,
            Some("tun") if settings.marked(&link) => {
                return in_user_space(settings, userspace, links).await;
            }
            _ => return Err(Error::Foreign(name.clone(), described(&link))),
        },
        None if userspace => return in_user_space(settings, true, links).await,
        None => match links.add_wireguard(name).await {
            Ok(()) => {}
            Err(cause) => match cause.raw_os_error() {
                Some(libc::EOPNOTSUPP) => return in_user_space(settings, false, links).await,
                _ => return Err(Error::refused("adding the link", cause)),
            },
        },
    }
    in_kernel(settings, links).await
}

/// Makes sure that a WireGuard link that was there is ours: by our mark, or by our key.
async fn adopt(settings: &Settings, link: &Link) -> Result<(), Error> {
    if settings.marked(link) {
        return Ok(());
    }
    let observed = kernel(settings).await?.dump().await;
    let observed = observed.map_err(|cause| Error::refused("reading the device", cause))?;
    if observed.public_key == Some(settings.public_key()) {
        return Ok(());
    }
    Err(Error::Foreign(settings.interface.clone(), described(link)))
}

/// Makes the kernel's link anew, which somebody deleted.
pub async fn restore(settings: &Settings) -> Result<(), Error> {
    let links = Links::open().map_err(|cause| Error::refused("opening a netlink socket", cause))?;
    let added = links.add_wireguard(&settings.interface).await;
    added.map_err(|cause| Error::refused("adding the link", cause))?;
    set_up(settings, &links).await
}

async fn in_kernel(settings: &Settings, links: &Links) -> Result<(), Error> {
    set_up(settings, links).await?;
    log::info!("{} is up: kernel WireGuard, {}/{}", settings.interface, settings.address, settings.prefix);
    notify::ready("kernel WireGuard");
    Ok(())
}

/// Key, port, and everything of the link.
async fn set_up(settings: &Settings, links: &Links) -> Result<(), Error> {
    let kernel = kernel(settings).await?;
    let observed = kernel.dump().await.map_err(|cause| Error::refused("reading the device", cause))?;
    let key = (observed.public_key != Some(settings.public_key())).then(|| settings.clamped());
    let port = (observed.port != settings.port && settings.port != 0).then_some(settings.port);
    if key.is_some() || port.is_some() {
        kernel.configure(key.as_ref(), port).await.map_err(|cause| match cause.raw_os_error() {
            Some(libc::EADDRINUSE) => Error::PortTaken(settings.port),
            _ => Error::refused("setting the key and the port", cause),
        })?;
    }
    dress_anew(settings, links).await.map(drop)
}

async fn kernel(settings: &Settings) -> Result<Kernel, Error> {
    let opened = Kernel::open(&settings.interface).await;
    opened.map_err(|cause| Error::refused("reaching the kernel's WireGuard", cause))
}

#[cfg(feature = "userspace")]
async fn in_user_space(settings: &Settings, asked: bool, links: &Links) -> Result<(), Error> {
    super::userspace::possible().map_err(Error::Unsupported)?;
    super::userspace::serve(settings, asked, links).await
}

#[cfg(not(feature = "userspace"))]
async fn in_user_space(_: &Settings, _: bool, _: &Links) -> Result<(), Error> {
    Err(Error::NoUserspace)
}

async fn take_down(settings: &Settings, links: &Links) -> Result<(), Error> {
    let name = &settings.interface;
    let present = links.find(name).await.map_err(|cause| Error::refused("reading the link", cause))?;
    let socket = uapi::socket(name);
    let Some(link) = present else {
        if !uapi::answers(&socket).await {
            remove(&socket);
        }
        return Ok(());
    };
    match link.kind.as_deref() {
        Some("wireguard") => {
            adopt(settings, &link).await?;
            // Who looks after it knows then that nobody deleted it by hand.
            let said = links.set_alias(link.index, &settings.farewell()).await;
            said.map_err(|cause| Error::refused("marking the link", cause))?;
            // A link that still has peers takes 12 ms a peer to delete.
            let cleared = kernel(settings).await?.clear().await;
            cleared.map_err(|cause| Error::refused("clearing the peers", cause))?;
        }
        Some("tun") if settings.marked(&link) => {
            if uapi::answers(&socket).await {
                farewell(settings, links, &link).await?;
            } else {
                remove(&socket);
            }
        }
        _ => return Err(Error::Foreign(name.clone(), described(&link))),
    }
    links.delete(link.index).await.map_err(|cause| Error::refused("deleting the link", cause))
}

/// Asks the process that serves the link to end, and waits for it, but not for ever.
async fn farewell(settings: &Settings, links: &Links, link: &Link) -> Result<(), Error> {
    let read = |cause| Error::refused("reading the link", cause);
    let mut changes = changes(&settings.interface).await?;
    links.set_alias(link.index, &settings.farewell()).await.map_err(read)?;
    let gone = async {
        while links.find(&settings.interface).await?.is_some_and(|now| now.index == link.index) {
            if !changes.next().await {
                // Nothing tells of it any more: the limit below decides.
                std::future::pending::<()>().await;
            }
        }
        Ok(())
    };
    match timeout(FAREWELL, gone).await {
        Ok(gone) => gone.map_err(read),
        Err(_) => {
            log::warn!(
                "unable to see the end of the process that serves {} within {} s; deleting the link under it",
                settings.interface,
                FAREWELL.as_secs()
            );
            Ok(())
        }
    }
}

fn remove(socket: &std::path::Path) {
    match std::fs::remove_file(socket) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            log::warn!("unable to remove {}: {cause}; going on", socket.display());
        }
        _ => {}
    }
}

/// What a link is, to a person.
fn described(link: &Link) -> String {
    let kind = link.kind.as_deref().unwrap_or("hardware");
    match &link.alias {
        Some(alias) => format!("{kind}, alias {alias}"),
        None => kind.to_owned(),
    }
}
