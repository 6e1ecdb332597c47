//! All members beside each other: who is a peer, who is not and why, and what changed since the last look.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr};

use super::contest::{self, Rival};
use super::member::{Local, Member, Refusal, Status, Verified, verify};
use crate::mesh::endpoints::Announced;
use crate::mesh::peers::{Observed, PeerSpec, WgKey};
use crate::mesh::record::Flaw;
use crate::mesh::{Keyring, NodeId, Record};

/// Generations of nodes that are gone are remembered for this many nodes at most.
const REMEMBERED: usize = 4096;

/// A peer that gossip does not show at all, or with a record that does not hold, is kept this many seconds: gossip that was
/// restarted knows nobody at first, a tag may come half, and neither is a reason to close a tunnel.
pub const GRACE: u64 = 600;

/// A node is settled after so many seconds with its address among others, undisputed: all who could know a better claim have
/// been heard by then.
pub const PEACE: u64 = 10;

/// Who is in, who is out, and why.
#[derive(Clone, Debug)]
pub struct Roster {
    local: Local,
    verified: BTreeMap<String, Verified>,
    refused: BTreeMap<String, Refusal>,
    newest: BTreeMap<NodeId, u64>,
    /// The members that held when they were judged last, as gossip showed them then: a signature costs more than all the rest.
    judged: BTreeMap<String, (Member, Verified)>,
    /// The addresses that peers had before this roster began, by key.
    recalled: BTreeMap<WgKey, Ipv4Addr>,
    /// Who else claims this node's address.
    rivals: Vec<Rival>,
    /// Since when this node has its address among others, and nobody disputes it, in seconds.
    peace: Option<u64>,
    /// Since when gossip does not show a peer, or only with a record that does not hold, in seconds.
    missing: BTreeMap<String, u64>,
}

/// What is different since the last look. Said once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// A member is a peer now.
    CameIn(Verified),
    /// A peer announces another endpoint, address or key.
    Changed(Verified),
    /// Gossip does not hear a peer any more; it stays a peer.
    Failed(String),
    /// Gossip hears a peer again.
    Returned(String),
    /// A member is no peer, for this reason.
    Refused(String, Refusal),
    /// A peer shows a record that does not hold; it stays a peer for [`GRACE`] seconds as it was.
    Doubted(String, Refusal),
    /// Another node is a peer under a name that this one had.
    Replaced(NodeId, Verified),
    /// A peer left, or gossip forgot it: it is no peer any more.
    Left(String),
}

impl Delta {
    /// Whether it is something that a person should look after.
    pub const fn is_warning(&self) -> bool {
        match self {
            Delta::Refused(..) | Delta::Doubted(..) | Delta::Replaced(..) => true,
            Delta::CameIn(peer) | Delta::Changed(peer) => peer.astray().is_some(),
            Delta::Failed(_) | Delta::Returned(_) | Delta::Left(_) => false,
        }
    }
}

impl Display for Delta {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Delta::CameIn(peer) => write!(f, "node {} authenticated successfully: {}", peer.record().name, Facts(peer)),
            Delta::Changed(peer) => write!(f, "node {} announces a change: {}", peer.record().name, Facts(peer)),
            Delta::Failed(name) => write!(f, "node {name} does not answer gossip; its tunnel stays"),
            Delta::Returned(name) => write!(f, "node {name} answers gossip again"),
            Delta::Refused(name, refusal) => {
                write!(f, "unable to let member {name} in: {refusal}; it stays out until that changes")
            }
            Delta::Doubted(name, refusal) => {
                write!(
                    f,
                    "unable to read what node {name} says now: {refusal}; its tunnel stays for {GRACE} s as it was"
                )
            }
            Delta::Replaced(old, peer) => {
                write!(
                    f,
                    "unable to tell whether node {} is the one that it was: it had node id {old}, and has {} now; \
                     if it was not made anew, somebody else took its name",
                    peer.record().name,
                    Facts(peer)
                )
            }
            Delta::Left(name) => write!(f, "node {name} left; its tunnel is closed"),
        }
    }
}

struct Facts<'a>(&'a Verified);

