//! A tracer beside a real PID 1: counts its system calls and makes one of them fail.

use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Which system call fails, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1, from the first call of our own on: what libc does before it is not ours.
    pub at: usize,
    pub errno: Errno,
}

/// What was seen of one life of PID 1.
#[derive(Debug, Default)]
pub struct Trace {
    /// The numbers of its calls, in order; of those that can fail.
    pub calls: Vec<i64>,
    /// The call that was made to fail; none if it did not come to so many.
    pub failed: Option<i64>,
    /// It ran its own program again: it broke and became the reaper.
    pub renewed: bool,
}

/// Calls that do not fail: the kernel has no way to say so.
const CERTAIN: &[i64] = &[
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_geteuid,
    libc::SYS_getuid,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigreturn,
    // It only refuses numbers and addresses that are none.
    libc::SYS_rt_sigaction,
    libc::SYS_execve,
];

/// Follows `pid`, a shell about to become `program`, to its end. `ready` is called when nothing can be missed any more. The
/// children of `pid` are not followed.
pub fn follow(pid: i32, program: &Path, fault: Option<Fault>, ready: impl FnOnce()) -> Result<Trace, Errno> {
    let pid = Pid::from_raw(pid);
    ptrace::seize(pid, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_EXITKILL)?;
    ready();
    let mut trace = Trace::default();
    let (mut ours, mut inside, mut masks) = (false, false, 0);
    // What the call that is on its way will answer.
    let mut answer = None;
    loop {
        let mut signal = None;
        match waitpid(pid, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::PtraceSyscall(_)) if !inside => {
                inside = true;
                let mut registers = ptrace::getregs(pid)?;
                let call = registers.orig_rax.cast_signed();
                masks += usize::from(call == libc::SYS_rt_sigprocmask);
                // The first mask is set by the program's own first instruction, the second is the first act of `main`.
                if masks >= 2 && !CERTAIN.contains(&call) && !cannot_fail(pid, call, registers.rdi, registers.rsi) {
                    trace.calls.push(call);
                    if let Some(fault) = fault
                        && fault.at == trace.calls.len()
                    {
                        trace.failed = Some(call);
                        answer = Some(fault.errno);
                        // A close that fails has closed all the same.
                        if call != libc::SYS_close {
                            registers.orig_rax = u64::MAX;
                            ptrace::setregs(pid, registers)?;
                        }
                    }
                }
            }
            Ok(WaitStatus::PtraceSyscall(_)) => {
                inside = false;
                if let Some(errno) = answer.take() {
                    let mut registers = ptrace::getregs(pid)?;
                    registers.rax = (-i64::from(errno as i32)).cast_unsigned();
                    ptrace::setregs(pid, registers)?;
                }
            }
            Ok(WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC)) => {
                let here = std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program);
                trace.renewed |= ours;
                // Stopped within exec; what libc does is not ours this time either.
                (ours, inside, masks) = (here, true, 0);
            }
            Ok(WaitStatus::Stopped(_, stopped)) => signal = Some(stopped),
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(Errno::ECHILD) => return Ok(trace),
            Ok(_) => {}
            Err(errno) => return Err(errno),
        }
        match go(pid, ours, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// No file system of Linux lets a folder's close fail (close has no error but that of `flush`, which folders have not), and the
/// standard library holds it to that. A descriptor's flags can only be those of one that is not open.
fn cannot_fail(pid: Pid, call: i64, fd: u64, what: u64) -> bool {
    let folder = || std::fs::metadata(format!("/proc/{pid}/fd/{fd}")).is_ok_and(|open| open.is_dir());
    let flags = || [libc::F_GETFD, libc::F_SETFD].iter().any(|one| u64::try_from(*one) == Ok(what));
    (call == libc::SYS_close && folder()) || (call == libc::SYS_fcntl && flags())
}

fn go(pid: Pid, ours: bool, signal: Option<Signal>) -> Result<(), Errno> {
    if ours { ptrace::syscall(pid, signal) } else { ptrace::cont(pid, signal) }
}

/// The name of a system call that PID 1 makes.
pub fn name(call: i64) -> String {
    let known = [
        (libc::SYS_read, "read"),
        (libc::SYS_pwrite64, "pwrite64"),
        (libc::SYS_write, "write"),
        (libc::SYS_close, "close"),
        (libc::SYS_openat, "openat"),
        (libc::SYS_open, "open"),
        (libc::SYS_fcntl, "fcntl"),
        (libc::SYS_statx, "statx"),
        (libc::SYS_newfstatat, "newfstatat"),
        (libc::SYS_fstat, "fstat"),
        (libc::SYS_lseek, "lseek"),
        (libc::SYS_mmap, "mmap"),
        (libc::SYS_munmap, "munmap"),
        (libc::SYS_mremap, "mremap"),
        (libc::SYS_brk, "brk"),
        (libc::SYS_rt_sigaction, "rt_sigaction"),
        (libc::SYS_rt_sigprocmask, "rt_sigprocmask"),
        (libc::SYS_sigaltstack, "sigaltstack"),
        (libc::SYS_signalfd4, "signalfd4"),
        (libc::SYS_waitid, "waitid"),
        (libc::SYS_kill, "kill"),
        (libc::SYS_setpgid, "setpgid"),
        (libc::SYS_clone3, "clone3"),
        (libc::SYS_clone, "clone"),
        (libc::SYS_ppoll, "ppoll"),
        (libc::SYS_poll, "poll"),
        (libc::SYS_pipe2, "pipe2"),
        (libc::SYS_prctl, "prctl"),
        (libc::SYS_chdir, "chdir"),
        (libc::SYS_mkdir, "mkdir"),
        (libc::SYS_rmdir, "rmdir"),
        (libc::SYS_unlink, "unlink"),
        (libc::SYS_unlinkat, "unlinkat"),
        (libc::SYS_rename, "rename"),
        (libc::SYS_readlink, "readlink"),
        (libc::SYS_getdents64, "getdents64"),
        (libc::SYS_memfd_create, "memfd_create"),
        (libc::SYS_uname, "uname"),
        (libc::SYS_getrandom, "getrandom"),
        (libc::SYS_socket, "socket"),
        (libc::SYS_bind, "bind"),
        (libc::SYS_setsockopt, "setsockopt"),
        (libc::SYS_recvmsg, "recvmsg"),
        (libc::SYS_chmod, "chmod"),
        (libc::SYS_ioctl, "ioctl"),
        (libc::SYS_execveat, "execveat"),
        (libc::SYS_mount, "mount"),
        (libc::SYS_access, "access"),
        (libc::SYS_faccessat, "faccessat"),
    ];
    let found = known.into_iter().find(|(number, _)| *number == call);
    found.map_or_else(|| format!("call {call}"), |(_, name)| name.to_owned())
}
