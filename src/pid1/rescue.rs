//! The last resort: a bare reaper that keeps the children of a PID 1 that is broken. It shares no code with the loop that
//! broke, and knows no units: it reaps, and ends everything when it is told to.

use std::ffi::CString;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::libc::{SIGINT, SIGKILL, SIGPWR, SIGQUIT, SIGTERM};

use crate::sys::poll::Wait;
use crate::sys::process::exit;
use crate::sys::signal::Signals;
use crate::sys::{clock, descriptor, power, process, renewal};
use crate::unit::signal::RTMIN;

use super::place::Place;
use super::sweep::{self, Sweep};

/// From SIGTERM to SIGKILL: within the 10 s that container managers give.
const GRACE: Duration = Duration::from_secs(9);
/// What is waited for after SIGKILL.
const LAST_WAIT: Duration = Duration::from_millis(500);
/// The exit status: an internal error.
const STATUS: u8 = 70;

/// From now on a panic or a fault is said in one line, and then this process goes on from the last snapshot, if there is one,
/// or becomes a bare reaper under the same pid.
pub fn arm(place: Place) {
    renewal::renew_on_fault(call(place), super::say::console());
    std::panic::set_hook(Box::new(move |panic| {
        super::say::to_console();
        let cause = panic.payload();
        let cause = cause.downcast_ref::<&str>().copied().or(cause.downcast_ref::<String>().map(String::as_str));
        let at = panic.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
        let next = if renewal::resumes() {
            "taking up where it was"
        } else {
            "keeping the children and reaping, no unit is started again"
        };
        super::say::text(&format!(
            "{}: error: unable to go on: {}{at}; {next}\n",
            super::say::PROGRAM,
            cause.unwrap_or("a panic"),
        ));
        let errno = renewal::renew();
        super::say::text(&format!(
            "{}: warning: unable to run our own program again: {}; reaping in the broken one\n",
            super::say::PROGRAM,
            errno.desc()
        ));
        exit(reap(place));
    }));
}

/// The arguments that make our program the reaper.
fn call(place: Place) -> Vec<CString> {
    let mode = match place {
        Place::Container => "container",
        Place::Appliance => "appliance",
    };
    let words = [super::say::PROGRAM, "--mode", mode, "--rescue"];
    words.iter().filter_map(|word| CString::new(*word).ok()).collect()
}

/// Reaps until told to end, then ends every child and this process or the machine.
pub fn reap(place: Place) -> u8 {
    if process::own_pid() != 1 {
        let _ = process::adopt_orphans();
    }
    let signals = Signals::open();
    let mut wait = Wait::default();
    let mut sweep = Sweep::default();
    let mut end = None;
    let mut killing = false;
    loop {
        while let Some((pid, _)) = process::peek() {
            process::reap(pid);
            sweep.forget(pid);
        }
        if let Some(until) = end {
            let wanted = if killing { SIGKILL } else { SIGTERM };
            if sweep.signal(wanted, |_| false).map_or_else(|| !sweep::anybody(), |left| left == 0) {
                break;
            }
            if clock::boottime() >= until {
                if killing {
                    break;
                }
                killing = true;
                end = Some(after(LAST_WAIT));
                continue;
            }
        }
        let limit = end.map(|until| Duration::from_nanos(until.saturating_sub(clock::boottime())));
        wait.clear();
        match &signals {
            Ok(signals) => wait.add(signals.as_raw_fd()),
            // Without a descriptor for signals the pending SIGCHLD wakes nobody: look once a second.
            Err(_) => {
                let _ = wait.sleep(Some(Duration::from_secs(1)));
            }
        }
        if signals.is_ok() {
            let _ = wait.sleep(limit);
        }
        while let Some(received) = signals.as_ref().ok().and_then(Signals::next) {
            if ends(received.signal) && end.is_none() {
                end = Some(after(GRACE));
                // `logd` ends when nobody is left who could write to it, and it would take all of the grace else.
                descriptor::close_all_but(signals.as_ref().map_or(-1, AsRawFd::as_raw_fd));
            }
        }
    }
    match place {
        Place::Container => STATUS,
        Place::Appliance => {
            power::sync_within(Duration::from_secs(10));
            if process::own_pid() == 1 {
                power::end(power::Power::Restart);
            }
            STATUS
        }
    }
}

fn after(span: Duration) -> u64 {
    clock::boottime().saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
}

/// TERM, INT, QUIT, PWR, and the real-time signals that container managers send to an init.
fn ends(number: i32) -> bool {
    [SIGTERM, SIGINT, SIGQUIT, SIGPWR].contains(&number) || (RTMIN + 3..=RTMIN + 6).contains(&number)
}