impl Display for Facts<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let record = self.0.record();
        write!(f, "node id {}, {}, endpoint ", record.node_id, record.address)?;
        let announced = self.0.announced();
        let shown = announced.shown.filter(|shown| !announced.signed.contains(shown));
        let places: Vec<String> = announced.signed.iter().chain(&shown).map(ToString::to_string).collect();
        f.write_str(&places.join(" or "))?;
        match self.0.astray() {
            Some(refusal) => write!(f, "; what gossip says of it is not believed: {refusal}"),
            None => Ok(()),
        }
    }
}

impl Roster {
    /// The empty roster of a node.
    pub fn new(local: Local) -> Roster {
        Roster {
            local,
            verified: BTreeMap::new(),
            refused: BTreeMap::new(),
            newest: BTreeMap::new(),
            judged: BTreeMap::new(),
            recalled: BTreeMap::new(),
            rivals: Vec::new(),
            peace: None,
            missing: BTreeMap::new(),
        }
    }

    /// Takes the peers of a device that another roster filled before: who had an address then had it first.
    pub fn recall(&mut self, observed: &Observed) {
        self.recalled = observed
            .peers
            .iter()
            .flat_map(|peer| peer.allowed.iter().map(|allowed| (peer.key, *allowed)))
            .filter_map(|(key, allowed)| match allowed {
                (IpAddr::V4(address), 32) => Some((key, address)),
                _ => None,
            })
            .collect();
    }

    /// Whether this node, which was not settled, is from now on.
    pub fn settles(&self, now: u64) -> bool {
        !self.local.record.settled && self.peace.is_some_and(|since| now.saturating_sub(since) >= PEACE)
    }

    /// Takes this node for another: what it says of itself has changed, or the keys that it holds. The members are judged anew
    /// at the next [`Roster::update`].
    pub fn renew(&mut self, local: Local) {
        self.local = local;
        self.judged.clear();
    }

    /// Takes the whole membership as gossip shows it at `now`, in seconds of any clock; answers with what changed.
    ///
    /// One node id under two names: the newer record keeps it. One WireGuard key under two ids: whoever held it before keeps
    /// it, for an id can be searched until it is small, and a key is copied easily; of two newcomers the smaller id. One
    /// address under two ids: whoever had it before; of two newcomers the settled one, or else the smaller id.
    pub fn update(&mut self, members: &[Member], now: u64) -> Vec<Delta> {
        let (mut candidates, mut refused) = self.judge(members);
        let contests = |name: &str| matches!(refused.get(name), Some(Refusal::OwnAddress { .. }));
        let rivals = members.iter().filter(|member| contests(&member.name));
        self.rivals = rivals
            .filter_map(|member| Record::read(&member.name, &member.tags, &self.local.keyring).ok())
            .map(|record| Rival { node_id: record.node_id, settled: record.settled })
            .collect();
        candidates.extend(self.kept(members, &candidates, &refused, now));
        // The order in which they may claim: by id, and of one id the newest record first.
        candidates.sort_by(|a, b| {
            let (a, b) = (a.record(), b.record());
            a.node_id.cmp(&b.node_id).then(b.generation.cmp(&a.generation)).then(a.name.cmp(&b.name))
        });
        let held: BTreeSet<(&NodeId, WgKey)> = self.verified.values().map(holding).collect();
        let holders: BTreeMap<WgKey, (NodeId, String)> = candidates
            .iter()
            .filter(|peer| held.contains(&holding(peer)))
            .map(|peer| (peer.record().key, (peer.record().node_id.clone(), peer.record().name.clone())))
            .collect();
        let mut verified = BTreeMap::new();
        let mut ids: BTreeMap<NodeId, String> = BTreeMap::new();
        let mut keys = BTreeMap::new();
        let mut claimants = Vec::new();
        for candidate in candidates {
            let record = candidate.record();
            let (id, name) = (record.node_id.clone(), record.name.clone());
            let seen = self.newest.get(&id).copied().unwrap_or(0);
            let held = if let Some(by) = ids.get(&id) {
                Some(Refusal::IdHeld(by.clone()))
            } else if record.generation < seen {
                Some(Refusal::Older { carries: record.generation, seen })
            } else if let Some(holder) = holders.get(&record.key).filter(|(holder, _)| *holder != id) {
                Some(Refusal::KeyHeld(holder.1.clone()))
            } else {
                keys.get(&record.key).map(|by| Refusal::KeyHeld(String::clone(by)))
            };
            if let Some(refusal) = held {
                refused.entry(name).or_insert(refusal);
                continue;
            }
            self.newest.insert(id.clone(), record.generation);
            ids.insert(id, name.clone());
            keys.insert(record.key, name);
            claimants.push(candidate);
        }
        let holders = self.holders(&claimants);
        for claimant in claimants {
            let record = claimant.record();
            let name = record.name.clone();
            match holders.get(&record.address) {
                Some(by) if *by != name => {
                    let refusal = Refusal::AddressHeld(record.address, by.clone());
                    refused.entry(name).or_insert(refusal);
                }
                _ => drop(verified.insert(name, claimant)),
            }
        }
        if self.newest.len() > REMEMBERED {
            self.newest.retain(|id, _| ids.contains_key(id));
        }
        let alone = !verified.values().any(|peer| peer.status() == Status::Alive);
        let disputed = refused.values().any(|refusal| matches!(refusal, Refusal::OwnAddress { .. }));
        self.peace = if alone || disputed { None } else { self.peace.or(Some(now)) };
        let deltas = self.deltas(&verified, &refused);
        self.verified = verified;
        self.refused = refused;
        deltas
    }

