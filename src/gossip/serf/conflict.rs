//! Two nodes of one name (section 3.9): whom most others mean stays.

use super::complaint::Complaint;
use super::machine::Serf;
use super::output::{Level, Output};
use super::query::{Purpose, Request};
use crate::gossip::swim;
use crate::gossip::wire::serf::SerfMessage;
use crate::unit::Time;

/// What others answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Votes {
    responses: usize,
    /// Those who mean this node.
    matching: usize,
}

impl Votes {
    /// Whether most mean this node: of none, nobody does.
    fn majority(self) -> bool {
        self.matching > self.responses / 2
    }
}

impl Serf {
    /// memberlist hears of a name from two addresses.
    pub(super) fn conflicting(&mut self, now: Time, known: &swim::Member, other: &swim::Member) {
        let shown = |member: &swim::Member| {
            member.addr.socket(member.port).map_or_else(|| "<nil>".to_owned(), |socket| socket.to_string())
        };
        if known.name != self.config.name {
            return self.complain(now, Complaint::Conflict, || {
                format!(
                    "serf: Name conflict for '{}' both {} and {} are claiming",
                    known.name,
                    shown(known),
                    shown(other)
                )
            });
        }
        let resolves = self.config.resolve_conflicts;
        self.complain(now, Complaint::OwnConflict, || {
            let other = shown(other);
            format!("serf: Node name conflicts with another node at {other}. Names must be unique! (Resolution enabled: {resolves})")
        });
        let running = self.inquiries.values().any(|inquiry| matches!(inquiry.purpose, Purpose::Conflict(_)));
        if resolves && !running && self.is_staying() {
            let name = self.config.name.bytes().to_vec();
            let request = Request { name: "_serf_conflict".into(), payload: Some(name), ..Request::default() };
            if let Err(refusal) = self.ask(now, request, Purpose::Conflict(Votes::default())) {
                self.log(Level::Error, format!("serf: Failed to start name resolution query: {refusal}"));
            }
        }
    }

    /// A response to whose name this is.
    pub(super) fn hear_vote(&mut self, now: Time, ltime: u64, payload: &[u8]) {
        let Ok(SerfMessage::Conflict(member)) = SerfMessage::decode(payload) else {
            return self.complain(now, Complaint::Malformed, || "serf: Invalid conflict query response".to_owned());
        };
        let member = member.unwrap_or_default();
        let mine =
            member.addr.ip().is_some() && member.addr.ip() == self.config.addr.ip() && member.port == self.config.port;
        if let Some(Purpose::Conflict(votes)) = self.inquiries.get_mut(&ltime).map(|inquiry| &mut inquiry.purpose) {
            votes.responses += 1;
            votes.matching += usize::from(mine);
        }
    }

    /// Everybody who wanted to has answered.
    pub(super) fn judge(&mut self, votes: Votes) {
        let Votes { responses, matching } = votes;
        if votes.majority() {
            return self
                .log(Level::Info, format!("serf: majority in name conflict resolution [{matching} / {responses}]"));
        }
        let why = format!("minority in name conflict resolution, quitting [{matching} / {responses}]");
        self.log(Level::Warn, format!("serf: {why}"));
        self.out.push_back(Output::Shutdown { why });
    }
}
