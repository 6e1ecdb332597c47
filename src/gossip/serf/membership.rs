//! What memberlist and intents say of members (section 3.3).

use super::complaint::Complaint;
use super::config::LEAVE_PROPAGATE;
use super::event::Kind;
use super::intent::Aim;
use super::leave::Leave;
use super::machine::Serf;
use super::member::{Cell, Member, Status};
use super::output::Level;
use super::queues::push;
use crate::gossip::swim;
use crate::gossip::wire::serf::{JoinIntent, LeaveIntent, SerfMessage};
use crate::gossip::{Dice, Name};
use crate::unit::Time;

/// A member as memberlist knows it, with this status.
fn member(node: &swim::Member, status: Status) -> Member {
    Member { record: node.record.clone(), status }
}

impl Serf {
    /// memberlist has a member that it did not have, or not alive.
    pub(super) fn joined(&mut self, now: Time, node: &swim::Member) {
        let cell = match self.members.get(&node.name) {
            Some(known) => Cell { member: member(node, Status::Alive), gone: None, ..known.clone() },
            None => {
                let (status, heard) = match self.intents.get(&node.name) {
                    Some((Aim::Join, ltime)) => (Status::Alive, ltime),
                    Some((Aim::Leave, ltime)) => (Status::Leaving, ltime),
                    None => (Status::Alive, 0),
                };
                Cell { member: member(node, status), heard, ..Cell::default() }
            }
        };
        if !self.make_room(now, &node.name) {
            let name = node.name.clone();
            let limit = self.config.members;
            return self.complain(now, Complaint::TooManyMembers, || {
                format!("serf: unable to take the member {name}: there are {limit} already; see whether all of them belong here")
            });
        }
        self.prunes.remove(&node.name);
        self.members.insert(cell.clone());
        self.tell_member(now, Kind::Join, false, &cell);
    }

    /// Whether a member of this name can be taken; who has been gone for longest is forgotten for it.
    fn make_room(&mut self, now: Time, name: &Name) -> bool {
        if self.members.get(name).is_some() || self.members.len() < self.config.members {
            return true;
        }
        let Some(gone) = self.members.longest_gone() else { return false };
        self.erase(now, &gone, false);
        true
    }

    /// memberlist has lost a member, or it left.
    pub(super) fn gone(&mut self, now: Time, name: &Name) {
        let change = self.members.change(name, |cell| {
            let (status, kind) = match cell.member.status {
                Status::Leaving => (Status::Left, Kind::Leave),
                Status::Alive => (Status::Failed, Kind::Failed),
                Status::None | Status::Left | Status::Failed => return Err(cell.member.status),
            };
            cell.member.status = status;
            cell.gone = Some(now);
            Ok((kind, cell.clone()))
        });
        match change {
            Some(Ok((kind, cell))) => {
                let (failed, share) = (self.members.of(Status::Failed), self.dice.fraction());
                self.upkeep.something_gone(now, failed, self.config.reconnect_interval, share);
                self.tell_member(now, kind, false, &cell);
            }
            Some(Err(status)) => {
                self.complain(now, Complaint::BadState, || format!("serf: Bad state when leaving: {}", status as u8));
            }
            None => {}
        }
    }

    /// memberlist knows other tags or another address of a member.
    pub(super) fn updated(&mut self, now: Time, node: &swim::Member) {
        let cell = self.members.change(&node.name, |cell| {
            cell.member = member(node, cell.member.status);
            cell.clone()
        });
        if let Some(cell) = cell {
            self.tell_member(now, Kind::Update, false, &cell);
        }
    }

    /// A node means to be there. Answers whether it is news.
    pub(super) fn hear_join(&mut self, now: Time, intent: &JoinIntent) -> bool {
        self.clock.witness(intent.ltime);
        let news = self.members.change(&intent.node, |cell| {
            if intent.ltime <= cell.heard {
                return false;
            }
            cell.heard = intent.ltime;
            if cell.member.status == Status::Leaving {
                cell.member.status = Status::Alive;
            }
            true
        });
        news.unwrap_or_else(|| self.intents.take(now, &intent.node, Aim::Join, intent.ltime))
    }

