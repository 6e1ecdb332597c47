//! The rights of root, one by one, of a process that is on its way to its program. Async-signal-safe.

use std::ffi::c_long;

use super::{Errno, check};

/// Takes all but `wanted` from what can ever be had. Nothing to take needs no right.
pub(super) fn bound(wanted: u64) -> Result<(), Errno> {
    for capability in 0..64 {
        match control(libc::PR_CAPBSET_READ, capability, 0) {
            // This kernel has no more.
            Err(_) => break,
            Ok(1) if wanted & (1 << capability) == 0 => control(libc::PR_CAPBSET_DROP, capability, 0).map(drop)?,
            Ok(_) => {}
        }
    }
    Ok(())
}

/// The kernel's header and data of capset, version 3.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}
#[repr(C)]
#[derive(Clone, Copy)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}
const VERSION_3: u32 = 0x2008_0522;

/// Has `wanted` and no more; another user than root keeps it over exec.
pub(super) fn keep(wanted: u64, root: bool) -> Result<(), Errno> {
    let half = |bits: u64| {
        // The lower and the upper 32 bits are told apart by shifting.
        let bits = u32::try_from(bits & 0xffff_ffff).unwrap_or(0);
        Half { effective: bits, permitted: bits, inheritable: if root { 0 } else { bits } }
    };
    let header = Header { version: VERSION_3, pid: 0 };
    let data = [half(wanted), half(wanted >> 32)];
    // SAFETY: the header and two halves, as version 3 wants them; capset reads both and writes neither.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })?;
    control(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL.into(), 0)?;
    for capability in (0..64).filter(|capability| !root && wanted & (1 << capability) != 0) {
        control(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE.into(), capability)?;
    }
    Ok(())
}

/// prctl with numbers.
pub(super) fn control(option: i32, first: c_long, second: c_long) -> Result<c_long, Errno> {
    // SAFETY: the options used here take numbers.
    check(unsafe { libc::syscall(libc::SYS_prctl, option, first, second, 0_i64, 0_i64) })
}
