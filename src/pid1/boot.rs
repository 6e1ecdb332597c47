//! Performs the duties of a boot. It comes before the loop, may wait for the disk, and never ends the boot.

use std::ffi::CString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;
use std::{collections::BTreeSet, env};

use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{AccessFlags, access, sethostname};

use crate::boot::facts::{ASKED_PRESENT, ASKED_WRITABLE, mount_points};
use crate::boot::module::{Index, Wanted, wanted};
use crate::boot::{Act, Duty, Facts, Flag, Need, plan};
use crate::sys::{Errno, interface, module};

/// The modules to load, one a line.
const MODULES: &str = "/etc/cluster-os/modules";

/// A duty, and how it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The duty.
    pub duty: Duty,
    /// `unable to VERB OBJECT: CAUSE`, if it failed.
    pub failure: Option<String>,
}

/// Does all that is to be done before the first unit, on a machine of our own (`appliance`) or in a container, and logs
/// a line for each failure that matters. To be called by a PID 1 alone: another process has no business with mounts.
pub fn run(appliance: bool) -> Vec<Outcome> {
    let outcomes: Vec<_> = perform(plan(&facts(appliance)));
    for Outcome { duty, failure } in &outcomes {
        let Some(failure) = failure else { continue };
        match duty.need {
            Need::Must => log::error!("{failure}; {}", duty.why),
            Need::Should => log::warn!("{failure}; {}", duty.why),
            Need::May => log::debug!("{failure}; {}", duty.why),
        }
    }
    outcomes
}

fn facts(appliance: bool) -> Facts {
    let there = |paths: &[&str], is: fn(&str) -> bool| {
        paths.iter().filter(|path| is(path)).map(|path| (*path).to_owned()).collect::<BTreeSet<_>>()
    };
    Facts {
        appliance,
        mounted: fs::read_to_string("/proc/thread-self/mountinfo").map(|text| mount_points(&text)).unwrap_or_default(),
        writable: there(ASKED_WRITABLE, |path| access(path, AccessFlags::W_OK).is_ok()),
        present: there(ASKED_PRESENT, |path| fs::symlink_metadata(path).is_ok()),
        modules: fs::read_to_string(MODULES).map(|text| wanted(&text)).unwrap_or_default(),
        node_name: env::var("NODE_NAME").ok().filter(|name| !name.is_empty()),
    }
}

fn perform(duties: Vec<Duty>) -> Vec<Outcome> {
    let mut modules = Modules::default();
    let act = |duty: Duty| Outcome { failure: attempt(&duty.act, &mut modules).err(), duty };
    duties.into_iter().map(act).collect()
}

fn attempt(act: &Act, modules: &mut Modules) -> Result<(), String> {
    match act {
        Act::Mount { source, target, fstype, flags, data } => {
            let flags = flags.iter().fold(MsFlags::empty(), |all, flag| all | bit(*flag));
            match mount_one(source, target, fstype, flags, data) {
                // The same is mounted there already.
                Ok(()) | Err(Errno::EBUSY) => Ok(()),
                Err(errno) => Err(format!("unable to mount {fstype} on {target}: {}", errno.desc())),
            }
        }
        Act::Dir { path, mode } => {
            kept(DirBuilder::new().mode(*mode).create(path)).map_err(|error| format!("unable to make {path}: {error}"))
        }
        Act::Device { path, major, minor, mode } => {
            let device = makedev((*major).into(), (*minor).into());
            match mknod(*path, SFlag::S_IFCHR, Mode::from_bits_truncate(*mode), device) {
                Ok(()) => fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(*mode)),
                Err(errno) => kept(Err(errno.into())),
            }
            .map_err(|error| format!("unable to make the device {path}: {error}"))
        }
        Act::Symlink { path, target } => {
            kept(symlink(target, path)).map_err(|error| format!("unable to link {path} to {target}: {error}"))
        }
        Act::Module(wanted) => modules.load(wanted),
        Act::Hostname(name) => {
            sethostname(name).map_err(|errno| format!("unable to set the host name {name}: {}", errno.desc()))
        }
        Act::Loopback => interface::raise_loopback()
            .map_err(|errno| format!("unable to bring up the interface lo: {}", errno.desc())),
    }
}

