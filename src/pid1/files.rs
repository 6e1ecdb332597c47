//! The files around PID 1: the table to read, the directory under `/run` to make anew.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::sys::process;
use crate::unit::{Table, read};

use super::say;

/// The table.
pub const TABLE: &str = "/etc/cluster-os/units.toml";
/// Files after the table, in the order of their names.
pub const MORE: &str = "/etc/cluster-os/units.d";
/// Everything that does not outlive us.
pub const RUNTIME: &str = "/run/cluster-os";

/// The last table without a mistake, for a machine whose table has one.
const LAST_GOOD: &str = "/var/lib/cluster-os/last-good-table";

/// Under [`RUNTIME`], by generation: the running table's files as they were read.
pub const PUBLISHED: &str = "table";

/// The files of the table as they were read, name and text.
pub type Texts = Vec<(String, String)>;

/// Where the running table came from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// `--units FILE`; none: the usual files.
    pub chosen: Option<PathBuf>,
    /// The files as they were read; empty if no file made the table.
    pub texts: Texts,
    /// The same of tables before it that have units which are not down yet, newest first.
    pub former: Vec<Texts>,
}

impl Source {
    /// Another table runs, and these units of tables before it are not down yet.
    pub fn replace(&mut self, texts: Texts, behind: &[String]) {
        let before = std::mem::replace(&mut self.texts, texts);
        self.former.insert(0, before);
        self.former.retain(|texts| {
            !behind.is_empty()
                && table(texts).is_ok_and(|table| table.units.iter().any(|unit| behind.contains(&unit.name)))
        });
    }
}

/// Reads the files of the table: `chosen` alone, or the usual ones. Empty if there are none.
///
/// # Errors
/// That a file is there and cannot be read, and why.
pub fn texts(chosen: Option<&Path>) -> Result<Texts, String> {
    let mut paths: Vec<PathBuf> = Vec::new();
    match chosen {
        Some(path) => paths.push(path.to_owned()),
        None => {
            let none = fs::metadata(TABLE).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            paths.extend((!none).then(|| PathBuf::from(TABLE)));
            let mut more =
                entries(Path::new(MORE)).map_err(|error| format!("unable to read {MORE}: {}", say::cause(&error)))?;
            more.retain(|path| path.extension().is_some_and(|end| end == "toml"));
            more.sort_unstable();
            paths.append(&mut more);
        }
    }
    let read = |path: PathBuf| match twice(|| fs::read_to_string(&path)) {
        Ok(text) => Ok((path.display().to_string(), text)),
        Err(error) => Err(format!("unable to read {}: {}", path.display(), say::cause(&error))),
    };
    paths.into_iter().map(read).collect()
}

/// What is in `folder`, all of it; nothing if it is not there.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match twice(|| fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// Does once more what could not be done, for want of memory or of descriptors, say, where nobody would try again: a machine is
/// not to come up without its units.
pub fn twice<T>(attempt: impl Fn() -> io::Result<T>) -> io::Result<T> {
    attempt().or_else(|_| attempt())
}

/// The table in `texts`.
///
/// # Errors
/// Every mistake, one a line.
pub fn table(texts: &Texts) -> Result<Table, Vec<String>> {
    read::read(texts).map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

/// Keeps `texts` as the last good table, if they are not what is kept already.
///
/// # Errors
/// Why nothing was kept; what was kept before may be gone.
pub fn keep(texts: &Texts) -> io::Result<()> {
    let folder = Path::new(LAST_GOOD);
    if kept().iter().map(|(_, text)| text).eq(texts.iter().map(|(_, text)| text)) {
        return Ok(());
    }
    let new = folder.with_extension("new");
    if new.exists() {
        fs::remove_dir_all(&new)?;
    }
    fs::create_dir_all(&new)?;
    for (number, (_, text)) in texts.iter().enumerate() {
        fs::write(new.join(format!("{number:03}.toml")), text)?;
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::rename(&new, folder)
}

/// The last good table; empty if there is none.
pub fn kept() -> Texts {
    let mut paths = entries(Path::new(LAST_GOOD)).unwrap_or_default();
    paths.sort_unstable();
    paths
        .iter()
        .filter_map(|path| Some((path.display().to_string(), twice(|| fs::read_to_string(path)).ok()?)))
        .collect()
}

/// Publishes `texts` as `DIRECTORY/table/GENERATION/`, one file a text, for our own user alone: there may be secrets in
/// them. Older generations go.
///
/// # Errors
/// Why there is no copy, or not a whole one.
pub fn publish(directory: &Path, texts: &Texts, generation: u64) -> io::Result<()> {
    let all = directory.join(PUBLISHED);
    let folder = all.join(generation.to_string());
    fs::DirBuilder::new().mode(0o700).recursive(true).create(&folder)?;
    for (number, (_, text)) in texts.iter().enumerate() {
        let file = folder.join(format!("{number:03}.toml"));
        fs::File::options().write(true).create_new(true).mode(0o600).open(file)?.write_all(text.as_bytes())?;
    }
    for entry in fs::read_dir(all)? {
        let path = entry?.path();
        if path != folder {
            fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

/// [`RUNTIME`], made anew; none if it cannot be, which is said.
pub fn runtime() -> Option<&'static Path> {
    let runtime = Path::new(RUNTIME);
    if let Err(error) = renew_runtime(runtime) {
        log::warn!("unable to make {RUNTIME} anew: {}; status is in the log alone (SIGUSR1)", say::cause(&error));
        return None;
    }
    Some(runtime)
}

/// Makes `/run/cluster-os` anew: whatever an earlier life left in it is gone. It is only touched if it is a directory of
/// ours and no link.
///
/// # Errors
/// Why there is none; nothing may be written there then.
fn renew_runtime(directory: &Path) -> io::Result<()> {
    match fs::symlink_metadata(directory) {
        Ok(found) if !found.is_dir() => {
            return Err(io::Error::other("it is no directory"));
        }
        Ok(found) if found.uid() != process::own_user() => {
            return Err(io::Error::other("it belongs to somebody else"));
        }
        Ok(_) => {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                // remove_dir_all follows no link.
                if entry.file_type()?.is_dir() {
                    fs::remove_dir_all(entry.path())?
                } else {
                    fs::remove_file(entry.path())?
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::DirBuilder::new().mode(0o755).recursive(true).create(directory)?;
        }
        Err(error) => return Err(error),
    }
    // Each socket is its unit's user's alone; who is no root must come by to reach it.
    fs::DirBuilder::new().mode(0o711).create(directory.join("notify"))
}
