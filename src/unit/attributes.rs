//! What shapes a unit's process beside its command: whom it runs as, its limits, its rights, its environment.

use super::cgroup::Setting;

/// The keys that shape a process, each with its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `user`; none: PID 1's.
    pub user: Option<Who>,
    /// `group`; none: the one that `/etc/passwd` gives the user, or PID 1's without `user`.
    pub group: Option<Who>,
    /// `groups`: the supplementary groups; with `user`, `group` or `groups` said, these and no other.
    pub groups: Option<Vec<Who>>,
    /// `umask`; none: PID 1's.
    pub umask: Option<u32>,
    /// `cwd`; none: PID 1's.
    pub cwd: Option<String>,
    /// `nice`, from -20 to 19; none: PID 1's.
    pub nice: Option<i32>,
    /// `oom-score-adj`, from -1000 to 1000; none: PID 1's.
    pub oom_score_adj: Option<i32>,
    /// `rlimits`, each resource once.
    pub rlimits: Vec<Limit>,
    /// `capabilities`: bit N is capability N; none: PID 1's, as far as `user` leaves them.
    pub capabilities: Option<u64>,
    /// `no-new-privileges`.
    pub no_new_privileges: bool,
    /// `env-file`.
    pub env_file: Option<EnvFile>,
    /// `clear-env`: nothing of PID 1's environment but `pass-env`.
    pub clear_env: bool,
    /// `pass-env`.
    pub pass_env: Vec<String>,
    /// What is set in its cgroup, each knob once.
    pub cgroup: Vec<Setting>,
}

impl Attributes {
    /// Whether the process changes its user or its groups.
    pub fn changes_identity(&self) -> bool {
        self.user.is_some() || self.group.is_some() || self.groups.is_some()
    }
}

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// By number: nothing is looked up.
    Number(u32),
    /// By name, looked up in `/etc/passwd` or `/etc/group` at each start.
    Name(String),
}

/// One entry of `rlimits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The resource, an index into [`RESOURCES`]: the kernel's number.
    pub resource: u8,
    /// The soft limit; [`UNLIMITED`] for none.
    pub soft: u64,
    /// The hard limit; [`UNLIMITED`] for none.
    pub hard: u64,
}

/// `env-file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvFile {
    /// Where it is.
    pub path: String,
    /// Written with a trailing `?`: that there is none is no failure.
    pub optional: bool,
}

/// The kernel's word for no limit.
pub const UNLIMITED: u64 = u64::MAX;

/// The names of the resources that can be limited; the kernel's number is the place in the list (x86-64, ARM, RISC-V).
pub const RESOURCES: &[&str] = &[
    "cpu",
    "fsize",
    "data",
    "stack",
    "core",
    "rss",
    "nproc",
    "nofile",
    "memlock",
    "as",
    "locks",
    "sigpending",
    "msgqueue",
    "nice",
    "rtprio",
    "rttime",
];

/// The names of the capabilities without `CAP_`; the kernel's number is the place in the list.
pub const CAPABILITIES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Where a new process was on its way to its program when it failed. The order is that of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The descriptor of `ready = "fd:N"` was to be given to it.
    ReadyFd,
    /// Its cgroup was to be made or entered.
    Cgroup,
    /// What is set in its cgroup.
    CgroupSetting,
    /// `/etc/passwd` was to be read.
    Passwd,
    /// `/etc/group` was to be read.
    GroupFile,
    /// `env-file` was to be read.
    EnvFile,
    /// The notify socket was to be given to the user.
    NotifySocket,
    /// `oom-score-adj`.
    OomScoreAdj,
    /// `nice`.
    Nice,
    /// `rlimits`.
    Rlimits,
    /// `groups`.
    Groups,
    /// `group`.
    Group,
    /// `user`.
    User,
    /// `capabilities`.
    Capabilities,
    /// `cwd`.
    Cwd,
    /// `no-new-privileges`.
    NoNewPrivileges,
    /// The program itself.
    Exec,
}

impl Stage {
    const ALL: [Stage; 17] = [
        Stage::ReadyFd,
        Stage::Cgroup,
        Stage::CgroupSetting,
        Stage::Passwd,
        Stage::GroupFile,
        Stage::EnvFile,
        Stage::NotifySocket,
        Stage::OomScoreAdj,
        Stage::Nice,
        Stage::Rlimits,
        Stage::Groups,
        Stage::Group,
        Stage::User,
        Stage::Capabilities,
        Stage::Cwd,
        Stage::NoNewPrivileges,
        Stage::Exec,
    ];

    /// The stage whose number (`stage as i32`) this is; `Exec` for a number that is none's.
    pub fn from_number(number: i32) -> Stage {
        Stage::ALL.into_iter().find(|stage| *stage as i32 == number).unwrap_or(Stage::Exec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_count_as_the_kernel_does() {
        let resource = |name| RESOURCES.iter().position(|known| *known == name).unwrap() as u32;
        assert_eq!(resource("nofile"), libc::RLIMIT_NOFILE);
        assert_eq!(resource("as"), libc::RLIMIT_AS);
        assert_eq!(resource("rttime"), libc::RLIMIT_RTTIME);
        let capability = |name| CAPABILITIES.iter().position(|known| *known == name);
        assert_eq!((capability("SYS_ADMIN"), capability("CHECKPOINT_RESTORE")), (Some(21), Some(40)));
        assert_eq!(CAPABILITIES.len(), 41);
    }

    #[test]
    fn stages_keep_their_numbers() {
        for stage in Stage::ALL {
            assert_eq!(Stage::from_number(stage as i32), stage);
        }
        assert_eq!(Stage::from_number(99), Stage::Exec);
    }
}
