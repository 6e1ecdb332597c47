//! The unit table's files -> [`Table`], or every mistake in all of them at once.
//!
//! Files are read in the order given. A unit that a later file names again has the keys that it says changed and keeps the
//! others; `enabled = false` alone switches it off.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use super::draft::Draft;
use super::graph;
use super::keys::KEYS;
use super::mistake::{Found, Mistake, Place, line_starts, located, quoted};
use super::suggest::nearest;
use super::table::{Need, Table, UnitId};
use super::value::{Field, Value};

/// The most units in one table: what one node runs is a screenful, and every loop over units stays short.
pub const MOST: usize = 256;

/// The longest unit name in bytes, so that a socket named after it fits its address.
const LONGEST: usize = 64;

/// Names that PID 1 gives itself.
const RESERVED: &[(&str, &str)] = &[
    ("init", "PID 1's own lines go by that name"),
    ("logd", "PID 1 adds that unit itself"),
    ("main", "the command of the command line is that unit"),
];

/// The largest file in bytes: a thousand times what is needed, and read in no time.
const LARGEST: usize = 1 << 20;

/// How the parser says that it expected a list to go on or to end.
const OPEN_LIST: &str = "missing comma between array elements";

/// The table that `files` (name, text) make, or every mistake in them, by file, line and column.
pub fn read(files: &[(String, String)]) -> Result<Table, Vec<Mistake>> {
    let mut reading = Reading::default();
    for (number, (_, text)) in files.iter().enumerate() {
        reading.file(number, text);
    }
    reading.finish().map_err(|found| located(files, found))
}

/// What the files said so far.
#[derive(Default)]
struct Reading {
    drafts: Vec<Draft>,
    found: Vec<Found>,
    /// A file could not be understood: that something is missing may be no mistake of its own.
    broken: bool,
}

impl Reading {
    fn file(&mut self, number: usize, text: &str) {
        if text.len() > LARGEST {
            self.broken = true;
            let place = Place { file: number, byte: 0 };
            return self.note(place, "unable to read this file: it is larger than 1 MiB", "is it a unit table?");
        }
        let (root, mut errors) = DeTable::parse_recoverable(text);
        errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
        let mut inside = Vec::new();
        std::mem::swap(&mut inside, &mut self.found);
        self.root(number, root.get_ref());
        std::mem::swap(&mut inside, &mut self.found);
        let starts = line_starts(text);
        let line = |byte: usize| starts.partition_point(|start| *start <= byte);
        let mut bad_lines = BTreeSet::new();
        for error in errors {
            let byte = error.span().map_or(0, |span| span.start).min(text.len());
            // A key said twice is a slip in a file that is otherwise understood.
            self.broken |= error.message() != "duplicate key";
            // What the parser finds behind the first fault of a line follows from it.
            if !bad_lines.insert(line(byte)) {
                continue;
            }
            let open = error.message().starts_with(OPEN_LIST);
            let text = format!("unable to read this line: {}", error.message());
            let suggestion = open.then(|| "close the list before this line, or put the comma".to_owned());
            self.found.push(Found { place: Place { file: number, byte }, text, suggestion });
            if open {
                // The parser takes the rest of the file for items of that list.
                inside.retain(|found| found.place.byte < byte);
                break;
            }
        }
        inside.retain(|found| !bad_lines.contains(&line(found.place.byte)));
        self.found.append(&mut inside);
    }