    /// Who is in, by name.
    pub fn verified(&self) -> impl Iterator<Item = &Verified> {
        self.verified.values()
    }

    /// Who is out and why, by name.
    pub fn refused(&self) -> impl Iterator<Item = (&str, &Refusal)> {
        let out = self.refused.iter().filter(|(name, _)| !self.verified.contains_key(*name));
        out.map(|(name, refusal)| (name.as_str(), refusal))
    }

    /// The addresses that this node must not move to, if it must move: see [`contest::taken`]. None if it may stay.
    pub fn lost(&self) -> Option<BTreeSet<Ipv4Addr>> {
        let lost = |refusal: &Refusal| matches!(refusal, Refusal::OwnAddress { kept: false, .. });
        self.refused.values().any(lost).then(|| {
            let (own, subnet) = (&self.local.record, self.local.subnet);
            let held = self.verified.values().map(|peer| peer.record().address);
            contest::taken(&own.node_id, own.address, &self.rivals, held, subnet)
        })
    }

    /// The peers that the WireGuard device should have: the verified members and nobody else, with a keepalive of so many
    /// seconds.
    pub fn desired(&self, keepalive: u16) -> Vec<PeerSpec> {
        self.verified.values().map(|peer| peer.peer(keepalive)).collect()
    }

    /// Where each peer may be reached.
    pub fn announced(&self) -> impl Iterator<Item = (WgKey, Announced)> {
        self.verified.values().map(|peer| (peer.record().key, peer.announced().clone()))
    }

    /// The peers that gossip does not show any more, or only with a record that does not hold; but not for long.
    fn kept(
        &mut self,
        members: &[Member],
        candidates: &[Verified],
        refused: &BTreeMap<String, Refusal>,
        now: u64,
    ) -> Vec<Verified> {
        let shown: BTreeMap<&str, Status> =
            members.iter().map(|member| (member.name.as_str(), member.status)).collect();
        let proven: BTreeSet<&str> = candidates.iter().map(|peer| peer.record().name.as_str()).collect();
        let lost = |name: &str| match shown.get(name) {
            None => Some(Status::Unknown),
            Some(status) => {
                let doubtful = matches!(refused.get(name), Some(Refusal::Record(_) | Refusal::NoCommonKey(_)));
                (doubtful && !proven.contains(name)).then_some(*status)
            }
        };
        self.missing.retain(|name, _| lost(name).is_some() && self.verified.contains_key(name));
        let lost = self.verified.iter().filter_map(|(name, peer)| Some((name, peer, lost(name)?)));
        lost.filter(|(name, ..)| now.saturating_sub(*self.missing.entry(String::clone(name)).or_insert(now)) < GRACE)
            .map(|(_, peer, status)| peer.shown_as(status))
            .collect()
    }

    /// The name of the one that has each address, of `claimants` in the order of their ids.
    fn holders(&self, claimants: &[Verified]) -> BTreeMap<Ipv4Addr, String> {
        let had: BTreeMap<_, Ipv4Addr> =
            self.verified.values().map(|old| (holding(old), old.record().address)).collect();
        let mut holders: BTreeMap<Ipv4Addr, (u8, String)> = BTreeMap::new();
        for claimant in claimants {
            let record = claimant.record();
            let before = had.get(&holding(claimant)) == Some(&record.address)
                || self.recalled.get(&record.key) == Some(&record.address);
            let rank = if before { 0 } else { u8::from(!record.settled) + 1 };
            let claim = (rank, record.name.clone());
            let holder = holders.entry(record.address).or_insert_with(|| claim.clone());
            if rank < holder.0 {
                *holder = claim;
            }
        }
        holders.into_iter().map(|(address, (_, name))| (address, name)).collect()
    }

