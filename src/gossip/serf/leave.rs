//! Leaving (section 3.9): first everybody hears that this node means to, then memberlist leaves.

use super::config::LEAVE_PROPAGATE;
use super::machine::Serf;
use super::output::{Level, Output, Refusal};
use super::queues::push;
use crate::gossip::swim::broadcast::Ticket;
use crate::gossip::wire::serf::{LeaveIntent, SerfMessage};
use crate::unit::Time;

/// How far the leave is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// The node stays.
    No,
    /// The intent is being sent, until it went out often enough or this time.
    Intent { ticket: Option<Ticket>, until: Time },
    /// memberlist is leaving, for so long at most.
    Memberlist { until: Time },
    /// It gets around, until this time.
    Propagating { until: Time },
    /// The node has left.
    Done,
}

impl Leave {
    pub fn deadline(self) -> Option<Time> {
        match self {
            Leave::Intent { until, .. } | Leave::Memberlist { until } | Leave::Propagating { until } => Some(until),
            Leave::No | Leave::Done => None,
        }
    }
}

impl Serf {
    /// Whether the node is neither leaving nor gone.
    pub fn is_staying(&self) -> bool {
        self.leave == Leave::No
    }

    /// Whether the node may join others.
    pub fn may_join(&self) -> Result<(), Refusal> {
        if self.is_staying() { Ok(()) } else { Err(Refusal::Leaving) }
    }

    /// Leaves the cluster on purpose. [`Output::Left`] is the end of it.
    pub fn leave(&mut self, now: Time) {
        if self.leave != Leave::No {
            return;
        }
        if let Some(journal) = &mut self.journal {
            journal.leave();
        }
        let intent = LeaveIntent { ltime: self.clock.stamp(), node: self.config.name.clone(), prune: false };
        let message = SerfMessage::Leave(intent.clone()).encode();
        let until = now + self.config.broadcast_timeout;
        self.leave = Leave::Intent { ticket: None, until };
        self.hear_leave(now, &intent);
        let ticket = if self.others_alive() { push(&mut self.queues.intents, message) } else { None };
        self.leave = Leave::Intent { ticket, until };
        self.look_for_intent();
        self.settle(now);
    }

    /// memberlist has left, and everybody was told.
    pub fn departed(&mut self, now: Time) {
        if matches!(self.leave, Leave::Intent { .. } | Leave::Memberlist { .. }) {
            self.leave = Leave::Propagating { until: now + LEAVE_PROPAGATE };
        }
    }

    /// Something was taken from the queues: perhaps the intent went out often enough.
    pub(super) fn look_for_intent(&mut self) {
        if let Leave::Intent { ticket, until } = self.leave
            && ticket.is_none_or(|ticket| !self.queues.intents.holds(ticket))
        {
            // Nobody says here what time it is; later than this it is not.
            self.leave_memberlist(until);
        }
    }

    /// Goes on when the time of a step is over.
    pub(super) fn go_on_leaving(&mut self, now: Time) {
        if self.leave.deadline().is_none_or(|until| until > now) {
            return;
        }
        match self.leave {
            Leave::Intent { .. } => {
                let within = self.config.broadcast_timeout;
                let text =
                    format!("serf: unable to tell everybody of the leave within {within:?}; leaving nevertheless");
                self.log(Level::Warn, text);
                self.leave_memberlist(now);
            }
            Leave::Memberlist { .. } => self.departed(now),
            Leave::Propagating { .. } => {
                self.leave = Leave::Done;
                if let Some(coalescer) = &mut self.coalescer {
                    self.out.extend(coalescer.rest().into_iter().map(Output::Event));
                }
                self.out.push_back(Output::Left);
            }
            Leave::No | Leave::Done => {}
        }
    }

    fn leave_memberlist(&mut self, now: Time) {
        self.leave = Leave::Memberlist { until: now + self.config.broadcast_timeout };
        self.out.push_back(Output::Leave);
    }
}

#[cfg(test)]
mod tests {
    use crate::gossip::serf::config::Config;
    use crate::gossip::serf::machine::tests::{at, config, drain, hear, known, serf, serf_with};
    use crate::gossip::serf::{Output, Record, Refusal, Status};
    use crate::gossip::swim::{Delegate, Notice};
    use crate::gossip::wire::serf::{LeaveIntent, SerfMessage};

    #[test]
    fn section_3_9_a_leave() {
        let mut serf = serf(&["a"]);
        serf.leave(at(0));
        serf.leave(at(0));
        assert_eq!(serf.member(&"me".into()).map(|member| member.status), Some(Status::Leaving));
        assert_eq!((drain(&mut serf), serf.deadline()), (vec![], Some(at(5000))));
        // Two members: each message goes out four times.
        let intent = LeaveIntent { ltime: 1, node: "me".into(), prune: false };
        for round in 0..4 {
            assert_eq!(drain(&mut serf), [], "{round}");
            let messages: Vec<_> = serf.broadcasts(3, 1400).iter().map(|bytes| SerfMessage::decode(bytes)).collect();
            assert_eq!(messages, [Ok(SerfMessage::Leave(intent.clone()))]);
        }
        assert_eq!(drain(&mut serf), [Output::Leave]);
        serf.notice(at(400), &Notice::Left(known("me", 1)));
        serf.departed(at(400));
        serf.departed(at(900));
        assert_eq!(serf.deadline(), Some(at(1400)));
        drain(&mut serf);
        serf.tick(at(1400));
        assert_eq!(drain(&mut serf), [Output::Left]);
        assert_eq!(serf.member(&"me".into()).map(|member| member.status), Some(Status::Left));
        assert_eq!((serf.may_join(), serf.is_staying()), (Err(Refusal::Leaving), false));
        serf.tick(at(9000));
        assert_eq!(drain(&mut serf), []);
    }

    #[test]
    fn section_3_9_alone_there_is_nobody_to_tell() {
        let mut serf = serf(&[]);
        serf.leave(at(0));
        assert_eq!((drain(&mut serf), serf.pending()), (vec![Output::Leave], false));
        serf.departed(at(0));
        serf.tick(at(1000));
        assert_eq!(drain(&mut serf), [Output::Left]);
    }

    #[test]
    fn section_3_9_nobody_is_waited_for_for_ever() {
        let mut serf = serf(&["a"]);
        serf.leave(at(0));
        serf.tick(at(5000));
        assert_eq!(drain(&mut serf), [Output::Leave]);
        serf.tick(at(10_000));
        serf.tick(at(11_000));
        assert_eq!(drain(&mut serf), [Output::Left]);
    }

    #[test]
    fn section_3_9_who_leaves_does_not_refute_it() {
        let mut serf = serf(&["a"]);
        serf.leave(at(0));
        hear(&mut serf, at(0), SerfMessage::Leave(LeaveIntent { ltime: 9, node: "me".into(), prune: false }));
        assert_eq!(serf.member(&"me".into()).map(|member| member.status), Some(Status::Leaving));
    }

    #[test]
    fn section_3_11_the_snapshot_says_so_first() {
        let mut serf = serf_with(Config { snapshot: true, ..config() }, &["a"]);
        serf.leave(at(0));
        assert_eq!(drain(&mut serf), [Output::Snapshot(Record::Sync(b"leave\n".to_vec()))]);
    }
}
