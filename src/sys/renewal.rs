//! Becoming oneself anew: PID 1 replaces its own program and keeps its children.

use std::ffi::{CStr, CString, c_char};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, Ordering};

use super::descriptor::HIGHEST;
use super::signal::FAULTS;
use super::store::note_fault;
use super::{Errno, check};

/// The arguments for a bare reaper, and for going on from the last snapshot, each with a null at the end; made once and never
/// freed. Null before they are.
static REAPER: AtomicPtr<*const c_char> = AtomicPtr::new(std::ptr::null_mut());
static RESUME: AtomicPtr<*const c_char> = AtomicPtr::new(std::ptr::null_mut());
/// Whether there is a snapshot of this moment for them.
static CURRENT: AtomicBool = AtomicBool::new(true);
/// Where the line about a fault goes.
static FAULT_OUTPUT: AtomicI32 = AtomicI32::new(2);
/// Whose faults they are: not those of a child that has not become its program yet.
static FAULT_OWNER: AtomicI32 = AtomicI32::new(0);
/// How many faults this program has had; those after the first are the handler's own.
static FAULTED: AtomicU32 = AtomicU32::new(0);
/// The stack of the handler, for a fault that is the end of the usual one.
const FAULT_STACK: usize = 64 * 1024;
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

/// Whether `path` is the program that we are.
pub fn is_own(path: &CStr) -> bool {
    // SAFETY: all-zero is a valid stat; the path is a C string; a descriptor that is not open gives an error.
    unsafe {
        let (mut own, mut other): (libc::stat, libc::stat) = (std::mem::zeroed(), std::mem::zeroed());
        libc::fstat(PROGRAM.load(Ordering::Relaxed), &raw mut own) == 0
            && libc::stat(path.as_ptr(), &raw mut other) == 0
            && (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino)
    }
}

/// Makes these descriptors stay open in the next program, or close again.
///
/// # Errors
/// That one of them could not be changed; the others are.
pub fn keep_open(descriptors: &[RawFd], keep: bool) -> Result<(), Errno> {
    let flags = if keep { 0 } else { libc::FD_CLOEXEC };
    // SAFETY: sets a flag of a descriptor; one that is not open any more answers EBADF.
    let set = |fd: &RawFd| check(unsafe { libc::fcntl(*fd, libc::F_SETFD, flags) }.into()).map(drop);
    descriptors.iter().map(set).fold(Ok(()), Result::and)
}

/// Runs the program `path` in this process: same pid, same children, same signal mask, our environment. Returns only when
/// that fails.
pub fn become_program(path: &CStr, arguments: &[CString]) -> Errno {
    let arguments: Vec<*const c_char> =
        arguments.iter().map(|argument| argument.as_ptr()).chain([std::ptr::null()]).collect();
    // SAFETY: the arguments are C strings with a null at the end, the environment is libc's own, and both outlive the call.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environ) };
    Errno::last()
}

/// Runs our own program again, with everything open that we have open. Async-signal-safe; returns only when that fails.
unsafe fn run_again(arguments: *const *const c_char) -> Errno {
    // SAFETY: sets flags of descriptors; those that are not open answer EBADF. The caller vouches for the arguments.
    unsafe {
        for fd in 3..HIGHEST {
            libc::fcntl(fd, libc::F_SETFD, 0);
        }
        let program = PROGRAM.load(Ordering::Relaxed);
        // Twice: what was wanting may be there now, and nobody else would ask again.
        for _ in 0..2 {
            libc::syscall(libc::SYS_execveat, program, c"".as_ptr(), arguments, environ, libc::AT_EMPTY_PATH);
        }
    }
    Errno::last()
}

/// After a panic: runs our own program again, from the last snapshot if there is one, else as a bare reaper. Returns only when
/// that fails.
pub fn renew() -> Errno {
    let owner = FAULT_OWNER.load(Ordering::Relaxed);
    if owner != 0 && owner != super::process::own_pid() {
        // SAFETY: ends a child that has not become its program, and runs nothing of ours.
        unsafe { libc::_exit(127) };
    }
    let resume = to_resume();
    if !resume.is_null() && note_fault(super::store::PANIC) {
        // SAFETY: made by `arguments`, never freed.
        unsafe { run_again(resume) };
    }
    let reaper = REAPER.load(Ordering::Relaxed);
    if reaper.is_null() {
        return Errno::ENOENT;
    }
    // SAFETY: as above.
    unsafe { run_again(reaper) }
}

/// Whether there is a snapshot to go on from.
pub fn resumes() -> bool {
    !to_resume().is_null()
}

/// Whether the snapshot that [`resume_with`] leads to is of this moment; one of an earlier moment is not gone on from.
pub fn set_current(current: bool) {
    CURRENT.store(current, Ordering::Relaxed);
}

