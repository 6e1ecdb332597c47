//! What PID 1 holds beside the machine, as a section of the snapshot: what the next program takes over.

use std::os::fd::RawFd;

use crate::control::{Change, Reload, Renewals};
use crate::sys::signal::{Entry, SignalSet};
use crate::unit::snapshot::page::Page;
use crate::unit::snapshot::{pass_role, pass_unit};
use crate::unit::{Pid, Role, Signal, Table, Time, UnitId};

use super::files::{Source, Texts};
use super::place::Place;

/// The name of the section.
pub const SECTION: &str = "node";
/// The name of the section of the table's files, which hardly ever changes.
pub const FILES: &str = "table";

/// Everything but the machine and the texts of the table. What is made anew is not here: the descriptor for signals, the
/// one of the console, `/dev/null`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Estate {
    /// Program and version that wrote it.
    pub program: String,
    /// Where that program is.
    pub path: String,
    pub place: Place,
    /// Where `logd` is, if there is one.
    pub logd: Option<String>,
    /// Which table is running.
    pub generation: u64,
    pub started: Time,
    /// Whether there is a directory under `/run`.
    pub runtime: bool,
    /// Somebody asked for the status; whether to print it, too.
    pub asked: Option<bool>,
    /// When somebody was last answered.
    pub answered: Option<Time>,
    pub renewals: Renewals,
    /// What became of the last reload; while it is `reading`, the next program reads anew.
    pub reload: Reload,
    /// Units that the table has no more and that are not down yet, in their order behind the others.
    pub behind: Vec<String>,
    /// What the first program was given: its signals, its descriptors.
    pub entry: Entry,
    pub inherited: Vec<RawFd>,
    pub processes: Vec<Hand>,
    pub sockets: Vec<Socket>,
    pub pipes: Vec<Pipe>,
    /// The memory of `logd`.
    pub stage: Option<RawFd>,
    /// The directory of the units' cgroups, and how many processes of a unit the kernel had killed there when it was started.
    pub cgroups: Option<String>,
    pub kills: Vec<(String, u64)>,
    /// Our own lines go to `logd`, and how many of them were lost.
    pub to_logd: bool,
    pub lost: u32,
    /// Which child got which signal of a sweep.
    pub swept: Vec<(i32, i32)>,
    pub sweep_again: Option<Signal>,
    /// When which signal was last said.
    pub said: Vec<(i32, Time)>,
}

/// A unit's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hand {
    pub pid: Pid,
    pub unit: UnitId,
    pub role: Role,
    /// Tells how exec went.
    pub exec: Option<RawFd>,
    /// Where it says that it is ready.
    pub line: Option<RawFd>,
}

/// A unit's notify socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    pub unit: UnitId,
    pub path: String,
    pub number: RawFd,
}

/// A log pipe; without a unit our own, or that of a unit that is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipe {
    pub unit: Option<UnitId>,
    pub name: String,
    /// The bounds of its files.
    pub size: u64,
    pub keep: u16,
    pub read: RawFd,
    pub write: Option<RawFd>,
}

impl Default for Estate {
    fn default() -> Estate {
        Estate {
            program: String::new(),
            path: String::new(),
            place: Place::Container,
            logd: None,
            generation: 1,
            started: Time::ZERO,
            runtime: false,
            asked: None,
            answered: None,
            renewals: Renewals::default(),
            reload: Reload::default(),
            behind: Vec::new(),
            entry: Entry::default(),
            inherited: Vec::new(),
            processes: Vec::new(),
            sockets: Vec::new(),
            pipes: Vec::new(),
            stage: None,
            cgroups: None,
            kills: Vec::new(),
            to_logd: false,
            lost: 0,
            swept: Vec::new(),
            sweep_again: None,
            said: Vec::new(),
        }
    }
}

impl Estate {
    /// What can be read before there is a table, and what is needed to make it.
    pub fn pass_first(&mut self, page: &mut Page<'_>) {
        page.may("logd", &mut self.logd);
        page.list("behind", &mut self.behind, String::new, |name, page| page.must("unit", name));
    }

