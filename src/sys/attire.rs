//! What a new process puts on between its making and its program: its user, its limits, its rights, its environment.
//!
//! All of it runs in the new process: files are read there, because a disk may be stuck, and PID 1 waits for none. Nothing
//! allocates and nothing panics; memory is laid out before the process is made, or comes from the kernel. The first failure ends the way: nothing that
//! is less than what was asked for ever becomes the program.

use std::ffi::{CStr, CString, c_char};

use super::capability::{bound, control, keep};
use super::cgroup::Membership;
use super::file::{read, room, write};
use super::{Errno, check};
use crate::unit::account;
use crate::unit::assignment;
use crate::unit::attributes::Stage;

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// By number.
    Number(u32),
    /// By name, to be looked up.
    Name(CString),
}

/// The file of more environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentFile {
    /// Where it is.
    pub path: CString,
    /// That there is none is no failure.
    pub optional: bool,
}

/// What is put on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attire {
    /// Whom it runs as; none leaves ours.
    pub user: Option<Who>,
    /// Its group; none: the user's own if that has a name, else ours.
    pub group: Option<Who>,
    /// Its supplementary groups, these and no other; none leaves ours.
    pub groups: Option<Vec<Who>>,
    /// Its umask.
    pub umask: Option<u32>,
    /// Where it starts.
    pub cwd: Option<CString>,
    /// Its nice value.
    pub nice: Option<i32>,
    /// The text for `oom_score_adj`.
    pub oom_score_adj: Option<CString>,
    /// Resource, soft, hard.
    pub limits: Vec<(u32, u64, u64)>,
    /// Bit N is capability N.
    pub capabilities: Option<u64>,
    /// No set-user-ID program raises it.
    pub no_new_privileges: bool,
    /// More environment.
    pub environment_file: Option<EnvironmentFile>,
    /// Names of variables that neither the file nor the user changes.
    pub settled: Vec<CString>,
    /// A socket that is to be the user's.
    pub socket: Option<CString>,
    /// Its cgroup; none leaves ours.
    pub cgroup: Option<Membership>,
}

/// How far it came, and what stopped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Where.
    pub stage: Stage,
    /// What the kernel said; 0 where what was looked for is not there or is no good.
    pub errno: i32,
    /// A line, or which of a list from 0.
    pub detail: u32,
}

impl Failure {
    pub(super) fn at(stage: Stage) -> impl Fn(Errno) -> Failure {
        move |errno| Failure { stage, errno: errno as i32, detail: 0 }
    }

    fn absent(stage: Stage, detail: u32) -> Failure {
        Failure { stage, errno: 0, detail }
    }
}

/// The most bytes of `/etc/passwd` or `/etc/group`: some ten thousand accounts.
const ACCOUNTS: usize = 1 << 20;
/// The most bytes of an environment file: half of what exec takes at the very least.
const ENVIRONMENT: usize = 64 << 10;
/// The most variables in it.
const VARIABLES: usize = 1024;
/// The most supplementary groups.
const GROUPS: usize = 64;
/// The longest `HOME=...`, which is a path.
const HOME: usize = 4096;

/// Memory of the new process: small things laid out before it is made, large ones by itself, so that PID 1 stays small.
pub struct Scratch {
    accounts: &'static mut [u8],
    home: &'static mut [u8],
    /// `USER=` and `LOGNAME=`.
    names: [Option<CString>; 2],
    groups: [u32; GROUPS],
    /// The environment and room for more, all null behind its end.
    environment: Vec<*const c_char>,
    used: usize,
}

