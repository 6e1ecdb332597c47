//! Who may use whom, and what.

use super::source::{Finding, Source, finding, rust};

const PURE: &[&str] = &["unit", "boot", "control", "mesh", "cluster", "gossip"];
const SHELL: &[&str] = &["pid1", "logd", "agent", "ctl", "gossipd"];
/// Neither pure nor shell: the cellar, and the grammar of logged lines.
const OTHER: &[&str] = &["sys", "say", "lib", "bin", "build"];
/// PID 1 and what it is made of: knows nothing of clusters or networks.
const INIT: &[&str] = &["unit", "boot", "control", "pid1", "logd", "sys", "say"];

/// What a pure room has no use for: clock, files, sockets, threads, the environment, randomness, the kernel.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::thread",
    "std::env",
    "std::process",
    "std::os",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "crate::sys",
    "nix",
    "libc",
    "signal_hook",
    "tokio",
    "getrandom",
    "rand",
    "rtnetlink",
];

fn below(path: &str, root: &str) -> bool {
    path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with("::"))
}

fn colours(source: &Source) -> Vec<Finding> {
    let room = source.room();
    let mut found = Vec::new();
    if ![PURE, SHELL, OTHER].concat().contains(&room) {
        found.push(finding(source, 1, "a room without a colour: name it in tests/style/rooms.rs"));
    }
    for (line, path) in source.paths() {
        let mut not = |why: &str| found.push(finding(source, line, &format!("{path}: {why}")));
        // Numbers of the kernel's interface are values.
        let number = path.strip_prefix("libc::").is_some_and(|name| name.starts_with("SIG") || name.starts_with('E'));
        if PURE.contains(&room) && !number && IMPURE.iter().any(|root| below(&path, root)) {
            not("not in a pure room");
        }
        let shell = |shell: &&&str| **shell != room && below(&path, &format!("crate::{shell}"));
        if room != "bin" && SHELL.iter().any(|name| shell(&name)) {
            not("no room uses a shell room");
        }
        let knows = |rooms: &[&str]| rooms.iter().any(|other| below(&path, &format!("crate::{other}")));
        if INIT.contains(&room) && knows(&["mesh", "cluster", "gossip"]) {
            not("PID 1 knows nothing of clusters or networks");
        }
        if room == "mesh" && knows(&["gossip", "cluster"]) || room == "gossip" && knows(&["mesh", "cluster"]) {
            not("only cluster has met both mesh and gossip");
        }
    }
    found
}

fn unsafety(source: &Source) -> Vec<Finding> {
    let code = source.product();
    let lines: Vec<_> = source.text.lines().collect();
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        // The attribute that names C's `main` is no block.
        let is_unsafe = line.split(|l: char| !(l.is_alphanumeric() || l == '_')).any(|word| word == "unsafe");
        if !is_unsafe || line.contains("#[unsafe(no_mangle)]") && source.path == "src/bin/clusteros-init.rs" {
            continue;
        }
        if source.room() != "sys" {
            found.push(finding(source, number + 1, "unsafe outside src/sys"));
        } else if line.contains("unsafe {")
            && !lines[number.saturating_sub(8)..number].iter().any(|line| line.contains("// SAFETY:"))
        {
            found.push(finding(source, number + 1, "an unsafe block without its reason"));
        }
    }
    found
}

#[test]
fn every_room_keeps_to_its_colour() {
    let found: Vec<_> = rust("src").iter().flat_map(colours).collect();
    super::none(&found);
}

#[test]
fn unsafe_is_in_the_cellar_with_its_reason() {
    let found: Vec<_> = rust("src").iter().flat_map(unsafety).collect();
    super::none(&found);
}

#[test]
fn planted_breaches_are_found() {
    for (path, text) in [
        ("src/unit/a.rs", "use std::{collections::BTreeMap, fs};"),
        ("src/unit/a.rs", "fn f() { std::time::Instant::now(); }"),
        ("src/unit/a.rs", "use std::time::{Duration, SystemTime};"),
        ("src/mesh/a.rs", "use std::net::{Ipv4Addr, UdpSocket};"),
        ("src/boot/a.rs", "fn f() { libc::getpid() }"),
        ("src/boot/a.rs", "use nix::errno::Errno;"),
        ("src/control/a.rs", "use crate::sys::Errno;"),
        ("src/control/a.rs", "use super::super::sys::clock;"),
        ("src/cluster/a.rs", "use crate::{mesh, agent::wg0};"),
        ("src/agent/a.rs", "use crate::pid1::turn;"),
        ("src/sys/a.rs", "use crate::logd::turn;"),
        ("src/mesh/a.rs", "use crate::gossip::wire;"),
        ("src/pid1/a.rs", "use crate::mesh::address;"),
        ("src/parlour/a.rs", "fn f() {}"),
    ] {
        assert_eq!(colours(&Source::planted(path, text)).len(), 1, "{path}: {text}");
    }
    for (path, text) in [
        ("src/unit/a.rs", "use std::time::Duration; use std::net::Ipv4Addr; // std::fs\nuse super::table;"),
        ("src/control/a.rs", "let a = [libc::SIGTERM, libc::EINVAL];"),
        ("src/unit/a.rs", "use std::fmt;\n#[cfg(test)]\nmod tests { use std::fs; }"),
        ("src/logd/a.rs", "use crate::logd::turn; use super::file; use crate::sys::clock;"),
        ("src/bin/logd.rs", "fn main() { clusteros_init::logd::run() }"),
        ("src/cluster/a.rs", "use crate::{mesh, gossip};"),
    ] {
        assert_eq!(colours(&Source::planted(path, text)), [], "{path}: {text}");
    }
    let bare = "fn f() { unsafe { g() } }";
    assert_eq!(unsafety(&Source::planted("src/sys/a.rs", bare)).len(), 1);
    assert_eq!(unsafety(&Source::planted("src/logd/a.rs", bare)).len(), 1);
    let reasoned = "// SAFETY: g asks for nothing.\nunsafe { g() }";
    assert_eq!(unsafety(&Source::planted("src/sys/a.rs", reasoned)), []);
    assert_eq!(unsafety(&Source::planted("src/logd/a.rs", reasoned)).len(), 1);
}