    /// Judges each member by itself.
    fn judge(&mut self, members: &[Member]) -> (Vec<Verified>, BTreeMap<String, Refusal>) {
        let mut before = std::mem::take(&mut self.judged);
        let mut candidates = Vec::new();
        let mut refused = BTreeMap::new();
        let present = |member: &&Member| {
            member.name != self.local.record.name && !matches!(member.status, Status::Left | Status::Unknown)
        };
        for member in members.iter().filter(present) {
            let same = before.remove_entry(&member.name).filter(|(_, (old, _))| old.shows_as(member));
            if let Some((name, judged)) = same {
                candidates.push(judged.1.shown_as(member.status));
                self.judged.insert(name, judged);
                continue;
            }
            match verify(member, &self.local) {
                Ok(verified) => {
                    self.judged.insert(member.name.clone(), (member.clone(), verified.clone()));
                    candidates.push(verified);
                }
                Err(Refusal::Record(Flaw::Forged(id))) => {
                    let refusal = match signed_for(member, members, &self.local.keyring) {
                        Some(signed_for) => Refusal::Copied { signed_for },
                        None => Refusal::Record(Flaw::Forged(id)),
                    };
                    refused.insert(member.name.clone(), refusal);
                }
                Err(refusal) => {
                    refused.insert(member.name.clone(), refusal);
                }
            }
        }
        (candidates, refused)
    }

    fn deltas(&self, verified: &BTreeMap<String, Verified>, refused: &BTreeMap<String, Refusal>) -> Vec<Delta> {
        let mut deltas = Vec::new();
        for name in self.verified.keys().chain(verified.keys()).collect::<BTreeSet<_>>() {
            match (self.verified.get(name), verified.get(name)) {
                (None, Some(new)) => deltas.push(Delta::CameIn(new.clone())),
                (Some(old), Some(new)) if old.record().node_id != new.record().node_id => {
                    deltas.push(Delta::Replaced(old.record().node_id.clone(), new.clone()));
                }
                (Some(old), Some(new)) => {
                    if !old.says_as(new) {
                        deltas.push(Delta::Changed(new.clone()));
                    }
                    match (old.status() == Status::Failed, new.status() == Status::Failed) {
                        (false, true) => deltas.push(Delta::Failed(name.clone())),
                        (true, false) => deltas.push(Delta::Returned(name.clone())),
                        (false, false) | (true, true) => {}
                    }
                }
                (Some(_), None) if refused.contains_key(name) => {}
                (Some(_), None) => deltas.push(Delta::Left(name.clone())),
                (None, None) => {}
            }
        }
        for (name, refusal) in refused {
            let (was_kept, is_kept) = (self.verified.contains_key(name), verified.contains_key(name));
            if self.refused.get(name) == Some(refusal) && was_kept == is_kept {
                continue;
            }
            let said = if is_kept { Delta::Doubted } else { Delta::Refused };
            deltas.push(said(name.clone(), refusal.clone()));
        }
        deltas
    }
}

fn holding(peer: &Verified) -> (&NodeId, WgKey) {
    (&peer.record().node_id, peer.record().key)
}

/// The name whose record `member` carries, if another member carries the same signature with right.
fn signed_for(member: &Member, members: &[Member], keyring: &Keyring) -> Option<String> {
    let signature = member.tags.get("sig")?;
    members
        .iter()
        .filter(|other| other.name != member.name && other.tags.get("sig") == Some(signature))
        .find(|other| Record::read(&other.name, &member.tags, keyring).is_ok())
        .map(|other| other.name.clone())
}

#[cfg(test)]
mod tests {
    use super::super::member::tests::{identity, local, member, record};
    use super::{Delta, Roster};
    use crate::cluster::{Local, Member, Refusal, Status, Verified};
    use crate::mesh::endpoints::Announced;
    use crate::mesh::peers::{Observed, ObservedPeer};
    use crate::mesh::{Identity, Psk, Record};

