//! The keys that say what a unit may use of the machine: the knobs of its cgroup, and what is written into them.

use std::collections::BTreeSet;

use toml::de::DeValue;

use super::draft::Draft;
use super::mistake::quoted;
use super::size;
use super::table::{Table, Unit};
use super::value::Field;

/// One knob of a cgroup, and the key of the table that turns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Knob {
    /// `memory-max`.
    MemoryMax,
    /// `memory-high`.
    MemoryHigh,
    /// `cpu-max`.
    CpuMax,
    /// `cpu-weight`.
    CpuWeight,
    /// `pids-max`.
    PidsMax,
    /// `io-weight`.
    IoWeight,
}

impl Knob {
    /// Every knob.
    pub const ALL: [Knob; 6] =
        [Knob::MemoryMax, Knob::MemoryHigh, Knob::CpuMax, Knob::CpuWeight, Knob::PidsMax, Knob::IoWeight];

    /// The key that turns it.
    pub const fn key(self) -> &'static str {
        match self {
            Knob::MemoryMax => "memory-max",
            Knob::MemoryHigh => "memory-high",
            Knob::CpuMax => "cpu-max",
            Knob::CpuWeight => "cpu-weight",
            Knob::PidsMax => "pids-max",
            Knob::IoWeight => "io-weight",
        }
    }

    /// Its file in a cgroup (Documentation/admin-guide/cgroup-v2.rst of the kernel).
    pub const fn file(self) -> &'static str {
        match self {
            Knob::MemoryMax => "memory.max",
            Knob::MemoryHigh => "memory.high",
            Knob::CpuMax => "cpu.max",
            Knob::CpuWeight => "cpu.weight",
            Knob::PidsMax => "pids.max",
            Knob::IoWeight => "io.weight",
        }
    }

    /// What a new cgroup has in it.
    pub const fn default(self) -> &'static str {
        match self {
            Knob::MemoryMax | Knob::MemoryHigh | Knob::CpuMax | Knob::PidsMax => "max",
            Knob::CpuWeight => "100",
            Knob::IoWeight => "default 100",
        }
    }
}

/// A knob and what is written into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Which.
    pub knob: Knob,
    /// As the kernel reads it.
    pub text: String,
}

/// Limits that do not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// The units that ask for them: `web, db`.
    pub units: String,
    /// Their keys: `memory-max, pids-max`.
    pub keys: String,
}

/// What the enabled units of `table` ask for beyond `knobs`, if anything.
pub fn unmet(table: &Table, knobs: &[Knob]) -> Option<Unmet> {
    let missing = |setting: &&Setting| !knobs.contains(&setting.knob);
    let units =
        table.units.iter().filter(|unit| unit.enabled && unit.attributes.cgroup.iter().any(|one| missing(&one)));
    let units: Vec<&Unit> = units.collect();
    let keys = units.iter().flat_map(|unit| unit.attributes.cgroup.iter().filter(missing)).map(|setting| setting.knob);
    let keys: BTreeSet<Knob> = keys.collect();
    let joined = |words: Vec<&str>| words.join(", ");
    (!units.is_empty()).then(|| Unmet {
        units: joined(units.iter().map(|unit| unit.name.as_str()).collect()),
        keys: joined(keys.into_iter().map(Knob::key).collect()),
    })
}

/// Below this a program cannot even be started.
const LEAST_MEMORY: u64 = 256 << 10;
/// The kernel's period of processor time in microseconds; what it gives may not be shorter than 1000 of them.
const PERIOD: u64 = 100_000;
/// The most processors that a kernel for x86 counts.
const PROCESSORS: u64 = 8192;
/// The most pids that a kernel gives (`PID_MAX_LIMIT`).
const PIDS: u64 = 4_194_304;

pub(super) fn memory_max(field: &mut Field<'_>, draft: &mut Draft) {
    memory(field, draft, Knob::MemoryMax);
}

pub(super) fn memory_high(field: &mut Field<'_>, draft: &mut Draft) {
    memory(field, draft, Knob::MemoryHigh);
}

fn memory(field: &mut Field<'_>, draft: &mut Draft, knob: Knob) {
    let Some(text) = field.value.get_ref().as_str() else {
        return field.refuse(field.value, "it is no size", format!("write {}", field.key.values));
    };
    match size::parse(text) {
        _ if text == "max" => set(draft, knob, None),
        Some(bytes) if bytes < LEAST_MEMORY => {
            let cause = format!("{} is too little for any program", quoted(text));
            field.refuse(field.value, cause, format!("write {}", field.key.values));
        }
        Some(bytes) => set(draft, knob, Some(bytes.to_string())),
        None => field.refuse(field.value, format!("{} is no size", quoted(text)), format!("write {}", size::HOW)),
    }
}

pub(super) fn cpu_max(field: &mut Field<'_>, draft: &mut Draft) {
    let Some(text) = field.value.get_ref().as_str() else {
        return field.refuse(field.value, "it is no share", format!("write {}", field.key.values));
    };
    let digits = text.strip_suffix('%').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let percent = digits.and_then(|digits| digits.parse::<u64>().ok());
    match percent.filter(|percent| (1..=PROCESSORS * 100).contains(percent)) {
        _ if text == "max" => set(draft, Knob::CpuMax, None),
        Some(percent) => set(draft, Knob::CpuMax, Some(format!("{} {PERIOD}", percent * (PERIOD / 100)))),
        None => {
            let cause = format!("{} is no share of a processor", quoted(text));
            field.refuse(field.value, cause, format!("write {}", field.key.values));
        }
    }
}

pub(super) fn cpu_weight(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(weight) = between(field, 10_000) {
        set(draft, Knob::CpuWeight, Some(weight.to_string()));
    }
}

pub(super) fn io_weight(field: &mut Field<'_>, draft: &mut Draft) {
    if let Some(weight) = between(field, 10_000) {
        set(draft, Knob::IoWeight, Some(format!("default {weight}")));
    }
}

pub(super) fn pids_max(field: &mut Field<'_>, draft: &mut Draft) {
    if field.value.get_ref().as_str() == Some("max") {
        set(draft, Knob::PidsMax, None);
    } else if let Some(pids) = between(field, PIDS) {
        set(draft, Knob::PidsMax, Some(pids.to_string()));
    }
}

/// The value as a whole number from 1 to `most`.
fn between(field: &mut Field<'_>, most: u64) -> Option<u64> {
    let DeValue::Integer(number) = field.value.get_ref() else {
        field.wrong(field.value);
        return None;
    };
    let value = u64::from_str_radix(number.as_str(), number.radix()).ok().filter(|value| (1..=most).contains(value));
    if value.is_none() {
        let cause = format!("{number} is not between 1 and {most}");
        field.refuse(field.value, cause, format!("write {}", field.key.values));
    }
    value
}

/// Sets the knob, or leaves it as it is in a new cgroup, whatever an earlier file said.
fn set(draft: &mut Draft, knob: Knob, text: Option<String>) {
    let settings = &mut draft.unit.attributes.cgroup;
    settings.retain(|setting| setting.knob != knob);
    settings.extend(text.map(|text| Setting { knob, text }));
    settings.sort_unstable_by_key(|setting| setting.knob);
}
