//! What the keys that shape a unit's process must be, and what they set. A value that is wrong is noted and sets nothing.

use toml::de::DeValue;

use super::attributes::{CAPABILITIES, EnvFile, Limit, RESOURCES, UNLIMITED, Who};
use super::draft::Draft;
use super::mistake::quoted;
use super::suggest;
use super::value::{Field, Value};

/// The most supplementary groups: a process has a handful.
pub const GROUPS: usize = 64;

pub fn user(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(who) = who(field, field.value, "user") {
        draft.unit.attributes.user = Some(who);
    }
}

pub fn group(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(who) = who(field, field.value, "group") {
        draft.unit.attributes.group = Some(who);
    }
}

pub fn groups(field: &mut Field<'_>, draft: &mut Draft) {
    let Some(items) = field.list() else { return };
    if items.len() > GROUPS {
        return field.refuse(field.value, format!("there are more than {GROUPS}"), "remove some");
    }
    let groups = items.iter().filter_map(|item| who(field, item, "group")).collect();
    draft.unit.attributes.groups = Some(groups);
}

fn who<'a>(field: &mut Field<'a>, at: &'a Value<'a>, what: &str) -> Option<Who> {
    match at.get_ref() {
        DeValue::Integer(_) => whole(at).and_then(number).map(Who::Number).or_else(|| {
            field.refuse(at, format!("it is no number of a {what}"), "write a number from 0 to 4294967294");
            None
        }),
        DeValue::String(name) if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) => {
            let number = name.parse().ok().and_then(number);
            if number.is_none() {
                let next = "write a number from 0 to 4294967294";
                field.refuse(at, format!("{} is no number of a {what}", quoted(name)), next);
            }
            number.map(Who::Number)
        }
        DeValue::String(_) => {
            let name = field.text_at(at)?;
            let plain = |letter: char| !letter.is_whitespace() && !letter.is_control() && letter != ':';
            if name.is_empty() || name.len() > 256 || !name.chars().all(plain) {
                field.refuse(
                    at,
                    format!("{} is no name of a {what}", quoted(name)),
                    format!("write {}", field.key.values),
                );
                return None;
            }
            Some(Who::Name(name.to_owned()))
        }
        _ => {
            field.wrong(at);
            None
        }
    }
}

fn number(number: i64) -> Option<u32> {
    u32::try_from(number).ok().filter(|number| *number != u32::MAX)
}

/// A whole number that is not absurd.
fn whole(value: &Value<'_>) -> Option<i64> {
    match value.get_ref() {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}

/// The value as a whole number between two.
fn between(field: &mut Field<'_>, least: i64, most: i64) -> Option<i32> {
    let number = whole(field.value).filter(|number| (least..=most).contains(number));
    if number.is_none() {
        match field.value.get_ref() {
            DeValue::Integer(number) => {
                let cause = format!("{number} is not between {least} and {most}");
                field.refuse(field.value, cause, format!("write {}", field.key.values));
            }
            _ => field.wrong(field.value),
        }
    }
    number.and_then(|number| i32::try_from(number).ok())
}

pub fn umask(field: &mut Field<'_>, draft: &mut Draft) {
    let written = match field.value.get_ref() {
        DeValue::Integer(number) if number.radix() == 8 => number.as_str(),
        DeValue::Integer(number) => {
            let next = format!("write \"{number}\" if that is what you mean");
            return field.refuse(field.value, "a umask is octal, and this number is not", next);
        }
        _ => match field.text() {
            Some(text) => text,
            None => return,
        },
    };
    let octal = written.bytes().all(|digit| (b'0'..=b'7').contains(&digit)) && (1..=4).contains(&written.len());
    match u32::from_str_radix(written, 8).ok().filter(|mask| octal && *mask <= 0o777) {
        Some(mask) => draft.unit.attributes.umask = Some(mask),
        None => {
            field.refuse(field.value, format!("{} is no umask", quoted(written)), format!("write {}", field.key.values))
        }
    }
}

pub fn cwd(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(path) = absolute(field) {
        draft.unit.attributes.cwd = Some(path.to_owned());
    }
}

fn absolute<'a>(field: &mut Field<'a>) -> Option<&'a str> {
    let path = field.text()?;
    if !path.starts_with('/') {
        field.refuse(
            field.value,
            format!("{} does not begin with /", quoted(path)),
            format!("write {}", field.key.values),
        );
        return None;
    }
    Some(path)
}

