//! What clients ask of the node, and what it answers.

use std::time::Duration;

use super::filter::MemberFilter;
use super::level::Line;
use super::stats::Stats;
use crate::gossip::Name;
use crate::gossip::serf::{KeyOperation, KeyReport, Member};
use crate::gossip::wire::coordinate::Coordinate;
use crate::gossip::wire::tags::Tags;

/// What a client asks of the node.
#[derive(Debug)]
pub enum Ask {
    /// Tell everybody something. Answer: [`Answer::Done`] or [`Answer::Refused`], as for all that name none.
    Event {
        /// Its name.
        name: Name,
        /// What comes with it.
        payload: Vec<u8>,
        /// Whether the newest of its name may stand for all.
        coalesce: bool,
    },
    /// Let a failed member have left.
    ForceLeave {
        /// Who.
        node: Name,
        /// And forget it.
        prune: bool,
    },
    /// Join through these. Answer: [`Answer::Joined`].
    Join {
        /// `[NAME/]HOST[:PORT]`
        targets: Vec<String>,
        /// Whether to hear of events that were before.
        replay: bool,
    },
    /// The members that pass. Answer: [`Answer::Members`].
    Members(MemberFilter),
    /// Change the node's own tags.
    Tags {
        /// To have.
        set: Tags,
        /// To lose, before.
        delete: Vec<Name>,
    },
    /// Numbers. Answer: [`Answer::Stats`].
    Stats,
    /// Where a member is in time. Answer: [`Answer::Coordinate`].
    Coordinate(Name),
    /// The last lines of the log. Answer: [`Answer::Lines`].
    Lines,
    /// Leave the cluster, and end. The answer comes once it is done.
    Leave,
    /// Ask everybody something. Answer: [`Answer::Asked`].
    Query(Query),
    /// Respond to a query.
    Respond {
        /// What the node called it in [`Event::Query`](crate::gossip::serf::Event::Query).
        key: u64,
        /// The response.
        payload: Vec<u8>,
    },
    /// Something with the keys of the whole cluster. Answer: [`Answer::Keys`].
    Keys(KeyOperation),
}

/// A query of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Its name.
    pub name: Name,
    /// What comes with it; `None` if nothing does.
    pub payload: Option<Vec<u8>>,
    /// Ask only these; all, if there are none.
    pub nodes: Vec<Name>,
    /// Ask only who has tags that fit.
    pub tags: Tags,
    /// Whether each is to say that it heard.
    pub ack: bool,
    /// How many others carry each response, too.
    pub relay: u8,
    /// How long to wait; zero is what Serf thinks right.
    pub timeout: Duration,
}

/// What the node answers.
#[derive(Debug)]
pub enum Answer {
    /// It is done.
    Done,
    /// It is not, and this is why.
    Refused(String),
    /// How many targets answered, and what went wrong with the others if none did.
    Joined(usize, String),
    /// Members.
    Members(Vec<Member>),
    /// Numbers.
    Stats(Box<Stats>),
    /// Where a member is; none if that is not known.
    Coordinate(Option<Coordinate>),
    /// The last lines of the log, the oldest first.
    Lines(Vec<Line>),
    /// The query is on its way; what comes back is told under this key.
    Asked(u64),
    /// What became of the keys.
    Keys(KeyReport),
}
