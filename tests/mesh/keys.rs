//! Another key for a cluster that runs: no packet is lost on the way, and no session.

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clusteros_init::mesh::Psk;
use clusteros_init::mesh::peers::{ObservedPeer, Operation, PeerSpec};
use serde_json::Value;

use crate::kit::{wait_until, within};
use crate::life::{Gossip, LONG, Life};
use crate::need;
use crate::world::{Node, no_wireguard};

/// The key that the nodes of these tests are configured with, and another one.
const OLD: (&str, &str) = ("d33459ed", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
const NEW: (&str, &str) = ("45e4cf33", "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=");

/// How long a packet may be on its way, there and back.
const WAY: Duration = Duration::from_secs(5);

/// Why there is no `serf`.
fn no_serf() -> Option<String> {
    let found = Command::new("serf").arg("version").output();
    if found.is_ok_and(|output| output.status.success()) { None } else { Some("no serf(1)".to_owned()) }
}

/// Two nodes that are a cluster, with a tunnel between them.
fn cluster(second: Gossip) -> [Life; 2] {
    let (one, two) = (Node::new(), Node::new());
    one.namespace.wire(&two.namespace);
    let (one, two) = (Life::begin(one, "192.0.2.1"), Life::begin_with(two, "192.0.2.2", second, ""));
    let joined = || two.said(&["join", "192.0.2.1"]).0 == Some(0);
    wait_until("a cluster", LONG, joined);
    wait_until("peers", LONG, || [&one, &two].iter().all(|life| life.node.dump().peers.len() == 1));
    wait_until("a tunnel", LONG, || one.node.reaches(&two.node));
    [one, two]
}

/// While `task` runs, packets go from one node to the other and back, 20 a second: how many went, and how many came back.
fn under_way<T>(one: &Node, two: &Node, task: impl FnOnce() -> T) -> (T, u32, u32) {
    let mirror = two.namespace.enter(|| UdpSocket::bind((two.address, 0))).expect("a socket");
    let source = one.namespace.enter(|| UdpSocket::bind((one.address, 0))).expect("a socket");
    let to = mirror.local_addr().expect("an address");
    for socket in [&mirror, &source] {
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a limit");
    }
    let (over, silent) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut text = [0; 4];
            while !silent.load(Ordering::Relaxed) {
                if let Ok((length, from)) = mirror.recv_from(&mut text) {
                    mirror.send_to(&text[..length], from).expect("sent back");
                }
            }
        });
        let traffic = scope.spawn(|| {
            let (mut sent, mut back) = (0_u32, BTreeSet::new());
            let hear = |back: &mut BTreeSet<[u8; 4]>| {
                let mut text = [0; 4];
                source.recv_from(&mut text).is_ok() && back.insert(text)
            };
            while !over.load(Ordering::Relaxed) {
                source.send_to(&sent.to_be_bytes(), to).expect("sent");
                sent += 1;
                // The pause between two packets is the wait for one.
                while hear(&mut back) {}
            }
            // How many are missing is for the caller to say.
            let _ = within(WAY, || {
                hear(&mut back);
                back.len() == sent as usize
            });
            silent.store(true, Ordering::Relaxed);
            (sent, u32::try_from(back.len()).expect("few"))
        });
        let done = catch_unwind(AssertUnwindSafe(task));
        over.store(true, Ordering::Relaxed);
        let (sent, back) = traffic.join().expect("traffic");
        (done.unwrap_or_else(|panic| resume_unwind(panic)), sent, back)
    })
}

fn peer(of: &Life) -> ObservedPeer {
    of.node.dump().peers.into_iter().next().expect("a peer")
}

/// Waits until both have the same preshared key, another one than `last`; returns it.
fn agreed([one, two]: &[Life; 2], last: &Psk) -> Psk {
    wait_until("another preshared key on both", LONG, || peer(one).psk == peer(two).psk && peer(one).psk != *last);
    peer(one).psk
}

