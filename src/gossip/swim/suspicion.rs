//! A suspicion: the shorter the more confirm it (Lifeguard; section 2.4).

use std::time::Duration;

use crate::gossip::Name;
use crate::unit::Time;

/// Somebody is believed to be gone, unless it objects in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    since: Time,
    min: Duration,
    max: Duration,
    wanted: u32,
    accuser: Name,
    confirmed: Vec<Name>,
}

impl Suspicion {
    /// A suspicion by `accuser` that lasts `max`, and `min` once `wanted` others confirmed it.
    pub fn new(accuser: Name, wanted: u32, min: Duration, max: Duration, now: Time) -> Suspicion {
        Suspicion { since: now, min, max, wanted, accuser, confirmed: Vec::new() }
    }

    /// Somebody confirms it. Whether that is news, for others, too.
    pub fn confirm(&mut self, from: &Name) -> bool {
        let enough = self.confirmed.len() >= self.wanted as usize;
        if enough || *from == self.accuser || self.confirmed.contains(from) {
            return false;
        }
        self.confirmed.push(from.clone());
        true
    }

    /// How many confirmed it, the accuser not counted.
    pub fn confirmations(&self) -> usize {
        self.confirmed.len()
    }

    /// When it ends.
    pub fn until(&self) -> Time {
        if self.wanted == 0 {
            return self.since + self.min;
        }
        let part = (self.confirmed.len() as f64 + 1.0).ln() / (f64::from(self.wanted) + 1.0).ln();
        let (min, max) = (self.min.as_secs_f64(), self.max.as_secs_f64());
        let millis = (1000.0 * (max - part * (max - min))).max(0.0).floor();
        self.since + Duration::from_millis(millis as u64).max(self.min)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Suspicion;
    use crate::unit::Time;

    const START: Time = Time::from_nanos(5_000_000_000);

    fn suspicion(wanted: u32) -> Suspicion {
        Suspicion::new("a".into(), wanted, Duration::from_secs(4), Duration::from_secs(24), START)
    }

    fn millis(suspicion: &Suspicion) -> u128 {
        suspicion.until().since(START).as_millis()
    }

    #[test]
    fn it_shrinks_with_each_that_confirms_2_4() {
        let mut suspicion = suspicion(3);
        let mut seen = vec![millis(&suspicion)];
        for from in ["b", "c", "d"] {
            assert!(suspicion.confirm(&from.into()));
            seen.push(millis(&suspicion));
        }
        // 24 - 20 x ln(c + 1) / ln(4)
        assert_eq!(seen, [24_000, 14_000, 8_150, 4_000]);
    }

    #[test]
    fn nobody_confirms_twice_nor_the_accuser_nor_more_than_wanted_2_4() {
        let mut suspicion = suspicion(2);
        assert!(!suspicion.confirm(&"a".into()));
        assert!(suspicion.confirm(&"b".into()));
        assert!(!suspicion.confirm(&"b".into()));
        assert!(suspicion.confirm(&"c".into()));
        assert!(!suspicion.confirm(&"d".into()));
        assert_eq!((suspicion.confirmations(), millis(&suspicion)), (2, 4_000));
    }

    #[test]
    fn with_nobody_to_confirm_it_is_short_2_4() {
        let mut suspicion = suspicion(0);
        assert!(!suspicion.confirm(&"b".into()));
        assert_eq!(millis(&suspicion), 4_000);
    }
}