impl Scratch {
    /// For `attire`, with `environment` to begin with.
    ///
    /// # Errors
    /// `E2BIG` for more groups than there is room for, `EINVAL` for a name with a zero byte in it.
    pub fn new(attire: &Attire, environment: &[CString]) -> Result<Scratch, Errno> {
        let named = |who: &Who| matches!(who, Who::Name(_));
        let groups = attire.groups.as_deref().unwrap_or_default();
        if groups.len() > GROUPS {
            return Err(Errno::E2BIG);
        }
        let user = attire.user.as_ref().filter(|who| named(who));
        let call = |name: &[u8], who: Option<&Who>| match who {
            Some(Who::Name(user)) => {
                CString::new([name, user.as_bytes()].concat()).map(Some).map_err(|_| Errno::EINVAL)
            }
            _ => Ok(None),
        };
        let more = 3 + if attire.environment_file.is_some() { VARIABLES } else { 0 };
        let pointers = environment.iter().map(|text| text.as_ptr());
        Ok(Scratch {
            accounts: &mut [],
            home: &mut [],
            names: [call(b"USER=", user)?, call(b"LOGNAME=", user)?],
            groups: [0; GROUPS],
            environment: pointers.chain(std::iter::repeat_n(std::ptr::null(), more + 1)).collect(),
            used: environment.len(),
        })
    }

    /// The environment as exec wants it.
    pub fn environment(&self) -> *const *const c_char {
        self.environment.as_ptr()
    }

    /// Puts `assignment`, a C string that outlives us, in the place of the variable number `at`.
    pub fn replace(&mut self, at: usize, assignment: *const c_char) {
        if let Some(slot) = self.environment.get_mut(at).filter(|_| at < self.used) {
            *slot = assignment;
        }
    }

    /// Sets a variable: `assignment` is a C string that outlives us, `name` what stands before its `=`. `E2BIG` if there
    /// is no room.
    fn set(&mut self, name: &[u8], assignment: *const c_char) -> Result<(), Errno> {
        let same = |known: &*const c_char| {
            // SAFETY: what is in use are C strings: of the program, of `names`, of `home`, or lines of the file, each ended.
            let known = unsafe { CStr::from_ptr(*known) }.to_bytes();
            known.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&b'='))
        };
        let at = self.environment.iter().take(self.used).position(same).unwrap_or(self.used);
        // The last one stays null.
        if at + 1 >= self.environment.len() {
            return Err(Errno::E2BIG);
        }
        if let Some(slot) = self.environment.get_mut(at) {
            *slot = assignment;
        }
        self.used = self.used.max(at + 1);
        Ok(())
    }
}

/// Who it is to be, in numbers.
#[derive(Default)]
struct Numbers {
    user: Option<u32>,
    group: Option<u32>,
}

/// Puts `attire` on, in the new process, all signals blocked.
///
/// # Errors
/// The first thing that failed. Then the process must not become its program.
pub(super) fn put_on(attire: &Attire, scratch: &mut Scratch) -> Result<(), Failure> {
    if let Some(cgroup) = &attire.cgroup {
        cgroup.set()?;
    }
    let numbers = look_up(attire, scratch)?;
    if let Some(file) = &attire.environment_file {
        read_environment(file, &attire.settled, scratch)?;
    }
    // As ourselves: what takes our rights.
    if let (Some(socket), Some(user)) = (&attire.socket, numbers.user) {
        // SAFETY: the path is a C string; -1 leaves the group.
        let given = unsafe {
            libc::syscall(libc::SYS_fchownat, libc::AT_FDCWD, socket.as_ptr(), user, -1, libc::AT_SYMLINK_NOFOLLOW)
        };
        check(given).map_err(Failure::at(Stage::NotifySocket))?;
    }
    if let Some(score) = &attire.oom_score_adj {
        write(c"/proc/self/oom_score_adj", score.as_bytes()).map_err(Failure::at(Stage::OomScoreAdj))?;
    }
    if let Some(nice) = attire.nice {
        // SAFETY: setpriority touches no memory; 0 is this process.
        let set = unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, nice) };
        check(set).map_err(Failure::at(Stage::Nice))?;
    }
    for (detail, (resource, soft, hard)) in (0..).zip(&attire.limits) {
        let limit = libc::rlimit64 { rlim_cur: *soft, rlim_max: *hard };
        // SAFETY: `limit` is a rlimit64; nothing is written back.
        let set = unsafe {
            libc::syscall(libc::SYS_prlimit64, 0, *resource, &raw const limit, std::ptr::null_mut::<libc::rlimit64>())
        };
        check(set).map_err(|errno| Failure { stage: Stage::Rlimits, errno: errno as i32, detail })?;
    }
    if let Some(wanted) = attire.capabilities {
        bound(wanted).map_err(Failure::at(Stage::Capabilities))?;
    }
    change_identity(attire, &numbers, &scratch.groups)?;
    if let Some(wanted) = attire.capabilities {
        // SAFETY: geteuid always succeeds.
        let root = unsafe { libc::geteuid() } == 0;
        keep(wanted, root).map_err(Failure::at(Stage::Capabilities))?;
    }
    // As the user: what it must be allowed to do by itself.
    if let Some(mask) = attire.umask {
        // SAFETY: umask always succeeds.
        unsafe { libc::syscall(libc::SYS_umask, mask) };
    }
    if let Some(directory) = &attire.cwd {
        // SAFETY: the path is a C string.
        let changed = unsafe { libc::syscall(libc::SYS_chdir, directory.as_ptr()) };
        check(changed).map_err(Failure::at(Stage::Cwd))?;
    }
    if attire.no_new_privileges {
        control(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map_err(Failure::at(Stage::NoNewPrivileges))?;
    }
    Ok(())
}

