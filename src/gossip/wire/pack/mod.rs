//! Serf's msgpack: values to bytes and back.
//!
//! Go structs are maps from field names, sorted by their bytes; a reader takes any order and even an array in the order of
//! declaration. [`record!`] makes both directions of a struct from one list of its fields. A nil, or what is missing, is zero.

mod extent;
mod reader;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::gossip::Name;

pub use extent::{Extent, Objects};
pub use reader::{ITEMS, Reader};
pub use writer::{Flavour, Writer};

/// Why bytes are no message: a short reason, for a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

/// What can be written.
pub trait Pack {
    /// Writes it.
    fn pack(&self, out: &mut Writer);

    /// Writes a list of it: an array, but bytes of `u8`.
    fn pack_all(items: &[Self], out: &mut Writer)
    where
        Self: Sized,
    {
        out.array(items.len());
        items.iter().for_each(|item| item.pack(out));
    }
}

/// What can be read; the default is what a nil stands for.
pub trait Unpack: Default {
    /// Reads it. The reader has looked: it is no nil.
    fn unpack(reader: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// Reads a list of it: an array, but bytes of `u8`.
    fn unpack_all(reader: &mut Reader<'_>) -> Result<Vec<Self>, Malformed> {
        let count = reader.array()?;
        // Nothing is reserved: the count is a stranger's.
        let mut items = Vec::new();
        for _ in 0..count {
            reader.item()?;
            items.push(reader.get()?);
        }
        Ok(items)
    }
}

/// The bytes of `value` as they are gossiped.
pub fn gossiped(value: &dyn Pack) -> Vec<u8> {
    written(Flavour::Gossip, value)
}

/// The bytes of `value` in that flavour.
pub fn written(flavour: Flavour, value: &dyn Pack) -> Vec<u8> {
    let mut out = Writer::new(flavour);
    value.pack(&mut out);
    out.into_bytes()
}

/// The value that `bytes` begin with.
pub fn read<T: Unpack>(bytes: &[u8]) -> Result<T, Malformed> {
    Reader::new(bytes).get()
}

/// Makes a struct one that is written and read as a map: `record!(Type { "Field" => field, ... })`, with Go's names in Go's
/// order of declaration. The struct needs `Default`.
macro_rules! record {
    ($type:ty { $($name:literal => $field:ident),+ $(,)? }) => {
        impl $crate::gossip::wire::pack::Pack for $type {
            fn pack(&self, out: &mut $crate::gossip::wire::pack::Writer) {
                out.fields(&mut [$(($name, &self.$field)),+]);
            }
        }

        impl $crate::gossip::wire::pack::Unpack for $type {
            fn unpack(
                reader: &mut $crate::gossip::wire::pack::Reader<'_>,
            ) -> Result<Self, $crate::gossip::wire::pack::Malformed> {
                let mut record = Self::default();
                reader.fields(&[$($name),+], |name, reader| {
                    match name {
                        $($name => record.$field = reader.get()?,)+
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
                Ok(record)
            }
        }
    };
}
pub(crate) use record;

macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl Pack for $type {
            fn pack(&self, out: &mut Writer) {
                out.uint(u64::from(*self));
            }
        }

        impl Unpack for $type {
            fn unpack(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
                reader.uint()?.try_into().map_err(|_| Malformed("a number that is too large"))
            }
        }
    )+};
}
numbers!(u16, u32, u64);

impl Pack for u8 {
    fn pack(&self, out: &mut Writer) {
        out.uint(u64::from(*self));
    }

    /// An empty list is a nil, as Go's are that nobody made.
    fn pack_all(items: &[u8], out: &mut Writer) {
        if items.is_empty() {
            out.nil();
        } else {
            out.bytes(items);
        }
    }
}

impl Unpack for u8 {
    fn unpack(reader: &mut Reader<'_>) -> Result<u8, Malformed> {
        reader.uint()?.try_into().map_err(|_| Malformed("a number that is too large"))
    }

