//! Where the units come from: the files of the table that runs, by the names that they have on the node.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::call::Whom;
use super::super::document::Unable;
use super::super::reload::{paths, running_texts};
use crate::control::Status;
use crate::control::systemd::property::Origin;
use crate::unit::excerpt::excerpt;
use crate::unit::{Table, read};

/// The files of the table that runs.
pub(super) struct Source {
    files: Vec<File>,
    table: Option<Table>,
}

struct File {
    /// Its name on the node.
    name: String,
    /// As PID 1 read it.
    text: String,
    /// It is not so any more.
    changed: bool,
}

/// What a file says of a unit.
pub(super) struct Part {
    pub file: String,
    pub text: String,
    /// The file was changed since PID 1 read it.
    pub changed: bool,
}

impl Source {
    /// The files of the table that the node of `status` runs.
    pub fn read(of: &Whom, status: &Status) -> Result<Source, Unable> {
        let texts = running_texts(of, status)?;
        let root = of.root();
        let now: Vec<(PathBuf, Option<String>)> = paths(&root, status)
            .unwrap_or_default()
            .into_iter()
            .map(|path| (path.clone(), fs::read_to_string(path).ok()))
            .collect();
        let table = read(&texts).ok();
        let as_many = now.len() == texts.len();
        let files = texts.into_iter().enumerate().map(|(place, (copy, text))| {
            let same = now.iter().find(|(_, now)| now.as_deref() == Some(text.as_str()));
            let path = same.or_else(|| now.get(place).filter(|_| as_many)).map(|(path, _)| path.clone());
            let path = path.unwrap_or_else(|| PathBuf::from(copy));
            File { name: on_node(&root, &path), text, changed: same.is_none() }
        });
        Ok(Source { files: files.collect(), table })
    }

    /// What the files say of the unit `name`, in their order.
    pub fn parts(&self, name: &str) -> Vec<Part> {
        let part = |file: &File| {
            let text = excerpt(&file.text, name)?;
            Some(Part { file: file.name.clone(), text, changed: file.changed })
        };
        self.files.iter().filter_map(part).collect()
    }

    /// Whether the unit `name` has a `reload-signal`.
    pub fn reloads(&self, name: &str) -> bool {
        let mut units = self.table.iter().flat_map(|table| &table.units);
        units.any(|unit| unit.name == name && unit.reload_signal.is_some())
    }

    /// Where the unit `name` comes from.
    pub fn of(&self, name: &str) -> Origin {
        let unit = self.table.as_ref().and_then(|table| table.units.iter().find(|unit| unit.name == name));
        match unit {
            Some(unit) => Origin::of(unit, self.parts(name).into_iter().map(|part| part.file).collect()),
            None => Origin::own(name),
        }
    }
}

/// The name that `path` has on the node whose root is `root`.
fn on_node(root: &Path, path: &Path) -> String {
    match path.strip_prefix(root) {
        Ok(rest) => Path::new("/").join(rest).display().to_string(),
        Err(_) => path.display().to_string(),
    }
}
