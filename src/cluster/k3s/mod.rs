//! k3s on a node of the cluster: what it needs of its surroundings, as findings ([`plan()`]: [`Facts`] in, values out), and
//! what it is started with (role, configuration, token, environment). `agent::k3s` gathers the facts and performs the acts.

pub mod cgroups;
pub mod configuration;
pub mod ending;
pub mod environment;
pub mod facts;
pub mod finding;
pub mod host;
pub mod judge;
pub mod kernel;
pub mod keys;
pub mod leftovers;
pub mod mounts;
pub mod network;
pub mod plan;
pub mod ranges;
pub mod relocation;
pub mod role;
pub mod storage;
pub mod table;
pub mod token;

/// The tag of gossip by which a node says what it is to k3s. It is not signed: whoever can put it into gossip has the
/// cluster key, from which the token follows, and the address behind it is the signed one.
pub const TAG: &str = "k3s";

pub use facts::Facts;
pub use finding::{Act, Finding, Need, State};
pub use plan::plan;
pub use role::Role;