    fn unpack_all(reader: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
        Ok(reader.raw()?.into_owned())
    }
}

impl Pack for i64 {
    fn pack(&self, out: &mut Writer) {
        out.int(*self);
    }
}

impl Unpack for i64 {
    fn unpack(reader: &mut Reader<'_>) -> Result<i64, Malformed> {
        reader.int()
    }
}

impl Pack for i32 {
    fn pack(&self, out: &mut Writer) {
        out.int(i64::from(*self));
    }
}

impl Unpack for i32 {
    fn unpack(reader: &mut Reader<'_>) -> Result<i32, Malformed> {
        reader.int()?.try_into().map_err(|_| Malformed("a number that is too large"))
    }
}

impl Pack for bool {
    fn pack(&self, out: &mut Writer) {
        out.bool(*self);
    }
}

impl Unpack for bool {
    fn unpack(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
        reader.bool()
    }
}

impl Pack for f64 {
    fn pack(&self, out: &mut Writer) {
        out.float(*self);
    }
}

impl Unpack for f64 {
    fn unpack(reader: &mut Reader<'_>) -> Result<f64, Malformed> {
        reader.float()
    }
}

/// Nanoseconds; what is negative is read as none.
impl Pack for Duration {
    fn pack(&self, out: &mut Writer) {
        out.int(i64::try_from(self.as_nanos()).unwrap_or(i64::MAX));
    }
}

impl Unpack for Duration {
    fn unpack(reader: &mut Reader<'_>) -> Result<Duration, Malformed> {
        Ok(Duration::from_nanos(u64::try_from(reader.int()?).unwrap_or_default()))
    }
}

/// A string of Go: text to the flavour, whatever its bytes are.
impl Pack for Name {
    fn pack(&self, out: &mut Writer) {
        out.text(self.bytes());
    }
}

impl Unpack for Name {
    fn unpack(reader: &mut Reader<'_>) -> Result<Name, Malformed> {
        Ok(Name::from(&*reader.raw()?))
    }
}

impl Pack for str {
    fn pack(&self, out: &mut Writer) {
        out.text(self.as_bytes());
    }
}

impl<T: Pack + ?Sized> Pack for &T {
    fn pack(&self, out: &mut Writer) {
        (**self).pack(out);
    }
}

impl Pack for String {
    fn pack(&self, out: &mut Writer) {
        out.text(self.as_bytes());
    }
}

/// What is no UTF-8 is replaced.
impl Unpack for String {
    fn unpack(reader: &mut Reader<'_>) -> Result<String, Malformed> {
        Ok(String::from_utf8_lossy(&reader.raw()?).into_owned())
    }
}

/// Bytes if of `u8` (nil if there are none), else an array.
impl<T: Pack> Pack for Vec<T> {
    fn pack(&self, out: &mut Writer) {
        T::pack_all(self, out);
    }
}

impl<T: Unpack> Unpack for Vec<T> {
    fn unpack(reader: &mut Reader<'_>) -> Result<Vec<T>, Malformed> {
        T::unpack_all(reader)
    }
}

impl<T: Pack> Pack for Option<T> {
    fn pack(&self, out: &mut Writer) {
        match self {
            Some(value) => value.pack(out),
            None => out.nil(),
        }
    }
}

impl<T: Unpack> Unpack for Option<T> {
    fn unpack(reader: &mut Reader<'_>) -> Result<Option<T>, Malformed> {
        T::unpack(reader).map(Some)
    }
}

/// In the order of its keys, as Go's are in no order.
impl<K: Pack, V: Pack> Pack for BTreeMap<K, V> {
    fn pack(&self, out: &mut Writer) {
        out.map(self.len());
        for (key, value) in self {
            key.pack(out);
            value.pack(out);
        }
    }
}

impl<K: Unpack + Ord, V: Unpack> Unpack for BTreeMap<K, V> {
    fn unpack(reader: &mut Reader<'_>) -> Result<BTreeMap<K, V>, Malformed> {
        let count = reader.map()?;
        let mut map = BTreeMap::new();
        for _ in 0..count {
            reader.item()?;
            let key = reader.get()?;
            map.insert(key, reader.get()?);
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Flavour, Malformed, Objects, Reader, Unpack, Writer, gossiped, read, written};
    use crate::gossip::Name;

    #[derive(Debug, Default, PartialEq)]
    struct Thing {
        zeta: u32,
        alpha: Name,
        data: Vec<u8>,
    }
    record!(Thing { "Zeta" => zeta, "Alpha" => alpha, "Data" => data });

    fn round<T: super::Pack + Unpack + PartialEq + std::fmt::Debug>(value: T, hex: &str) {
        let bytes = gossiped(&value);
        assert_eq!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), hex);
        assert_eq!(read::<T>(&bytes), Ok(value));
    }

    #[test]
    fn numbers_take_their_smallest_form() {
        round(0_u64, "00");
        round(127_u64, "7f");
        round(128_u64, "cc80");
        round(255_u8, "ccff");
        round(256_u64, "cd0100");
        round(65_536_u32, "ce00010000");
        round(1_u64 << 32, "cf0000000100000000");
        round(5_i64, "05");
        round(-1_i64, "ff");
        round(-32_i64, "e0");
        round(-33_i64, "d0df");
        round(-129_i64, "d1ff7f");
        round(-32_769_i64, "d2ffff7fff");
        round(i64::MIN, "d38000000000000000");
        round(true, "c3");
        round(1.5, "cb3ff8000000000000");
        round(Duration::from_secs(2), "ce77359400");
    }

