//! Making a process and turning it into a program.
//!
//! Everything is prepared before the process is made; the child only makes raw calls and allocates nothing. A plain copy
//! (never `CLONE_VFORK`): an exec from a stuck disk would stop the parent.

use std::ffi::{CString, c_char};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering;

use super::attire::{Attire, Failure, Scratch, put_on};
use super::signal::{Entry, SignalSet, set_default, set_ignored, set_mask};
use super::store::Birth;
use super::{Errno, cgroup, check, descriptor};
use crate::unit::attributes::Stage;

/// A program to start.
#[derive(Debug)]
pub struct Program {
    /// The files to try, in order; never empty.
    pub candidates: Vec<CString>,
    /// Its arguments, its name first.
    pub arguments: Vec<CString>,
    /// Its environment, `NAME=VALUE`.
    pub environment: Vec<CString>,
    /// Which of `environment`, if any, gets its own pid.
    pub own_pid: Option<OwnPid>,
    /// What becomes its 0, 1 and 2; none leaves ours.
    pub stdio: [Option<RawFd>; 3],
    /// Descriptors that stay open in it under their numbers.
    pub keep: Vec<RawFd>,
    /// A descriptor of ours, and the number from 3 up that it gets there.
    pub line: Option<(RawFd, RawFd)>,
    /// Its signal mask, and the signals that it ignores.
    pub signals: Entry,
    /// Signals that we ourselves were given as ignored.
    pub ours_ignored: SignalSet,
    /// Whether it becomes the foreground process group of the terminal on descriptor 0, if that is one.
    pub foreground: bool,
    /// What it puts on before it becomes its program.
    pub attire: Attire,
}

/// A variable with the pid of the process itself, which is known only when it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnPid {
    /// Its place in the environment.
    pub at: usize,
    /// Its name, of at most 14 letters.
    pub name: &'static str,
}

/// A process just made.
#[derive(Debug)]
pub struct Spawned {
    /// Its pid.
    pub pid: i32,
    /// Reads the end of the file when exec has succeeded, three numbers when it has failed: stage, errno, detail.
    pub exec: OwnedFd,
}

/// The exit status of a process whose program was not found, as shells have it.
const NOT_FOUND: i32 = 127;
/// The exit status of a process whose program was found and could not be run, as shells have it.
const NOT_RUN: i32 = 126;

/// Makes a process that leads a process group of its own and becomes `program`. The kernel itself writes its pid to `birth`
/// before it runs.
pub fn spawn(program: &Program, birth: &Birth) -> Result<Spawned, Errno> {
    let (exec, mut report) = descriptor::pipe()?;
    birth.exec.store(exec.as_raw_fd(), Ordering::Relaxed);
    descriptor::set_nonblocking(&exec)?;
    if let Some((_, number)) = program.line
        && report.as_raw_fd() == number
    {
        report = descriptor::above(&report, number)?;
    }
    let arguments = pointers(&program.arguments);
    let mut scratch = Scratch::new(&program.attire, &program.environment)?;
    let mut own_pid = program.own_pid.map(|own| PidText::new(own.name));
    let cgroup = program.attire.cgroup.as_ref();
    // Where it cannot be had from here, the new process tries by itself and tells why it cannot.
    let folder = cgroup.and_then(|cgroup| cgroup.open());
    let (pid, inside) = copy(birth, folder.as_ref())?;
    if pid == 0 {
        if let Some(cgroup) = cgroup.filter(|_| !inside)
            && let Err(failure) = cgroup.enter()
        {
            give_up(failure, report.as_raw_fd(), NOT_RUN);
        }
        if let (Some(OwnPid { at, .. }), Some(text)) = (program.own_pid, &mut own_pid) {
            scratch.replace(at, text.of(super::process::own_pid()));
        }
        become_program(program, &arguments, &mut scratch, report.as_raw_fd());
    }
    // From both sides: whoever comes first, a signal to the group finds it. EACCES: it has become its program already.
    // SAFETY: no memory is passed; the child is not reaped yet, so the number is its own.
    unsafe { libc::setpgid(pid, pid) };
    Ok(Spawned { pid, exec })
}

/// What the exec pipe tells: none while it tells nothing yet.
pub fn exec_outcome(exec: &OwnedFd) -> Option<Result<(), Failure>> {
    let mut bytes = [0; REPORT];
    match descriptor::read_now(exec, &mut bytes) {
        Ok(REPORT) => Some(Err(failure(bytes))),
        Ok(_) => Some(Ok(())),
        // It said nothing of the program: the next turn reads again.
        Err(_) => None,
    }
}

/// The bytes of a report: three numbers.
const REPORT: usize = 12;

fn report(failure: Failure) -> [u8; REPORT] {
    let Failure { stage, errno, detail } = failure;
    let mut bytes = [0; REPORT];
    let numbers = [(stage as i32).to_ne_bytes(), errno.to_ne_bytes(), detail.to_ne_bytes()];
    bytes.iter_mut().zip(numbers.iter().flatten()).for_each(|(to, from)| *to = *from);
    bytes
}

