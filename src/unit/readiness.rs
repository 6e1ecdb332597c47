//! `ready`: what makes a starting service count as up.

use std::time::Duration;

use toml::de::DeValue;

use super::draft::Draft;
use super::duration;
use super::mistake::quoted;
use super::suggest;
use super::value::{Field, Value};

/// `ready`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Its exec succeeded.
    Exec,
    /// It sent `READY=1` (sd_notify).
    Notify,
    /// It wrote a newline to this descriptor, 3 to 255, as s6 has it.
    Fd(u8),
    /// This command exited with 0.
    Probe(Probe),
}

/// A command that finds out whether a service is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The program and its arguments; never empty.
    pub argv: Vec<String>,
    /// From the end of one to the start of the next.
    pub every: Duration,
}

impl Ready {
    /// The command of a probe, if that is what it is.
    pub fn probe(&self) -> Option<&Probe> {
        match self {
            Ready::Probe(probe) => Some(probe),
            Ready::Exec | Ready::Notify | Ready::Fd(_) => None,
        }
    }
}

/// The shortest pause between two probes: what asks more often is a load, not a probe.
const SHORTEST: Duration = Duration::from_millis(10);
/// The pause that is not said.
const EVERY: Duration = Duration::from_secs(1);

pub(super) fn ready(field: &mut Field<'_>, draft: &mut Draft) {
    if let DeValue::Table(parts) = field.value.get_ref() {
        let (mut argv, mut every) = (None, EVERY);
        for (name, value) in parts {
            match name.get_ref().as_ref() {
                "probe" => argv = command(field, value),
                "every" => match value.get_ref().as_str().and_then(duration::parse).filter(|span| *span >= SHORTEST) {
                    Some(span) => every = span,
                    None => field.refuse(value, "every is no duration from 10ms on", "write one such as \"1s\""),
                },
                other => {
                    let next = match suggest::nearest(other, ["probe", "every"]) {
                        Some(near) => format!("did you mean \"{near}\"?"),
                        None => format!("write {}", field.key.values),
                    };
                    field.refuse(value, format!("unknown word {}", quoted(other)), next);
                }
            }
        }
        if !parts.contains_key("probe") {
            field.refuse(field.value, "it has no probe", "write { probe = [\"prog\", \"arg\"] }");
        }
        if let Some(argv) = argv {
            draft.unit.ready = Ready::Probe(Probe { argv, every });
        }
        return;
    }
    match field.value.get_ref().as_str() {
        Some("exec") => draft.unit.ready = Ready::Exec,
        Some("notify") => draft.unit.ready = Ready::Notify,
        Some(text) if text.starts_with("fd:") => {
            let digits = text.trim_start_matches("fd:");
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            match digits.parse().ok().filter(|number: &u8| plain && *number >= 3) {
                Some(number) => draft.unit.ready = Ready::Fd(number),
                None => {
                    let cause = format!("{} is no descriptor of its own", quoted(text));
                    field.refuse(field.value, cause, "write \"fd:3\" to \"fd:255\": 0 to 2 are its input and output");
                }
            }
        }
        _ => field.wrong(field.value),
    }
}

fn command<'a>(field: &mut Field<'a>, value: &'a Value<'a>) -> Option<Vec<String>> {
    let DeValue::Array(items) = value.get_ref() else {
        field.refuse(
            value,
            "probe is no list of texts",
            "write a list such as [\"prog\", \"arg\"]; no shell splits it",
        );
        return None;
    };
    let words: Vec<String> = items.iter().filter_map(|item| field.text_at(item)).map(str::to_owned).collect();
    if words.first().is_none_or(|program| program.trim().is_empty()) {
        field.refuse(value, "probe has no program", "write the program and its arguments");
        return None;
    }
    (words.len() == items.len()).then_some(words)
}
