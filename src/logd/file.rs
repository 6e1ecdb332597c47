//! One log file: bounded in size, and no reason to stop when it cannot be written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The size at which a file becomes NAME.log.1, in bytes.
pub const LARGEST: u64 = 4 << 20;
/// How long a file that cannot be written is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// DIR/NAME.log.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    open: Option<(File, u64)>,
    trouble: Option<Trouble>,
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
    /// It can be written again; this many lines are missing.
    Mended(PathBuf, u64),
}

impl LogFile {
    /// The file of the unit `name` in `dir`; it is opened when there is something to write.
    pub fn new(dir: &Path, name: &str) -> LogFile {
        LogFile { path: dir.join(format!("{name}.log")), open: None, trouble: None }
    }

    /// Appends `text`, which is `lines` whole lines, in one write.
    pub fn append(&mut self, text: &[u8], lines: u64, now: Instant) -> Option<News> {
        if let Some(trouble) = self.trouble.as_mut().filter(|trouble| now < trouble.again) {
            trouble.lost += lines;
            return None;
        }
        match (self.write(text), self.trouble.take()) {
            (Ok(()), None) => None,
            (Ok(()), Some(trouble)) => Some(News::Mended(self.path.clone(), trouble.lost)),
            (Err((error, kept)), before) => {
                self.open = None;
                let lost = before.as_ref().map_or(0, |trouble| trouble.lost) + lines.saturating_sub(kept);
                self.trouble = Some(Trouble { lost, again: now + PAUSE });
                before.is_none().then(|| News::Broken(self.path.clone(), error))
            }
        }
    }

    /// Fails with the error and the number of lines that were written all the same.
    fn write(&mut self, text: &[u8]) -> Result<(), (io::Error, u64)> {
        let none = |error| (error, 0);
        let (mut file, mut size) = match self.open.take() {
            Some(open) => open,
            None => self.open().map_err(none)?,
        };
        let added = text.len() as u64;
        if size > 0 && size + added > LARGEST {
            fs::rename(&self.path, self.path.with_extension("log.1")).map_err(none)?;
            (file, size) = self.open().map_err(none)?;
        }
        if let Err(error) = file.write_all(text) {
            return Err((error, untear(&file, size, text)));
        }
        self.open = Some((file, size + added));
        Ok(())
    }

    fn open(&self) -> io::Result<(File, u64)> {
        if let Some(dir) = self.path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
        }
        let mut options = OpenOptions::new();
        // What a service says may be a secret: for root and its group. O_NONBLOCK: a FIFO of that name must not stop us.
        options.create(true).append(true).mode(0o640).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = options.open(&self.path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
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

    use super::{LARGEST, LogFile, News};

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

    #[test]
    fn appends_and_keeps_what_was_there() {
        let folder = Folder::new("appends");
        let now = Instant::now();
        assert!(LogFile::new(&folder.0, "a").append(b"one\n", 1, now).is_none());
        assert!(LogFile::new(&folder.0, "a").append(b"two\n", 1, now).is_none());
        assert_eq!(fs::read(folder.0.join("a.log")).expect("written"), b"one\ntwo\n");
    }

    #[test]
    fn two_files_at_most_each_within_its_size() {
        let folder = Folder::new("bounded");
        let mut file = LogFile::new(&folder.0, "a");
        let text = vec![b'\n'; 100_000];
        for _ in 0..200 {
            assert!(file.append(&text, 1, Instant::now()).is_none());
        }
        let mut sizes: Vec<_> = fs::read_dir(&folder.0)
            .expect("listed")
            .map(|entry| entry.and_then(|entry| entry.metadata()).expect("known").len())
            .collect();
        sizes.sort_unstable();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|&size| size <= LARGEST), "{sizes:?}");
    }

    #[test]
    fn trouble_is_said_once_and_so_is_its_end() {
        let folder = Folder::new("trouble");
        let dir = folder.0.join("logs");
        fs::write(&dir, "in the way").expect("written");
        let mut file = LogFile::new(&dir, "a");
        let start = Instant::now();
        assert!(matches!(file.append(b"x\n", 1, start), Some(News::Broken(..))));
        assert!(file.append(b"x\n", 1, start).is_none());
        assert!(file.append(b"x\ny\n", 2, start + Duration::from_secs(2)).is_none());
        fs::remove_file(&dir).expect("removed");
        assert!(file.append(b"x\n", 1, start + Duration::from_secs(2)).is_none(), "left alone for a while");
        match file.append(b"back\n", 1, start + Duration::from_secs(4)) {
            Some(News::Mended(_, lost)) => assert_eq!(lost, 5),
            other => panic!("{other:?}"),
        }
        assert_eq!(fs::read(dir.join("a.log")).expect("written"), b"back\n");
    }
}
