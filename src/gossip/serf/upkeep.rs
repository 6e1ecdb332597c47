//! What is done now and then (section 3.7): reaping, reconnecting, looking at the queues; and rejoining after the start.

use std::time::Duration;

use super::config::{QUEUE_INTERVAL, QUEUE_MAX, QUEUE_WARNING, REAP_INTERVAL};
use super::machine::Serf;
use super::member::Status;
use super::output::{Level, Output};
use crate::gossip::{Dice, Name};
use crate::unit::Time;

/// When what was done last. Nothing is due that has nothing to do.
#[derive(Debug)]
pub(super) struct Upkeep {
    reaped: Time,
    /// When a failed member is tried.
    reconnect: Time,
    looked: Time,
}

impl Upkeep {
    pub fn new(now: Time) -> Upkeep {
        Upkeep { reaped: now, reconnect: now, looked: now }
    }

    /// A member is gone, and so many have failed now. The first one is tried after `share` of the interval: where a network
    /// parts, every node of a half sees it at the same time, and tries spread over the interval find the other half sooner.
    pub fn something_gone(&mut self, now: Time, failed: usize, interval: Duration, share: f64) {
        if failed == 1 {
            self.reconnect = now + interval.mul_f64(share);
        }
    }
}

impl Serf {
    pub(super) fn upkeep_deadline(&self) -> Option<Time> {
        let gone = self.members.of(Status::Failed) + self.members.of(Status::Left) + self.intents.len();
        let reap = (gone > 0).then(|| self.upkeep.reaped + REAP_INTERVAL);
        let reconnect = (self.members.of(Status::Failed) > 0).then_some(self.upkeep.reconnect);
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
        if self.upkeep.reconnect <= now {
            self.upkeep.reconnect = now + self.config.reconnect_interval;
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::gossip::dice::tests::Seeded;
    use crate::gossip::serf::config::Config;
    use crate::gossip::serf::machine::tests::{at, config, drain, events, hear, known, lines, said, serf, serf_with};
    use crate::gossip::serf::queues::push;
    use crate::gossip::serf::{Output, Past, Serf};
    use crate::gossip::swim::{Delegate, Notice};
    use crate::gossip::wire::serf::{JoinIntent, LeaveIntent, SerfMessage};

    const DAY: u64 = 24 * 3600 * 1000;

    fn lost(serf: &mut Serf, now: u64, name: &str) {
        serf.notice(at(now), &Notice::Left(known(name, 9)));
    }

    /// Ticks at each of its deadlines until `end`; answers what it asked.
    fn run(serf: &mut Serf, end: u64) -> Vec<Output> {
        let mut outputs = drain(serf);
        let mut last = at(0);
        while let Some(due) = serf.deadline().filter(|due| *due <= at(end)) {
            assert!(due > last || last == at(0), "it does not get on");
            last = due;
            serf.tick(due);
            outputs.extend(drain(serf));
        }
        outputs
    }

    #[test]
    fn section_3_7_who_has_been_gone_for_a_day_is_forgotten() {
        let mut serf = serf(&["a", "b"]);
        hear(&mut serf, at(0), SerfMessage::Leave(LeaveIntent { ltime: 1, node: "a".into(), prune: false }));
        lost(&mut serf, 1000, "a");
        lost(&mut serf, 61_000, "b");
        drain(&mut serf);
        said(&mut serf);
        serf.tick(at(DAY + 1000));
        assert_eq!(serf.numbers().members, 3);
        serf.tick(at(DAY + 16_000));
        assert_eq!(lines(&mut serf).last().map(String::as_str), Some("serf: EventMemberReap: a"));
        serf.tick(at(DAY + 76_000));
        assert_eq!(events(&mut serf), ["member-reap b"]);
        assert_eq!((serf.numbers().members, serf.deadline()), (1, None));
    }

    #[test]
    fn section_3_7_intents_are_forgotten_after_five_minutes() {
        let mut serf = serf(&["a"]);
        hear(&mut serf, at(0), SerfMessage::Join(JoinIntent { ltime: 1, node: "stranger".into() }));
        serf.broadcasts(0, 1400);
        assert_eq!(serf.deadline(), Some(at(15_000)));
        run(&mut serf, 300_000);
        assert_eq!(serf.intents.len(), 1);
        run(&mut serf, 315_000);
        assert_eq!((serf.intents.len()), 0);
    }

    #[test]
    fn section_3_7_failed_members_are_tried_again() {
        // One of ten has failed: each 30 s it is tried with a chance of one in nine.
        let names: Vec<String> = (0..9).map(|n| format!("n{n}")).collect();
        let mut serf = serf(&names.iter().map(String::as_str).collect::<Vec<_>>());
        lost(&mut serf, 0, "n3");
        let tried = run(&mut serf, DAY).into_iter().filter(|output| match output {
            Output::Join { node, to } => *node == "n3".into() && to.to_string() == "10.0.0.5:7946",
            _ => false,
        });
        let rate = tried.count() as f64 / 2880.0;
        assert!((rate - 1.0 / 9.0).abs() < 0.02, "{rate}");
    }

    #[test]
    fn section_3_7_the_nodes_of_a_half_do_not_all_try_at_once() {
        let firsts: Vec<_> = (0..20)
            .map(|seed| {
                let mut serf = Serf::new(config(), Past::default(), at(0), &mut Seeded(seed)).expect("a node");
                serf.notice(at(60_000), &Notice::Joined(known("a", 1)));
                lost(&mut serf, 60_000, "a");
                drain(&mut serf);
                let mut due = at(0);
                while !drain(&mut serf).iter().any(|output| matches!(output, Output::Join { .. })) {
                    due = serf.deadline().expect("something to do");
                    serf.tick(due);
                }
                due
            })
            .collect();
        assert!(firsts.iter().all(|due| (at(60_000)..=at(90_000)).contains(due)), "{firsts:?}");
        let early = firsts.iter().filter(|due| **due < at(75_000)).count();
        assert!((4..=16).contains(&early), "{firsts:?}");
    }

    #[test]
    fn section_3_7_when_most_have_failed_each_is_tried_as_often() {
        let mut serf = serf(&["a", "b", "c"]);
        ["a", "b", "c"].iter().for_each(|name| lost(&mut serf, 0, name));
        assert!(serf.deadline().is_some_and(|due| due <= at(15_000)));
        let mut tried = BTreeMap::<String, usize>::new();
        for output in run(&mut serf, 30_000 * 300) {
            if let Output::Join { node, .. } = output {
                *tried.entry(node.to_string()).or_default() += 1;
            }
        }
        assert_eq!(tried.values().sum::<usize>(), 300);
        assert!(tried.len() == 3 && tried.values().all(|count| *count > 70), "{tried:?}");
    }

    #[test]
    fn section_3_7_long_queues_are_told_and_pruned() {
        let mut serf = serf(&["a"]);
        (0..127).for_each(|_| assert!(push(&mut serf.queues.intents, vec![0]).is_some()));
        (0..128).for_each(|_| assert!(push(&mut serf.queues.queries, vec![0]).is_some()));
        (0..4097).for_each(|_| assert!(push(&mut serf.queues.events, vec![0]).is_some()));
        assert_eq!(serf.deadline(), Some(at(30_000)));
        serf.tick(at(30_000));
        let expected = [
            "serf: Event queue depth: 4097",
            "serf: Event queue depth (4097) exceeds limit (4096), dropping messages!",
            "serf: Query queue depth: 128",
        ];
        assert_eq!(lines(&mut serf), expected);
        assert_eq!(serf.numbers().event_queue, 4096);
    }

    #[test]
    fn section_3_11_members_of_the_snapshot_are_tried_one_by_one() {
        let text = b"alive: a 10.0.0.2:7946\nalive: b 10.0.0.3:7946\nalive: me 10.0.0.1:7946\nalive: c [::1]:7946\n";
        let of = |seed| Serf::new(config(), Past::read(text, false), at(0), &mut Seeded(seed)).expect("a node");
        let mut serf = of(1);
        let mut tried = Vec::new();
        while let [Output::Join { node, .. }] = &drain(&mut serf)[..] {
            tried.push(node.to_string());
            serf.join_ended(&"stranger".into(), true);
            serf.join_ended(node, false);
        }
        tried.sort_unstable();
        assert_eq!(tried, ["a", "b", "c"]);

        let mut serf = of(2);
        let outputs = drain(&mut serf);
        let [Output::Join { node, .. }] = &outputs[..] else { panic!("{outputs:?}") };
        serf.join_ended(node, true);
        assert_eq!(lines(&mut serf), [format!("serf: Re-joined to previously known node: {node}")]);
        serf.join_ended(node, true);
        assert_eq!(drain(&mut serf), []);
        // In any order.
        let first = |seed| drain(&mut of(seed)).pop();
        assert!((0..20).any(|seed| first(seed) != first(0)));
    }

    #[test]
    fn who_leaves_tries_nobody() {
        let mut serf = serf_with(config(), &["a", "b"]);
        lost(&mut serf, 0, "a");
        serf.leave(at(0));
        let joins = run(&mut serf, 300_000).into_iter().filter(|output| matches!(output, Output::Join { .. }));
        assert_eq!(joins.count(), 0);
    }

    #[test]
    fn section_3_7_the_timeouts_are_told() {
        let short = Config { reconnect_timeout: std::time::Duration::from_secs(1), ..config() };
        let mut serf = serf_with(short, &["a"]);
        lost(&mut serf, 0, "a");
        drain(&mut serf);
        serf.tick(at(15_000));
        assert_eq!(events(&mut serf), ["member-reap a"]);
    }
}
