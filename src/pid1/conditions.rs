//! Which units are skipped: `when` against this host.

use std::ffi::OsStr;
use std::path::Path;

use crate::unit::{Table, When};

use super::place::Place;
use super::spawn::{self, Outfit};

/// By unit: why its `when` does not hold.
pub fn skips(table: &Table, outfit: &Outfit, place: Place) -> Vec<Option<String>> {
    table.units.iter().map(|unit| skip(&unit.when, outfit, place)).collect()
}

fn skip(when: &When, outfit: &Outfit, place: Place) -> Option<String> {
    if let Some(name) = &when.env {
        let value = outfit.variable(name).unwrap_or_default();
        if ["", "0", "false", "no"].iter().any(|off| value.eq_ignore_ascii_case(off)) {
            return Some(format!("the variable {name} is not set"));
        }
    }
    if let Some(name) = &when.program
        && !found(name, outfit)
    {
        return Some(format!("there is no program {name}"));
    }
    if let Some(path) = &when.path
        && !Path::new(path).exists()
    {
        return Some(format!("there is no {path}"));
    }
    match (when.container, place) {
        (Some(true), Place::Appliance) => Some("this is no container".to_owned()),
        (Some(false), Place::Container) => Some("this is a container".to_owned()),
        _ => None,
    }
}

fn found(name: &str, outfit: &Outfit) -> bool {
    let candidates = spawn::candidates(OsStr::new(name), outfit.variable("PATH")).unwrap_or_default();
    candidates.iter().any(|path| path.to_str().is_ok_and(|path| Path::new(path).is_file()))
}
