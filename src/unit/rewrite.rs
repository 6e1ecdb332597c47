//! `forward` and `rewrite`: which signals to PID 1 a unit gets, and as what.

use toml::de::DeValue;

use super::draft::Draft;
use super::mistake::quoted;
use super::settings::signal_named;
use super::signal;
use super::table::{Signal, Unit};
use super::value::Field;

/// One entry of `rewrite`: what becomes of a signal that is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// What comes.
    pub from: Signal,
    /// What the unit gets; none: nothing.
    pub to: Option<Signal>,
}

impl Unit {
    /// What this unit gets when `signal` comes; none if it is not asked for, or dropped.
    pub fn passes(&self, signal: Signal) -> Option<Signal> {
        let rule = self.rewrite.iter().find(|rule| rule.from == signal);
        self.forward.contains(&signal).then_some(rule.map_or(Some(signal), |rule| rule.to)).flatten()
    }
}

pub(super) fn forward(field: &mut Field<'_>, draft: &mut Draft) {
    let Some(names) = field.texts() else { return };
    let mut signals = Vec::new();
    for (name, at) in names {
        let Some(signal) = signal_named(field, at, name) else { continue };
        if signal::KEPT.contains(&signal.0) {
            field.refuse(at, format!("{} is PID 1's own and is not passed on", quoted(name)), "remove it");
        } else if signals.contains(&signal) {
            field.refuse(at, "it is listed twice", "remove one");
        } else {
            signals.push(signal);
        }
    }
    draft.unit.forward = signals;
}

pub(super) fn rewrite(field: &mut Field<'_>, draft: &mut Draft) {
    let DeValue::Table(rules) = field.value.get_ref() else { return field.wrong(field.value) };
    let mut rewrite: Vec<Rewrite> = Vec::new();
    for (name, value) in rules {
        let Some(from) = signal_named(field, value, name.get_ref()) else { continue };
        let to = match value.get_ref().as_str() {
            Some("drop") => None,
            Some(text) => match signal_named(field, value, text) {
                Some(signal) => Some(signal),
                None => continue,
            },
            None => {
                field.refuse(value, "that is no signal's name", "write a signal name, or \"drop\"");
                continue;
            }
        };
        if rewrite.iter().any(|rule| rule.from == from) {
            field.refuse(value, format!("{} is rewritten twice", signal::name(from)), "remove one");
        } else {
            rewrite.push(Rewrite { from, to });
        }
    }
    draft.unit.rewrite = rewrite;
}

/// Why `rewrite` cannot do anything about `from`, and what to write instead.
pub(super) fn pointless(unit: &Unit, from: Signal) -> Option<(String, String)> {
    if unit.forward.contains(&from) {
        return None;
    }
    let name = signal::name(from);
    Some(if from == unit.stop_signal || from == Signal(15) {
        let next = format!("write stop-signal = \"NAME\" for what stops it, and no {name} here");
        (format!("{name} is not passed on to it: it is what PID 1 stops it with"), next)
    } else if signal::KEPT.contains(&from.0) {
        (format!("{name} is PID 1's own and is not passed on"), "remove it".to_owned())
    } else {
        (format!("{name} is not in forward, so it never comes"), format!("write forward = [\"{name}\"], too"))
    })
}
