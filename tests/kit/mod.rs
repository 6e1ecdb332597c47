//! What the Rust tests share: saying loudly what a host cannot do, waiting for a condition with a limit, and a real
//! `clusteros-init` as PID 1 of namespaces of its own.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Leaves the test, loudly, if this host cannot give what it needs; with `NEED=all` in the environment it fails.
#[macro_export]
macro_rules! need {
    ($name:expr, $lack:expr) => {
        if let Some(reason) = $lack {
            assert!(std::env::var("NEED").as_deref() != Ok("all"), "skipped although NEED=all: {}: {reason}", $name);
            eprintln!("skipped: {}: {reason}", $name);
            return;
        }
    };
}

/// Waits until `holds`; fails, saying `what`, after `limit`.
pub fn wait_until(what: &str, limit: Duration, holds: impl FnMut() -> bool) {
    assert!(within(limit, holds), "not within {limit:?}: {what}");
}

/// Whether `holds`, or comes to hold within `limit`.
pub fn within(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !holds() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// The usual limit: long, because the host may be busy.
pub const SOON: Duration = Duration::from_secs(15);

/// Why namespaces cannot be made here.
pub fn no_namespaces() -> Option<&'static str> {
    let tried = Command::new("unshare").args(["--pid", "--fork", "--mount", "--uts", "--ipc", "true"]).output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(_) => Some("no right to make namespaces (root is needed)"),
        Err(_) => Some("no unshare(1)"),
    }
}

/// A new directory, which other users can reach, too: a repository may lie where they cannot, and a machine whose mounts
/// cannot be read hides `/tmp`.
pub fn directory(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = Path::new("/var/tmp").join(format!("clusteros-{}-{number}-{name}", std::process::id()));
    fs::DirBuilder::new().mode(0o755).create(&path).expect("a temporary directory");
    path
}

/// The program under test.
pub const INIT: &str = env!("CARGO_BIN_EXE_clusteros-init");

/// How a node is to be started.
pub struct Plan {
    name: String,
    table: Option<String>,
    arguments: Vec<String>,
    before: String,
    program: PathBuf,
    stdout: Option<Stdio>,
    pid_namespace: bool,
    proc: bool,
}

impl Plan {
    /// A node named for its test.
    pub fn new(name: &str) -> Plan {
        Plan {
            name: name.to_owned(),
            table: None,
            arguments: Vec::new(),
            before: String::new(),
            program: PathBuf::from(INIT),
            stdout: None,
            pid_namespace: true,
            proc: true,
        }
    }

    /// With this table; `@` in it is the node's directory.
    pub fn table(mut self, text: &str) -> Plan {
        self.table = Some(text.to_owned());
        self
    }

