//! Going on where another program left: everything that it held is taken over, and nothing else stays open.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::fs;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crate::control::Wrap;
use crate::control::renewal::{answer, too_many};
use crate::sys::poll::Wait;
use crate::sys::signal::Signals;
use crate::sys::store::{PANIC, Store};
use crate::sys::{descriptor, inherited, process, renewal};
use crate::unit::{Action, Ending, Event, Machine, Pid, Role, Snapshot, Table, UnitId, words};

use super::cgroup::Cgroups;
use super::estate::{self, Estate};
use super::files::{self, Source};
use super::ignored::Ignored;
use super::logs::Logs;
use super::notify::Channels;
use super::options::Options;
use super::readiness::Line;
use super::renewal::{Call, PROGRAM, RESUME, Renewal};
use super::spawn::Outfit;
use super::status::Report;
use super::sweep::Sweep;
use super::turn::{Node, Process, mode, time};
use super::{assemble, say, wrapping};

/// What is said of a renewal is hushed as the signal is that asked for it, under a number that is no signal.
const WENT_ON: i32 = 0;

/// What a snapshot says.
struct Heritage {
    machine: Machine,
    estate: Estate,
    source: Source,
    wrap: Option<Wrap>,
}

/// `--check-snapshot`: answers, in the memory itself, whether we could go on from what is in the descriptor `number`. The exit
/// status.
pub fn check(number: RawFd, mut options: Options) -> u8 {
    let Ok(store) = Store::adopt(number) else { return 1 };
    let told = read(&store, &mut options);
    store.answer(&answer(told.as_ref().map(|_| PROGRAM).map_err(String::as_str)));
    u8::from(told.is_err())
}

/// The node as it was left in the memory `number`, and how a command is wrapped.
///
/// # Errors
/// Why we cannot go on; nothing that was open is closed then.
pub fn go_on(number: RawFd, mut options: Options, call: Call) -> Result<(Node, Option<Wrap>), String> {
    let store = Store::adopt(number).map_err(|errno| format!("the snapshot: {}", errno.desc()))?;
    let (left, broke) = store.arrival();
    let cause = match broke {
        PANIC => "a panic".to_owned(),
        signal => format!("signal {signal}"),
    };
    if broke != 0 && too_many(&store.faults()) {
        return Err(format!("it has broken too often within 5 minutes, the last time by {cause}"));
    }
    store.arm();
    renewal::resume_with(Some(call.with(RESUME, number)));
    let command = options.command.clone();
    let (heritage, kept) = read(&store, &mut options)?;
    let birth = store.born(kept).map(|(of, birth)| Born {
        of,
        // Not named anywhere else: it is newer than the snapshot.
        exec: inherited::take(birth.exec.load(Ordering::Relaxed)).ok(),
        pid: birth.pid.load(Ordering::Relaxed),
    });
    let wrap = heritage.wrap.clone();
    let mut node = take_over(heritage, command, call, store)?;
    let tally = node.report.renewals_mut();
    if broke == 0 {
        tally.done = tally.done.saturating_add(1);
        tally.refusal = None;
    } else {
        tally.broken = tally.broken.saturating_add(1);
    }
    node.settle(birth);
    if node.report.is_reading() {
        node.report.reading(false);
        node.ask_reload();
    }
    node.keep();
    let after = words::span(time().since(crate::unit::Time::from_nanos(left)));
    let version = env!("CARGO_PKG_VERSION");
    if broke == 0 {
        if !node.ignored.hushed(time(), WENT_ON) {
            log::info!("went on as version {version} after {after}");
        }
    } else {
        log::warn!("went on as version {version} after {after}: it had broken ({cause})");
    }
    Ok((node, wrap))
}

/// What the memory holds, and which text that was.
fn read(store: &Store, options: &mut Options) -> Result<(Heritage, u64), String> {
    let kept = store.last().map_err(|_| "there is no whole snapshot".to_owned())?;
    let text = String::from_utf8(kept.text).map_err(|_| "the snapshot is no text".to_owned())?;
    let snapshot = Snapshot::parse(&text)?;
    let (mut source, mut estate) = (Source::default(), Estate::default());
    snapshot.section(estate::FILES, &mut |page| estate::pass_files(&mut source, page))?;
    snapshot.section(estate::SECTION, &mut |page| estate.pass_first(page))?;
    let first = |mistakes: Vec<String>| mistakes.into_iter().next().unwrap_or_default();
    let table = (!source.texts.is_empty()).then(|| files::table(&source.texts).map_err(first)).transpose()?;
    let wrap = wrapping(options, table.is_some());
    let table = assemble(table.unwrap_or_default(), estate.logd.as_deref(), &options.command, wrap.as_ref());
    let former: Vec<Table> = source.former.iter().filter_map(|texts| files::table(texts).ok()).collect();
    let table = table.with_former(&estate.behind, &former);
    snapshot.section(estate::SECTION, &mut |page| estate.pass(&table, page))?;
    let machine = snapshot.machine(table)?;
    Ok((Heritage { machine, estate, source, wrap }, kept.number))
}

