//! What a unit uses of the machine, as its cgroup tells.

use std::time::Duration;

use serde::Deserialize;

use super::json::Object;
use crate::unit::duration::short;
use crate::unit::size::shown;

/// What a unit uses. What its cgroup does not count, or this kernel does not tell, is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// Bytes of memory, its files in the page cache too.
    pub memory: Option<u64>,
    /// The most bytes of memory since its cgroup was made.
    pub memory_peak: Option<u64>,
    /// Microseconds of processor time since its cgroup was made.
    pub cpu_us: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// How many of its processes the kernel has killed for want of memory.
    pub oom_kills: Option<u64>,
}

/// The number that a file of a cgroup holds.
pub fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The number behind `name` in a file of a cgroup that has a name and a number a line.
pub fn entry(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

impl Usage {
    pub(super) fn object(&self) -> Object {
        Object::new()
            .number("memory", self.memory)
            .number("memory_peak", self.memory_peak)
            .number("cpu_us", self.cpu_us)
            .number("pids", self.pids)
            .number("oom_kills", self.oom_kills)
    }

    /// For a person: `12M of memory (15M at most), 1.2s of processor time, 3 processes and threads`.
    pub(super) fn text(&self) -> String {
        let most = self.memory_peak.map_or_else(String::new, |peak| format!(" ({} at most)", shown(peak)));
        let killed = self.oom_kills.filter(|kills| *kills > 0);
        let parts = [
            self.memory.map(|memory| format!("{} of memory{most}", shown(memory))),
            self.cpu_us.map(|micros| format!("{} of processor time", short(Duration::from_micros(micros)))),
            self.pids.map(|pids| format!("{pids} {}", if pids == 1 { "process" } else { "processes and threads" })),
            killed.map(|kills| format!("{kills} killed for want of memory")),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::{Usage, entry, number};

    #[test]
    fn what_a_kernel_writes() {
        assert_eq!((number("12345\n"), number("max\n"), number("")), (Some(12_345), None, None));
        let events = "low 0\nhigh 0\nmax 38\noom 1\noom_kill 1\noom_group_kill 0\n";
        assert_eq!((entry(events, "oom"), entry(events, "oom_kill"), entry(events, "none")), (Some(1), Some(1), None));
        assert_eq!(entry("usage_usec 1234\nuser_usec 1000\n", "usage_usec"), Some(1234));
    }

    #[test]
    fn for_a_person() {
        let usage = Usage {
            memory: Some(12 << 20),
            memory_peak: Some(1_600 << 20),
            cpu_us: Some(1_250_000),
            pids: Some(3),
            oom_kills: Some(0),
        };
        assert_eq!(usage.text(), "12M of memory (1.5G at most), 1.2s of processor time, 3 processes and threads");
        let little = Usage { pids: Some(1), oom_kills: Some(2), ..Usage::default() };
        assert_eq!(little.text(), "1 process, 2 killed for want of memory");
        assert_eq!(Usage::default().text(), "");
    }
}