    /// With these arguments; `@` in them is the node's directory.
    pub fn arguments(mut self, words: &[&str]) -> Plan {
        self.arguments = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// As `sh` text right before the program, such as `env --block-signal`, or after it, such as `<&-`: `{}` is the
    /// program with its arguments, `@` the node's directory.
    pub fn started_as(mut self, text: &str) -> Plan {
        self.before = text.to_owned();
        self
    }

    /// With another program as the init.
    pub fn program(mut self, path: &Path) -> Plan {
        self.program = path.to_owned();
        self
    }

    /// With its stdout and stderr there, not in the file `out`.
    pub fn output(mut self, stdout: Stdio) -> Plan {
        self.stdout = Some(stdout);
        self
    }

    /// Not as PID 1: in the namespace of the test.
    pub fn not_pid_1(mut self) -> Plan {
        self.pid_namespace = false;
        self
    }

    /// With a `/proc` that is not its own and tells it nothing.
    pub fn without_proc(mut self) -> Plan {
        self.proc = false;
        self
    }

    /// Starts it, in mount, uts and ipc namespaces of its own, with `/tmp` as a mount already (a machine would hide what is
    /// there, and this repository may be), and with `/run`, `/var/log` and `/var/lib` in its directory.
    pub fn start(self) -> Node {
        let mut node = self.launch();
        node.wait_for_program();
        node
    }

    /// The same, without waiting until it is our program.
    pub fn launch(self) -> Node {
        let dir = directory(&self.name);
        for part in ["run", "log", "lib"] {
            fs::create_dir(dir.join(part)).expect("a part of the node's directory");
        }
        let at = dir.display().to_string();
        let mut words: Vec<String> = Vec::new();
        if let Some(text) = &self.table {
            fs::write(dir.join("units.toml"), text.replace('@', &at)).expect("the table");
            words.extend(["--units".to_owned(), format!("{at}/units.toml")]);
        }
        words.extend(self.arguments.iter().map(|word| word.replace('@', &at)));
        let call = if self.before.is_empty() { "{}".to_owned() } else { self.before.clone() };
        let call = call.replace("@/", &format!("{at}/")).replace("{}", "\"$@\"");
        let script = format!(
            "mount --bind /tmp /tmp && mount --bind {at}/run /run && mount --bind {at}/log /var/log && mount --bind {at}/lib /var/lib && exec {call}"
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--uts", "--ipc", "--fork", "--kill-child"]);
        if self.pid_namespace {
            command.arg("--pid");
            if self.proc {
                command.arg("--mount-proc");
            }
        }
        command.args(["sh", "-c", &script, "sh"]).arg(&self.program).args(&words).stdin(Stdio::null());
        let out = File::create(dir.join("out")).expect("the output");
        match self.stdout {
            Some(stdout) => command.stdout(stdout).stderr(Stdio::null()),
            None => command.stderr(out.try_clone().expect("the output twice")).stdout(out),
        };
        let outer = command.spawn().expect("unshare");
        Node { outer, pid: 0, dir, ended: None, program: self.program }
    }
}

/// A running node.
pub struct Node {
    outer: Child,
    /// The pid of its PID 1 as the test sees it.
    pub pid: i32,
    /// Its directory.
    pub dir: PathBuf,
    ended: Option<ExitStatus>,
    program: PathBuf,
}

impl Node {
    /// Waits until it is our program, or has ended.
    pub fn wait_for_program(&mut self) {
        wait_until("the node is our program", SOON, || {
            self.pid = self.find();
            self.pid != 0 || self.over().is_some()
        });
    }

    /// What becomes its PID 1, once it is there.
    pub fn first(&self) -> Option<i32> {
        children(self.outer.id().cast_signed()).first().copied()
    }

    fn find(&self) -> i32 {
        self.first().filter(|pid| exe(*pid).is_some_and(|exe| exe == self.program)).unwrap_or(0)
    }

    /// Its exit status as a shell would have it, if it has ended.
    pub fn over(&mut self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        if self.ended.is_none() {
            self.ended = self.outer.try_wait().expect("unshare");
        }
        self.ended.map(|ended| ended.code().unwrap_or_else(|| 128 + ended.signal().unwrap_or(0)))
    }

    /// Waits for its end; its exit status.
    pub fn end(&mut self) -> i32 {
        let mut status = None;
        wait_until("the node ends", Duration::from_secs(30), || {
            status = self.over();
            status.is_some()
        });
        status.expect("ended")
    }

    /// Sends a signal to its PID 1.
    pub fn signal(&self, signal: i32) {
        kill(self.pid, signal);
    }

    /// The text of a file in its directory; empty if there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read(self.dir.join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until a file in its directory holds `text`.
    pub fn wait_for(&self, file: &str, text: &str) {
        let end = Instant::now() + SOON;
        while !self.read(file).contains(text) {
            assert!(
                Instant::now() < end,
                "{file} has no {text:?} but:\n{}\nand out:\n{}",
                self.read(file),
                self.read("out")
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The line of `unit` in the status document.
    pub fn unit(&self, unit: &str) -> String {
        let status = self.read("run/cluster-os/status.json");
        let wanted = format!("{{\"name\":\"{unit}\"");
        status.lines().find(|line| line.starts_with(&wanted)).unwrap_or_default().to_owned()
    }

    /// Waits until the status document says that `unit` is in `state`.
    pub fn wait_state(&self, unit: &str, state: &str) {
        // The first one: those behind it are of its history.
        let is = |line: &str| line.split("\"state\":\"").nth(1).and_then(|rest| rest.split('"').next()) == Some(state);
        let end = Instant::now() + SOON;
        while !is(&self.unit(unit)) {
            assert!(Instant::now() < end, "{unit} is not {state} but {}\n{}", self.unit(unit), self.read("out"));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The pid of a unit as the test sees it.
    pub fn unit_pid(&self, unit: &str) -> Option<i32> {
        let line = self.unit(unit);
        let inner: i32 = line.split("\"pid\":").nth(1)?.split(',').next()?.parse().ok()?;
        self.outer_pid(inner)
    }

    /// From a pid in the node's namespace to one that the test can use.
    pub fn outer_pid(&self, inner: i32) -> Option<i32> {
        children(self.pid).into_iter().find(|pid| inner_pid(*pid) == Some(inner))
    }

    /// A line of `/proc/PID/status` of its PID 1.
    pub fn fact(&self, key: &str) -> String {
        fact(self.pid, key)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // With --kill-child the node goes, too.
        drop(self.outer.kill());
        drop(self.outer.wait());
        if !std::thread::panicking() {
            drop(fs::remove_dir_all(&self.dir));
        }
    }
}

/// Sends `signal` to `pid`.
pub fn kill(pid: i32, signal: i32) {
    assert!(pid > 1, "no pid to signal");
    let sent = clusteros_init::sys::signal::send(pid, signal);
    assert!(sent.is_ok(), "signal {signal} to {pid}: {sent:?}");
}

/// The children of `pid`, zombies too.
pub fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// How many of them are zombies.
pub fn zombies(pid: i32) -> usize {
    children(pid).into_iter().filter(|pid| fact(*pid, "State").starts_with('Z')).count()
}

/// A line of `/proc/PID/status`; empty if there is none.
pub fn fact(pid: i32, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

/// Whether there is such a process, zombies not counted.
pub fn lives(pid: i32) -> bool {
    !matches!(fact(pid, "State").chars().next(), None | Some('Z' | 'X'))
}

fn inner_pid(pid: i32) -> Option<i32> {
    fact(pid, "NSpid").split_ascii_whitespace().last()?.parse().ok()
}

/// The program that `pid` runs.
pub fn exe(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}
