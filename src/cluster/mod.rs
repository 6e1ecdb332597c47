//! The cluster: where members of gossip become peers of the mesh, or do not. Pure; the only room that has met both.
//!
//! [`member::verify`] judges one member by itself, [`Roster`] all of them beside each other. What is not [`Verified`] has
//! no function that turns it into a peer.

pub mod census;
pub mod contest;
pub mod k3s;
pub mod member;
pub mod roster;

pub use census::{Census, Count, Obstacle};
pub use member::{Local, Member, Refusal, Status, Verified, verify};
pub use roster::{Delta, Roster};
