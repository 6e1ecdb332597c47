//! How long to wait between two starts.

use std::time::Duration;

use super::table::Backoff;

/// A unit that was up this long, or twice its last delay if that is longer, has recovered: its failures are forgotten.
pub const RECOVERED_AFTER: Duration = Duration::from_secs(60);

impl Backoff {
    /// The time from a start to the next one after `failures` failures in a row (1 and up): `first` doubled for each
    /// further failure, at most `cap`, and then up to an eighth more or less, so that a fleet does not restart in step.
    /// The jitter is a hash of its arguments: the same node, unit and count give the same delay. Never zero.
    pub fn delay(&self, failures: u32, seed: u64, name: &str) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let plain = self.first.saturating_mul(1 << doublings).min(self.cap);
        let part = hash(seed, name, failures) % 1024;
        let nanos = plain.as_nanos().min(u128::from(u64::MAX)) as u64;
        let spread = u128::from(nanos) * u128::from(part) / 4096;
        let jittered = (nanos - nanos / 8).saturating_add(u64::try_from(spread).unwrap_or(u64::MAX));
        Duration::from_nanos(jittered.max(1_000_000))
    }
}

/// FNV-1a over the three, finished by the mixer of SplitMix64 so that near inputs give far outputs.
fn hash(seed: u64, name: &str, failures: u32) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for byte in seed.to_le_bytes().iter().chain(name.as_bytes()).chain(&failures.to_le_bytes()) {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_cap_within_an_eighth() {
        let backoff = Backoff::default();
        for (failures, plain) in [(1, 250), (2, 500), (3, 1000), (7, 16_000), (8, 30_000), (40, 30_000)] {
            for seed in 0..200 {
                let delay = backoff.delay(failures, seed, "gossip").as_secs_f64() * 1000.0;
                let ratio = delay / f64::from(plain);
                assert!((0.874..=1.126).contains(&ratio), "{failures} failures, seed {seed}: {delay} ms");
            }
        }
    }

    #[test]
    fn the_same_arguments_give_the_same_delay_and_others_another() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(3, 1, "k3s"), backoff.delay(3, 1, "k3s"));
        let distinct: std::collections::BTreeSet<_> = (0..50).map(|seed| backoff.delay(3, seed, "k3s")).collect();
        assert!(distinct.len() > 40);
    }
}
