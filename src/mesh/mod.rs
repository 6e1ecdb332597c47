//! The mesh: who a node is, which address it has, what it says of itself under its signature, and which peers its
//! WireGuard device should have. Pure; knows nothing of gossip.

pub mod address;
pub mod endpoints;
pub mod hosts;
pub mod identity;
pub mod keyring;
pub mod known;
pub mod overlap;
pub mod peers;
pub mod record;
pub mod runs;
pub mod ula;

pub use address::Subnet;
pub use identity::{Identity, NodeId};
pub use keyring::{Keyring, Psk};
pub use peers::WgKey;
pub use record::Record;
