//! Going on as another program under the same pid: the snapshot that is always at hand, the trial of a new program, and the
//! exec.

use std::ffi::{CString, OsString};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use crate::control::Trial;
use crate::sys::attire::Failure;
use crate::sys::process::Ended;
use crate::sys::store::{Birth, Store};
use crate::sys::{self, Errno, renewal, signal};
use crate::unit::snapshot::page::Page;
use crate::unit::{self, Phase, Pid, Role, Scribe, SpawnError, Time, UnitId};

use super::deaths::ending;
use super::estate::{self, Estate, Hand};
use super::files::Source;
use super::readiness::Line;
use super::resume::birth_of;
use super::turn::{Node, time};
use super::{drill, say};

/// How this program was called, and where it is.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Its name for itself.
    own: CString,
    /// Its arguments; not those by which it calls itself.
    rest: Vec<CString>,
    /// Where the program is that a renewal runs.
    pub path: CString,
}

/// The option by which it calls itself to go on from the snapshot in that descriptor.
pub const RESUME: &str = "--resume=";
/// The option by which it calls a program to ask whether it could.
pub const CHECK: &str = "--check-snapshot=";

impl Call {
    /// From all that was typed. The program is where its name says, if that is us: what is put there later by a link or a
    /// rename is what runs then.
    pub fn new(arguments: impl Iterator<Item = OsString>) -> Call {
        let mut words = arguments.filter_map(|word| CString::new(word.into_vec()).ok());
        let own = words.next().unwrap_or_default();
        let internal =
            |word: &CString| [RESUME, CHECK].iter().any(|option| word.as_bytes().starts_with(option.as_bytes()));
        let mut rest: Vec<CString> = words.collect();
        if rest.first().is_some_and(internal) {
            rest.remove(0);
        }
        let named = own.as_bytes().first() == Some(&b'/') && renewal::is_own(&own);
        let path = if named {
            Some(own.clone())
        } else {
            std::fs::read_link("/proc/self/exe")
                .ok()
                .and_then(|path| CString::new(path.into_os_string().into_vec()).ok())
        };
        Call { path: path.unwrap_or_else(|| own.clone()), own, rest }
    }

    /// The arguments with `option` and the descriptor `number` before what was typed.
    pub fn with(&self, option: &str, number: RawFd) -> Vec<CString> {
        let first = CString::new(format!("{option}{number}")).ok();
        std::iter::once(self.own.clone()).chain(first).chain(self.rest.iter().cloned()).collect()
    }
}

/// What a renewal needs, always at hand.
pub struct Renewal {
    pub call: Call,
    /// Where `logd` is, if there is one.
    pub logd: Option<String>,
    /// None: there is no memory for a snapshot yet.
    store: Option<Store>,
    /// A fault is gone on from it.
    armed: bool,
    /// The last snapshot could not be kept.
    lack: Option<Lack>,
    scribe: Scribe,
    text: String,
    /// The generation of the table whose files are in the store.
    files: Option<u64>,
    trial: Option<Asked>,
    /// The new program has said that it can go on.
    agreed: bool,
}

/// Why there is no snapshot of this moment, and when to try again.
struct Lack {
    errno: Errno,
    again: Time,
}

/// From a snapshot that could not be kept to the next attempt: memory that is short is given back by then, or not.
const KEEP_AGAIN: Duration = Duration::from_secs(1);

/// A program that is asked whether it can go on.
struct Asked {
    trial: Trial,
    /// What it reads, and where it answers.
    store: Store,
    exec: Option<OwnedFd>,
}

impl Asked {
    /// Takes in how its exec went, once that is known.
    fn hear(&mut self) {
        let Some(outcome) = self.exec.as_ref().and_then(sys::spawn::exec_outcome) else { return };
        self.exec = None;
        if let Err(Failure { stage, errno, detail }) = outcome {
            self.trial.not_run(SpawnError { stage, errno: unit::Errno(errno), detail });
        }
    }
}

impl Renewal {
    /// For a program that was called so. `store`: what it went on from, if it did.
    pub fn new(call: Call, logd: Option<String>, store: Option<Store>) -> Renewal {
        Renewal {
            call,
            logd,
            store,
            armed: false,
            lack: None,
            scribe: Scribe::default(),
            text: String::new(),
            files: None,
            trial: None,
            agreed: false,
        }
    }

