//! The same probes to us and to our peers, each as a real PID 1: `UNDER_TEST=ours|tini|dumb-init|catatonit`, all without it.
//! Every answer is printed, as a table; only ours are held.

#[path = "../kit/mod.rs"]
#[expect(dead_code, reason = "the rest is for the tests of PID 1 alone")]
mod kit;

mod peer;
mod probe;

use peer::{PEERS, Peer};
use probe::PROBES;

/// Those that are asked for and installed.
fn chosen() -> Vec<&'static Peer> {
    let asked = std::env::var("UNDER_TEST").unwrap_or_default();
    let of = |peer: &&Peer| asked.is_empty() || peer.name.split(' ').next() == Some(asked.as_str());
    PEERS.iter().filter(of).filter(|peer| peer.path().is_some()).collect()
}

#[test]
fn the_peers_are_installed() {
    let missing: Vec<_> = PEERS.iter().filter(|peer| peer.path().is_none()).map(|peer| peer.name).collect();
    need!("the_peers", (!missing.is_empty()).then(|| format!("not installed: {}", missing.join(", "))));
}

#[test]
fn every_probe_of_every_peer() {
    need!("every_probe", kit::no_namespaces());
    need!("every_probe", probe::no_strace());
    let peers = chosen();
    assert!(!peers.is_empty(), "UNDER_TEST names nobody who is installed");
    let columns: Vec<Vec<String>> = std::thread::scope(|scope| {
        let ask = |peer: &'static Peer| move || PROBES.iter().map(|probe| (probe.ask)(peer)).collect();
        let asked: Vec<_> = peers.iter().map(|peer| scope.spawn(ask(peer))).collect();
        asked.into_iter().map(|column| column.join().expect("the probes of a peer")).collect()
    });
    let names: Vec<_> = peers.iter().map(|peer| peer.name).collect();
    let mut table = format!("| probe | {} |\n|---{}|\n", names.join(" | "), "|---".repeat(names.len()));
    for (at, probe) in PROBES.iter().enumerate() {
        let answers: Vec<_> = columns.iter().map(|column| column[at].as_str()).collect();
        table.push_str(&format!("| {} | {} |\n", probe.name, answers.join(" | ")));
    }
    eprintln!("\n{table}");
    for (peer, column) in peers.iter().zip(&columns).filter(|(peer, _)| peer.name == "ours") {
        for (probe, answer) in PROBES.iter().zip(column) {
            assert_eq!(answer, probe.ours, "{}: {}", peer.name, probe.name);
        }
    }
}
