//! A cgroup for a node, made by the test and removed after it; and the node in it, in a cgroup namespace of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use clusteros_init::control::request::{SIGNAL, number};
use clusteros_init::sys::signal::queue;
use clusteros_init::unit::{Request, UnitId, Wish};

use crate::kit::{self, Node, Plan, SOON, wait_until, within};

/// Where version 2 is mounted whole, and which of its cgroups this test may divide.
#[derive(Clone)]
pub struct Ground {
    pub mount: PathBuf,
    base: PathBuf,
}

/// Why there is no ground for such tests here.
pub fn no_ground() -> Option<String> {
    kit::no_namespaces().map(str::to_owned).or_else(|| ground().err())
}

/// Why no limit can be shown here.
pub fn no_controllers() -> Option<String> {
    no_ground().or_else(|| {
        let base = ground().ok()?.base;
        let here = read(&base, "cgroup.subtree_control");
        let lacks = ["memory", "pids", "cpu"].into_iter().find(|name| !here.split_whitespace().any(|one| one == *name));
        lacks.map(|name| format!("the cgroup tree of version 2 has no controller {name} here"))
    })
}

pub fn ground() -> Result<Ground, String> {
    static GROUND: OnceLock<Result<Ground, String>> = OnceLock::new();
    GROUND.get_or_init(find).clone()
}

fn find() -> Result<Ground, String> {
    let text = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let mountinfo = text("/proc/self/mountinfo")?;
    let whole = |line: &&str| line.contains(" - cgroup2 ") && line.split(' ').nth(3) == Some("/");
    let mount = mountinfo.lines().find(whole).and_then(|line| line.split(' ').nth(4));
    let mount = PathBuf::from(mount.ok_or("no cgroup tree of version 2 is mounted here")?);
    let own = text("/proc/self/cgroup")?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let base = mount.join(own);
    let controllers = read(&base, "cgroup.controllers");
    if !controllers.trim().is_empty() && !own.is_empty() {
        // Nobody may be in a cgroup that divides what it has.
        let leaf = base.join("test");
        fs::create_dir_all(&leaf).map_err(|error| format!("{}: {error}", leaf.display()))?;
        for pid in read(&base, "cgroup.procs").lines() {
            drop(fs::write(leaf.join("cgroup.procs"), pid));
        }
        for name in controllers.split_whitespace() {
            drop(fs::write(base.join("cgroup.subtree_control"), format!("+{name}")));
        }
    }
    Ok(Ground { mount, base })
}

/// A file of a cgroup; empty if there is none.
pub fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap_or_default()
}

/// Who is in an empty cgroup.
pub const NOBODY: [i32; 0] = [];

/// In sh: the tree as a container sees it, whose root is the cgroup that it is in.
pub const MOUNTED: &str = "mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 1\n";

pub struct Tree {
    pub path: PathBuf,
}

impl Tree {
    pub fn new(name: &str) -> Tree {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let base = ground().expect("asked before").base;
        let path = base.join(format!("clusteros-{}-{number}-{name}", std::process::id()));
        fs::create_dir(&path).expect("a cgroup");
        Tree { path }
    }

    /// A node in it, with a cgroup namespace and a mount of its own; `before`, in sh, comes before the node's init.
    pub fn node(&self, name: &str, table: &str, before: &str) -> Node {
        self.start(name, table, "--cgroup", &format!("{MOUNTED}{before}"))
    }

    /// A node in it, where `namespaces` are unshared and nothing is mounted at /sys/fs/cgroup when `before` begins.
    pub fn start(&self, name: &str, table: &str, namespaces: &str, before: &str) -> Node {
        Plan::new(name).table(table).started_as(&self.entry(namespaces, before, "{}")).start()
    }

    /// As `sh` text that enters it so, and becomes `call`.
    pub fn entry(&self, namespaces: &str, before: &str, call: &str) -> String {
        let folder = kit::directory("enter");
        let [outer, inner] = ["outer", "inner"].map(|script| folder.join(script));
        let cgroup = self.path.display();
        let enter = format!(
            "echo 0 >{cgroup}/cgroup.procs || exit 1\nexec /usr/bin/unshare --mount {namespaces} sh {} \"$@\"\n",
            inner.display()
        );
        fs::write(&outer, enter).expect("a script");
        fs::write(&inner, format!("umount -l /sys/fs/cgroup\n{before}\nexec \"$@\"\n")).expect("a script");
        format!("sh {} {call}", outer.display())
    }

    /// Takes back what a node gave to its units, so that another can enter.
    pub fn join_up(&self) {
        for name in self.read("cgroup.subtree_control").split_whitespace() {
            fs::write(self.path.join("cgroup.subtree_control"), format!("-{name}")).expect("nobody uses it");
        }
    }

    /// Who is in this cgroup below it.
    pub fn procs(&self, below: &str) -> Vec<i32> {
        read(&self.path.join(below), "cgroup.procs").lines().filter_map(|pid| pid.parse().ok()).collect()
    }

    pub fn has(&self, below: &str) -> bool {
        self.path.join(below).exists()
    }

    pub fn read(&self, file: &str) -> String {
        read(&self.path, file)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        drop(fs::write(self.path.join("cgroup.kill"), "1"));
        let gone = within(SOON, || {
            remove(&self.path);
            !self.path.exists()
        });
        assert!(gone || std::thread::panicking(), "{} cannot be removed", self.path.display());
    }
}

fn remove(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    drop(fs::remove_dir(folder));
}

/// Asks something of the unit with this number.
pub fn ask(node: &Node, unit: u16, wish: Wish) {
    let sent = queue(node.pid, SIGNAL, number(Request { unit: UnitId(unit), wish }, 1));
    assert!(sent.is_ok(), "{wish:?} to unit {unit}: {sent:?}");
}

/// Waits until `unit` is up as another process than `before`: its pid.
pub fn wait_anew(node: &Node, unit: &str, before: i32) -> i32 {
    let mut now = None;
    wait_until(&format!("{unit} is up anew"), SOON, || {
        // The first state is the present one; behind it comes the past.
        let is_up = node.unit(unit).split("\"state\":").nth(1).is_some_and(|rest| rest.starts_with("\"up\""));
        now = node.unit_pid(unit).filter(|pid| *pid != before && is_up);
        now.is_some()
    });
    now.expect("up")
}