    #[test]
    fn lengths_take_their_smallest_form_and_each_flavour_its_own() {
        for (length, gossip, text, bytes) in [
            (1, "a1", "a1", "c401"),
            (31, "bf", "bf", "c41f"),
            (32, "da0020", "d920", "c420"),
            (255, "da00ff", "d9ff", "c4ff"),
            (256, "da0100", "da0100", "c50100"),
            (65_536, "db00010000", "db00010000", "c600010000"),
        ] {
            let value = vec![b'x'; length];
            let head =
                |bytes: &[u8]| bytes[..bytes.len() - length].iter().map(|b| format!("{b:02x}")).collect::<String>();
            assert_eq!(head(&gossiped(&value)), gossip);
            assert_eq!(head(&gossiped(&Name::from(value.as_slice()))), gossip);
            assert_eq!(head(&written(Flavour::Rpc, &Name::from(value.as_slice()))), text);
            assert_eq!(head(&written(Flavour::Rpc, &value)), bytes);
            for flavour in [Flavour::Gossip, Flavour::Rpc] {
                assert_eq!(read(&written(flavour, &value)), Ok(value.clone()));
            }
        }
        round(vec![Name::default(); 15], &format!("9f{}", "a0".repeat(15)));
        round(vec![Name::default(); 16], &format!("dc0010{}", "a0".repeat(16)));
        round(Vec::<u8>::new(), "c0");
    }

    #[test]
    fn a_struct_is_a_sorted_map_and_is_read_from_much() {
        let thing = Thing { zeta: 7, alpha: Name::from("a"), data: vec![1] };
        let bytes = gossiped(&thing);
        assert_eq!(bytes, b"\x83\xa5Alpha\xa1a\xa4Data\xa1\x01\xa4Zeta\x07");
        assert_eq!(read(&bytes), Ok(thing));
        let whole = |bytes: &[u8]| read::<Thing>(bytes).unwrap();
        // In any order, with what nobody knows, with nil, in other forms; an array; nothing.
        assert_eq!(whole(b"\x83\xa4Zeta\xcd\x00\x07\xa3New\x92\x01\x81\xa1x\xc0\xa5Alpha\xc0").zeta, 7);
        assert_eq!(whole(b"\x81\xa4Data\xc4\x02ab").data, b"ab");
        assert_eq!(whole(b"\x81\xa4Data\xd9\x02ab").data, b"ab");
        assert_eq!(whole(b"\x81\xa4Data\x92\x61\xcc\xff").data, b"a\xff");
        assert_eq!(whole(b"\x94\x07\xa1a\xa1\x01\xc3"), Thing { zeta: 7, alpha: Name::from("a"), data: vec![1] });
        assert_eq!(whole(b"\xc0"), Thing::default());
        assert_eq!(whole(b"\x80"), Thing::default());
        for broken in
            [&b"\x81\xa4Zeta\xff"[..], b"\x81\xa4Zeta\xa1x", b"\x81\xa4Zeta\xcf\0\0\0\x01\0\0\0\0", b"\x81\x01\x01"]
        {
            read::<Thing>(broken).unwrap_err();
        }
    }

    #[test]
    fn what_is_announced_costs_nothing() {
        for bytes in [
            &b"\xdd\xff\xff\xff\xff"[..],
            b"\xdf\xff\xff\xff\xff",
            b"\xdb\xff\xff\xff\xff",
            b"\xc9\xff\xff\xff\xff\x01",
        ] {
            read::<Vec<Name>>(bytes).unwrap_err();
            read::<Vec<u8>>(bytes).unwrap_err();
            read::<Thing>(bytes).unwrap_err();
            Reader::new(bytes).skip().unwrap_err();
            let mut objects = Objects::new(1000);
            objects.feed(bytes);
            objects.take().unwrap_err();
        }
        let deep = vec![0x91; 1 << 20];
        assert_eq!(Reader::new(&deep).skip(), Err(Malformed("it ends in the middle of a value")));
        let many = [&[0xdd, 0, 2, 0, 0][..], &vec![0xa0; 1 << 17]].concat();
        assert_eq!(read::<Vec<Name>>(&many), Err(Malformed("more items than a message has")));
    }

    #[test]
    fn a_stream_gives_whole_values_however_it_is_cut() {
        let values: &[&[u8]] =
            &[b"\x01", b"\x82\xa1a\x93\x01\x02\xc0\xa1b\xda\x00\x03xyz", b"\xd5\x01ab", b"\xc7\x01\x05x", b"\xa0"];
        let stream = values.concat();
        for size in 1..=stream.len() {
            let (mut objects, mut seen) = (Objects::new(100), Vec::new());
            for piece in stream.chunks(size) {
                objects.feed(piece);
                while let Some(value) = objects.take().unwrap() {
                    seen.push(value.to_vec());
                }
            }
            assert_eq!(seen, values);
            assert_eq!(objects.waiting(), 0);
        }
        let mut objects = Objects::new(100);
        objects.feed(&[0xda, 0x00, 0x80]);
        assert_eq!(objects.take(), Err(Malformed("a value that is too long")));
    }

    #[test]
    fn a_reader_leaves_the_rest() {
        let mut reader = Reader::new(b"\x92\x01\xa1x\x05rest");
        assert_eq!(reader.value(), Ok(&b"\x92\x01\xa1x"[..]));
        assert_eq!(reader.get::<u8>(), Ok(5));
        assert_eq!(reader.rest(), b"rest");
        assert_eq!(reader.take(5), Err(Malformed("it ends in the middle of a value")));
        let mut out = Writer::new(Flavour::Rpc);
        out.put(b"a");
        out.bytes(b"");
        assert_eq!(out.into_bytes(), b"a\xc4\x00");
    }
}
