//! node-agent beside gossip, ours and Serf's own.

#[path = "../kit/mod.rs"]
#[expect(dead_code, reason = "the rest is for the tests of PID 1")]
mod kit;

mod agent;
mod membership;