    fn joined(seed: u8, name: &str) -> Member {
        let identity = identity(seed);
        member(&record(&identity, name), &identity)
    }

    fn names(roster: &Roster) -> Vec<&str> {
        roster.verified().map(|peer| peer.record().name.as_str()).collect()
    }

    /// Two identities, the one with the smaller id first.
    fn two() -> (Identity, Identity) {
        let (a, b) = (identity(2), identity(3));
        if a.node_id() < b.node_id() { (a, b) } else { (b, a) }
    }

    #[test]
    fn a_member_comes_in_once_and_is_said_once() {
        let mut roster = Roster::new(local());
        let members = [joined(1, "node1"), joined(2, "node2")];
        let deltas = roster.update(&members, 0);
        assert_eq!(
            deltas.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [format!(
                "node node2 authenticated successfully: node id {}, {}, endpoint 172.30.0.9:51820",
                identity(2).node_id(),
                record(&identity(2), "").address
            )]
        );
        assert_eq!(roster.update(&members, 0), []);
        assert_eq!(roster.desired(25).len(), 1);
    }

    #[test]
    fn a_peer_stays_while_failed_and_goes_when_it_left() {
        let mut roster = Roster::new(local());
        let mut members = [joined(2, "node2")];
        roster.update(&members, 0);
        members[0].status = Status::Failed;
        assert_eq!(roster.update(&members, 0), [Delta::Failed("node2".to_owned())]);
        assert_eq!(roster.desired(25).len(), 1);
        members[0].status = Status::Alive;
        assert_eq!(roster.update(&members, 0), [Delta::Returned("node2".to_owned())]);
        members[0].status = Status::Leaving;
        assert_eq!(roster.update(&members, 0), []);
        members[0].status = Status::Left;
        assert_eq!(roster.update(&members, 0), [Delta::Left("node2".to_owned())]);
        assert_eq!(roster.desired(25), []);
        members[0].status = Status::Alive;
        assert!(matches!(roster.update(&members, 0)[..], [Delta::CameIn(_)]));
    }

    #[test]
    fn only_the_newest_record_of_a_peer_that_answers_says_in_which_run_it_is() {
        let mut roster = Roster::new(local());
        let other = identity(2);
        let made =
            |generation: u64, run: Option<u32>| member(&Record { generation, run, ..record(&other, "node2") }, &other);
        let mut runs = |member: Member| {
            roster.update(&[joined(1, "node1"), member], 0);
            roster.verified().filter_map(Verified::run).collect::<Vec<_>>()
        };
        let is = |run: u32| vec![(other.wireguard_key(), run)];
        assert_eq!(runs(made(10, Some(7))), is(7));
        assert_eq!(runs(Member { status: Status::Failed, ..made(10, Some(7)) }), []);
        assert_eq!(runs(made(11, Some(8))), is(8));
        // Played again, and forged.
        assert_eq!(runs(made(10, Some(7))), []);
        let mut forged = made(11, Some(8));
        forged.tags.insert("up".to_owned(), "00000007".to_owned());
        assert_eq!(runs(made(11, Some(8))), is(8));
        assert_eq!(runs(forged), is(8));
        assert_eq!(runs(made(12, None)), []);
    }

    #[test]
    fn a_gossip_that_forgot_everyone_closes_no_tunnel_at_once() {
        let mut roster = Roster::new(local());
        let members = [joined(1, "node1"), joined(2, "node2")];
        roster.update(&members, 0);
        assert_eq!(roster.update(&members[..1], 100), []);
        assert_eq!((roster.desired(25).len(), roster.verified().next().unwrap().status()), (1, Status::Unknown));
        assert_eq!(roster.update(&members, 200), []);
        assert_eq!(roster.update(&members[..1], 300), []);
        assert_eq!(roster.update(&members[..1], 300 + super::GRACE - 1), []);
        assert_eq!(roster.update(&members[..1], 300 + super::GRACE), [Delta::Left("node2".to_owned())]);
        assert_eq!(roster.desired(25), []);
    }

