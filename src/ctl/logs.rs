//! `initctl logs`: the lines of units, from their files.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

use log::{error, warn};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{SFlag, fstat};

use super::call::Whom;
use super::code::{NO, OK};
use super::previous::{before, starts};
use super::reel::{Entry, Reel, names};
use super::typed::Typed;
use super::{put, reason};
use crate::control::columns::plain;
use crate::control::line::{said, stamp, tamed};
use crate::sys::Errno;
use crate::sys::poll::Wait;
use crate::unit::suggest;

/// How much is gathered before it is written.
const PAGE: usize = 64 * 1024;

/// The options of `logs`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The units; none: all.
    pub names: Vec<String>,
    pub follow: bool,
    /// Only what was written before the last start.
    pub previous: bool,
    /// How many of the last lines; `u64::MAX` is all.
    pub count: u64,
    pub range: Range,
    /// As `journalctl` shows it; none: as `initctl logs` does.
    pub journal: Option<Journal>,
    pub of: Whom,
}

/// When lines that are shown were written, in milliseconds of Unix time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub since: Option<u64>,
    pub until: Option<u64>,
}

/// What `journalctl` does otherwise: a unit that wrote nothing is no mistake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Journal {
    /// The text alone, without time and name.
    pub cat: bool,
    /// That there is nothing to show is not said.
    pub quiet: bool,
}

impl Wanted {
    /// What the options ask for; else what is wrong with them.
    pub fn read(typed: &Typed) -> Result<Wanted, String> {
        let count = typed.value("-n").map_or(Ok(100), count)?;
        let (names, follow, previous) = (typed.units(), typed.has("-f"), typed.has("--previous"));
        match (previous, follow, names.is_empty()) {
            (true, true, _) => Err("logs takes either --previous or --follow".to_owned()),
            (true, _, true) => Err("--previous needs the name of a unit".to_owned()),
            _ => {
                let (range, journal, of) = (Range::default(), None, Whom::read(typed)?);
                Ok(Wanted { names, follow, previous, count, range, journal, of })
            }
        }
    }
}

/// The value of `-n`.
pub(super) fn count(value: &OsStr) -> Result<u64, String> {
    match value.to_str() {
        Some("all") => Some(u64::MAX),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| "-n needs a number of lines, or \"all\"".to_owned())
}

/// Shows what `wanted` asks for; the exit code.
pub(super) fn run(wanted: Wanted) -> u8 {
    // Every file of every unit is open at once.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    match Show::open(wanted).and_then(|mut show| if show.wanted.previous { show.previous() } else { show.run() }) {
        Ok(()) => OK,
        Err(Stop::Code(code)) => code,
        Err(Stop::Message(message)) => {
            error!("{}", plain(&message));
            NO
        }
    }
}

/// Why nothing more is shown.
enum Stop {
    /// What was unable to be done.
    Message(String),
    /// It is said already, or nothing to say.
    Code(u8),
}

struct Show {
    wanted: Wanted,
    folder: PathBuf,
    watch: Option<Inotify>,
    reels: Vec<Reel>,
    /// Whether a terminal shows it.
    tame: bool,
    /// Whether a line was shown.
    begun: bool,
}

impl Show {
    fn open(wanted: Wanted) -> Result<Show, Stop> {
        let folder = folder(&wanted.of);
        let tame = io::stdout().is_terminal();
        let mut show = Show { wanted, folder, watch: None, reels: Vec::new(), tame, begun: false };
        if show.wanted.follow {
            // Before anything is read, so that nothing that comes after it is missed.
            show.watch = Some(show.watch().map_err(|errno| show.unable(&errno.into()))?);
        }
        let known = names(&show.folder).map_err(|cause| show.unable(&cause))?;
        let all = if show.wanted.names.is_empty() { &known } else { &show.wanted.names };
        for name in all {
            let mut reel = Reel::open(&show.folder, name).map_err(|cause| show.unable(&cause))?;
            if reel.is_empty() && show.wanted.names.is_empty() {
                // The folder has something else of that name.
                continue;
            }
            if !show.wanted.follow {
                reel.end_here().map_err(|cause| show.unable(&cause))?;
            }
            if reel.is_empty() && show.wanted.journal.is_none() {
                let (folder, next) = (show.folder.display(), advice(name, &known));
                if !show.wanted.follow {
                    let text = format!("unable to show the lines of {name}: none are kept in {folder}; {next}");
                    return Err(Stop::Message(text));
                }
                warn!("unable to show the lines of {name} yet: none are kept in {folder}; waiting for them");
            }
            show.reels.push(reel);
        }
        Ok(show)
    }

    fn watch(&self) -> Result<Inotify, Errno> {
        let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let flags = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        watch.add_watch(&self.folder, flags)?;
        Ok(watch)
    }

