//! Members as Serf knows them (section 3.3), and all of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use super::coordinate::Coordinate;
use crate::gossip::Name;
use crate::gossip::swim::Record;
use crate::gossip::wire::tags::{self, Tags};
use crate::unit::Time;

/// What is known of a member's life. The numbers are those on the wire (section 3.9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Nothing yet.
    #[default]
    None = 0,
    /// There.
    Alive = 1,
    /// It says that it goes.
    Leaving = 2,
    /// Gone as it said.
    Left = 3,
    /// Gone without a word.
    Failed = 4,
}

impl Status {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Status::None => "none",
            Status::Alive => "alive",
            Status::Leaving => "leaving",
            Status::Left => "left",
            Status::Failed => "failed",
        }
    }
}

/// One member: what it says of itself (reached by dereference), and its life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// What it says of itself: the same as memberlist's, of which there are thousands in a large cluster.
    pub record: Arc<Record>,
    /// What is known of its life.
    pub status: Status,
}

impl Deref for Member {
    type Target = Record;
    fn deref(&self) -> &Record {
        &self.record
    }
}

impl Member {
    /// Its tags. Read each time: read once and kept they would take more than all else that is known of a member.
    pub fn tags(&self) -> Tags {
        tags::decode(&self.meta)
    }

    /// Where it listens; none if its address or its port is none.
    pub fn socket(&self) -> Option<SocketAddr> {
        self.addr.socket(self.port).filter(|socket| socket.port() != 0)
    }

    /// The address as Go shows it.
    pub(super) fn shown_ip(&self) -> String {
        self.addr.ip().map_or_else(|| "<nil>".to_owned(), |ip| ip.to_string())
    }
}

/// What is known of a member beside what others see.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    pub member: Member,
    /// The Lamport time of the last intent that was applied.
    pub heard: u64,
    /// Since when it is failed or left.
    pub gone: Option<Time>,
    /// Where it said that it is.
    pub coordinate: Option<Coordinate>,
}

/// All members, of any status, at most so many.
#[derive(Debug)]
pub(super) struct Members {
    cells: BTreeMap<Name, Cell>,
    capacity: usize,
    /// How many have which status.
    counts: [usize; 5],
}

impl Members {
    pub fn new(capacity: usize) -> Members {
        Members { cells: BTreeMap::new(), capacity, counts: [0; 5] }
    }

    pub fn get(&self, name: &Name) -> Option<&Cell> {
        self.cells.get(name)
    }

    /// Changes what is known of a member.
    pub fn change<R>(&mut self, name: &Name, change: impl FnOnce(&mut Cell) -> R) -> Option<R> {
        let cell = self.cells.get_mut(name)?;
        let before = cell.member.status;
        let result = change(cell);
        let after = cell.member.status;
        self.count(before, -1);
        self.count(after, 1);
        Some(result)
    }

    /// Takes a new member; answers whether there was room.
    pub fn insert(&mut self, cell: Cell) -> bool {
        if self.cells.len() >= self.capacity && !self.cells.contains_key(&cell.member.name) {
            return false;
        }
        let status = cell.member.status;
        if let Some(old) = self.cells.insert(cell.member.name.clone(), cell) {
            self.count(old.member.status, -1);
        }
        self.count(status, 1);
        true
    }

    pub fn remove(&mut self, name: &Name) -> Option<Cell> {
        let cell = self.cells.remove(name)?;
        self.count(cell.member.status, -1);
        Some(cell)
    }

    fn count(&mut self, status: Status, by: isize) {
        if let Some(count) = self.counts.get_mut(status as usize) {
            *count = count.saturating_add_signed(by);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Cell)> {
        self.cells.iter()
    }

    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// How many have this status.
    pub fn of(&self, status: Status) -> usize {
        self.counts.get(status as usize).copied().unwrap_or_default()
    }

    /// How many memberlist takes for members that are there: this node is one of them.
    pub fn there(&self) -> usize {
        self.of(Status::Alive) + self.of(Status::Leaving)
    }

    /// The one that has been gone for longest, if any is gone.
    pub fn longest_gone(&self) -> Option<Name> {
        let gone = self.cells.iter().filter_map(|(name, cell)| cell.gone.map(|since| (since, name)));
        gone.min().map(|(_, name)| name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Member, Members, Record, Status};
    use crate::gossip::wire::message::Addr;

    fn cell(name: &str, status: Status) -> Cell {
        let record = Record { name: name.into(), ..Record::default() };
        Cell { member: Member { record: record.into(), status }, ..Cell::default() }
    }

    #[test]
    fn an_address_is_shown_as_what_it_is() {
        let record = Record { addr: Addr(vec![10, 0, 0, 1]), ..Record::default() };
        let member = Member { record: record.into(), ..Member::default() };
        assert_eq!(member.shown_ip(), "10.0.0.1");
        assert_eq!(Member::default().shown_ip(), "<nil>");
    }

    #[test]
    fn members_are_counted_by_status() {
        let mut members = Members::new(2);
        assert!(members.insert(cell("a", Status::Alive)));
        assert!(members.insert(cell("b", Status::Failed)));
        assert!(!members.insert(cell("c", Status::Alive)));
        members.change(&"a".into(), |cell| cell.member.status = Status::Leaving);
        assert_eq!((members.of(Status::Alive), members.of(Status::Leaving), members.there()), (0, 1, 1));
        assert!(members.insert(cell("b", Status::Alive)));
        assert_eq!((members.of(Status::Failed), members.there(), members.len()), (0, 2, 2));
        members.remove(&"a".into());
        assert_eq!((members.there(), members.len()), (1, 1));
    }
}
