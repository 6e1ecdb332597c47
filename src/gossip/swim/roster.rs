//! All members, by name, by chance and in the order of probing.

use std::collections::HashMap;
use std::time::Duration;

use super::member::{Member, State};
use crate::gossip::{Dice, Name, dice};
use crate::unit::Time;

/// The place of a member, until it is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot(u32);

/// The place of this node, which is never forgotten.
pub(super) const ME: Slot = Slot(0);

/// A cluster up to this size is looked through as a whole for who is to be picked; in a larger one chance finds somebody.
const FEW: usize = 64;

/// All members.
#[derive(Clone, Debug)]
pub(super) struct Roster {
    slots: Vec<Option<Member>>,
    free: Vec<Slot>,
    /// Never walked over: its order is nobody's.
    names: HashMap<Name, Slot>,
    ring: Vec<Slot>,
    cursor: usize,
    /// How many are not gone.
    present: usize,
    capacity: usize,
}

impl Roster {
    /// This node alone, and room for `capacity` members.
    pub fn new(me: Member, capacity: usize) -> Roster {
        let names = HashMap::from([(me.name.clone(), ME)]);
        let present = usize::from(!me.state.is_gone());
        Roster { slots: vec![Some(me)], free: Vec::new(), names, ring: vec![ME], cursor: 0, present, capacity }
    }

    /// How many there are, this node and those that are gone but not forgotten, too.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// How many others are not gone.
    pub fn present_others(&self) -> usize {
        let me = self.get(ME).is_some_and(|me| !me.state.is_gone());
        self.present.saturating_sub(usize::from(me))
    }

    /// Where the member of this name is.
    pub fn find(&self, name: &Name) -> Option<Slot> {
        self.names.get(name).copied()
    }

    /// The member there.
    pub fn get(&self, slot: Slot) -> Option<&Member> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    /// Changes the member there.
    pub fn change(&mut self, slot: Slot, change: impl FnOnce(&mut Member)) {
        if let Some(Some(member)) = self.slots.get_mut(slot.0 as usize) {
            let before = member.state.is_gone();
            change(member);
            match (before, member.state.is_gone()) {
                (true, false) => self.present += 1,
                (false, true) => self.present -= 1,
                (true, true) | (false, false) => {}
            }
        }
    }

