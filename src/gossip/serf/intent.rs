//! Intents of nodes that are not known yet (section 3.3): the newest of each, for five minutes.

use std::collections::BTreeMap;

use super::config::INTENT_TIMEOUT;
use crate::gossip::Name;
use crate::unit::Time;

/// What a node means to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// To be there.
    Join,
    /// To go.
    Leave,
}

#[derive(Debug)]
struct Intent {
    aim: Aim,
    ltime: u64,
    since: Time,
}

/// The newest intent of each node.
#[derive(Debug)]
pub struct Intents {
    of: BTreeMap<Name, Intent>,
    capacity: usize,
}

impl Intents {
    /// None yet, and never more than `capacity`.
    pub fn new(capacity: usize) -> Intents {
        Intents { of: BTreeMap::new(), capacity }
    }

    /// Takes an intent; answers whether it is news, and so to be sent on. What there is no room for is not: it would
    /// go around for ever.
    pub fn take(&mut self, now: Time, node: &Name, aim: Aim, ltime: u64) -> bool {
        let full = self.of.len() >= self.capacity;
        match self.of.get_mut(node) {
            Some(known) if ltime <= known.ltime => return false,
            Some(known) => *known = Intent { aim, ltime, since: now },
            None if full => return false,
            None => drop(self.of.insert(node.clone(), Intent { aim, ltime, since: now })),
        }
        true
    }

    /// What a node means to do, and since which Lamport time.
    pub fn get(&self, node: &Name) -> Option<(Aim, u64)> {
        self.of.get(node).map(|intent| (intent.aim, intent.ltime))
    }

    /// Forgets what is older than five minutes.
    pub fn reap(&mut self, now: Time) {
        self.of.retain(|_, intent| now.since(intent.since) <= INTENT_TIMEOUT);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.of.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Aim, Intents};
    use crate::unit::Time;

    #[test]
    fn section_3_3_the_newest_intent_counts_and_is_news_once() {
        let mut intents = Intents::new(9);
        let node = "a".into();
        assert!(intents.take(Time::ZERO, &node, Aim::Join, 0));
        assert!(!intents.take(Time::ZERO, &node, Aim::Leave, 0));
        assert!(intents.take(Time::ZERO, &node, Aim::Leave, 3));
        assert!(!intents.take(Time::ZERO, &node, Aim::Join, 2));
        assert_eq!(intents.get(&node), Some((Aim::Leave, 3)));
        assert_eq!(intents.get(&"b".into()), None);
    }

    #[test]
    fn section_3_3_an_intent_is_kept_for_five_minutes() {
        let mut intents = Intents::new(9);
        intents.take(Time::ZERO, &"a".into(), Aim::Join, 1);
        intents.reap(Time::ZERO + Duration::from_secs(300));
        assert_eq!(intents.len(), 1);
        intents.reap(Time::ZERO + Duration::from_millis(300_001));
        assert_eq!(intents.len(), 0);
    }

    #[test]
    fn intents_are_bounded() {
        let mut intents = Intents::new(1);
        assert!(intents.take(Time::ZERO, &"a".into(), Aim::Join, 1));
        assert!(!intents.take(Time::ZERO, &"b".into(), Aim::Join, 1));
        assert!(intents.take(Time::ZERO, &"a".into(), Aim::Join, 2));
        assert_eq!(intents.len(), 1);
    }
}
