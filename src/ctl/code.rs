//! Exit codes: one table, shown in the help and the man page.

/// Done as asked; all is well.
pub(super) const OK: u8 = 0;
/// Refused, failed or not done in time; not everything is up; what was asked for cannot be shown.
pub(super) const NO: u8 = 1;
/// A unit that was asked for is not up.
pub(super) const DOWN: u8 = 3;
/// The command line is wrong, or names a unit that is not there.
pub(super) const USAGE: u8 = 64;
/// The unit table is wrong.
pub(super) const CONFIGURATION: u8 = 78;
/// There is no PID 1 of ours, it does not answer, or the system lacks something now.
pub(super) const ABSENT: u8 = 111;

/// Every exit code and what it means.
pub(super) const CODES: &[(u8, &str)] = &[
    (OK, "done as asked; all is well"),
    (NO, "refused, failed or not done in time; not everything is up; it cannot be shown"),
    (DOWN, "a unit that was asked for is not up, done or skipped"),
    (USAGE, "the command line is wrong, or there is no such unit"),
    (CONFIGURATION, "the unit table is wrong"),
    (ABSENT, "there is no PID 1 of ours, it does not answer, or the system lacks something now: try again later"),
];
