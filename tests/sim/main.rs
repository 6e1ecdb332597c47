//! Seeded lifetimes of a node on a fake kernel.
//!
//! `SIM_LIVES` sets how many (100,000 by default, a million under tests/run.sh), `SIM_SEED` replays one with a trace. A
//! seed that once failed is kept in `seeds.txt`. tests/properties and tests/fuzz have the same modules.

#[expect(dead_code, reason = "dealt numbers are for tests/properties and tests/fuzz")]
mod dice;
#[expect(dead_code, reason = "dealt lives are for tests/properties and tests/fuzz")]
mod life;
mod reload;
mod soup;
mod tables;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use dice::Dice;

#[test]
fn every_lifetime_keeps_the_invariants() {
    if let Some(seed) = number("SIM_SEED") {
        if let Err(broken) = life::live(seed, true) {
            panic!("seed {seed}: {broken}");
        }
        return;
    }
    many("lifetimes", 1, lived);
}

#[test]
fn a_renewed_machine_goes_on_as_if_nothing_had_been() {
    many("renewed lifetimes", 20, |seed| {
        life::live_renewed(seed).unwrap_or_else(|broken| panic!("renewed lifetime of seed {seed}: {broken}"))
    });
}

#[test]
fn no_event_at_no_time_breaks_the_machine() {
    many("soups", 10, |seed| {
        soup::stir(Dice::new(seed)).unwrap_or_else(|broken| panic!("soup of seed {seed}: {broken}"));
        0
    });
}

#[test]
fn seeds_that_once_failed_stay_mended() {
    for seed in include_str!("seeds.txt").lines().filter(|line| !line.starts_with('#')) {
        lived(seed.parse().expect("seeds.txt holds a number a line"));
    }
}

/// As many as asked for, or that part of it, on all processors.
fn many(what: &str, part: u64, one: impl Fn(u64) -> u64 + Sync) {
    let lives = number("SIM_LIVES").unwrap_or(100_000) / part;
    let first = number("SIM_FIRST").unwrap_or_else(|| u64::from(std::process::id()) << 32);
    eprintln!("{lives} {what} from seed {first}");
    let (next, steps) = (AtomicU64::new(0), AtomicU64::new(0));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= lives {
                        break;
                    }
                    steps.fetch_add(one(first + at), Ordering::Relaxed);
                }
            });
        }
    });
    eprintln!("{lives} {what}: {} steps, {:.1} s", steps.into_inner(), began.elapsed().as_secs_f64());
}

fn lived(seed: u64) -> u64 {
    match std::panic::catch_unwind(|| life::live(seed, false)) {
        Ok(Ok(steps)) => steps,
        Ok(Err(broken)) => panic!("seed {seed}: {broken}; replay it with SIM_SEED={seed}"),
        Err(_) => panic!("seed {seed}: the machine panicked; replay it with SIM_SEED={seed}"),
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}
