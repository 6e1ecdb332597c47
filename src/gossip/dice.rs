//! Where the machines' random choices come from: the kernel in `gossipd`, a seed in a simulation.

/// A source of random numbers.
pub trait Dice {
    /// A number, each of the 2^64 equally likely.
    fn next(&mut self) -> u64;

    /// A number from 0 to `count` - 1; 0 if `count` is 0.
    fn below(&mut self, count: usize) -> usize {
        // The bias is `count` / 2^64.
        (self.next() % (count as u64).max(1)) as usize
    }

    /// A number from 0 up to, but not, 1.
    fn fraction(&mut self) -> f64 {
        // As many bits as the fraction of an f64 holds.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Fills `bytes`.
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.next().to_le_bytes();
            chunk.iter_mut().zip(number).for_each(|(to, from)| *to = from);
        }
    }
}

/// Brings `items` into an order, each equally likely (Fisher and Yates).
pub fn shuffle<T>(dice: &mut dyn Dice, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, dice.below(last + 1));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Dice, shuffle};

    /// SplitMix64.
    pub struct Seeded(pub u64);

    impl Dice for Seeded {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }
    }

    #[test]
    fn every_number_comes_up_and_none_beyond() {
        let mut dice = Seeded(1);
        let mut seen = [0; 7];
        (0..700).for_each(|_| seen[dice.below(7)] += 1);
        assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
        assert_eq!(dice.below(0), 0);
        assert!((0..1000).map(|_| dice.fraction()).all(|number| (0.0..1.0).contains(&number)));
    }

    #[test]
    fn shuffling_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        shuffle(&mut Seeded(2), &mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_buffer_is_filled_to_its_last_byte() {
        let mut bytes = [0; 13];
        Seeded(3).fill(&mut bytes);
        assert_ne!(bytes[8..], [0; 5]);
    }
}
