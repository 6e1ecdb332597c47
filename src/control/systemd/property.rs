//! The properties that `systemctl show` knows: one table.

use super::{End, NOTHING, foreign, id, result, system, words};
use crate::control::calendar;
use crate::control::columns::plain;
use crate::control::status::{Passage, Status, UnitStatus};
use crate::unit::{Kind, Ready, Restart, Unit};

/// Where a unit comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The files that say something of it, in the order in which they are read.
    pub files: Vec<String>,
    /// `enabled`, `disabled`; `static` or `transient` for one that PID 1 adds itself.
    pub state: &'static str,
    /// `simple`, `notify` or `oneshot`.
    pub kind: &'static str,
    /// `always`, `on-failure` or `no`.
    pub restart: &'static str,
}

impl Origin {
    /// What the table says of `unit`, which `files` name.
    pub fn of(unit: &Unit, files: Vec<String>) -> Origin {
        let kind = match (unit.kind, &unit.ready) {
            (Kind::Oneshot, _) => "oneshot",
            (Kind::Service, Ready::Notify) => "notify",
            (Kind::Service, _) => "exec",
        };
        let restart = match unit.restart {
            Restart::Always => "always",
            Restart::OnFailure => "on-failure",
            Restart::Never => "no",
        };
        Origin { files, state: if unit.enabled { "enabled" } else { "disabled" }, kind, restart }
    }

    /// A unit that is in no file: the main command, or PID 1's own.
    pub fn own(name: &str) -> Origin {
        let state = if name == "main" { "transient" } else { "static" };
        Origin { state, kind: "exec", ..Origin::default() }
    }
}

/// What is known of a unit.
pub struct Facts<'a> {
    /// As it was typed.
    pub typed: &'a str,
    /// The document.
    pub status: &'a Status,
    /// The unit in it; none if there is none.
    pub unit: Option<&'a UnitStatus>,
    /// Where it comes from, if that can be known.
    pub origin: Option<&'a Origin>,
}

/// A property of a unit: its name and its value.
pub type Property = (&'static str, fn(&Facts<'_>) -> String);

/// A property of the node: its name and its value.
pub type NodeProperty = (&'static str, fn(&Status) -> String);

const NOT_SET: &str = "[not set]";

/// The properties of a unit.
pub const UNIT: &[Property] = &[
    ("Type", |facts| facts.origin.map_or("", |origin| origin.kind).to_owned()),
    ("Restart", |facts| facts.origin.map_or("", |origin| origin.restart).to_owned()),
    ("MainPID", |facts| facts.unit.and_then(|unit| unit.pid).unwrap_or(0).to_string()),
    ("StatusText", |facts| facts.unit.and_then(|unit| unit.status.clone()).unwrap_or_default()),
    ("Result", |facts| facts.unit.map_or("success", result).to_owned()),
    ("NRestarts", |facts| facts.unit.map_or(0, |unit| unit.restarts).to_string()),
    ("ExecMainStartTimestamp", |facts| moment(facts.entered(&["starting"]))),
    ("ExecMainPID", |facts| facts.unit.and_then(last_pid).unwrap_or(0).to_string()),
    ("ExecMainCode", |facts| facts.end().map_or(0, |end| end.code).to_string()),
    ("ExecMainStatus", |facts| facts.end().map_or(0, |end| end.status).to_string()),
    ("ControlGroup", |facts| match facts.unit.filter(|unit| unit.usage.is_some()) {
        Some(unit) => format!("/{}.service", unit.name),
        None => String::new(),
    }),
    ("MemoryCurrent", |facts| number(facts.unit.and_then(|unit| unit.usage.as_ref()?.memory))),
    ("MemoryPeak", |facts| number(facts.unit.and_then(|unit| unit.usage.as_ref()?.memory_peak))),
    ("CPUUsageNSec", |facts| {
        number(facts.unit.and_then(|unit| unit.usage.as_ref()?.cpu_us).map(|micros| micros.saturating_mul(1000)))
    }),
    ("TasksCurrent", |facts| number(facts.unit.and_then(|unit| unit.usage.as_ref()?.pids))),
    ("Id", |facts| facts.id()),
    ("Names", |facts| facts.id()),
    ("Requires", |facts| facts.links(|unit| hard(&unit.needs))),
    ("Wants", |facts| facts.links(soft)),
    ("BindsTo", |facts| facts.links(|unit| hard(&unit.binds))),
    ("RequiredBy", |facts| facts.back(|unit| hard(&unit.needs))),
    ("WantedBy", |facts| facts.back(soft)),
    ("BoundBy", |facts| facts.back(|unit| hard(&unit.binds))),
    ("Before", |facts| facts.back(all)),
    ("After", |facts| facts.links(all)),
    ("Description", |facts| match facts.unit.map(|unit| unit.description.as_str()).filter(|text| !text.is_empty()) {
        Some(text) => text.to_owned(),
        None => facts.id(),
    }),
    ("LoadState", |facts| if facts.unit.is_some() { "loaded" } else { "not-found" }.to_owned()),
    ("ActiveState", |facts| facts.unit.map_or(NOTHING, words).active.to_owned()),
    ("SubState", |facts| facts.unit.map_or(NOTHING, words).sub.to_owned()),
    ("FragmentPath", |facts| facts.origin.and_then(|origin| origin.files.first().cloned()).unwrap_or_default()),
    ("DropInPaths", |facts| facts.origin.and_then(|origin| origin.files.get(1..)).unwrap_or_default().join(" ")),
    ("UnitFileState", |facts| facts.origin.map_or("", |origin| origin.state).to_owned()),
    ("StateChangeTimestamp", |facts| moment(facts.unit.map(|unit| unit.since))),
    ("ActiveEnterTimestamp", |facts| moment(facts.entered(&["up", "done"]))),
    ("InactiveEnterTimestamp", |facts| moment(facts.entered(&["off", "skipped", "failed"]))),
    ("ConditionResult", |facts| yes(facts.unit.is_some_and(|unit| unit.state != "skipped"))),
];

/// The properties of the node.
pub const NODE: &[NodeProperty] = &[
    ("Version", |status| status.program.clone()),
    ("SystemState", |status| system(status).to_owned()),
    ("UserspaceTimestamp", |status| moment(Some(status.started))),
    ("NNames", |status| status.units.len().to_string()),
    ("NFailedUnits", |status| status.units.iter().filter(|unit| words(unit).active == "failed").count().to_string()),
];

/// How properties are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Those with these names; none: all.
    pub names: Vec<String>,
    /// Only the values.
    pub value: bool,
    /// The empty ones, too, when all are shown.
    pub all: bool,
}

