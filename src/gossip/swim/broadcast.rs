//! What is to be told to everybody, each message to so many and no more (section 2.6).

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use crate::gossip::Name;

/// How many times a message is sent in a cluster of `members`: `multiplier` x ceil(log10(members + 1)), and at least once.
pub fn retransmit_limit(multiplier: u32, members: usize) -> u32 {
    // The number of digits is just that logarithm.
    let digits = members.checked_ilog10().map_or(0, |log| log + 1);
    multiplier.saturating_mul(digits).max(1)
}

/// Names a message in a queue, to ask later whether it has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// The order in which messages go: the least sent first, then the largest, then the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    sent: u32,
    size: Reverse<usize>,
    ticket: Reverse<Ticket>,
}

#[derive(Clone, Debug)]
struct Broadcast {
    bytes: Vec<u8>,
    about: Option<Name>,
}

/// Messages that wait to be sent, each so many times.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    waiting: BTreeMap<Rank, Broadcast>,
    about: HashMap<Name, Rank>,
    next: u64,
}

impl Queue {
    /// A message for everybody. It takes the place of the one that is `about` the same name.
    pub fn push(&mut self, about: Option<Name>, bytes: Vec<u8>) -> Ticket {
        self.next += 1;
        let ticket = Ticket(self.next);
        let rank = Rank { sent: 0, size: Reverse(bytes.len()), ticket: Reverse(ticket) };
        if let Some(name) = &about
            && let Some(older) = self.about.insert(name.clone(), rank)
        {
            self.waiting.remove(&older);
        }
        self.waiting.insert(rank, Broadcast { bytes, about });
        ticket
    }

    /// The messages for one packet: as many as fit in `room` bytes, each of them with `overhead` more. A message that has then
    /// been sent `limit` times is gone.
    pub fn take(&mut self, overhead: usize, room: usize, limit: u32) -> Vec<Vec<u8>> {
        let (mut taken, mut again, mut used) = (Vec::new(), Vec::new(), 0);
        let mut sent = 0;
        while let Some(free) = room.checked_sub(used + overhead).filter(|free| *free > 0) {
            // The largest that fits among those sent so often; else those sent once more.
            let from = Rank { sent, size: Reverse(free), ticket: Reverse(Ticket(u64::MAX)) };
            let Some(rank) = self.waiting.range(from..).next().map(|(rank, _)| *rank) else { break };
            if rank.sent > sent {
                sent = rank.sent;
                if rank.size.0 > free {
                    continue;
                }
            }
            let Some(broadcast) = self.waiting.remove(&rank) else { break };
            used += overhead + rank.size.0;
            if rank.sent + 1 >= limit {
                if let Some(name) = &broadcast.about {
                    self.about.remove(name);
                }
                taken.push(broadcast.bytes);
            } else {
                taken.push(broadcast.bytes.clone());
                again.push((Rank { sent: rank.sent + 1, ..rank }, broadcast));
            }
        }
        for (rank, broadcast) in again {
            if let Some(name) = &broadcast.about {
                self.about.insert(name.clone(), rank);
            }
            self.waiting.insert(rank, broadcast);
        }
        taken
    }

    /// Whether the message still waits to be sent.
    pub fn holds(&self, ticket: Ticket) -> bool {
        self.waiting.keys().any(|rank| rank.ticket.0 == ticket)
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Forgets those most sent until `most` are left.
    pub fn prune(&mut self, most: usize) {
        while self.waiting.len() > most {
            let Some((_, broadcast)) = self.waiting.pop_last() else { return };
            if let Some(name) = &broadcast.about {
                self.about.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Queue, retransmit_limit};

    fn text(taken: Vec<Vec<u8>>) -> Vec<String> {
        taken.into_iter().map(|bytes| String::from_utf8(bytes).expect("text")).collect()
    }

    #[test]
    fn the_limit_grows_with_the_digits_of_the_cluster_2_6() {
        for members in 1..20_000_usize {
            let formula = 4.0 * (members as f64 + 1.0).log10().ceil();
            assert_eq!(f64::from(retransmit_limit(4, members)), formula, "{members}");
        }
        assert_eq!(retransmit_limit(4, 0), 1);
    }

    #[test]
    fn a_message_is_sent_just_so_often_2_6() {
        let mut queue = Queue::default();
        let ticket = queue.push(None, b"a".to_vec());
        for _ in 0..3 {
            assert!(queue.holds(ticket));
            assert_eq!(text(queue.take(2, 100, 3)), ["a"]);
        }
        assert!(!queue.holds(ticket) && queue.is_empty());
        assert!(queue.take(2, 100, 3).is_empty());
    }

    #[test]
    fn the_least_sent_goes_first_then_the_largest_then_the_newest_2_6() {
        let mut queue = Queue::default();
        queue.push(None, b"long, but sent".to_vec());
        queue.take(2, 100, 9);
        for message in ["bb1", "bb2", "a"] {
            queue.push(None, message.into());
        }
        assert_eq!(text(queue.take(2, 100, 9)), ["bb2", "bb1", "a", "long, but sent"]);
    }

    #[test]
    fn a_packet_takes_what_fits_with_its_overhead_2_6() {
        let mut queue = Queue::default();
        for message in ["12345678", "1234", "123"] {
            queue.push(None, message.into());
        }
        assert_eq!(text(queue.take(2, 6, 9)), ["1234"]);
        assert_eq!(text(queue.take(2, 11, 9)), ["12345678"]);
        assert_eq!(text(queue.take(2, 11, 9)), ["123", "1234"]);
        assert!(queue.take(2, 2, 9).is_empty());
        assert!(queue.take(2, 0, 9).is_empty());
        assert_eq!(queue.len(), 3);
    }

    #[test]
    fn news_about_a_name_replaces_what_was_said_before_2_6() {
        let mut queue = Queue::default();
        let first = queue.push(Some("x".into()), b"suspect".to_vec());
        queue.push(Some("y".into()), b"other".to_vec());
        queue.take(2, 100, 9);
        queue.push(Some("x".into()), b"alive".to_vec());
        assert!(!queue.holds(first));
        assert_eq!(text(queue.take(2, 100, 9)), ["alive", "other"]);
        queue.push(None, b"event".to_vec());
        queue.push(None, b"event".to_vec());
        assert_eq!(queue.len(), 4);
    }

    #[test]
    fn a_queue_that_is_too_long_forgets_the_most_sent() {
        let mut queue = Queue::default();
        queue.push(Some("x".into()), b"old".to_vec());
        queue.take(2, 100, 9);
        queue.push(None, b"new".to_vec());
        queue.prune(1);
        assert_eq!(text(queue.take(2, 100, 9)), ["new"]);
        queue.push(Some("x".into()), b"again".to_vec());
        assert_eq!(queue.len(), 2);
    }
}
