//! The status document as a file, and the process that writes it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::call::Asked;
use super::reason;
use crate::control::Status;
use crate::control::signal::QUIET;
use crate::control::status::VERSION;
use crate::sys::poll::Wait;
use crate::sys::{Errno, signal};
use crate::unit::duration::short;

/// PID 1 answers in milliseconds. One that is so busy, or stopped by a debugger, is said to be silent.
const ANSWER: Duration = Duration::from_secs(2);

/// Where the document is, and who writes it.
pub(super) struct Document {
    folder: PathBuf,
    watch: Inotify,
    /// Whom to ask; none: nobody.
    writer: Writer,
}

enum Writer {
    Process(i32),
    /// The process that the document itself names.
    Named,
    Nobody,
}

/// A document that was read.
pub(super) struct Reading {
    pub text: String,
    pub status: Status,
}

impl Document {
    /// The document that `asked` means. From now on no change of it is missed.
    pub fn open(asked: &Asked) -> Result<Document, String> {
        let (root, writer) = match (&asked.root, asked.pid) {
            (Some(root), None) => (root.clone(), Writer::Nobody),
            (Some(root), Some(pid)) => (root.clone(), Writer::Process(pid)),
            (None, Some(pid)) => (PathBuf::from(format!("/proc/{pid}/root")), Writer::Process(pid)),
            (None, None) => (PathBuf::from("/"), Writer::Named),
        };
        let folder = root.join("run/cluster-os");
        let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .map_err(|errno| format!("unable to watch files: {}; nothing can be told", text(errno)))?;
        watch
            .add_watch(&folder, AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CLOSE_WRITE)
            .map_err(|errno| format!("unable to read {}: {}; {}", folder.display(), text(errno), hint(errno, asked)))?;
        Ok(Document { folder, watch, writer })
    }

    fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }

    /// The document as it is.
    pub fn read(&self) -> Result<Reading, String> {
        let path = self.path();
        let text = fs::read_to_string(&path).map_err(|cause| {
            format!("unable to read {}: {}; is clusteros-init running there?", path.display(), reason(&cause))
        })?;
        let status: Status = serde_json::from_str(&text).map_err(|cause| {
            format!(
                "unable to read {}: it is no status document ({cause}); is initctl as old as PID 1?",
                path.display()
            )
        })?;
        if status.version != VERSION {
            let (theirs, path) = (status.version, path.display());
            return Err(format!("unable to read {path}: its version is {theirs}, not {VERSION}; use its own initctl"));
        }
        Ok(Reading { text, status })
    }

    /// Has the document written anew. An error says why it is as old as it is, or that there is none.
    pub fn renew(&self) -> Result<(), String> {
        let pid = match self.writer {
            Writer::Process(pid) => pid,
            Writer::Named => self.read().map_or(1, |reading| reading.status.pid),
            Writer::Nobody => return Ok(()),
        };
        let unable = |cause: String| format!("unable to ask process {pid} for its status: {cause}");
        let refused = |cause: io::Error| unable(reason(&cause));
        // A pid in a document that nobody removed may belong to anyone by now; 1 is always an init.
        if matches!(self.writer, Writer::Named) && pid != 1 && !bears_our_name(pid).map_err(refused)? {
            return Err(unable("it is not clusteros-init".to_owned()));
        }
        if !expects_usr1(pid).map_err(refused)? {
            return Err(unable("it does not wait for USR1, so it is not clusteros-init".to_owned()));
        }
        signal::queue(pid, libc::SIGUSR1, QUIET).map_err(|errno| unable(text(errno)))?;
        let end = Instant::now() + ANSWER;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if self.changed(Some(left)).map_err(refused)? {
                return Ok(());
            }
        }
        Err(unable(format!("no answer within {}", short(ANSWER))))
    }

    /// Waits until the document is replaced or `limit` has passed; whether it was replaced.
    pub fn changed(&self, limit: Option<Duration>) -> io::Result<bool> {
        let fd = self.watch.as_fd().as_raw_fd();
        let mut wait = Wait::default();
        wait.add(fd);
        wait.sleep(limit)?;
        match self.watch.read_events() {
            Ok(events) => Ok(events.iter().any(|event| event.name.as_deref() == Some(NAME.as_ref()))),
            Err(Errno::EAGAIN) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// How long ago `status` was written, for a person.
pub(super) fn age(status: &Status) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    short(now.saturating_sub(Duration::from_millis(status.written)))
}

const NAME: &str = "status.json";

/// Whether the program of `pid` is called `clusteros-init`.
fn bears_our_name(pid: i32) -> io::Result<bool> {
    Ok(fs::read_to_string(format!("/proc/{pid}/comm"))?.trim_end() == "clusteros-init")
}

/// Whether `pid` blocks or catches USR1, so that it is not harmed by one.
fn expects_usr1(pid: i32) -> io::Result<bool> {
    const USR1: u64 = 1 << (libc::SIGUSR1 - 1);
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mask = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
    };
    Ok((mask("SigBlk:") | mask("SigCgt:")) & USR1 != 0)
}

fn text(errno: Errno) -> String {
    reason(&errno.into())
}

fn hint(errno: Errno, asked: &Asked) -> &'static str {
    match (errno, asked.pid) {
        (Errno::EACCES | Errno::EPERM, _) => "try as root",
        (_, Some(_)) => "is that process the PID 1 of a node?",
        _ => "is clusteros-init running here? For a container seen from outside there is --pid",
    }
}
