//! One log file and the older ones beside it: bounded in size, and no reason to stop when they cannot be written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::unit::Log;

/// How long a file that cannot be written is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// More older files than any table may ask for.
const NUMBERS: u16 = 100;

/// How much is kept. A file is larger than that by itself only if one turn's text is: 64 KiB, and 25 bytes a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The size that a file is not to exceed, in bytes.
    pub size: u64,
    /// How many older files there are.
    pub keep: u16,
}

impl Default for Bounds {
    fn default() -> Bounds {
        match Log::default() {
            Log::File { size, keep } => Bounds { size, keep },
            Log::Inherit | Log::Null => Bounds { size: 1, keep: 0 },
        }
    }
}

/// A file before something was added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which file.
    pub inode: u64,
    /// How large it was, in bytes.
    pub size: u64,
}

/// DIR/NAME.log, and DIR/NAME.log.1 (the youngest) to DIR/NAME.log.KEEP.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    bounds: Bounds,
    open: Option<File>,
    trouble: Option<Trouble>,
    full: Option<Full>,
}

/// A file that cannot make room, and grows.
#[derive(Debug)]
struct Full {
    again: Instant,
    /// Why, until it is told.
    cause: Option<io::Error>,
}

#[derive(Debug)]
struct Trouble {
    lost: u64,
    again: Instant,
}

/// What a write has to tell, at most once for each trouble.
#[derive(Debug)]
pub enum News {
    /// It cannot be written any more.
    Broken(PathBuf, io::Error),
    /// It is full and cannot get another name: it grows up to twice its size.
    Grows(PathBuf, io::Error),
    /// It can be written again; this many lines are missing.
    Mended(PathBuf, u64),
}

impl LogFile {
    /// The file of the unit `name` in `dir`; it is opened when there is something to write.
    pub fn new(dir: &Path, name: &str, bounds: Bounds) -> LogFile {
        LogFile { path: dir.join(format!("{name}.log")), bounds, open: None, trouble: None, full: None }
    }

    /// Appends `text`, which is `lines` whole lines, in one write. Before that `mark` is told where the file stands.
    pub fn append(&mut self, text: &[u8], lines: u64, now: Instant, mark: impl FnOnce(Mark)) -> Option<News> {
        if let Some(trouble) = self.trouble.as_mut().filter(|trouble| now < trouble.again) {
            trouble.lost += lines;
            return None;
        }
        match (self.write(text, now, mark), self.trouble.take()) {
            (Ok(()), None) => {
                let cause = self.full.as_mut()?.cause.take()?;
                Some(News::Grows(self.path.clone(), cause))
            }
            (Ok(()), Some(trouble)) => Some(News::Mended(self.path.clone(), trouble.lost)),
            (Err((error, kept)), before) => {
                self.open = None;
                let lost = before.as_ref().map_or(0, |trouble| trouble.lost) + lines.saturating_sub(kept);
                self.trouble = Some(Trouble { lost, again: now + PAUSE });
                before.is_none().then(|| News::Broken(self.path.clone(), error))
            }
        }
    }

    /// How many bytes of `text` somebody has appended who was killed, when the file stood at `mark`.
    pub fn has(&self, mark: Mark, text: &[u8]) -> usize {
        let known = fs::symlink_metadata(&self.path).ok().filter(|known| known.is_file() && known.ino() == mark.inode);
        let more = known.map_or(0, |known| known.len().saturating_sub(mark.size));
        usize::try_from(more).unwrap_or(text.len()).min(text.len())
    }

    /// Appends `text` where the line before it was torn off: the rest of what [`LogFile::has`] knows.
    pub fn go_on(&mut self, text: &[u8]) -> io::Result<()> {
        self.open()?.write_all(text)
    }