/// The keys on which both nodes agree, by `keys list --json`: on how many nodes each is, and how many use it.
fn listed(of: &Life) -> Vec<(String, u64, u64)> {
    let (code, out, err) = of.said(&["keys", "list", "--json"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let listing: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&listing["nodes"], &listing["answered"]), (&2.into(), &2.into()), "{out}");
    let number = |value: &Value| value.as_u64().expect("a number");
    let row = |row: &Value| (row["key"].as_str().expect("text").to_owned(), number(&row["held"]), number(&row["used"]));
    listing["keys"].as_array().expect("keys").iter().map(row).collect()
}

fn row(key: &str, held: u64, used: u64) -> (String, u64, u64) {
    (key.to_owned(), held, used)
}

/// Says to have done `step` of `key` on both nodes, and what may come next.
fn did(life: &Life, arguments: &[&str], said: &str) {
    let done = life.said(&[&["keys"], arguments].concat());
    assert_eq!(done, (Some(0), format!("{said}\n"), String::new()));
}

/// A whole change by hand, then one by itself.
fn the_key_changes(second: Gossip) {
    let cluster = cluster(second);
    let [one, two] = &cluster;
    let (before, first) = (peer(one), peer(one).psk);
    assert!(first.is_some());
    let file = one.node.root.join("new.key");
    fs::write(&file, NEW.1).expect("a key");
    let file = file.to_str().expect("a path");

    let ((new, last), sent, back) = under_way(&one.node, &two.node, || {
        wait_until("records with the old key", LONG, || listed(one) == [row(OLD.0, 2, 2)]);
        did(
            one,
            &["install", "--file", file],
            "key 45e4cf33 is on 2 of 2 nodes; 'node-agent keys use 45e4cf33' has them use it",
        );
        wait_until("the new key on both", LONG, || listed(two) == [row(OLD.0, 2, 2), row(NEW.0, 2, 0)]);
        assert_eq!(peer(one).psk, first);
        // From the other node, whichever it is.
        did(
            two,
            &["use", NEW.0],
            "key 45e4cf33 is in use on 2 of 2 nodes; 'node-agent keys remove d33459ed' takes the old one away",
        );
        let new = agreed(&cluster, &first);
        wait_until("the new key in use", LONG, || listed(one) == [row(NEW.0, 2, 2), row(OLD.0, 2, 0)]);
        did(one, &["remove", OLD.1], "key d33459ed is gone from 2 of 2 nodes");
        wait_until("the old key gone", LONG, || listed(two) == [row(NEW.0, 2, 2)]);
        assert_eq!(agreed(&cluster, &first), new);

        let (code, out, err) = one.said(&["keys", "rotate"]);
        let key = out.split(' ').nth(1).expect("a key");
        let expected = format!(
            "key {key} is on 2 of 2 nodes\nkey {key} is in use on 2 of 2 nodes\nkey 45e4cf33 is gone from 2 of 2 nodes\n"
        );
        assert_eq!((code, &out, err.as_str()), (Some(0), &expected, ""));
        wait_until("one key", LONG, || listed(two) == [row(key, 2, 2)]);
        (new.clone(), agreed(&cluster, &new))
    });
    assert!(sent > 40, "{sent} packets");
    assert_eq!(back, sent, "packets were lost");
    let after = peer(one);
    assert_eq!(after.handshake, before.handshake, "there was another handshake");
    assert!(after.rx > before.rx && after.tx > before.tx, "the peer was made anew: {before:?} {after:?}");
    assert!(first != new && new != last && first != last);

    // A session that begins now begins with the newest key.
    let again = PeerSpec { psk: last.clone(), ..two.node.peer("192.0.2.2:51820") };
    let anew = [Operation::Remove(two.node.key), Operation::Add(again)];
    one.node.with_device(async |device| device.apply(&anew).await.expect("made anew"));
    wait_until("another session", LONG, || one.node.reaches(&two.node));
    assert_ne!(peer(one).handshake, None);
    assert_eq!((peer(one).psk, peer(two).psk), (last.clone(), last));

    let keyring = |life: &Life| life.node.root.join("var/lib/cluster-os/keyring");
    let text = fs::read_to_string(keyring(one)).expect("a keyring");
    assert_eq!(fs::read_to_string(keyring(two)).expect("a keyring"), text);
    let secret = text.split('"').nth(1).expect("a key");
    for life in &cluster {
        assert_eq!(fs::metadata(keyring(life)).expect("a keyring").permissions().mode() & 0o777, 0o600);
        for log in ["gossip.log", "agent.log", "log", "run/cluster-os/peers.json", "run/cluster-os/serf.json"] {
            let text = fs::read_to_string(life.node.root.join(log)).expect("a file");
            assert!([OLD.1, NEW.1, secret].iter().all(|key| !text.contains(key)), "a key is in {log}");
        }
    }
}

