//! Cgroups: whether this node may divide its own among its units, and if not, why and what to do about it.
//!
//! A node may when all that it sees is a version 2 tree that begins at its own cgroup: then nothing in it is anybody
//! else's. That is a container with a cgroup namespace of its own, or a machine.

/// Where the tree is.
pub const ROOT: &str = "/sys/fs/cgroup";
/// Where PID 1 and whatever else was in the root goes. k3s takes this name, and no other, for one that it need not leave.
pub const INIT: &str = "init.scope";
/// What a unit's cgroup ends in. Not `.scope`: k3s would move itself out of it.
pub const ENDING: &str = ".service";

/// What the verdict follows from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The first process of a machine, or of a container.
    pub appliance: bool,
    /// What is mounted at [`ROOT`] is a file system of type cgroup2, as statfs says.
    pub version_2: bool,
    /// /proc/self/mountinfo; none without /proc.
    pub mountinfo: Option<String>,
    /// /proc/self/cgroup; none without /proc.
    pub own: Option<String>,
    /// The root is the kernel's own: it alone has no `cgroup.events`.
    pub true_root: bool,
    /// In [`INIT`] is somebody of another pid namespace: another PID 1 divided this tree.
    pub shared: bool,
}

/// Whether units get cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The tree is ours. `read_only`: it must be mounted anew to be written.
    Ours {
        /// The mount is read-only.
        read_only: bool,
    },
    /// It is not, or there is none.
    Without(Reason),
}

/// Why units get no cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// This process is no PID 1: the tree is somebody else's business.
    NotInit,
    /// There were none before a re-exec; why was said at the start.
    Before,
    /// There is no /proc to look it up in.
    Unknown,
    /// Nothing is mounted there.
    NotMounted,
    /// Version 1, alone or beside version 2.
    Version1,
    /// The mount shows more than our own cgroup: the host's tree was bind-mounted.
    HostTree,
    /// No cgroup namespace: our own cgroup is not the root of what we see.
    NoNamespace,
    /// Mounted read-only, and remounting it failed with this.
    ReadOnly(i32),
    /// Nothing may be made in it: this error.
    NotDelegated(i32),
}

impl Reason {
    /// The cause, and what a person can do about it.
    pub fn words(self, error: impl Fn(i32) -> String) -> (String, &'static str) {
        let text = |cause: &str| cause.to_owned();
        match self {
            Reason::NotInit => (text("this process is not PID 1"), "run it as PID 1"),
            Reason::Before => (text("there were none at the start"), "see the log of the start for what to do"),
            Reason::Unknown => (text("there is no /proc to look them up in"), "mount /proc"),
            Reason::NotMounted => (
                text("nothing is mounted at /sys/fs/cgroup"),
                "mount cgroup2 there, or let the container runtime do it",
            ),
            Reason::Version1 => (
                text("/sys/fs/cgroup is of version 1"),
                "boot the host with cgroup_no_v1=all (systemd: systemd.unified_cgroup_hierarchy=1)",
            ),
            Reason::HostTree => (
                text("/sys/fs/cgroup is the host's tree, bind-mounted; nothing in it was touched"),
                "use --cgroupns=private and no -v /sys/fs/cgroup",
            ),
            Reason::NoNamespace => (
                text("the container has no cgroup namespace of its own; nothing in the host's was touched"),
                "use --cgroupns=private and no -v /sys/fs/cgroup",
            ),
            Reason::ReadOnly(errno) => (
                format!("/sys/fs/cgroup is read-only, and mounting it anew failed: {}", error(errno)),
                "use --privileged, or --cap-add SYS_ADMIN with --cgroupns=private",
            ),
            Reason::NotDelegated(errno) => (
                format!("nothing can be made in /sys/fs/cgroup: {}", error(errno)),
                "let the host delegate the cgroup (systemd: Delegate=yes)",
            ),
        }
    }
}

/// What is mounted at [`ROOT`], on top.
struct Mount<'a> {
    /// Which part of its tree it shows, seen from our cgroup namespace.
    root: &'a str,
    read_only: bool,
}

