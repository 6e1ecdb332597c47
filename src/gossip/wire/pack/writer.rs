//! Values to bytes, each in its smallest form.

use super::Pack;

/// Who the bytes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Other members: text and bytes alike in the old forms (`a0`, `da`, `db`).
    Gossip,
    /// Clients of the RPC: text with `d9`, bytes as `c4`, `c5`, `c6`.
    Rpc,
}

/// Takes values, gives bytes.
#[derive(Clone, Debug)]
pub struct Writer {
    flavour: Flavour,
    out: Vec<u8>,
}

impl Writer {
    /// Nothing yet.
    pub const fn new(flavour: Flavour) -> Writer {
        Writer { flavour, out: Vec::new() }
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Puts bytes as they are: a type byte, or what was packed before.
    pub fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Nothing.
    pub fn nil(&mut self) {
        self.out.push(0xc0);
    }

    /// Yes or no.
    pub fn bool(&mut self, yes: bool) {
        self.out.push(if yes { 0xc3 } else { 0xc2 });
    }

    /// A number that is not negative.
    pub fn uint(&mut self, number: u64) {
        match number {
            0..=0x7f => self.out.push(number as u8),
            0x80..=0xff => self.put(&[0xcc, number as u8]),
            0x100..=0xffff => self.headed(0xcd, &(number as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.headed(0xce, &(number as u32).to_be_bytes()),
            _ => self.headed(0xcf, &number.to_be_bytes()),
        }
    }

    /// A number.
    pub fn int(&mut self, number: i64) {
        match number {
            0.. => self.uint(number as u64),
            -0x20..=-1 => self.out.push(number as i8 as u8),
            -0x80..=-0x21 => self.headed(0xd0, &(number as i8).to_be_bytes()),
            -0x8000..=-0x81 => self.headed(0xd1, &(number as i16).to_be_bytes()),
            -0x8000_0000..=-0x8001 => self.headed(0xd2, &(number as i32).to_be_bytes()),
            _ => self.headed(0xd3, &number.to_be_bytes()),
        }
    }

    /// A number with a fraction.
    pub fn float(&mut self, number: f64) {
        self.headed(0xcb, &number.to_be_bytes());
    }

    /// A string.
    pub fn text(&mut self, text: &[u8]) {
        match (text.len(), self.flavour) {
            (length @ 0..32, _) => self.out.push(0xa0 | length as u8),
            (length @ 32..0x100, Flavour::Rpc) => self.put(&[0xd9, length as u8]),
            (length, _) => self.length(length, 0xda, 0xdb),
        }
        self.put(text);
    }

    /// Bytes, even if there are none.
    pub fn bytes(&mut self, bytes: &[u8]) {
        match (bytes.len(), self.flavour) {
            (_, Flavour::Gossip) => return self.text(bytes),
            (length @ 0..0x100, Flavour::Rpc) => self.put(&[0xc4, length as u8]),
            (length, Flavour::Rpc) => self.length(length, 0xc5, 0xc6),
        }
        self.put(bytes);
    }

    /// The head of an array: so many values follow.
    pub fn array(&mut self, count: usize) {
        match count {
            0..16 => self.out.push(0x90 | count as u8),
            _ => self.length(count, 0xdc, 0xdd),
        }
    }

    /// The head of a map: so many pairs of key and value follow.
    pub fn map(&mut self, count: usize) {
        match count {
            0..16 => self.out.push(0x80 | count as u8),
            _ => self.length(count, 0xde, 0xdf),
        }
    }

    /// A map of the fields of a struct, which it sorts.
    pub fn fields(&mut self, fields: &mut [(&str, &dyn Pack)]) {
        fields.sort_unstable_by_key(|(name, _)| *name);
        self.map(fields.len());
        for (name, value) in fields {
            self.text(name.as_bytes());
            value.pack(self);
        }
    }

    fn headed(&mut self, head: u8, bytes: &[u8]) {
        self.out.push(head);
        self.put(bytes);
    }

    /// Nothing that we send is 4 GiB long.
    fn length(&mut self, length: usize, short: u8, long: u8) {
        match u16::try_from(length) {
            Ok(length) => self.headed(short, &length.to_be_bytes()),
            Err(_) => self.headed(long, &(length as u32).to_be_bytes()),
        }
    }
}
