//! Signals: what the process was born with, blocking, reading them from a descriptor, sending.
//!
//! Sets are the kernel's own 64 bits and the calls are raw, because libc hides signals 32 and 33.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::{Errno, check};

/// A set of signals as the kernel holds it: bit N - 1 is signal N.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: SignalSet = SignalSet(0);

    /// The set of these signals.
    pub const fn of(signals: &[i32]) -> SignalSet {
        let (mut bits, mut at) = (0, 0);
        while at < signals.len() {
            bits |= 1 << (signals[at] - 1);
            at += 1;
        }
        SignalSet(bits)
    }

    /// Whether it has `signal`.
    pub const fn has(self, signal: i32) -> bool {
        signal >= 1 && signal <= LAST && self.0 & (1 << (signal - 1)) != 0
    }

    /// Its signals in order.
    pub fn iter(self) -> impl Iterator<Item = i32> {
        (1..=LAST).filter(move |signal| self.has(*signal))
    }
}

/// The last signal of Linux.
pub const LAST: i32 = 64;

/// Signals that a fault of the process itself raises: blocked, they would end it without a word.
pub const FAULTS: SignalSet = SignalSet::of(&[
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGABRT,
]);

/// The bytes of a kernel signal set.
const SET_SIZE: usize = 8;

/// What the caller of this process gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The blocked signals.
    pub mask: SignalSet,
    /// The ignored signals.
    pub ignored: SignalSet,
}

/// The kernel's `struct sigaction`.
#[repr(C)]
struct Disposition {
    handler: libc::sighandler_t,
    flags: libc::c_ulong,
    restorer: usize,
    mask: u64,
}

/// The first act of PID 1: blocks every signal but the faults, so that the kernel keeps them for us (PID 1 loses a signal
/// that is neither blocked nor handled), and resets what would keep us from seeing a child end.
pub fn enter() -> Entry {
    let blocked = set_mask(SignalSet(!FAULTS.0));
    let mask = super::entry::mask_before().unwrap_or(blocked);
    let mut ignored = SignalSet::EMPTY;
    for signal in 1..=LAST {
        let mut found = Disposition { handler: libc::SIG_DFL, flags: 0, restorer: 0, mask: 0 };
        // SAFETY: asks only; `found` is a kernel sigaction to write to.
        let asked = unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, std::ptr::null::<Disposition>(), &raw mut found, SET_SIZE)
        };
        if asked == 0 && found.handler == libc::SIG_IGN {
            ignored.0 |= 1 << (signal - 1);
        }
    }
    // An ignored SIGCHLD survives exec and lets the kernel reap in our place: every exit would be lost.
    set_default(libc::SIGCHLD);
    for fault in FAULTS.iter().filter(|fault| ignored.has(*fault)) {
        set_default(fault);
    }
    Entry { mask, ignored }
}

/// Gives back the mask that was there before [`enter`].
pub fn restore(entry: Entry) {
    set_mask(entry.mask);
}

/// Replaces the mask; the one before.
pub(super) fn set_mask(mask: SignalSet) -> SignalSet {
    let mut before = 0_u64;
    // SAFETY: both point to kernel signal sets of 8 bytes. Async-signal-safe.
    unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask.0, &raw mut before, SET_SIZE);
    }
    SignalSet(before)
}

/// Gives `signal` its default disposition. Async-signal-safe.
pub(super) fn set_default(signal: i32) {
    dispose(signal, libc::SIG_DFL);
}

/// Ignores `signal`. Async-signal-safe.
pub(super) fn set_ignored(signal: i32) {
    dispose(signal, libc::SIG_IGN);
}

fn dispose(signal: i32, handler: libc::sighandler_t) {
    let wanted = Disposition { handler, flags: 0, restorer: 0, mask: 0 };
    // SAFETY: `wanted` is a kernel sigaction without a handler of ours, so it needs no restorer.
    unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, &raw const wanted, std::ptr::null_mut::<Disposition>(), SET_SIZE);
    }
}

