//! What each key's value must be, and what it sets. A value that is wrong is noted and sets nothing.

use std::time::Duration;

use toml::de::DeValue;

use super::draft::{Draft, Mention};
use super::duration;
use super::mistake::quoted;
use super::signal;
use super::suggest;
use super::table::{Backoff, ExitRule, Kill, Kind, NotifyFrom, Restart, Signal, When};
use super::value::{Field, Value};

pub fn kind(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(kind) = field.choice(&[("service", Kind::Service), ("oneshot", Kind::Oneshot)]) {
        draft.unit.kind = kind;
    }
}

pub fn exec(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(argv) = field.argv() {
        draft.unit.exec = argv;
    }
}

pub fn needs(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(mentions) = mentions(field, true) {
        draft.needs = mentions;
    }
}

pub fn binds(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(mentions) = mentions(field, false) {
        draft.binds = mentions;
    }
}

pub fn wants(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(mentions) = mentions(field, false) {
        draft.wants = mentions;
    }
}

/// The units that a list names. What is wrong with one name leaves the others to be checked.
fn mentions(field: &mut Field<'_>, may_be_optional: bool) -> Option<Vec<Mention>> {
    let mut mentions: Vec<Mention> = Vec::new();
    let items = field.list()?;
    for item in items {
        let Some(text) = field.text_at(item) else { continue };
        let (name, optional) = text.strip_suffix('?').map_or((text, false), |name| (name, true));
        if optional && !may_be_optional {
            field.refuse(
                item,
                format!("{} ends in ?, which only needs takes", quoted(text)),
                format!("write {}", quoted(name)),
            );
        } else if mentions.iter().any(|other| other.name == name) {
            field.refuse(item, format!("{} is listed twice", quoted(name)), "remove one");
        } else {
            mentions.push(Mention { name: name.to_owned(), optional, place: field.place(item) });
        }
    }
    Some(mentions)
}

pub fn when(field: &mut Field<'_>, draft: &mut Draft) {
    let DeValue::Table(conditions) = field.value.get_ref() else { return field.wrong(field.value) };
    let mut when = When::default();
    for (name, value) in conditions {
        let text = |field: &mut Field<'_>| match value.get_ref().as_str() {
            Some(text) if !text.is_empty() && !text.contains('\0') => Some(text.to_owned()),
            _ => {
                field.refuse(value, format!("{} is no text", name.get_ref()), "write a text that is not empty");
                None
            }
        };
        match name.get_ref().as_ref() {
            "env" => when.env = text(field),
            "program" => when.program = text(field),
            "path" => when.path = text(field),
            "container" => {
                when.container = value.get_ref().as_bool();
                if when.container.is_none() {
                    field.refuse(value, "container is neither true nor false", "write true or false");
                }
            }
            other => {
                let next = match suggest::nearest(other, CONDITIONS.iter().copied()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("write {}", field.key.values),
                };
                field.refuse(value, format!("unknown condition {}", quoted(other)), next);
            }
        }
    }
    draft.unit.when = when;
}

pub fn restart(field: &mut Field<'_>, draft: &mut Draft) {
    let choices = [("always", Restart::Always), ("on-failure", Restart::OnFailure), ("never", Restart::Never)];
    if let Some(restart) = field.choice(&choices) {
        draft.unit.restart = restart;
    }
}

pub fn backoff(field: &mut Field<'_>, draft: &mut Draft) {
    let Some(text) = field.text() else { return };
    let (first, cap) = text.split_once("..").unwrap_or((text, text));
    match (duration::parse(first), duration::parse(cap)) {
        (Some(first), Some(_)) if first < SHORTEST => {
            field.refuse(
                field.value,
                format!("{} starts below 1ms", quoted(text)),
                format!("write {}", field.key.values),
            );
        }
        (Some(first), Some(cap)) if first > cap => {
            field.refuse(field.value, format!("{} ends before it starts", quoted(text)), "write the shorter one first");
        }
        (Some(first), Some(cap)) => draft.unit.backoff = Backoff { first, cap },
        _ => {
            let cause = format!("{} is not two durations", quoted(text));
            field.refuse(field.value, cause, format!("write {}", field.key.values));
        }
    }
}

/// The shortest pause that still is one.
const SHORTEST: Duration = Duration::from_millis(1);

pub fn permanent_exit(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(rules) = exit_rules(field) {
        draft.unit.permanent_exit = rules;
    }
}

pub fn success_exit(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(rules) = exit_rules(field) {
        draft.unit.success_exit = rules;
    }
}

fn exit_rules(field: &mut Field<'_>) -> Option<Vec<ExitRule>> {
    let mut rules = Vec::new();
    for item in field.list()? {
        let rule = match item.get_ref() {
            DeValue::String(name) => signal_named(field, item, name).map(ExitRule::Signal),
            DeValue::Integer(number) => {
                let code = u8::from_str_radix(number.as_str(), number.radix()).ok();
                if code.is_none() {
                    field.refuse(item, format!("{number} is no exit code"), "write a number from 0 to 255");
                }
                code.map(ExitRule::Code)
            }
            _ => {
                field.wrong(item);
                None
            }
        };
        match rule {
            Some(rule) if rules.contains(&rule) => field.refuse(item, "it is listed twice", "remove one"),
            Some(rule) => rules.push(rule),
            None => {}
        }
    }
    Some(rules)
}

