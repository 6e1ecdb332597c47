//! What was heard lately (section 3.4): 512 slots by Lamport time, so that everything is taken once.

use std::collections::BTreeSet;

/// Slots, and how far behind the clock something may be.
pub const SLOTS: usize = 512;

/// Whether something is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is new, and remembered now.
    New,
    /// It was taken before.
    Seen,
    /// It is from before what this node remembers, or wants to hear.
    Old,
    /// Too much happened at this very time to remember more.
    Full,
}

#[derive(Debug)]
struct Slot<T> {
    time: u64,
    items: BTreeSet<T>,
    weight: usize,
}

/// What happened at the last 512 times of a clock.
#[derive(Debug)]
pub struct Ring<T> {
    slots: Vec<Slot<T>>,
    minimum: u64,
    weight: usize,
    capacity: usize,
}

impl<T: Ord + Clone> Ring<T> {
    /// A ring whose items weigh `capacity` at most, all together. Serf's own knows no such bound; at the bound the
    /// oldest slots are forgotten, and nothing from their times is taken any more.
    pub fn new(capacity: usize) -> Ring<T> {
        Ring { slots: Vec::new(), minimum: 0, weight: 0, capacity }
    }

    /// Nothing from before `time` is taken from now on.
    pub fn ignore_before(&mut self, time: u64) {
        self.minimum = self.minimum.max(time);
    }

    /// Takes what happened at `time`, unless it was taken or is too old by the clock, which has witnessed `time`.
    pub fn admit(&mut self, time: u64, clock: u64, item: &T, weight: usize) -> Verdict {
        if time < self.minimum || time < clock.saturating_sub(SLOTS as u64) {
            return Verdict::Old;
        }
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || Slot { time: 0, items: BTreeSet::new(), weight: 0 });
        }
        let index = (time % SLOTS as u64) as usize;
        if let Some(slot) = self.slots.get_mut(index)
            && slot.time != time
        {
            self.weight -= slot.weight;
            *slot = Slot { time, items: BTreeSet::new(), weight: 0 };
        }
        if self.slots.get(index).is_some_and(|slot| slot.items.contains(item)) {
            return Verdict::Seen;
        }
        while self.weight.saturating_add(weight) > self.capacity {
            if !self.forget_before(time) {
                return Verdict::Full;
            }
        }
        if let Some(slot) = self.slots.get_mut(index) {
            slot.items.insert(item.clone());
            slot.weight += weight;
            self.weight += weight;
        }
        Verdict::New
    }

    /// Forgets the oldest slot that is older than `time`; answers whether there was one.
    fn forget_before(&mut self, time: u64) -> bool {
        let older = self.slots.iter_mut().filter(|slot| slot.time < time && !slot.items.is_empty());
        let Some(oldest) = older.min_by_key(|slot| slot.time) else { return false };
        self.weight -= oldest.weight;
        self.minimum = self.minimum.max(oldest.time.saturating_add(1));
        oldest.items = BTreeSet::new();
        oldest.weight = 0;
        true
    }

    /// Every slot in its order; one that is empty is none.
    pub fn slots(&self) -> impl Iterator<Item = Option<(u64, &BTreeSet<T>)>> {
        let of = |slot: &'_ Slot<T>| -> bool { !slot.items.is_empty() };
        (0..SLOTS).map(move |index| self.slots.get(index).filter(|slot| of(slot)).map(|slot| (slot.time, &slot.items)))
    }

    /// What the items weigh, all together.
    #[cfg(test)]
    pub fn weight(&self) -> usize {
        self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::{Ring, Verdict};

    #[test]
    fn section_3_4_everything_is_taken_once() {
        let mut ring = Ring::new(1000);
        assert_eq!(ring.admit(1, 2, &"a", 1), Verdict::New);
        assert_eq!(ring.admit(1, 2, &"a", 1), Verdict::Seen);
        assert_eq!(ring.admit(1, 2, &"b", 1), Verdict::New);
        assert_eq!(ring.admit(2, 3, &"a", 1), Verdict::New);
    }

    #[test]
    fn section_3_4_what_is_more_than_512_behind_the_clock_is_old() {
        let mut ring = Ring::new(1000);
        assert_eq!(ring.admit(600, 601, &"a", 1), Verdict::New);
        assert_eq!(ring.admit(88, 601, &"a", 1), Verdict::Old);
        assert_eq!(ring.admit(89, 601, &"a", 1), Verdict::New);
        // A new time takes the slot of one that is 512 older.
        assert_eq!(ring.admit(601, 602, &"b", 1), Verdict::New);
        assert_eq!(ring.weight(), 2);
        assert_eq!(ring.admit(0, 513, &"c", 1), Verdict::Old);
        assert_eq!(Ring::new(9).admit(0, 512, &"c", 1), Verdict::New);
    }

    #[test]
    fn section_3_4_what_is_before_the_minimum_is_old() {
        let mut ring = Ring::new(1000);
        ring.ignore_before(5);
        ring.ignore_before(3);
        assert_eq!(ring.admit(4, 5, &"a", 1), Verdict::Old);
        assert_eq!(ring.admit(5, 6, &"a", 1), Verdict::New);
    }

    #[test]
    fn a_full_ring_forgets_its_oldest_and_never_takes_from_that_time_again() {
        let mut ring = Ring::new(3);
        for (time, item) in [(1, 'a'), (2, 'a'), (2, 'b')] {
            assert_eq!(ring.admit(time, 3, &item, 1), Verdict::New);
        }
        assert_eq!(ring.admit(3, 4, &'a', 1), Verdict::New);
        assert_eq!(ring.admit(1, 4, &'a', 1), Verdict::Old);
        assert_eq!(ring.weight(), 3);
        assert_eq!(ring.admit(9, 10, &'x', 4), Verdict::Full);
    }

    #[test]
    fn a_full_time_takes_no_more() {
        let mut ring = Ring::new(2);
        assert_eq!(ring.admit(1, 2, &'a', 1), Verdict::New);
        assert_eq!(ring.admit(1, 2, &'b', 1), Verdict::New);
        assert_eq!(ring.admit(1, 2, &'c', 1), Verdict::Full);
        assert_eq!(ring.admit(1, 2, &'b', 1), Verdict::Seen);
        assert_eq!(ring.weight(), 2);
    }

    #[test]
    fn section_3_5_an_idle_ring_has_512_empty_slots() {
        let mut ring = Ring::<char>::new(2);
        assert_eq!(ring.slots().filter(Option::is_none).count(), 512);
        ring.admit(513, 514, &'a', 1);
        assert_eq!(ring.slots().nth(1).flatten().map(|(time, items)| (time, items.len())), Some((513, 1)));
    }
}