/// The last line of mountinfo about [`ROOT`]: what was mounted last is on top.
fn mount(mountinfo: &str) -> Option<Mount<'_>> {
    let line = mountinfo.lines().rfind(|line| line.split(' ').nth(4) == Some(ROOT))?;
    let mut fields = line.split(' ').skip(3);
    let (root, _, options) = (fields.next()?, fields.next()?, fields.next()?);
    Some(Mount { root, read_only: options.split(',').any(|option| option == "ro") })
}

/// Whether the units of this node get cgroups.
pub fn verdict(facts: &Facts) -> Verdict {
    let (Some(mountinfo), Some(own)) = (&facts.mountinfo, &facts.own) else { return Verdict::Without(Reason::Unknown) };
    let without = Verdict::Without;
    let Some(mount) = mount(mountinfo) else { return without(Reason::NotMounted) };
    let own = own.lines().find_map(|line| line.strip_prefix("0::"));
    match own {
        _ if !facts.version_2 => without(Reason::Version1),
        _ if mount.root != "/" => without(Reason::HostTree),
        Some("/") if facts.appliance || !facts.true_root => Verdict::Ours { read_only: mount.read_only },
        // Divided already, by this same process before it executed itself anew.
        Some(path)
            if path.strip_prefix('/') == Some(INIT) && !facts.shared && (facts.appliance || !facts.true_root) =>
        {
            Verdict::Ours { read_only: mount.read_only }
        }
        _ => without(Reason::NoNamespace),
    }
}

/// Who is in a cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Those that this process can name.
    pub pids: Vec<i32>,
    /// Those of another pid namespace: the kernel says 0.
    pub foreign: usize,
}

/// The lines of a `cgroup.procs`.
pub fn members(text: &str) -> Members {
    let pids = text.lines().filter_map(|line| line.trim().parse::<i32>().ok());
    let (pids, foreign): (Vec<_>, Vec<_>) = pids.partition(|pid| *pid > 0);
    Members { pids, foreign: foreign.len() }
}

/// Whether a process is a thread of the kernel's own, by its `/proc/PID/stat`. Those stay in the root of a machine: most
/// cannot be moved, and none should be charged to a cgroup.
pub fn is_kernels(stat: &str) -> bool {
    /// `PF_KTHREAD` of linux/sched.h.
    const KERNEL_THREAD: u32 = 0x0020_0000;
    // The name, in parentheses, may hold anything. Behind it the flags are the seventh field.
    let flags = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(6)?.parse::<u32>().ok());
    flags.is_some_and(|flags| flags & KERNEL_THREAD != 0)
}