    #[test]
    fn what_was_judged_is_judged_anew_once_it_shows_something_else() {
        let mut roster = Roster::new(local());
        let mut members = [joined(2, "node2")];
        roster.update(&members, 0);
        let good = members[0].clone();
        members[0].tags.insert("ip".to_owned(), "10.42.9.9".to_owned());
        assert!(matches!(roster.update(&members, 0)[..], [Delta::Doubted(..)]));
        members[0] = good.clone();
        roster.update(&members, 0);
        members[0].name = "node3".to_owned();
        roster.update(&members, 0);
        assert!(roster.refused().any(|(name, _)| name == "node3"));
        members[0] = good;
        members[0].addr = "10.42.0.7".parse().unwrap();
        assert!(matches!(roster.update(&members, 0)[..], [.., Delta::Refused(..)]));
    }

    #[test]
    fn an_impostor_is_told_from_whom_it_copied() {
        let mut roster = Roster::new(local());
        let mut impostor = joined(2, "node2");
        impostor.name = "node9".to_owned();
        let members = [impostor, joined(2, "node2")];
        let deltas = roster.update(&members, 0);
        assert_eq!(
            deltas[1].to_string(),
            "unable to let member node9 in: it carries the record of node2: the name differs from the signed name (an \
             impostor, or a copied disk); it stays out until that changes"
        );
        assert!(deltas[1].is_warning());
        assert_eq!(names(&roster), ["node2"]);
        assert_eq!(roster.update(&members, 0), []);
    }

    #[test]
    fn this_nodes_own_record_under_another_name_is_a_copy() {
        let mut roster = Roster::new(local());
        let own = joined(1, "node1");
        let mut impostor = own.clone();
        impostor.name = "node9".to_owned();
        let deltas = roster.update(&[own, impostor], 0);
        let copied = Refusal::Copied { signed_for: "node1".to_owned() };
        assert_eq!(deltas, [Delta::Refused("node9".to_owned(), copied)]);
    }

    #[test]
    fn the_smaller_id_keeps_a_key_and_an_address() {
        let (small, large) = two();
        let kept = member(&record(&small, "zeta"), &small);
        let mut same_address = record(&large, "alpha");
        same_address.address = record(&small, "").address;
        let mut roster = Roster::new(local());
        roster.update(&[member(&same_address, &large), kept.clone()], 0);
        assert_eq!(names(&roster), ["zeta"]);
        let refused: Vec<_> = roster.refused().map(|(name, refusal)| (name.to_owned(), refusal.clone())).collect();
        assert_eq!(refused, [("alpha".to_owned(), Refusal::AddressHeld(same_address.address, "zeta".to_owned()))]);

        let mut same_key = record(&large, "alpha");
        same_key.key = small.wireguard_key();
        let mut roster = Roster::new(local());
        roster.update(&[member(&same_key, &large), kept], 0);
        assert_eq!(roster.refused().next(), Some(("alpha", &Refusal::KeyHeld("zeta".to_owned()))));
    }

    #[test]
    fn a_copied_key_does_not_drive_its_holder_out_whatever_the_id() {
        let (small, large) = two();
        let holder = member(&record(&large, "holder"), &large);
        let mut copied = record(&small, "impostor");
        copied.key = large.wireguard_key();
        let impostor = member(&copied, &small);
        let mut roster = Roster::new(local());
        roster.update(std::slice::from_ref(&holder), 0);
        for _ in 0..2 {
            roster.update(&[impostor.clone(), holder.clone()], 1);
            assert_eq!(names(&roster), ["holder"]);
            assert_eq!(roster.refused().next(), Some(("impostor", &Refusal::KeyHeld("holder".to_owned()))));
        }
        let mut left = holder;
        left.status = Status::Left;
        roster.update(&[impostor, left], 2);
        assert_eq!(names(&roster), ["impostor"]);
    }

    #[test]
    fn a_claimed_address_does_not_drive_its_holder_out_whatever_the_id() {
        let (small, large) = two();
        let mut other = record(&large, "alpha");
        other.address = record(&small, "").address;
        let holder = member(&other, &large);
        let mut thief = record(&small, "zeta");
        thief.settled = true;
        let thief = member(&thief, &small);
        let held = Refusal::AddressHeld(other.address, "alpha".to_owned());
        let mut roster = Roster::new(local());
        roster.update(std::slice::from_ref(&holder), 0);
        for _ in 0..2 {
            roster.update(&[holder.clone(), thief.clone()], 0);
            assert_eq!((names(&roster), roster.refused().next()), (vec!["alpha"], Some(("zeta", &held))));
        }
        // Nor where the agent starts again: the device tells who had it.
        let mut again = Roster::new(local());
        again.recall(&Observed {
            peers: vec![ObservedPeer {
                key: other.key,
                endpoint: None,
                allowed: vec![(other.address.into(), 32)],
                keepalive: 0,
                psk: Psk::none(),
                handshake: None,
                rx: 0,
                tx: 0,
            }],
            ..Observed::default()
        });
        again.update(&[holder, thief.clone()], 0);
        assert_eq!(names(&again), ["alpha"]);
        // Who moves elsewhere is refused no more, and who gave it up does not hold it.
        let mut moved = other;
        moved.address = "10.42.9.9".parse().unwrap();
        roster.update(&[member(&moved, &large), thief], 0);
        assert_eq!(names(&roster), ["alpha", "zeta"]);
    }

