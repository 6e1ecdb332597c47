//! A cgroup that a new process is made in, or enters before it becomes its program.

use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::attire::Failure;
use super::file::write;
use super::{Errno, check};
use crate::unit::attributes::Stage;

/// The cgroup of a new process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Its directory.
    pub folder: CString,
    /// Its `cgroup.procs`.
    pub procs: CString,
    /// Whether it may have been killed before. Whoever is then made in it from another cgroup is killed by the kernel as if
    /// by a race (seen on Linux 6.18: `kill_seq` of the parent's cgroup is compared), so the new process enters by itself.
    pub killed: bool,
    /// Files and what is written into them, with the number by which a failure is told; none: it does not matter.
    pub settings: Vec<(CString, CString, Option<u32>)>,
}

impl Membership {
    /// Makes the directory if it is not there, and opens it, for a process to be made in it; none if it must enter by itself.
    pub(super) fn open(&self) -> Option<OwnedFd> {
        if self.killed { None } else { self.opened().ok() }
    }

    fn opened(&self) -> Result<OwnedFd, Errno> {
        self.make()?;
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: the path is a C string; the new descriptor is owned by what is returned.
        unsafe {
            let opened = check(libc::open(self.folder.as_ptr(), flags).into())?;
            Ok(OwnedFd::from_raw_fd(RawFd::try_from(opened).map_err(|_| Errno::EBADF)?))
        }
    }

    fn make(&self) -> Result<(), Errno> {
        // SAFETY: the path is a C string.
        let made = unsafe { libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, self.folder.as_ptr(), 0o755) };
        match check(made) {
            Ok(_) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Takes the calling process into it, in the new process: what the kernel could not do as it made the process.
    pub(super) fn enter(&self) -> Result<(), Failure> {
        self.make().and_then(|()| write(&self.procs, b"0")).map_err(Failure::at(Stage::Cgroup))
    }

    /// Turns its knobs, in the new process: to lower a limit of memory may wait for a disk.
    pub(super) fn set(&self) -> Result<(), Failure> {
        for (file, text, detail) in &self.settings {
            if let (Err(errno), Some(detail)) = (write(file, text.as_bytes()), detail) {
                return Err(Failure { stage: Stage::CgroupSetting, errno: errno as i32, detail: *detail });
            }
        }
        Ok(())
    }
}

/// Fills in what makes a new process a member from its first instruction on (since Linux 5.7).
pub(super) fn inside(wanted: &mut libc::clone_args, folder: &OwnedFd) {
    /// `CLONE_INTO_CGROUP` of linux/sched.h; the C library's constant is 32 bits wide and so 0.
    const INTO_CGROUP: u64 = 1 << 33;
    wanted.flags |= INTO_CGROUP;
    wanted.cgroup = u64::try_from(folder.as_raw_fd()).unwrap_or(u64::MAX);
}
