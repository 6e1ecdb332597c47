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
/// How many messages a datagram may carry: what fits in one compound.
const MESSAGES: usize = 255;
/// How deep compounds and compressions may nest. Members nest one in one.
const DEPTH: usize = 16;

const CUT: Malformed = Malformed("a compound that is cut off");

/// The bytes that piggybacked messages may have in a datagram that begins with a message of `first` bytes, each with [`PART`].
pub const fn room(first: usize, layers: &Layers<'_>) -> usize {
    let seal = if layers.keyring.is_some() { crypt::OVERHEAD } else { 0 };
    let label = if layers.label.is_empty() { 0 } else { 2 + layers.label.len() };
    SIZE.saturating_sub(first + COMPOUND + seal + label)
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
    unpacking.take(bytes, DEPTH)?;
    Ok(unpacking.packet)
}

struct Unpacking {
    packet: Packet,
    /// How many bytes may still be made by expanding.
    room: usize,
}

impl Unpacking {
    /// Fails only if the rest is not worth a look.
    fn take(&mut self, bytes: &[u8], depth: usize) -> Result<(), Malformed> {
        if self.packet.messages.len() + self.packet.broken >= MESSAGES {
            return Err(Malformed("more messages than a datagram has"));
        }
        match self.unpack(bytes, depth) {
            Ok(Unpacked::Message(message)) => self.packet.messages.push(message),
            Ok(Unpacked::Parts(parts)) => return self.parts(parts, depth - 1),
            Ok(Unpacked::Expanded(bytes)) => return self.take(&bytes, depth - 1),
            Err(reason) => self.broken(reason),
        }
        Ok(())
    }

    fn unpack<'a>(&mut self, bytes: &'a [u8], depth: usize) -> Result<Unpacked<'a>, Malformed> {
        match bytes {
            [kind::COMPOUND | kind::COMPRESS, ..] if depth == 0 => Err(Malformed("too deeply nested")),
            [kind::COMPOUND, parts @ ..] => Ok(Unpacked::Parts(parts)),
            [kind::COMPRESS, frame @ ..] => {
                let bytes = lzw::expanded(&lzw::body(frame)?, self.room)?;
                self.room -= bytes.len();
                Ok(Unpacked::Expanded(bytes))
            }
            _ => Message::decode(bytes).map(Unpacked::Message),
        }
    }

    /// The lengths of all parts come before the parts. What is cut off is left out, and so is what has no bytes.
    fn parts(&mut self, bytes: &[u8], depth: usize) -> Result<(), Malformed> {
        let lengths = bytes.split_first().and_then(|(count, rest)| rest.split_at_checked(usize::from(*count) * 2));
        let Some((lengths, mut bodies)) = lengths else {
            self.broken(CUT);
            return Ok(());
        };
        for length in lengths.chunks_exact(2) {
            let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            let Some((part, rest)) = bodies.split_at_checked(length) else {
                self.broken(CUT);
                return Ok(());
            };
            bodies = rest;
            self.take(part, depth)?;
        }
        Ok(())
    }

    fn broken(&mut self, reason: Malformed) {
        self.packet.broken += 1;
        self.packet.reason.get_or_insert(reason);
    }
}

/// A layer less.
enum Unpacked<'a> {
    Message(Message),
    Parts(&'a [u8]),
    Expanded(Vec<u8>),
}

#[cfg(test)]
mod tests {
    use super::{Packet, decode, encode, room};
    use crate::gossip::dice::tests::Seeded;
    use crate::gossip::wire::crypt::{Key, Keyring, Version};
    use crate::gossip::wire::layers::{Layers, Refusal};
    use crate::gossip::wire::lzw;
    use crate::gossip::wire::message::{Message, Nack, kind};
    use crate::gossip::wire::pack::Malformed;

    const PLAIN: Layers<'_> = Layers { label: &[], keyring: None, compress: false };

    fn nacks(count: u32) -> Vec<Vec<u8>> {
        (0..count).map(|seq| Message::Nack(Nack { seq }).encode()).collect()
    }

    fn ring(byte: u8) -> Keyring {
        Keyring::new(Key::new(&[byte; 16]).unwrap()).unwrap()
    }

    fn sent(parts: &[Vec<u8>], layers: &Layers<'_>) -> Vec<u8> {
        let mut packets = encode(parts, None, layers, &mut Seeded(1));
        assert_eq!(packets.len(), 1);
        packets.remove(0)
    }