    /// Writes it, or reads it; units are those of `table`.
    pub fn pass(&mut self, table: &Table, page: &mut Page<'_>) {
        self.pass_first(page);
        let Estate {
            program,
            path,
            place,
            logd: _,
            generation,
            started,
            runtime,
            asked,
            answered,
            renewals: Renewals { done, refused, refusal, broken },
            reload: Reload { ended, reading, file, mistakes, error, changes },
            behind: _,
            entry: Entry { mask: SignalSet(mask), ignored: SignalSet(ignored) },
            inherited,
            processes,
            sockets,
            pipes,
            stage,
            cgroups,
            kills,
            to_logd,
            lost,
            swept,
            sweep_again,
            said,
        } = self;
        page.must("program", program);
        page.must("path", path);
        let word = |place: Place| match place {
            Place::Container => "container",
            Place::Appliance => "appliance",
        };
        page.word("place", word(*place), &mut |read| {
            let known = [Place::Container, Place::Appliance].into_iter().find(|place| word(*place) == read);
            known.inspect(|known| *place = *known).is_some()
        });
        page.must("generation", generation);
        page.must("started", started);
        page.may("runtime", runtime);
        page.may("asked", asked);
        page.may("answered", answered);
        page.may("renewals", done);
        page.may("renewals-refused", refused);
        page.may("refusal", refusal);
        page.may("broken", broken);
        page.may("reloads", ended);
        page.may("reading", reading);
        page.may("table-file", file);
        page.may("mistakes", mistakes);
        page.may("reload-error", error);
        let blank = || Change { unit: String::new(), fate: String::new(), keys: Vec::new() };
        page.list("change", changes, blank, |Change { unit, fate, keys }, page| {
            page.must("unit", unit);
            page.must("fate", fate);
            page.list("keys", keys, String::new, |key, page| page.must("key", key));
        });
        page.must("mask", mask);
        page.must("ignored", ignored);
        page.list("inherited", inherited, || -1, |number, page| page.must("fd", number));
        let blank = || Hand { pid: Pid(0), unit: UnitId(0), role: Role::Main, exec: None, line: None };
        page.list("process", processes, blank, |hand, page| {
            let Hand { pid, unit, role, exec, line } = hand;
            page.must("pid", pid);
            pass_unit(unit, table, page);
            pass_role(role, page);
            page.may("exec", exec);
            page.may("line", line);
        });
        let blank = || Socket { unit: UnitId(0), path: String::new(), number: -1 };
        page.list("socket", sockets, blank, |socket, page| {
            let Socket { unit, path, number } = socket;
            pass_unit(unit, table, page);
            page.must("path", path);
            page.must("fd", number);
        });
        let blank = || Pipe { unit: None, name: String::new(), size: 0, keep: 0, read: -1, write: None };
        page.list("pipe", pipes, blank, |pipe, page| {
            let Pipe { unit, name, size, keep, read, write } = pipe;
            page.perhaps("of", unit, UnitId(0), |unit, page| pass_unit(unit, table, page));
            page.must("name", name);
            page.must("size", size);
            page.must("keep", keep);
            page.must("read", read);
            page.may("write", write);
        });
        page.may("stage", stage);
        page.may("cgroups", cgroups);
        page.list("kills", kills, Default::default, |(unit, count), page| {
            page.must("unit", unit);
            page.must("count", count);
        });
        page.may("to-logd", to_logd);
        page.may("lost", lost);
        page.list(
            "swept",
            swept,
            || (0, 0),
            |(pid, signal), page| {
                page.must("pid", pid);
                page.must("signal", signal);
            },
        );
        page.may("sweep-again", sweep_again);
        page.list(
            "said",
            said,
            || (0, Time::ZERO),
            |(signal, at), page| {
                page.must("signal", signal);
                page.must("at", at);
            },
        );
    }