pub fn nice(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(nice) = between(field, -20, 19) {
        draft.unit.attributes.nice = Some(nice);
    }
}

pub fn oom_score_adj(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(score) = between(field, -1000, 1000) {
        draft.unit.attributes.oom_score_adj = Some(score);
    }
}

pub fn rlimits(field: &mut Field<'_>, draft: &mut Draft) {
    let DeValue::Table(limits) = field.value.get_ref() else { return field.wrong(field.value) };
    draft.unit.attributes.rlimits.clear();
    for (name, value) in limits {
        let name = name.get_ref().as_ref();
        let Some(resource) = RESOURCES.iter().position(|known| *known == name) else {
            let plain = name.to_ascii_lowercase();
            let plain = plain.strip_prefix("rlimit_").or(plain.strip_prefix("limit")).unwrap_or(&plain);
            let next = match suggest::nearest(plain, RESOURCES.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("write one of {}", RESOURCES.join(", ")),
            };
            field.refuse(value, format!("{} is no limit", quoted(name)), next);
            continue;
        };
        let text = value.get_ref().as_str();
        let bounds = match text.and_then(|text| text.split_once(':')) {
            Some((soft, hard)) => bound(soft).zip(bound(hard)),
            None => match text {
                Some(text) => bound(text),
                None => whole(value).and_then(|number| u64::try_from(number).ok()),
            }
            .map(|both| (both, both)),
        };
        match bounds {
            Some((soft, hard)) if soft > hard => {
                field.refuse(
                    value,
                    format!("the soft limit of {name} is above the hard one"),
                    "write the smaller one first",
                );
            }
            Some((soft, hard)) => {
                let resource = u8::try_from(resource).unwrap_or(u8::MAX);
                draft.unit.attributes.rlimits.push(Limit { resource, soft, hard });
            }
            None => field.refuse(value, format!("that is no limit for {name}"), format!("write {LIMIT}")),
        }
    }
}

/// How to write a limit.
const LIMIT: &str = "a whole number, \"SOFT:HARD\" or \"unlimited\"";

fn bound(text: &str) -> Option<u64> {
    match text {
        "unlimited" | "infinity" => Some(UNLIMITED),
        digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|number| *number != UNLIMITED)
        }
        _ => None,
    }
}

pub fn capabilities(field: &mut Field<'_>, draft: &mut Draft) {
    let Some(names) = field.texts() else { return };
    let mut set = 0_u64;
    for (name, at) in names {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        match CAPABILITIES.iter().position(|known| *known == bare) {
            Some(bit) if set & (1 << bit) != 0 => field.refuse(at, "it is listed twice", "remove one"),
            Some(bit) => set |= 1 << bit,
            None => {
                let next = match suggest::nearest(bare, CAPABILITIES.iter().copied()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => "write a name such as \"NET_BIND_SERVICE\"".to_owned(),
                };
                field.refuse(at, format!("{} is no capability", quoted(name)), next);
            }
        }
    }
    draft.unit.attributes.capabilities = Some(set);
}

pub fn no_new_privileges(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(flag) = field.flag() {
        draft.unit.attributes.no_new_privileges = flag;
    }
}

pub fn env_file(field: &mut Field<'_>, draft: &mut Draft) {
    let Some(text) = absolute(field) else { return };
    let (path, optional) = text.strip_suffix('?').map_or((text, false), |path| (path, true));
    draft.unit.attributes.env_file = Some(EnvFile { path: path.to_owned(), optional });
}

pub fn clear_env(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(flag) = field.flag() {
        draft.unit.attributes.clear_env = flag;
    }
}

pub fn pass_env(field: &mut Field<'_>, draft: &mut Draft) {
    let Some(names) = field.texts() else { return };
    draft.unit.attributes.pass_env.clear();
    for (name, at) in names {
        if name.is_empty() || name.contains('=') {
            field.refuse(at, format!("{} is no name of a variable", quoted(name)), "write a name without =");
        } else {
            draft.unit.attributes.pass_env.push(name.to_owned());
        }
    }
}
