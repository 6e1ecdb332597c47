//! Go's LZW, the only compression that memberlist has: as GIF's, with the least bit first.

use std::borrow::Cow;

use weezl::{BitOrder, LzwStatus, decode, encode};

use super::message::kind;
use super::pack::{Flavour, Malformed, Reader, Writer};

/// The number of this compression.
const ALGORITHM: u8 = 0;
/// How many bits a literal has.
const LITERAL: u8 = 8;
/// How many bytes are made at once.
const CHUNK: usize = 16 * 1024;

/// `message` compressed, with the type byte and what tells how. It may have become longer.
pub fn compressed(message: &[u8]) -> Option<Vec<u8>> {
    let small = encode::Encoder::new(BitOrder::Lsb, LITERAL).encode(message).ok()?;
    let mut out = Writer::new(Flavour::Gossip);
    out.put(&[kind::COMPRESS]);
    out.map(2);
    out.text(b"Algo");
    out.uint(u64::from(ALGORITHM));
    out.text(b"Buf");
    out.bytes(&small);
    Some(out.into_bytes())
}

/// What a compressed message, without its type byte, carries.
pub fn body(frame: &[u8]) -> Result<Cow<'_, [u8]>, Malformed> {
    let (mut algorithm, mut body) = (ALGORITHM, Cow::default());
    Reader::new(frame).fields(&["Algo", "Buf"], |name, reader| {
        match name {
            "Algo" => algorithm = reader.get()?,
            _ => body = reader.raw()?,
        }
        Ok(())
    })?;
    if algorithm != ALGORITHM {
        return Err(Malformed("an unknown compression"));
    }
    Ok(body)
}

/// What `body` expands to, at most `largest` bytes, given to `take` piece by piece until it wants no more.
pub fn expand(
    body: &[u8],
    largest: usize,
    mut take: impl FnMut(&[u8]) -> Result<bool, Malformed>,
) -> Result<(), Malformed> {
    let mut decoder = decode::Decoder::new(BitOrder::Lsb, LITERAL);
    let mut chunk = vec![0; CHUNK.min(largest.saturating_add(1))];
    let (mut rest, mut total) = (body, 0);
    loop {
        let made = decoder.decode_bytes(rest, &mut chunk);
        rest = rest.get(made.consumed_in..).unwrap_or_default();
        total += made.consumed_out;
        if total > largest {
            return Err(Malformed("more than a message is when it is expanded"));
        }
        if !take(chunk.get(..made.consumed_out).unwrap_or_default())? {
            return Ok(());
        }
        match made.status {
            Ok(LzwStatus::Ok) => {}
            Ok(LzwStatus::Done) => return Ok(()),
            Ok(LzwStatus::NoProgress) => return Err(Malformed("compressed bytes that do not end")),
            Err(_) => return Err(Malformed("compressed bytes that are broken")),
        }
    }
}

/// What `body` expands to, at most `largest` bytes.
pub fn expanded(body: &[u8], largest: usize) -> Result<Vec<u8>, Malformed> {
    let mut whole = Vec::new();
    expand(body, largest, |chunk| {
        whole.extend_from_slice(chunk);
        Ok(true)
    })?;
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::{body, compressed, expanded};
    use crate::gossip::Dice;
    use crate::gossip::dice::tests::Seeded;

    fn small(bytes: &[u8]) -> Vec<u8> {
        body(&compressed(bytes).unwrap()[1..]).unwrap().into_owned()
    }

    #[test]
    fn it_comes_back_as_it_was() {
        let mut dice = Seeded(1);
        for length in [0, 1, 2, 61, 1400, 4095, 5000, 65_535, 300_000] {
            let letters: Vec<u8> = (0..length).map(|_| b'a' + dice.below(3) as u8).collect();
            let mut noise = vec![0; length];
            dice.fill(&mut noise);
            for bytes in [letters, noise, vec![0; length]] {
                assert_eq!(expanded(&small(&bytes), length).unwrap(), bytes);
            }
        }
    }

    #[test]
    fn a_bomb_is_cut_short() {
        let bomb = small(&vec![0; 8 << 20]);
        assert!(bomb.len() < 8_000, "{}", bomb.len());
        assert!(expanded(&bomb, 65_535).is_err());
        assert!(expanded(&small(b"ab"), 1).is_err());
        assert!(expanded(&small(b"ab"), 2).is_ok());
    }

    #[test]
    fn what_is_cut_off_does_not_end() {
        let whole = small(&vec![7; 2000]);
        for cut in 0..whole.len() {
            assert!(expanded(&whole[..cut], 10_000).is_err(), "{cut}");
        }
        let mut longer = whole.clone();
        longer.extend_from_slice(b"what comes behind is not looked at");
        assert_eq!(expanded(&longer, 10_000).unwrap(), vec![7; 2000]);
    }

    #[test]
    fn another_compression_is_refused() {
        let mut frame = compressed(b"a").unwrap();
        frame[7] = 1;
        assert!(body(&frame[1..]).is_err());
        assert!(body(b"\x80").unwrap().is_empty());
        assert!(expanded(b"", 10).is_err());
    }
}
