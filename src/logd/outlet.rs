//! Standard output, which may be stuck: a queue of bounded size, and one thread that writes it, one write a line.

use std::collections::VecDeque;
use std::io;
use std::mem::take;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::control::line::{self, Line};

/// What the queue may hold before lines are dropped, in bytes, each line counted with `OVERHEAD`.
const CAPACITY: usize = 1 << 20;
/// What a queued line costs beside its bytes: about two allocations' worth.
const OVERHEAD: usize = 64;
/// How long a reader that takes nothing is waited for at the end: a stuck terminal is not worth more of a shutdown.
const PATIENCE: Duration = Duration::from_secs(2);

/// The way to standard output. It never blocks its caller.
#[derive(Debug)]
pub struct Outlet {
    shared: Arc<Shared>,
    width: usize,
}

#[derive(Debug)]
struct Shared {
    names: Vec<String>,
    width: usize,
    queue: Mutex<Queue>,
    /// Something was queued, or something was written.
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<(usize, Vec<u8>)>,
    bytes: usize,
    /// Lines not shown, by source, since that was last said.
    dropped: Vec<u64>,
    /// Dropping: until the queue is half empty, so that what is shown has few gaps and not many.
    full: bool,
    cause: String,
    writing: bool,
    written: u64,
}

impl Outlet {
    /// An outlet to `target` for sources of these names; a line names its source by its place here. The last name is
    /// logd's own.
    ///
    /// # Errors
    /// What the kernel says when it has no thread for us.
    pub fn open(target: OwnedFd, names: Vec<String>) -> io::Result<Outlet> {
        let width = names.iter().map(String::len).max().unwrap_or(0);
        let queue = Mutex::new(Queue { dropped: vec![0; names.len()], ..Queue::default() });
        let shared = Arc::new(Shared { names, width, queue, moved: Condvar::new() });
        let writer = Arc::clone(&shared);
        thread::Builder::new().name("stdout".into()).spawn(move || writer.run(&target))?;
        Ok(Outlet { shared, width })
    }

    /// Queues a line of the source, or counts it as not shown.
    pub fn show(&self, source: usize, line: Line<'_>) {
        let Some(name) = self.shared.names.get(source) else { return };
        let text = line::shown(name, self.width, line);
        let mut queue = self.shared.lock();
        if queue.full && queue.bytes <= CAPACITY / 2 {
            self.shared.report(&mut queue);
        }
        if queue.full || queue.bytes + text.len() + OVERHEAD > CAPACITY {
            queue.drop_line(source, "standard output was stuck");
            return;
        }
        queue.push(source, text);
        drop(queue);
        self.shared.moved.notify_all();
    }

    /// Waits until everything is written, or until the reader took nothing for two seconds. Returns whether all is out.
    pub fn finish(&self) -> bool {
        let mut queue = self.shared.lock();
        while !queue.is_out() {
            let before = queue.written;
            let (after, waited) = self
                .shared
                .moved
                .wait_timeout_while(queue, PATIENCE, |queue| !queue.is_out() && queue.written == before)
                .unwrap_or_else(PoisonError::into_inner);
            queue = after;
            if waited.timed_out() {
                return false;
            }
        }
        true
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, target: &OwnedFd) {
        loop {
            let mut queue = self.lock();
            queue.writing = false;
            self.moved.notify_all();
            if queue.lines.is_empty() && queue.full {
                self.report(&mut queue);
            }
            let mut queue =
                self.moved.wait_while(queue, |queue| queue.lines.is_empty()).unwrap_or_else(PoisonError::into_inner);
            let Some((source, text)) = queue.pop() else { continue };
            queue.writing = true;
            drop(queue);
            let outcome = write(target, &text);
            let mut queue = self.lock();
            match outcome {
                Ok(()) => queue.written += 1,
                Err(errno) => queue.refuse(source, errno),
            }
            // After a failed write, the next one that works says what is missing.
            if outcome.is_ok() && !queue.full && queue.dropped.iter().any(|&count| count > 0) {
                self.report(&mut queue);
            }
        }
    }

    /// Queues one line for each source that lost some.
    fn report(&self, queue: &mut Queue) {
        queue.full = false;
        let own = self.names.len().saturating_sub(1);
        let cause = take(&mut queue.cause);
        let dropped = std::mem::replace(&mut queue.dropped, vec![0; self.names.len()]);
        for (name, count) in self.names.iter().zip(dropped).filter(|(_, count)| *count > 0) {
            let lines = if count == 1 { "line" } else { "lines" };
            let text = format!("warning: unable to show {count} {lines} of {name}: {cause}; the log file has them");
            let name = self.names.get(own).map_or("logd", String::as_str);
            queue.push(own, line::shown(name, self.width, Line { text: text.as_bytes(), goes_on: false }));
        }
    }
}

impl Queue {
    fn push(&mut self, source: usize, text: Vec<u8>) {
        self.bytes += text.len() + OVERHEAD;
        self.lines.push_back((source, text));
    }

    fn pop(&mut self) -> Option<(usize, Vec<u8>)> {
        let (source, text) = self.lines.pop_front()?;
        self.bytes -= text.len() + OVERHEAD;
        Some((source, text))
    }

    fn drop_line(&mut self, source: usize, cause: &str) {
        self.full = true;
        cause.clone_into(&mut self.cause);
        self.count(source);
    }

    fn refuse(&mut self, source: usize, errno: Errno) {
        self.cause = format!("standard output refused them: {}", errno.desc());
        self.count(source);
    }

    fn count(&mut self, source: usize) {
        if let Some(count) = self.dropped.get_mut(source) {
            *count += 1;
        }
    }

    fn is_out(&self) -> bool {
        self.lines.is_empty() && !self.writing && !self.full
    }
}

/// Writes a line whole. One write does it, unless the reader is slow and the descriptor does not block (which whoever
/// shares it may have made so).
fn write(target: &OwnedFd, mut text: &[u8]) -> Result<(), Errno> {
    while !text.is_empty() {
        match nix::unistd::write(target, text) {
            Ok(count) => text = text.get(count..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let mut writable = [PollFd::new(target.as_fd(), PollFlags::POLLOUT)];
                match poll(&mut writable, PollTimeout::NONE) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