fn failure(bytes: [u8; REPORT]) -> Failure {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
    Failure {
        stage: Stage::from_number(i32::from_ne_bytes([a, b, c, d])),
        errno: i32::from_ne_bytes([e, f, g, h]),
        detail: u32::from_ne_bytes([i, j, k, l]),
    }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// A variable with a pid that is known only in the child, which must not allocate.
struct PidText {
    text: [u8; 26],
    /// Where the digits begin.
    from: usize,
}

impl PidText {
    /// A name that is longer than 14 letters is cut: what follows it must have room.
    fn new(name: &str) -> PidText {
        let mut text = [0; 26];
        let letters = name.bytes().take(14).chain([b'=']);
        let from = text.iter_mut().zip(letters).map(|(to, letter)| *to = letter).count();
        PidText { text, from }
    }

    /// The variable with `pid` in it, as long as this lives. A pid has at most 10 digits.
    fn of(&mut self, pid: i32) -> *const c_char {
        let mut rest = pid.unsigned_abs();
        let digits = rest.checked_ilog10().map_or(1, |power| power as usize + 1);
        let room = self.text.iter_mut().skip(self.from).take(digits);
        for digit in room.rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.text.as_ptr().cast()
    }
}

/// 0 in the copy, its pid in ours; and whether the copy is in the cgroup whose directory is `folder`.
fn copy(birth: &Birth, folder: Option<&OwnedFd>) -> Result<(i32, bool), Errno> {
    match folder.map(|folder| copied(birth, Some(folder))) {
        None => {}
        Some(Ok(pid)) => return Ok((pid, true)),
        // There is no room, there or anywhere.
        Some(Err(errno @ (Errno::EAGAIN | Errno::ENOMEM))) => return Err(errno),
        // An old kernel, a container's rules, or a cgroup that takes nobody.
        Some(Err(_)) => {}
    }
    copied(birth, None).map(|pid| (pid, false))
}

fn copied(birth: &Birth, folder: Option<&OwnedFd>) -> Result<i32, Errno> {
    // SAFETY: all-zero is a valid clone_args; without CLONE_VM the copy has its own memory, and this process has one
    // thread, so the copy is consistent. The copy calls nothing of libc that knows about threads. The kernel writes a pid to
    // `birth`, which is there for longer than the call.
    let pid = unsafe {
        let mut wanted: libc::clone_args = std::mem::zeroed();
        wanted.exit_signal = libc::SIGCHLD as u64;
        wanted.flags |= libc::CLONE_PARENT_SETTID as u64;
        wanted.parent_tid = birth.pid.as_ptr() as u64;
        if let Some(folder) = folder {
            cgroup::inside(&mut wanted, folder);
        }
        match check(libc::syscall(libc::SYS_clone3, &raw mut wanted, size_of::<libc::clone_args>())) {
            // Old kernels lack clone3, and container seccomp rules refuse it because they cannot look into its arguments.
            Err(Errno::ENOSYS | Errno::EPERM) if folder.is_none() => {
                let flags = libc::SIGCHLD | libc::CLONE_PARENT_SETTID;
                check(libc::syscall(libc::SYS_clone, flags, 0_usize, birth.pid.as_ptr(), 0_usize, 0_usize))?
            }
            other => other?,
        }
    };
    i32::try_from(pid).map_err(|_| Errno::EOVERFLOW)
}

/// The child's whole life before exec. All signals are still blocked, so SIGTTOU cannot stop it.
fn become_program(program: &Program, arguments: &[*const c_char], scratch: &mut Scratch, out: RawFd) -> ! {
    // SAFETY: raw calls on memory that was prepared before the copy was made and is not freed; nothing allocates.
    unsafe {
        libc::setpgid(0, 0);
        if program.foreground {
            let group = libc::getpid();
            libc::ioctl(0, libc::TIOCSPGRP, &raw const group);
        }
        for (number, source) in (0..).zip(program.stdio) {
            if let Some(source) = source {
                libc::dup2(source, number);
            }
        }
        for fd in &program.keep {
            libc::fcntl(*fd, libc::F_SETFD, 0);
        }
        if let Some((source, number)) = program.line {
            let there =
                if source == number { libc::fcntl(number, libc::F_SETFD, 0) } else { libc::dup2(source, number) };
            if there == -1 {
                give_up(Failure { stage: Stage::ReadyFd, errno: Errno::last() as i32, detail: 0 }, out, NOT_RUN);
            }
        }
        if let Err(failure) = put_on(&program.attire, scratch) {
            give_up(failure, out, NOT_RUN);
        }
        for signal in program.ours_ignored.iter() {
            set_default(signal);
        }
        for signal in program.signals.ignored.iter() {
            set_ignored(signal);
        }
        set_mask(program.signals.mask);
        let mut why = Errno::ENOENT;
        for candidate in &program.candidates {
            libc::execve(candidate.as_ptr(), arguments.as_ptr(), scratch.environment());
            match Errno::last() {
                Errno::ENOENT | Errno::ENOTDIR => {}
                Errno::EACCES => why = Errno::EACCES,
                other => {
                    why = other;
                    break;
                }
            }
        }
        let status = if why == Errno::ENOENT { NOT_FOUND } else { NOT_RUN };
        give_up(Failure { stage: Stage::Exec, errno: why as i32, detail: 0 }, out, status)
    }
}

/// Tells why, and ends the child.
fn give_up(failure: Failure, out: RawFd, status: i32) -> ! {
    let bytes = report(failure);
    // SAFETY: `bytes` is readable for its length; _exit runs nothing.
    unsafe {
        libc::write(out, bytes.as_ptr().cast(), bytes.len());
        libc::_exit(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_back() {
        let told = Failure { stage: Stage::EnvFile, errno: 0, detail: 70_000 };
        assert_eq!(failure(report(told)), told);
    }

    #[test]
    fn a_pid_is_written_without_allocating() {
        for pid in [1, 9, 10, 4_194_304, i32::MAX] {
            for name in ["LISTEN_PID", "WATCHDOG_PID", "FOURTEEN_LETTE"] {
                let mut text = PidText::new(name);
                text.of(pid);
                let end = text.text.iter().position(|byte| *byte == 0).unwrap();
                assert_eq!(std::str::from_utf8(&text.text[..end]).unwrap(), format!("{name}={pid}"));
            }
        }
    }
}