/// The numbers of the names, and the variables that go with a user's name.
fn look_up(attire: &Attire, scratch: &mut Scratch) -> Result<Numbers, Failure> {
    let mut numbers = Numbers::default();
    match &attire.user {
        None => {}
        Some(Who::Number(number)) => numbers.user = Some(*number),
        Some(Who::Name(name)) => {
            scratch.accounts = room(ACCOUNTS).map_err(Failure::at(Stage::Passwd))?;
            scratch.home = room(HOME).map_err(Failure::at(Stage::Passwd))?;
            let length = read(c"/etc/passwd", scratch.accounts).map_err(Failure::at(Stage::Passwd))?;
            let text = scratch.accounts.get(..length).unwrap_or_default();
            let found = account::user(text, name.as_bytes()).ok_or(Failure::absent(Stage::User, 0))?;
            (numbers.user, numbers.group) = (Some(found.user), Some(found.group));
            // One byte stays zero. A home that is too long for a path is none.
            let room = scratch.home.len().saturating_sub(1);
            let parts = b"HOME=".iter().chain(found.home);
            if b"HOME=".len() + found.home.len() <= room {
                scratch.home.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
                let home: *const c_char = scratch.home.as_ptr().cast();
                let user = scratch.names.first().and_then(Option::as_ref).map(|text| text.as_ptr());
                let login = scratch.names.last().and_then(Option::as_ref).map(|text| text.as_ptr());
                for (name, text) in [(&b"HOME"[..], Some(home)), (b"USER", user), (b"LOGNAME", login)] {
                    if let Some(text) = text
                        && !attire.settled.iter().any(|known| known.as_bytes() == name)
                    {
                        scratch.set(name, text).map_err(Failure::at(Stage::User))?;
                    }
                }
            }
        }
    }
    let groups = attire.groups.as_deref().unwrap_or_default();
    let named = |who: &Who| matches!(who, Who::Name(_));
    if attire.group.iter().chain(groups).any(named) {
        if scratch.accounts.is_empty() {
            scratch.accounts = room(ACCOUNTS).map_err(Failure::at(Stage::GroupFile))?;
        }
        let length = read(c"/etc/group", scratch.accounts).map_err(Failure::at(Stage::GroupFile))?;
        let text = scratch.accounts.get(..length).unwrap_or_default();
        if let Some(Who::Name(name)) = &attire.group {
            numbers.group = Some(account::group(text, name.as_bytes()).ok_or(Failure::absent(Stage::Group, 0))?);
        }
        for (detail, (who, slot)) in (0..).zip(groups.iter().zip(&mut scratch.groups)) {
            if let Who::Name(name) = who {
                *slot = account::group(text, name.as_bytes()).ok_or(Failure::absent(Stage::Groups, detail))?;
            }
        }
    }
    if let Some(Who::Number(number)) = &attire.group {
        numbers.group = Some(*number);
    }
    for (who, slot) in groups.iter().zip(&mut scratch.groups) {
        if let Who::Number(number) = who {
            *slot = *number;
        }
    }
    Ok(numbers)
}