    /// Every descriptor that it names.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let exec = self.processes.iter().flat_map(|hand| hand.exec.into_iter().chain(hand.line));
        let pipes = self.pipes.iter().flat_map(|pipe| std::iter::once(pipe.read).chain(pipe.write));
        let sockets = self.sockets.iter().map(|socket| socket.number);
        exec.chain(pipes).chain(sockets).chain(self.stage).chain(self.inherited.iter().copied())
    }
}

/// Writes or reads the texts of the running table and of those before it that are still needed.
pub fn pass_files(source: &mut Source, page: &mut Page<'_>) {
    let Source { chosen: _, texts, former } = source;
    pass_texts(texts, page);
    page.list("former", former, Texts::default, pass_texts);
}

fn pass_texts(texts: &mut Texts, page: &mut Page<'_>) {
    page.list("file", texts, Default::default, |(name, text), page| {
        page.must("name", name);
        page.must("text", text);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::{Snapshot, Unit};

    #[test]
    fn it_comes_back_as_it_was() {
        let table = Table { units: vec![Unit::new("a", vec!["x".into()]), Unit::new("b.c", vec!["x".into()])] };
        let mut estate = Estate {
            program: "clusteros-init 0.1.0".into(),
            path: "/init \"1\"".into(),
            place: Place::Appliance,
            logd: Some("/logd".into()),
            generation: 3,
            started: Time::from_nanos(7),
            runtime: true,
            asked: Some(false),
            answered: Some(Time::from_nanos(6)),
            renewals: Renewals { done: 1, refused: 2, refusal: Some("no\n".into()), broken: 4 },
            reload: Reload {
                ended: 3,
                reading: true,
                file: Some("/etc/x".into()),
                mistakes: 2,
                error: Some("no".into()),
                changes: vec![Change {
                    unit: "a".into(),
                    fate: "added".into(),
                    keys: vec!["exec".into(), "env".into()],
                }],
            },
            behind: vec!["old".into(), "older".into()],
            entry: Entry { mask: SignalSet(u64::MAX), ignored: SignalSet(1 << 63) },
            inherited: vec![3, 9],
            processes: vec![Hand { pid: Pid(77), unit: UnitId(1), role: Role::Stop, exec: Some(12), line: Some(17) }],
            sockets: vec![Socket { unit: UnitId(0), path: "@x".into(), number: 13 }],
            pipes: vec![
                Pipe { unit: None, name: "init".into(), size: 1, keep: 2, read: 4, write: Some(5) },
                Pipe { unit: Some(UnitId(1)), name: "b.c".into(), size: 9, keep: 0, read: 6, write: None },
            ],
            cgroups: Some("/sys/fs/cgroup".into()),
            kills: vec![("a".into(), 3)],
            stage: Some(8),
            to_logd: true,
            lost: 5,
            swept: vec![(77, 15)],
            sweep_again: Some(Signal(9)),
            said: vec![(12, Time::from_nanos(8))],
        };
        let texts: Texts = vec![("/a".into(), "[unit.a]\n# \"é\"\n".into())];
        let mut source = Source { chosen: None, former: vec![texts.clone(), Texts::default()], texts };
        let mut text = "version = 1\n[node]\n".to_owned();
        estate.pass(&table, &mut Page::write(&mut text));
        text.push_str("[table]\n");
        pass_files(&mut source, &mut Page::write(&mut text));
        let (mut read, mut again) = (Estate::default(), Source::default());
        let snapshot = Snapshot::parse(&text).unwrap();
        snapshot.section(SECTION, &mut |page| read.pass(&table, page)).unwrap();
        snapshot.section(FILES, &mut |page| pass_files(&mut again, page)).unwrap();
        assert_eq!(read, estate);
        assert_eq!((again.texts, again.former), (source.texts, source.former));
        let mut open: Vec<RawFd> = estate.descriptors().collect();
        open.sort_unstable();
        assert_eq!(open, [3, 4, 5, 6, 8, 9, 12, 13, 17]);
    }
}
