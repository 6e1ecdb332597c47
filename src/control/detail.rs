//! All that the status document knows of one unit, for a person.

use std::time::Duration;

use super::columns::{filled, plain};
use super::consumption::Usage;
use super::fit::painted;
use super::line::stamp;
use super::status::{Passage, Status, UnitStatus};
use crate::unit::duration::short;

/// How wide the names of the lines are.
const LABEL: usize = 11;

/// Lines with a name each, as wide as they may be.
struct Sheet {
    text: String,
    limit: usize,
}

impl Status {
    /// What is known of `unit`, which is one of this status, in lines of at most `limit` columns; with `colours` its states are
    /// coloured for a terminal.
    pub fn detail(&self, unit: &UnitStatus, limit: usize, colours: bool) -> String {
        let paint = |state: &str| if colours { painted(&plain(state), state) } else { plain(state) };
        let mut sheet = Sheet { text: String::new(), limit };
        let lasted = short(Duration::from_millis(self.written.saturating_sub(unit.since)));
        sheet.text.push_str(&format!("{}: {} for {lasted}\n", plain(&unit.name), paint(&unit.state)));
        sheet.may("description", Some(unit.description.as_str()).filter(|text| !text.is_empty()));
        sheet.line("since", &moment(unit.since));
        sheet.may("why", unit.why.as_deref());
        let until = unit.until.filter(|until| *until > self.written);
        sheet.may("until", until.map(moment).as_deref());
        sheet.may("says", unit.status.as_deref());
        sheet.may("pid", unit.pid.map(|pid| pid.to_string()).as_deref());
        sheet.may("uses", unit.usage.as_ref().map(Usage::text).filter(|text| !text.is_empty()).as_deref());
        sheet.line("restarts", &unit.restarts.to_string());
        sheet.may("last exit", unit.last_exit.as_deref());
        let ready = unit.ready_ms.map(|millis| format!("{} after its start", short(Duration::from_millis(millis))));
        sheet.may("ready", ready.as_deref());
        for (label, names) in [("needs", &unit.needs), ("binds", &unit.binds), ("wants", &unit.wants)] {
            sheet.may(label, self.with_states(names.iter().map(String::as_str)).as_deref());
        }
        sheet.may("needed by", self.with_states(self.dependents(&unit.name)).as_deref());
        sheet.may("pending", unit.pending.as_deref().map(|wish| format!("asked to {wish}")).as_deref());
        sheet.may("refused", unit.refusal.as_deref());
        if !unit.history.is_empty() {
            sheet.text.push_str("  history\n");
        }
        for (place, passage) in unit.history.iter().enumerate() {
            let next = unit.history.get(place + 1).map_or(self.written, |next| next.at);
            sheet.passage(passage, next, colours);
        }
        sheet.text
    }

    /// The units with these names, each with its state; none if there is none.
    fn with_states<'a>(&self, names: impl Iterator<Item = &'a str>) -> Option<String> {
        let shown: Vec<String> = names
            .map(|name| {
                let bare = name.strip_suffix('?').unwrap_or(name);
                let unit = self.units.iter().find(|unit| unit.name == bare);
                unit.map_or_else(|| name.to_owned(), |unit| format!("{name} ({})", unit.state))
            })
            .collect();
        (!shown.is_empty()).then(|| shown.join(", "))
    }

    /// Who needs this unit or is bound to it.
    fn dependents(&self, name: &str) -> impl Iterator<Item = &str> {
        let needs = move |other: &&UnitStatus| {
            let mut links = other.needs.iter().chain(&other.binds);
            links.any(|link| link.strip_suffix('?').unwrap_or(link) == name)
        };
        self.units.iter().filter(needs).map(|other| other.name.as_str())
    }
}

impl Sheet {
    fn line(&mut self, label: &str, text: &str) {
        let first = format!("  {label:LABEL$}  ");
        let rest = " ".repeat(first.len());
        self.text.push_str(&filled(plain(text).split(' '), self.limit, &first, &rest));
    }

    fn may(&mut self, label: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.line(label, text);
        }
    }

    /// When a state began, which, how long it lasted, and why.
    fn passage(&mut self, passage: &Passage, next: u64, colours: bool) {
        let lasted = short(Duration::from_millis(next.saturating_sub(passage.at)));
        let mut first = format!("    {}  {:8}  {lasted:>6}  ", moment(passage.at), plain(&passage.state));
        let rest = " ".repeat(first.len());
        let pid = passage.pid.map(|pid| format!("pid {pid}"));
        let why: Vec<String> = pid.into_iter().chain(passage.why.as_deref().map(plain)).collect();
        let why = why.join("; ");
        if why.is_empty() {
            first.truncate(first.trim_end().len());
        }
        let text = filled(why.split(' ').filter(|word| !word.is_empty()), self.limit, &first, &rest);
        let state = plain(&passage.state);
        let painted = if colours { text.replacen(&state, &painted(&state, &state), 1) } else { text };
        self.text.push_str(&painted);
    }
}

/// A time as a person reads it: UTC, to the millisecond.
fn moment(millis: u64) -> String {
    stamp(millis).replacen('T', " ", 1)
}

#[cfg(test)]
mod tests {
    use super::super::columns::width;
    use super::*;

    #[test]
    fn a_stranger_s_state_drives_no_terminal() {
        let unit = UnitStatus { name: "web".into(), state: "up\x1b[2J".into(), ..UnitStatus::default() };
        let text = Status::default().detail(&unit, 80, true);
        assert!(text.starts_with("web: \x1b[90mup?[2J\x1b[0m for "), "{text}");
    }

    #[test]
    fn no_line_is_wider_than_it_may_be() {
        let passage = Passage {
            at: 1_700_000_000_000,
            state: "stopping".into(),
            pid: Some(i32::MAX),
            why: Some("bound to wg0, which goes down; and so on, for more than one line of it".into()),
        };
        let unit = UnitStatus {
            name: "web".into(),
            description: "what people see".into(),
            state: "stopping".into(),
            why: Some("the stop signal was sent".into()),
            status: Some("word ".repeat(40)),
            needs: vec!["wg0?".into(), "gone".into()],
            history: vec![passage.clone(), passage],
            ..UnitStatus::default()
        };
        let wg0 = UnitStatus { name: "wg0".into(), state: "up".into(), ..UnitStatus::default() };
        let status = Status {
            phase: "running".into(),
            written: 1_700_000_001_000,
            units: vec![unit.clone(), wg0.clone()],
            ..Status::default()
        };
        for limit in 60..100 {
            for line in status.detail(&unit, limit, false).lines() {
                assert!(width(line) <= limit && line == line.trim_end(), "{limit}: {line}");
            }
        }
        assert!(status.detail(&unit, 80, false).contains("  needs        wg0? (up), gone\n"));
        assert!(status.detail(&wg0, 80, true).contains("  needed by    web (stopping)\n"));
    }
}
