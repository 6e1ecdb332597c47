//! What a person reads of units: the page of one, that of the node, and the list of all.

use std::time::Duration;

use super::property::{Origin, last_pid};
use super::{End, NOTHING, Words, id, result, system, words};
use crate::control::calendar;
use crate::control::columns::{padded, plain, shortened, width};
use crate::control::fit::painted;
use crate::control::status::{Status, UnitStatus};
use crate::unit::duration::short;
use crate::unit::size;

/// How wide the names of the lines are.
const LABEL: usize = 11;

/// How a page is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// The longest line, in columns.
    pub limit: usize,
    /// For a terminal.
    pub colours: bool,
    /// In a list: what is inactive, too.
    pub all: bool,
    /// In a list: a head and a sum.
    pub legend: bool,
    /// In a list: no mark before a failed unit.
    pub bare: bool,
}

/// The mark of a state.
pub(super) fn glyph(words: Words) -> char {
    match words.active {
        "active" | "activating" | "deactivating" => '●',
        "failed" => '×',
        _ => '○',
    }
}

/// Lines with a name each, as wide as they may be.
struct Page {
    text: String,
    style: Style,
}

impl Page {
    fn line(&mut self, label: &str, text: &str) {
        let line = format!("{label:>LABEL$}: {}", plain(text));
        self.text.push_str(&shortened(&line, self.style.limit));
        self.text.push('\n');
    }

    fn may(&mut self, label: &str, text: Option<String>) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.line(label, &text);
        }
    }

    /// Colours `part`, as the line was written last has it.
    fn paint(&mut self, part: &str, state: &str) {
        if self.style.colours
            && let Some(at) = self.text.rfind(part)
        {
            self.text.replace_range(at..at + part.len(), &painted(part, state));
        }
    }
}

impl Status {
    /// The page of `unit`, which is one of this status: `origin` says where it comes from, `log` what it wrote last.
    pub fn unit_page(&self, unit: &UnitStatus, origin: Option<&Origin>, log: &[String], style: Style) -> String {
        let words = words(unit);
        let mut page = Page { text: String::new(), style };
        let mark = glyph(words).to_string();
        let description = Some(unit.description.as_str()).filter(|text| !text.is_empty());
        let title = description.map_or_else(String::new, |text| format!(" - {}", plain(text)));
        page.text.push_str(&shortened(&format!("{mark} {}{title}", plain(&id(&unit.name))), style.limit));
        page.text.push('\n');
        page.paint(&mark, &unit.state);
        page.line("Loaded", &loaded(origin));
        page.may("Drop-In", origin.and_then(|origin| origin.files.get(1..)).map(|files| files.join(", ")));
        let state = match (words.active, result(unit)) {
            ("failed", result) => format!("failed (Result: {result})"),
            (active, "success") => format!("{active} ({})", words.sub),
            (active, result) => format!("{active} ({}) (Result: {result})", words.sub),
        };
        let lasted = calendar::span(self.written.saturating_sub(unit.since));
        page.line("Active", &format!("{state} since {}; {lasted} ago", calendar::shown(unit.since)));
        page.paint(&state, &unit.state);
        page.may("Why", unit.why.clone());
        page.may("Pending", unit.pending.clone());
        page.may("Main PID", main(unit));
        page.may("Restarts", Some(unit.restarts).filter(|restarts| *restarts > 0).map(|restarts| restarts.to_string()));
        page.may("Status", unit.status.as_deref().map(|text| format!("\"{text}\"")));
        if let Some(usage) = &unit.usage {
            page.may("Tasks", usage.pids.map(|pids| pids.to_string()));
            let peak = usage.memory_peak.map_or_else(String::new, |peak| format!(" (peak: {})", size::shown(peak)));
            page.may("Memory", usage.memory.map(|memory| format!("{}{peak}", size::shown(memory))));
            page.may("CPU", usage.cpu_us.map(|micros| short(Duration::from_micros(micros))));
            page.line("CGroup", &format!("/{}.service", unit.name));
        }
        if !log.is_empty() {
            page.text.push('\n');
        }
        for line in log {
            page.text.push_str(&shortened(&plain(line), style.limit));
            page.text.push('\n');
        }
        page.text
    }

