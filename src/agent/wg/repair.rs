//! The link of this node, as somebody left it: what was changed by hand is put right.

use super::error::Error;
use super::link::Links;
use super::{Device, Settings, dress, owned};
use crate::mesh::peers::{Observed, WgKey};

/// Puts right what is not as it should be of the link, but for its peers: key, port, mark, addresses, size, routes, and that it is
/// up. Returns what that was. A link without our mark and our key is somebody else's, in which nothing is changed; one that
/// is being taken down is [`Error::Absent`]. `own` is the public key.
pub async fn repair(
    settings: &Settings,
    own: WgKey,
    device: &Device,
    observed: &Observed,
) -> Result<Vec<&'static str>, Error> {
    let name = &settings.interface;
    let links = Links::open().map_err(|cause| Error::refused("opening a netlink socket", cause))?;
    let link = links.find(name).await.map_err(|cause| Error::refused("reading the link", cause))?;
    let link =
        link.filter(|link| link.alias != Some(settings.farewell())).ok_or_else(|| Error::Absent(name.clone()))?;
    if !settings.marked(&link) {
        owned(name, observed, own)?;
    }
    let key = (observed.public_key != Some(own)).then(|| settings.clamped());
    let port = (settings.port != 0 && observed.port != settings.port).then_some(settings.port);
    let mut changed = Vec::new();
    if key.is_some() || port.is_some() {
        device.configure(key.as_ref(), port).await?;
        changed.extend(key.map(|_| "its private key"));
        changed.extend(port.map(|_| "its port"));
    }
    changed.extend(dress(settings, &links).await?.changed);
    Ok(changed)
}
