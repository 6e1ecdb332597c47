//! Functions of libc that would bring the most of what nobody here uses: a static program gets translations, character set
//! conversion and C's own printing of numbers with them, a tenth of `clusteros-init`.
//!
//! They are weak: where libc's own come along for another reason, those are taken.

use std::ffi::{c_char, c_int};

use super::Errno;

/// What libc says of an error, in English as it always is where nobody called setlocale.
extern "C" fn error_text(number: c_int, into: *mut c_char, size: usize) -> c_int {
    let text = Errno::from_raw(number).desc().as_bytes();
    let length = text.len().min(size.saturating_sub(1));
    if size > 0 {
        // SAFETY: the caller gives `size` bytes at `into`, and length < size.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr().cast(), into, length);
            *into.add(length) = 0;
        }
    }
    if length == text.len() { 0 } else { libc::ERANGE }
}

/// An assertion of libc itself failed.
extern "C" fn broken() -> ! {
    // SAFETY: abort takes nothing and does not come back.
    unsafe { libc::abort() }
}

#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".weak __xpg_strerror_r",
    "__xpg_strerror_r:",
    "jmp {error_text}",
    ".weak __assert_fail",
    "__assert_fail:",
    "jmp {broken}",
    // The text is its own translation.
    ".weak __dcgettext",
    "__dcgettext:",
    "mov rax, rsi",
    "ret",
    // Behind every printf of C. libc itself prints nothing with it but statistics and what is wrong with shared libraries.
    ".weak __vfprintf_internal",
    "__vfprintf_internal:",
    ".weak __vfwprintf_internal",
    "__vfwprintf_internal:",
    "mov eax, -1",
    "ret",
    error_text = sym error_text,
    broken = sym broken,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_there_is_no_room() {
        let mut room = [1; 8];
        assert_eq!(error_text(2, room.as_mut_ptr().cast(), 0), libc::ERANGE);
        assert_eq!(error_text(2, room.as_mut_ptr().cast(), 8), libc::ERANGE);
        assert_eq!(&room, b"No such\0");
        let mut room = [1; 64];
        assert_eq!(error_text(1, room.as_mut_ptr().cast(), 64), 0);
        assert_eq!(&room[..25], b"Operation not permitted\0\x01");
    }
}
