//! Whether overlayfs can be mounted in k3s's data directory: nothing but mounting it tells.

use std::fs;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::agent::paths::Paths;
use crate::cluster::k3s::facts::DATA;

/// Mounts an overlay of empty folders there, and takes everything away again. The cause if it cannot be mounted.
pub fn overlay(paths: &Paths) -> Result<(), String> {
    let data = paths.resolve(Path::new(DATA));
    let place = data.join(".trial");
    // What a killed start left behind.
    umount2(&place.join("merged"), MntFlags::MNT_DETACH).unwrap_or_default();
    drop(fs::remove_dir_all(&place));
    let tried = attempt(&place);
    drop(fs::remove_dir_all(&place));
    tried
}

fn attempt(place: &Path) -> Result<(), String> {
    for folder in ["lower", "upper", "work", "merged"] {
        fs::create_dir_all(place.join(folder)).map_err(|error| format!("{}: {error}", place.display()))?;
    }
    let at = |folder: &str| place.join(folder).display().to_string();
    let options = format!("lowerdir={},upperdir={},workdir={}", at("lower"), at("upper"), at("work"));
    let merged = place.join("merged");
    mount(Some("overlay"), &merged, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .map_err(|errno| errno.desc().to_owned())?;
    // A mount alone is not enough: some file systems refuse at the first write.
    let written = fs::write(merged.join("file"), "x").map_err(|error| error.to_string());
    let gone = umount2(&merged, MntFlags::MNT_DETACH).map_err(|errno| errno.desc().to_owned());
    written.and(gone)
}
