//! Lamport's clocks (section 3.2): numbers that order what happened without anybody's watch.

/// A clock. It is 1 at the start: 0 is a member of whom nothing was ever said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock(u64);

impl Default for Clock {
    fn default() -> Clock {
        Clock(1)
    }
}

impl Clock {
    /// What the next thing that happens here is stamped with.
    pub fn time(self) -> u64 {
        self.0
    }

    /// Something happened elsewhere at `time`: here it is later. The last number there is stays: a clock never goes back.
    pub fn witness(&mut self, time: u64) {
        if time >= self.0 {
            self.0 = time.saturating_add(1);
        }
    }

    /// The stamp for something that happens here now.
    pub fn stamp(&mut self) -> u64 {
        let time = self.0;
        self.witness(time);
        time
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn section_3_2_a_clock_is_one_at_the_start_and_passes_what_it_hears() {
        let mut clock = Clock::default();
        assert_eq!(clock.time(), 1);
        clock.witness(0);
        assert_eq!(clock.time(), 1);
        clock.witness(1);
        assert_eq!(clock.time(), 2);
        clock.witness(41);
        assert_eq!(clock.time(), 42);
        clock.witness(7);
        assert_eq!(clock.time(), 42);
    }

    #[test]
    fn section_3_2_a_stamp_is_the_time_before_it_moves_on() {
        let mut clock = Clock::default();
        assert_eq!((clock.stamp(), clock.stamp(), clock.time()), (1, 2, 3));
    }

    #[test]
    fn a_clock_at_its_end_does_not_begin_again() {
        let mut clock = Clock::default();
        clock.witness(u64::MAX);
        assert_eq!((clock.stamp(), clock.time()), (u64::MAX, u64::MAX));
    }
}
