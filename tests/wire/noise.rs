//! Bytes that nobody would send: noise, noise that has the form of msgpack, and real packets that were tampered with.

use clusteros_init::gossip::Dice;

use crate::seeded::Seeded;

pub struct Noise(Seeded);

/// What fields are called, so that some are met.
const WORDS: &[&str] = &[
    "Addr",
    "Algo",
    "Buf",
    "CC",
    "DestAddr",
    "Events",
    "Filters",
    "From",
    "ID",
    "Incarnation",
    "Join",
    "Key",
    "Keys",
    "LTime",
    "LeftMembers",
    "Meta",
    "Name",
    "Node",
    "Nodes",
    "Payload",
    "Port",
    "SeqNo",
    "SourceAddr",
    "State",
    "StatusLTimes",
    "Tags",
    "Target",
    "Timeout",
    "UserMsgLen",
    "UserStateLen",
    "Vec",
    "Vsn",
];

impl Noise {
    /// Always the same for a seed.
    pub const fn new(seed: u64) -> Noise {
        Noise(Seeded(seed.wrapping_mul(0xa076_1d64_78bd_642f)))
    }

    /// A number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        (self.0.next() % count as u64) as usize
    }

    /// True once in `count` times.
    pub fn one_of(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// Some bytes; `real` are those of a real packet.
    pub fn bytes(&mut self, real: &[u8]) -> Vec<u8> {
        match self.below(4) {
            0 => {
                let length = self.below(1500);
                (0..length).map(|_| self.0.next() as u8).collect()
            }
            1 => self.tampered(real),
            _ => {
                let mut bytes = vec![self.below(14) as u8];
                if self.one_of(3) {
                    bytes.splice(..0, [8]);
                }
                (0..1 + self.below(4)).for_each(|_| self.value(&mut bytes, 6));
                bytes
            }
        }
    }

    fn tampered(&mut self, real: &[u8]) -> Vec<u8> {
        let mut bytes = real.to_vec();
        for _ in 0..1 + self.below(8) {
            let (at, to) = (self.below(bytes.len() + 1), self.below(bytes.len() + 1));
            match self.below(5) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.0.next() as u8),
                2 => bytes.extend_from_within(at.min(to)..at.max(to).min(at.min(to) + 5000)),
                3 => drop(bytes.drain(at.min(to)..at.max(to).min(at.min(to) + 20))),
                _ => bytes.get_mut(at).into_iter().for_each(|byte| *byte = self.0.next() as u8),
            }
        }
        bytes
    }

    fn value(&mut self, out: &mut Vec<u8>, depth: usize) {
        let most = if self.one_of(9) { 300 } else { 6 };
        let length = self.below(most);
        match self.below(if depth == 0 { 5 } else { 9 }) {
            0 => out.push(self.0.next() as u8),
            1 => {
                out.push([0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3, 0xca, 0xcb, 0xc0][self.below(11)]);
                (0..length).for_each(|_| out.push(self.0.next() as u8));
            }
            2 | 3 => {
                let word = WORDS[self.below(WORDS.len())];
                out.push(0xa0 | word.len() as u8);
                out.extend_from_slice(word.as_bytes());
            }
            4 => {
                out.extend_from_slice(&[[0xc4, 0xd9][self.below(2)], length as u8]);
                (0..length as u8).for_each(|_| out.push(self.0.next() as u8));
            }
            5 | 6 => {
                let announced = if self.one_of(9) { self.0.next() as u16 } else { length as u16 };
                out.push(0xdc);
                out.extend_from_slice(&announced.to_be_bytes());
                (0..length.min(40)).for_each(|_| self.value(out, depth - 1));
            }
            _ => {
                let announced = if self.one_of(9) { self.0.next() as u16 } else { length as u16 };
                out.push(0xde);
                out.extend_from_slice(&announced.to_be_bytes());
                (0..length.min(40)).for_each(|_| {
                    let word = WORDS[self.below(WORDS.len())];
                    out.push(0xa0 | word.len() as u8);
                    out.extend_from_slice(word.as_bytes());
                    self.value(out, depth - 1);
                });
            }
        }
        out.truncate(60_000);
    }
}
