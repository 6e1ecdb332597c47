//! What people and other processes ask of PID 1, and what it answers: signals in, a status document out. Pure: values in,
//! values out; no clock, file, socket, thread, randomness or `unsafe`.

pub mod calendar;
pub mod change;
pub mod columns;
pub mod consumption;
pub mod detail;
pub mod fit;
pub mod json;
pub mod line;
pub mod outcome;
pub mod renewal;
pub mod request;
pub mod roff;
pub mod show;
pub mod signal;
pub mod status;
pub mod svg;
pub mod systemd;
pub mod usage;
pub mod wrap;

pub use change::{Change, Reload};
pub use consumption::Usage;
pub use outcome::{Outcome, outcome};
pub use renewal::{Renewals, Trial};
pub use signal::{Meaning, Mode, meaning};
pub use status::{Node, Status, UnitStatus};
pub use wrap::{Recipient, Wrap};
