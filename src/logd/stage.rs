//! What was taken from a pipe and is not yet in its file: in memory that PID 1 holds open, so that a logd that is killed at
//! any moment neither loses nor repeats a byte of a file. The next one does what the last one left undone.
//!
//! A turn of one pipe is `begin`, `fill` (the bytes move), `mark` (where the file stands), the write, and `commit`. The text
//! to be written follows from what is here alone, time included, so whoever repeats the turn sees in the file how much of
//! that same text is there already.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use super::file::Mark;
use super::line::LONGEST;
use crate::sys::{Errno, memory};

/// Pipes that have a place here; the lines of any more are at risk when logd is killed.
const SLOTS: u64 = 1024;
/// The head: which turn is going on.
const HEAD: u64 = 4096;
/// A slot: the name of its pipe, and twice the beginning of a line. Memory is taken only for what was written.
const SLOT: u64 = 4096 + 2 * LONGEST as u64;
/// Where the bytes of the turn begin. A file that ends here has no turn going on.
const BASE: u64 = HEAD + SLOTS * SLOT;
/// What the file begins with.
const MAGIC: &[u8; 8] = b"logd\0\0\0\x01";
/// Where in a slot its name is, and how long it may be.
const NAME: (u64, usize) = (64, 64);
/// Where in a slot its beginnings of lines are.
const RESTS: u64 = 4096;

/// The memory.
#[derive(Debug)]
pub struct Stage {
    file: File,
}

/// The place of one pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u64);

/// A turn that a logd did not end.
#[derive(Debug, PartialEq, Eq)]
pub struct Left {
    /// Whose.
    pub slot: Slot,
    /// The name of that pipe.
    pub name: String,
    /// The time of its lines, in milliseconds since 1970.
    pub millis: u64,
    /// The beginning of a line that was there before it.
    pub rest: Vec<u8>,
    /// The bytes that were taken.
    pub bytes: Vec<u8>,
    /// Where the file stood before anything of this turn was written, if it came so far.
    pub mark: Option<Mark>,
}

impl Stage {
    /// The memory behind `file`: made ready if it is new.
    ///
    /// # Errors
    /// What the kernel says; or it is a file of something else.
    pub fn open(file: OwnedFd) -> io::Result<Stage> {
        let stage = Stage { file: File::from(file) };
        if stage.file.metadata()?.len() < BASE {
            stage.file.set_len(BASE)?;
        }
        let mut magic = [0; MAGIC.len()];
        stage.file.read_exact_at(&mut magic, 0)?;
        // New, or whoever made it ready was killed in between.
        if magic == [0; MAGIC.len()] && stage.file.metadata()?.len() == BASE {
            stage.file.write_all_at(MAGIC, 0)?;
            return Ok(stage);
        }
        if magic == *MAGIC { Ok(stage) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// Memory of our own, which ends with us.
    pub fn own() -> io::Result<Stage> {
        Stage::open(memory::file(c"logd")?)
    }

    /// The place of the pipe `name`; none if all are taken.
    pub fn slot(&self, name: &str) -> io::Result<Option<Slot>> {
        for number in 0..SLOTS {
            let slot = Slot(number);
            let known = self.name(slot)?;
            if known.is_empty() {
                self.file.write_all_at(name.as_bytes(), slot.at() + NAME.0)?;
                return Ok(Some(slot));
            }
            if known == name {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }

    fn name(&self, slot: Slot) -> io::Result<String> {
        let mut bytes = [0; NAME.1];
        self.file.read_exact_at(&mut bytes, slot.at() + NAME.0)?;
        let name: Vec<u8> = bytes.into_iter().take_while(|&byte| byte != 0).collect();
        Ok(String::from_utf8_lossy(&name).into_owned())
    }

    /// The beginning of a line of that pipe.
    pub fn rest(&self, slot: Slot) -> io::Result<Vec<u8>> {
        let [which, first, second] = self.numbers(slot.at())?;
        self.read(slot.rest(which), if which == 0 { first } else { second })
    }

    /// The turn that was going on, if one was.
    pub fn left(&self) -> io::Result<Option<Left>> {
        let length = self.file.metadata()?.len().saturating_sub(BASE);
        if length == 0 {
            return Ok(None);
        }
        let [slot, which, rest, millis, marked, inode, size] = self.numbers(INTENT)?;
        let slot = Slot(slot);
        Ok(Some(Left {
            slot,
            name: self.name(slot)?,
            millis,
            rest: self.read(slot.rest(which), rest)?,
            bytes: self.read(BASE, length)?,
            mark: (marked != 0).then_some(Mark { inode, size }),
        }))
    }

    /// A turn of that pipe begins.
    pub fn begin(&self, slot: Slot, millis: u64) -> io::Result<()> {
        let [which, first, second] = self.numbers(slot.at())?;
        self.set(INTENT, &[slot.0, which, if which == 0 { first } else { second }, millis, 0])
    }

    /// Moves what is in `pipe` here and into `buffer`, as many bytes as that holds at most: how many; 0 at its end.
    pub fn fill(&self, pipe: &impl AsRawFd, buffer: &mut [u8]) -> Result<usize, Errno> {
        let moved = memory::move_in(pipe, &self.file, BASE, buffer.len())?;
        let Some(bytes) = buffer.get_mut(..moved) else { return Err(Errno::EOVERFLOW) };
        self.file.read_exact_at(bytes, BASE).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
        Ok(moved)
    }

    /// The file that the turn writes to stands at `mark`.
    pub fn mark(&self, mark: Mark) -> io::Result<()> {
        self.set(INTENT + MARKED, &[1, mark.inode, mark.size])
    }

    /// The turn is over; `rest` is the beginning of a line that it leaves.
    pub fn commit(&self, slot: Slot, rest: &[u8]) -> io::Result<()> {
        // Whoever repeats the turn reads the one that it began with, so the other is written.
        let [_, which, before] = self.numbers(INTENT)?;
        if before > 0 || !rest.is_empty() {
            let other = 1 - which.min(1);
            self.file.write_all_at(rest, slot.rest(other))?;
            self.set(slot.at() + 8 * (1 + other), &[rest.len() as u64])?;
            self.set(slot.at(), &[other])?;
        }
        self.file.set_len(BASE)
    }

    /// Empties it: whoever opens it next finds nothing.
    pub fn forget(&self) -> io::Result<()> {
        self.file.set_len(0)
    }

    fn numbers<const N: usize>(&self, at: u64) -> io::Result<[u64; N]> {
        let mut bytes = vec![0; 8 * N];
        self.file.read_exact_at(&mut bytes, at)?;
        let mut numbers = [0; N];
        for (number, bytes) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
            *number = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
        }
        Ok(numbers)
    }

    fn set(&self, at: u64, numbers: &[u64]) -> io::Result<()> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
        self.file.write_all_at(&bytes, at)
    }

    fn read(&self, at: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0).min(LONGEST)];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}

/// Where in the head the turn is: slot, which beginning, its length, the time; then whether there is a mark, and the mark.
const INTENT: u64 = 64;
const MARKED: u64 = 32;

impl Slot {
    fn at(self) -> u64 {
        HEAD + self.0.min(SLOTS - 1) * SLOT
    }

