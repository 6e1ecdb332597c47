//! `clusteros-init` as a real PID 1, in namespaces of its own. Needs root and unshare(1).

#[path = "../kit/mod.rs"]
mod kit;

#[cfg(feature = "ctl")]
mod asking;
mod attributes;
mod command;
mod ending;
mod endurance;
#[cfg(feature = "ctl")]
mod habits;
mod lines;
#[cfg(feature = "ctl")]
mod person;
mod reload;
mod renewal;
mod renewing;
mod requests;
mod signals;
mod small;
mod speaker;
mod supervision;
mod upkeep;
mod wrap;
