//! A stand-in for k3s: this very test program, behind a script called `k3s`. It does what a supervisor can see of the real
//! one, and nothing else:
//!
//! - `STAND_IN_REPORT`: writes what it was given there, a fact a line.
//! - `STAND_IN_STAYS`: says READY=1 after `STAND_IN_READY` milliseconds, and stays until SIGTERM; then it takes
//!   `STAND_IN_END` milliseconds to end, and exits with 1 at a second one. Without it, it exits with 0 at once.
//! - `STAND_IN_SHIM`: starts a process in a session of its own that outlives it, and writes its pid there.
//! - `STAND_IN_POD`: moves one into /sys/fs/cgroup/kubepods/pod, and writes its pid there.
//! - `STAND_IN_LEFT`: the root below which it leaves what pods leave, beside both: a shim of its own program, one that heeds no
//!   TERM, mounts, links, a network namespace and an address. Whoever is a server has its credentials there, too.
//! - `STAND_IN_FAIL`: exits with 0 as soon as that file is there, as k3s does when one of its parts fails.
//! - `STAND_IN_PREFLIGHT`: passes through kubelet's and flannel's gates, and adds to the report what became of each.
//! - `STAND_IN_KUBECTL`: `k3s kubectl` writes its words there, and knows whether the node is cordoned; a drain takes
//!   `STAND_IN_DRAIN` seconds.
//!
//! If PID 1 is in another cgroup than `/` or `/init.scope`, or if `STAND_IN_MISLED` says so, it moves itself into `/k3s`, as the
//! real one does.

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
    format!(
        r#"#!/bin/sh
if [ "$1" = kubectl ]; then
    shift
    echo "$*" >>"$STAND_IN_KUBECTL"
    case $1 in
    get) [ ! -e "$STAND_IN_KUBECTL.cordoned" ] || printf true ;;
    drain) : >"$STAND_IN_KUBECTL.cordoned" && [ -z "$STAND_IN_DRAIN" ] || exec sleep "$STAND_IN_DRAIN" ;;
    uncordon) rm "$STAND_IN_KUBECTL.cordoned" ;;
    esac
    exit
