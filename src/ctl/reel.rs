//! The log files of one unit as one sequence of lines, from the oldest on: NAME.log.KEEP, ..., NAME.log.1, NAME.log, and
//! whatever follows. A rotation changes names and not files, so nothing is missed or read twice.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::control::line::STAMPED;

/// How much is read at once when lines are counted from the end.
const CHUNK: usize = 64 * 1024;

/// The files of one unit.
pub(super) struct Reel {
    pub name: String,
    folder: PathBuf,
    /// Oldest first; the last is followed.
    files: VecDeque<Part>,
    /// What was read of the line that comes next.
    begun: Vec<u8>,
    head: Option<Entry>,
    /// The last time that was seen, for lines that have none.
    time: Vec<u8>,
}

struct Part {
    inode: (u64, u64),
    file: BufReader<File>,
    /// How many bytes are to be read of it; none: whatever comes.
    left: Option<u64>,
}

/// A line of a file, with its newline if it had one.
pub(super) struct Entry {
    pub text: Vec<u8>,
    pub time: Vec<u8>,
}

impl Reel {
    /// The files that there are of `name` in `folder`; none is no error.
    pub fn open(folder: &Path, name: &str) -> io::Result<Reel> {
        let mut reel = Reel {
            name: name.to_owned(),
            folder: folder.to_owned(),
            files: VecDeque::new(),
            begun: Vec::new(),
            head: None,
            time: Vec::new(),
        };
        reel.renew()?;
        Ok(reel)
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Looks for files that came after the last known one. Answers whether some went away before they could be opened.
    pub fn renew(&mut self) -> io::Result<bool> {
        let known = self.files.back().map(|part| part.inode);
        let mut newer: VecDeque<Part> = VecDeque::new();
        let mut found = false;
        // From the youngest to the oldest: what a rotation moves meanwhile is met again, and not missed.
        for number in 0..=numbers(&self.folder, &self.name)? + 1 {
            let Some(part) = self.part(number)? else { continue };
            found = known == Some(part.inode);
            if found {
                break;
            }
            if newer.iter().all(|other| other.inode != part.inode) {
                newer.push_front(part);
            }
        }
        let missed = known.is_some() && !found && !newer.is_empty();
        self.files.append(&mut newer);
        if let Some(Part { file, .. }) = self.files.back_mut() {
            let length = file.get_ref().metadata()?.len();
            // Somebody emptied it.
            if file.stream_position()? > length {
                file.seek(SeekFrom::Start(length))?;
            }
        }
        Ok(missed)
    }

    /// The file with this number, 0 being the one that is written.
    fn part(&self, number: u32) -> io::Result<Option<Part>> {
        let end = if number == 0 { String::new() } else { format!(".{number}") };
        let path = self.folder.join(format!("{}.log{end}", self.name));
        match File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
            Ok(file) => {
                let known = file.metadata()?;
                let part = Part { inode: (known.dev(), known.ino()), file: BufReader::new(file), left: None };
                Ok(known.is_file().then_some(part))
            }
            // A link is another name of lines that are kept under their own.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound || cause.raw_os_error() == Some(libc::ELOOP) => {
                Ok(None)
            }
            Err(cause) => Err(cause),
        }
    }

    /// Takes what is there now for all there is: whoever writes faster than we read would have no end.
    pub fn end_here(&mut self) -> io::Result<()> {
        for part in &mut self.files {
            part.left = Some(part.file.get_ref().metadata()?.len());
        }
        Ok(())
    }

    /// Goes to where at most `count` whole lines are left; how many are.
    pub fn keep_last(&mut self, count: u64) -> io::Result<u64> {
        let mut seen = 0;
        for index in (0..self.files.len()).rev() {
            let Some(part) = self.files.get_mut(index) else { break };
            let end = part.left.map_or_else(|| part.file.get_ref().metadata().map(|known| known.len()), Ok)?;
            if let Some(start) = start_of_last(part.file.get_ref(), end, count, &mut seen)? {
                part.file.seek(SeekFrom::Start(start))?;
                part.left = part.left.map(|left| left.saturating_sub(start));
                self.files.drain(..index);
                return Ok(count);
            }
        }
        Ok(seen)
    }

    /// The next whole line, which stays the next until it is taken; none if there is none yet.
    pub fn head(&mut self) -> io::Result<Option<&Entry>> {
        while self.head.is_none() {
            let more = self.files.len() > 1;
            let Some(part) = self.files.front_mut() else { break };
            let read = (&mut part.file).take(part.left.unwrap_or(u64::MAX)).read_until(b'\n', &mut self.begun)?;
            part.left = part.left.map(|left| left.saturating_sub(read as u64));
            if self.begun.ends_with(b"\n") {
                self.head = self.entry();
            } else if more {
                // A file that ends in the middle of a line gets no more.
                self.files.pop_front();
                self.head = self.entry();
            } else {
                break;
            }
        }
        Ok(self.head.as_ref())
    }

    /// Takes the next whole line.
    pub fn take(&mut self) -> Option<Entry> {
        self.head.take()
    }

    /// Takes what is there of a line without an end.
    pub fn entry(&mut self) -> Option<Entry> {
        let text = std::mem::take(&mut self.begun);
        if text.is_empty() {
            return None;
        }
        if let Some((time, [b' ', ..])) = text.split_at_checked(STAMPED - 1)
            && time.first().is_some_and(u8::is_ascii_digit)
            && time.last() == Some(&b'Z')
        {
            self.time = time.to_vec();
        }
        Some(Entry { text, time: self.time.clone() })
    }
}