#[test]
fn the_clusters_key_changes_and_nothing_is_lost() {
    need!("the_clusters_key_changes_and_nothing_is_lost", no_wireguard());
    the_key_changes(Gossip::Ours);
}

#[test]
fn the_clusters_key_changes_beside_serf() {
    need!("the_clusters_key_changes_beside_serf", no_wireguard().or_else(no_serf));
    the_key_changes(Gossip::Serf);
}

#[test]
fn a_change_that_would_lose_somebody_is_not_begun() {
    need!("a_change_that_would_lose_somebody_is_not_begun", no_wireguard());
    let cluster = cluster(Gossip::Ours);
    let [one, two] = &cluster;
    let said = |arguments: &[&str]| {
        let (code, out, err) = one.said(&[&["keys"], arguments].concat());
        (code, (out + &err).replace(&two.node.interface, "node2").replace(&one.node.interface, "node1"))
    };
    let text = fs::read_to_string(one.node.root.join("var/lib/cluster-os/keyring")).expect("a keyring");
    wait_until("records with the key", LONG, || listed(one) == [row(OLD.0, 2, 2)]);
    let refused = |cause: &str| (Some(1), format!("node-agent: error: unable to {cause} (nothing was changed)\n"));
    assert_eq!(
        said(&["use", NEW.1]),
        refused(
            "use key 45e4cf33: 0 of 2 nodes hold it; 'node-agent keys install 45e4cf33' first: who has it not would be lost"
        )
    );
    assert_eq!(
        said(&["install", NEW.0]),
        refused("install key 45e4cf33: no node holds it; 'node-agent keys list' shows those that are there")
    );
    let (code, text_of_remove) = said(&["remove", OLD.0]);
    assert_eq!(code, Some(1));
    assert!(text_of_remove.contains("use it; 'node-agent keys use' of another one first"), "{text_of_remove}");

    // It hangs, and gossip has not seen that yet; then it has.
    two.gossip.signal(libc::SIGSTOP);
    let next = "nothing was changed: have it answer and try again, or go on without it in steps, by 'node-agent keys install', 'use' and 'remove'";
    assert_eq!(
        said(&["rotate"]),
        (Some(1), format!("node-agent: error: unable to change the cluster's key: 1 of 2 nodes answered; {next}\n"))
    );
    let failed =
        format!("node-agent: error: unable to change the cluster's key: node2 does not answer gossip; {next}\n");
    wait_until("a failed member", LONG, || said(&["rotate"]) == (Some(1), failed.clone()));
    let (code, list) = said(&["list"]);
    assert_eq!(
        (code, list.as_str()),
        (
            Some(0),
            "KEY       HELD BY         USED BY\nd33459ed  1 of 1          1\nnode2 does not answer gossip: what is held there is not known\n"
        )
    );
    assert_eq!(fs::read_to_string(one.node.root.join("var/lib/cluster-os/keyring")).expect("a keyring"), text);

    two.gossip.signal(libc::SIGCONT);
    wait_until("a change when it is back", LONG, || said(&["rotate"]).0 == Some(0));
    wait_until("one key on both", LONG, || listed(two).len() == 1 && listed(two)[0].2 == 2);
}
