//! `ready = "fd:N"`: PID 1 holds the other end of that descriptor until a newline comes.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::turn::Node;
use crate::sys::{Errno, descriptor};
use crate::unit::{Event, Pid};

/// Bytes without a newline after which nobody listens any more: s6 programs write one.
const MOST: usize = 4096;

/// The reading end of one process's descriptor.
pub struct Line {
    read: OwnedFd,
    seen: usize,
}

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing new.
    Nothing,
    /// A newline.
    Newline,
    /// Its end, without one.
    End,
    /// Much, and no newline in it.
    Noise,
}

impl From<OwnedFd> for Line {
    /// One that another program listened to.
    fn from(read: OwnedFd) -> Line {
        Line { read, seen: 0 }
    }
}

impl Line {
    /// A line and its writing end, which is the unit's.
    ///
    /// # Errors
    /// No pipe can be made.
    pub fn open() -> Result<(Line, OwnedFd), Errno> {
        let (read, write) = descriptor::pipe()?;
        descriptor::set_nonblocking(&read)?;
        Ok((Line { read, seen: 0 }, write))
    }

    /// What to wait for.
    pub fn descriptor(&self) -> RawFd {
        self.read.as_raw_fd()
    }

    /// Listens once.
    pub fn listen(&mut self) -> Heard {
        let mut bytes = [0; 512];
        let mut read = || descriptor::read_now(&self.read, &mut bytes);
        // What is there is read once, so a failure is asked again.
        let read = read().or_else(|errno| if waits(errno) { Err(errno) } else { read() });
        match read {
            Ok(0) => Heard::End,
            Ok(length) => {
                self.seen = self.seen.saturating_add(length);
                let newline = bytes.iter().take(length).any(|byte| *byte == b'\n');
                match (newline, self.seen >= MOST) {
                    (true, _) => Heard::Newline,
                    (false, true) => Heard::Noise,
                    (false, false) => Heard::Nothing,
                }
            }
            Err(errno) if waits(errno) => Heard::Nothing,
            Err(_) => Heard::End,
        }
    }
}

/// Nothing is wrong: whoever is asked when there is more has it.
fn waits(errno: Errno) -> bool {
    matches!(errno, Errno::EAGAIN | Errno::EINTR)
}

impl Node {
    pub(super) fn take_newlines(&mut self) {
        let ready = |line: &Line| self.wait.ready(line.descriptor());
        let told = self.processes.iter().filter(|(_, process)| process.line.as_ref().is_some_and(ready));
        let told: Vec<i32> = told.map(|(pid, _)| *pid).collect();
        for pid in told {
            self.take_newline(pid);
        }
    }

    /// What `pid` has written to its descriptor; nobody listens after a newline, the end, or too much else.
    pub(super) fn take_newline(&mut self, pid: i32) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let Some(line) = &mut process.line else { return };
        match line.listen() {
            Heard::Nothing => {}
            Heard::End => process.line = None,
            Heard::Newline => {
                process.line = None;
                self.tell(Event::Newline { pid: Pid(pid) });
            }
            Heard::Noise => {
                process.line = None;
                let unit = self.machine.table().units.get(process.unit.index());
                let name = unit.map_or("", |unit| unit.name.as_str());
                log::warn!(
                    "unable to learn whether {name} is ready: {MOST} bytes and no newline in them; not listening any more"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_newline_is_heard_and_noise_has_an_end() {
        let (mut line, write) = Line::open().unwrap();
        let mut write = std::fs::File::from(write);
        assert_eq!(line.listen(), Heard::Nothing);
        write.write_all(b"not yet").unwrap();
        assert_eq!(line.listen(), Heard::Nothing);
        write.write_all(b"now\n").unwrap();
        assert_eq!(line.listen(), Heard::Newline);

        let (mut line, write) = Line::open().unwrap();
        let mut write = std::fs::File::from(write);
        write.write_all(&[b'x'; 5000]).unwrap();
        let heard: Vec<Heard> = (0..8).map(|_| line.listen()).collect();
        assert_eq!(heard.iter().filter(|heard| **heard == Heard::Noise).count(), 1);
        assert_eq!(heard.last(), Some(&Heard::Noise));
        drop(write);
        let (mut line, write) = Line::open().unwrap();
        drop(write);
        assert_eq!(line.listen(), Heard::End);
    }
}