/// The units that `folder` has files of; links to them are none.
pub(super) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            continue;
        }
        let file = entry.file_name();
        let text = file.to_string_lossy();
        let name = text.rsplit_once(".log").filter(|(_, end)| number(end).is_some()).map(|(name, _)| name.to_owned());
        names.extend(name.filter(|name| !name.is_empty()));
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// The largest number of an older file of `name`; 0 if there is none.
fn numbers(folder: &Path, name: &str) -> io::Result<u32> {
    let mut largest = 0;
    for entry in fs::read_dir(folder)? {
        let file = entry?.file_name();
        let end = file.to_str().and_then(|file| file.strip_prefix(name)?.strip_prefix(".log"));
        largest = largest.max(end.and_then(number).unwrap_or(0));
    }
    Ok(largest)
}

/// The number that the end of a file's name, after `.log`, stands for.
fn number(end: &str) -> Option<u32> {
    if end.is_empty() {
        return Some(0);
    }
    let digits = end.strip_prefix('.')?;
    // As many older files as there can be.
    digits.parse().ok().filter(|number| (1..100).contains(number) && !digits.starts_with(['+', '0']))
}

/// Where in the first `end` bytes of `file` the last `count` lines begin, of which `seen` are in younger files; none if they begin in an older one.
fn start_of_last(file: &File, end: u64, count: u64, seen: &mut u64) -> io::Result<Option<u64>> {
    let mut end = end;
    let mut chunk = vec![0; CHUNK];
    while end > 0 {
        let size = end.min(CHUNK as u64);
        let part = chunk.get_mut(..usize::try_from(size).unwrap_or(CHUNK)).unwrap_or_default();
        file.read_exact_at(part, end - size)?;
        for (at, _) in part.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            if *seen == count {
                return Ok(Some(end - size + at as u64 + 1));
            }
            *seen += 1;
        }
        end -= size;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;

    use super::{Reel, names};

    #[test]
    fn what_comes_later_is_not_of_what_there_was() {
        let folder = std::env::temp_dir().join(format!("ctl-reel-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("a.log"), "1\n2\n3\n").expect("written");
        let mut file = File::options().append(true).open(folder.join("a.log")).expect("open");
        for (count, expected) in [(u64::MAX, "1\n2\n3\n"), (2, "2\n3\n")] {
            fs::write(folder.join("a.log"), "1\n2\n3\n").expect("written");
            let mut reel = Reel::open(&folder, "a").expect("open");
            reel.end_here().expect("known");
            file.write_all(b"4\n").expect("written");
            reel.keep_last(count).expect("found");
            let mut text = Vec::new();
            while reel.head().expect("read").is_some() {
                text.extend(reel.take().expect("a line").text);
                file.write_all(b"5\n").expect("written");
                assert!(text.len() < 20, "no end");
            }
            assert_eq!(String::from_utf8_lossy(&text), expected, "{count}");
        }
        drop(fs::remove_dir_all(folder));
    }

    #[test]
    fn the_last_log_of_a_name_is_its_end() {
        let folder = std::env::temp_dir().join(format!("ctl-reel-names-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        for name in ["web.login.log", "web.login.log.1", "a.log.log", "web.logs", "b.login"] {
            fs::write(folder.join(name), "").expect("written");
        }
        assert_eq!(names(&folder).expect("listed"), ["a.log", "web.login"]);
        drop(fs::remove_dir_all(folder));
    }
}
