//! A PID 1 in its steady state allocates nothing, and does not grow. This program is its own init: with `STEADY` in the
//! environment it is `clusteros-init` with an allocator that counts; what it has counted is read from its memory.
//!
//! `STEADY_ORPHANS` and `STEADY_RESTARTS` say how many (3,000 and 200 by default).

#[path = "../kit/mod.rs"]
#[expect(dead_code, reason = "the rest is for the tests of PID 1 alone")]
mod kit;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kit::{Node, Plan, SOON, wait_until};

/// Allocations ever made, and bytes that are allocated now.
static COUNTED: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

struct Counting;

impl Counting {
    fn count(taken: usize, given: usize) {
        COUNTED[0].fetch_add(u64::from(taken > 0), Ordering::Relaxed);
        COUNTED[1].fetch_add(taken as u64, Ordering::Relaxed);
        COUNTED[1].fetch_sub(given as u64, Ordering::Relaxed);
    }
}

// SAFETY: every call is the system allocator's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::count(layout.size(), 0);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        Counting::count(0, layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Counting::count(size, layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What an init has counted.
struct Counts {
    memory: File,
    at: u64,
}

impl Counts {
    fn of(node: &Node) -> Counts {
        node.wait_for("address", "\n");
        let at = node.read("address").trim().parse().expect("an address");
        Counts { memory: File::open(format!("/proc/{}/mem", node.pid)).expect("its memory"), at }
    }

    /// Allocations ever made, bytes allocated.
    fn now(&self) -> (u64, u64) {
        let mut bytes = [0; 16];
        self.memory.read_exact_at(&mut bytes, self.at).expect("its counts");
        let number = |from: usize| u64::from_ne_bytes(bytes[from..from + 8].try_into().expect("eight bytes"));
        (number(0), number(8))
    }
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Kilobytes in memory.
fn resident(node: &Node) -> u64 {
    node.fact("VmRSS").trim_end_matches(" kB").parse().expect("a number")
}

/// Waits until PID 1 has nothing to do, the status document included.
fn quiet(node: &Node) {
    let switches = || node.fact("voluntary_ctxt_switches");
    let mut before = String::new();
    // Twice within the status document's pace, and that it comes to be so.
    let mut same = 0;
    wait_until("it is quiet", Duration::from_secs(60), || {
        same = if std::mem::replace(&mut before, switches()) == before { same + 1 } else { 0 };
        same > 60
    });
}

/// Lets `act` happen to a quiet node: allocations made, bytes kept, kilobytes grown.
fn measured(node: &Node, what: &str, act: impl FnOnce()) -> (u64, i64, i64) {
    let counts = Counts::of(node);
    quiet(node);
    let (before, resident_before) = (counts.now(), resident(node));
    act();
    quiet(node);
    let (after, resident_after) = (counts.now(), resident(node));
    let made = after.0 - before.0;
    let kept = after.1.cast_signed() - before.1.cast_signed();
    let grown = resident_after.cast_signed() - resident_before.cast_signed();
    eprintln!("steady: {what}: {made} allocations, {kept} bytes kept, RSS {resident_before} kB {grown:+} kB");
    (made, kept, grown)
}

fn start(table: &str) -> Node {
    let own = std::env::current_exe().expect("our own path");
    let logd = Path::new(kit::INIT).parent().expect("a folder").display().to_string();
    let call = format!("env STEADY=@/address PATH={logd}:$PATH {{}}");
    Plan::new("steady").table(table).program(&own).started_as(&call).start()
}

fn orphans_and_signals() {
    let orphans = number("STEADY_ORPHANS", 3_000);
    let script = format!(
        "for round in 1 2; do while [ ! -e @/go$round ]; do sleep 0.05; done; i=0; while [ $i -lt {orphans} ]; do (true &); i=$((i+1)); done; echo > @/done$round; done; exec sleep 1000"
    );
    let node = start(&format!(
        "[unit.storm]\nexec = [\"sh\", \"-c\", \"{script}\"]\n\
         [unit.ear]\nexec = [\"sleep\", \"1000\"]\nforward = [\"WINCH\", \"URG\"]\n"
    ));
    node.wait_state("ear", "up");
    let storm = |round: u32| {
        std::fs::write(node.dir.join(format!("go{round}")), "").expect("go");
        wait_until("the storm is over", Duration::from_secs(600), || node.dir.join(format!("done{round}")).exists());
        wait_until("no zombie is left", SOON, || kit::zombies(node.pid) == 0);
    };
    measured(&node, &format!("{orphans} orphans, the first time"), || storm(1));
    let (made, kept, grown) = measured(&node, &format!("{orphans} orphans"), || storm(2));
    assert_eq!((made, kept), (0, 0), "allocations and bytes for {orphans} orphans");
    assert!(grown <= 0, "RSS grew by {grown} kB");
    node.signal(28);
    let (made, kept, _) = measured(&node, "1000 forwarded signals", || {
        for _ in 0..500 {
            node.signal(28);
            node.signal(23);
        }
    });
    assert_eq!((made, kept), (0, 0), "allocations and bytes for forwarded signals");
    let (made, kept, _) = measured(&node, "nothing for a while", || ());
    assert_eq!((made, kept), (0, 0), "allocations and bytes for nothing");
}

fn restarts() {
    let restarts = number("STEADY_RESTARTS", 200);
    let node = start(&format!(
        "[unit.a]\nexec = [\"sh\", \"-c\", \"n=0; [ ! -e @/count ] || read n < @/count; echo $((n+1)) > @/count; [ $((n % {restarts})) != 0 ] || while [ ! -e @/go$n ]; do sleep 0.05; done\"]\nbackoff = \"1ms..1ms\"\nlog = \"none\"\n"
    ));
    // It waits for a word at every round's beginning.
    let count = || node.read("count").trim().parse::<u64>().unwrap_or(0);
    let round = |from: u64| {
        std::fs::write(node.dir.join(format!("go{from}")), "").expect("go");
        wait_until("the restarts", Duration::from_secs(900), || count() > from + restarts);
    };
    wait_until("the first round", SOON, || count() == 1);
    measured(&node, &format!("{restarts} restarts, the first time"), || round(0));
    let (_, kept, grown) = measured(&node, &format!("{restarts} restarts"), || round(restarts));
    assert!(kept.abs() < 4_096, "{kept} bytes kept after {restarts} restarts");
    assert!(grown <= 64, "RSS grew by {grown} kB");
}

fn main() {
    if let Some(address) = std::env::var_os("STEADY") {
        std::fs::write(address, format!("{}\n", (&raw const COUNTED).addr())).expect("the address");
        std::process::exit(clusteros_init::pid1::run().into());
    }
    if let Some(reason) = kit::no_namespaces() {
        assert!(std::env::var("NEED").as_deref() != Ok("all"), "skipped although NEED=all: steady: {reason}");
        eprintln!("skipped: steady: {reason}");
    } else {
        orphans_and_signals();
        restarts();
    }
    eprintln!("test result: ok. 2 passed; 0 failed; 0 ignored");
}
