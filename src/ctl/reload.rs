//! `initctl reload`: another table in the place of the running one, or what it would change.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::error;

use super::call::Whom;
use super::check;
use super::code::{ABSENT, CONFIGURATION, NO, OK};
use super::document::{Document, Unable};
use super::{print, reason};
use crate::control::change::plan;
use crate::control::columns::plain;
use crate::control::{Change, Reload, Status};
use crate::unit::duration::short;
use crate::unit::{Fate, Mistake, Table, difference, read};

/// PID 1 gives its reader 30 s; one more look may be under way before.
const LIMIT: Duration = Duration::from_secs(65);

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Only to be shown.
    pub plan: bool,
    pub of: Whom,
}

/// Reloads, or shows what that would do; the exit code.
pub(super) fn run(wanted: &Wanted) -> u8 {
    let done = if wanted.plan { foresee(&wanted.of) } else { reload(&wanted.of) };
    done.unwrap_or_else(|unable| {
        error!("{unable}");
        unable.code
    })
}

/// Has PID 1 read its table again, and shows what came of it.
fn reload(of: &Whom) -> Result<u8, Unable> {
    let document = Document::open(of)?;
    document.renew().map_err(|unable| unable.and("nothing was asked"))?;
    let before = document.read()?.status.table;
    document.ask(libc::SIGHUP, "for a reload")?;
    let unable = |code, cause: String| Unable::new(code, format!("unable to tell what came of it: {cause}"));
    // A look that was under way may have come too early.
    let ended = before.ended + 1 + u64::from(before.reading);
    let since = Instant::now();
    loop {
        let table = document.read()?.status.table;
        if table.ended >= ended {
            return told(&table);
        }
        let Some(left) = LIMIT.checked_sub(since.elapsed()).filter(|left| !left.is_zero()) else {
            let text = format!(
                "no outcome within {}; PID 1 may still do it: are its files on a disk that is stuck?",
                short(LIMIT)
            );
            return Err(unable(ABSENT, text));
        };
        document
            .changed(Some(left))
            .map_err(|cause| unable(NO, format!("{}; PID 1 may still do it", reason(&cause))))?;
    }
}

/// Shows what came of a reload; the exit code.
fn told(table: &Reload) -> Result<u8, Unable> {
    match &table.error {
        None => Ok(print(&plan(&table.changes)).err().unwrap_or(OK)),
        Some(cause) if table.mistakes == 0 => {
            Err(Unable::new(NO, format!("unable to reload the unit table: {cause}; the running one stays")))
        }
        Some(lines) => {
            let lines: String = lines.lines().map(|line| format!("{}\n", plain(line))).collect();
            drop(io::stderr().write_all(lines.as_bytes()));
            let text = format!("unable to reload the unit table: {}; the running one stays", mistakes(table.mistakes));
            Err(Unable::new(CONFIGURATION, text))
        }
    }
}

/// Shows what a reload would do; the exit code.
fn foresee(of: &Whom) -> Result<u8, Unable> {
    let (_, reading) = Document::latest(of)?;
    let running = running(of, &reading.status)?;
    let root = of.root();
    let texts = paths(&root, &reading.status).and_then(|paths| check::texts(&paths));
    let texts = texts.map_err(|cause| {
        Unable::new(CONFIGURATION, format!("unable to read {cause}; a reload would change nothing"))
    })?;
    let table = read(&texts).map_err(|found| {
        drop(io::stderr().write_all(lines(&found).as_bytes()));
        let count = mistakes(found.len() as u64);
        Unable::new(CONFIGURATION, format!("unable to use this table: {count}; a reload would change nothing"))
    })?;
    Ok(print(&plan(&changes(&running, &table, &reading.status))).err().unwrap_or(OK))
}

/// The files that a reload would read.
pub(super) fn paths(root: &Path, status: &Status) -> Result<Vec<PathBuf>, String> {
    match &status.table.file {
        Some(file) => Ok(vec![root.join(file.strip_prefix('/').unwrap_or(file))]),
        None => check::own(root),
    }
}

/// The table that runs, from the copy that PID 1 keeps of it.
pub(super) fn running(of: &Whom, status: &Status) -> Result<Table, Unable> {
    let texts = running_texts(of, status)?;
    read(&texts).map_err(|_| {
        let cause = "it is no table that this initctl knows; use the node's own";
        Unable::new(NO, format!("unable to read {}: {cause}", published(of, status).display()))
    })
}

/// The files of the table that runs, in order, by the names of the copies that PID 1 keeps of them.
pub(super) fn running_texts(of: &Whom, status: &Status) -> Result<Vec<(String, String)>, Unable> {
    let folder = published(of, status);
    let unable = |cause: String| Unable::new(NO, format!("unable to read {}: {cause}", folder.display()));
    let files = copies(&folder).map_err(|cause| {
        unable(match cause.kind() {
            io::ErrorKind::PermissionDenied => "permission denied; try as root".to_owned(),
            _ => format!("{}; is the node older than initctl?", reason(&cause)),
        })
    })?;
    check::texts(&files).map_err(unable)
}

fn published(of: &Whom, status: &Status) -> PathBuf {
    of.root().join("run/cluster-os/table").join(status.generation.to_string())
}

fn copies(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// What differs, as PID 1 would do it: who is not wanted is not started by a restart.
fn changes(running: &Table, new: &Table, status: &Status) -> Vec<Change> {
    let off = |name: &str| status.units.iter().any(|unit| unit.name == name && unit.off());
    let mut all = difference(running, new);
    for found in &mut all {
        if found.fate == Fate::Restarted && off(&found.unit) {
            found.fate = Fate::Changed;
        }
    }
    all.iter().filter(|found| found.fate != Fate::Same).map(Change::new).collect()
}

fn lines(found: &[Mistake]) -> String {
    found.iter().map(|mistake| format!("{mistake}\n")).collect()
}

/// So many mistakes, in words.
pub(super) fn mistakes(count: u64) -> String {
    if count == 1 { "1 mistake".to_owned() } else { format!("{count} mistakes") }
}