impl Choice {
    /// Those of `properties`, names and values, that are chosen: one `NAME=VALUE` a line, in their order.
    pub fn shown(&self, properties: impl Iterator<Item = (&'static str, String)>) -> String {
        let mut text = String::new();
        for (name, value) in properties {
            let named = self.names.iter().any(|wanted| wanted == name);
            if !named && !self.names.is_empty() || value.is_empty() && !named && !self.all {
                continue;
            }
            let value = plain(&value);
            text.push_str(&if self.value { format!("{value}\n") } else { format!("{name}={value}\n") });
        }
        text
    }

    /// The names that are none of `known`.
    pub fn unknown(&self, known: &[&str]) -> Vec<&str> {
        self.names.iter().map(String::as_str).filter(|name| !known.contains(name)).collect()
    }
}

/// The properties of the node.
pub fn of_node(status: &Status) -> impl Iterator<Item = (&'static str, String)> {
    NODE.iter().map(|(name, value)| (*name, value(status)))
}

impl Facts<'_> {
    /// The properties of the unit.
    pub fn properties(&self) -> impl Iterator<Item = (&'static str, String)> {
        UNIT.iter().map(|(name, value)| (*name, value(self)))
    }

    fn id(&self) -> String {
        match self.unit {
            Some(unit) => id(&unit.name),
            None if foreign(self.typed).is_some() => self.typed.to_owned(),
            None => id(self.typed),
        }
    }

    /// When it last entered one of `states`.
    fn entered(&self, states: &[&str]) -> Option<u64> {
        let unit = self.unit?;
        let among = |state: &str| states.contains(&state);
        match unit.history.iter().rev().find(|passage| among(&passage.state)) {
            Some(Passage { at, .. }) => Some(*at),
            None => among(&unit.state).then_some(unit.since),
        }
    }

    /// How its last run ended, while there is no other.
    fn end(&self) -> Option<End> {
        let unit = self.unit?;
        let runs = unit.pid.is_some() && matches!(unit.state.as_str(), "up" | "starting");
        if runs { None } else { End::of(unit.last_exit.as_deref()?) }
    }

    fn links(&self, of: impl Fn(&UnitStatus) -> Vec<&str>) -> String {
        joined(self.unit.map(of).unwrap_or_default())
    }

    fn back(&self, of: impl Fn(&UnitStatus) -> Vec<&str>) -> String {
        let Some(unit) = self.unit else { return String::new() };
        let others = self.status.units.iter().filter(|other| of(other).contains(&unit.name.as_str()));
        joined(others.map(|other| other.name.as_str()).collect())
    }
}

/// The main process that it has, or had last.
pub(super) fn last_pid(unit: &UnitStatus) -> Option<i32> {
    unit.pid.or_else(|| unit.history.iter().rev().find_map(|passage| passage.pid))
}

/// What must be there.
fn hard(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).filter(|name| !name.ends_with('?')).collect()
}

/// What is only waited for, and what need not be there.
fn soft(unit: &UnitStatus) -> Vec<&str> {
    let maybe = unit.needs.iter().filter_map(|name| name.strip_suffix('?'));
    unit.wants.iter().map(String::as_str).chain(maybe).collect()
}

/// All that a unit is started after.
pub(super) fn all(unit: &UnitStatus) -> Vec<&str> {
    let links = unit.needs.iter().chain(&unit.binds).chain(&unit.wants);
    let mut names: Vec<&str> = Vec::new();
    for name in links.map(|name| name.strip_suffix('?').unwrap_or(name)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn joined(names: Vec<&str>) -> String {
    names.into_iter().map(id).collect::<Vec<_>>().join(" ")
}

fn number(value: Option<u64>) -> String {
    value.map_or_else(|| NOT_SET.to_owned(), |value| value.to_string())
}

fn moment(millis: Option<u64>) -> String {
    millis.map(calendar::shown).unwrap_or_default()
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}