fn mount_one(source: &str, target: &str, fstype: &str, flags: MsFlags, data: &str) -> Result<(), Errno> {
    // The mount says what is wrong if there is still no mount point after this.
    drop(DirBuilder::new().mode(0o755).create(target));
    mount(Some(source), target, Some(fstype), flags, Some(data).filter(|data| !data.is_empty()))
}

const fn bit(flag: Flag) -> MsFlags {
    match flag {
        Flag::NoSuid => MsFlags::MS_NOSUID,
        Flag::NoDev => MsFlags::MS_NODEV,
        Flag::NoExec => MsFlags::MS_NOEXEC,
    }
}

/// What is there already stays.
fn kept(made: io::Result<()>) -> io::Result<()> {
    match made {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Loads modules, reading what depmod wrote when it is first needed.
#[derive(Debug, Default)]
struct Modules {
    folder: String,
    index: Option<Result<Index, String>>,
    loaded: BTreeSet<String>,
}

impl Modules {
    fn load(&mut self, wanted: &Wanted) -> Result<(), String> {
        let name = &wanted.name;
        if name.starts_with('/') {
            return insert(Path::new(name), &wanted.parameters);
        }
        if self.index.is_none() {
            self.read();
        }
        let index = match &self.index {
            Some(Ok(index)) => index,
            Some(Err(why)) => return Err(format!("unable to load the module {name}: {why}")),
            None => return Ok(()),
        };
        let Some(order) = index.order(name) else {
            return Err(format!("unable to load the module {name}: {}/modules.dep does not name it", self.folder));
        };
        for file in order {
            if self.loaded.insert(file.to_owned()) {
                let own = index.order(name).is_some_and(|order| order.last() == Some(&file));
                let parameters = if own { wanted.parameters.as_str() } else { "" };
                insert(&Path::new(&self.folder).join(file), parameters)?;
            }
        }
        Ok(())
    }

    fn read(&mut self) {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease");
        self.folder = format!("/lib/modules/{}", release.as_deref().unwrap_or("RELEASE").trim());
        let path = format!("{}/modules.dep", self.folder);
        // Not every kernel comes with a list of what is built in.
        let builtin = fs::read_to_string(format!("{}/modules.builtin", self.folder)).unwrap_or_default();
        let index = release
            .map_err(|error| format!("/proc/sys/kernel/osrelease: {error}"))
            .and_then(|_| fs::read_to_string(&path).map_err(|error| format!("{path}: {error}")))
            .map(|dep| Index::parse(&dep, &builtin));
        self.index = Some(index);
    }
}

fn insert(path: &Path, parameters: &str) -> Result<(), String> {
    let unable = |cause: &str| format!("unable to load the module {}: {cause}", path.display());
    let compressed = path.extension().is_some_and(|ending| ending != "ko");
    let file = File::open(path).map_err(|error| unable(&error.to_string()))?;
    let parameters = CString::new(parameters).map_err(|_| unable("its parameters hold a NUL"))?;
    match module::load(file.as_fd(), &parameters, compressed) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(Errno::ENOENT) => Err(unable("it leans on a module that is not loaded")),
        Err(Errno::ENOEXEC) => Err(unable("it was not made for this kernel")),
        Err(Errno::EOPNOTSUPP) if compressed => Err(unable("this kernel cannot unpack modules")),
        Err(errno) => Err(unable(errno.desc())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    use nix::unistd::{Uid, chdir, chroot, gethostname};

    use super::{Modules, Outcome, facts, perform, run};
    use crate::boot::facts::mount_points;
    use crate::boot::module::Wanted;
    use crate::boot::{Act, Duty, Need};

    /// Runs `test` in an empty root of its own, in mount, host name and network namespaces of its own: those of a thread
    /// that ends with it.
    fn in_an_empty_root<T: Send + 'static>(name: &'static str, test: fn() -> T) -> Option<T> {
        if !Uid::effective().is_root() {
            let text = format!("skipped: {name}: namespaces and mounts need root");
            assert!(std::env::var_os("NEED").is_none_or(|need| need != "all"), "{text}");
            drop(std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes()));
            return None;
        }
        let root = std::env::temp_dir().join(format!("boot-{name}-{}", std::process::id()));
        fs::create_dir_all(&root).expect("a root");
        let inside = root.clone();
        let entered = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWNET).expect("namespaces");
            let none: Option<&str> = None;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private");
            mount(Some("tmpfs"), &inside, Some("tmpfs"), MsFlags::empty(), none).expect("a root");
            chroot(&inside).expect("inside");
            chdir("/").expect("inside");
            test()
        });
        let answer = entered.join().expect("the test inside");
        fs::remove_dir(&root).expect("nothing is left mounted");
        Some(answer)
    }

    fn failures(outcomes: &[Outcome]) -> Vec<&str> {
        outcomes.iter().filter_map(|outcome| outcome.failure.as_deref()).collect()
    }

    #[test]
    fn a_machine_boots_from_nothing_and_a_second_time_changes_nothing() {
        in_an_empty_root("machine", || {
            fs::create_dir("/var").expect("made");
            let mut duties = crate::boot::plan(&facts(true));
            let hostname = Duty { need: Need::Should, act: Act::Hostname("node7".into()), why: "" };
            duties.push(hostname);
            let outcomes = perform(duties);
            let cgroups_elsewhere = |failure: &&&str| !failure.starts_with("unable to mount cgroup2");
            let failed = failures(&outcomes);
            assert_eq!(failed.iter().filter(cgroups_elsewhere).count(), 0, "{failed:?}");
            let mounted = mount_points(&fs::read_to_string("/proc/thread-self/mountinfo").expect("mounted"));
            for point in ["/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/run", "/tmp"] {
                assert!(mounted.contains(point), "{point} in {mounted:?}");
            }
            assert_eq!(gethostname().expect("known"), "node7");
            assert!(fs::read_to_string("/proc/thread-self/net/if_inet6").expect("read").contains(" lo"));
            assert!(Path::new("/dev/net/tun").exists() && Path::new("/run/cluster-os").is_dir());
            assert_eq!(fs::read_link("/dev/fd").expect("a link"), Path::new("/proc/self/fd"));

            let before = fs::read_to_string("/proc/thread-self/mountinfo").expect("read");
            let again = run(true);
            let failed = failures(&again);
            assert_eq!(failed.iter().filter(cgroups_elsewhere).count(), 0, "{failed:?}");
            let after = fs::read_to_string("/proc/thread-self/mountinfo").expect("read");
            assert_eq!(before, after);
        });
    }

    #[test]
    fn a_container_that_lacks_everything_gets_what_can_be_had() {
        in_an_empty_root("container", || {
            fs::create_dir("/dev").expect("made");
            let outcomes = run(false);
            assert!(outcomes.iter().all(|outcome| outcome.duty.need == Need::May));
            let mounted = mount_points(&fs::read_to_string("/proc/thread-self/mountinfo").expect("mounted"));
            let expected = ["/proc", "/sys", "/dev/pts", "/dev/shm", "/run", "/tmp", "/"];
            assert_eq!(mounted, expected.into_iter().map(str::to_owned).collect::<BTreeSet<_>>());
        });
    }

    #[test]
    fn modules_that_cannot_be_had() {
        let said = in_an_empty_root("modules", || {
            let wanted = |name: &str| Wanted { name: name.into(), parameters: String::new() };
            let load = |name: &str| Modules::default().load(&wanted(name)).expect_err("there is none");
            let no_proc = load("wireguard");
            fs::create_dir_all("/proc/sys/kernel").expect("made");
            fs::write("/proc/sys/kernel/osrelease", "6.1.0\n").expect("written");
            let no_index = load("wireguard");
            fs::create_dir_all("/lib/modules/6.1.0").expect("made");
            fs::write("/lib/modules/6.1.0/modules.dep", "a.ko:\n").expect("written");
            fs::write("/lib/modules/6.1.0/modules.builtin", "kernel/fs/ext4.ko\n").expect("written");
            assert_eq!(Modules::default().load(&wanted("ext4")), Ok(()));
            [no_proc, no_index, load("wireguard"), load("a"), load("/lib/x.ko")]
        });
        let Some(said) = said else { return };
        assert_eq!(
            said,
            [
                "unable to load the module wireguard: /proc/sys/kernel/osrelease: No such file or directory (os error 2)",
                "unable to load the module wireguard: /lib/modules/6.1.0/modules.dep: No such file or directory (os error 2)",
                "unable to load the module wireguard: /lib/modules/6.1.0/modules.dep does not name it",
                "unable to load the module /lib/modules/6.1.0/a.ko: No such file or directory (os error 2)",
                "unable to load the module /lib/x.ko: No such file or directory (os error 2)",
            ]
        );
    }
}
