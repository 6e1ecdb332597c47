//! `clusteros-init`: a minimal init (PID 1) for containers and appliances that form a cluster by themselves.
//!
//! The rooms and the rules between them are in `src/ARCHITECTURE.md`.
#![deny(unsafe_code)]

#[cfg(feature = "agent")]
pub mod agent;
pub mod boot;
#[cfg(feature = "mesh")]
pub mod cluster;
pub mod control;
#[cfg(feature = "ctl")]
pub mod ctl;
#[cfg(all(test, any(feature = "agent", feature = "gossip")))]
#[path = "../tests/table/golden.rs"]
mod golden;
#[cfg(feature = "gossip")]
pub mod gossip;
#[cfg(feature = "gossip")]
pub mod gossipd;
pub mod logd;
#[cfg(feature = "mesh")]
pub mod mesh;
pub mod pid1;
pub mod say;
pub mod sys;
pub mod unit;
