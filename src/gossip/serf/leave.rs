//! Leaving (section 3.9): first everybody hears that this node means to, then memberlist leaves.

use super::config::{BROADCAST_TIMEOUT, LEAVE_PROPAGATE};
use super::machine::Serf;
use super::output::{Level, Output};
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
        let until = now + BROADCAST_TIMEOUT;
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
                let text = "serf: unable to tell everybody of the leave within 5 s; leaving nevertheless";
                self.log(Level::Warn, text.to_owned());
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
        self.leave = Leave::Memberlist { until: now + BROADCAST_TIMEOUT };
        self.out.push_back(Output::Leave);
    }
}
