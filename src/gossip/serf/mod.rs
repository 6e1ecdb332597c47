//! What Serf adds to memberlist (section 3 of the protocol): intents, user events, queries, tags, coordinates, the snapshot,
//! operations on everybody's keys, and who of two of one name stays.
//!
//! [`Serf`] is the machine. It hears what happens as memberlist's delegate, is asked by the node, and answers with [`Output`]s.
//! Whatever a stranger sends, its memory is bounded.

mod coalesce;
mod complaint;
mod config;
mod conflict;
mod coordinate;
mod delegate;
mod event;
#[cfg(test)]
mod golden;
mod intent;
mod internal;
mod keys;
mod lamport;
mod leave;
mod machine;
mod member;
mod membership;
mod output;
mod query;
mod question;
mod queues;
mod ring;
mod snapshot;
#[cfg(test)]
mod soup;
mod state;
mod upkeep;
mod user_event;
#[cfg(test)]
mod village;

pub use config::Config;
pub use coordinate::Coordinate;
pub use event::{Event, Kind};
pub use internal::KeyOutcome;
pub use machine::{Numbers, Serf};
pub use member::{Member, Status};
pub use output::{KeyChange, KeyOperation, KeyReport, Level, Output, Refusal, Reply};
pub use query::Request;
pub use snapshot::{Past, Record};