    /// Fails with the error and the number of lines that were written all the same.
    fn write(&mut self, text: &[u8], now: Instant, mark: impl FnOnce(Mark)) -> Result<(), (io::Error, u64)> {
        let none = |error| (error, 0);
        let mut file = match self.open.take() {
            Some(file) if self.is_there(&file) => file,
            Some(_) | None => self.open_whole().map_err(none)?,
        };
        let mut known = file.metadata().map_err(none)?;
        let size = known.len() + text.len() as u64;
        if known.len() > 0 && size > self.bounds.size && self.makes_room(size, now).map_err(none)? {
            file = self.open_whole().map_err(none)?;
            known = file.metadata().map_err(none)?;
        }
        mark(Mark { inode: known.ino(), size: known.len() });
        if let Err(error) = file.write_all(text) {
            return Err((error, untear(&file, known.len(), text)));
        }
        self.open = Some(file);
        Ok(())
    }

    /// Whether `file` is what bears our name: somebody may have deleted or renamed it.
    fn is_there(&self, file: &File) -> bool {
        let which = |known: fs::Metadata| (known.dev(), known.ino());
        let open = file.metadata().map(which);
        fs::symlink_metadata(&self.path).map(which).is_ok_and(|there| open.is_ok_and(|open| open == there))
    }

    /// Whether there is a new file for what would make this one `size` bytes long; an error says that there is neither that
    /// nor room in this one.
    fn makes_room(&mut self, size: u64, now: Instant) -> io::Result<bool> {
        let fits = size <= self.bounds.size.saturating_mul(2);
        if fits && self.full.as_ref().is_some_and(|full| now < full.again) {
            return Ok(false);
        }
        let Err(cause) = self.rotate() else {
            self.full = None;
            return Ok(true);
        };
        if !fits {
            return Err(cause);
        }
        let again = now + PAUSE;
        match &mut self.full {
            Some(full) => full.again = again,
            None => self.full = Some(Full { again, cause: Some(cause) }),
        }
        Ok(false)
    }

    /// The file, ended where the power went away in the middle of a line.
    fn open_whole(&self) -> io::Result<File> {
        let mut file = self.open()?;
        let mut last = [b'\n'];
        if let Some(end) = file.metadata()?.len().checked_sub(1) {
            file.read_exact_at(&mut last, end)?;
        }
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
        Ok(file)
    }

    fn open(&self) -> io::Result<File> {
        if let Some(dir) = self.path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
        }
        let mut options = OpenOptions::new();
        // What a service says may be a secret: for root and its group. O_NONBLOCK: a FIFO of that name must not stop us.
        options.create(true).read(true).append(true).mode(0o640).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = options.open(&self.path)?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
    }

    /// Gives every file the next number. Whoever is killed in the midst of this leaves a number free, and the next
    /// rotation moves files only up to that number: nothing is lost but what is one too many.
    fn rotate(&self) -> io::Result<()> {
        let Bounds { keep, .. } = self.bounds;
        for number in keep + 1..NUMBERS {
            // The table may have kept more once.
            drop(fs::remove_file(self.older(number)));
        }
        if keep == 0 {
            return fs::remove_file(&self.path);
        }
        let free = (1..keep).find(|number| self.older(*number).symlink_metadata().is_err()).unwrap_or(keep);
        for number in (1..free).rev() {
            fs::rename(self.older(number), self.older(number + 1))?;
        }
        fs::rename(&self.path, self.older(1))
    }

    fn older(&self, number: u16) -> PathBuf {
        self.path.with_extension(format!("log.{number}"))
    }
}

