//! Random numbers from the kernel.

use crate::gossip::Dice;

/// As many bytes are asked for at once.
const STOCK: usize = 256;

/// The kernel's dice.
#[derive(Debug)]
pub struct Kernel {
    stock: [u8; STOCK],
    used: usize,
}

impl Kernel {
    /// Dice that have yet to be thrown.
    pub const fn new() -> Kernel {
        Kernel { stock: [0; STOCK], used: STOCK }
    }
}

impl Dice for Kernel {
    fn next(&mut self) -> u64 {
        if self.used + 8 > STOCK {
            // Without it no nonce would be a nonce, and the kernel has had it since its start.
            if getrandom::fill(&mut self.stock).is_err() {
                std::process::abort();
            }
            self.used = 0;
        }
        let mut number = [0; 8];
        if let Some(bytes) = self.stock.get_mut(self.used..self.used + 8) {
            number.copy_from_slice(bytes);
            // What was used is nowhere any more.
            bytes.fill(0);
        }
        self.used += 8;
        u64::from_le_bytes(number)
    }
}

#[cfg(test)]
mod tests {
    use super::Kernel;
    use crate::gossip::Dice;

    #[test]
    fn no_number_comes_twice() {
        let mut dice = Kernel::new();
        let numbers: std::collections::BTreeSet<_> = (0..1000).map(|_| dice.next()).collect();
        assert_eq!(numbers.len(), 1000);
    }
}
