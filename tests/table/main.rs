//! The unit table from its files to a table or to the words that a person reads.

#[cfg(feature = "ctl")]
mod completions;
#[cfg(feature = "ctl")]
mod ctl;
mod golden;
#[cfg(feature = "ctl")]
mod habits;
#[cfg(feature = "ctl")]
mod logs;
#[cfg(feature = "ctl")]
mod man;
#[cfg(feature = "ctl")]
mod pictures;
mod reading;
mod shipped;
mod signals;
mod status;
