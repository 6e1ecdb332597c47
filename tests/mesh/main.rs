//! wg0 for real: two nodes in network namespaces of their own, with a wire between them. Needs root.
//!
//! Where the kernel has WireGuard the same scenes run with it, and so do those that only it can play.

#[path = "../kit/mod.rs"]
#[expect(dead_code, reason = "the rest is for the tests of PID 1")]
mod kit;

mod churn;
mod clock;
mod collision;
mod crowd;
mod figures;
mod heal;
mod insider;
mod kernel;
mod keys;
mod life;
mod network;
mod refusals;
mod scenes;
#[path = "../kit/seeded.rs"]
mod seeded;
mod world;
