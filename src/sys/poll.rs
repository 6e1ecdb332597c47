//! The one wait.

use std::os::fd::RawFd;
use std::time::Duration;

use super::{Errno, check};

/// What to wait for, and after the wait what came. Kept by the caller, so that a wait allocates nothing.
#[derive(Default)]
pub struct Wait {
    slots: Vec<libc::pollfd>,
}

impl Wait {
    /// Forgets every descriptor.
    pub fn clear(&mut self) {
        self.slots.clear();
    }

    /// Waits for `fd` to become readable, too.
    pub fn add(&mut self, fd: RawFd) {
        self.slots.push(libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    }

    /// Waits for `fd` to become readable, or writable, or both, and says by which number it is found again.
    pub fn watch(&mut self, fd: RawFd, readable: bool, writable: bool) -> usize {
        let events = if readable { libc::POLLIN } else { 0 } | if writable { libc::POLLOUT } else { 0 };
        self.slots.push(libc::pollfd { fd, events, revents: 0 });
        self.slots.len() - 1
    }

    /// Whether what [`Wait::watch`] called `number` was found broken, or ended on both sides.
    pub fn broken(&self, number: usize) -> bool {
        let found = self.slots.get(number).map_or(0, |slot| slot.revents);
        found & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0
    }

    /// Whether what [`Wait::watch`] called `number` was found readable, and writable; ended or broken is both.
    pub fn found(&self, number: usize) -> (bool, bool) {
        let found = self.slots.get(number).map_or(0, |slot| slot.revents);
        let broken = self.broken(number);
        (broken || found & libc::POLLIN != 0, broken || found & libc::POLLOUT != 0)
    }

    /// Sleeps until a descriptor is readable or `limit` has passed; without a limit, until a descriptor is. A signal that
    /// is not blocked ends it early.
    pub fn sleep(&mut self, limit: Option<Duration>) -> Result<(), Errno> {
        let span = limit.map(|limit| libc::timespec {
            tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        let span = span.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let count = self.slots.len() as libc::nfds_t;
        // SAFETY: `slots` is a valid array of `count` pollfds, `span` null or a valid timespec, the mask is left alone.
        match check(unsafe { libc::ppoll(self.slots.as_mut_ptr(), count, span, std::ptr::null()) }.into()) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Whether `fd` was found readable, ended or broken by the last sleep.
    pub fn ready(&self, fd: RawFd) -> bool {
        self.slots.iter().any(|slot| slot.fd == fd && slot.revents != 0)
    }
}
