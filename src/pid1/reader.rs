//! Reading the table again without waiting for a disk: a process of our own program reads the files, looks at what `when` asks
//! for, and leaves what it found in memory.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use super::files::{self, Texts};
use super::place::Place;
use super::spawn::Outfit;
use super::{conditions, say};
use crate::sys::attire::Failure;
use crate::sys::store::Birth;
use crate::sys::{Errno, descriptor, memory, process, spawn};
use crate::unit::words::{ending, errno_text};
use crate::unit::{self, Ending};

/// The option that makes a process of our program a reader.
pub const OPTION: &str = "--read-table";
/// A disk that takes longer than this many seconds is not read from.
const PATIENCE: u32 = 30;
/// All files together, in bytes: a thousand times what is needed.
const LARGEST: usize = 4 << 20;

/// A reader at work.
pub struct Reader {
    /// Its process.
    pub pid: i32,
    exec: OwnedFd,
    found: OwnedFd,
}

/// What a reader found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The files.
    pub texts: Texts,
    /// By unit, why its `when` does not hold.
    pub skips: BTreeMap<String, String>,
    /// Why the files could not be read.
    failure: Option<String>,
}

impl Reader {
    /// Starts one that reads `chosen`, or the usual files.
    ///
    /// # Errors
    /// There is no process or no memory for it.
    pub fn start(outfit: &Outfit, place: Place, chosen: Option<&Path>) -> Result<Reader, Errno> {
        let found = memory::file(c"table")?;
        let mode = match place {
            Place::Container => "container",
            Place::Appliance => "appliance",
        };
        let mut words: Vec<OsString> = ["clusteros-init", OPTION, "--mode", mode].map(OsString::from).to_vec();
        if let Some(path) = chosen {
            words.extend(["--units".into(), path.into()]);
        }
        let mut programs = vec![c"/proc/self/exe".to_owned()];
        programs.extend(std::env::args_os().next().and_then(|own| CString::new(own.into_vec()).ok()));
        let made = spawn::spawn(&outfit.own(programs, &words, found.as_raw_fd())?, &Birth::default())?;
        Ok(Reader { pid: made.pid, exec: made.exec, found })
    }

    /// What it found, now that it has ended.
    ///
    /// # Errors
    /// Why it found nothing: a cause.
    pub fn found(self, how: Ending) -> Result<Found, String> {
        if let Some(Err(Failure { errno, .. })) = spawn::exec_outcome(&self.exec) {
            return Err(format!("its reader could not be run: {}", errno_text(unit::Errno(errno))));
        }
        match how {
            Ending::Code(0) => {}
            Ending::Signal { signal, .. } if signal.0 == nix::libc::SIGALRM => {
                return Err(format!("its files could not be read within {PATIENCE} s"));
            }
            how => return Err(format!("its reader {}", ending(how))),
        }
        let mut bytes = Vec::new();
        let mut file = File::from(self.found);
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(2 * LARGEST as u64).read_to_end(&mut bytes));
        read.map_err(|error| say::cause(&error))?;
        let found = decode(&bytes).ok_or("its reader left it half done")?;
        match found.failure {
            Some(failure) => Err(failure),
            None => Ok(found),
        }
    }
}

/// The whole life of a reader: whether it left everything on descriptor 1.
pub fn run(outfit: &Outfit, place: Place, chosen: Option<&Path>) -> bool {
    process::end_after(PATIENCE);
    let bytes = encode(&look(outfit, place, chosen));
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        match descriptor::write_now(1, rest) {
            Ok(count @ 1..) => rest = rest.get(count..).unwrap_or_default(),
            Ok(_) | Err(_) => return false,
        }
    }
    true
}

fn look(outfit: &Outfit, place: Place, chosen: Option<&Path>) -> Found {
    let texts = match files::texts(chosen) {
        Ok(texts) => texts,
        Err(failure) => return Found { failure: Some(failure), ..Found::default() },
    };
    if texts.iter().map(|(_, text)| text.len()).sum::<usize>() > LARGEST {
        return Found { failure: Some("its files are larger than 4 MiB together".to_owned()), ..Found::default() };
    }
    let mut skips = BTreeMap::new();
    // Mistakes are found again, and said, by who asked for this.
    if let Ok(table) = files::table(&texts) {
        let found = conditions::skips(&table, outfit, place);
        let named = table.units.iter().zip(found).filter_map(|(unit, why)| Some((unit.name.clone(), why?)));
        skips.extend(named);
        if place == Place::Appliance
            && !texts.is_empty()
            && let Err(error) = files::keep(&texts)
        {
            log::warn!("unable to keep the unit table for a day when it is damaged: {}; going on", say::cause(&error));
        }
    }
    Found { texts, skips, failure: None }
}

/// Each as `WORD LENGTH LENGTH\n` and two texts; `end` is the last.
fn encode(found: &Found) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |word: &str, first: &str, second: &str| {
        bytes.extend_from_slice(format!("{word} {} {}\n{first}{second}", first.len(), second.len()).as_bytes());
    };
    found.failure.iter().for_each(|why| put("failure", why, ""));
    found.texts.iter().for_each(|(name, text)| put("file", name, text));
    found.skips.iter().for_each(|(unit, why)| put("skip", unit, why));
    put("end", "", "");
    bytes
}

/// What [`encode`] made; none if it is not whole.
fn decode(mut bytes: &[u8]) -> Option<Found> {
    let mut found = Found::default();
    loop {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let (head, rest) = bytes.split_at_checked(end)?;
        let mut head = std::str::from_utf8(head).ok()?.split(' ');
        let (word, first, second) = (head.next()?, head.next()?.parse().ok()?, head.next()?.parse().ok()?);
        let (first, rest) = rest.get(1..)?.split_at_checked(first)?;
        let (second, rest) = rest.split_at_checked(second)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        match word {
            "failure" => found.failure = Some(text(first)?),
            "file" => found.texts.push((text(first)?, text(second)?)),
            "skip" => drop(found.skips.insert(text(first)?, text(second)?)),
            "end" => return Some(found),
            _ => return None,
        }
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_comes_back_whole_or_not_at_all() {
        let found = Found {
            texts: vec![("a b\n".to_owned(), "[unit.a]\n".to_owned()), ("c".to_owned(), String::new())],
            skips: [("a".to_owned(), "there is no\n/x".to_owned())].into(),
            failure: None,
        };
        let bytes = encode(&found);
        assert_eq!(decode(&bytes), Some(found));
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), None, "{cut}");
        }
        for noise in [&b"\n"[..], b"file 9999999999999999999999 1\n", b"file 5 5\nab", b"what 0 0\n", b"\xff 0 0\n"] {
            assert_eq!(decode(noise), None);
        }
        let failed = Found { failure: Some("no".to_owned()), ..Found::default() };
        assert_eq!(decode(&encode(&failed)), Some(failed));
    }
}