/// One signal that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Which.
    pub signal: i32,
    /// Its sender's pid as our namespace sees it; 0 from outside or from the kernel.
    pub pid: i32,
    /// Its sender's user.
    pub user: u32,
    /// What was queued with it, if it was queued (`sigqueue`) and not just sent.
    pub value: Option<i32>,
}

/// All blocked signals, as a descriptor.
pub struct Signals(OwnedFd);

impl Signals {
    /// Every signal but the faults.
    pub fn open() -> Result<Signals, Errno> {
        let mask = !FAULTS.0;
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: `mask` is a kernel signal set of 8 bytes; the new descriptor is owned by what is returned.
        unsafe {
            let fd = super::twice(|| check(libc::syscall(libc::SYS_signalfd4, -1, &raw const mask, SET_SIZE, flags)))?;
            Ok(Signals(OwnedFd::from_raw_fd(RawFd::try_from(fd).map_err(|_| Errno::EBADF)?)))
        }
    }

    /// The next one, without waiting.
    pub fn next(&self) -> Option<Received> {
        const SIZE: usize = size_of::<libc::signalfd_siginfo>();
        // SAFETY: all-zero is a valid signalfd_siginfo, and the kernel writes whole ones only.
        unsafe {
            let mut info: libc::signalfd_siginfo = std::mem::zeroed();
            let got = libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), SIZE);
            (usize::try_from(got) == Ok(SIZE)).then(|| Received {
                signal: i32::try_from(info.ssi_signo).unwrap_or(0),
                pid: i32::try_from(info.ssi_pid).unwrap_or(0),
                user: info.ssi_uid,
                value: (info.ssi_code == libc::SI_QUEUE).then_some(info.ssi_int),
            })
        }
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Sends `signal` to the process `pid`. `EINVAL` for what is no pid: 0 and -1 mean something else to the kernel.
pub fn send(pid: i32, signal: i32) -> Result<(), Errno> {
    if pid <= 0 {
        return Err(Errno::EINVAL);
    }
    kill(pid, signal)
}

fn kill(whom: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: kill touches no memory.
    super::twice(|| check(unsafe { libc::kill(whom, signal) }.into())).map(drop)
}

/// Sends `signal` to the process `pid` with `value` beside it. `EINVAL` for what is no pid, `EAGAIN` where the receiver's queue is
/// full.
pub fn queue(pid: i32, signal: i32, value: i32) -> Result<(), Errno> {
    if pid <= 0 {
        return Err(Errno::EINVAL);
    }
    // The kernel gives the receiver the union's first four bytes as `ssi_int`.
    let mut bytes = [0; size_of::<usize>()];
    bytes[..4].copy_from_slice(&value.to_ne_bytes());
    let sival_ptr = std::ptr::without_provenance_mut(usize::from_ne_bytes(bytes));
    // SAFETY: sigqueue hands the value on and never follows it as a pointer.
    check(unsafe { libc::sigqueue(pid, signal, libc::sigval { sival_ptr }) }.into()).map(drop)
}

/// Sends `signal` to the process group that `leader` leads, or if there is none (it is about to make it) to `leader`.
pub fn send_group(leader: i32, signal: i32) -> Result<(), Errno> {
    if leader <= 1 {
        return Err(Errno::EINVAL);
    }
    // Below -1, so it names one group.
    match kill(-leader, signal) {
        Err(Errno::ESRCH) => send(leader, signal),
        other => other,
    }
}

/// Sends `signal` to every process of the namespace but ourselves. Refuses (`EPERM`) unless we are its PID 1.
pub fn send_all(signal: i32) -> Result<(), Errno> {
    if super::process::own_pid() != 1 {
        return Err(Errno::EPERM);
    }
    // As PID 1 of a namespace it reaches that namespace alone.
    kill(-1, signal)
}
