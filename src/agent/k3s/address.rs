//! The mesh address that k3s was last started with, and k3s when this node has another.

use std::net::Ipv4Addr;
use std::path::Path;

use log::{info, warn};

use crate::agent::config::Config;
use crate::agent::files::{self, Place};
use crate::agent::paths::Paths;
use crate::agent::supervisor;
use crate::cluster::k3s::relocation::{ETCD, Relocation, relocation, remedy};

/// The address; none if k3s was not started yet.
pub(super) fn told(paths: &Paths) -> Option<Ipv4Addr> {
    files::read(&paths.k3s_address()).ok().flatten()?.trim().parse().ok()
}

/// Keeps it.
pub(super) fn keep(paths: &Paths, address: Ipv4Addr) {
    if told(paths) == Some(address) {
        return;
    }
    let path = paths.k3s_address();
    let text = format!("{address}\n");
    let written = files::folder(&path, true).and_then(|()| files::replace(&path, &text, false, Place::Kept));
    if let Err(error) = written {
        warn!("unable to keep the address of k3s in {}: {error}; if it changes, restart k3s by hand", path.display());
    }
}

/// The link has the address `now`: k3s is started again if it runs with another one and can follow, and else it is said what to do.
pub fn settle(paths: &Paths, config: &Config, name: &str, now: Ipv4Addr) {
    let Ok(Some(role)) = super::role_of(config) else { return };
    if config.roles.k3s != Some(true) {
        return;
    }
    let etcd = paths.resolve(Path::new(ETCD)).exists();
    match relocation(role, told(paths), now, etcd) {
        Relocation::Settled => {}
        Relocation::Restart { from } => match supervisor::try_restart("k3s") {
            Ok(()) => info!("this node's mesh address was {from} and is {now}: k3s starts again if it runs"),
            Err(cause) => warn!("unable to restart k3s for the mesh address {now}: {cause}; say 'initctl restart k3s'"),
        },
        Relocation::Stranded { from } => {
            let name = name.to_ascii_lowercase();
            warn!(
                "unable to move k3s from {from} to {now}: its etcd knows this server by {from}; {}",
                remedy(&name, now)
            );
        }
    }
}
