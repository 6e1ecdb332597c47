//! How well this node itself is, by what it sees of others (Lifeguard's local health; section 2.3).

use std::time::Duration;

/// A score from 0, which is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awareness {
    score: u32,
    limit: u32,
}

impl Awareness {
    /// A node that is well, with scores below `limit`.
    pub fn new(limit: u32) -> Awareness {
        Awareness { score: 0, limit }
    }

    /// The score.
    pub fn score(self) -> u32 {
        self.score
    }

    /// Better by one.
    pub fn improve(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    /// Worse by that much.
    pub fn worsen(&mut self, by: u32) {
        self.score = self.score.saturating_add(by).min(self.limit.saturating_sub(1));
    }

    /// As long as a node takes that is as unwell as this one.
    pub fn stretch(self, span: Duration) -> Duration {
        span * (self.score + 1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Awareness;

    #[test]
    fn the_score_stays_between_its_ends_2_3() {
        let mut awareness = Awareness::new(8);
        awareness.improve();
        assert_eq!(awareness.score(), 0);
        awareness.worsen(3);
        assert_eq!(awareness.stretch(Duration::from_secs(1)), Duration::from_secs(4));
        awareness.worsen(9);
        assert_eq!(awareness.score(), 7);
        awareness.improve();
        assert_eq!(awareness.score(), 6);
    }
}
