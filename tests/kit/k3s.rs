//! A stand-in for k3s: this very test program, behind a script called `k3s`. It does what a supervisor can see of the real
//! one, and nothing else:
//!
//! - `STAND_IN_REPORT`: writes what it was given there, a fact a line.
//! - `STAND_IN_STAYS`: says READY=1 after `STAND_IN_READY` milliseconds, and stays until SIGTERM; then it takes
//!   `STAND_IN_END` milliseconds to end, and exits with 1 at a second one. Without it, it exits with 0 at once.
//! - `STAND_IN_SHIM`: starts a process in a session of its own that outlives it, and writes its pid there.
//! - `STAND_IN_POD`: moves one into /sys/fs/cgroup/kubepods/pod, and writes its pid there.
//! - `STAND_IN_FAIL`: exits with 0 as soon as that file is there, as k3s does when one of its parts fails.
//!
//! If PID 1 is in another cgroup than `/` or `/init.scope` it moves itself into `/k3s`, as the real one does.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Command, Stdio, exit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::park_timeout;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(10);
const ROOT: &str = "/sys/fs/cgroup";

/// The text of a program `k3s` that becomes the stand-in under the same pid.
pub fn script() -> String {
    let own = std::env::current_exe().expect("our own path");
    format!("#!/bin/sh\nSTAND_IN=\"$*\" exec {} --exact k3s::stand_in --nocapture\n", own.display())
}

/// No test: does nothing without `STAND_IN`.
#[test]
fn stand_in() {
    let Ok(words) = std::env::var("STAND_IN") else { return };
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let again = signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&asked));
        again.and_then(|_| signal_hook::flag::register(signal, Arc::clone(&asked))).expect("a handler");
    }
    move_if_misled();
    if let Ok(path) = std::env::var("STAND_IN_REPORT") {
        report(Path::new(&path), &words);
    }
    if std::env::var_os("STAND_IN_STAYS").is_none() {
        exit(0);
    }
    for (variable, pod) in [("STAND_IN_SHIM", false), ("STAND_IN_POD", true)] {
        if let Ok(path) = std::env::var(variable) {
            leave_behind(Path::new(&path), pod);
        }
    }
    let (began, mut ready) = (Instant::now(), false);
    while !asked.load(Ordering::SeqCst) {
        if !ready && began.elapsed() >= milliseconds("STAND_IN_READY") {
            notify();
            ready = true;
        }
        if std::env::var_os("STAND_IN_FAIL").is_some_and(|path| Path::new(&path).exists()) {
            exit(0);
        }
        park_timeout(PAUSE);
    }
    let end = Instant::now() + milliseconds("STAND_IN_END");
    while Instant::now() < end {
        park_timeout(PAUSE);
    }
    exit(0);
}

fn milliseconds(variable: &str) -> Duration {
    Duration::from_millis(std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(0))
}

fn move_if_misled() {
    let text = fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
    let first = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    if !matches!(first, "/" | "/init.scope") && fs::create_dir_all(format!("{ROOT}/k3s")).is_ok() {
        // Where it may not, it stays.
        drop(fs::write(format!("{ROOT}/k3s/cgroup.procs"), "0"));
    }
}

fn report(path: &Path, words: &str) {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    names.sort();
    let cgroup = text("/proc/self/cgroup");
    let lines = [
        ("words", words.to_owned()),
        ("pid", std::process::id().to_string()),
        ("variables", names.join(" ")),
        ("home", std::env::var("HOME").unwrap_or_default()),
        ("path", std::env::var("PATH").unwrap_or_default()),
        ("kmsg", fs::File::open("/dev/kmsg").map_or_else(|error| error.to_string(), |_| "opens".to_owned())),
        ("cgroup", cgroup.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned()),
    ];
    let lines: String = lines.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    // Whole or not at all: a test waits for it.
    let draft = path.with_extension("new");
    fs::write(&draft, lines).and_then(|()| fs::rename(&draft, path)).expect("a report");
}

fn notify() {
    let Ok(name) = std::env::var("NOTIFY_SOCKET") else { return };
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    };
    let socket = UnixDatagram::unbound().expect("a socket");
    socket.send_to_addr(b"READY=1\n", &address.expect("an address")).expect("said");
}

/// A process that outlives this one, in a session of its own as a shim is.
fn leave_behind(path: &Path, pod: bool) {
    let words = "setsid sleep 1000000 >/dev/null 2>&1 & echo $!";
    let output = Command::new("sh").args(["-c", words]).stdin(Stdio::null()).output().expect("sh");
    let pid = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if pod {
        let folder = format!("{ROOT}/kubepods/pod");
        fs::create_dir_all(&folder).expect("a cgroup");
        fs::write(format!("{folder}/cgroup.procs"), &pid).expect("moved");
    }
    fs::write(path, pid).expect("a file");
}
