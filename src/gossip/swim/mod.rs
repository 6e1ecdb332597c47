//! Who is alive: memberlist's protocol, with nothing of Serf in it.
//!
//! It is told the time, the dice and what came, and answers with [`Action`]s. What lies above is a [`Delegate`].

pub mod awareness;
pub mod broadcast;
mod delegate;
mod event;
mod member;
mod profile;
pub mod suspicion;
pub mod version;

pub use awareness::Awareness;
pub use broadcast::Queue;
pub use delegate::{Alone, Delegate};
pub use event::{Action, Event, Notice, ProbeId, Warning};
pub use member::{Member, Record, State};
pub use profile::{LAN, LOCAL, Profile, WAN};
pub use version::Incompatible;
