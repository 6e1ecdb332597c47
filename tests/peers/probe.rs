//! What is asked.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use crate::kit::{self, Node, SOON, wait_until, within};
use crate::peer::Peer;

/// A question that every init can be asked.
pub struct Probe {
    /// The row's name.
    pub name: &'static str,
    /// Finds the answer.
    pub ask: fn(&Peer) -> String,
    /// What ours must be.
    pub ours: &'static str,
}

/// The rows of the table.
pub const PROBES: &[Probe] = &[
    Probe { name: "exit 7; killed by SIGKILL", ask: statuses, ours: "7; 137" },
    Probe { name: "no such program / directory / not executable / bad `#!`", ask: exec, ours: "127/126/126/127" },
    Probe { name: "neither a binary nor a script", ask: garbage, ours: "126" },
    Probe { name: "options end at the first word that is none", ask: options, ours: "yes" },
    Probe { name: "TERM; an orphan in its own session needs 0.6 s more", ask: orphan, ours: "7, orphan done" },
    Probe { name: "TERM; the command is deaf to it", ask: deaf, ours: "stays" },
    Probe { name: "the same, with `--kill-after 300ms`", ask: deaf_with_a_limit, ours: "137" },
    Probe { name: "nothing is left: from the command's end to ours", ask: promptness, ours: "at once" },
    Probe { name: "SIGRTMIN+3", ask: real_time, ours: "forwarded" },
    Probe { name: "stdin, stdout, stderr closed at entry", ask: closed, ours: "runs, /dev/null" },
    Probe { name: "SIGCHLD ignored at entry", ask: deaf_to_children, ours: "7" },
    Probe { name: "all signals blocked at entry: the command's mask", ask: blocked, ours: "the same" },
    Probe { name: "signals that the command finds blocked, none at entry", ask: leaked, ours: "none" },
    Probe { name: "TERM before setpgid or setsid", ask: window, ours: "143" },
    Probe { name: "300 orphans", ask: orphans, ours: "all reaped" },
];

/// Why there can be no probes.
pub fn no_strace() -> Option<&'static str> {
    Command::new("strace").arg("-V").output().is_err().then_some("no strace(1)")
}

/// What the node ended with, if it does.
fn end(node: &mut Node, limit: Duration) -> Option<i32> {
    let mut status = None;
    within(limit, || {
        status = node.over();
        status.is_some()
    });
    status
}

fn ended(node: &mut Node) -> String {
    end(node, Duration::from_secs(8)).map_or("**hangs**".to_owned(), |status| status.to_string())
}

fn run(peer: &Peer, words: &[&str]) -> String {
    ended(&mut peer.plan(words).start())
}

fn statuses(peer: &Peer) -> String {
    format!("{}; {}", run(peer, &["sh", "-c", "exit 7"]), run(peer, &["sh", "-c", "kill -9 $$"]))
}

fn exec(peer: &Peer) -> String {
    let dir = kit::directory("programs");
    let bad = dir.join("bad").display().to_string();
    program(&bad, b"#!/no/such/interpreter\n");
    let all = ["/no/such/program", "/etc", "/etc/passwd", &bad].map(|path| run(peer, &[path]));
    drop(fs::remove_dir_all(dir));
    all.join("/")
}

fn garbage(peer: &Peer) -> String {
    let dir = kit::directory("programs");
    let path = dir.join("garbage").display().to_string();
    program(&path, b"\x7fELF\x02\x01\x01 and no more");
    let status = run(peer, &[&path]);
    drop(fs::remove_dir_all(dir));
    status
}

fn program(path: &str, bytes: &[u8]) {
    fs::write(path, bytes).expect("a program");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("executable");
}

fn options(peer: &Peer) -> String {
    let mut node = peer.plan_without_dashes(&["sh", "-c", "exit 7"]).start();
    if ended(&mut node) == "7" { "yes" } else { "**no**" }.to_owned()
}

fn orphan(peer: &Peer) -> String {
    let orphan = "trap 'sleep 0.6; echo clean > @/clean; exit' TERM; echo up > @/up; while :; do sleep 0.02; done";
    let main = format!(
        "trap 'sleep 0.2; exit 7' TERM; setsid sh -c \"{orphan}\" & echo ready > @/ready; while :; do sleep 0.02; done"
    );
    let mut node = peer.plan(&["sh", "-c", &main]).start();
    node.wait_for("up", "up");
    node.wait_for("ready", "ready");
    node.signal(15);
    let status = ended(&mut node);
    let clean = if node.read("clean").is_empty() { "**orphan killed**" } else { "orphan done" };
    format!("{status}, {clean}")
}

