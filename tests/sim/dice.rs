//! SplitMix64: the same seed, the same lifetime. Before it come the numbers that were dealt, if any were: whoever makes those
//! fewer and smaller makes the lifetime shorter.

pub struct Dice {
    seed: u64,
    dealt: Vec<u64>,
}

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice { seed, dealt: Vec::new() }
    }

    pub fn dealt(mut numbers: Vec<u64>) -> Dice {
        numbers.reverse();
        Dice { seed: 0, dealt: numbers }
    }

    pub fn next(&mut self) -> u64 {
        if let Some(number) = self.dealt.pop() {
            return number;
        }
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0..below.
    pub fn below(&mut self, below: u64) -> u64 {
        self.next() % below.max(1)
    }

    /// True `percent` times in a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}
