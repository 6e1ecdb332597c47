//! A page of a snapshot: the same words write it and read it, so that nothing is written that is not read again.
//!
//! A page is a table of TOML. What a newer program wrote besides is passed over; what must be there and is not, or makes no
//! sense, is the refusal of the whole snapshot.

use std::fmt::Write;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::super::event::{Ending, Errno, Pid};
use super::super::table::Signal;
use super::super::time::Time;

/// A page being written or read.
pub struct Page<'a>(Way<'a>);

enum Way<'a> {
    /// `line`: one entry a line; else all in one line. `first`: nothing was written yet.
    Write { out: &'a mut String, line: bool, first: bool },
    /// `of`: whose page it is, for the refusal.
    Read { table: &'a DeTable<'a>, of: &'a str, refusal: &'a mut Option<String> },
}

/// A value that is one word of a page.
pub trait Entry: Sized {
    /// Writes it.
    fn write(&self, out: &mut String);
    /// Reads it; none if it makes no sense.
    fn read(value: &DeValue<'_>) -> Option<Self>;
}

impl<'a> Page<'a> {
    /// A page to write at the end of `out`, after its heading.
    pub fn write(out: &'a mut String) -> Page<'a> {
        Page(Way::Write { out, line: true, first: true })
    }

    /// The page of `of` to read. The first thing that is wrong with it goes to `refusal`.
    pub fn read(table: &'a DeTable<'a>, of: &'a str, refusal: &'a mut Option<String>) -> Page<'a> {
        Page(Way::Read { table, of, refusal })
    }

    /// A value that is always there.
    pub fn must<T: Entry>(&mut self, key: &str, value: &mut T) {
        if let Some(out) = self.begin(key) {
            value.write(out);
            self.end();
        } else if let Some(found) = self.required(key) {
            match T::read(found) {
                Some(read) => *value = read,
                None => self.senseless(key),
            }
        }
    }

    /// A value that is left out where it is the usual one.
    pub fn may<T: Entry + Default + PartialEq>(&mut self, key: &str, value: &mut T) {
        match &self.0 {
            Way::Write { .. } if *value == T::default() => {}
            Way::Read { table, .. } if !table.contains_key(key) => *value = T::default(),
            Way::Write { .. } | Way::Read { .. } => self.must(key, value),
        }
    }

    /// One of several words: `word` is written, and what is read goes to `take`, which answers whether it knows it.
    pub fn word(&mut self, key: &str, word: &str, take: &mut dyn FnMut(&str) -> bool) {
        let mut text = word.to_owned();
        self.must(key, &mut text);
        if matches!(self.0, Way::Read { .. }) && !take(&text) {
            self.senseless(key);
        }
    }