pub fn start_timeout(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(span) = some_span(field, "nothing starts in no time") {
        draft.unit.start_timeout = span;
    }
}

/// A duration that is not zero, because of `why`, or `"none"`.
fn some_span(field: &mut Field<'_>, why: &str) -> Option<Option<Duration>> {
    if field.value.get_ref().as_str() == Some("none") {
        return Some(None);
    }
    let span = span(field)?;
    if span.is_zero() {
        field.refuse(field.value, why, format!("write {}", field.key.values));
        return None;
    }
    Some(Some(span))
}

pub fn stop_timeout(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(span) = span(field) {
        draft.unit.stop_timeout = span;
    }
}

fn span(field: &mut Field<'_>) -> Option<Duration> {
    if let DeValue::Integer(number) = field.value.get_ref() {
        field.refuse(field.value, format!("{number} has no unit of time"), format!("write \"{number}s\" for seconds"));
        return None;
    }
    let text = field.text()?;
    let span = duration::parse(text);
    if span.is_none() {
        field.refuse(field.value, format!("{} is not a duration", quoted(text)), format!("write {}", duration::HOW));
    }
    span
}

pub fn stop_signal(field: &mut Field<'_>, draft: &mut Draft) {
    let Some(name) = field.text() else { return };
    if let Some(signal) = signal_named(field, field.value, name) {
        draft.unit.stop_signal = signal;
    }
}

pub fn reload_signal(field: &mut Field<'_>, draft: &mut Draft) {
    let Some(name) = field.text() else { return };
    match signal_named(field, field.value, name) {
        Some(Signal(9 | 19)) => {
            field.refuse(field.value, "no process can take that as a request", format!("write {}", field.key.values));
        }
        Some(signal) => draft.unit.reload_signal = Some(signal),
        None => {}
    }
}

pub(super) fn signal_named(field: &mut Field<'_>, at: &Value<'_>, name: &str) -> Option<Signal> {
    let signal = signal::parse(name);
    if signal.is_none() {
        let bare = name.get(3..).filter(|_| name.get(..3).is_some_and(|sig| sig.eq_ignore_ascii_case("SIG")));
        let next = match suggest::nearest(bare.unwrap_or(name), signal::names()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "write a name such as \"TERM\", \"SIGINT\" or \"RTMIN+3\"".to_owned(),
        };
        field.refuse(at, format!("{} is no signal", quoted(name)), next);
    }
    signal
}

pub fn stop(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(argv) = field.argv() {
        draft.unit.stop = Some(argv);
    }
}

pub fn finish(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(argv) = field.argv() {
        draft.unit.finish = Some(argv);
    }
}

pub fn watchdog(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(span) = some_span(field, "nobody is that fast") {
        draft.unit.watchdog = span;
    }
}

pub fn kill(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(kill) = field.choice(&[("cgroup", Kill::Cgroup), ("group", Kill::Group), ("main", Kill::Main)]) {
        draft.unit.kill = kill;
    }
}

pub fn notify_from(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(from) = field.choice(&[("main", NotifyFrom::Main), ("cgroup", NotifyFrom::Cgroup)]) {
        draft.unit.notify_from = from;
    }
}

pub fn env(field: &mut Field<'_>, draft: &mut Draft) {
    let DeValue::Table(variables) = field.value.get_ref() else { return field.wrong(field.value) };
    draft.unit.env.clear();
    for (name, value) in variables {
        let name = name.get_ref().as_ref();
        if name.is_empty() || name.contains(['=', '\0']) {
            field.refuse(value, format!("{} is no name of a variable", quoted(name)), "write a name without =");
            continue;
        }
        match value.get_ref().as_str() {
            Some(text) if !text.contains('\0') => {
                draft.unit.env.insert(name.to_owned(), text.to_owned());
            }
            _ => field.refuse(value, format!("{} is no text", quoted(name)), format!("write {}", field.key.values)),
        }
    }
}

pub fn enabled(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(flag) = field.flag() {
        draft.unit.enabled = flag;
    }
}

pub fn description(field: &mut Field<'_>, draft: &mut Draft) {
    let Some(text) = field.text() else { return };
    if text.len() > DESCRIPTION || text.chars().any(char::is_control) {
        return field.refuse(field.value, "it is too long, or not one line", format!("write {}", field.key.values));
    }
    draft.unit.description = text.to_owned();
}

/// The conditions of `when`.
const CONDITIONS: &[&str] = &["env", "program", "path", "container"];

/// The longest description in bytes: it is a column of the status table.
const DESCRIPTION: usize = 200;
