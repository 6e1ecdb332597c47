//! Membership of a cluster in Serf's words: what is on the wire, who is alive, what Serf adds to that, and its RPC.

pub mod dice;
pub mod name;
pub mod node;
pub mod rpc;
pub mod serf;
pub mod swim;
pub mod wire;

pub use dice::Dice;
pub use name::Name;
