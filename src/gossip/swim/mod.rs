//! Who is alive: memberlist's protocol, with nothing of Serf in it.
//!
//! [`Swim`] is told the time, the dice and what came, and answers with [`Action`]s. What lies above is a [`Delegate`].

mod answer;
pub mod awareness;
pub mod broadcast;
mod delegate;
mod departure;
mod event;
mod exchange;
mod machine;
mod member;
mod obituary;
mod probe;
mod profile;
mod refusal;
mod roster;
mod rules;
mod spread;
pub mod suspicion;
#[cfg(test)]
mod trial;
mod version;

pub use awareness::Awareness;
pub use broadcast::{Queue, retransmit_limit};
pub use delegate::{Alone, Delegate};
pub use event::{Action, Event, Notice, Outcome, ProbeId, Warning};
pub use machine::{Config, Local, Swim};
pub use member::{Member, Record, State};
pub use profile::{LAN, LOCAL, Profile, WAN};
pub use version::Incompatible;