    /// The page of the node that is called `name`.
    pub fn node_page(&self, name: &str, style: Style) -> String {
        let mut page = Page { text: format!("● {}\n", plain(name)), style };
        let state = system(self);
        let colour = match state {
            "running" => "up",
            "degraded" => "failed",
            _ => "waiting",
        };
        page.paint("●", colour);
        page.line("State", state);
        page.paint(state, colour);
        let failed = self.units.iter().filter(|unit| words(unit).active == "failed").count();
        page.line("Units", &format!("{} loaded", self.units.len()));
        page.line("Failed", &format!("{failed} {}", if failed == 1 { "unit" } else { "units" }));
        let lasted = calendar::span(self.written.saturating_sub(self.started));
        page.line("Since", &format!("{}; {lasted} ago", calendar::shown(self.started)));
        page.line("Init", &self.program);
        page.text
    }

    /// One line a unit of `units`, in columns.
    pub fn list(&self, units: &[&UnitStatus], style: Style) -> String {
        let shown: Vec<&UnitStatus> =
            units.iter().copied().filter(|unit| style.all || words(unit) != NOTHING).collect();
        let head = ["UNIT", "LOAD", "ACTIVE", "SUB", "DESCRIPTION"].map(str::to_owned);
        let rows: Vec<[String; 5]> = shown
            .iter()
            .map(|unit| {
                let words = words(unit);
                let id = plain(&id(&unit.name));
                let description = if unit.description.is_empty() { id.clone() } else { plain(&unit.description) };
                [id, "loaded".to_owned(), words.active.to_owned(), words.sub.to_owned(), description]
            })
            .collect();
        let mut widths = if style.legend { head.clone().map(|cell| width(&cell)) } else { [0; 5] };
        for row in &rows {
            for (cell, most) in row.iter().zip(&mut widths) {
                *most = width(cell).max(*most);
            }
        }
        let line = |row: &[String; 5]| {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| padded(cell, width)).collect();
            cells.join(" ")
        };
        let mut text = String::new();
        let mut put = |mark: &str, row: &[String; 5], state: Option<&str>| {
            let mark = if style.bare { String::new() } else { format!("{mark} ") };
            let cut = shortened(&format!("{mark}{}", line(row)), style.limit);
            let cut = cut.trim_end();
            text.push_str(&match state.filter(|_| style.colours) {
                Some(state) => painted(cut, state),
                None => cut.to_owned(),
            });
            text.push('\n');
        };
        if style.legend && !rows.is_empty() {
            put(" ", &head, None);
        }
        for (unit, row) in shown.iter().zip(&rows) {
            let failed = words(unit).active == "failed";
            put(if failed { "×" } else { " " }, row, failed.then_some("failed"));
        }
        if style.legend {
            let more = if style.all { "" } else { " Pass --all to see loaded but inactive units, too." };
            let count = shown.len();
            let gap = if rows.is_empty() { "" } else { "\n" };
            text.push_str(&format!(
                "{gap}{count} loaded {} listed.{more}\n",
                if count == 1 { "unit" } else { "units" }
            ));
        }
        text
    }
}

/// The first file, and whether it is switched on there.
fn loaded(origin: Option<&Origin>) -> String {
    match origin {
        Some(Origin { files, state, .. }) => match files.first() {
            Some(file) => format!("loaded ({file}; {state})"),
            None => format!("loaded ({state})"),
        },
        None => "loaded".to_owned(),
    }
}

/// The main process, or how the last one ended.
fn main(unit: &UnitStatus) -> Option<String> {
    if let Some(pid) = unit.pid {
        return Some(pid.to_string());
    }
    let end = End::of(unit.last_exit.as_deref()?)?;
    let pid = last_pid(unit).map_or_else(String::new, |pid| format!("{pid} "));
    let how = match end.code {
        1 => format!("status={}", end.status),
        _ => format!("signal={}", crate::unit::signal::name(crate::unit::Signal(end.status))),
    };
    Some(format!("{pid}(code={}, {how})", end.word()))
}