    /// A node means to go, or somebody means that it has. Answers whether it is news.
    pub(super) fn hear_leave(&mut self, now: Time, intent: &LeaveIntent) -> bool {
        self.clock.witness(intent.ltime);
        let Some(known) = self.members.get(&intent.node) else {
            return self.intents.take(now, &intent.node, Aim::Leave, intent.ltime);
        };
        if intent.ltime <= known.heard {
            return false;
        }
        if intent.node == self.config.name && self.leave == Leave::No {
            self.log(Level::Debug, "serf: Refuting an older leave intent".to_owned());
            self.say_join(now);
            return false;
        }
        let change = self.members.change(&intent.node, |cell| {
            cell.heard = intent.ltime;
            let before = cell.member.status;
            match before {
                Status::Alive => cell.member.status = Status::Leaving,
                Status::Failed => cell.member.status = Status::Left,
                Status::Leaving | Status::Left | Status::None => {}
            }
            (before, cell.clone())
        });
        let Some((before, cell)) = change else { return false };
        if before == Status::Failed {
            self.tell_member(now, Kind::Leave, true, &cell);
        }
        if intent.prune {
            self.prune(now, &cell);
        }
        before != Status::None
    }

    /// Erases a member, at once if it is gone; who is leaving is given the time to.
    fn prune(&mut self, now: Time, cell: &Cell) {
        let name = &cell.member.name;
        if *name == self.config.name {
            return;
        }
        match cell.member.status {
            Status::Left => self.erase(now, name, true),
            Status::Leaving => {
                let until = now + self.config.broadcast_timeout + LEAVE_PROPAGATE;
                self.prunes.entry(name.clone()).or_insert(until);
            }
            Status::None | Status::Alive | Status::Failed => {}
        }
    }

    /// Forgets a member.
    pub(super) fn erase(&mut self, now: Time, name: &Name, forced: bool) {
        self.prunes.remove(name);
        self.vivaldi.forget(name);
        if let Some(cell) = self.members.remove(name) {
            self.tell_member(now, Kind::Reap, forced, &cell);
        }
    }

    /// Says to everybody that this node is there: after each join, and when somebody says that it leaves.
    pub fn join_intent(&mut self, now: Time) {
        self.say_join(now);
        self.settle(now);
    }

    fn say_join(&mut self, now: Time) {
        let intent = JoinIntent { ltime: self.clock.time(), node: self.config.name.clone() };
        self.hear_join(now, &intent);
        push(&mut self.queues.intents, SerfMessage::Join(intent).encode());
    }

    /// Says to everybody that a failed member has left, and with `prune` that it is to be forgotten. That it is not known
    /// is no mistake.
    pub fn force_leave(&mut self, now: Time, node: Name, prune: bool) {
        let intent = LeaveIntent { ltime: self.clock.stamp(), node, prune };
        self.hear_leave(now, &intent);
        if self.others_alive() {
            push(&mut self.queues.intents, SerfMessage::Leave(intent).encode());
        }
        self.settle(now);
    }