/// The words of a `cgroup.controllers` or `cgroup.subtree_control`.
pub fn controllers(text: &str) -> Vec<&str> {
    text.split_ascii_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::{Facts, Members, Reason, Verdict, is_kernels, members, verdict};

    /// docker run --privileged on a host of version 2: a cgroup namespace of its own.
    const PRIVATE: &str = "\
1039 1022 0:92 / / rw,relatime master:333 - overlay overlay rw,lowerdir=/a:/b
1040 1039 0:95 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
1043 1039 0:97 / /sys rw,nosuid,nodev,noexec,relatime - sysfs sysfs rw
1044 1043 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate,memory_recursiveprot
";
    /// docker run: read-only.
    const PLAIN: &str = "\
1043 1039 0:97 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro
1044 1043 0:30 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate,memory_recursiveprot
";
    /// docker run -v /sys/fs/cgroup:/sys/fs/cgroup:rw: the runtime's mount below, the host's on top.
    const BOUND: &str = "\
1044 1043 0:30 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate,memory_recursiveprot
1060 1043 0:30 /../.. /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
";
    /// docker run --cgroupns=host.
    const HOST: &str = "\
1044 1043 0:30 /system.slice/docker-0123.scope /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate
";
    /// A host of systemd with both versions.
    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup ro,nosuid,nodev,noexec - tmpfs tmpfs ro,mode=755
32 31 0:29 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
33 31 0:30 / /sys/fs/cgroup/systemd rw,nosuid - cgroup cgroup rw,xattr,name=systemd
";

    fn facts(version_2: bool, mountinfo: &str, own: &str) -> Facts {
        let (mountinfo, own) = (Some(mountinfo.to_owned()), Some(own.to_owned()));
        Facts { appliance: false, version_2, mountinfo, own, true_root: false, shared: false }
    }

    const WRITABLE: Verdict = Verdict::Ours { read_only: false };

    #[test]
    fn ours() {
        assert_eq!(verdict(&facts(true, PRIVATE, "0::/\n")), WRITABLE);
        assert_eq!(verdict(&facts(true, PLAIN, "0::/\n")), Verdict::Ours { read_only: true });
        // A container of LXC names the tree otherwise, and a kernel with version 1 mounted elsewhere has more lines.
        let lxc = "529 523 0:28 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - cgroup2 none rw,nsdelegate\n";
        assert_eq!(verdict(&facts(true, lxc, "4:memory:/x\n1:name=systemd:/\n0::/\n")), WRITABLE);
        // After a re-exec.
        assert_eq!(verdict(&facts(true, PRIVATE, "0::/init.scope\n")), WRITABLE);
    }

    #[test]
    fn a_machine() {
        let mounted = "30 24 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - cgroup2 cgroup2 rw,nsdelegate\n";
        let machine = Facts { appliance: true, true_root: true, ..facts(true, mounted, "0::/\n") };
        assert_eq!(verdict(&machine), WRITABLE);
        assert_eq!(verdict(&Facts { own: Some("0::/init.scope\n".into()), ..machine.clone() }), WRITABLE);
        // The same tree seen from a container is the host's.
        assert_eq!(verdict(&Facts { appliance: false, ..machine }), Verdict::Without(Reason::NoNamespace));
    }

    #[test]
    fn not_ours() {
        for (facts, reason) in [
            (facts(true, BOUND, "0::/\n"), Reason::HostTree),
            (facts(true, HOST, "0::/system.slice/docker-0123.scope\n"), Reason::HostTree),
            (facts(true, PRIVATE, "0::/docker/0123\n"), Reason::NoNamespace),
            (facts(true, PRIVATE, "0::/../../user.slice\n"), Reason::NoNamespace),
            (facts(true, PRIVATE, "1:name=systemd:/\n"), Reason::NoNamespace),
            (facts(false, HYBRID, "4:memory:/\n0::/\n"), Reason::Version1),
            (facts(false, "22 1 0:20 / /proc rw - proc proc rw\n", "0::/\n"), Reason::NotMounted),
            (Facts { shared: true, ..facts(true, PRIVATE, "0::/init.scope\n") }, Reason::NoNamespace),
            (Facts { mountinfo: None, ..facts(true, "", "0::/\n") }, Reason::Unknown),
            (facts(true, "1 2 3 / /sys/fs/cgroup", "0::/\n"), Reason::NotMounted),
        ] {
            assert_eq!(verdict(&facts), Verdict::Without(reason), "{facts:?}");
        }
    }

    #[test]
    fn every_reason_says_what_to_do() {
        let reasons = [
            Reason::NotInit,
            Reason::Before,
            Reason::Unknown,
            Reason::NotMounted,
            Reason::Version1,
            Reason::HostTree,
            Reason::NoNamespace,
            Reason::ReadOnly(1),
            Reason::NotDelegated(13),
        ];
        for reason in reasons {
            let (cause, remedy) = reason.words(|errno| format!("error {errno}"));
            assert!(
                !cause.is_empty() && !remedy.is_empty() && !format!("{cause}{remedy}").contains('\n'),
                "{reason:?}"
            );
        }
    }

    #[test]
    fn who_is_in_it() {
        assert_eq!(members("0\n1\n17\n0\n"), Members { pids: vec![1, 17], foreign: 2 });
        assert_eq!(members(""), Members::default());
    }

    #[test]
    fn threads_of_the_kernel() {
        assert!(is_kernels("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0"));
        assert!(is_kernels("17 (a) b) (c) I 2 0 0 0 -1 69238880 0 0 0 0"));
        assert!(!is_kernels("1 (init) S 0 1 1 0 -1 4194560 1 2 3"));
        assert!(!is_kernels("") && !is_kernels("1 (x) S"));
    }
}
