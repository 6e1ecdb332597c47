//! The bytes of what streams, monitors and queries tell: each record is a header and a body.

use super::answer::{List, begin};
use crate::gossip::Name;
use crate::gossip::serf::{Event, Reply};

/// An event; `id` is what the client is to call it if it is a query.
pub fn event(seq: u64, id: u64, event: &Event) -> Vec<u8> {
    let mut out = begin(seq, "");
    match event {
        Event::Members { kind, members } => {
            out.fields(&mut [("Event", &kind.word()), ("Members", &List(members))]);
        }
        Event::User { ltime, name, payload, coalesce } => out.fields(&mut [
            ("Event", &"user"),
            ("LTime", ltime),
            ("Name", name),
            ("Payload", payload),
            ("Coalesce", coalesce),
        ]),
        Event::Query { ltime, name, payload, .. } => {
            out.fields(&mut [("Event", &"query"), ("ID", &id), ("LTime", ltime), ("Name", name), ("Payload", payload)])
        }
    }
    out.into_bytes()
}

/// A line of the log.
pub fn line(seq: u64, text: &str) -> Vec<u8> {
    let mut out = begin(seq, "");
    out.fields(&mut [("Log", &text)]);
    out.into_bytes()
}

/// What came back of a query.
pub fn reply(seq: u64, reply: &Reply) -> Vec<u8> {
    let (nobody, nothing) = (Name::default(), Vec::new());
    let (kind, from, payload) = match reply {
        Reply::Ack(from) => ("ack", from, &nothing),
        Reply::Response(from, payload) => ("response", from, payload),
        Reply::Done => ("done", &nobody, &nothing),
    };
    let mut out = begin(seq, "");
    out.fields(&mut [("From", from), ("Payload", payload), ("Type", &kind)]);
    out.into_bytes()
}