    fn run(&mut self) -> Result<(), Stop> {
        let mut skip = 0;
        if self.wanted.range == Range::default() {
            let mut left = 0;
            for index in 0..self.reels.len() {
                let count = self.wanted.count;
                left += self.with(index, |reel| reel.keep_last(count))?;
            }
            skip = left.saturating_sub(self.wanted.count);
        } else {
            self.within()?;
        }
        loop {
            self.drain(&mut skip)?;
            if !self.wait()? {
                break;
            }
            self.renew()?;
        }
        // What has no end yet gets none that we would see.
        let range = self.wanted.range;
        let ends: Vec<(usize, Entry)> =
            self.reels.iter_mut().enumerate().filter_map(|(index, reel)| Some((index, reel.entry()?))).collect();
        let mut page = Vec::new();
        for (index, entry) in ends.into_iter().filter(|(_, entry)| range.has(&entry.time)) {
            self.format(index, &entry, &mut page);
        }
        if !self.begun && !self.wanted.follow && self.wanted.journal.is_some_and(|journal| !journal.quiet) {
            page.extend_from_slice(b"-- No entries --\n");
        }
        put(&page).map_err(Stop::Code)
    }

    /// Shows the last lines of those that are within the range.
    fn within(&mut self) -> Result<(), Stop> {
        let range = self.wanted.range;
        let most = usize::try_from(self.wanted.count).unwrap_or(usize::MAX);
        let mut lines = VecDeque::new();
        let mut page = Vec::with_capacity(PAGE);
        while let Some((index, entry)) = self.next()? {
            if !range.has(&entry.time) {
                continue;
            }
            if most == usize::MAX {
                self.format(index, &entry, &mut page);
                self.full(&mut page)?;
                continue;
            }
            lines.push_back((index, entry));
            if lines.len() > most {
                lines.pop_front();
            }
        }
        for (index, entry) in &lines {
            self.format(*index, entry, &mut page);
            self.full(&mut page)?;
        }
        put(&page).map_err(Stop::Code)
    }

    /// Writes what was gathered, if it is enough.
    fn full(&self, page: &mut Vec<u8>) -> Result<(), Stop> {
        if page.len() >= PAGE {
            put(page).map_err(Stop::Code)?;
            page.clear();
        }
        Ok(())
    }

    /// Shows what was written before the last starts.
    fn previous(&mut self) -> Result<(), Stop> {
        let count = self.wanted.count;
        let starts = starts(&self.wanted.of, &self.wanted.names).map_err(|unable| {
            error!("{unable}");
            Stop::Code(unable.code)
        })?;
        let mut lines = Vec::new();
        for (index, start) in starts.iter().enumerate() {
            let own = self.with(index, |reel| before(reel, start, count))?;
            lines.extend(own.into_iter().map(|entry| (index, entry)));
        }
        lines.sort_by(|(_, left), (_, right)| left.time.cmp(&right.time));
        let skip = lines.len().saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
        let mut page = Vec::new();
        for (index, entry) in lines.iter().skip(skip) {
            self.format(*index, entry, &mut page);
        }
        put(&page).map_err(Stop::Code)
    }

    /// Shows every whole line that is there, by time, but not the first `skip` of them.
    fn drain(&mut self, skip: &mut u64) -> Result<(), Stop> {
        let mut page = Vec::with_capacity(PAGE);
        while let Some((index, entry)) = self.next()? {
            if *skip > 0 {
                *skip -= 1;
                continue;
            }
            self.format(index, &entry, &mut page);
            self.full(&mut page)?;
        }
        put(&page).map_err(Stop::Code)
    }

    /// The next whole line by time, and whose it is.
    fn next(&mut self) -> Result<Option<(usize, Entry)>, Stop> {
        let mut first: Option<(Vec<u8>, usize)> = None;
        for index in 0..self.reels.len() {
            let time = self.with(index, |reel| Ok(reel.head()?.map(|entry| entry.time.clone())))?;
            if let Some(time) = time
                && first.as_ref().is_none_or(|(earliest, _)| time < *earliest)
            {
                first = Some((time, index));
            }
        }
        Ok(first.and_then(|(_, index)| Some((index, self.reels.get_mut(index)?.take()?))))
    }

    fn format(&mut self, index: usize, entry: &Entry, page: &mut Vec<u8>) {
        self.begun = true;
        let cat = self.wanted.journal.is_some_and(|journal| journal.cat);
        if self.wanted.names.len() != 1 && !cat {
            let width = self.reels.iter().map(|reel| reel.name.len()).max().unwrap_or(0);
            let name = self.reels.get(index).map_or("", |reel| &reel.name);
            let name = if self.tame { plain(name) } else { name.to_owned() };
            page.extend_from_slice(format!("{name:width$} | ").as_bytes());
        }
        let text = entry.text.strip_suffix(b"\n").unwrap_or(&entry.text);
        let text = if cat { said(text, &entry.time) } else { text };
        if self.tame {
            tamed(text.strip_suffix(b"\r").unwrap_or(text), page);
        } else {
            page.extend_from_slice(text);
        }
        page.push(b'\n');
    }