/// Adds what the file says to the environment.
fn read_environment(file: &EnvironmentFile, settled: &[CString], scratch: &mut Scratch) -> Result<(), Failure> {
    // The text stays where it is until exec; what is set points into it.
    let bytes = room(ENVIRONMENT).map_err(Failure::at(Stage::EnvFile))?;
    let length = match read(&file.path, bytes) {
        Err(Errno::ENOENT) if file.optional => return Ok(()),
        other => other.map_err(Failure::at(Stage::EnvFile))?,
    };
    let mut rest = bytes.get_mut(..length + 1).unwrap_or_default();
    let mut line = 0;
    loop {
        line += 1;
        let Some(end) = rest.iter().position(|byte| *byte == b'\n').or(rest.len().checked_sub(1)) else { break Ok(()) };
        let Some((this, after)) = rest.split_at_mut_checked(end) else { break Ok(()) };
        let settled_line = match assignment::settle(this) {
            Ok(length) => length,
            Err(assignment::Bad) => break Err(Failure::absent(Stage::EnvFile, line)),
        };
        // The byte behind the line, a line feed or the spare one, ends it.
        let Some((ending, after)) = after.split_first_mut() else { break Ok(()) };
        *ending = 0;
        if let Some(length) = settled_line {
            if let Some(byte) = this.get_mut(length) {
                *byte = 0;
            }
            let name = this.split(|byte| *byte == b'=').next().unwrap_or_default();
            if !settled.iter().any(|known| known.as_bytes() == name)
                && let Err(errno) = scratch.set(name, this.as_ptr().cast())
            {
                break Err(Failure { stage: Stage::EnvFile, errno: errno as i32, detail: line });
            }
        }
        rest = after;
    }
}

/// Groups first, the user last: each needs the right that the user's change takes away.
fn change_identity(attire: &Attire, numbers: &Numbers, groups: &[u32; GROUPS]) -> Result<(), Failure> {
    if let Some(wanted) = &attire.groups {
        // SAFETY: with no room given getgroups only counts; `groups` holds as many as `wanted`, see Scratch::new.
        let set = unsafe {
            // Who has none and wants none needs no right.
            if wanted.is_empty() && libc::syscall(libc::SYS_getgroups, 0, std::ptr::null_mut::<u32>()) == 0 {
                0
            } else {
                libc::syscall(libc::SYS_setgroups, wanted.len(), groups.as_ptr())
            }
        };
        check(set).map_err(Failure::at(Stage::Groups))?;
    }
    if let Some(group) = numbers.group {
        // SAFETY: touches no memory. Raw, because libc's tells all threads, of which a copy has none.
        let set = unsafe { libc::syscall(libc::SYS_setresgid, group, group, group) };
        check(set).map_err(Failure::at(Stage::Group))?;
    }
    if let Some(user) = numbers.user {
        if attire.capabilities.is_some_and(|wanted| wanted != 0) {
            control(libc::PR_SET_KEEPCAPS, 1, 0).map_err(Failure::at(Stage::Capabilities))?;
        }
        // SAFETY: as above.
        let set = unsafe { libc::syscall(libc::SYS_setresuid, user, user, user) };
        check(set).map_err(Failure::at(Stage::User))?;
        // SAFETY: geteuid always succeeds.
        if unsafe { libc::geteuid() } != user {
            return Err(Failure::at(Stage::User)(Errno::EPERM));
        }
    }
    Ok(())
}
