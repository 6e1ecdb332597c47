//! The running table: its files, kept and published, and another one in its place.
//!
//! The files are read by a process of their own ([`Reader`]). What it found is taken when it has ended, and until then
//! everything goes on.

use super::reader::{Found, Reader};
use super::turn::{Node, time};
use super::{files, say};
use crate::control::Change;
use crate::unit::{Difference, Ending, Event, Fate, Phase, Reloaded, UnitId};

/// Lines about one table that are logged and shown at most.
const MISTAKES: usize = 20;
/// That a reload changed nothing is hushed as a signal is, under a number that is none.
const UNCHANGED: i32 = -1;

/// Why the running table stays.
enum Refusal {
    /// It is not the files' fault.
    Now(String),
    /// They could not be read.
    Files(String),
    /// Every mistake in them.
    Mistakes(Vec<String>),
}

impl Node {
    /// Somebody asks for the table to be read again. Whoever asks meanwhile is answered by one more look.
    pub(super) fn ask_reload(&mut self) {
        if self.reader.is_some() {
            self.read_again = true;
            return;
        }
        if self.machine.phase() != Phase::Running {
            return self.not_reloaded(&Refusal::Now("the node is shutting down".to_owned()));
        }
        match Reader::start(&self.outfit, self.place, self.source.chosen.as_deref()) {
            Ok(reader) => {
                self.report.reading(true);
                self.reader = Some(reader);
            }
            Err(errno) => self.not_reloaded(&Refusal::Now(format!("nobody can read its files: {}", errno.desc()))),
        }
    }

    /// A process has ended. Whether it was the reader.
    pub(super) fn take_reader(&mut self, pid: i32, how: Ending) -> bool {
        let Some(reader) = self.reader.take_if(|reader| reader.pid == pid) else { return false };
        self.report.reading(false);
        match reader.found(how).map_err(Refusal::Files).and_then(|found| self.reload(found)) {
            Ok(differences) => self.reloaded(&differences),
            Err(refusal) => self.not_reloaded(&refusal),
        }
        if std::mem::take(&mut self.read_again) {
            self.ask_reload();
        }
        true
    }

    /// Puts the table that was found in the place of the running one.
    fn reload(&mut self, found: Found) -> Result<Vec<Difference>, Refusal> {
        let Found { texts, mut skips, .. } = found;
        if texts.is_empty() {
            return Err(Refusal::Files(format!("there is no {} any more", files::TABLE)));
        }
        let table = files::table(&texts).map_err(Refusal::Mistakes)?;
        let skips = table.units.iter().map(|unit| skips.remove(&unit.name)).collect();
        let Reloaded { moves, differences } =
            self.machine.reload(time(), table, skips).map_err(|why| Refusal::Now(why.to_owned()))?;
        for process in std::mem::take(&mut self.processes) {
            let (pid, mut process) = process;
            // A command that was given up with its unit is an orphan.
            if let Some(unit) = moves.of(process.unit) {
                process.unit = unit;
                self.processes.insert(pid, process);
            }
        }
        let table = self.machine.table();
        let notify = self.report.directory().map(|directory| directory.join("notify"));
        self.cgroups.warn(table);
        self.channels.renumber(&moves, table);
        self.channels.complete(table, notify.as_deref());
        if self.logs.renumber(&moves, table) {
            self.machine.renew_own();
        }
        self.source.replace(texts, &self.machine.behind());
        Ok(differences)
    }

    fn reloaded(&mut self, differences: &[Difference]) {
        let changes: Vec<Change> =
            differences.iter().filter(|found| found.fate != Fate::Same).map(Change::new).collect();
        let worth_saying = !changes.is_empty() || !self.ignored.hushed(time(), UNCHANGED);
        let generation = self.report.reloaded(changes);
        self.publish();
        self.keep();
        if worth_saying {
            log::info!("the unit table was read again: {}; generation {generation}", summary(differences));
        }
        self.tell(Event::Tick);
    }

    fn not_reloaded(&mut self, refusal: &Refusal) {
        let (cause, lines, mistakes) = match refusal {
            Refusal::Now(cause) => (cause.clone(), vec![cause.clone()], 0),
            Refusal::Files(cause) => (cause.clone(), vec![cause.clone()], 1),
            Refusal::Mistakes(all) => {
                let mut lines: Vec<String> = all.iter().take(MISTAKES).cloned().collect();
                if all.len() > MISTAKES {
                    lines.push(format!("and {} more", all.len() - MISTAKES));
                }
                let count = if all.len() == 1 { "1 mistake".to_owned() } else { format!("{} mistakes", all.len()) };
                (count, lines, all.len())
            }
        };
        log::error!("unable to reload the unit table: {cause}; the running one stays");
        if matches!(refusal, Refusal::Mistakes(_)) {
            lines.iter().for_each(|line| log::error!("{line}"));
        }
        self.report.not_reloaded(lines.join("\n"), mistakes);
    }

    /// Lets go of what was kept for a unit that is no more.
    pub(super) fn forget(&mut self, unit: UnitId) {
        if let Some(unit) = self.machine.table().units.get(unit.index()) {
            self.cgroups.ended(&unit.name);
        }
        self.channels.forget(unit);
        self.logs.forget(unit);
    }

    /// Puts a copy of the running table's files under `/run`.
    pub(super) fn publish(&self) {
        let Some(directory) = self.report.directory() else { return };
        if let Err(error) = files::publish(directory, &self.source.texts, self.report.generation()) {
            log::warn!(
                "unable to keep a copy of the unit table under {}: {}; initctl reload --plan cannot be answered",
                directory.display(),
                say::cause(&error)
            );
        }
    }
}

/// How many units had which fate: `1 added, 2 restarted`.
fn summary(differences: &[Difference]) -> String {
    let fates = [
        Fate::Added,
        Fate::Removed,
        Fate::Restarted,
        Fate::Changed,
        Fate::SwitchedOn,
        Fate::SwitchedOff,
        Fate::Skipped,
        Fate::Unskipped,
    ];
    let count = |fate| differences.iter().filter(|found| found.fate == fate).count();
    let counted: Vec<String> = fates
        .into_iter()
        .map(|fate| (count(fate), fate.word()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if counted.is_empty() { "nothing changed".to_owned() } else { counted.join(", ") }
}