    fn rest(self, which: u64) -> u64 {
        self.at() + RESTS + which.min(1) * LONGEST as u64
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Write, pipe};

    use super::*;

    fn twice() -> (Stage, Stage) {
        let file = memory::file(c"test").expect("memory");
        let again = file.try_clone().expect("a copy");
        (Stage::open(file).expect("a stage"), Stage::open(again).expect("the same"))
    }

    #[test]
    fn a_turn_that_was_not_ended_is_there_for_the_next() {
        let (first, next) = twice();
        let (reader, mut writer) = pipe().expect("a pipe");
        let slot = first.slot("b").expect("read").expect("a place");
        assert_eq!(first.left().expect("read"), None);
        writer.write_all(b"one\ntw").expect("written");
        let mut buffer = vec![0; LONGEST];
        first.begin(slot, 5).expect("written");
        assert_eq!(first.fill(&reader, &mut buffer), Ok(6));
        first.commit(slot, b"tw").expect("written");
        assert_eq!(next.rest(slot).expect("read"), b"tw");
        assert_eq!(next.left().expect("read"), None);

        writer.write_all(b"o\nthr").expect("written");
        first.begin(slot, 7).expect("written");
        assert_eq!(first.fill(&reader, &mut buffer), Ok(5));
        let mut left =
            Left { slot, name: "b".into(), millis: 7, rest: b"tw".into(), bytes: b"o\nthr".into(), mark: None };
        assert_eq!(next.left().expect("read"), Some(left));
        let mark = Mark { inode: 9, size: 100 };
        first.mark(mark).expect("written");
        // Killed within the commit: the new beginning is there, the old one still counts.
        first.file.write_all_at(b"thr", slot.rest(0)).expect("written");
        first.set(slot.at(), &[0]).expect("written");
        left =
            Left { slot, name: "b".into(), millis: 7, rest: b"tw".into(), bytes: b"o\nthr".into(), mark: Some(mark) };
        assert_eq!(next.left().expect("read"), Some(left));
        next.commit(slot, b"thr").expect("written");
        assert_eq!(next.rest(slot).expect("read"), b"thr");
        assert_eq!(next.left().expect("read"), None);
    }

    #[test]
    fn places_are_found_by_name() {
        let (first, next) = twice();
        let places: Vec<_> = ["a", "b", "a"].iter().map(|name| first.slot(name).expect("read")).collect();
        assert_eq!(places, [Some(Slot(0)), Some(Slot(1)), Some(Slot(0))]);
        assert_eq!(next.slot("b").expect("read"), Some(Slot(1)));
    }

    #[test]
    fn memory_of_something_else_is_refused() {
        let file = File::from(memory::file(c"test").expect("memory"));
        file.set_len(BASE).expect("grown");
        assert!(Stage::open(file.try_clone().expect("a copy").into()).is_ok(), "half ready is as good as new");
        file.write_all_at(b"not ours", 0).expect("written");
        assert!(Stage::open(file.into()).is_err());
    }
}
