//! Ways to break PID 1 on purpose, so that the rescue can be tested. Not in release builds.

use std::sync::atomic::{AtomicI32, Ordering};

use crate::sys::renewal::{Fault, fault};
use crate::unit::signal::RTMAX;

/// Where PID 1 breaks when the loop comes by next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A process was made, and nobody knows of it yet.
    Made = 1,
    /// A process has ended, was told of, and is not reaped.
    Ended = 2,
    /// A snapshot is to be kept.
    Keep = 3,
}

static NEXT: AtomicI32 = AtomicI32::new(0);

/// Breaks at `RTMAX`, `RTMAX-1` and so on: by a panic, by each fault, and at each point.
pub fn break_at(signal: i32) {
    if !cfg!(debug_assertions) {
        return;
    }
    match RTMAX.saturating_sub(signal) {
        0 => std::panic::panic_any("a drill"),
        1 => fault(Fault::Address),
        2 => fault(Fault::Bus),
        3 => fault(Fault::Abort),
        4 => fault(Fault::Arithmetic),
        5 => fault(Fault::Instruction),
        6 => fault(Fault::Stack),
        7 => fault(Fault::Memory),
        8 => fault(Fault::Twice),
        9 => NEXT.store(Point::Made as i32, Ordering::Relaxed),
        10 => NEXT.store(Point::Ended as i32, Ordering::Relaxed),
        11 => NEXT.store(Point::Keep as i32, Ordering::Relaxed),
        _ => {}
    }
}

/// The loop comes by.
pub fn at(point: Point) {
    if cfg!(debug_assertions) && NEXT.load(Ordering::Relaxed) == point as i32 {
        fault(Fault::Address);
    }
}