    /// Waits until a file changes; whether to go on.
    fn wait(&self) -> Result<bool, Stop> {
        let Some(watch) = &self.watch else { return Ok(false) };
        let out = io::stdout();
        // Nobody may ever read a pipe again that nothing is written to.
        let piped = fstat(&out).is_ok_and(|known| known.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFIFO.bits());
        let mut wait = Wait::default();
        wait.add(watch.as_fd().as_raw_fd());
        if piped {
            wait.add(out.as_raw_fd());
        }
        wait.sleep(None).map_err(|errno| self.unable(&errno.into()))?;
        if piped && wait.ready(out.as_raw_fd()) {
            return Ok(false);
        }
        loop {
            match watch.read_events() {
                Ok(_) => {}
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(true),
                Err(errno) => return Err(self.unable(&errno.into())),
            }
        }
    }

    /// Looks for what came after the files that are known.
    fn renew(&mut self) -> Result<(), Stop> {
        for index in 0..self.reels.len() {
            if self.with(index, Reel::renew)? {
                let name = self.reels.get(index).map_or("", |reel| &reel.name);
                warn!("unable to show some lines of {name}: their files went away too soon; going on with the oldest");
            }
        }
        if self.wanted.names.is_empty() {
            for name in names(&self.folder).map_err(|cause| self.unable(&cause))? {
                if self.reels.iter().all(|reel| reel.name != name) {
                    let reel = Reel::open(&self.folder, &name).map_err(|cause| self.unable(&cause))?;
                    self.reels.extend(Some(reel).filter(|reel| !reel.is_empty()));
                }
            }
        }
        Ok(())
    }

    fn with<T>(&mut self, index: usize, act: impl FnOnce(&mut Reel) -> io::Result<T>) -> Result<T, Stop> {
        let Some(reel) = self.reels.get_mut(index) else { return Err(Stop::Code(NO)) };
        act(reel).map_err(|cause| self.unable(&cause))
    }

    fn unable(&self, cause: &io::Error) -> Stop {
        let next = match (cause.kind(), self.wanted.of.pid) {
            (io::ErrorKind::PermissionDenied, _) => "try as root",
            (_, Some(_)) => "is that process the PID 1 of a node?",
            _ => "is clusteros-init running here? For a container seen from outside there is --pid",
        };
        Stop::Message(format!("unable to read {}: {}; {next}", self.folder.display(), reason(cause)))
    }
}

/// The last `count` whole lines of `unit`, as a terminal may have them; none if none can be read.
pub(super) fn tail(of: &Whom, unit: &str, count: u64) -> Vec<String> {
    let read = || -> io::Result<Vec<String>> {
        let mut reel = Reel::open(&folder(of), unit)?;
        reel.end_here()?;
        reel.keep_last(count)?;
        let mut lines = Vec::new();
        while reel.head()?.is_some() {
            let mut line = Vec::new();
            let entry = reel.take().map(|entry| entry.text).unwrap_or_default();
            tamed(entry.trim_ascii_end(), &mut line);
            lines.push(String::from_utf8_lossy(&line).into_owned());
        }
        Ok(lines)
    };
    read().unwrap_or_default()
}

impl Range {
    /// Whether a line that was written at `time`, as a file has it, is within.
    fn has(self, time: &[u8]) -> bool {
        let within =
            |limit: Option<u64>, past: Ordering| limit.is_none_or(|limit| time.cmp(stamp(limit).as_bytes()) != past);
        within(self.since, Ordering::Less) && within(self.until, Ordering::Greater)
    }
}

/// Where the files of a node's units are.
pub(super) fn folder(of: &Whom) -> PathBuf {
    of.root().join("var/log/cluster-os")
}

/// What to do about a unit that has no lines.
fn advice(name: &str, known: &[String]) -> String {
    match suggest::nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if known.is_empty() => "nothing is kept of any unit".to_owned(),
        None => format!("lines are kept of {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::call::Call;
    use super::{Range, Wanted, Whom};

    fn words(text: &str) -> Result<Wanted, String> {
        match Call::parse(format!("logs {text}").split_whitespace().map(Into::into))? {
            Call::Logs(wanted) => Ok(wanted),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn calls() {
        let range = Range::default();
        let none = Wanted {
            names: vec![],
            follow: false,
            previous: false,
            count: 100,
            range,
            journal: None,
            of: Whom::default(),
        };
        assert_eq!(words(""), Ok(none));
        let all = Wanted {
            names: vec!["web".to_owned(), "db".to_owned()],
            follow: true,
            previous: false,
            count: u64::MAX,
            range,
            journal: None,
            of: Whom { pid: Some(7), root: Some("/r".into()) },
        };
        assert_eq!(words("-f web --lines=all db --pid 7 --root /r web"), Ok(all));
        assert_eq!(words("web -n 5").map(|wanted| wanted.count), Ok(5));
    }

    #[test]
    fn mistakes() {
        for (text, mistake) in [
            ("--previous", "--previous needs the name of a unit"),
            ("web --previous -f", "logs takes either --previous or --follow"),
            ("-x", "logs takes no \"-x\""),
            ("--follow=1", "logs takes no \"--follow=1\""),
            ("-n", "-n needs a number of lines, or \"all\""),
            ("-n -1", "-n needs a number of lines, or \"all\""),
            ("--lines=", "-n needs a number of lines, or \"all\""),
            ("--pid 0", "--pid needs the number of a process"),
        ] {
            assert_eq!(words(text), Err(mistake.to_owned()), "{text}");
        }
    }
}
