//! What a piece of work takes of memory at most.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that this thread has now, and the most that it had.
    static TAKEN: (Cell<isize>, Cell<isize>) = const { (Cell::new(0), Cell::new(0)) };
}

struct Counting;

impl Counting {
    fn count(taken: isize) {
        // A thread that ends has nothing to count any more.
        let _ = TAKEN.try_with(|(now, most)| {
            now.set(now.get() + taken);
            most.set(most.get().max(now.get()));
        });
    }
}

// SAFETY: every call is the system allocator's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::count(layout.size() as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        Counting::count(-(layout.size() as isize));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are there while it moves.
        Counting::count(size as isize);
        Counting::count(-(layout.size() as isize));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` gives, and how many bytes it had at most beside what was there before.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = TAKEN.with(|(now, most)| {
        most.set(now.get());
        now.get()
    });
    let given = work();
    (given, TAKEN.with(|(_, most)| usize::try_from(most.get() - before).unwrap_or_default()))
}

#[test]
fn what_is_taken_is_counted() {
    let (kept, most) = peak(|| {
        drop(vec![0_u8; 10_000]);
        vec![0_u8; 1000]
    });
    assert_eq!((kept.len(), most), (1000, 10_000));
}
