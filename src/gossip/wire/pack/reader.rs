//! Bytes to values: any form that fits, nothing reserved for what is only announced.

use std::borrow::Cow;

use super::{Malformed, Unpack};

/// How many items of lists and maps one reader gives: what is small on the wire is larger in memory.
pub const ITEMS: usize = 65_536;

/// Bytes of whole values. An end in the middle of one is a [`Malformed`]: a stream waits with [`super::Objects`] for the rest.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    items: usize,
}

/// What a value begins with: what it is, and how many values (of an array, of a map twice as many) or bytes follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Head {
    Nil,
    Bool(bool),
    Uint(u64),
    Int(i64),
    Float(f64),
    Raw(u32),
    Array(u32),
    Map(u32),
    /// An extension: its kind and its bytes.
    Other(u32),
}

/// The head that `bytes` begin with, and how long it is; nothing if there are too few.
pub(super) fn head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Malformed> {
    let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
    let size = match first {
        0xc4 | 0xc7 | 0xcc | 0xd0 | 0xd9 => 1,
        0xc5 | 0xc8 | 0xcd | 0xd1 | 0xda | 0xdc | 0xde => 2,
        0xc6 | 0xc9 | 0xca | 0xce | 0xd2 | 0xdb | 0xdd | 0xdf => 4,
        0xcb | 0xcf | 0xd3 => 8,
        _ => 0,
    };
    let Some(argument) = rest.get(..size) else { return Ok(None) };
    let number = argument.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    let low = number as u32;
    let head = match *first {
        0xc0 => Head::Nil,
        0xc1 => return Err(Malformed("a byte that begins no value")),
        0xc2 => Head::Bool(false),
        0xc3 => Head::Bool(true),
        0xc4..=0xc6 | 0xd9..=0xdb => Head::Raw(low),
        0xc7..=0xc9 => Head::Other(low.checked_add(1).ok_or(Malformed("an extension that is too long"))?),
        0xca => Head::Float(f64::from(f32::from_bits(low))),
        0xcb => Head::Float(f64::from_bits(number)),
        0xcc..=0xcf => Head::Uint(number),
        0xd0 => Head::Int(i64::from(number as i8)),
        0xd1 => Head::Int(i64::from(number as i16)),
        0xd2 => Head::Int(i64::from(number as i32)),
        0xd3 => Head::Int(number as i64),
        small @ 0xd4..=0xd8 => Head::Other((1 << (small - 0xd4)) + 1),
        0xdc | 0xdd => Head::Array(low),
        0xde | 0xdf => Head::Map(low),
        small @ 0x00..=0x7f => Head::Uint(u64::from(small)),
        small @ 0x80..=0x8f => Head::Map(u32::from(small & 0x0f)),
        small @ 0x90..=0x9f => Head::Array(u32::from(small & 0x0f)),
        small @ 0xa0..=0xbf => Head::Raw(u32::from(small & 0x1f)),
        small @ 0xe0..=0xff => Head::Int(i64::from(small as i8)),
    };
    Ok(Some((head, size + 1)))
}

const SHORT: Malformed = Malformed("it ends in the middle of a value");

