//! The first instructions of `clusteros-init`: they block every signal but the faults, then go where every program starts.
//!
//! From exec to `main` libc takes half a millisecond, and the kernel throws away what is sent to a PID 1 that neither blocks
//! nor handles it: of 100 SIGTERMs sent right after exec, 39 were lost without this. The linker is told by `src/build.rs` to start
//! here. On processors not named here `main` blocks them.

use std::sync::atomic::{AtomicU64, Ordering};

use super::signal::{FAULTS, SignalSet};

/// What is blocked.
static ALL: u64 = !FAULTS.0;

/// The mask that was there before, or [`UNTOUCHED`].
static BEFORE: AtomicU64 = AtomicU64::new(UNTOUCHED);

/// No mask: KILL and STOP are in none.
const UNTOUCHED: u64 = u64::MAX;

/// The mask before these first instructions; none if they were not run.
pub(super) fn mask_before() -> Option<SignalSet> {
    let before = BEFORE.load(Ordering::Relaxed);
    (before != UNTOUCHED).then_some(SignalSet(before))
}

// rt_sigprocmask(SIG_SETMASK, &ALL, &BEFORE, 8). The kernel's stack stays as it is, and rdx, which libc reads, is put back;
// addresses are relative, because nothing is relocated yet.
#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".globl clusteros_init_entry",
    "clusteros_init_entry:",
    "mov r8, rdx",
    "mov eax, 14",
    "mov edi, 2",
    "lea rsi, [rip + {all}]",
    "lea rdx, [rip + {before}]",
    "mov r10d, 8",
    "syscall",
    "mov rdx, r8",
    "jmp _start",
    all = sym ALL,
    before = sym BEFORE,
);