    #[test]
    fn of_two_newcomers_the_settled_one_has_the_address() {
        let (small, large) = two();
        let mut settled = record(&large, "alpha");
        settled.address = record(&small, "").address;
        settled.settled = true;
        let members = [member(&settled, &large), member(&record(&small, "zeta"), &small)];
        for members in [members.clone(), members.into_iter().rev().collect::<Vec<_>>().try_into().unwrap()] {
            let mut roster = Roster::new(local());
            roster.update(&members, 0);
            assert_eq!(names(&roster), ["alpha"]);
        }
    }

    #[test]
    fn a_settled_node_moves_for_nobody_and_a_newcomer_for_whoever_is_settled() {
        let (small, large) = two();
        let shared = record(&small, "").address;
        for own in [false, true] {
            for other in [false, true] {
                for (mine, theirs, smaller) in [(&small, &large, true), (&large, &small, false)] {
                    let claims = |identity: &Identity, name: &str, settled: bool| Record {
                        address: shared,
                        settled,
                        ..record(identity, name)
                    };
                    let mut roster = Roster::new(Local { record: claims(mine, "own", own), ..local() });
                    roster.update(&[member(&claims(theirs, "other", other), theirs)], 0);
                    let stays = match (own, other) {
                        (true, _) => true,
                        (false, true) => false,
                        (false, false) => smaller,
                    };
                    assert_eq!(roster.lost().is_none(), stays, "{own} {other} {smaller}");
                    assert_eq!(roster.refused().count(), 1);
                }
            }
        }
    }

    #[test]
    fn a_node_settles_after_a_while_of_peace_among_others() {
        let mut roster = Roster::new(local());
        let mut failed = joined(2, "node2");
        failed.status = Status::Failed;
        roster.update(&[failed], 0);
        assert!(!roster.settles(1000));
        roster.update(&[joined(2, "node2")], 1000);
        assert!(!roster.settles(1000 + super::PEACE - 1) && roster.settles(1000 + super::PEACE));
        let mut disputing = record(&identity(3), "node3");
        disputing.address = local().record.address;
        roster.update(&[joined(2, "node2"), member(&disputing, &identity(3))], 1003);
        roster.update(&[joined(2, "node2")], 1005);
        assert!(!roster.settles(1000 + super::PEACE) && roster.settles(1005 + super::PEACE));
        roster.renew(Local { record: Record { settled: true, ..local().record }, ..local() });
        assert!(!roster.settles(5000));
    }

    #[test]
    fn the_larger_id_moves_when_two_have_one_address() {
        let (small, large) = two();
        let shared = record(&small, "zeta").address;
        let claims = |identity: &Identity, name: &str| {
            let mut record = record(identity, name);
            record.address = shared;
            record
        };
        let at = |identity: &Identity, name: &str| Roster::new(Local { record: claims(identity, name), ..local() });
        let (mut winner, mut loser) = (at(&small, "zeta"), at(&large, "alpha"));
        assert_eq!(loser.lost(), None);
        winner.update(&[member(&claims(&large, "alpha"), &large)], 0);
        let deltas = loser.update(&[member(&claims(&small, "zeta"), &small)], 0);
        assert_eq!((winner.lost(), loser.lost()), (None, Some([shared].into())));
        assert_eq!(
            deltas[0].to_string(),
            format!(
                "unable to let member zeta in: its mesh address {shared} is this node's own, and this node moves: that one had it \
                 first or has the smaller node id; it stays out until that changes"
            )
        );
    }

