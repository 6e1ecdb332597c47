//! The addresses of other nodes' gossip, kept so that a node that starts again finds its cluster, also if it is the one
//! that everyone else once joined.

use std::io;
use std::net::SocketAddr;

use super::files::{self, Place};
use super::paths::Paths;
use crate::cluster::{Member, Roster, Status};

/// A handful is enough to find all the others.
const KEPT: usize = 16;

/// The addresses that were kept; none if the file cannot be read.
pub fn read(paths: &Paths) -> Vec<String> {
    let text = files::read(&paths.seeds()).ok().flatten();
    let lines = text.iter().flat_map(|text| text.lines());
    lines.filter(|line| line.parse::<SocketAddr>().is_ok()).take(KEPT).map(str::to_owned).collect()
}

/// Keeps the addresses of verified members that answer. Nothing is written if the same ones are kept already, nor if
/// nobody answers: whom this node knew last is then what it needs.
pub fn keep(paths: &Paths, roster: &Roster, members: &[Member]) -> io::Result<()> {
    let verified = |member: &&Member| roster.verified().any(|peer| peer.record().name == member.name);
    let alive = members.iter().filter(|member| member.status == Status::Alive).filter(verified);
    let mut addresses: Vec<String> =
        alive.map(|member| SocketAddr::new(member.addr, member.port).to_string()).collect();
    addresses.sort();
    addresses.truncate(KEPT);
    if addresses.is_empty() || addresses == read(paths) {
        return Ok(());
    }
    let path = paths.seeds();
    files::folder(&path, true)?;
    files::replace(&path, &(addresses.join("\n") + "\n"), false, Place::Kept)
}