fi
STAND_IN="$*" exec {} --exact k3s::stand_in --nocapture
"#,
        own.display()
    )
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
    if let Ok(root) = std::env::var("STAND_IN_LEFT") {
        leave_all(&root, words.starts_with("server"));
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
    let misled = std::env::var_os("STAND_IN_MISLED").is_some() || !matches!(first, "/" | "/init.scope");
    if misled && fs::create_dir_all(format!("{ROOT}/k3s")).is_ok() {
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
    let mut lines: String = lines.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    if std::env::var_os("STAND_IN_PREFLIGHT").is_some() {
        for (name, gate) in GATES {
            let told = gate().map_or_else(|cause| cause, |()| "ok".to_owned());
            lines.push_str(&format!("preflight {name}: {told}\n"));
        }
    }
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

/// What pods leave, unless it is there from a start before.
fn leave_all(root: &str, server: bool) {
    if server {
        fs::create_dir_all(format!("{root}/etc/rancher/k3s")).expect("a folder");
        fs::write(format!("{root}/etc/rancher/k3s/k3s.yaml"), "").expect("credentials");
    }
    let words = r#"
        [ ! -d /sys/fs/cgroup/kubepods/burstable ] || exit 0
        mkdir -p run/k3s/a/rootfs run/netns var/lib/kubelet/pods/p/v var/lib/cni/networks/cbr0 var/lib/rancher/k3s/data/abc/bin || exit 1
        [ -p run/k3s/fifo ] || mkfifo run/k3s/fifo || exit 1
        for at in run/k3s/a/rootfs var/lib/kubelet/pods/p/v; do mount -t tmpfs pods $at || exit 1; done
        touch run/netns/cni-1 var/lib/cni/networks/cbr0/10.44.0.2
        ip link add cni0 type veth peer name eth-pod && ip link add flannel.1 type veth peer name eth-other || exit 1
        shim=$PWD/var/lib/rancher/k3s/data/abc/bin/containerd-shim-runc-v2
        cp -L "$(command -v sh)" "$shim" || exit 1
        setsid "$shim" -c 'read -r line <>run/k3s/fifo' >/dev/null 2>&1 &
        mkdir -p /sys/fs/cgroup/kubepods/burstable/stubborn || exit 1
        setsid sh -c "trap '' TERM; echo 0 >/sys/fs/cgroup/kubepods/burstable/stubborn/cgroup.procs; while :; do sleep 1000; done" >/dev/null 2>&1 &
        until read -r pid </sys/fs/cgroup/kubepods/burstable/stubborn/cgroup.procs; do sleep 0.02; done
    "#;
    let status = Command::new("sh").args(["-c", words]).current_dir(root).stdin(Stdio::null()).status();
    assert!(status.expect("sh").success(), "what pods leave could not be made");
}

type Gate = fn() -> Result<(), String>;

/// What kubelet, containerd and flannel do first, and fail at.
const GATES: &[(&str, Gate)] = &[
    ("kmsg", || fs::File::open("/dev/kmsg").map(drop).map_err(|error| error.to_string())),
    ("sysctls", sysctls),
    ("cgroups", cgroups),
    ("overlay", overlay),
    ("propagation", propagation),
    ("vxlan", || ip("link add flannel.1 type vxlan id 1 dev wg0 dstport 8472").and_then(|()| ip("link del flannel.1"))),
    ("bridge", || {
        ip("link add cni0 type bridge")?;
        ip("link add veth-pod type veth peer name eth-pod")?;
        ip("link set veth-pod master cni0")?;
        ip("link del veth-pod")?;
        ip("link del cni0")
    }),
];

fn sysctls() -> Result<(), String> {
    for (file, wanted) in [
        ("vm/overcommit_memory", "1"),
        ("vm/panic_on_oom", "0"),
        ("kernel/panic", "10"),
        ("kernel/panic_on_oops", "1"),
        ("kernel/keys/root_maxkeys", "1000000"),
        ("kernel/keys/root_maxbytes", "25000000"),
    ] {
        let path = format!("/proc/sys/{file}");
        let now = fs::read_to_string(&path).map_err(|error| format!("{file}: {error}"))?;
        if now.trim() != wanted {
            return Err(format!("{file} is still {}", now.trim()));
        }
    }
    Ok(())
}

/// A pod's cgroup with every controller, and a process in it.
fn cgroups() -> Result<(), String> {
    fn said(what: &str) -> impl Fn(std::io::Error) -> String {
        move |error| format!("{what}: {error}")
    }
    let pods = format!("{ROOT}/kubepods");
    fs::create_dir_all(format!("{pods}/preflight")).map_err(said("kubepods"))?;
    for folder in [ROOT, &pods] {
        for name in ["cpu", "cpuset", "memory", "pids"] {
            fs::write(format!("{folder}/cgroup.subtree_control"), format!("+{name}")).map_err(said(name))?;
        }
    }
    let mut child = Command::new("sleep").arg("1000").spawn().map_err(said("sleep"))?;
    let moved =
        fs::write(format!("{pods}/preflight/cgroup.procs"), child.id().to_string()).map_err(said("cgroup.procs"));
    drop(child.kill().and_then(|()| child.wait()));
    moved
}

fn overlay() -> Result<(), String> {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    let place = std::env::temp_dir().join(format!("preflight-{}", std::process::id()));
    let at = |name: &str| place.join(name).display().to_string();
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir_all(place.join(name)).map_err(|error| error.to_string())?;
    }
    let options = format!("lowerdir={},upperdir={},workdir={}", at("lower"), at("upper"), at("work"));
    let merged = place.join("merged");
    let mounted = mount(Some("overlay"), &merged, Some("overlay"), MsFlags::empty(), Some(options.as_str()));
    umount2(&merged, MntFlags::MNT_DETACH).unwrap_or_default();
    drop(fs::remove_dir_all(&place));
    mounted.map_err(|errno| errno.to_string())
}

fn propagation() -> Result<(), String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
    let root = mounts.lines().rev().find(|line| line.split(' ').nth(4) == Some("/")).unwrap_or_default();
    if root.contains(" shared:") { Ok(()) } else { Err("/ is not shared".to_owned()) }
}

fn ip(words: &str) -> Result<(), String> {
    let output = Command::new("ip").args(words.split(' ')).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(said.trim().to_owned()) }
}
