//! What the node does on connections with other nodes.

use std::net::SocketAddr;

use super::event::{Action, Link};
use super::join::Attempt;
use super::peer::{Peer, Purpose, Side};
use super::{Node, swim_event};
use crate::gossip::Dice;
use crate::gossip::rpc::Level;
use crate::gossip::swim::{Delegate, Outcome, ProbeId};
use crate::gossip::wire::message::{Ack, Ping};
use crate::gossip::wire::push_pull::PushPull;
use crate::gossip::wire::stream::{Incoming, Reply, Request};
use crate::gossip::wire::{Layers, Refusal};
use crate::unit::Time;

/// So many connections of others there are at once; memberlist's number for exchanges.
pub const PEERS: usize = 128;
/// Why a connection that took too long is closed.
const LATE: &str = "i/o timeout";
/// What all connections hold together, or a few bytes more: one whole state of 10,000 members is 3 MB.
const HELD: usize = 16 << 20;

impl Node {
    /// A peer has connected. No link if there are too many: the connection is to be closed.
    pub fn accept(&mut self, now: Time, from: SocketAddr) -> Option<Link> {
        let theirs = self.peers.values().filter(|peer| matches!(peer.side, Side::Theirs(_) | Side::Neither)).count();
        if theirs >= PEERS {
            self.refuse(now, "Too many connections", Some(from), "one more is closed");
            return None;
        }
        let link = self.link();
        let until = now + self.profile.stream_timeout;
        self.peers.insert(link, Peer::new(from, until, Side::Theirs(Incoming::<Request>::new())));
        Some(link)
    }

    /// Connects to another node.
    pub(super) fn connect(
        &mut self,
        now: Time,
        to: SocketAddr,
        purpose: Purpose,
        request: Option<Request>,
        until: Option<Time>,
    ) {
        let link = self.link();
        let until = until.unwrap_or(now + self.profile.stream_timeout);
        let side = Side::Ours { purpose, request, connected: false, reply: Incoming::<Reply>::new() };
        self.peers.insert(link, Peer::new(to, until, side));
        self.actions.push_back(Action::Connect { link, to });
    }

    pub(super) fn ping(&mut self, now: Time, probe: ProbeId, to: SocketAddr, ping: Ping, deadline: Time) {
        let purpose = Purpose::Ping(probe, ping.seq);
        self.connect(now, to, purpose, Some(Request::Ping(ping)), Some(deadline));
    }