impl<'a> Reader<'a> {
    /// At the first byte.
    pub const fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, items: ITEMS }
    }

    /// What was not read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// The next value; the default if it is nil.
    pub fn get<T: Unpack>(&mut self) -> Result<T, Malformed> {
        if self.nil() { Ok(T::default()) } else { T::unpack(self) }
    }

    /// Whether a nil is next, which is then behind.
    pub fn nil(&mut self) -> bool {
        let rest = self.bytes.strip_prefix(&[0xc0]);
        self.bytes = rest.unwrap_or(self.bytes);
        rest.is_some()
    }

    /// Yes or no.
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        match self.head()? {
            Head::Bool(yes) => Ok(yes),
            _ => Err(Malformed("something else where yes or no is due")),
        }
    }

    /// A number that is not negative.
    pub fn uint(&mut self) -> Result<u64, Malformed> {
        match self.head()? {
            Head::Uint(number) => Ok(number),
            Head::Int(number) => u64::try_from(number).map_err(|_| Malformed("a negative number")),
            _ => Err(Malformed("something else where a number is due")),
        }
    }

    /// A number.
    pub fn int(&mut self) -> Result<i64, Malformed> {
        match self.head()? {
            Head::Uint(number) => i64::try_from(number).map_err(|_| Malformed("a number that is too large")),
            Head::Int(number) => Ok(number),
            _ => Err(Malformed("something else where a number is due")),
        }
    }

    /// A number, with a fraction or without.
    pub fn float(&mut self) -> Result<f64, Malformed> {
        match self.head()? {
            Head::Float(number) => Ok(number),
            Head::Uint(number) => Ok(number as f64),
            Head::Int(number) => Ok(number as f64),
            _ => Err(Malformed("something else where a number is due")),
        }
    }

    /// Text or bytes, in whichever form, or a list of bytes as numbers.
    pub fn raw(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        match self.head()? {
            Head::Raw(length) => self.take(length).map(Cow::Borrowed),
            Head::Array(count) => {
                let numbers = (0..count).map(|_| self.get::<u8>());
                numbers.collect::<Result<Vec<u8>, Malformed>>().map(Cow::Owned)
            }
            Head::Nil => Ok(Cow::Borrowed(&[])),
            _ => Err(Malformed("something else where text or bytes are due")),
        }
    }

    /// How many values of an array follow.
    pub fn array(&mut self) -> Result<u32, Malformed> {
        match self.head()? {
            Head::Array(count) => Ok(count),
            Head::Nil => Ok(0),
            _ => Err(Malformed("something else where a list is due")),
        }
    }

    /// How many pairs of a map follow.
    pub fn map(&mut self) -> Result<u32, Malformed> {
        match self.head()? {
            Head::Map(count) => Ok(count),
            Head::Nil => Ok(0),
            _ => Err(Malformed("something else where a map is due")),
        }
    }

    /// Counts an item of a list or a map, before it is read.
    pub fn item(&mut self) -> Result<(), Malformed> {
        self.items = self.items.checked_sub(1).ok_or(Malformed("more items than a message has"))?;
        Ok(())
    }

    /// A struct: calls `each` with the name of a field when its value is next, which it must read or [`skip`](Self::skip). From a map,
    /// only fields that are in `names`; from an array, in the order of `names`.
    pub fn fields(
        &mut self,
        names: &[&'static str],
        mut each: impl FnMut(&'static str, &mut Reader<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        match self.head()? {
            Head::Nil => Ok(()),
            Head::Map(count) => (0..count).try_for_each(|_| {
                let key = self.raw()?;
                match names.iter().find(|name| name.as_bytes() == &*key) {
                    Some(name) => each(name, self),
                    None => self.skip(),
                }
            }),
            Head::Array(count) => (0..count as usize).try_for_each(|at| match names.get(at) {
                Some(name) => each(name, self),
                None => self.skip(),
            }),
            _ => Err(Malformed("something else where a struct is due")),
        }
    }

    /// Leaves the next value out, whatever is in it.
    pub fn skip(&mut self) -> Result<(), Malformed> {
        let mut extent = super::Extent::default();
        let end = extent.end(self.bytes)?.ok_or(SHORT)?;
        self.bytes = self.bytes.get(end..).ok_or(SHORT)?;
        Ok(())
    }

    /// The bytes of the next value, which is then behind.
    pub fn value(&mut self) -> Result<&'a [u8], Malformed> {
        let before = self.bytes;
        self.skip()?;
        before.get(..before.len() - self.bytes.len()).ok_or(SHORT)
    }

    /// The next `count` bytes, which are no value.
    pub fn take(&mut self, count: u32) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(count as usize).ok_or(SHORT)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn head(&mut self) -> Result<Head, Malformed> {
        let (head, length) = head(self.bytes)?.ok_or(SHORT)?;
        self.bytes = self.bytes.get(length..).ok_or(SHORT)?;
        Ok(head)
    }
}
