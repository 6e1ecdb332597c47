//! A request as the number that is queued beside [`SIGNAL`].
//!
//! A number is all that a signal carries, so a unit is named by its place in the status document, and the document's
//! generation goes along: numbers that were read from an older table are refused, not misapplied.

use std::fmt;

use crate::unit::signal::RTMIN;
use crate::unit::{Request, UnitId, Wish};

/// The signal of requests. Real-time signals queue: none is merged with another, none is lost.
pub const SIGNAL: i32 = RTMIN + 8;

/// The layout below, from the lowest bit on: 16 bits unit, 2 wish, 6 generation, 4 seal, 4 layout.
const LAYOUT: u32 = 0xA;
/// What a later version would use for what has no room in this one.
const NEXT_LAYOUT: u32 = 0xB;
const WISH_AT: u32 = 16;
const WISH: u32 = 0x3;
const GENERATION_AT: u32 = 18;
const GENERATION: u32 = 0x3f;
const SEAL_AT: u32 = 24;
const LAYOUT_AT: u32 = 28;

/// Why a signal is no request to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It was sent without a number (`kill`), or with one that no `initctl` makes.
    Stray,
    /// It was made for a newer `clusteros-init`.
    Unknown,
    /// Another table was running when the unit's number was looked up.
    Stale,
    /// The table has no unit with this number.
    NoUnit(UnitId),
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Stray => write!(out, "its number is no request; \"initctl help\" lists what can be asked"),
            Refusal::Unknown => write!(out, "it asks for what this version does not know; nothing was changed"),
            Refusal::Stale => write!(out, "it was made for another unit table; nothing was changed, ask again"),
            Refusal::NoUnit(unit) => write!(out, "there is no unit number {}; nothing was changed", unit.0),
        }
    }
}

/// The number that stands for `request` while the table of this generation runs.
pub fn number(request: Request, generation: u64) -> i32 {
    let wish: u32 = match request.wish {
        Wish::Start => 0,
        Wish::Stop => 1,
        Wish::Restart => 2,
        Wish::Reload => 3,
    };
    let bare = u32::from(request.unit.0) | wish << WISH_AT | low(generation) << GENERATION_AT | LAYOUT << LAYOUT_AT;
    (bare | seal(bare) << SEAL_AT).cast_signed()
}

/// The request that `number` stands for, where the table of this generation has `units` units.
///
/// # Errors
/// Why it is refused.
pub fn read(number: Option<i32>, generation: u64, units: usize) -> Result<Request, Refusal> {
    let bits = number.ok_or(Refusal::Stray)?.cast_unsigned();
    let bare = bits & !(0xf << SEAL_AT);
    match bits >> LAYOUT_AT {
        _ if bits >> SEAL_AT & 0xf != seal(bare) => return Err(Refusal::Stray),
        LAYOUT => {}
        NEXT_LAYOUT => return Err(Refusal::Unknown),
        _ => return Err(Refusal::Stray),
    }
    let wish = match bits >> WISH_AT & WISH {
        0 => Wish::Start,
        1 => Wish::Stop,
        2 => Wish::Restart,
        _ => Wish::Reload,
    };
    if bits >> GENERATION_AT & GENERATION != low(generation) {
        return Err(Refusal::Stale);
    }
    let unit = UnitId((bits & 0xffff) as u16);
    if unit.index() >= units {
        return Err(Refusal::NoUnit(unit));
    }
    Ok(Request { unit, wish })
}

/// As much of a generation as fits: a number would have to outlive 63 reloads to be mistaken.
fn low(generation: u64) -> u32 {
    (generation & u64::from(GENERATION)) as u32
}