    fn seqs(packet: &Packet) -> Vec<u32> {
        let seq = |message: &Message| if let Message::Nack(nack) = message { nack.seq } else { panic!("{message:?}") };
        packet.messages.iter().map(seq).collect()
    }

    fn compound(parts: &[&[u8]]) -> Vec<u8> {
        let lengths = parts.iter().flat_map(|part| (part.len() as u16).to_be_bytes());
        [kind::COMPOUND, parts.len() as u8].into_iter().chain(lengths).chain(parts.concat()).collect()
    }

    #[test]
    fn every_layer_comes_off_again() {
        let ring = ring(1);
        for bits in 0..16 {
            let layers = Layers {
                label: if bits & 1 == 0 { b"" } else { b"blue" },
                keyring: (bits & 2 != 0).then_some(&ring),
                compress: bits & 4 != 0,
            };
            for count in [1, 2, 60, 127] {
                let pmax = (bits & 8 != 0).then_some(5);
                let packets = encode(&nacks(count), pmax, &layers, &mut Seeded(bits));
                assert_eq!(packets.len(), 1);
                let packet = decode(&packets[0], &layers).unwrap();
                assert_eq!((seqs(&packet), packet.broken), ((0..count).collect(), 0));
                assert_eq!(packets[0][0] == kind::LABEL, bits & 1 != 0);
                let sum = bits & 11 == 8;
                assert_eq!(packets[0][0] == kind::CRC, sum, "{bits}");
            }
        }
    }

    #[test]
    fn members_of_before_checksums_get_none() {
        for (pmax, sum) in [(None, false), (Some(4), false), (Some(5), true)] {
            let packets = encode(&nacks(1), pmax, &PLAIN, &mut Seeded(1));
            assert_eq!(packets[0][0] == kind::CRC, sum);
        }
    }

    #[test]
    fn what_is_sent_crashes_nobody() {
        let parts: Vec<Vec<u8>> = nacks(300).into_iter().flat_map(|part| [part, Vec::new()]).collect();
        let packets = encode(&parts, None, &PLAIN, &mut Seeded(1));
        assert_eq!(packets.iter().map(|packet| packet[1]).collect::<Vec<_>>(), [127, 127, 46]);
        let seen = packets.iter().flat_map(|packet| seqs(&decode(packet, &PLAIN).unwrap()));
        assert_eq!(seen.collect::<Vec<_>>(), (0..300).collect::<Vec<_>>());
        assert!(encode(&[Vec::new()], None, &PLAIN, &mut Seeded(1)).is_empty());
        let long = [vec![kind::USER; 70_000], nacks(1).remove(0)];
        assert_eq!(encode(&long, None, &PLAIN, &mut Seeded(1)).len(), 2);
    }

    #[test]
    fn empty_and_broken_parts_are_left_out() {
        let nack = nacks(1).remove(0);
        let packet = decode(b"\x07\x01\0\0", &PLAIN).unwrap();
        assert_eq!(packet, Packet { broken: 1, reason: Some(Malformed("no byte at all")), ..Packet::default() });
        let packet = decode(&compound(&[b"", &nack, b"\x08", b"\x63", b"\x03\xc1", &nack]), &PLAIN).unwrap();
        assert_eq!((seqs(&packet), packet.broken), (vec![0, 0], 4));
        let parts = vec![nack.as_slice(); 255];
        assert_eq!(seqs(&decode(&compound(&parts), &PLAIN).unwrap()).len(), 255);
        let mut cut = compound(&[&nack, &nack, &nack]);
        cut.pop();
        let packet = decode(&cut, &PLAIN).unwrap();
        assert_eq!((seqs(&packet), packet.broken), (vec![0, 0], 1));
        for bytes in [&b"\x07"[..], b"\x07\xff\0\x01", b"\x07\x01\0"] {
            assert_eq!(decode(bytes, &PLAIN).unwrap().broken, 1);
        }
        assert_eq!(decode(b"\x07\0", &PLAIN), Ok(Packet::default()));
        assert!(decode(b"", &PLAIN).is_err());
    }