    fn root(&mut self, file: usize, root: &DeTable<'_>) {
        for (name, value) in root {
            let place = Place { file, byte: name.span().start };
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("unit", DeValue::Table(units)) => self.units(file, units),
                ("unit", _) => self.note(place, "unable to read unit: it is not a table", "write [unit.NAME]"),
                (other, DeValue::Table(_)) => {
                    self.note(place, format!("unable to read {}: unknown table", shown(other)), "write [unit.NAME]");
                }
                (other, _) => {
                    let cause = format!("unable to read {}: it stands before the first unit", shown(other));
                    self.note(place, cause, "write it under a [unit.NAME]");
                }
            }
        }
    }

    fn units(&mut self, file: usize, units: &DeTable<'_>) {
        let mut in_order: Vec<_> = units.iter().collect();
        in_order.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in in_order {
            let place = Place { file, byte: name.span().start };
            let name = name.get_ref().as_ref();
            if let Err((cause, next)) = acceptable(name) {
                self.note(place, format!("unable to read unit {}: {cause}", quoted(name)), next);
                continue;
            }
            let DeValue::Table(keys) = value.get_ref() else {
                self.note(
                    place,
                    format!("unable to read unit {name}: it is not a table"),
                    format!("write [unit.{name}]"),
                );
                continue;
            };
            let known = self.drafts.iter().position(|draft| draft.unit.name == name);
            if known.is_none() && self.drafts.len() == MOST {
                let cause = format!("unable to read unit {name}: there are more than {MOST} units");
                return self.note(place, cause, "remove some");
            }
            let mut draft = match known {
                Some(at) => self.drafts.remove(at),
                None => Draft::new(name, place),
            };
            for (key, value) in keys {
                let place = Place { file, byte: key.span().start };
                self.key(place, name, key.get_ref(), value, &mut draft);
            }
            self.drafts.insert(known.unwrap_or(self.drafts.len()), draft);
        }
    }

    fn key(&mut self, place: Place, unit: &str, name: &str, value: &Value<'_>, draft: &mut Draft) {
        if let Some(key) = KEYS.iter().find(|key| key.name == name) {
            draft.said.insert(key.name, place);
            (key.read)(&mut Field { key, unit, file: place.file, value, found: &mut self.found }, draft);
        } else {
            let plain: String = name.to_ascii_lowercase().replace('_', "-");
            let folded = plain.replace('-', "");
            let called = |key: &&super::keys::Key| key.also.iter().any(|also| also.replace('-', "") == folded);
            let meant = match KEYS.iter().find(called) {
                Some(key) => Some(key.name),
                None => nearest(name, KEYS.iter().map(|key| key.name)),
            };
            if meant == Some("exec") {
                // One slip, one mistake: exec is not missing besides.
                draft.said.insert("exec", place);
            }
            let next = match meant {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => "\"initctl help units\" lists the keys".to_owned(),
            };
            self.note(place, format!("unable to read unit {unit}: unknown key {}", quoted(name)), next);
        }
    }

    fn finish(mut self) -> Result<Table, Vec<Found>> {
        let names: Vec<String> = self.drafts.iter().map(|draft| draft.unit.name.clone()).collect();
        let mut drafts = std::mem::take(&mut self.drafts);
        for draft in &mut drafts {
            draft.finish(&mut self.found);
            if !self.broken {
                self.check_exec(draft, &names);
                self.check_mentions(draft, &names);
            }
        }
        if !self.broken {
            self.check_circles(&drafts, &names);
        }
        if !self.found.is_empty() {
            return Err(self.found);
        }
        Ok(Table { units: drafts.into_iter().map(|draft| resolved(draft, &names)).collect() })
    }

    fn check_exec(&mut self, draft: &Draft, names: &[String]) {
        if draft.said.contains_key("exec") {
            return;
        }
        let name = &draft.unit.name;
        let others = names.iter().map(String::as_str).filter(|other| other != name);
        // Only a later file's slip: one that changes a key of a unit that is not there.
        let next = match nearest(name, others) {
            Some(near) if draft.named.file > 0 => {
                format!("did you mean unit {near}? Else write exec = [\"prog\", \"arg\"]")
            }
            _ => "write exec = [\"prog\", \"arg\"]".to_owned(),
        };
        self.note(draft.named, format!("unable to read unit {name}: it has no exec"), next);
    }

    fn check_mentions(&mut self, draft: &Draft, names: &[String]) {
        let unit = &draft.unit.name;
        for (key, mentions) in draft.mentions() {
            for mention in mentions {
                let cause = format!("unable to read {key} of unit {unit}:");
                if mention.name == *unit {
                    self.note(mention.place, format!("{cause} the unit names itself"), "remove it");
                } else if !names.contains(&mention.name) {
                    let others = names.iter().map(String::as_str).filter(|other| other != unit);
                    let next = match nearest(&mention.name, others) {
                        Some(near) => format!("did you mean \"{near}\"?"),
                        None if acceptable(&mention.name).is_ok() => {
                            format!("write a [unit.{}], or remove it", mention.name)
                        }
                        None => "remove it".to_owned(),
                    };
                    self.note(mention.place, format!("{cause} there is no unit {}", quoted(&mention.name)), next);
                }
            }
        }
    }

    fn check_circles(&mut self, drafts: &[Draft], names: &[String]) {
        let Err(circles) = graph::order(&edges(drafts, names)) else { return };
        for circle in circles {
            let path: Vec<&str> = circle.iter().filter_map(|at| names.get(*at)).map(String::as_str).collect();
            let (Some(first), Some(draft)) = (path.first(), circle.first().and_then(|at| drafts.get(*at))) else {
                continue;
            };
            let next = path.get(1).unwrap_or(first);
            let mentions = draft.mentions();
            let link = mentions.iter().find_map(|(key, list)| Some((key, list.iter().find(|m| m.name == *next)?)));
            let Some((key, mention)) = link else { continue };
            let text = format!("unable to read {key} of unit {first}: a circle: {} -> {first}", path.join(" -> "));
            self.note(mention.place, text, "remove one of these references");
        }
    }

    fn note(&mut self, place: Place, text: impl Into<String>, next: impl Into<String>) {
        self.found.push(Found { place, text: text.into(), suggestion: Some(next.into()) });
    }
}

