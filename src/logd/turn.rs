//! The loop: wait for any pipe, read, cut into lines, show and keep them; until every pipe has ended.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{AccessFlags, access, read};

use super::file::{Bounds, LogFile, News};
use super::line::{LONGEST, Lines};
use super::outlet::Outlet;
use super::stage::{Left, Slot, Stage};
use crate::control::line::{self, Line};
use crate::say::reason;

/// Everything that one logd holds.
#[derive(Debug)]
pub struct Turn {
    sources: Vec<Source>,
    own: LogFile,
    dir: PathBuf,
    /// That nothing can be written there was said, and has not ended.
    closed: bool,
    outlet: Option<Outlet>,
    stage: Option<Stage>,
}

#[derive(Debug)]
struct Source {
    name: String,
    pipe: Option<OwnedFd>,
    lines: Lines,
    file: LogFile,
    /// Its place in the stage; none: what is read from it is at risk.
    slot: Option<Slot>,
}

impl Turn {
    /// Ready to follow these pipes, each under its unit's name, into files in `dir` and, if given, the outlet. The
    /// outlet knows the sources by their places here, and logd itself by the place after the last. What the stage holds of
    /// a logd that was killed is written first.
    pub fn new(
        pipes: Vec<(OwnedFd, String, Bounds)>,
        dir: &Path,
        outlet: Option<Outlet>,
        stage: Option<Stage>,
    ) -> Turn {
        let source = |(pipe, name, bounds): (OwnedFd, String, Bounds)| Source {
            file: LogFile::new(dir, &name, bounds),
            name,
            pipe: Some(pipe),
            lines: Lines::default(),
            slot: None,
        };
        let sources = pipes.into_iter().map(source).collect();
        let own = LogFile::new(dir, "logd", Bounds::default());
        let mut turn = Turn { sources, own, dir: dir.to_owned(), closed: false, outlet, stage };
        if let Some(stage) = turn.stage.take() {
            if let Err(error) = turn.resume(&stage) {
                turn.say(&format!(
                    "error: unable to write what a killed logd had read: {}; some of it may be lost",
                    reason(&error)
                ));
            }
            turn.stage = Some(stage);
        }
        turn
    }

    /// Ends the turn that a killed logd did not, and takes up the beginnings of lines that it had, whatever becomes of the
    /// turn.
    fn resume(&mut self, stage: &Stage) -> io::Result<()> {
        let ended = match stage.left()? {
            None => Ok(()),
            Some(left) => match self.sources.iter().position(|source| source.name == left.name) {
                Some(index) => self.end(stage, index, left),
                // Its unit is gone from the table, and nobody follows that file any more.
                None => stage.commit(left.slot, b""),
            },
        };
        let mut taken = Vec::new();
        for source in &mut self.sources {
            // Two pipes may bear one name while a table is exchanged; a place is for one.
            source.slot = stage.slot(&source.name)?.filter(|slot| !taken.contains(slot));
            if let Some(slot) = source.slot {
                taken.push(slot);
                source.lines = Lines::going_on(stage.rest(slot)?);
            }
        }
        ended
    }

    /// Ends the turn that `left` is, of the source at `index`.
    fn end(&mut self, stage: &Stage, index: usize, left: Left) -> io::Result<()> {
        let Some(source) = self.sources.get_mut(index) else { return Ok(()) };
        source.lines = Lines::going_on(left.rest);
        let stamp = line::stamp(left.millis);
        let (mut kept, mut count) = (Vec::new(), 0);
        source.lines.take(&left.bytes, |line| {
            count += 1;
            line::kept(&stamp, line, &mut kept);
            if let Some(outlet) = &self.outlet {
                outlet.show(index, line);
            }
        });
        let has = left.mark.map_or(0, |mark| source.file.has(mark, &kept));
        let (news, written) = match kept.get(has..).unwrap_or_default() {
            [] => (None, Ok(())),
            rest if has > 0 => (None, source.file.go_on(rest)),
            all => (source.file.append(all, count, Instant::now(), |mark| drop(stage.mark(mark))), Ok(())),
        };
        // What could not be written now is not written later, after younger lines.
        let committed = stage.commit(left.slot, source.lines.rest());
        self.report(news);
        written.and(committed)
    }

    /// Follows the pipes to their ends. Returns when all that they carried is written.
    pub fn run(mut self) {
        let mut buffer = vec![0; LONGEST];
        while let Some(ready) = self.wait() {
            for index in ready {
                self.follow(index, &mut buffer);
            }
        }
        if let Some(outlet) = &self.outlet
            && !outlet.finish()
        {
            let text = "warning: unable to show the last lines: standard output is stuck; the log files have them";
            self.keep(text);
        }
    }

    /// Says a line of logd's own.
    pub fn say(&mut self, text: &str) {
        let line = Line { text: text.as_bytes(), goes_on: false };
        match &self.outlet {
            Some(outlet) => outlet.show(self.sources.len(), line),
            // Without standard output as a place for lines, what is wrong with the files has this one way left.
            None => drop(writeln!(io::stderr(), "logd: {text}")),
        }
        self.keep(text);
    }

