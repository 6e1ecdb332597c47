//! Serf's RPC: what its command line and programs like `node-agent` ask.
//!
//! A [`Session`] is one client: bytes go in and come out, and in between stand [`Ask`], what it wants of the node, and
//! [`Answer`]. It knows no socket and no node.

mod answer;
mod ask;
mod filter;
mod level;
mod outbox;
mod record;
mod request;
mod session;
mod stats;

pub use ask::{Answer, Ask, Query};
pub use filter::{EventFilter, MemberFilter};
pub use level::{Level, Line};
pub use session::{Secret, Session};
pub use stats::Stats;
