//! A datagram: messages within a compound, compression, a checksum, a seal and a label.

use super::layers::{Layers, Refusal};
use super::message::{Message, kind};
use super::pack::Malformed;
use super::{crypt, lzw};
use crate::gossip::Dice;

/// How many bytes a datagram is filled to, before it is made smaller: what members and Serf add to a message has to fit, too.
pub const SIZE: usize = 1400;
/// How many bytes of a datagram a part costs beside its own.
pub const PART: usize = 2;
/// How many bytes a compound costs beside its parts.
pub const COMPOUND: usize = 2;
/// How many parts a compound may have: real members count their bytes in 8 bits.
pub const PARTS: usize = 127;
/// The lowest memberlist protocol that knows checksums.
pub const CHECKSUMS: u8 = 5;

/// How many bytes all that is compressed in a datagram may expand to.
const EXPANDED: usize = 65_535;
/// How deep compounds and compressions may nest. Members nest one in one.
const DEPTH: usize = 16;

/// The bytes that piggybacked messages may have in a datagram that begins with a message of `first` bytes, each with [`PART`].
pub const fn room(first: usize, layers: &Layers<'_>) -> usize {
    let seal = if layers.keyring.is_some() { crypt::OVERHEAD } else { 0 };
    SIZE.saturating_sub(first + COMPOUND + seal)
}

/// The datagram of these messages; more than one if they are more than [`PARTS`]. `pmax` is the highest protocol of the member that it
/// is for, if that is known. Empty parts, which crash real members, are left out.
pub fn encode(parts: &[Vec<u8>], pmax: Option<u8>, layers: &Layers<'_>, dice: &mut dyn Dice) -> Vec<Vec<u8>> {
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).filter(|part| !part.is_empty()).collect();
    parts
        .chunks(PARTS)
        .flat_map(|parts| compounds(parts).into_iter())
        .map(|bytes| wrapped(bytes, pmax, layers, dice))
        .collect()
}

/// One compound; what is too long for a part stands alone.
fn compounds(parts: &[&[u8]]) -> Vec<Vec<u8>> {
    let (fit, long): (Vec<&[u8]>, Vec<&[u8]>) = parts.iter().partition(|part| part.len() <= usize::from(u16::MAX));
    let mut compounds: Vec<Vec<u8>> = long.into_iter().map(<[u8]>::to_vec).collect();
    match fit.as_slice() {
        [] => {}
        [one] => compounds.push(one.to_vec()),
        several => {
            let mut compound = vec![kind::COMPOUND, several.len() as u8];
            several.iter().for_each(|part| compound.extend_from_slice(&(part.len() as u16).to_be_bytes()));
            several.iter().for_each(|part| compound.extend_from_slice(part));
            compounds.push(compound);
        }
    }
    compounds
}

fn wrapped(mut bytes: Vec<u8>, pmax: Option<u8>, layers: &Layers<'_>, dice: &mut dyn Dice) -> Vec<u8> {
    if layers.compress {
        let smaller = lzw::compressed(&bytes).filter(|small| small.len() < bytes.len());
        bytes = smaller.unwrap_or(bytes);
    }
    if pmax.is_some_and(|pmax| pmax >= CHECKSUMS) {
        let sum = crc32fast::hash(&bytes).to_be_bytes();
        bytes.splice(..0, [&[kind::CRC], sum.as_slice()].concat());
    }
    if let Some(ring) = layers.keyring {
        bytes = layers.sealed(ring, &[], &bytes, dice);
    }
    bytes.splice(..0, layers.front());
    bytes
}

/// What a datagram carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Its messages, in their order.
    pub messages: Vec<Message>,
    /// How many parts were not understood, and left out.
    pub broken: usize,
    /// Why the first of them was not.
    pub reason: Option<Malformed>,
}

/// The messages of a datagram, which are to be believed only as far as the layers go. Parts that are not understood are left out.
pub fn decode(bytes: &[u8], layers: &Layers<'_>) -> Result<Packet, Refusal> {
    let bytes = layers.unlabelled(bytes)?.ok_or(Malformed("no byte at all"))?;
    let mut opened = Vec::new();
    let bytes = match layers.keyring {
        Some(ring) => {
            opened.extend_from_slice(bytes);
            if !ring.open(layers.label, &mut opened) {
                let version = bytes.first().copied().unwrap_or_default();
                return Err(if version > crypt::Version::Plain as u8 { Refusal::Plain } else { Refusal::Key });
            }
            opened.as_slice()
        }
        None => bytes,
    };
    let bytes = match bytes {
        [kind::CRC, rest @ ..] => {
            let (sum, rest) = rest.split_first_chunk().ok_or(Malformed("half a checksum"))?;
            if crc32fast::hash(rest) != u32::from_be_bytes(*sum) {
                return Err(Refusal::Checksum);
            }
            rest
        }
        _ => bytes,
    };
    let mut unpacking = Unpacking { packet: Packet::default(), room: EXPANDED };
    unpacking.take(bytes, DEPTH);
    Ok(unpacking.packet)
}

struct Unpacking {
    packet: Packet,
    /// How many bytes may still be made by expanding.
    room: usize,
}

impl Unpacking {
    fn take(&mut self, bytes: &[u8], depth: usize) {
        let taken = match (bytes, depth) {
            ([kind::COMPOUND | kind::COMPRESS, ..], 0) => Err(Malformed("too deeply nested")),
            ([kind::COMPOUND, parts @ ..], _) => self.parts(parts, depth - 1),
            ([kind::COMPRESS, frame @ ..], _) => {
                let expanded = lzw::body(frame).and_then(|body| lzw::expanded(&body, self.room));
                expanded.map(|bytes| {
                    self.room -= bytes.len();
                    self.take(&bytes, depth - 1);
                })
            }
            _ => Message::decode(bytes).map(|message| self.packet.messages.push(message)),
        };
        if let Err(reason) = taken {
            self.packet.broken += 1;
            self.packet.reason.get_or_insert(reason);
        }
    }

    /// The lengths of all parts come before the parts. What is cut off is left out, and so is what has no bytes.
    fn parts(&mut self, bytes: &[u8], depth: usize) -> Result<(), Malformed> {
        let (count, bytes) = bytes.split_first().ok_or(Malformed("a compound without a count"))?;
        let cut = Malformed("a compound that is cut off");
        let (lengths, mut bodies) = bytes.split_at_checked(usize::from(*count) * 2).ok_or(cut)?;
        for length in lengths.chunks_exact(2) {
            let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            let (part, rest) = bodies.split_at_checked(length).ok_or(cut)?;
            bodies = rest;
            self.take(part, depth);
        }
        Ok(())
    }
}
