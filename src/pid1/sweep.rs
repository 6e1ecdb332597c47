//! Signalling every child that is left, each once per signal.

use std::collections::BTreeSet;
use std::fs;

use crate::sys::signal;

/// Which child got which signal, and who was left when we last looked.
#[derive(Default)]
pub struct Sweep {
    signalled: BTreeSet<(i32, i32)>,
    left: BTreeSet<i32>,
}

impl Sweep {
    /// Looks who is there, and sends `wanted` to each child that `spared` answers false for and that has not had it. How
    /// many are left: children not spared. Orphans come to us as their parents die, so a later call may find more.
    pub fn signal(&mut self, wanted: i32, spared: impl Fn(i32) -> bool) -> usize {
        let Some(children) = children() else {
            // No /proc: all or nothing, and only in a namespace of our own.
            if self.signalled.insert((0, wanted)) {
                let _ = signal::send_all(wanted);
            }
            return usize::from(signal::send_all(0).is_ok());
        };
        self.left = children.into_iter().filter(|pid| !spared(*pid)).collect();
        for pid in &self.left {
            if self.signalled.insert((*pid, wanted)) {
                // It is not reaped yet, so the number is its own; that it is a zombie already is no error.
                let _ = signal::send(*pid, wanted);
            }
        }
        self.left.len()
    }

    /// How many are left of those that the last look found, without looking again.
    pub fn remembered(&self) -> usize {
        self.left.len()
    }

    /// `pid` is dead: the next process of that number is another one.
    pub fn forget(&mut self, pid: i32) {
        self.left.remove(&pid);
        let entries: Vec<(i32, i32)> = self.signalled.range((pid, i32::MIN)..=(pid, i32::MAX)).copied().collect();
        for entry in entries {
            self.signalled.remove(&entry);
        }
    }
}

/// Our children, zombies too; none if the kernel does not tell.
pub fn children() -> Option<Vec<i32>> {
    let text = fs::read_to_string("/proc/thread-self/children").ok()?;
    Some(text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}