/// Takes everything over.
fn take_over(heritage: Heritage, command: Vec<OsString>, mut call: Call, store: Store) -> Result<Node, String> {
    let Heritage { machine, estate, source, wrap } = heritage;
    let Estate {
        program: _,
        path,
        place,
        logd,
        generation,
        started,
        runtime,
        asked,
        answered,
        renewals,
        reload,
        behind: _,
        entry,
        inherited,
        processes: hands,
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
    } = estate;
    let take =
        |number: RawFd| inherited::take(number).map_err(|error| format!("descriptor {number}: {}", say::cause(&error)));
    let signals = Signals::open().map_err(|errno| format!("signals: {}", errno.desc()))?;
    let mut processes = BTreeMap::new();
    for hand in hands {
        let exec: Option<OwnedFd> = hand.exec.map(take).transpose()?;
        let line = hand.line.map(take).transpose()?.map(Line::from);
        processes.insert(hand.pid.0, Process { unit: hand.unit, role: hand.role, exec, line });
    }
    let channels = Channels::take_over(sockets, take)?;
    let logs = Logs::take_over(pipes, stage, take)?;
    // The command's own, as they are numbers for it.
    let inherited: Vec<RawFd> =
        inherited.into_iter().map(|number| take(number).map(IntoRawFd::into_raw_fd)).collect::<Result<_, _>>()?;
    // What else is open was the other program's own business.
    descriptor::close_inherited(descriptor::adopt_inherited());
    let null = fs::File::options().read(true).write(true).open("/dev/null").ok().map(IntoRawFd::into_raw_fd);
    if let Ok(path) = CString::new(path) {
        call.path = path;
    }
    say::resume(lost);
    if to_logd {
        logs.started();
    }
    let mode = mode(place, wrap.as_ref());
    let mut report = Report::new(runtime.then_some(Path::new(files::RUNTIME)), started);
    // As it was found at first, whatever the directory is now.
    let chosen = reload.file.clone().map(PathBuf::from);
    report.resume(generation, (asked, answered), renewals, reload);
    Ok(Node {
        machine,
        source: Source { chosen, ..source },
        place,
        reader: None,
        read_again: false,
        mode,
        wrap: wrap.unwrap_or_default(),
        outfit: Outfit::new(entry, command, inherited, null),
        cgroups: Cgroups::take_over(cgroups, kills),
        signals,
        channels,
        logs,
        report,
        sweep: Sweep::resume(swept),
        sweep_again,
        processes,
        dying: None,
        more: true,
        ignored: Ignored::resume(said),
        wait: Wait::default(),
        verdict: None,
        renewal: Renewal::new(call, logd, Some(store)),
    })
}

impl Node {
    /// Answers what the program before had begun and not ended. `birth`: a process that it was making.
    fn settle(&mut self, mut birth: Option<Born>) {
        self.verdict = self.machine.verdict();
        self.machine.look_again();
        for (unit, role) in self.machine.unanswered() {
            match birth.take_if(|birth| birth.of == birth_of(unit, role) && birth.pid > 1) {
                Some(Born { of: _, exec, pid }) => {
                    let untold = exec.is_none();
                    // A descriptor on which it was to say that it is ready went with the old program, which broke just then.
                    self.made(unit, role, pid, exec, None);
                    self.machine.handle(time(), Event::Spawned { unit, role, outcome: Ok(Pid(pid)) });
                    if untold {
                        self.tell(Event::Execed { pid: Pid(pid) });
                    }
                }
                None => self.perform(Action::Spawn { unit, role }),
            }
        }
        let gone: Vec<i32> = self.processes.keys().copied().filter(|pid| !process::is_child(*pid)).collect();
        for pid in gone {
            self.tell(Event::Exited { pid: Pid(pid), how: Ending::Lost });
            self.processes.remove(&pid);
        }
    }
}

/// A process that a program was making when it broke.
struct Born {
    /// [`birth_of`] it.
    of: u64,
    exec: Option<OwnedFd>,
    /// 0 if it was not made.
    pid: i32,
}

/// What a process is of, as the store has it.
pub fn birth_of(unit: UnitId, role: Role) -> u64 {
    u64::from(unit.0) << 8 | role as u64
}
