//! Clients of the RPC: what they ask, and what the node answers.

use super::Node;
use super::event::{Action, Link};
use super::join::Origin;
use crate::gossip::rpc::{Answer, Ask, Level, Query, Session, Stats};
use crate::gossip::serf::{self, Refusal};
use crate::gossip::wire::coordinate::Coordinate;
use crate::unit::Time;

/// So many clients at once; one more is turned away.
const CLIENTS: usize = 256;

impl Node {
    /// A client has connected. No link if there are too many: the connection is to be closed.
    pub fn client(&mut self, now: Time) -> Option<Link> {
        if self.sessions.len() >= CLIENTS || self.ended {
            self.refuse(now, "Too many clients", None, "one more is turned away");
            return None;
        }
        let link = self.link();
        self.sessions.insert(link, Session::new(self.secret.clone()));
        Some(link)
    }

    /// Answers what a client asks, until it asks nothing or has to wait.
    pub(super) fn serve(&mut self, now: Time, link: Link) {
        while let Some(ask) = self.sessions.get_mut(&link).and_then(|session| session.next(now)) {
            if let Some(answer) = self.answer(now, link, ask)
                && let Some(session) = self.sessions.get_mut(&link)
            {
                session.answer(answer);
            }
        }
    }

    /// The answer, or none if it comes later.
    fn answer(&mut self, now: Time, link: Link, ask: Ask) -> Option<Answer> {
        let plain = |result: Result<(), Refusal>| match result {
            Ok(()) => Answer::Done,
            Err(refusal) => Answer::Refused(refusal.to_string()),
        };
        Some(match ask {
            Ask::Event { name, payload, coalesce } => {
                self.log(Level::Debug, format!("agent: Requesting user event send: {name}. Coalesced: {coalesce}."));
                plain(self.serf.user_event(now, name, payload, coalesce))
            }
            Ask::ForceLeave { node, prune } => {
                self.log(Level::Info, format!("agent: Force leaving node: {node}"));
                self.serf.force_leave(now, node, prune);
                Answer::Done
            }
            Ask::Join { targets, replay } => {
                self.join(now, Origin::Client(link), &targets, replay);
                return None;
            }
            Ask::Members(filter) => {
                Answer::Members(self.serf.members().filter(|member| filter.admits(member)).cloned().collect())
            }
            Ask::Tags { set, delete } => {
                let mut tags = self.serf.tags().clone();
                delete.iter().for_each(|tag| drop(tags.remove(tag)));
                tags.extend(set);
                let result = self.serf.set_tags(tags.clone());
                if result.is_ok() {
                    self.actions.push_back(Action::Tags(tags));
                }
                plain(result)
            }
            Ask::Stats => Answer::Stats(Box::new(self.stats())),
            Ask::Coordinate(node) => {
                Answer::Coordinate(self.serf.coordinate(&node).map(|place| Coordinate::from(&place)))
            }
            Ask::Lines => Answer::Lines(self.lines.iter().cloned().collect()),
            Ask::Leave => {
                self.log(Level::Info, "agent: requesting graceful leave from Serf".to_owned());
                self.leavers.push(link);
                self.serf.leave(now);
                return None;
            }
            Ask::Query(query) => match self.serf.query(now, request(query)) {
                Ok(key) => Answer::Asked(key),
                Err(refusal) => Answer::Refused(refusal.to_string()),
            },
            Ask::Respond { key, payload } => plain(self.serf.respond(now, key, payload)),
            Ask::Keys(operation) => match self.serf.keys(now, operation) {
                Ok(key) => {
                    self.key_askers.insert(key, link);
                    return None;
                }
                Err(refusal) => Answer::Refused(refusal.to_string()),
            },
        })
    }

    fn stats(&self) -> Stats {
        let mut runtime = self.runtime.clone();
        runtime.push(("refused", self.refusals.all().to_string()));
        Stats {
            name: self.name.clone(),
            runtime,
            numbers: self.serf.numbers(),
            health: self.swim.health_score(),
            encrypted: self.keyring.is_some(),
            tags: self.serf.tags().clone(),
            event_handlers: self.event_handlers.clone(),
        }
    }

    /// A client is gone: nobody waits for what it asked.
    pub(super) fn client_gone(&mut self, link: Link) {
        let Some(session) = self.sessions.remove(&link) else { return };
        session.queries().for_each(|key| self.serf.close_query(key));
        self.leavers.retain(|leaver| *leaver != link);
        self.key_askers.retain(|_, asker| *asker != link);
    }

    /// The node has left: who waited for it is told, and it ends.
    pub(super) fn left(&mut self) {
        for link in std::mem::take(&mut self.leavers) {
            if let Some(session) = self.sessions.get_mut(&link) {
                session.answer(Answer::Done);
            }
        }
        self.log(Level::Info, "agent: shutdown complete".to_owned());
        self.exit(true);
    }
}

fn request(query: Query) -> serf::Request {
    let Query { name, payload, nodes, tags, ack, relay, timeout } = query;
    serf::Request { name, payload, nodes, tags: tags.into_iter().collect(), ack, relay, timeout }
}
