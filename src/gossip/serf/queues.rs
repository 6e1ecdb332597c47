//! What Serf wants to tell everybody: intents first, then queries, then events (section 2.6).

use crate::gossip::swim::Queue;
use crate::gossip::swim::broadcast::{Ticket, retransmit_limit};

/// A longer message fits into no packet, and would wait for ever: memberlist's packets have 1400 bytes, of which encryption
/// takes 29, and what holds the message 5.
const LONGEST: usize = 1400 - 29 - 5;

/// The longest that a queue gets between two looks at it (section 3.7), at which it is pruned to half of that.
const HARD: usize = 8192;

/// The three queues.
#[derive(Debug)]
pub(super) struct Queues {
    pub intents: Queue,
    pub queries: Queue,
    pub events: Queue,
    multiplier: u32,
}

/// Adds a message; answers its ticket, unless it is too long to be sent.
pub(super) fn push(queue: &mut Queue, bytes: Vec<u8>) -> Option<Ticket> {
    if bytes.len() > LONGEST {
        return None;
    }
    let ticket = queue.push(None, bytes);
    if queue.len() > HARD {
        queue.prune(HARD / 2);
    }
    Some(ticket)
}

impl Queues {
    pub fn new(multiplier: u32) -> Queues {
        Queues { intents: Queue::default(), queries: Queue::default(), events: Queue::default(), multiplier }
    }

    /// What goes into one packet, in a cluster of so many members.
    pub fn take(&mut self, overhead: usize, room: usize, members: usize) -> Vec<Vec<u8>> {
        let limit = retransmit_limit(self.multiplier, members);
        let mut taken: Vec<Vec<u8>> = Vec::new();
        for queue in [&mut self.intents, &mut self.queries, &mut self.events] {
            let used: usize = taken.iter().map(|bytes| bytes.len() + overhead).sum();
            taken.extend(queue.take(overhead, room.saturating_sub(used), limit));
        }
        taken
    }

    /// Each with its name in the log.
    pub fn each(&mut self) -> [(&'static str, &mut Queue); 3] {
        [("Intent", &mut self.intents), ("Event", &mut self.events), ("Query", &mut self.queries)]
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.intents.len() + self.queries.len() + self.events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{HARD, LONGEST, Queues, push};

    #[test]
    fn section_2_6_intents_go_before_queries_before_events() {
        let mut queues = Queues::new(4);
        push(&mut queues.events, b"event".to_vec());
        push(&mut queues.queries, b"query".to_vec());
        push(&mut queues.intents, b"intent".to_vec());
        let taken = queues.take(2, 22, 1);
        assert_eq!(taken, [b"intent".to_vec(), b"query".to_vec(), b"event".to_vec()]);
        assert_eq!(queues.take(2, 15, 1), [b"intent".to_vec(), b"query".to_vec()]);
    }

    #[test]
    fn what_fits_into_no_packet_is_not_queued() {
        let mut queues = Queues::new(4);
        assert_eq!(push(&mut queues.events, vec![0; LONGEST + 1]), None);
        assert!(push(&mut queues.events, vec![0; LONGEST]).is_some());
        assert_eq!(queues.take(3, 1400 - 2 - 29, 1).len(), 1);
    }

    #[test]
    fn a_queue_is_bounded() {
        let mut queues = Queues::new(4);
        (0..3 * HARD).for_each(|_| assert!(push(&mut queues.events, vec![0]).is_some()));
        assert!(queues.len() <= HARD);
    }
}