    /// A part with a page of its own.
    pub fn part(&mut self, key: &str, pass: &mut dyn FnMut(&mut Page<'_>)) {
        if let Some(out) = self.begin(key) {
            inline(out, pass);
            self.end();
        } else if let Some(found) = self.required(key) {
            match (found, &mut self.0) {
                (DeValue::Table(table), Way::Read { of, refusal, .. }) => pass(&mut Page::read(table, of, refusal)),
                _ => self.senseless(key),
            }
        }
    }

    /// A part that need not be there.
    pub fn perhaps<T>(
        &mut self,
        key: &str,
        part: &mut Option<T>,
        blank: T,
        mut pass: impl FnMut(&mut T, &mut Page<'_>),
    ) {
        if let Way::Read { table, .. } = &self.0 {
            *part = table.contains_key(key).then_some(blank);
        }
        if let Some(part) = part {
            self.part(key, &mut |page| pass(part, page));
        }
    }

    /// Any number of parts; left out where there is none.
    pub fn list<T>(
        &mut self,
        key: &str,
        items: &mut Vec<T>,
        blank: impl Fn() -> T,
        mut pass: impl FnMut(&mut T, &mut Page<'_>),
    ) {
        match &mut self.0 {
            Way::Write { .. } if items.is_empty() => {}
            Way::Write { .. } => {
                let Some(out) = self.begin(key) else { return };
                out.push('[');
                for item in items {
                    inline(out, &mut |page| pass(item, page));
                    out.push(',');
                }
                out.push(']');
                self.end();
            }
            Way::Read { table, of, refusal } => {
                items.clear();
                let (table, of) = (*table, *of);
                let Some(DeValue::Array(found)) = table.get(key).map(|found| found.get_ref()) else { return };
                for value in found.iter() {
                    let DeValue::Table(table) = value.get_ref() else { return self.senseless(key) };
                    let mut item = blank();
                    pass(&mut item, &mut Page::read(table, of, refusal));
                    items.push(item);
                }
            }
        }
    }

    /// What was read makes no sense together: the refusal, if it is the first.
    pub fn refuse(&mut self, why: impl FnOnce(&str) -> String) {
        if let Way::Read { of, refusal, .. } = &mut self.0
            && refusal.is_none()
        {
            **refusal = Some(why(of));
        }
    }

    fn senseless(&mut self, key: &str) {
        self.refuse(|of| format!("{key} of {of} makes no sense"));
    }

    fn required(&mut self, key: &str) -> Option<&'a DeValue<'a>> {
        let Way::Read { table, .. } = &self.0 else { return None };
        let found = table.get(key).map(|found| found.get_ref());
        if found.is_none() {
            self.refuse(|of| format!("{of} has no {key}"));
        }
        found
    }

    /// Where the value of `key` is to be written; none where it is to be read.
    fn begin(&mut self, key: &str) -> Option<&mut String> {
        let Way::Write { out, line, first } = &mut self.0 else { return None };
        if !std::mem::take(first) && !*line {
            out.push_str(", ");
        }
        out.push_str(key);
        out.push_str(" = ");
        Some(out)
    }

    fn end(&mut self) {
        if let Way::Write { out, line: true, .. } = &mut self.0 {
            out.push('\n');
        }
    }
}

fn inline(out: &mut String, pass: &mut dyn FnMut(&mut Page<'_>)) {
    out.push('{');
    pass(&mut Page(Way::Write { out, line: false, first: true }));
    out.push('}');
}

/// Writes `text` as a string of TOML, which is one of JSON, too: quotes, backslashes and control characters escaped. DEL and
/// the C1 controls are escaped as well, because what is written is also shown on terminals.
pub fn quote(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            // Every control character is below U+0100, so that one escape is enough.
            letter if letter.is_control() => drop(write!(out, "\\u{:04x}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out.push('"');
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Entry for $number {
            fn write(&self, out: &mut String) {
                let _ = write!(out, "{self}");
            }

            fn read(value: &DeValue<'_>) -> Option<Self> {
                value.as_integer()?.as_str().parse().ok()
            }
        }
    )*};
}

numbers! { u8 u16 u32 u64 i32 i64 }

impl Entry for bool {
    fn write(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }

    fn read(value: &DeValue<'_>) -> Option<bool> {
        value.as_bool()
    }
}

impl Entry for String {
    fn write(&self, out: &mut String) {
        quote(self, out);
    }

    fn read(value: &DeValue<'_>) -> Option<String> {
        value.as_str().map(str::to_owned)
    }
}

impl Entry for Box<str> {
    fn write(&self, out: &mut String) {
        quote(self, out);
    }

    fn read(value: &DeValue<'_>) -> Option<Box<str>> {
        value.as_str().map(Box::from)
    }
}

impl<T: Entry> Entry for Option<T> {
    fn write(&self, out: &mut String) {
        if let Some(value) = self {
            value.write(out);
        }
    }

    fn read(value: &DeValue<'_>) -> Option<Option<T>> {
        T::read(value).map(Some)
    }
}

/// In nanoseconds.
impl Entry for Time {
    fn write(&self, out: &mut String) {
        self.nanos().write(out);
    }

    fn read(value: &DeValue<'_>) -> Option<Time> {
        u64::read(value).map(Time::from_nanos)
    }
}

/// In nanoseconds; what does not fit is the longest.
impl Entry for Duration {
    fn write(&self, out: &mut String) {
        u64::try_from(self.as_nanos()).unwrap_or(u64::MAX).write(out);
    }

    fn read(value: &DeValue<'_>) -> Option<Duration> {
        u64::read(value).map(Duration::from_nanos)
    }
}

/// Of another process: 1 and less is none's.
impl Entry for Pid {
    fn write(&self, out: &mut String) {
        self.0.write(out);
    }

    fn read(value: &DeValue<'_>) -> Option<Pid> {
        i32::read(value).filter(|pid| *pid > 1).map(Pid)
    }
}

impl Entry for Signal {
    fn write(&self, out: &mut String) {
        self.0.write(out);
    }

    fn read(value: &DeValue<'_>) -> Option<Signal> {
        i32::read(value).filter(|number| (1..=64).contains(number)).map(Signal)
    }
}

impl Entry for Errno {
    fn write(&self, out: &mut String) {
        self.0.write(out);
    }

    fn read(value: &DeValue<'_>) -> Option<Errno> {
        i32::read(value).map(Errno)
    }
}

/// `exit 3`, `signal 9`, `core 11`, `out-of-memory`, `lost`.
impl Entry for Ending {
    fn write(&self, out: &mut String) {
        let _ = match self {
            Ending::Code(code) => write!(out, "\"exit {code}\""),
            Ending::Signal { signal, core: false } => write!(out, "\"signal {}\"", signal.0),
            Ending::Signal { signal, core: true } => write!(out, "\"core {}\"", signal.0),
            Ending::OutOfMemory => write!(out, "\"out-of-memory\""),
            Ending::Lost => write!(out, "\"lost\""),
        };
    }

    fn read(value: &DeValue<'_>) -> Option<Ending> {
        let text = value.as_str()?;
        let (word, number) = text.split_once(' ').unwrap_or((text, ""));
        let signal = || number.parse().ok().map(Signal);
        match word {
            "exit" => number.parse().ok().map(Ending::Code),
            "signal" => signal().map(|signal| Ending::Signal { signal, core: false }),
            "core" => signal().map(|signal| Ending::Signal { signal, core: true }),
            "out-of-memory" => Some(Ending::OutOfMemory),
            "lost" => Some(Ending::Lost),
            _ => None,
        }
    }
}
