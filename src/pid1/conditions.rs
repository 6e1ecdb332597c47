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
        if is_off(value) {
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

/// The words for no, as node-agent reads them.
fn is_off(value: &OsStr) -> bool {
    ["", "0", "false", "no", "off"].iter().any(|off| value.eq_ignore_ascii_case(off))
}

fn found(name: &str, outfit: &Outfit) -> bool {
    let candidates = spawn::candidates(OsStr::new(name), outfit.variable("PATH")).unwrap_or_default();
    candidates.iter().any(|path| path.to_str().is_ok_and(|path| Path::new(path).is_file()))
}

#[cfg(test)]
mod tests {
    use super::is_off;

    #[test]
    fn off_is_off_in_every_word_that_node_agent_takes() {
        assert!(["", "0", "false", "False", "no", "OFF"].into_iter().all(|word| is_off(word.as_ref())));
        assert!(!["1", "true", "yes", "on", "offline"].into_iter().any(|word| is_off(word.as_ref())));
    }
}