    #[test]
    fn nesting_and_numbers_are_bounded() {
        let nack = nacks(1).remove(0);
        let nested = (0..16).fold(nack.clone(), |inside, _| compound(&[&inside]));
        assert_eq!(seqs(&decode(&nested, &PLAIN).unwrap()), [0]);
        assert_eq!(decode(&compound(&[&nested]), &PLAIN).unwrap().reason, Some(Malformed("too deeply nested")));
        let deepest = [[kind::COMPOUND, 1, 0xff, 0xff]; 16_000].concat();
        assert_eq!(decode(&deepest, &PLAIN).unwrap().broken, 1);
        let full = compound(&vec![nack.as_slice(); 255]);
        assert!(decode(&compound(&[&full, &full]), &PLAIN).is_err());
    }

    #[test]
    fn bombs_do_not_go_off() {
        let bomb = lzw::compressed(&vec![kind::USER; 1 << 20]).unwrap();
        assert_eq!(decode(&bomb, &PLAIN).unwrap().broken, 1);
        // Each alone would do.
        let half = lzw::compressed(&vec![kind::USER; 40_000]).unwrap();
        let packet = decode(&compound(&[&half, &half, &half]), &PLAIN).unwrap();
        assert_eq!((packet.messages.len(), packet.broken), (1, 2));
        let quine = (0..3).fold(nacks(1).remove(0), |inside, _| lzw::compressed(&inside).unwrap());
        assert_eq!(seqs(&decode(&quine, &PLAIN).unwrap()), [0]);
    }

    #[test]
    fn what_is_not_ours_is_refused_and_why() {
        let (ours, theirs) = (ring(1), ring(2));
        let (nack, keyed) = (nacks(1), Layers { keyring: Some(&ours), ..PLAIN });
        let foreign = Layers { keyring: Some(&theirs), ..PLAIN };
        let labelled = Layers { label: b"blue", keyring: Some(&ours), ..PLAIN };
        assert_eq!(decode(&sent(&nack, &PLAIN), &keyed), Err(Refusal::Plain));
        assert_eq!(decode(&sent(&nack, &foreign), &keyed), Err(Refusal::Key));
        assert_eq!(decode(&sent(&nack, &labelled), &keyed), Err(Refusal::Label));
        assert_eq!(decode(&sent(&nack, &keyed), &labelled), Err(Refusal::Label));
        // The label is sealed in.
        let other = Layers { label: b"red", ..labelled };
        let stolen = [b"\xf4\x04blue", &sent(&nack, &other)[5..]].concat();
        assert_eq!(decode(&stolen, &labelled), Err(Refusal::Key));
        assert!(decode(&sent(&nack, &keyed), &PLAIN).is_ok_and(|packet| packet.messages.is_empty()));
        let mut checked = encode(&nack, Some(5), &PLAIN, &mut Seeded(1)).remove(0);
        checked[7] ^= 1;
        assert_eq!(decode(&checked, &PLAIN), Err(Refusal::Checksum));
        assert_eq!(decode(&checked[..4], &PLAIN), Err(Refusal::Malformed(Malformed("half a checksum"))));
        // Only outermost.
        let inner = encode(&nack, Some(5), &PLAIN, &mut Seeded(1)).remove(0);
        assert_eq!(decode(&compound(&[&inner]), &PLAIN).unwrap().broken, 1);
        assert_eq!(decode(b"\xf4", &PLAIN), Err(Refusal::Malformed(Malformed("no byte at all"))));
    }

    #[test]
    fn the_old_padding_is_taken() {
        let ours = ring(1);
        let sealed = ours.seal(Version::Padded, [3; 12], b"", &nacks(1)[0]);
        let packet = decode(&sealed, &Layers { keyring: Some(&ours), ..PLAIN }).unwrap();
        assert_eq!(seqs(&packet), [0]);
        let nothing = ours.seal(Version::Plain, [3; 12], b"", b"");
        assert_eq!(decode(&nothing, &Layers { keyring: Some(&ours), ..PLAIN }).unwrap().broken, 1);
    }

    #[test]
    fn a_datagram_that_is_full_has_its_size() {
        let ours = ring(1);
        for keyring in [None, Some(&ours)] {
            let layers = Layers { keyring, ..PLAIN };
            let first = vec![kind::USER; 61];
            let free = room(first.len(), &layers);
            let parts = [first, vec![kind::USER; free - 2]];
            // The length of the first part is not in memberlist's sum.
            assert_eq!(sent(&parts, &layers).len(), 1400 + 2);
        }
    }
}