    #[test]
    fn the_newer_record_of_an_id_keeps_it() {
        let other = identity(2);
        let mut newer = record(&other, "renamed");
        newer.generation = 11;
        let mut roster = Roster::new(local());
        let old = member(&record(&other, "node2"), &other);
        roster.update(&[old.clone(), member(&newer, &other)], 0);
        assert_eq!(names(&roster), ["renamed"]);
        assert_eq!(roster.refused().next(), Some(("node2", &Refusal::IdHeld("renamed".to_owned()))));
        let mut left = member(&newer, &other);
        left.status = Status::Left;
        roster.update(&[old, left], 0);
        assert_eq!(roster.refused().next(), Some(("node2", &Refusal::Older { carries: 10, seen: 11 })));
    }

    #[test]
    fn an_announced_change_is_said_and_followed() {
        let mut roster = Roster::new(local());
        let mut members = [joined(2, "node2")];
        roster.update(&members, 0);
        members[0].addr = "172.30.0.77".parse().unwrap();
        assert!(matches!(roster.update(&members, 0)[..], [Delta::Changed(_)]));
        let (_, announced) = roster.announced().next().unwrap();
        assert_eq!(announced, Announced { signed: Vec::new(), shown: "172.30.0.77:51820".parse().ok() });
    }

    #[test]
    fn gossip_drives_nobody_out_who_says_where_it_is() {
        let mut roster = Roster::new(local());
        let other = identity(2);
        let mut told = record(&other, "node2");
        told.endpoints = vec!["192.0.2.1:51820".parse().unwrap()];
        let mut members = [member(&told, &other)];
        roster.update(&members, 0);
        members[0].addr = "10.42.0.9".parse().unwrap();
        let deltas = roster.update(&members, 0);
        assert!(deltas[0].is_warning());
        assert_eq!(
            deltas[0].to_string(),
            format!(
                "node node2 announces a change: node id {}, {}, endpoint 192.0.2.1:51820; what gossip says of it is not \
                 believed: its endpoint 10.42.0.9 is inside the mesh, which cannot carry itself",
                other.node_id(),
                told.address
            )
        );
        assert_eq!(roster.update(&members, 0), []);
    }

    #[test]
    fn another_node_under_a_known_name_is_said_with_both_ids() {
        let mut roster = Roster::new(local());
        roster.update(&[joined(2, "node2")], 0);
        let deltas = roster.update(&[joined(3, "node2")], 0);
        let [delta] = &deltas[..] else { panic!("{deltas:?}") };
        assert!(delta.is_warning());
        assert_eq!(
            delta.to_string(),
            format!(
                "unable to tell whether node node2 is the one that it was: it had node id {}, and has node id {}, {}, \
                 endpoint 172.30.0.9:51820 now; if it was not made anew, somebody else took its name",
                identity(2).node_id(),
                identity(3).node_id(),
                record(&identity(3), "").address
            )
        );
    }

    #[test]
    fn a_record_that_does_not_hold_closes_no_tunnel_at_once() {
        let mut roster = Roster::new(local());
        let good = joined(2, "node2");
        let mut bad = good.clone();
        bad.tags.remove("sig");
        roster.update(std::slice::from_ref(&good), 0);
        let deltas = roster.update(std::slice::from_ref(&bad), 100);
        assert_eq!(
            deltas.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "unable to read what node node2 says now: its record has no tag \"sig\"; its tunnel stays for 600 s as it was"
            ]
        );
        assert_eq!((names(&roster), roster.refused().count()), (vec!["node2"], 0));
        assert_eq!(roster.update(std::slice::from_ref(&bad), 100), []);
        assert_eq!(roster.update(std::slice::from_ref(&good), 200), []);
        assert!(matches!(roster.update(std::slice::from_ref(&bad), 300)[..], [Delta::Doubted(..)]));
        assert_eq!(roster.update(std::slice::from_ref(&bad), 300 + super::GRACE - 1), []);
        let deltas = roster.update(std::slice::from_ref(&bad), 300 + super::GRACE);
        assert!(matches!(deltas[..], [Delta::Refused(..)]), "{deltas:?}");
        assert_eq!(roster.desired(25), []);
        assert_eq!(roster.update(&[bad], 300 + super::GRACE), []);
        // Who leaves is let go at once, whatever it says last.
        roster.update(std::slice::from_ref(&good), 1000);
        let mut left = good;
        left.tags.remove("sig");
        left.status = Status::Left;
        assert_eq!(roster.update(&[left], 1001), [Delta::Left("node2".to_owned())]);
    }
}