    fn keep(&mut self, text: &str) {
        let mut kept = Vec::new();
        line::kept(&line::stamp(now()), Line { text: text.as_bytes(), goes_on: false }, &mut kept);
        drop(self.own.append(&kept, 1, Instant::now(), |_| {}));
    }

    /// The places of the pipes that have something, or nothing when every pipe has ended.
    fn wait(&mut self) -> Option<Vec<usize>> {
        loop {
            let open: Vec<_> = (0..).zip(&self.sources).filter(|(_, source)| source.pipe.is_some()).collect();
            let mut polled: Vec<_> = open
                .iter()
                .filter_map(|(_, source)| source.pipe.as_ref())
                .map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN))
                .collect();
            if polled.is_empty() {
                return None;
            }
            match poll(&mut polled, PollTimeout::NONE) {
                Ok(_) => {
                    let ready = open.iter().zip(&polled).filter(|(_, polled)| polled.any().unwrap_or(true));
                    return Some(ready.map(|((index, _), _)| *index).collect());
                }
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    // ENOMEM, the one error left, is the kernel's and passes.
                    let text = format!("error: unable to wait for the pipes: {}; trying again", errno.desc());
                    self.say(&text);
                    std::thread::sleep(std::time::Duration::from_secs(1));
                }
            }
        }
    }

    /// One read of one pipe, so that a unit that never stops talking keeps no other waiting.
    fn follow(&mut self, index: usize, buffer: &mut [u8]) {
        let Some(source) = self.sources.get_mut(index) else { return };
        let Some(pipe) = &source.pipe else { return };
        let millis = now();
        // With a place in the stage, what is read outlives us until it is written.
        let (mut staged, mut broken) = (None, None);
        if let Some((stage, slot)) = self.stage.as_ref().zip(source.slot) {
            match stage.begin(slot, millis) {
                Ok(()) => staged = Some((stage, slot)),
                Err(error) => broken = Some(error),
            }
        }
        let outcome = match staged.map(|(stage, _)| stage.fill(pipe, buffer)) {
            // No memory: better at risk than not at all. The turn is ended all the same: it may leave another beginning.
            None | Some(Err(Errno::ENOMEM | Errno::ENOSPC | Errno::EFBIG | Errno::EINVAL)) => read(pipe, buffer),
            Some(outcome) => outcome,
        };
        let stamp = line::stamp(millis);
        let (mut kept, mut count) = (Vec::new(), 0);
        let mut each = |line: Line<'_>| {
            count += 1;
            line::kept(&stamp, line, &mut kept);
            if let Some(outlet) = &self.outlet {
                outlet.show(index, line);
            }
        };
        let mut trouble = None;
        match outcome {
            Ok(0) => {
                source.lines.finish(each);
                source.pipe = None;
            }
            Ok(read) => source.lines.take(buffer.get(..read).unwrap_or_default(), &mut each),
            Err(Errno::EINTR | Errno::EAGAIN) => return,
            Err(errno) => {
                source.lines.finish(each);
                source.pipe = None;
                trouble =
                    Some(format!("error: unable to read from {}: {}; its lines are lost", source.name, errno.desc()));
            }
        }
        let mark = |mark| {
            if let Some((stage, _)) = staged {
                drop(stage.mark(mark));
            }
        };
        let news = if count > 0 { source.file.append(&kept, count, Instant::now(), mark) } else { None };
        if let Some((stage, slot)) = staged {
            broken = stage.commit(slot, source.lines.rest()).err();
        }
        if let Some(error) = broken {
            let why = reason(&error);
            trouble = Some(format!("warning: unable to keep what is read: {why}; it is lost if logd is killed"));
            // What it has becomes wrong with the next line, and the next logd is to start with none.
            if let Some(stage) = self.stage.take() {
                drop(stage.forget());
            }
        }
        self.report(news);
        if let Some(text) = trouble {
            self.say(&text);
        }
    }

    fn report(&mut self, news: Option<News>) {
        let Some(news) = news else { return };
        let known = self.closed;
        self.closed = match news {
            News::Broken(..) => known || access(&self.dir, AccessFlags::W_OK | AccessFlags::X_OK).is_err(),
            News::Grows(..) => known,
            News::Mended(..) => false,
        };
        // One line for all that the folder keeps out.
        if !(known && self.closed) {
            let text = self.tell(&news);
            self.say(&text);
        }
    }

    fn tell(&self, news: &News) -> String {
        match news {
            News::Broken(_, error) if self.closed => format!(
                "warning: unable to write into {}: {}; lines {} until that is possible",
                self.dir.display(),
                reason(error),
                if self.outlet.is_some() { "go to standard output alone" } else { "are lost" }
            ),
            News::Broken(path, error) if self.outlet.is_some() => format!(
                "warning: unable to write {}: {}; its lines go to standard output alone until it can be written",
                path.display(),
                reason(error)
            ),
            News::Broken(path, error) => format!(
                "warning: unable to write {}: {}; its lines are lost until it can be written",
                path.display(),
                reason(error)
            ),
            News::Grows(path, error) => format!(
                "warning: unable to rotate {}: {}; it grows up to twice its size, and that is tried again",
                path.display(),
                reason(error)
            ),
            News::Mended(path, lost) => {
                let lines = if *lost == 1 { "1 line is" } else { &format!("{lost} lines are") };
                format!("info: {} is written again; {lines} missing in it", path.display())
            }
        }
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Write, pipe};
    use std::path::Path;

    use super::{LONGEST, Turn};
    use crate::control::line::stamp;
    use crate::logd::file::{Bounds, LogFile, Mark};
    use crate::logd::stage::Stage;
    use crate::sys::memory;

    /// What the file holds when a logd was killed that had `written` so many bytes of its turn, or had no mark yet.
    fn ended(dir: &Path, written: Option<usize>) -> String {
        drop(fs::remove_file(dir.join("a.log")));
        let mut before = LogFile::new(dir, "a", Bounds::default());
        assert!(before.append(b"earlier\n", 1, super::Instant::now(), |_| {}).is_none());
        let memory = memory::file(c"test").expect("memory");
        let stage = Stage::open(memory.try_clone().expect("a copy")).expect("a stage");
        let slot = stage.slot("a").expect("read").expect("a place");
        let (reader, mut writer) = pipe().expect("a pipe");
        let mut buffer = vec![0; LONGEST];
        for (text, millis) in [("be", 1), ("gun\nsecond\nthi", 2)] {
            writer.write_all(text.as_bytes()).expect("written");
            stage.begin(slot, millis).expect("begun");
            stage.fill(&reader, &mut buffer).expect("filled");
            if millis == 1 {
                stage.commit(slot, b"be").expect("ended");
            }
        }
        if let Some(written) = written {
            let known = fs::metadata(dir.join("a.log")).expect("there");
            stage.mark(Mark { inode: std::os::unix::fs::MetadataExt::ino(&known), size: known.len() }).expect("marked");
            let text = lines();
            before.go_on(&text.as_bytes()[..written]).expect("written");
        }
        writer.write_all(b"rd\n").expect("written");
        drop(writer);
        let pipes = vec![(reader.into(), "a".to_owned(), Bounds::default())];
        Turn::new(pipes, dir, None, Some(Stage::open(memory).expect("the same"))).run();
        fs::read_to_string(dir.join("a.log")).expect("read")
    }

    /// What that turn writes.
    fn lines() -> String {
        format!("{0} begun\n{0} second\n", stamp(2))
    }

    #[test]
    fn whenever_a_logd_is_killed_the_next_ends_its_turn() {
        let dir = std::env::temp_dir().join(format!("logd-turn-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a folder");
        let whole = format!("earlier\n{}", lines());
        for written in (0..=lines().len()).map(Some).chain([None]) {
            let text = ended(&dir, written);
            let (first, last) = text.split_at_checked(whole.len()).expect("long enough");
            assert_eq!(first, whole, "{written:?}");
            assert!(last.ends_with("Z third\n") && last.lines().count() == 1, "{written:?}: {last}");
        }
        drop(fs::remove_dir_all(dir));
    }

    #[test]
    fn what_is_read_at_risk_leaves_no_stale_beginning() {
        let dir = std::env::temp_dir().join(format!("logd-risk-{}", std::process::id()));
        let memory = memory::file(c"test").expect("memory");
        let stage = Stage::open(memory.try_clone().expect("a copy")).expect("a stage");
        let slot = stage.slot("a").expect("read").expect("a place");
        stage.begin(slot, 1).expect("begun");
        stage.commit(slot, b"be").expect("ended");
        // The kernel moves nothing from a socket to a file, so it is read directly.
        let (reader, mut writer) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let pipes = vec![(reader.into(), "a".to_owned(), Bounds::default())];
        let mut turn = Turn::new(pipes, &dir, None, Some(Stage::open(memory).expect("the same")));
        writer.write_all(b"gun\nthi").expect("written");
        turn.follow(0, &mut vec![0; LONGEST]);
        assert!(fs::read_to_string(dir.join("a.log")).expect("read").ends_with("Z begun\n"));
        assert_eq!(stage.rest(slot).expect("read"), b"thi");
        drop(fs::remove_dir_all(dir));
    }

    #[test]
    fn of_two_pipes_of_one_name_one_is_staged() {
        let dir = std::env::temp_dir().join(format!("logd-two-{}", std::process::id()));
        let memory = memory::file(c"test").expect("memory");
        let stage = Stage::open(memory.try_clone().expect("a copy")).expect("a stage");
        let slot = stage.slot("a").expect("read").expect("a place");
        let [(one, mut first), (two, mut second)] = [pipe().expect("a pipe"), pipe().expect("a pipe")];
        let pipes = [one, two].map(|reader| (reader.into(), "a".to_owned(), Bounds::default())).into();
        let mut turn = Turn::new(pipes, &dir, None, Some(Stage::open(memory).expect("the same")));
        first.write_all(b"be").expect("written");
        second.write_all(b"other\n").expect("written");
        (0..2).for_each(|index| turn.follow(index, &mut vec![0; LONGEST]));
        assert_eq!(stage.rest(slot).expect("read"), b"be");
        drop(fs::remove_dir_all(dir));
    }
}
