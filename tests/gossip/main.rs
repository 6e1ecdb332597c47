//! `gossipd` in clusters with real `serf agent`s, and asked by the `serf` command line. What needs a network that loses packets
//! runs under `tests/gossip/machine.sh`.

#[path = "../kit/mod.rs"]
#[expect(dead_code, reason = "the rest is for the tests of PID 1")]
mod kit;

#[path = "../rpc/value.rs"]
#[expect(dead_code, reason = "the rest is for the transcripts")]
mod value;

mod client;
mod cluster;
mod conflicts;
mod floods;
mod keys;
mod lan;
mod life;
mod machine;
mod process;
mod views;