fn promptness(peer: &Peer) -> String {
    let mut node = peer.plan(&["sh", "-c", "echo up > @/up; exec sleep 1000"]).start();
    node.wait_for("up", "up");
    node.signal(15);
    let at_once = end(&mut node, Duration::from_secs(3)).is_some();
    if at_once { "at once" } else { "**late**" }.to_owned()
}

fn deaf(peer: &Peer) -> String {
    deafly(peer.plan(&["sh", "-c", DEAF]).start())
}

fn deaf_with_a_limit(peer: &Peer) -> String {
    let mut node = peer.plan_without_dashes(&["--kill-after", "300ms", "--", "sh", "-c", DEAF]).start();
    wait_until("it runs or refuses", SOON, || node.over().is_some() || !node.read("up").is_empty());
    if node.over().is_some() { "no such option".to_owned() } else { deafly(node) }
}

const DEAF: &str = "trap '' TERM; echo up > @/up; while :; do sleep 0.02; done";

fn deafly(mut node: Node) -> String {
    node.wait_for("up", "up");
    node.signal(15);
    end(&mut node, Duration::from_secs(3)).map_or("stays".to_owned(), |status| status.to_string())
}

fn real_time(peer: &Peer) -> String {
    let script = "trap 'exit 7' 37; echo up > @/up; while :; do sleep 0.02; done";
    let mut node = peer.plan(&["bash", "-c", script]).start();
    node.wait_for("up", "up");
    node.signal(37);
    if end(&mut node, Duration::from_secs(8)) == Some(7) { "forwarded" } else { "**lost**" }.to_owned()
}

fn closed(peer: &Peer) -> String {
    let script = "for fd in 0 1 2; do readlink /proc/$$/fd/$fd || echo closed; done > @/fds 2> /dev/null; exit 7";
    let mut node = peer.plan(&["bash", "-c", script]).started_as("{} <&- >&- 2>&-").start();
    let status = ended(&mut node);
    let fds = node.read("fds");
    match fds.lines().next() {
        None => format!("**never runs**, {status}"),
        Some("/dev/null") => "runs, /dev/null".to_owned(),
        Some(_) => "runs, closed".to_owned(),
    }
}

fn deaf_to_children(peer: &Peer) -> String {
    ended(&mut peer.plan(&["sh", "-c", "exit 7"]).started_as("env --ignore-signal=CHLD {}").start())
}

/// What the command finds blocked. A shell would clear it for its own children.
fn mask(peer: &Peer, as_what: &str) -> Option<u64> {
    let mut node = peer.plan(&["grep", "SigBlk", "/proc/self/status"]).started_as(as_what).start();
    ended(&mut node);
    let out = node.read("out");
    u64::from_str_radix(out.lines().find_map(|line| line.strip_prefix("SigBlk:"))?.trim(), 16).ok()
}

fn blocked(peer: &Peer) -> String {
    // Without KILL, STOP, and the two that libc keeps for itself.
    let wanted = !0x1_8004_0100_u64;
    match mask(peer, "env --block-signal {}") {
        Some(found) if found & wanted == wanted => "the same".to_owned(),
        Some(found) => format!("**{found:#x}**"),
        None => "**never runs**".to_owned(),
    }
}

fn leaked(peer: &Peer) -> String {
    match mask(peer, "{}") {
        Some(0) => "none".to_owned(),
        Some(found) => format!("**{found:#x}**"),
        None => "**never runs**".to_owned(),
    }
}

/// The child is held before it leads a group, and TERM comes: a signal to its group finds nobody.
fn window(peer: &Peer) -> String {
    let held = "strace -DDD -I1 -f -o /dev/null -e trace=setpgid,setsid -e inject=setpgid,setsid:delay_enter=400000 {}";
    let mut node = peer.plan(&["sleep", "1000"]).started_as(held).start();
    let own = peer.path();
    wait_until("the child is made", SOON, || kit::children(node.pid).iter().any(|pid| kit::exe(*pid) == own));
    node.signal(15);
    // The tracer is an orphan, too.
    match end(&mut node, Duration::from_secs(8)) {
        Some(status) => status.to_string(),
        None => "**lost**".to_owned(),
    }
}

fn orphans(peer: &Peer) -> String {
    let script = "i=0; while [ $i -lt 300 ]; do (sh -c : &); i=$((i+1)); done; echo up > @/up; exec sleep 1000";
    let node = peer.plan(&["sh", "-c", script]).start();
    node.wait_for("up", "up");
    let reaped = within(Duration::from_secs(3), || kit::children(node.pid).len() == 1);
    if reaped { "all reaped".to_owned() } else { format!("**{} left**", kit::children(node.pid).len() - 1) }
}
