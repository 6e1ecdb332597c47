//! Serf's RPC: what its command line and programs like `node-agent` ask.
//!
//! A [`Session`] is one client: bytes go in and come out, and in between stand [`Ask`], what it wants of the node, and
//! [`Answer`]. It knows no socket and no node.

mod answer;
mod ask;
mod event;
mod filter;
mod level;
mod member;
mod outbox;
mod record;
mod request;
mod session;
mod stats;

pub use ask::{Answer, Ask, KeyAnswer, KeyAsk, Query, Reply};
pub use event::{Event, Kind};
pub use filter::{EventFilter, MemberFilter};
pub use level::{Level, Line};
pub use member::{Member, Status};
pub use session::{Secret, Session};
pub use stats::Stats;
