//! What follows an end that was not asked for.

use super::attributes::Stage;
use super::event::{Ending, Errno, SpawnError};
use super::state::Why;
use super::table::{Kind, Restart, Unit};

/// ENOENT, EACCES, ENOTDIR: the program is not there, and its disk may come later. A retry is only worth its longest delay.
const NOT_THERE: [Errno; 3] = [Errno(2), Errno(13), Errno(20)];
/// EINTR, EIO, EAGAIN, ENOMEM, ENFILE, EMFILE, ETXTBSY, ENOSPC: they pass.
const SCARCE: [Errno; 8] = [Errno(4), Errno(5), Errno(11), Errno(12), Errno(23), Errno(24), Errno(26), Errno(28)];

/// Whether trying again soon is no use. On the way to the program every failure is of that kind, but for want of resources.
pub(super) fn needs_a_person(error: SpawnError) -> bool {
    if error.stage == Stage::Exec { NOT_THERE.contains(&error.errno) } else { !SCARCE.contains(&error.errno) }
}

/// Whether it was a want of resources, which delays a unit and never fails it.
pub(super) fn scarce(why: &Why) -> bool {
    match why {
        Why::Fork(_) => true,
        Why::Exec(error) => SCARCE.contains(&error.errno),
        Why::Ended(_) | Why::EarlyEnd(_) | Why::StartTimeout(_) | Why::Watchdog(_) | Why::GaveUp { .. } => false,
    }
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// To `done`.
    Done,
    /// Another start.
    Retry,
    /// To `failed`.
    Fail,
}

/// What the keys of `unit` say about this end; `was_ready`: it came after ready.
pub(super) fn policy(unit: &Unit, how: Ending, was_ready: bool) -> Policy {
    let succeeded = unit.succeeded(how);
    match (unit.kind, unit.restart) {
        _ if unit.permanent(how) => Policy::Fail,
        (Kind::Oneshot, _) if succeeded => Policy::Done,
        (_, Restart::Never) if succeeded => Policy::Done,
        (_, Restart::Never) => Policy::Fail,
        (Kind::Oneshot, Restart::Always | Restart::OnFailure) => Policy::Retry,
        (Kind::Service, Restart::OnFailure) if succeeded && was_ready => Policy::Done,
        (Kind::Service, Restart::Always | Restart::OnFailure) => Policy::Retry,
    }
}