/// A name from the file as it stands there if that is safe to show, else in quotes.
fn shown(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.len() <= LONGEST && name.bytes().all(plain) { name.to_owned() } else { quoted(name) }
}

/// Whether a table can have a unit of this name.
pub fn nameable(name: &str) -> bool {
    acceptable(name).is_ok()
}

/// Whether a unit may have this name; if not, why and what to do.
fn acceptable(name: &str) -> Result<(), (String, &'static str)> {
    if let Some((_, reason)) = RESERVED.iter().find(|(reserved, _)| *reserved == name) {
        return Err(((*reason).to_owned(), "choose another name"));
    }
    if name.len() > LONGEST {
        return Err((format!("the name is longer than {LONGEST} bytes"), "choose a shorter name"));
    }
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if !name.bytes().next().is_some_and(letter) || !name.bytes().all(|byte| letter(byte) || b"-_.".contains(&byte)) {
        return Err((
            "not a name for a unit".to_owned(),
            "write a small letter or a digit, then small letters, digits, -, _ and .",
        ));
    }
    Ok(())
}

/// By unit, the units that it starts after; itself and unknown names left out.
fn edges(drafts: &[Draft], names: &[String]) -> Vec<Vec<usize>> {
    let index = |name: &String| names.iter().position(|other| other == name);
    let after = |(at, draft): (usize, &Draft)| {
        let mentions = draft.mentions();
        let named = mentions.iter().flat_map(|(_, list)| list.iter()).filter_map(|mention| index(&mention.name));
        named.filter(|other| *other != at).collect()
    };
    drafts.iter().enumerate().map(after).collect()
}

/// The unit with its references as places in the table. All of `draft`'s names are in `names`.
fn resolved(draft: Draft, names: &[String]) -> super::table::Unit {
    let id = |name: &String| {
        let at = names.iter().position(|other| other == name)?;
        u16::try_from(at).ok().map(UnitId)
    };
    let Draft { mut unit, needs, binds, wants, .. } = draft;
    unit.needs = needs.iter().filter_map(|m| Some(Need { unit: id(&m.name)?, optional: m.optional })).collect();
    unit.binds = binds.iter().filter_map(|m| id(&m.name)).collect();
    unit.wants = wants.iter().filter_map(|m| id(&m.name)).collect();
    unit
}

impl Table {
    /// An order in which the units start if each starts alone: references first, otherwise as in the file.
    pub fn order(&self) -> Vec<UnitId> {
        let after = |unit: &super::table::Unit| {
            let needs = unit.needs.iter().map(|need| need.unit);
            needs.chain(unit.binds.iter().copied()).chain(unit.wants.iter().copied()).map(UnitId::index).collect()
        };
        let edges: Vec<Vec<usize>> = self.units.iter().map(after).collect();
        let order = graph::order(&edges).unwrap_or_default();
        order.into_iter().filter_map(|at| u16::try_from(at).ok().map(UnitId)).collect()
    }
}