    /// Everybody.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.ring.iter().filter_map(|slot| self.get(*slot))
    }

    /// One more, at a chance place of the ring. Nothing, if there is no room or the name is taken.
    pub fn insert(&mut self, member: Member, dice: &mut dyn Dice) -> Option<Slot> {
        if self.len() >= self.capacity || self.names.contains_key(&member.name) {
            return None;
        }
        self.present += usize::from(!member.state.is_gone());
        let name = member.name.clone();
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                Slot(self.slots.len() as u32 - 1)
            }
        };
        if let Some(place) = self.slots.get_mut(slot.0 as usize) {
            *place = Some(member);
        }
        self.names.insert(name, slot);
        let last = self.ring.len();
        let place = dice.below(last);
        self.ring.push(slot);
        self.ring.swap(place, last);
        Some(slot)
    }

    /// Makes way for so many more at once.
    pub fn reserve(&mut self, more: usize) {
        self.slots.reserve_exact(more);
        self.names.reserve(more);
        self.ring.reserve_exact(more);
    }

    /// Whether there is room for one more.
    pub fn has_room(&self) -> bool {
        self.len() < self.capacity
    }

    /// Forgets who has been gone for longer than `keep`.
    pub fn forget(&mut self, now: Time, keep: Duration) {
        let Roster { slots, free, names, ring, present, .. } = self;
        ring.retain(|slot| {
            let Some(place) = slots.get_mut(slot.0 as usize) else { return false };
            let old = |member: &Member| member.state.is_gone() && now.since(member.since) > keep;
            if *slot == ME || !place.as_ref().is_some_and(old) {
                return true;
            }
            if let Some(member) = place.take() {
                names.remove(&member.name);
                *present -= usize::from(!member.state.is_gone());
            }
            free.push(*slot);
            false
        });
    }

    /// Who is to be probed: everybody else who is not gone, in turn. With each turn the order is another, and who has been gone for
    /// longer than `keep` is forgotten.
    pub fn next_to_probe(&mut self, now: Time, keep: Duration, dice: &mut dyn Dice) -> Option<Slot> {
        let mut seen = 0;
        while seen < self.ring.len() {
            let Some(slot) = self.ring.get(self.cursor).copied() else {
                self.forget(now, keep);
                dice::shuffle(dice, &mut self.ring);
                self.cursor = 0;
                seen += 1;
                continue;
            };
            self.cursor += 1;
            if slot != ME && self.get(slot).is_some_and(|member| !member.state.is_gone()) {
                return Some(slot);
            }
            seen += 1;
        }
        None
    }

    /// Up to `count` others for whom `fits` holds, each as likely as any other. In a large cluster where it holds for few, they
    /// may be fewer than there are.
    pub fn pick(&self, count: usize, dice: &mut dyn Dice, fits: impl Fn(Slot, &Member) -> bool) -> Vec<Slot> {
        let suits = |slot: Slot| slot != ME && self.get(slot).is_some_and(|member| fits(slot, member));
        let mut picked = Vec::with_capacity(count.min(8));
        if self.ring.len() <= FEW {
            let mut fitting: Vec<_> = self.ring.iter().copied().filter(|slot| suits(*slot)).collect();
            while picked.len() < count && !fitting.is_empty() {
                picked.push(fitting.swap_remove(dice.below(fitting.len())));
            }
            return picked;
        }
        for _ in 0..3 * self.ring.len() {
            if picked.len() >= count {
                break;
            }
            let Some(slot) = self.ring.get(dice.below(self.ring.len())).copied() else { break };
            if suits(slot) && !picked.contains(&slot) {
                picked.push(slot);
            }
        }
        picked
    }

    /// Everybody else that is alive.
    pub fn pick_alive(&self, count: usize, dice: &mut dyn Dice, but: Option<Slot>) -> Vec<Slot> {
        self.pick(count, dice, |slot, member| member.state == State::Alive && Some(slot) != but)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::member::{Member, Record, State};
    use super::{ME, Roster};
    use crate::gossip::Name;
    use crate::gossip::dice::tests::Seeded;
    use crate::gossip::wire::message::{Addr, VSN};
    use crate::unit::Time;

    const KEEP: Duration = Duration::from_secs(30);

    fn member(name: usize, state: State) -> Member {
        let name = Name::from(name.to_string().as_str());
        let record = Record { name, addr: Addr(vec![10, 0, 0, 1]), port: 7946, meta: Vec::new(), vsn: VSN };
        Member { record: Arc::new(record), incarnation: 1, state, since: Time::ZERO }
    }

    fn roster(others: usize, capacity: usize) -> Roster {
        let mut roster = Roster::new(member(0, State::Alive), capacity);
        (1..=others).for_each(|name| {
            roster.insert(member(name, State::Alive), &mut Seeded(name as u64));
        });
        roster
    }

    #[test]
    fn each_turn_probes_everybody_else_once_2_2() {
        let (mut roster, mut dice) = (roster(20, 100), Seeded(1));
        let gone = roster.find(&"7".into()).expect("it is there");
        roster.change(gone, |member| member.state = State::Left);
        // The first turn ends before the second begins.
        for turn in 0..5 {
            let now = Time::ZERO + Duration::from_secs(turn);
            let probed: BTreeSet<_> =
                (0..19).map(|_| roster.next_to_probe(now, KEEP, &mut dice).expect("somebody is there")).collect();
            assert_eq!(probed.len(), 19, "turn {turn}");
            assert!(!probed.contains(&ME) && !probed.contains(&gone));
        }
    }

    #[test]
    fn who_is_long_gone_is_forgotten_on_the_turn_2_2() {
        let (mut roster, mut dice) = (roster(3, 100), Seeded(1));
        for (name, state) in [("1", State::Dead), ("2", State::Left)] {
            let slot = roster.find(&name.into()).expect("it is there");
            roster.change(slot, |member| member.state = state);
        }
        assert_eq!(roster.present_others(), 1);
        for _ in 0..4 {
            roster.next_to_probe(Time::ZERO + KEEP, KEEP, &mut dice);
        }
        assert_eq!(roster.len(), 4);
        let later = Time::ZERO + KEEP + Duration::from_secs(1);
        for _ in 0..4 {
            roster.next_to_probe(later, KEEP, &mut dice);
        }
        assert_eq!(roster.len(), 2);
        assert_eq!(roster.find(&"1".into()), None);
        // Their places are used again.
        assert!(roster.insert(member(9, State::Alive), &mut dice).is_some_and(|slot| slot.0 <= 2));
        assert_eq!(roster.iter().count(), 3);
    }

    #[test]
    fn nobody_to_probe_is_no_endless_search_2_2() {
        let (mut roster, mut dice) = (roster(1, 100), Seeded(1));
        let slot = roster.find(&"1".into()).expect("it is there");
        roster.change(slot, |member| member.state = State::Dead);
        assert_eq!(roster.next_to_probe(Time::ZERO, KEEP, &mut dice), None);
        let mut alone = Roster::new(member(0, State::Alive), 10);
        assert_eq!(alone.next_to_probe(Time::ZERO, KEEP, &mut dice), None);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut roster = roster(20, 10);
        assert_eq!(roster.len(), 10);
        assert!(!roster.has_room());
        assert_eq!(roster.insert(member(1, State::Alive), &mut Seeded(1)), None);
    }

    #[test]
    fn who_is_picked_is_chance_2_6() {
        for others in [10, 500] {
            let (roster, mut dice) = (roster(others, 1000), Seeded(1));
            let mut times = vec![0; others + 1];
            for _ in 0..others * 100 {
                let picked = roster.pick_alive(3, &mut dice, None);
                let different: BTreeSet<_> = picked.iter().collect();
                assert_eq!(different.len(), 3);
                picked.iter().for_each(|slot| times[slot.0 as usize] += 1);
            }
            assert_eq!(times[0], 0);
            assert!(times[1..].iter().all(|times| (200..400).contains(times)), "{times:?}");
        }
        assert_eq!(roster(2, 10).pick_alive(3, &mut Seeded(1), None).len(), 2);
    }
}
