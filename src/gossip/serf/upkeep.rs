//! What is done now and then (section 3.7): reaping, reconnecting, looking at the queues; and rejoining after the start.

use super::config::{QUEUE_INTERVAL, QUEUE_MAX, QUEUE_WARNING, REAP_INTERVAL, RECONNECT_INTERVAL};
use super::machine::Serf;
use super::member::Status;
use super::output::{Level, Output};
use crate::gossip::{Dice, Name};
use crate::unit::Time;

/// When what was done last. Nothing is due that has nothing to do.
#[derive(Debug)]
pub(super) struct Upkeep {
    reaped: Time,
    reconnected: Time,
    looked: Time,
}

impl Upkeep {
    pub fn new(now: Time) -> Upkeep {
        Upkeep { reaped: now, reconnected: now, looked: now }
    }

    /// A member is gone, and so many have failed now: the first one is given time to come back by itself.
    pub fn something_gone(&mut self, now: Time, failed: usize) {
        if failed == 1 {
            self.reconnected = now;
        }
    }
}

impl Serf {
    pub(super) fn upkeep_deadline(&self) -> Option<Time> {
        let gone = self.members.of(Status::Failed) + self.members.of(Status::Left) + self.intents.len();
        let reap = (gone > 0).then(|| self.upkeep.reaped + REAP_INTERVAL);
        let reconnect = (self.members.of(Status::Failed) > 0).then(|| self.upkeep.reconnected + RECONNECT_INTERVAL);
        let look = (self.queues.len() > 0).then(|| self.upkeep.looked + QUEUE_INTERVAL);
        let prune = self.prunes.values().min().copied();
        [reap, reconnect, look, prune].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn keep_up(&mut self, now: Time) {
        let pruned: Vec<Name> =
            self.prunes.iter().filter(|(_, until)| **until <= now).map(|(n, _)| n.clone()).collect();
        pruned.iter().for_each(|name| self.erase(now, name, true));
        if self.upkeep.reaped + REAP_INTERVAL <= now {
            self.upkeep.reaped = now;
            self.reap(now);
        }
        if self.upkeep.reconnected + RECONNECT_INTERVAL <= now {
            self.upkeep.reconnected = now;
            self.reconnect();
        }
        if self.upkeep.looked + QUEUE_INTERVAL <= now {
            self.upkeep.looked = now;
            self.look_at_queues();
        }
    }

    /// Forgets who has been gone for too long, and intents of who never came.
    fn reap(&mut self, now: Time) {
        self.intents.reap(now);
        self.questions.retain(|_, question| !question.over(now));
        let timeout = |status| match status {
            Status::Failed => Some(self.config.reconnect_timeout),
            Status::Left => Some(self.config.tombstone_timeout),
            Status::None | Status::Alive | Status::Leaving => None,
        };
        let over = self.members.iter().filter(|(_, cell)| {
            let span = cell.gone.zip(timeout(cell.member.status));
            span.is_some_and(|(gone, timeout)| now.since(gone) > timeout)
        });
        let over: Vec<Name> = over.map(|(name, _)| name.clone()).collect();
        over.iter().for_each(|name| self.erase(now, name, false));
    }

    /// Tries one that failed, the likelier the more have.
    fn reconnect(&mut self) {
        let failed = self.members.of(Status::Failed);
        if failed == 0 || !self.is_staying() {
            return;
        }
        let alive = (self.members.len() - failed - self.members.of(Status::Left)).max(1);
        if self.dice.fraction() > failed as f64 / alive as f64 {
            return self.log(Level::Debug, "serf: forgoing reconnect for random throttling".to_owned());
        }
        let choice = self.dice.below(failed);
        let chosen = self.members.iter().filter(|(_, cell)| cell.member.status == Status::Failed).nth(choice);
        let chosen = chosen.and_then(|(name, cell)| Some((name.clone(), cell.member.socket()?)));
        if let Some((node, to)) = chosen {
            self.log(Level::Info, format!("serf: attempting reconnect to {node} {to}"));
            self.out.push_back(Output::Join { node, to });
        }
    }

    /// Warns of queues that grow.
    fn look_at_queues(&mut self) {
        let mut lines = Vec::new();
        for (name, queue) in self.queues.each() {
            let depth = queue.len();
            if depth >= QUEUE_WARNING {
                lines.push(format!("serf: {name} queue depth: {depth}"));
            }
            if depth > QUEUE_MAX {
                lines.push(format!(
                    "serf: {name} queue depth ({depth}) exceeds limit ({QUEUE_MAX}), dropping messages!"
                ));
                queue.prune(QUEUE_MAX);
            }
        }
        lines.into_iter().for_each(|line| self.log(Level::Warn, line));
    }

    /// Tries the first member of the snapshot.
    pub(super) fn try_rejoin(&mut self) {
        if let Some((node, to)) = self.rejoin.front().cloned() {
            self.log(Level::Info, format!("serf: Attempting re-join to previously known node: {node} {to}"));
            self.out.push_back(Output::Join { node, to });
        }
    }

    /// What came of a join that was asked for. Of the members of the snapshot, the next is tried until one answers.
    pub fn join_ended(&mut self, node: &Name, joined: bool) {
        if self.rejoin.front().is_none_or(|(tried, _)| tried != node) {
            return;
        }
        self.rejoin.pop_front();
        if joined {
            self.rejoin.clear();
            return self.log(Level::Info, format!("serf: Re-joined to previously known node: {node}"));
        }
        if self.rejoin.is_empty() {
            return self.log(Level::Warn, "serf: Failed to re-join any previously known node".to_owned());
        }
        self.try_rejoin();
    }
}
