//! Becoming oneself anew: PID 1 replaces its own program and keeps its children.

use std::ffi::{CStr, CString, c_char};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use super::signal::FAULTS;
use super::{Errno, check};

/// The arguments for [`renew_on_fault`], with a null at the end; made once and never freed.
static FAULT_ARGUMENTS: AtomicPtr<*const c_char> = AtomicPtr::new(std::ptr::null_mut());
/// Where the line about a fault goes.
static FAULT_OUTPUT: AtomicI32 = AtomicI32::new(2);
/// Whose faults they are: not those of a child that has not become its program yet.
static FAULT_OWNER: AtomicI32 = AtomicI32::new(0);
/// The stack of the handler, for a fault that is the end of the usual one.
const FAULT_STACK: usize = 64 * 1024;

/// What stays open in the renewed program; null: nothing.
static KEPT: AtomicPtr<Vec<RawFd>> = AtomicPtr::new(std::ptr::null_mut());

/// Our own program, open for execution; -1 before [`keep_program`].
static PROGRAM: AtomicI32 = AtomicI32::new(-1);

unsafe extern "C" {
    /// The environment as this process was given it.
    static environ: *const *const c_char;
}

/// Opens our own program, so that it can be run again whatever happens to its file. `path` is tried where there is no
/// `/proc`.
pub fn keep_program(path: Option<&CStr>) -> Result<(), Errno> {
    if PROGRAM.load(Ordering::Relaxed) != -1 {
        return Ok(());
    }
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    // SAFETY: both paths are C strings.
    let opened = unsafe {
        match check(libc::open(c"/proc/self/exe".as_ptr(), flags).into()) {
            Err(errno) => check(path.map_or(Err(errno), |path| Ok(libc::open(path.as_ptr(), flags)))?.into())?,
            Ok(opened) => opened,
        }
    };
    PROGRAM.store(RawFd::try_from(opened).map_err(|_| Errno::EBADF)?, Ordering::Relaxed);
    Ok(())
}

/// These descriptors, and none that were named before, stay open in the renewed program.
pub fn keep_open(descriptors: Vec<RawFd>) {
    let before = KEPT.swap(Box::into_raw(Box::new(descriptors)), Ordering::AcqRel);
    if !before.is_null() {
        // SAFETY: made by the line above in an earlier call. This process has one thread, and whoever looks at it in the
        // middle of this, in a signal handler, finds the new one and does not come back.
        drop(unsafe { Box::from_raw(before) });
    }
}

/// Raw calls alone.
fn open_kept() {
    // SAFETY: null, or what `keep_open` made and has not replaced yet.
    let kept = unsafe { KEPT.load(Ordering::Acquire).as_ref() };
    for fd in kept.into_iter().flatten() {
        // SAFETY: sets a flag of a descriptor; one that is not open any more answers EBADF.
        unsafe { libc::fcntl(*fd, libc::F_SETFD, 0) };
    }
}

/// Runs our own program again in this process: same pid, same children, same signal mask, our environment. Returns only
/// when that fails.
pub fn renew(arguments: &[CString]) -> Errno {
    let program = PROGRAM.load(Ordering::Relaxed);
    let arguments: Vec<*const c_char> =
        arguments.iter().map(|argument| argument.as_ptr()).chain([std::ptr::null()]).collect();
    open_kept();
    // SAFETY: the arguments are C strings with a null at the end, the environment is libc's own, and both outlive the call.
    let answer = unsafe {
        libc::syscall(libc::SYS_execveat, program, c"".as_ptr(), arguments.as_ptr(), environ, libc::AT_EMPTY_PATH)
    };
    check(answer).err().unwrap_or(Errno::EINVAL)
}

/// From now on a fault of this process (a bad address, a bad instruction, an abort) is said on `output`, and then our own
/// program runs anew with these arguments. Exec is allowed in a signal handler, and keeps every child.
pub fn renew_on_fault(arguments: Vec<CString>, output: RawFd) {
    let mut pointers: Vec<*const c_char> =
        arguments.into_iter().map(|argument| argument.into_raw().cast_const()).collect();
    pointers.push(std::ptr::null());
    FAULT_ARGUMENTS.store(Box::leak(pointers.into_boxed_slice()).as_mut_ptr(), Ordering::Relaxed);
    FAULT_OUTPUT.store(output, Ordering::Relaxed);
    FAULT_OWNER.store(super::process::own_pid(), Ordering::Relaxed);
    let stack: &'static mut [u8] = Box::leak(vec![0; FAULT_STACK].into_boxed_slice());
    // SAFETY: the stack lives for ever; all-zero is a valid sigaction; the handler makes async-signal-safe calls alone.
    unsafe {
        let stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: stack.len() };
        libc::sigaltstack(&raw const stack, std::ptr::null_mut());
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_fault as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        for fault in FAULTS.iter() {
            libc::sigaction(fault, &raw const action, std::ptr::null_mut());
        }
    }
}

/// Runs in the middle of anything: raw calls and atomics alone.
extern "C" fn on_fault(signal: libc::c_int, info: *const libc::siginfo_t, _context: *const libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo; everything used lives for ever.
    unsafe {
        let own = libc::getpid();
        // Sent by somebody's kill and no fault at all; abort() sends it to ourselves.
        if (*info).si_code <= 0 && (*info).si_pid() != own {
            return;
        }
        if own != FAULT_OWNER.load(Ordering::Relaxed) {
            libc::_exit(127);
        }
        let mut line = *b"clusteros-init: error: unable to go on: a fault of its own, signal 00; keeping the children and reaping\n";
        if let Some(at) = line.iter().position(|byte| *byte == b'0') {
            let signal = u8::try_from(signal).unwrap_or(0);
            line[at] = b'0' + signal / 10 % 10;
            line[at + 1] = b'0' + signal % 10;
        }
        libc::write(FAULT_OUTPUT.load(Ordering::Relaxed), line.as_ptr().cast(), line.len());
        open_kept();
        libc::syscall(
            libc::SYS_execveat,
            PROGRAM.load(Ordering::Relaxed),
            c"".as_ptr(),
            FAULT_ARGUMENTS.load(Ordering::Relaxed),
            environ,
            libc::AT_EMPTY_PATH,
        );
        libc::_exit(70);
    }
}

/// A fault, for a drill.
pub fn fault() {
    // SAFETY: none is meant: the kernel answers a write to an address that no process has with SIGSEGV.
    unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(0) };
}
