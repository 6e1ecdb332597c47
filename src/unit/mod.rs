//! Units: what to run, in which order, and what to do when it ends. Pure: told the time and the events, answers with
//! actions; no clock, file, socket, thread, randomness or `unsafe`.
//!
//! [`table`] is what was configured, [`machine`] what happens. A caller waits in one place, turns what happened into an
//! [`Event`], gives it to `Machine::handle`, performs every [`Action`] that `Machine::next` yields, and sleeps until
//! `Machine::deadline`.

pub mod account;
pub mod assignment;
pub mod attributes;
mod backoff;
mod bonds;
pub mod cgroup;
pub mod difference;
mod draft;
pub mod duration;
mod ends;
pub mod event;
pub mod excerpt;
pub mod finish;
pub mod give_up;
pub mod graph;
pub mod history;
pub mod keys;
mod links;
pub mod log;
pub mod machine;
pub mod manual;
mod mistake;
pub mod notify;
mod own;
mod policy;
mod probing;
mod process;
pub mod read;
pub mod readiness;
mod reload;
mod requests;
pub mod rewrite;
mod settings;
mod shutdown;
pub mod signal;
pub mod size;
pub mod snapshot;
mod state;
pub mod stopping;
pub mod suggest;
pub mod table;
pub mod time;
mod value;
mod walk;
mod watchdog;
pub mod words;

pub use attributes::{Attributes, Stage};
pub use bonds::Bonds;
pub use difference::{Difference, Fate, difference};
pub use event::{
    Action, Ending, Errno, Event, Goal, Level, Notice, Pid, Request, Role, SpawnError, Tally, Target, Verdict, View,
    Wish,
};
pub use finish::Aftermath;
pub use give_up::{GiveUp, Then};
pub use history::{History, Milestones, Transition};
pub use log::Log;
pub use machine::{Machine, Options, Phase};
pub use mistake::Mistake;
pub use read::{nameable, read};
pub use readiness::{Probe, Ready};
pub use reload::{Moves, Reloaded};
pub use rewrite::Rewrite;
pub use snapshot::{Scribe, Snapshot};
pub use table::{Backoff, ExitRule, Kill, Kind, Need, NotifyFrom, Restart, Signal, Table, Unit, UnitId, When};
pub use time::Time;