/// All nibbles of `bare`, folded: a change of any one of them shows.
fn seal(bare: u32) -> u32 {
    (0..8).fold(0x5, |folded, place| folded ^ (bare >> (4 * place) & 0xf))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WISHES: [Wish; 4] = [Wish::Start, Wish::Stop, Wish::Restart, Wish::Reload];
    const ALL: usize = 1 << 16;

    #[test]
    fn every_request_comes_back() {
        for unit in 0..=u16::MAX {
            for wish in WISHES {
                let request = Request { unit: UnitId(unit), wish };
                for generation in [0, 1, 63, 64, u64::MAX] {
                    assert_eq!(read(Some(number(request, generation)), generation, ALL), Ok(request));
                }
            }
        }
        for generation in 0..=GENERATION {
            let request = Request { unit: UnitId(7), wish: Wish::Stop };
            assert_eq!(read(Some(number(request, generation.into())), generation.into(), ALL), Ok(request));
        }
    }

    #[test]
    fn no_two_requests_share_a_number() {
        let mut seen = std::collections::HashSet::new();
        for unit in (0..=u16::MAX).step_by(97) {
            for wish in WISHES {
                for generation in 0..64 {
                    assert!(seen.insert(number(Request { unit: UnitId(unit), wish }, generation)));
                }
            }
        }
    }

    #[test]
    fn a_number_of_another_table_is_refused() {
        let request = Request { unit: UnitId(0), wish: Wish::Restart };
        for made in 0..64_u64 {
            for running in 0..64_u64 {
                let expected = if made == running { Ok(request) } else { Err(Refusal::Stale) };
                assert_eq!(read(Some(number(request, made)), running, 1), expected, "{made} {running}");
            }
        }
        let beyond = Request { unit: UnitId(3), wish: Wish::Stop };
        assert_eq!(read(Some(number(beyond, 1)), 1, 3), Err(Refusal::NoUnit(UnitId(3))));
        assert_eq!(read(Some(number(beyond, 1)), 1, 4), Ok(beyond));
    }

    #[test]
    fn stray_numbers_are_refused() {
        assert_eq!(read(None, 1, ALL), Err(Refusal::Stray));
        for stray in [0, 1, -1, 42, i32::MIN, i32::MAX] {
            assert_eq!(read(Some(stray), 1, ALL), Err(Refusal::Stray), "{stray}");
        }
        for wish in WISHES {
            let good = number(Request { unit: UnitId(0x1234), wish }, 1);
            for bit in 0..32 {
                assert_eq!(read(Some(good ^ 1 << bit), 1, ALL), Err(Refusal::Stray), "{good:#x} {bit}");
            }
        }
    }

    #[test]
    fn of_all_other_numbers_nearly_none_is_taken() {
        // Every 251st of all: 251 is prime to the layout, so that every field takes every value.
        let all = (0..=u32::MAX).step_by(251);
        let taken = all.clone().filter(|bits| read(Some(bits.cast_signed()), 1, 10).is_ok()).count();
        assert!(taken <= 3, "{taken} of {}", all.count());
    }

    #[test]
    fn the_layout_is_what_older_programs_know() {
        let number = |unit, wish, generation| number(Request { unit: UnitId(unit), wish }, generation).cast_unsigned();
        assert_eq!(number(0, Wish::Start, 1), 0xab04_0000);
        assert_eq!(number(1, Wish::Stop, 1), 0xab05_0001);
        assert_eq!(number(0xffff, Wish::Restart, 63), 0xaefe_ffff);
        assert_eq!(number(1, Wish::Reload, 1), 0xa907_0001);
        let newer = 0xb807_0001_u32;
        assert_eq!(read(Some(newer.cast_signed()), 1, 10), Err(Refusal::Unknown));
    }

    #[test]
    fn refusals_in_words() {
        for (refusal, words) in [
            (Refusal::Stray, "its number is no request; \"initctl help\" lists what can be asked"),
            (Refusal::Unknown, "it asks for what this version does not know; nothing was changed"),
            (Refusal::Stale, "it was made for another unit table; nothing was changed, ask again"),
            (Refusal::NoUnit(UnitId(9)), "there is no unit number 9; nothing was changed"),
        ] {
            assert_eq!(refusal.to_string(), words);
        }
    }
}
