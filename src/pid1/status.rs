//! The status: `/run/cluster-os/status.json`, rewritten when something changed, and the table that SIGUSR1 prints.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{fs, io};

use crate::control::{Change, Node, Reload, Renewals, Status};
use crate::sys::process;
use crate::unit::{Machine, Tally, Time};

use super::cgroup::Cgroups;
use super::renewal::PROGRAM;
use super::say;

/// Changes that come closer together than this are written once.
const PACE: Duration = Duration::from_millis(100);
/// A file that could not be written is written twice as long after that, and so on; a change is written at once.
const RETRY: Duration = Duration::from_millis(500);
/// The longest from one try to the next.
const RETRY_CAP: Duration = Duration::from_secs(60);

/// The file and what it holds.
pub struct Report {
    /// Where it is; none without a writable `/run`.
    file: Option<PathBuf>,
    /// It could not be written the last time, and that was said: when that is tried again at the latest.
    retry: Option<Time>,
    /// From one try to the next.
    pause: Duration,
    /// What it says of the node.
    node: Node,
    /// What of the views was last written.
    written: u64,
    /// When the file was last written.
    last: Option<Time>,
    /// When it is to be written.
    due: Option<Time>,
    /// Somebody asked for it; whether the table is to be printed, too.
    asked: Option<bool>,
    /// When somebody was last answered.
    answered: Option<Time>,
}

impl Report {
    /// For `DIRECTORY/status.json`.
    pub fn new(directory: Option<&Path>, started: Time) -> Report {
        let node = Node {
            program: PROGRAM.to_owned(),
            pid: process::own_pid(),
            generation: 1,
            started,
            requests: Tally::default(),
            table: Reload::default(),
            renewals: Renewals::default(),
        };
        let file = directory.map(|directory| directory.join("status.json"));
        Report { file, retry: None, pause: RETRY, node, written: 0, last: None, due: None, asked: None, answered: None }
    }

    /// Goes on for a node that another program began; the document is written anew.
    pub fn resume(&mut self, generation: u64, asked: (Option<bool>, Option<Time>), renewals: Renewals, table: Reload) {
        (self.node.generation, self.node.renewals, self.node.table) = (generation, renewals, table);
        (self.asked, self.answered) = asked;
    }

    /// What became of the last reload.
    pub fn reload(&self) -> &Reload {
        &self.node.table
    }

    /// Whether the table's files are being read.
    pub fn is_reading(&self) -> bool {
        self.node.table.reading
    }

    /// How PID 1 went on so far.
    pub fn renewals(&self) -> &Renewals {
        &self.node.renewals
    }

    /// The same, to be changed.
    pub fn renewals_mut(&mut self) -> &mut Renewals {
        &mut self.node.renewals
    }

    /// When the node began, whether somebody asked for the document and is not answered, and when somebody was.
    pub fn given(&self) -> (Time, Option<bool>, Option<Time>) {
        (self.node.started, self.asked, self.answered)
    }

    /// Which table is running.
    pub fn generation(&self) -> u64 {
        self.node.generation
    }

    /// The table is read from this one file.
    pub fn reads(&mut self, file: String) {
        self.node.table.file = Some(file);
    }

    /// The table's files are being read, or not any more.
    pub fn reading(&mut self, reading: bool) {
        self.node.table.reading = reading;
    }

    /// Another table runs: its generation.
    pub fn reloaded(&mut self, changes: Vec<Change>) -> u64 {
        self.node.generation = self.node.generation.saturating_add(1);
        let table = &mut self.node.table;
        table.ended = table.ended.saturating_add(1);
        (table.mistakes, table.error, table.changes) = (0, None, changes);
        self.node.generation
    }

    /// A reload was not to be, for this reason, with so many mistakes in the files.
    pub fn not_reloaded(&mut self, error: String, mistakes: usize) {
        let table = &mut self.node.table;
        table.ended = table.ended.saturating_add(1);
        table.mistakes = u64::try_from(mistakes).unwrap_or(u64::MAX);
        table.error = Some(error);
    }

    /// Where it is written, if anywhere.
    pub fn directory(&self) -> Option<&Path> {
        self.file.as_deref().and_then(Path::parent)
    }

    /// When [`Report::refresh`] wants to be called at the latest.
    pub fn deadline(&self) -> Option<Time> {
        let answer = self.asked.map(|_| self.answer_due());
        answer.into_iter().chain(self.due).min()
    }

    /// Answers who asked, and writes the file if something changed since; but not if either was done just now: then later.
    pub fn refresh(&mut self, now: Time, machine: &Machine, cgroups: &Cgroups) {
        if let Some(print) = self.asked
            && self.answer_due() <= now
        {
            self.asked = None;
            self.answered = Some(now);
            // What units use is read for who asks, not at every change.
            let status = self.document(now, machine).measured(|name| cgroups.usage(name));
            self.write(now, &status, self.digest(machine));
            if print {
                say::text(&status.table());
            }
        }
        if self.file.is_none() {
            return;
        }
        let seen = self.digest(machine);
        let due = match self.retry {
            _ if seen != self.written => self.last.map_or(Time::ZERO, |last| last + PACE),
            Some(due) => due,
            None => {
                self.due = None;
                return;
            }
        };
        if due > now {
            self.due = Some(due);
        } else {
            self.write(now, &self.document(now, machine), seen);
        }
    }

    /// The next [`Report::refresh`] writes the file, whatever changed, and prints the table unless `quiet`. Whoever asks
    /// without pause is answered at our pace, and fills no log.
    pub fn ask(&mut self, quiet: bool) {
        self.asked = Some(!quiet || self.asked.unwrap_or(false));
    }

    fn answer_due(&self) -> Time {
        self.answered.map_or(Time::ZERO, |answered| answered + PACE)
    }

    /// What counts as a change: not the words that only tell how time passes.
    fn digest(&self, machine: &Machine) -> u64 {
        let mut hash = DefaultHasher::new();
        (machine.digest(), self.node.generation, &self.node.table, &self.node.renewals).hash(&mut hash);
        hash.finish()
    }

    fn document(&self, now: Time, machine: &Machine) -> Status {
        let node = Node { requests: machine.tally().clone(), ..self.node.clone() };
        Status::new(&machine.views(now), machine.phase(), now, wall(), &node)
    }

    fn write(&mut self, now: Time, status: &Status, seen: u64) {
        self.due = None;
        self.last = Some(now);
        self.written = seen;
        let Some(file) = &self.file else { return };
        let written = replace(file, &status.to_json());
        if let Err(error) = &written
            && self.retry.is_none()
        {
            log::warn!("unable to write {}: {}; trying again", file.display(), say::cause(error));
        }
        self.pause = if written.is_ok() { RETRY } else { RETRY_CAP.min(self.pause.saturating_mul(2)) };
        self.retry = written.is_err().then(|| now + self.pause);
        self.due = self.retry;
    }
}

fn wall() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn replace(file: &Path, text: &str) -> io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(&new, file)
}
