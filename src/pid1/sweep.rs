//! Signalling every child that is left, each once per signal.

use std::collections::BTreeSet;
use std::fs;

use crate::sys::{process, signal};

/// Which child got which signal, and who was left when we last looked.
#[derive(Default)]
pub struct Sweep {
    signalled: BTreeSet<(i32, i32)>,
    left: BTreeSet<i32>,
}

impl Sweep {
    /// One that has signalled these already.
    pub fn resume(signalled: Vec<(i32, i32)>) -> Sweep {
        Sweep { signalled: signalled.into_iter().collect(), left: BTreeSet::new() }
    }

    /// Which child got which signal.
    pub fn signalled(&self) -> Vec<(i32, i32)> {
        self.signalled.iter().copied().collect()
    }

    /// Looks who is there, and sends `wanted` to each child that `spared` answers false for and that has not had it. How
    /// many are left: children not spared. Orphans come to us as their parents die, so a later call may find more.
    ///
    /// None without `/proc`: then all were signalled, spared or not, as far as a namespace of our own goes.
    pub fn signal(&mut self, wanted: i32, spared: impl Fn(i32) -> bool) -> Option<usize> {
        let Some(children) = children() else {
            if self.signalled.insert((0, wanted)) {
                let _ = signal::send_all(wanted);
            }
            return None;
        };
        self.left = children.into_iter().filter(|pid| !spared(*pid)).collect();
        for pid in &self.left {
            if self.signalled.insert((*pid, wanted)) {
                // It is not reaped yet, so the number is its own; that it is a zombie already is no error.
                let _ = signal::send(*pid, wanted);
            }
        }
        Some(self.left.len())
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

/// Whether anybody is left in a namespace of our own, zombies too.
pub fn anybody() -> bool {
    signal::send_all(0).is_ok()
}

/// Our children, zombies too; none if the kernel does not tell, or tells it in the numbers of another namespace: a `/proc`
/// that was mounted outside knows us, by other pids.
pub fn children() -> Option<Vec<i32>> {
    let own = fs::read_link("/proc/self").ok()?;
    if own.to_str()?.parse() != Ok(process::own_pid()) {
        return None;
    }
    let text = fs::read_to_string("/proc/thread-self/children").ok()?;
    Some(text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}
