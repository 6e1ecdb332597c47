//! The time, kept on disk, so that a host whose clock was lost does not come back in its past: WireGuard on the other nodes would take
//! what it sends for old messages played again, and a certificate would not be valid yet.

use std::env;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use log::{info, warn};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use tokio::time::Instant;

use super::files::{self, Place};
use super::node;
use super::paths::Paths;
use crate::sys::clock::local;

/// The time is kept this often: what is lost when the host ends at once is little, and a disk of flash is spared.
const PACE: Duration = Duration::from_secs(300);

/// No program that keeps the time is older than this, the first of November 2026, in seconds since 1970.
const EARLIEST: u64 = 1_793_491_200;

/// A time this many seconds after this program was built is no clock's that can be believed: ten years.
const YEARS: u64 = 10 * 31_556_952;

/// The initial pid namespace (`PROC_PID_INIT_INO`, part of the kernel's interface).
const INITIAL: &str = "pid:[4026531836]";

/// Keeps the time while the node runs.
pub struct Keeper {
    paths: Paths,
    /// When it is kept next; none until the node is up for the first time.
    due: Option<Instant>,
    complained: bool,
}

impl Keeper {
    /// One that has kept nothing yet.
    pub fn new(paths: &Paths) -> Keeper {
        Keeper { paths: paths.clone(), due: None, complained: false }
    }

    /// The node is up: keeps the time, if it was not kept just before.
    pub fn keep(&mut self) {
        if self.due.is_none_or(|due| due <= Instant::now()) {
            self.due = Some(Instant::now() + PACE);
            self.write();
        }
    }

    /// The node ends: keeps the time, if it was up.
    pub fn end(&mut self) {
        if self.due.is_some() {
            self.write();
        }
    }

    fn write(&mut self) {
        let (path, now) = (self.paths.clock(), node::now());
        if believed(now, built()).is_err() {
            return;
        }
        let written = files::folder(&path, true).and_then(|()| files::replace(&path, &text(now), false, Place::Kept));
        if let Err(error) = written
            && !std::mem::replace(&mut self.complained, true)
        {
            warn!(
                "unable to keep the time in {}: {error}; a host that starts without a clock comes back in its past",
                path.display()
            );
        }
    }
}

/// Sets the host's clock forward to when this node was up last, or this program was built, if it is behind; never back. What is in the
/// way is said, and is no failure: the other nodes make their peer anew when this one is back.
pub fn restore(paths: &Paths) {
    let path = paths.clock();
    let kept = files::read(&path).map_err(|error| error.to_string());
    let kept = kept.and_then(|text| text.map(|text| read(&text, built())).transpose()).unwrap_or_else(|cause| {
        warn!("unable to use the time in {}: {cause}; it is left out, and written anew", path.display());
        None
    });
    let now = node::now();
    let Some((to, why)) = behind(now, kept, built()) else { return };
    let (from, then) = (date(now), date(to));
    match forward(to) {
        Ok(()) => info!("the clock was behind: it is set forward from {from} to {then}, {why}"),
        Err(cause) => warn!(
            "unable to set the clock forward from {from} to {then}, {why}: {cause}; set it on the host, or other nodes may not hear this one \
             at once"
        ),
    }
}

/// Where the clock should be, and why; none if it is not behind.
fn behind(now: u64, kept: Option<u64>, built: Option<u64>) -> Option<(u64, &'static str)> {
    let kept = kept.map(|kept| (kept, "when this node was up last"));
    let built = built.map(|built| (built, "when this program was built"));
    kept.into_iter().chain(built).filter(|(to, _)| *to > now).max_by_key(|(to, _)| *to)
}

/// The time in the text, or why there is none that can be believed.
fn read(text: &str, built: Option<u64>) -> Result<u64, String> {
    let digits = text.strip_suffix('\n').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let time = digits.and_then(|digits| digits.parse().ok()).ok_or("it is damaged: no seconds since 1970")?;
    believed(time, built).map(|()| time)
}

fn text(time: u64) -> String {
    format!("{time}\n")
}

/// A clock that was once broken must not set this one for ever.
fn believed(time: u64, built: Option<u64>) -> Result<(), String> {
    let built = built.unwrap_or(EARLIEST).max(EARLIEST);
    if time > built.saturating_add(YEARS) {
        return Err(format!("{time} seconds since 1970 are more than ten years after this program was built"));
    }
    Ok(())
}

/// When this program was built, in seconds since 1970: the date of its sources; none if nobody told the compiler.
fn built() -> Option<u64> {
    option_env!("SOURCE_TIME").and_then(|text| text.parse().ok())
}

/// Sets the clock of a machine that is this node's own. That of a container is the host's, and of all others on it.
fn forward(to: u64) -> io::Result<()> {
    let initial = std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link == Path::new(INITIAL));
    if !initial || env::var_os("container").is_some() {
        return Err(io::Error::other("this is a container, and the clock is its host's"));
    }
    let to = TimeSpec::new(i64::try_from(to).unwrap_or(i64::MAX), 0);
    clock_settime(ClockId::CLOCK_REALTIME, to).map_err(|errno| match errno {
        nix::Error::EPERM => io::Error::new(ErrorKind::PermissionDenied, "no right to (CAP_SYS_TIME)"),
        errno => errno.into(),
    })
}

fn date(time: u64) -> String {
    let [year, month, day, hour, minute, second] = local(i64::try_from(time).unwrap_or(i64::MAX));
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::{EARLIEST, YEARS, behind, believed, read, text};

    const NOW: u64 = 1_800_000_000;
    const DAY: u64 = 86_400;

    #[test]
    fn the_clock_goes_to_the_latest_of_all_and_never_back() {
        let (up, built) = ("when this node was up last", "when this program was built");
        for (kept, source, expected) in [
            (None, None, None),
            (Some(NOW), Some(NOW), None),
            (Some(NOW - 1), Some(NOW - DAY), None),
            (Some(NOW + 1), None, Some((NOW + 1, up))),
            (Some(NOW + DAY), Some(NOW + 1), Some((NOW + DAY, up))),
            (Some(NOW - DAY), Some(NOW + 1), Some((NOW + 1, built))),
            (None, Some(NOW + DAY), Some((NOW + DAY, built))),
        ] {
            assert_eq!(behind(NOW, kept, source), expected, "{kept:?} {source:?}");
        }
        // As a host without a clock starts.
        assert_eq!(behind(0, Some(NOW), Some(NOW - DAY)), Some((NOW, up)));
    }

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_is_refused() {
        assert_eq!(read(&text(NOW), None), Ok(NOW));
        assert_eq!(read("0\n", None), Ok(0));
        let damaged = Err("it is damaged: no seconds since 1970".to_owned());
        for text in
            ["", "\n", "1800000000", "1800000000\n\n", "18000x0000\n", "-1\n", "+1\n", " 1\n", "99999999999999999999\n"]
        {
            assert_eq!(read(text, None), damaged, "{text:?}");
        }
    }

    #[test]
    fn a_clock_that_was_once_far_ahead_does_not_count() {
        for built in [None, Some(0), Some(EARLIEST)] {
            assert_eq!(believed(EARLIEST + YEARS, built), Ok(()));
            assert!(believed(EARLIEST + YEARS + 1, built).is_err());
        }
        assert_eq!(believed(NOW + YEARS, Some(NOW)), Ok(()));
        let said = "4294967295 seconds since 1970 are more than ten years after this program was built";
        assert_eq!(read("4294967295\n", Some(NOW)), Err(said.to_owned()));
        assert!(read(&text(u64::MAX), Some(NOW)).is_err());
    }
}