    /// Whether another member is alive.
    pub(super) fn others_alive(&self) -> bool {
        let me = self.members.get(&self.config.name).is_some_and(|cell| cell.member.status == Status::Alive);
        self.members.of(Status::Alive) > usize::from(me)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Status;
    use crate::gossip::Name;
    use crate::gossip::serf::Serf;
    use crate::gossip::serf::config::Config;
    use crate::gossip::serf::machine::tests::{
        at, config, drain, events, hear, known, lines, said, serf, serf_with, tags,
    };
    use crate::gossip::swim::{Delegate, Notice};
    use crate::gossip::wire::message::Addr;
    use crate::gossip::wire::serf::{JoinIntent, LeaveIntent, SerfMessage};

    fn join(node: &str, ltime: u64) -> SerfMessage {
        SerfMessage::Join(JoinIntent { ltime, node: node.into() })
    }

    fn leave(node: &str, ltime: u64, prune: bool) -> SerfMessage {
        SerfMessage::Leave(LeaveIntent { ltime, node: node.into(), prune })
    }

    fn status(serf: &Serf, name: &str) -> Option<Status> {
        serf.member(&name.into()).map(|member| member.status)
    }

    fn heard(serf: &Serf, name: &str) -> Option<u64> {
        serf.members.get(&name.into()).map(|cell| cell.heard)
    }

    fn lost(serf: &mut Serf, now: u64, name: &str) {
        serf.notice(at(now), &Notice::Left(known(name, 9)));
    }

    #[test]
    fn what_a_member_says_of_itself_is_kept_once() {
        let (mut serf, node) = (serf(&[]), known("a", 7));
        serf.notice(at(0), &Notice::Joined(node.clone()));
        assert!(serf.member(&"a".into()).is_some_and(|member| Arc::ptr_eq(&member.record, &node.record)));
    }

    #[test]
    fn section_3_3_a_member_that_joins_is_alive() {
        let mut serf = serf(&[]);
        serf.notice(at(0), &Notice::Joined(known("a", 7)));
        let member = serf.member(&"a".into()).expect("a member").clone();
        assert_eq!((member.status, member.port, member.vsn), (Status::Alive, 7946, [1, 5, 2, 2, 5, 5]));
        assert_eq!((member.addr.clone(), member.tags()), (Addr(vec![10, 0, 0, 7]), tags(&[("role", "web")])));
        assert_eq!(lines(&mut serf), ["serf: EventMemberJoin: a 10.0.0.7"]);
        serf.notice(at(0), &Notice::Joined(known("b", 8)));
        assert_eq!(events(&mut serf), ["member-join b"]);
    }

    #[test]
    fn section_3_3_an_intent_that_came_before_its_member_counts() {
        let mut serf = serf(&[]);
        hear(&mut serf, at(0), join("a", 7));
        hear(&mut serf, at(0), leave("b", 8, false));
        serf.notice(at(0), &Notice::Joined(known("a", 2)));
        serf.notice(at(0), &Notice::Joined(known("b", 3)));
        assert_eq!((status(&serf, "a"), heard(&serf, "a")), (Some(Status::Alive), Some(7)));
        assert_eq!((status(&serf, "b"), heard(&serf, "b")), (Some(Status::Leaving), Some(8)));
        assert_eq!(said(&mut serf).len(), 2);
        assert_eq!(serf.numbers().member_time, 9);
    }

    #[test]
    fn section_3_3_who_said_so_left_and_who_did_not_failed() {
        let mut serf = serf(&["a", "b"]);
        hear(&mut serf, at(0), leave("a", 1, false));
        assert_eq!(status(&serf, "a"), Some(Status::Leaving));
        lost(&mut serf, 0, "a");
        lost(&mut serf, 0, "b");
        lost(&mut serf, 0, "stranger");
        assert_eq!((status(&serf, "a"), status(&serf, "b")), (Some(Status::Left), Some(Status::Failed)));
        assert_eq!(events(&mut serf), ["member-leave a", "member-failed b"]);
        lost(&mut serf, 0, "a");
        assert_eq!(lines(&mut serf), ["serf: Bad state when leaving: 3"]);
        let numbers = serf.numbers();
        assert_eq!((numbers.members, numbers.failed, numbers.left), (3, 1, 1));
    }

    #[test]
    fn section_3_3_who_comes_back_is_alive_with_what_it_says_now() {
        let mut serf = serf(&["a"]);
        hear(&mut serf, at(0), join("a", 5));
        lost(&mut serf, 0, "a");
        serf.notice(at(9), &Notice::Joined(known("a", 77)));
        assert_eq!((status(&serf, "a"), heard(&serf, "a")), (Some(Status::Alive), Some(5)));
        assert_eq!(serf.member(&"a".into()).map(|member| member.addr.clone()), Some(Addr(vec![10, 0, 0, 77])));
        assert_eq!(
            (events(&mut serf), serf.numbers().failed),
            (vec!["member-failed a".into(), "member-join a".into()], 0)
        );
    }

    #[test]
    fn section_3_3_an_update_keeps_the_status() {
        let mut serf = serf(&["a"]);
        hear(&mut serf, at(0), leave("a", 1, false));
        serf.notice(at(0), &Notice::Updated(known("a", 8)));
        serf.notice(at(0), &Notice::Updated(known("stranger", 8)));
        assert_eq!(status(&serf, "a"), Some(Status::Leaving));
        assert_eq!(lines(&mut serf), ["serf: EventMemberUpdate: a"]);
    }

    #[test]
    fn section_3_3_a_join_intent_counts_if_it_is_newer() {
        let mut serf = serf(&["a"]);
        hear(&mut serf, at(0), leave("a", 5, false));
        hear(&mut serf, at(0), join("a", 5));
        assert_eq!((status(&serf, "a"), said(&mut serf)), (Some(Status::Leaving), vec![leave("a", 5, false)]));
        hear(&mut serf, at(0), join("a", 6));
        assert_eq!((status(&serf, "a"), heard(&serf, "a")), (Some(Status::Alive), Some(6)));
        assert_eq!((said(&mut serf), serf.numbers().member_time), (vec![join("a", 6)], 7));
        hear(&mut serf, at(0), join("a", 6));
        assert_eq!(said(&mut serf), []);
    }

    #[test]
    fn section_3_3_intents_of_strangers_go_on_once() {
        let mut serf = serf(&[]);
        hear(&mut serf, at(0), join("a", 0));
        hear(&mut serf, at(0), join("a", 0));
        assert_eq!(said(&mut serf), [join("a", 0)]);
    }

    #[test]
    fn section_3_3_nobody_says_that_this_node_leaves() {
        let mut serf = serf(&["a"]);
        hear(&mut serf, at(0), leave("me", 5, false));
        assert_eq!((status(&serf, "me"), heard(&serf, "me")), (Some(Status::Alive), Some(6)));
        assert_eq!((said(&mut serf), serf.numbers().member_time), (vec![join("me", 6)], 7));
        assert!(serf.is_staying());
    }

    #[test]
    fn section_3_3_a_leave_intent_makes_a_failed_member_a_left_one() {
        let mut serf = serf(&["a"]);
        lost(&mut serf, 0, "a");
        drain(&mut serf);
        hear(&mut serf, at(0), leave("a", 1, false));
        assert_eq!(status(&serf, "a"), Some(Status::Left));
        assert_eq!(lines(&mut serf), ["serf: EventMemberLeave (forced): a 10.0.0.2"]);
        assert_eq!(said(&mut serf), [leave("a", 1, false)]);
        // Newer, and sent on, but nothing new.
        hear(&mut serf, at(0), leave("a", 2, false));
        assert_eq!((said(&mut serf), events(&mut serf).len()), (vec![leave("a", 2, false)], 0));
    }

    #[test]
    fn section_3_3_prune_forgets() {
        let mut serf = serf(&["a", "b", "c"]);
        ["a", "b"].iter().for_each(|name| lost(&mut serf, 0, name));
        hear(&mut serf, at(0), leave("a", 1, true));
        hear(&mut serf, at(0), leave("b", 1, false));
        hear(&mut serf, at(0), leave("b", 2, true));
        let told = ["member-failed a", "member-failed b", "member-leave a", "member-reap a", "member-leave b"];
        assert_eq!(events(&mut serf), [&told[..], &["member-reap b"]].concat());
        assert_eq!((status(&serf, "a"), status(&serf, "b"), serf.numbers().members), (None, None, 2));
        // Who is there is given broadcast timeout and propagation to go: 6 s.
        hear(&mut serf, at(0), leave("c", 1, true));
        assert_eq!((status(&serf, "c"), serf.deadline()), (Some(Status::Leaving), Some(at(6000))));
        serf.tick(at(5999));
        assert_eq!(serf.numbers().members, 2);
        serf.tick(at(6000));
        assert_eq!((events(&mut serf), serf.numbers().members), (vec!["member-reap c".to_owned()], 1));
    }

    #[test]
    fn section_3_3_who_comes_back_is_not_pruned() {
        let mut serf = serf(&["a"]);
        hear(&mut serf, at(0), leave("a", 1, true));
        serf.notice(at(1), &Notice::Joined(known("a", 2)));
        serf.tick(at(7000));
        assert_eq!(status(&serf, "a"), Some(Status::Alive));
        hear(&mut serf, at(7000), leave("me", 9, true));
        assert!(status(&serf, "me").is_some());
    }

    #[test]
    fn section_3_3_after_a_join_everybody_is_told() {
        let mut serf = serf(&["a"]);
        serf.join_intent(at(0));
        assert_eq!((said(&mut serf), heard(&serf, "me")), (vec![join("me", 1)], Some(1)));
        assert_eq!(serf.numbers().member_time, 2);
    }

    #[test]
    fn section_3_3_force_leave() {
        let mut serf = serf(&["a", "b"]);
        lost(&mut serf, 0, "a");
        drain(&mut serf);
        serf.force_leave(at(0), "a".into(), false);
        assert_eq!(
            (events(&mut serf), said(&mut serf)),
            (vec!["member-leave a".to_owned()], vec![leave("a", 1, false)])
        );
        serf.force_leave(at(0), "a".into(), true);
        assert_eq!((events(&mut serf), said(&mut serf)), (vec!["member-reap a".to_owned()], vec![leave("a", 2, true)]));
        serf.force_leave(at(0), "stranger".into(), false);
        assert_eq!((drain(&mut serf), said(&mut serf).len(), serf.numbers().member_time), (vec![], 1, 4));
        // Nobody else is there to be told.
        lost(&mut serf, 0, "b");
        serf.force_leave(at(0), "b".into(), false);
        assert_eq!((status(&serf, "b"), said(&mut serf)), (Some(Status::Left), vec![]));
    }

    #[test]
    fn a_full_cluster_forgets_who_has_been_gone_for_longest() {
        let mut serf = serf_with(Config { members: 3, ..config() }, &["a", "b"]);
        serf.notice(at(0), &Notice::Joined(known("c", 4)));
        assert_eq!((drain(&mut serf), status(&serf, "c")), (vec![], None));
        lost(&mut serf, 2, "b");
        lost(&mut serf, 1, "a");
        drain(&mut serf);
        serf.notice(at(3), &Notice::Joined(known("c", 4)));
        assert_eq!(events(&mut serf), ["member-reap a", "member-join c"]);
        let names: Vec<&Name> = serf.members().map(|member| &member.name).collect();
        assert_eq!(names, [&"b".into(), &"c".into(), &"me".into()]);
    }
}
