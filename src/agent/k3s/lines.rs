//! The lines of k3s, which PID 1 keeps in the log of the unit k3s, under the names that ClusterOS gave them.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::Path;

use log::warn;

use crate::agent::paths::Paths;
use crate::cluster::k3s::Role;

/// Where the lines of units are.
const FOLDER: &str = "/var/log/cluster-os";
/// Those of the unit k3s.
const LINES: &str = "k3s.log";

/// Makes `k3s-server.log` or `k3s-agent.log` a link to them. A file of that name that is no link of ours stays.
pub(super) fn name(paths: &Paths, role: Role) {
    let folder = paths.resolve(Path::new(FOLDER));
    if !folder.is_dir() {
        return;
    }
    for known in [Role::Server, Role::Agent] {
        let path = folder.join(format!("k3s-{}.log", known.word()));
        if let Err(error) = link(&path, known == role) {
            warn!("unable to link {} to {LINES}: {error}; look into {LINES}", path.display());
        }
    }
}

fn link(path: &Path, wanted: bool) -> io::Result<()> {
    let ours = match fs::read_link(path) {
        Ok(target) => target == Path::new(LINES),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        // No link, but a file.
        Err(error) if error.kind() == ErrorKind::InvalidInput => return Ok(()),
        Err(error) => return Err(error),
    };
    match (ours, wanted) {
        (false, true) => match symlink(LINES, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        },
        (true, false) => fs::remove_file(path),
        (true, true) | (false, false) => Ok(()),
    }
}
