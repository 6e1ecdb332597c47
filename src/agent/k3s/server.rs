//! Which server of k3s to join: found by gossip, and kept for the next boot.

use std::net::Ipv4Addr;
use std::path::Path;

use log::{info, warn};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::agent::files::{self, Place};
use crate::agent::paths::Paths;
use crate::agent::report::Document;
use crate::agent::{Failure, notify};
use crate::cluster::k3s::Role;
use crate::cluster::k3s::role::{Start, choose, start};

/// How this node begins, waiting for a server as long as it takes. The server is kept.
pub fn begin(paths: &Paths, role: Role, bootstrap: bool, has_data: bool) -> Result<Start, Failure> {
    let kept = kept(paths);
    let mut watch = None;
    loop {
        let found = start(role, bootstrap, has_data, choose(&shown(paths), kept));
        if found != Start::Wait {
            if let Start::Join(server) = found {
                keep(paths, server, kept);
            }
            return Ok(found);
        }
        match &watch {
            // Watched before the next look: what comes in between is not missed.
            None => {
                info!("waiting for a server of k3s: no member of the gossip is one; the first has NODE_BOOTSTRAP=true");
                notify::status("waiting for a server of k3s in gossip");
                watch = Some(watched(&paths.peers_json()).map_err(|errno| {
                    Failure::internal(format!(
                        "unable to watch {}: {}; trying again",
                        paths.peers_json().display(),
                        errno.desc()
                    ))
                })?);
            }
            Some(watch) => drop(watch.read_events()),
        }
    }
}

fn watched(file: &Path) -> nix::Result<Inotify> {
    files::folder(file, false)
        .map_err(|error| nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    let watch = Inotify::init(InitFlags::IN_CLOEXEC)?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    watch.add_watch(folder, AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CLOSE_WRITE)?;
    Ok(watch)
}

/// The servers among the verified members, as `node-agent start` saw them last, and which of them answer.
fn shown(paths: &Paths) -> Vec<(Ipv4Addr, bool)> {
    let text = files::read(&paths.peers_json()).ok().flatten();
    let document: Option<Document> = text.and_then(|text| serde_json::from_str(&text).ok());
    let peers = document.map(|document| document.peers).unwrap_or_default();
    let servers = peers.into_iter().filter(|peer| peer.verified && peer.k3s.as_deref() == Some(Role::Server.word()));
    servers.filter_map(|peer| Some((peer.address?, peer.status == "alive"))).collect()
}

fn kept(paths: &Paths) -> Option<Ipv4Addr> {
    files::read(&paths.k3s_server()).ok().flatten()?.trim().parse().ok()
}

fn keep(paths: &Paths, server: Ipv4Addr, kept: Option<Ipv4Addr>) {
    if kept == Some(server) {
        return;
    }
    let path = paths.k3s_server();
    let written =
        files::folder(&path, true).and_then(|()| files::replace(&path, &format!("{server}\n"), false, Place::Kept));
    if let Err(error) = written {
        warn!("unable to keep the server of k3s in {}: {error}; the next boot asks gossip", path.display());
    }
}