    /// A connection of ours is there: the request goes out. The state is taken at this moment.
    pub(super) fn connected(&mut self, link: Link, dice: &mut dyn Dice) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        let Side::Ours { purpose, request, connected, .. } = &mut peer.side else { return };
        *connected = true;
        let join = matches!(purpose, Purpose::Join(_) | Purpose::Rejoin(_));
        let request = match request.take() {
            Some(request) => request,
            None => Request::PushPull(self.swim.local_state(join, &mut self.serf)),
        };
        let layers = Layers { label: &[], keyring: self.keyring.as_ref(), compress: self.compress };
        peer.write(request.encode(&layers, dice));
    }

    /// Bytes came from a peer.
    pub(super) fn heard(&mut self, now: Time, link: Link, bytes: &[u8], dice: &mut dyn Dice) {
        self.make_room(now, dice);
        let layers = Layers { label: &[], keyring: self.keyring.as_ref(), compress: self.compress };
        let Some(peer) = self.peers.get_mut(&link) else { return };
        match &mut peer.side {
            Side::Theirs(incoming) => match incoming.feed(bytes, &layers) {
                Ok(None) => {}
                Ok(Some(request)) => self.requested(now, link, request, dice),
                Err(refusal) => self.refuse_stream(now, link, refusal, dice),
            },
            Side::Ours { reply, .. } => match reply.feed(bytes, &layers) {
                Ok(None) => {}
                Ok(Some(reply)) => self.replied(now, link, reply, dice),
                Err(refusal) => self.drop_peer(now, link, &refusal.to_string(), dice),
            },
            Side::Neither => {}
        }
    }

    /// Closes whoever holds most, if all together hold too much.
    fn make_room(&mut self, now: Time, dice: &mut dyn Dice) {
        let held: usize = self.peers.values().map(Peer::held).sum();
        if held <= HELD {
            return;
        }
        let most = self.peers.iter().max_by_key(|(_, peer)| peer.held());
        if let Some((link, from)) = most.map(|(link, peer)| (*link, peer.address)) {
            self.refuse(now, "Too much at once", Some(from), "the largest stream is closed");
            self.drop_peer(now, link, LATE, dice);
        }
    }

    fn requested(&mut self, now: Time, link: Link, request: Request, dice: &mut dyn Dice) {
        let reply = match request {
            Request::PushPull(theirs) => {
                // They get what was before they came.
                let ours = self.swim.local_state(theirs.join, &mut self.serf);
                self.say(link, &Reply::PushPull(PushPull { join: theirs.join, ..ours }), dice);
                let from = self.peers.get(&link).map(|peer| peer.address);
                if let Err(cause) = self.merge(now, theirs, dice) {
                    self.refuse(now, "Failed push/pull merge", from, &cause);
                }
                return;
            }
            Request::Ping(ping) if ping.node.is_empty() || ping.node == *self.name() => {
                Some(Reply::Ack(Ack { seq: ping.seq, payload: Vec::new() }))
            }
            Request::Ping(_) => None,
            Request::User(bytes) => {
                if !bytes.is_empty() {
                    self.serf.user_message(now, &bytes);
                }
                None
            }
        };
        match reply {
            Some(reply) => self.say(link, &reply, dice),
            None => self.finish(link),
        }
    }

    /// Says the last thing on a connection.
    fn say(&mut self, link: Link, reply: &Reply, dice: &mut dyn Dice) {
        let layers = Layers { label: &[], keyring: self.keyring.as_ref(), compress: self.compress };
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.write(reply.encode(&layers, dice));
            peer.side = Side::Neither;
        }
    }

    fn finish(&mut self, link: Link) {
        if self.peers.remove(&link).is_some() {
            self.actions.push_back(Action::Close(link));
        }
    }

    fn refuse_stream(&mut self, now: Time, link: Link, refusal: Refusal, dice: &mut dyn Dice) {
        let from = self.peers.get(&link).map(|peer| peer.address);
        self.refuse(now, "Stream refused", from, &refusal.to_string());
        match refusal.answer() {
            Some(text) => self.say(link, &Reply::Error(text.into()), dice),
            None => self.finish(link),
        }
    }

    fn replied(&mut self, now: Time, link: Link, reply: Reply, dice: &mut dyn Dice) {
        let Some(peer) = self.peers.get(&link) else { return };
        let Side::Ours { purpose, .. } = &peer.side else { return };
        let result = match (reply, purpose) {
            (Reply::Ack(ack), Purpose::Ping(_, seq)) if ack.seq == *seq => Ok(()),
            (Reply::Ack(_), Purpose::Ping(..)) => Err("Sequence number from ack doesn't match ping".to_owned()),
            (Reply::PushPull(theirs), Purpose::Join(_) | Purpose::Rejoin(_) | Purpose::PushPull(_)) => {
                self.merge(now, theirs, dice)
            }
            (Reply::Error(text), _) => Err(format!("Remote error: {text}")),
            (Reply::Ack(_) | Reply::PushPull(_), _) => Err("unexpected reply".to_owned()),
        };
        self.ended(now, link, result, dice);
    }

    fn merge(&mut self, now: Time, theirs: PushPull, dice: &mut dyn Dice) -> Result<(), String> {
        self.swim.merge(now, theirs, dice, &mut self.serf).map_err(|cause| cause.to_string())?;
        self.seeds.exchanged();
        Ok(())
    }

    /// A connection of ours has done what it was for, or not.
    fn ended(&mut self, now: Time, link: Link, result: Result<(), String>, dice: &mut dyn Dice) {
        let Some(peer) = self.peers.remove(&link) else { return };
        self.actions.push_back(Action::Close(link));
        let Side::Ours { purpose, .. } = peer.side else { return };
        match purpose {
            Purpose::Join(attempt) => self.tried(now, attempt, result),
            Purpose::Rejoin(name) => {
                if let Err(cause) = &result {
                    self.log(Level::Debug, format!("memberlist: Failed to join {}: {cause}", peer.address.ip()));
                }
                self.serf.join_ended(&name, result.is_ok());
            }
            Purpose::PushPull(name) => {
                if let Err(cause) = result {
                    self.log(Level::Err, format!("memberlist: Push/Pull with {name} failed: {cause}"));
                }
            }
            Purpose::Ping(probe, _) => {
                let outcome = match result {
                    Ok(()) => Outcome::Answered,
                    Err(_) if peer.refused => Outcome::Refused,
                    Err(_) => Outcome::Silent,
                };
                let event = swim_event::StreamPinged { probe, outcome };
                self.swim.handle(now, event, dice, &mut self.serf);
            }
        }
    }

    fn tried(&mut self, now: Time, attempt: Attempt, result: Result<(), String>) {
        if let Err(cause) = &result {
            self.log(Level::Debug, format!("memberlist: Failed to join {}: {cause}", attempt.to.ip()));
        }
        self.joins.tried(attempt, result);
        self.go_on_joining(now, attempt.join);
    }

    /// A connection is gone before its time, or its time is over.
    pub(super) fn drop_peer(&mut self, now: Time, link: Link, why: &str, dice: &mut dyn Dice) {
        let Some(peer) = self.peers.get(&link) else { return };
        // In Go's words, as clients know them.
        let text = match &peer.side {
            Side::Ours { connected: false, .. } if why == LATE => format!("dial tcp {}: {why}", peer.address),
            Side::Ours { connected: false, .. } => format!("dial tcp {}: connect: {why}", peer.address),
            Side::Ours { connected: true, .. } => why.to_owned(),
            Side::Theirs(_) | Side::Neither => return self.finish(link),
        };
        self.ended(now, link, Err(text), dice);
    }

    /// Closes what took too long.
    pub(super) fn close_late(&mut self, now: Time, dice: &mut dyn Dice) {
        let late: Vec<_> = self.peers.iter().filter(|(_, peer)| peer.until <= now).map(|(link, _)| *link).collect();
        for link in late {
            self.drop_peer(now, link, LATE, dice);
        }
    }
}
