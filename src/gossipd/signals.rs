//! The signals that gossip listens to, one readable descriptor for all.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Leave the cluster and end.
    Interrupt,
    /// End.
    Terminate,
    /// Read the configuration again.
    Hangup,
    /// A child ended.
    Child,
}

/// The signals, caught.
#[derive(Debug)]
pub struct Signals {
    flags: [(Signal, Arc<AtomicBool>); 4],
    woken: UnixStream,
}

impl Signals {
    /// Catches them from now on.
    pub fn catch() -> io::Result<Signals> {
        let (waker, woken) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let flag = |signal| (signal, Arc::default());
        let flags = [Signal::Interrupt, Signal::Terminate, Signal::Hangup, Signal::Child].map(flag);
        for ((_, flag), number) in flags.iter().zip([SIGINT, SIGTERM, SIGHUP, SIGCHLD]) {
            // The flag first: who is woken looks at it.
            signal_hook::flag::register(number, Arc::clone(flag))?;
            signal_hook::low_level::pipe::register(number, waker.try_clone()?)?;
        }
        Ok(Signals { flags, woken })
    }

    /// Readable when there is one.
    pub fn fd(&self) -> RawFd {
        self.woken.as_raw_fd()
    }

    /// Those that came since the last time, each once.
    pub fn take(&self) -> Vec<Signal> {
        let mut bytes = [0; 64];
        while matches!((&self.woken).read(&mut bytes), Ok(1..)) {}
        self.flags.iter().filter(|(_, flag)| flag.swap(false, Ordering::SeqCst)).map(|(signal, _)| *signal).collect()
    }
}
