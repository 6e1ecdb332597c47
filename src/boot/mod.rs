//! What a node needs before its first unit: mounts, devices, modules, a name. Pure: [`facts`] in, [`plan()`] out, a list
//! of duties as values; `pid1::boot` performs them.
//!
//! Every duty carries its own failure policy, and none ends the boot: a machine that is half up can be looked at.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod cgroup;
pub mod facts;
pub mod module;
pub mod plan;

pub use facts::Facts;
pub use plan::{Act, Duty, Flag, Need, plan};