/// Takes the torn line off the end of a file that had `size` bytes before a part of `text` was written to it: a disk that
/// became full leaves one. Returns how many lines of `text` stay.
fn untear(file: &File, size: u64, text: &[u8]) -> u64 {
    let written = file.metadata().map_or(0, |metadata| metadata.len().saturating_sub(size));
    let written = text.get(..usize::try_from(written).unwrap_or(usize::MAX)).unwrap_or(text);
    let whole = written.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    match file.set_len(size + whole as u64) {
        Ok(()) => written.iter().filter(|&&byte| byte == b'\n').count() as u64,
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    use super::{Bounds, LogFile, News};

    const WIDE: Bounds = Bounds { size: 4 << 20, keep: 1 };

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("logd-file-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("a folder");
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn files(folder: &Folder) -> Vec<(String, String)> {
        let mut files: Vec<_> = fs::read_dir(&folder.0)
            .expect("listed")
            .map(|entry| {
                let entry = entry.expect("known");
                let text = String::from_utf8(fs::read(entry.path()).expect("read")).expect("text");
                (entry.file_name().to_string_lossy().into_owned(), text)
            })
            .collect();
        files.sort();
        files
    }

    fn named(files: &[(&str, &str)]) -> Vec<(String, String)> {
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn appends_and_keeps_what_was_there() {
        let folder = Folder::new("appends");
        let now = Instant::now();
        assert!(LogFile::new(&folder.0, "a", WIDE).append(b"one\n", 1, now, |_| {}).is_none());
        assert!(LogFile::new(&folder.0, "a", WIDE).append(b"two\n", 1, now, |_| {}).is_none());
        assert_eq!(fs::read(folder.0.join("a.log")).expect("written"), b"one\ntwo\n");
    }

    #[test]
    fn nothing_is_glued_to_a_torn_line() {
        let folder = Folder::new("glued");
        fs::write(folder.0.join("a.log"), "the power went aw").expect("written");
        assert!(LogFile::new(&folder.0, "a", WIDE).append(b"one\n", 1, Instant::now(), |_| {}).is_none());
        assert_eq!(files(&folder), named(&[("a.log", "the power went aw\none\n")]));
    }

    #[test]
    fn files_take_turns_and_the_oldest_goes() {
        let folder = Folder::new("turns");
        let mut file = LogFile::new(&folder.0, "a", Bounds { size: 4, keep: 2 });
        for text in [&b"1\n"[..], b"2\n", b"3\n", b"four, too large\n", b"5\n", b"6\n"] {
            assert!(file.append(text, 1, Instant::now(), |_| {}).is_none());
        }
        assert_eq!(files(&folder), named(&[("a.log", "5\n6\n"), ("a.log.1", "four, too large\n"), ("a.log.2", "3\n")]));
        // The table keeps fewer now.
        let mut file = LogFile::new(&folder.0, "a", Bounds { size: 4, keep: 1 });
        assert!(file.append(b"7\n", 1, Instant::now(), |_| {}).is_none());
        assert_eq!(files(&folder), named(&[("a.log", "7\n"), ("a.log.1", "5\n6\n")]));
        let mut file = LogFile::new(&folder.0, "a", Bounds { size: 4, keep: 0 });
        assert!(file.append(b"eight\n", 1, Instant::now(), |_| {}).is_none());
        assert_eq!(files(&folder), named(&[("a.log", "eight\n")]));
    }

    #[test]
    fn a_rotation_that_was_cut_short_loses_nothing() {
        // The renames of a rotation with three older files, of which only the first so many were made.
        let renames = [("a.log.2", "a.log.3"), ("a.log.1", "a.log.2"), ("a.log", "a.log.1")];
        for made in 0..=renames.len() {
            let folder = Folder::new(&format!("cut-{made}"));
            for (name, text) in [("a.log", "4\n"), ("a.log.1", "3\n"), ("a.log.2", "2\n"), ("a.log.3", "1\n")] {
                fs::write(folder.0.join(name), text).expect("written");
            }
            for (from, to) in renames.iter().take(made) {
                fs::rename(folder.0.join(from), folder.0.join(to)).expect("renamed");
            }
            let mut file = LogFile::new(&folder.0, "a", Bounds { size: 2, keep: 3 });
            assert!(file.append(b"5\n", 1, Instant::now(), |_| {}).is_none());
            let whole = [("a.log", "5\n"), ("a.log.1", "4\n"), ("a.log.2", "3\n"), ("a.log.3", "2\n")];
            assert_eq!(files(&folder), named(&whole), "after {made} renames");
        }
    }

    #[test]
    fn a_file_that_was_deleted_is_made_anew() {
        let folder = Folder::new("deleted");
        let mut file = LogFile::new(&folder.0, "a", WIDE);
        assert!(file.append(b"one\n", 1, Instant::now(), |_| {}).is_none());
        fs::remove_file(folder.0.join("a.log")).expect("deleted");
        assert!(file.append(b"two\n", 1, Instant::now(), |_| {}).is_none());
        assert_eq!(files(&folder), named(&[("a.log", "two\n")]));
    }

    #[test]
    fn a_file_that_was_renamed_is_made_anew() {
        let folder = Folder::new("renamed");
        let mut file = LogFile::new(&folder.0, "a", WIDE);
        assert!(file.append(b"one\n", 1, Instant::now(), |_| {}).is_none());
        fs::rename(folder.0.join("a.log"), folder.0.join("a.log.old")).expect("renamed");
        assert!(file.append(b"two\n", 1, Instant::now(), |_| {}).is_none());
        assert_eq!(files(&folder), named(&[("a.log", "two\n"), ("a.log.old", "one\n")]));
    }

    #[test]
    fn a_file_that_cannot_be_rotated_grows_up_to_twice_its_size() {
        let folder = Folder::new("grows");
        let older = folder.0.join("a.log.1");
        fs::create_dir(&older).expect("in the way");
        let mut file = LogFile::new(&folder.0, "a", Bounds { size: 4, keep: 1 });
        let start = Instant::now();
        assert!(file.append(b"1\n2\n", 2, start, |_| {}).is_none());
        assert!(matches!(file.append(b"3\n", 1, start, |_| {}), Some(News::Grows(..))));
        // Said once, and not tried at every line.
        assert!(file.append(b"4\n", 1, start, |_| {}).is_none());
        assert_eq!(fs::read(folder.0.join("a.log")).expect("read"), b"1\n2\n3\n4\n");
        assert!(matches!(file.append(b"5\n", 1, start, |_| {}), Some(News::Broken(..))));
        fs::remove_dir(&older).expect("out of the way");
        let later = start + Duration::from_secs(2);
        assert!(matches!(file.append(b"6\n", 1, later, |_| {}), Some(News::Mended(_, 1))));
        assert_eq!(files(&folder), named(&[("a.log", "6\n"), ("a.log.1", "1\n2\n3\n4\n")]));
    }

    #[test]
    fn what_a_killed_one_wrote_is_known() {
        let folder = Folder::new("known");
        let mut file = LogFile::new(&folder.0, "a", WIDE);
        let mut marked = None;
        assert!(file.append(b"one\n", 1, Instant::now(), |_| {}).is_none());
        assert!(file.append(b"tw", 1, Instant::now(), |mark| marked = Some(mark)).is_none());
        let mark = marked.expect("marked");
        assert_eq!(mark.size, 4);
        let mut next = LogFile::new(&folder.0, "a", WIDE);
        assert_eq!(next.has(mark, b"two\n"), 2);
        next.go_on(b"o\n").expect("written");
        assert_eq!(next.has(mark, b"two\n"), 4);
        assert_eq!(files(&folder), named(&[("a.log", "one\ntwo\n")]));
        fs::rename(folder.0.join("a.log"), folder.0.join("a.log.1")).expect("renamed");
        assert_eq!(next.has(mark, b"two\n"), 0);
    }

    #[test]
    fn trouble_is_said_once_and_so_is_its_end() {
        let folder = Folder::new("trouble");
        let dir = folder.0.join("logs");
        fs::write(&dir, "in the way").expect("written");
        let mut file = LogFile::new(&dir, "a", WIDE);
        let start = Instant::now();
        assert!(matches!(file.append(b"x\n", 1, start, |_| {}), Some(News::Broken(..))));
        assert!(file.append(b"x\n", 1, start, |_| {}).is_none());
        assert!(file.append(b"x\ny\n", 2, start + Duration::from_secs(2), |_| {}).is_none());
        fs::remove_file(&dir).expect("removed");
        assert!(file.append(b"x\n", 1, start + Duration::from_secs(2), |_| {}).is_none(), "left alone for a while");
        match file.append(b"back\n", 1, start + Duration::from_secs(4), |_| {}) {
            Some(News::Mended(_, lost)) => assert_eq!(lost, 5),
            other => panic!("{other:?}"),
        }
        assert_eq!(fs::read(dir.join("a.log")).expect("written"), b"back\n");
    }
}
