//! `initctl` as a person runs it: what it prints, where, and its exit code.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use clusteros_init::control::{Node, Reload, Renewals, Status};
use clusteros_init::unit::{Bonds, History, Phase, Tally, Time, View};

use crate::golden::{assert_golden, golden};

fn initctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_initctl"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("unable to run initctl: {e}"))
}

/// Exit code, standard output and standard error.
fn answer(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

pub fn said(arguments: &[&str]) -> (i32, String, String) {
    answer(&initctl(arguments))
}

/// A folder of its own, gone when the test ends.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("initctl-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(path.join("run/cluster-os")).expect("a folder for the test");
        Folder(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn root(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }

    /// Replaces the status document as PID 1 does.
    pub fn put(&self, text: &str) {
        put(&self.0, text);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn put(root: &Path, text: &str) {
    let folder = root.join("run/cluster-os");
    fs::write(folder.join("status.new"), text).expect("written");
    fs::rename(folder.join("status.new"), folder.join("status.json")).expect("replaced");
}

static NO_HISTORY: History = History::new();

fn document(state: &'static str, age: Duration) -> Status {
    let asked = Tally::default();
    let view = View {
        name: "gossip",
        description: "",
        state,
        why: None,
        pid: None,
        since: Time::ZERO,
        until: None,
        restarts: 0,
        last_exit: None,
        ready_after: None,
        status: None,
        asked: &asked,
        pending: None,
        history: &NO_HISTORY,
        bonds: Bonds::default(),
    };
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().saturating_sub(age);
    let wall = u64::try_from(wall.as_millis()).unwrap_or(0);
    let node = Node {
        program: "test".to_owned(),
        pid: 1,
        generation: 1,
        started: Time::ZERO,
        requests: Tally::default(),
        table: Reload::default(),
        renewals: Renewals::default(),
    };
    Status::new(&[view], Phase::Running, Time::from_nanos(5_000_000_000), wall, &node)
}

#[test]
fn help_and_version() {
    let (code, out, err) = said(&["help"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_golden("help.txt", &out);
    let mut pages = String::new();
    for command in
        ["status", "start", "shutdown", "logs", "graph", "boot-chart", "check", "list", "completions", "man", "help"]
    {
        let (code, out, err) = said(&[command, "--help"]);
        assert_eq!((code, err.as_str()), (0, ""), "{command}");
        assert_eq!(said(&["help", command]), (0, out.clone(), String::new()));
        pages.push_str(&format!("{out}\n"));
    }
    assert_golden("help-commands.txt", &pages);
    assert_eq!(said(&["help", "units"]), (0, golden("help-units.txt"), String::new()));
    let (code, out, _) = said(&["--version"]);
    assert_eq!((code, out), (0, format!("initctl {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_wrong_command_line() {
    assert_eq!(
        said(&["stauts"]),
        (
            64,
            String::new(),
            "initctl: error: unable to read the command line: there is no command \"stauts\" (did you mean \"status\"?); \"initctl help\" lists what there is\n"
                .to_owned()
        )
    );
}

#[test]
fn check_says_every_mistake() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/units-mistakes.toml");
    let (code, out, err) = said(&["check", path.to_str().expect("UTF-8")]);
    let full = format!("{}:", path.display());
    let expected: String = golden("units-mistakes.txt")
        .lines()
        .map(|line| format!("{}\n", line.replacen("units-mistakes.toml:", &full, 1)))
        .collect();
    let count = expected.lines().count();
    let last = format!("initctl: error: unable to use this table: {count} mistakes; PID 1 would refuse it whole\n");
    assert_eq!((code, out.as_str()), (78, ""));
    assert_eq!(err, expected + &last);
}

#[test]
fn check_says_the_order() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("rootfs");
    let root = root.to_str().expect("UTF-8");
    let good = "7 units, order: identity, wg0, gossip, node-agent, k3s-pods, k3s, k3s-node\n".to_owned();
    assert_eq!(said(&["check", "--root", root]), (0, good.clone(), String::new()));
    assert_eq!(said(&["check", &format!("{root}/etc/cluster-os/units.toml")]), (0, good, String::new()));
}

#[test]
fn check_reads_the_folder_in_name_order() {
    let folder = Folder::new("order");
    let place = folder.path("etc/cluster-os/units.d");
    fs::create_dir_all(&place).expect("made");
    fs::write(folder.path("etc/cluster-os/units.toml"), "[unit.a]\nexec = [\"a\"]\n").expect("written");
    fs::write(place.join("20.toml"), "[unit.b]\nwants = [\"a\"]\n").expect("written");
    fs::write(place.join("10.toml"), "[unit.b]\nexec = [\"b\"]\n").expect("written");
    fs::write(place.join("30.toml.old"), "not read").expect("written");
    assert_eq!(said(&["check", "--root", folder.root()]), (0, "2 units, order: a, b\n".to_owned(), String::new()));
}

#[test]
fn check_without_a_table() {
    let folder = Folder::new("none");
    let (code, out, err) = said(&["check", "--root", folder.root()]);
    assert_eq!((code, out.as_str()), (78, ""));
    let path = folder.path("etc/cluster-os/units.toml");
    let path = path.display();
    assert_eq!(err, format!("initctl: error: unable to read {path}: no such file or directory; nothing was checked\n"));
    let binary = folder.path("binary.toml");
    fs::write(&binary, b"\xff").expect("written");
    let (code, _, err) = said(&["check", binary.to_str().expect("UTF-8")]);
    let path = binary.display();
    assert_eq!(code, 78);
    assert_eq!(err, format!("initctl: error: unable to read {path}: it is not UTF-8 text; nothing was checked\n"));
}

#[test]
fn the_exit_code_says_whether_all_is_well() {
    let folder = Folder::new("well");
    for (state, code) in [
        ("up", 0),
        ("done", 0),
        ("skipped", 0),
        ("off", 0),
        ("waiting", 1),
        ("backoff", 1),
        ("starting", 1),
        ("failed", 1),
    ] {
        let status = document(state, Duration::ZERO);
        folder.put(&status.to_json());
        assert_eq!(
            said(&["status", "--root", folder.root()]),
            (code, status.fitted(80, false), String::new()),
            "{state}"
        );
        let json = said(&["status", "--json", "--root", folder.root()]);
        assert_eq!(json, (code, status.to_json(), String::new()), "{state}");
    }
}

#[test]
fn the_exit_code_says_whether_the_named_units_are_up() {
    let folder = Folder::new("named");
    for (state, code) in [("up", 0), ("done", 0), ("skipped", 0), ("off", 3), ("waiting", 3), ("failed", 3)] {
        folder.put(&document(state, Duration::ZERO).to_json());
        let (found, _, err) = said(&["status", "gossip", "--root", folder.root()]);
        assert_eq!((found, err.as_str()), (code, ""), "{state}");
    }
    let error =
        "initctl: error: unable to find a unit called \"gosip\": the table has none; did you mean \"gossip\"?\n";
    let unknown = said(&["status", "gossip", "gosip", "--root", folder.root()]);
    assert_eq!(unknown, (64, String::new(), error.to_owned()));
}

#[test]
fn what_is_known_of_a_unit() {
    let folder = Folder::new("known");
    let status: Status = serde_json::from_str(&golden("status-units.json")).expect("a document");
    folder.put(&status.to_json());
    let logs = folder.path("var/log/cluster-os");
    fs::create_dir_all(&logs).expect("made");
    let lines: String =
        (0..12).map(|line| format!("2026-01-31T23:59:{:02}.000Z line {line}\u{1b}[2J\n", line)).collect();
    fs::write(logs.join("gossip.log"), lines).expect("written");
    let (code, out, err) = said(&["status", "gossip", "wg0", "--root", folder.root()]);
    assert_eq!((code, err.as_str()), (3, ""));
    assert_golden("status-units.txt", &out);
    let (code, out, _) = said(&["status", "wg0", "--json", "--root", folder.root()]);
    let one: Status = serde_json::from_str(&out).expect("a document");
    let names: Vec<&str> = one.units.iter().map(|unit| unit.name.as_str()).collect();
    assert_eq!((code, names), (0, vec!["wg0"]));
}

/// What initctl writes to a terminal so wide.
fn on_a_terminal(columns: u16, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let size = nix::pty::Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pair = nix::pty::openpty(&size, None).expect("a terminal");
    let mut child = Command::new(env!("CARGO_BIN_EXE_initctl"))
        .args(arguments)
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(pair.slave)
        .spawn()
        .expect("initctl");
    let mut master = fs::File::from(pair.master);
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    // A terminal whose other end is closed says EIO.
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        text.extend_from_slice(&buffer[..count]);
    }
    drop(child.wait());
    String::from_utf8_lossy(&text).replace("\r\n", "\n")
}

#[test]
fn a_terminal_gets_its_width_and_colours() {
    let folder = Folder::new("terminal");
    let status: Status = serde_json::from_str(&golden("status-units.json")).expect("a document");
    folder.put(&status.to_json());
    let arguments = ["status", "--root", folder.root()];
    assert_eq!(on_a_terminal(60, &arguments, &[]), status.fitted(60, true));
    assert_eq!(on_a_terminal(200, &arguments, &[("NO_COLOR", "")]), status.fitted(200, true));
    assert_eq!(on_a_terminal(200, &arguments, &[("NO_COLOR", "1")]), status.fitted(200, false));
    assert_eq!(on_a_terminal(0, &arguments, &[("TERM", "dumb")]), status.fitted(80, false));
    let wide = ["status", "--wide", "--root", folder.root()];
    assert_eq!(said(&wide).1, status.fitted(usize::MAX, false));
}

#[test]
fn no_document_and_bad_ones() {
    let folder = Folder::new("bad");
    let path = folder.path("run/cluster-os/status.json");
    let path = path.display().to_string();
    let error = |text: &str| format!("initctl: error: unable to read {path}: {text}\n");
    let (code, _, err) = said(&["status", "--root", folder.root()]);
    assert_eq!((code, err), (111, error("no such file or directory; is clusteros-init running there?")));
    folder.put("{");
    let (code, _, err) = said(&["status", "--root", folder.root()]);
    assert!(
        code == 1 && err.starts_with(&format!("initctl: error: unable to read {path}: it is no status document (")),
        "{err}"
    );
    folder.put(&Status { version: 2, ..document("up", Duration::ZERO) }.to_json());
    let (code, _, err) = said(&["status", "--root", folder.root()]);
    assert_eq!((code, err), (1, error("its version is 2, not 1; use its own initctl")));
    let nowhere = folder.path("nowhere");
    let (code, _, err) = said(&["status", "--root", nowhere.to_str().expect("UTF-8")]);
    let path = nowhere.join("run/cluster-os");
    assert_eq!(code, 111);
    assert_eq!(
        err,
        format!(
            "initctl: error: unable to read {}: no such file or directory; is clusteros-init running here? For a container seen from outside there is --pid\n",
            path.display()
        )
    );
}

#[test]
fn nobody_is_asked_who_is_not_ours() {
    let folder = Folder::new("not-ours");
    folder.put(&document("up", Duration::ZERO).to_json());
    let mut child = Command::new("sleep").arg("600").spawn().expect("sleep");
    let pid = child.id().to_string();
    let to = ["--root", folder.root(), "--pid", &pid];
    let start = said(&[&["start", "gossip"][..], &to].concat());
    let shutdown = said(&[&["shutdown"][..], &to].concat());
    let alive = child.try_wait().expect("waited").is_none();
    drop(child.kill());
    drop(child.wait());
    assert!(alive, "the process was ended by the question");
    let error = |text: &str| (111, String::new(), format!("initctl: error: unable to ask process {pid} for {text}; "));
    let (code, out, err) = error("its status: it does not wait for USR1, so it is not clusteros-init");
    assert_eq!(start, (code, out, format!("{err}nothing was asked\n")));
    let (code, out, err) = error("a shutdown: it is not clusteros-init, or does not answer");
    assert_eq!(shutdown, (code, out, format!("{err}nothing was changed\n")));
}

/// What is left in /run of a node that was tried on a machine says that PID 1 is asked.
#[test]
fn the_init_of_a_machine_is_not_asked() {
    let folder = Folder::new("machine");
    folder.put(&document("up", Duration::ZERO).to_json());
    let script = "trap 'echo harmed' USR1; mount -t tmpfs run /run && mkdir /run/cluster-os &&
        cp \"$1/run/cluster-os/status.json\" /run/cluster-os && { \"$2\" start gossip; echo \"code $?\"; }";
    let output = Command::new("unshare")
        .args(["--pid", "--fork", "--mount", "--mount-proc", "bash", "-c", script, "bash", folder.root()])
        .arg(env!("CARGO_BIN_EXE_initctl"))
        .output()
        .expect("unshare");
    let (code, out, err) = answer(&output);
    if err.starts_with("unshare:") {
        let text = format!("skipped: the_init_of_a_machine_is_not_asked: {err}");
        assert!(std::env::var_os("NEED").is_none_or(|need| need != "all"), "{text}");
        eprintln!("{text}");
        return;
    }
    let text = "initctl: error: unable to ask process 1 for its status: it is not clusteros-init; nothing was asked\n";
    assert_eq!((code, out.as_str(), err.as_str()), (0, "code 111\n", text));
}

#[test]
fn pid_1_is_known_whatever_its_file_is_called() {
    let folder = Folder::new("called");
    let init = folder.path("init");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_clusteros-init"), &init).expect("a link");
    let output = Command::new(init).args(["--", "sh", "-c", "cat /proc/$PPID/comm"]).output().expect("ran");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "clusteros-init\n");
}

#[test]
fn a_process_that_would_be_harmed_is_not_asked() {
    let folder = Folder::new("harm");
    folder.put(&document("up", Duration::from_secs(90)).to_json());
    let mut child = Command::new("sleep").arg("600").spawn().expect("sleep");
    let pid = child.id().to_string();
    let (code, out, err) = said(&["status", "--root", folder.root(), "--pid", &pid]);
    let alive = child.try_wait().expect("waited").is_none();
    drop(child.kill());
    drop(child.wait());
    assert!(alive, "the process was ended by the question");
    assert!(code == 0 && out.contains("1 of 1 units up"), "{out}");
    assert_eq!(
        err,
        format!(
            "initctl: warning: unable to ask process {pid} for its status: it does not wait for USR1, so it is not clusteros-init; showing what was written 1m30s ago\n"
        )
    );
}

/// This test's own process plays PID 1: it answers USR1 by replacing the document. One test at a time has that part.
static PART: Mutex<()> = Mutex::new(());

/// Answers every question of initctl with the next of `documents`, then with the last one again; ends with `signals`.
fn play(root: PathBuf, documents: Vec<String>, mut signals: UnixStream) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut documents = documents.into_iter();
        let mut last = documents.next().unwrap_or_default();
        let mut byte = [0];
        while signals.read(&mut byte).is_ok_and(|count| count == 1) {
            put(&root, &last);
            last = documents.next().unwrap_or(last);
        }
    })
}

#[test]
fn pid_1_is_asked_for_what_is_true_now() {
    let _part = PART.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = Folder::new("asked");
    let (near, far) = UnixStream::pair().expect("a pair");
    let hook = signal_hook::low_level::pipe::register(libc::SIGUSR1, far).expect("registered");
    folder.put(&document("starting", Duration::from_secs(90)).to_json());
    let now = document("up", Duration::ZERO);
    let player = play(folder.0.clone(), vec![now.to_json()], near);
    let own = std::process::id().to_string();
    let answer = said(&["status", "--root", folder.root(), "--pid", &own]);
    signal_hook::low_level::unregister(hook);
    player.join().expect("played");
    assert_eq!(answer, (0, now.fitted(80, false), String::new()));
}

#[test]
fn watching_shows_every_change() {
    let _part = PART.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = Folder::new("watched");
    folder.put(&document("starting", Duration::ZERO).to_json());
    let mut child = Command::new(env!("CARGO_BIN_EXE_initctl"))
        .args(["status", "--watch", "--root", folder.root()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("initctl");
    let mut out = child.stdout.take().expect("piped");
    let mut shown = String::new();
    let mut until = |part: &str| {
        let mut buffer = [0; 4096];
        while !shown.contains(part) {
            let count = out.read(&mut buffer).expect("read");
            assert!(count > 0, "initctl ended; it showed: {shown}");
            shown.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    };
    until("0 of 1 units up; gossip is starting\n\n");
    folder.put(&document("up", Duration::ZERO).to_json());
    until("1 of 1 units up\n\n");
    folder.put(&document("failed", Duration::ZERO).to_json());
    until("gossip is failed\n\n");
    drop(child.kill());
    drop(child.wait());
}