    /// Where the next process is written down before it runs.
    pub fn birth(&self, unit: UnitId, role: Role) -> Option<&Birth> {
        self.store.as_ref().map(|store| store.birth(birth_of(unit, role)))
    }

    /// What to wait for.
    pub fn descriptor(&self) -> Option<RawFd> {
        self.trial.as_ref().and_then(|asked| asked.exec.as_ref()).map(AsRawFd::as_raw_fd)
    }

    /// When [`Node::renew`] wants to be called at the latest.
    pub fn deadline(&self) -> Option<Time> {
        let trial = self.trial.as_ref().and_then(|asked| asked.trial.deadline());
        trial.into_iter().chain(self.lack.as_ref().map(|lack| lack.again)).min()
    }
}

impl Node {
    /// Keeps a snapshot of everything, from which the next program goes on. Where that fails it is tried again, and a fault
    /// before that makes a reaper.
    pub(super) fn keep(&mut self) {
        let lack = self.write_snapshot().err().map(|errno| Lack { errno, again: time() + KEEP_AGAIN });
        renewal::set_current(lack.is_none());
        match (&lack, &self.renewal.lack) {
            (Some(lack), None) => log::warn!(
                "unable to keep a snapshot: {}; trying again, until then a broken init reaps and cannot be renewed",
                lack.errno.desc()
            ),
            (None, Some(_)) => log::info!("a snapshot could be kept again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        self.renewal.lack = lack;
    }

    fn write_snapshot(&mut self) -> Result<(), Errno> {
        drill::at(drill::Point::Keep);
        if self.renewal.store.is_none() {
            self.renewal.store = Some(Store::new()?);
        }
        let estate = self.estate();
        let Renewal { store: Some(store), scribe, text, files, call, armed, .. } = &mut self.renewal else {
            return Err(Errno::ENODATA);
        };
        text.clear();
        scribe.write(&self.machine, text);
        write_estate(estate, self.machine.table(), text);
        let generation = self.report.generation();
        let stable = (*files != Some(generation)).then(|| stable(&self.source));
        store.keep(text.as_bytes(), stable.as_ref().map(String::as_bytes))?;
        *files = Some(generation);
        if !*armed {
            store.arm();
            renewal::resume_with(Some(call.with(RESUME, store.as_raw_fd())));
            *armed = true;
        }
        Ok(())
    }

    /// Everything but the machine.
    fn estate(&self) -> Estate {
        let Node {
            machine,
            source: _,
            place,
            reader: _,
            read_again: _,
            mode: _,
            wrap: _,
            outfit,
            cgroups,
            signals: _,
            channels,
            logs,
            report,
            sweep,
            sweep_again,
            processes,
            dying: _,
            more: _,
            ignored,
            wait: _,
            verdict: _,
            renewal:
                Renewal { call, logd, store: _, scribe: _, text: _, files: _, trial: _, agreed: _, armed: _, lack: _ },
        } = self;
        let (entry, inherited) = outfit.given();
        let (cgroups, kills) = cgroups.estate();
        let (started, asked, answered) = report.given();
        Estate {
            program: PROGRAM.to_owned(),
            path: call.path.to_string_lossy().into_owned(),
            place: *place,
            logd: logd.clone(),
            generation: report.generation(),
            started,
            runtime: report.directory().is_some(),
            asked,
            answered,
            renewals: report.renewals().clone(),
            reload: report.reload().clone(),
            behind: machine.behind(),
            entry,
            inherited: inherited.to_vec(),
            processes: processes
                .iter()
                .map(|(pid, process)| Hand {
                    pid: Pid(*pid),
                    unit: process.unit,
                    role: process.role,
                    exec: process.exec.as_ref().map(AsRawFd::as_raw_fd),
                    line: process.line.as_ref().map(Line::descriptor),
                })
                .collect(),
            sockets: channels.estate(),
            pipes: logs.estate(),
            stage: logs.stage(),
            cgroups,
            kills,
            to_logd: say::to_logd(),
            lost: say::lost(),
            swept: sweep.signalled(),
            sweep_again: *sweep_again,
            said: ignored.said(),
        }
    }

    /// Somebody asks to go on as the program that is now where ours was.
    pub(super) fn ask_renewal(&mut self) {
        if self.renewal.trial.is_some() || self.renewal.agreed {
            log::debug!("a renewal is under way already");
            return;
        }
        if let Err(why) = self.try_new_program() {
            self.refuse_renewal(&why);
        }
    }

    fn try_new_program(&mut self) -> Result<(), String> {
        if !matches!(self.machine.phase(), Phase::Running) {
            return Err("the node is shutting down".to_owned());
        }
        let text = |errno: Errno| errno.desc().to_owned();
        let mut store = Store::new().map_err(text)?;
        self.keep();
        if let Some(lack) = &self.renewal.lack {
            return Err(format!("no snapshot can be kept: {}", lack.errno.desc()));
        }
        let files = stable(&self.source);
        store.keep(self.renewal.text.as_bytes(), Some(files.as_bytes())).map_err(text)?;
        let call = &self.renewal.call;
        let arguments = call.with(CHECK, store.as_raw_fd());
        let program = self.outfit.plain(vec![call.path.clone()], arguments, vec![store.as_raw_fd()]).map_err(text)?;
        let made = sys::spawn::spawn(&program, &Birth::default()).map_err(text)?;
        let trial = Trial::new(made.pid, time());
        self.renewal.trial = Some(Asked { trial, store, exec: Some(made.exec) });
        Ok(())
    }

    fn refuse_renewal(&mut self, why: &str) {
        let path = self.renewal.call.path.to_string_lossy();
        let text = format!("unable to go on as {path}: {why}; going on as before");
        log::error!("{text}");
        let tally = self.report.renewals_mut();
        tally.refused = tally.refused.saturating_add(1);
        tally.refusal = Some(text);
    }

    /// Sees to a trial that is under way, and goes on as the new program once it has agreed. To be called between turns,
    /// when everything is done and said.
    pub(super) fn renew(&mut self) {
        if self.renewal.lack.as_ref().is_some_and(|lack| time() >= lack.again) {
            self.keep();
        }
        if let Some(asked) = &mut self.renewal.trial {
            asked.hear();
            if asked.trial.is_late(time()) {
                let _ = signal::send_group(asked.trial.pid, nix::libc::SIGKILL);
            }
        }
        // A reader ends within its time; what it found is for us.
        if self.reader.is_none() && std::mem::take(&mut self.renewal.agreed) {
            let errno = self.become_new_program();
            self.refuse_renewal(errno.desc());
        }
    }

    /// A process has ended, and is not reaped yet; whether it was the one that was asked.
    pub(super) fn trial_ended(&mut self, pid: i32, how: Ended) -> bool {
        let Some(mut asked) = self.renewal.trial.take_if(|asked| asked.trial.pid == pid) else { return false };
        asked.hear();
        match asked.trial.ended(ending(how), &asked.store.answered()) {
            Ok(()) => self.renewal.agreed = true,
            Err(why) => self.refuse_renewal(&why),
        }
        true
    }

    /// Returns only when that fails.
    fn become_new_program(&mut self) -> Errno {
        self.keep();
        if let Some(lack) = &self.renewal.lack {
            return lack.errno;
        }
        let mut open: Vec<RawFd> = self.estate().descriptors().collect();
        let Some(store) = &self.renewal.store else { return Errno::ENODATA };
        open.push(store.as_raw_fd());
        let (path, arguments) = (self.renewal.call.path.clone(), self.renewal.call.with(RESUME, store.as_raw_fd()));
        store.leave();
        let lent = renewal::keep_open(&open, true);
        let errno = lent.err().unwrap_or_else(|| renewal::become_program(&path, &arguments));
        // Where that fails, a child may inherit one: it is told nothing by that.
        let _ = renewal::keep_open(&open, false);
        errno
    }
}

/// Program and version.
pub const PROGRAM: &str = concat!("clusteros-init ", env!("CARGO_PKG_VERSION"));

fn write_estate(mut estate: Estate, table: &unit::Table, out: &mut String) {
    out.push_str("[node]\n");
    estate.pass(table, &mut Page::write(out));
}

fn stable(source: &Source) -> String {
    let mut out = "[table]\n".to_owned();
    estate::pass_files(&mut source.clone(), &mut Page::write(&mut out));
    out
}
