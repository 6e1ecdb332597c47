//! Bytes to values and back: what Serf and memberlist put on the wire.
//!
//! Whatever a stranger sends is read without a panic, without recursion over what it nests, and without memory for what it only announces.

pub mod coordinate;
pub mod crypt;
#[cfg(test)]
mod golden;
mod layers;
pub mod lzw;
pub mod message;
pub mod pack;
pub mod packet;
pub mod push_pull;
pub mod serf;
pub mod stream;
pub mod tags;

pub use layers::{Layers, Refusal};
pub use pack::Malformed;
