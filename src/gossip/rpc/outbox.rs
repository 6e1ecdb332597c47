//! What waits to be written to a client, within bounds.

use std::collections::VecDeque;

/// As many records of streams wait for a slow client; Serf's number.
const RECORDS: usize = 512;
/// No replies to a query are added to more bytes than these: 10,000 members answer with less.
const REPLIES: usize = 4 << 20;
/// A client that does not take what it asked for is not asked what else it wants.
const FULL: usize = 1 << 20;

/// Bytes in the order of their writing.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<Piece>,
    /// How many bytes of the first piece are written.
    written: usize,
    bytes: usize,
    records: usize,
    dropped: u64,
}

#[derive(Debug)]
struct Piece {
    record: bool,
    bytes: Vec<u8>,
}

impl Outbox {
    /// Adds an answer, which is never dropped.
    pub fn answer(&mut self, bytes: Vec<u8>) {
        self.push(false, bytes);
    }

    /// Adds a record of a stream, or drops it if too many wait. Whether it was added.
    pub fn record(&mut self, bytes: impl FnOnce() -> Vec<u8>) -> bool {
        if self.records >= RECORDS {
            self.dropped += 1;
            return false;
        }
        self.push(true, bytes());
        true
    }

    /// Adds what came back of a query, or drops it if too much waits.
    pub fn reply(&mut self, bytes: Vec<u8>) {
        if self.bytes < REPLIES {
            self.push(false, bytes);
        } else {
            self.dropped += 1;
        }
    }

    fn push(&mut self, record: bool, bytes: Vec<u8>) {
        self.bytes += bytes.len();
        self.records += usize::from(record);
        self.waiting.push_back(Piece { record, bytes });
    }

    /// What is to be written next; empty if nothing is.
    pub fn front(&self) -> &[u8] {
        self.waiting.front().and_then(|piece| piece.bytes.get(self.written..)).unwrap_or_default()
    }

    /// So many bytes of [`Outbox::front`] are written.
    pub fn wrote(&mut self, count: usize) {
        let Some(piece) = self.waiting.front() else { return };
        let count = count.min(piece.bytes.len().saturating_sub(self.written));
        self.written += count;
        self.bytes -= count;
        if self.written == piece.bytes.len() {
            self.records -= usize::from(piece.record);
            self.waiting.pop_front();
            self.written = 0;
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether enough waits.
    pub fn is_full(&self) -> bool {
        self.bytes >= FULL
    }

    /// How many were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::{Outbox, RECORDS};

    #[test]
    fn what_a_slow_client_misses_is_counted() {
        let mut outbox = Outbox::default();
        let taken = (0..RECORDS + 3).filter(|_| outbox.record(|| vec![1, 2])).count();
        assert_eq!((taken, outbox.dropped()), (RECORDS, 3));
        outbox.answer(vec![3]);
        outbox.wrote(1);
        assert_eq!(outbox.front(), [2]);
        outbox.wrote(9);
        assert!(outbox.record(|| vec![4]));
        let mut bytes: Vec<u8> = Vec::new();
        while !outbox.is_empty() {
            bytes.extend(outbox.front());
            outbox.wrote(outbox.front().len());
        }
        assert_eq!(bytes.len(), 2 * (RECORDS - 1) + 2);
        assert_eq!(bytes[bytes.len() - 2..], [3, 4]);
        outbox.wrote(1);
        assert!(outbox.front().is_empty());
    }

    #[test]
    fn replies_have_a_bound_and_answers_have_none() {
        let mut outbox = Outbox::default();
        (0..9).for_each(|_| outbox.reply(vec![0; 1 << 20]));
        assert_eq!(outbox.dropped(), 5);
        assert!(outbox.is_full());
        outbox.answer(vec![1]);
        assert_eq!(outbox.dropped(), 5);
    }
}
