//! What the kernel counts: memory and processor time of a process, packets of a network namespace.

use std::fs;
use std::time::Duration;

/// The memory of a process, in kB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    pub resident: u64,
    pub proportional: u64,
    pub private_dirty: u64,
}

pub fn memory(pid: u32) -> Memory {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it runs");
    let line = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel says it");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    Memory { resident: line("Rss:"), proportional: line("Pss:"), private_dirty: line("Private_Dirty:") }
}

/// The processor time of all threads that are there.
pub fn processor(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let ran = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(ran.sum())
}

/// What this thread's network namespace sent: datagrams of UDP, packets and bytes of everything with their headers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    pub datagrams: u64,
    pub packets: u64,
    pub bytes: u64,
}

impl Sent {
    pub fn since(self, before: Sent) -> Sent {
        Sent {
            datagrams: self.datagrams - before.datagrams,
            packets: self.packets - before.packets,
            bytes: self.bytes - before.bytes,
        }
    }
}

pub fn sent() -> Sent {
    let counters = fs::read_to_string("/proc/thread-self/net/snmp").expect("counters");
    let mut udp = counters.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (udp.next().expect("names"), udp.next().expect("values"));
    let at = names.split(' ').position(|name| name == "OutDatagrams").expect("the kernel says it");
    let datagrams = values.split(' ').nth(at).expect("a value").parse().expect("a number");
    let links = fs::read_to_string("/proc/thread-self/net/dev").expect("counters");
    let lo = links.lines().find_map(|line| line.trim().strip_prefix("lo:")).expect("a loopback");
    let lo: Vec<u64> = lo.split_whitespace().map(|value| value.parse().expect("a number")).collect();
    Sent { datagrams, packets: lo[9], bytes: lo[8] }
}
