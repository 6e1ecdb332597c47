//! `initctl check`: the same reader that PID 1 has, over files that are not in use yet.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use log::error;

use super::code::CONFIGURATION;
use super::{reason, reload, shown};
use crate::unit::{Table, UnitId, read};

/// Says whether `files`, or without any those of the node under `root`, make a good table.
pub(super) fn run(root: &Path, files: &[PathBuf]) -> u8 {
    let paths = if files.is_empty() { own(root) } else { Ok(files.to_vec()) };
    let texts = paths.and_then(|paths| texts(&paths));
    let texts = match texts {
        Ok(texts) => texts,
        Err(cause) => {
            error!("unable to read {cause}; nothing was checked");
            return CONFIGURATION;
        }
    };
    match read(&texts) {
        Ok(table) => shown(&good(&table)),
        Err(mistakes) => {
            let lines: String = mistakes.iter().map(|mistake| format!("{mistake}\n")).collect();
            drop(io::stderr().write_all(lines.as_bytes()));
            let count = reload::mistakes(mistakes.len() as u64);
            error!("unable to use this table: {count}; PID 1 would refuse it whole");
            CONFIGURATION
        }
    }
}

/// The files of a node's own table.
pub(super) fn own(root: &Path) -> Result<Vec<PathBuf>, String> {
    let folder = root.join("etc/cluster-os");
    let mut more: Vec<PathBuf> = match fs::read_dir(folder.join("units.d")) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(cause) => return Err(format!("{}: {}", folder.join("units.d").display(), reason(&cause))),
    };
    more.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    more.sort();
    let first = folder.join("units.toml");
    if first.exists() || more.is_empty() {
        more.insert(0, first);
    }
    Ok(more)
}

/// Each file's name and text; else why one cannot be read.
pub(super) fn texts(paths: &[PathBuf]) -> Result<Vec<(String, String)>, String> {
    paths.iter().map(|path| text(path)).collect()
}

fn text(path: &Path) -> Result<(String, String), String> {
    let name = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => Ok((name, text)),
        Err(cause) if cause.kind() == io::ErrorKind::InvalidData => Err(format!("{name}: it is not UTF-8 text")),
        Err(cause) => Err(format!("{name}: {}", reason(&cause))),
    }
}

fn good(table: &Table) -> String {
    let name = |id: UnitId| table.units.get(id.index()).map(|unit| unit.name.as_str());
    let order: Vec<&str> = table.order().into_iter().filter_map(name).collect();
    match order.len() {
        0 => "0 units\n".to_owned(),
        1 => format!("1 unit: {}\n", order.join(", ")),
        count => format!("{count} units, order: {}\n", order.join(", ")),
    }
}
