//! What a node knows of Serf, exchanged with memberlist's push/pull.

use std::collections::BTreeMap;

use crate::gossip::Name;
use crate::gossip::wire::pack::{Malformed, Pack, Reader, Unpack, Writer, record};

/// The slots of Serf's ring of recent events, and of that of recent queries.
pub const RING: u64 = 512;

/// An event in the slot of its time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastEvent {
    /// Its name.
    pub name: Name,
    /// What it carries.
    pub payload: Vec<u8>,
}
record!(PastEvent { "Name" => name, "Payload" => payload });

/// The events of one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// When.
    pub ltime: u64,
    /// What happened.
    pub events: Vec<PastEvent>,
}
record!(Slot { "LTime" => ltime, "Events" => events });

/// What a node knows of Serf: the user part of a push/pull.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserState {
    /// The clock of members.
    pub ltime: u64,
    /// Of every member, when its last intent was.
    pub status_ltimes: BTreeMap<Name, u64>,
    /// Who has left.
    pub left: Vec<Name>,
    /// The clock of events.
    pub event_ltime: u64,
    /// Recent events.
    pub events: Ring,
    /// The clock of queries.
    pub query_ltime: u64,
}
record!(UserState {
    "LTime" => ltime, "StatusLTimes" => status_ltimes, "LeftMembers" => left, "EventLTime" => event_ltime, "Events" => events,
    "QueryLTime" => query_ltime,
});

/// Slots that are filled, in any order; on the wire a ring of [`RING`], every slot in its place. Of two for one place, the last goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ring(pub Vec<Slot>);

impl Pack for Ring {
    fn pack(&self, out: &mut Writer) {
        let mut places = [None; RING as usize];
        for slot in &self.0 {
            if let Some(place) = places.get_mut((slot.ltime % RING) as usize) {
                *place = Some(slot);
            }
        }
        out.array(places.len());
        places.iter().for_each(|slot| slot.pack(out));
    }
}

impl Unpack for Ring {
    fn unpack(reader: &mut Reader<'_>) -> Result<Ring, Malformed> {
        let slots: Vec<Option<Slot>> = Vec::unpack(reader)?;
        Ok(Ring(slots.into_iter().flatten().collect()))
    }
}
