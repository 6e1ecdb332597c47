//! The status document as a file, and the process that writes it.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use log::warn;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::call::Whom;
use super::code::{ABSENT, NO};
use super::reason;
use crate::control::Status;
use crate::control::columns::plain;
use crate::control::signal::QUIET;
use crate::control::status::VERSION;
use crate::sys::poll::Wait;
use crate::sys::{Errno, signal};
use crate::unit::duration::short;
use crate::unit::signal::name;
use crate::unit::table::Signal;

/// PID 1 answers in milliseconds. One that is so busy, or stopped by a debugger, is said to be silent.
pub(super) const ANSWER: Duration = Duration::from_secs(2);

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

/// What could not be done, and the exit code for it.
#[derive(Clone, Debug)]
pub(super) struct Unable {
    pub code: u8,
    text: String,
}

impl Unable {
    pub fn new(code: u8, text: String) -> Unable {
        // Much of what it tells may be a stranger's.
        Unable { code, text: plain(&text) }
    }

    /// The same, and what comes of it.
    pub fn and(self, next: &str) -> Unable {
        Unable { text: format!("{}; {next}", self.text), ..self }
    }
}

impl fmt::Display for Unable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

/// Nobody is there, or somebody does not let us.
fn code(errno: Option<i32>) -> u8 {
    if matches!(errno, Some(libc::ENOENT | libc::ESRCH)) { ABSENT } else { NO }
}

/// A document that was read.
pub(super) struct Reading {
    pub text: String,
    pub status: Status,
}

impl Document {
    /// The document of the node that is meant. From now on no change of it is missed.
    pub fn open(of: &Whom) -> Result<Document, Unable> {
        let writer = match (&of.root, of.pid) {
            (Some(_), None) => Writer::Nobody,
            (_, Some(pid)) => Writer::Process(pid),
            (None, None) => Writer::Named,
        };
        let folder = of.root().join("run/cluster-os");
        let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(|errno| {
            Unable::new(ABSENT, format!("unable to watch files: {}; nothing can be told", text(errno)))
        })?;
        watch.add_watch(&folder, AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CLOSE_WRITE).map_err(|errno| {
            let (cause, next) = (text(errno), hint(errno, of));
            Unable::new(code(Some(errno as i32)), format!("unable to read {}: {cause}; {next}", folder.display()))
        })?;
        Ok(Document { folder, watch, writer })
    }

    /// The document of the node that is meant, written anew if that is to be had; else as it is, with a warning that says why.
    pub fn latest(of: &Whom) -> Result<(Document, Reading), Unable> {
        let document = Document::open(of)?;
        let silent = document.renew().err();
        let reading = match (document.read(), &silent) {
            (Ok(reading), _) => reading,
            // Nothing to read because nobody wrote it: that is the cause to name.
            (Err(_), Some(silent)) => return Err(silent.clone().and("nothing can be shown")),
            (Err(unable), None) => return Err(unable),
        };
        if let Some(silent) = silent {
            warn!("{silent}; showing what was written {} ago", age(&reading.status));
        }
        Ok((document, reading))
    }

    fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }

    /// The document as it is.
    pub fn read(&self) -> Result<Reading, Unable> {
        let path = self.path();
        let unable = |code, cause: String| Unable::new(code, format!("unable to read {}: {cause}", path.display()));
        let text = regular(&path).map_err(|error| {
            unable(code(error.raw_os_error()), format!("{}; is clusteros-init running there?", reason(&error)))
        })?;
        let status: Status = serde_json::from_str(&text)
            .map_err(|cause| unable(NO, format!("it is no status document ({cause}); is initctl as old as PID 1?")))?;
        if status.version != VERSION {
            let theirs = status.version;
            return Err(unable(NO, format!("its version is {theirs}, not {VERSION}; use its own initctl")));
        }
        Ok(Reading { text, status })
    }

    /// Who writes it, as far as that is known.
    pub fn process(&self) -> Option<i32> {
        match self.writer {
            Writer::Process(pid) => Some(pid),
            Writer::Named => Some(self.read().map_or(1, |reading| reading.status.pid)),
            Writer::Nobody => None,
        }
    }

    /// The process that takes `signal` for a question `what`: ours, and not harmed by it; else why there is none.
    pub fn asked(&self, signal: i32, what: &str) -> Result<i32, Unable> {
        let pid = self.process().unwrap_or(1);
        let unable = |code, cause: String| Unable::new(code, format!("unable to ask process {pid} {what}: {cause}"));
        let refused = |error: io::Error| unable(code(error.raw_os_error()), reason(&error));
        // A pid in a document that nobody removed may belong to anyone by now, 1 to another init.
        if matches!(self.writer, Writer::Named) && !bears_our_name(pid).map_err(refused)? {
            return Err(unable(ABSENT, "it is not clusteros-init".to_owned()));
        }
        if !expects(pid, signal).map_err(refused)? {
            let name = name(Signal(signal));
            return Err(unable(ABSENT, format!("it does not wait for {name}, so it is not clusteros-init")));
        }
        Ok(pid)
    }

    /// Sends `signal`, which asks `what`, to the process that [`Document::asked`] answers.
    pub fn ask(&self, signal: i32, what: &str) -> Result<(), Unable> {
        let nothing = "nothing was asked";
        let pid = self.asked(signal, what).map_err(|unable| unable.and(nothing))?;
        signal::send(pid, signal).map_err(|errno| {
            let (code, next) = match errno {
                Errno::EPERM => (NO, "try as root"),
                Errno::ESRCH => (ABSENT, "is the node gone?"),
                _ => (ABSENT, nothing),
            };
            Unable::new(code, format!("unable to ask process {pid} {what}: {}; {next}", text(errno)))
        })
    }

    /// Has the document written anew. An error says why it is as old as it is, or that there is none.
    pub fn renew(&self) -> Result<(), Unable> {
        let what = "for its status";
        if matches!(self.writer, Writer::Nobody) {
            return Ok(());
        }
        let pid = self.asked(libc::SIGUSR1, what)?;
        let unable = |code, cause: String| Unable::new(code, format!("unable to ask process {pid} {what}: {cause}"));
        let refused = |error: io::Error| unable(code(error.raw_os_error()), reason(&error));
        signal::queue(pid, libc::SIGUSR1, QUIET).map_err(|errno| refused(errno.into()))?;
        let end = Instant::now() + ANSWER;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if self.changed(Some(left)).map_err(refused)? {
                return Ok(());
            }
        }
        Err(unable(ABSENT, format!("no answer within {}", short(ANSWER))))
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
fn age(status: &Status) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    short(now.saturating_sub(Duration::from_millis(status.written)))
}

const NAME: &str = "status.json";

/// The most that is read of a document, in bytes: one of 256 units has some hundred thousand.
const LARGEST: u64 = 16 << 20;

/// The text of a file that a container may have put there: no link of it is followed, and no pipe is waited for.
fn regular(path: &Path) -> io::Result<String> {
    let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// Whether the program of `pid` is called `clusteros-init`.
pub(super) fn bears_our_name(pid: i32) -> io::Result<bool> {
    Ok(fs::read_to_string(format!("/proc/{pid}/comm"))?.trim_end() == "clusteros-init")
}

/// Whether `pid` blocks or catches `signal`, so that it is not harmed by one.
pub(super) fn expects(pid: i32, signal: i32) -> io::Result<bool> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mask = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
    };
    Ok((mask("SigBlk:") | mask("SigCgt:")) & 1 << (signal - 1) != 0)
}

fn text(errno: Errno) -> String {
    reason(&errno.into())
}

fn hint(errno: Errno, of: &Whom) -> &'static str {
    match (errno, of.pid) {
        (Errno::EACCES | Errno::EPERM, _) => "try as root",
        (_, Some(_)) => "is that process the PID 1 of a node?",
        _ => "is clusteros-init running here? For a container seen from outside there is --pid",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::{Unable, regular};

    #[test]
    fn a_document_is_a_file_and_nothing_that_leads_elsewhere() {
        let folder = std::env::temp_dir().join(format!("document-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let [pipe, link, file] = ["pipe", "link", "file"].map(|name| folder.join(name));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        fs::write(&file, "{}").unwrap();
        let read = |path| regular(path).map_err(|error| super::reason(&error));
        assert_eq!(read(&pipe), Err("it is no regular file".to_owned()));
        assert_eq!(read(&link), Err("too many symbolic links encountered".to_owned()));
        assert_eq!(read(&file), Ok("{}".to_owned()));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_a_stranger_wrote_drives_no_terminal() {
        assert_eq!(
            Unable::new(1, "unable to start web: \x1b[2Jgone".to_owned()).to_string(),
            "unable to start web: ?[2Jgone"
        );
    }
}