fn to_resume() -> *const *const c_char {
    let list = RESUME.load(Ordering::Relaxed).cast_const();
    if CURRENT.load(Ordering::Relaxed) { list } else { std::ptr::null() }
}

/// From now on our own program is run with these arguments after a fault; with none it becomes the reaper.
pub fn resume_with(list: Option<Vec<CString>>) {
    RESUME.store(list.map_or(std::ptr::null_mut(), arguments), Ordering::Relaxed);
}

/// As `argv`; never freed.
fn arguments(list: Vec<CString>) -> *mut *const c_char {
    let mut pointers: Vec<*const c_char> = list.into_iter().map(|argument| argument.into_raw().cast_const()).collect();
    pointers.push(std::ptr::null());
    Box::leak(pointers.into_boxed_slice()).as_mut_ptr()
}

/// From now on a fault of this process (a bad address, a bad instruction, an abort) is said on `output`, and then our own
/// program runs anew: from the last snapshot if there is one ([`resume_with`]), else with these arguments. Exec is allowed in
/// a signal handler, and keeps every child.
pub fn renew_on_fault(reaper: Vec<CString>, output: RawFd) {
    REAPER.store(arguments(reaper), Ordering::Relaxed);
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

/// Runs in the middle of anything, also of itself: raw calls and atomics alone.
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
        let before = FAULTED.fetch_add(1, Ordering::Relaxed);
        let resume = to_resume();
        if before == 0 {
            say_fault(signal, !resume.is_null());
        }
        if before < 2 && !resume.is_null() && note_fault(u64::try_from(signal).unwrap_or(0)) {
            run_again(resume);
        }
        if before < 3 {
            run_again(REAPER.load(Ordering::Relaxed));
        }
        libc::_exit(70);
    }
}

fn say_fault(signal: libc::c_int, resumes: bool) {
    drill();
    let mut line = *b"clusteros-init: error: unable to go on: a fault of its own, signal 00; ";
    if let Some(at) = line.iter().position(|byte| *byte == b'0') {
        let signal = u8::try_from(signal).unwrap_or(0);
        line[at] = b'0' + signal / 10 % 10;
        line[at + 1] = b'0' + signal % 10;
    }
    let next: &[u8] = if resumes { b"taking up where it was\n" } else { b"keeping the children and reaping\n" };
    let mut whole = [0; 128];
    let length = line.len() + next.len();
    whole[..line.len()].copy_from_slice(&line);
    whole[line.len()..length].copy_from_slice(next);
    // SAFETY: `whole` is readable for `length`.
    unsafe { libc::write(FAULT_OUTPUT.load(Ordering::Relaxed), whole.as_ptr().cast(), length) };
}

/// Whether the handler itself breaks, for a drill.
static HANDLER_BREAKS: AtomicU32 = AtomicU32::new(0);

fn drill() {
    if cfg!(debug_assertions) && HANDLER_BREAKS.load(Ordering::Relaxed) > 0 {
        fault(Fault::Address);
    }
}

/// Ways to break, for a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A write to an address that no process has.
    Address,
    /// A read beyond the end of a mapped file.
    Bus,
    /// `abort()`.
    Abort,
    /// What the processor says of a division by zero.
    Arithmetic,
    /// An instruction that is none.
    Instruction,
    /// No end of calls.
    Stack,
    /// No memory where memory must be had.
    Memory,
    /// A bad address, and another one while that is dealt with.
    Twice,
}

/// Breaks this process.
pub fn fault(how: Fault) {
    // SAFETY: none is meant: the kernel answers with a signal.
    unsafe {
        match how {
            Fault::Address => std::ptr::without_provenance_mut::<u8>(8).write_volatile(0),
            Fault::Bus => {
                if let Ok(file) = super::memory::file(c"drill") {
                    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
                    let at = libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, fd, 0);
                    let _ = at.cast::<u8>().read_volatile();
                }
            }
            Fault::Abort => libc::abort(),
            Fault::Arithmetic => {
                libc::raise(libc::SIGFPE);
            }
            Fault::Instruction => {
                libc::raise(libc::SIGILL);
            }
            Fault::Stack => drop(std::hint::black_box(deeper(std::hint::black_box(1)))),
            Fault::Memory => std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u8; 4096]>()),
            Fault::Twice => {
                HANDLER_BREAKS.store(1, Ordering::Relaxed);
                fault(Fault::Address);
            }
        }
    }
}

#[expect(unconditional_recursion, reason = "that is the drill")]
fn deeper(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 64]);
    deeper(depth + 1) + room[(depth % 64) as usize]
}
