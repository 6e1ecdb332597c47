//! What must hold whoever does the work.

use std::process::Command;

use clusteros_init::agent::wg::Mode;
use clusteros_init::mesh::Psk;
use clusteros_init::mesh::peers::{Operation, PeerSpec};

use crate::kit::{SOON, wait_until};
use crate::need;
use crate::world::{Node, no_network, no_wireguard};

/// Two nodes that are up and know each other.
pub fn pair() -> (Node, Node, [crate::world::Agent; 2], String) {
    join(Node::new(), Node::new())
}

fn join(one: Node, two: Node) -> (Node, Node, [crate::world::Agent; 2], String) {
    one.namespace.wire(&two.namespace);
    let (first, said) = one.up();
    let (second, _) = two.up();
    assert_eq!(one.reconcile(&[two.peer("192.0.2.2:51820")]).len(), 1);
    assert_eq!(two.reconcile(&[one.peer("192.0.2.1:51820")]).len(), 1);
    (one, two, [first, second], said)
}

#[test]
fn two_nodes_reach_each_other_and_nothing_is_done_twice() {
    need!("two_nodes_reach_each_other_and_nothing_is_done_twice", no_wireguard());
    let (one, two, [mut first, _second], said) = pair();
    let mode = one.with_device(async |device| device.mode());
    match mode {
        Mode::Kernel => assert_eq!(said, "READY=1\nSTATUS=kernel WireGuard"),
        Mode::Userspace => assert_eq!(said, "READY=1\nSTATUS=USERSPACE WireGuard"),
    }
    assert!(one.reaches(&two) && two.reaches(&one), "no way through: {:?} {:?}", one.dump(), two.dump());
    assert!(one.reaches_by_ipv6(&two) && two.reaches_by_ipv6(&one), "no way through by IPv6: {:?}", one.dump());
    pings(&one, &two);

    assert_eq!(one.reconcile(&[two.peer("192.0.2.2:51820")]), []);
    assert_eq!(two.reconcile(&[one.peer("192.0.2.1:51820")]), []);
    let seen = one.dump();
    assert_eq!((seen.public_key, seen.port), (Some(one.key), 51820));
    assert!(seen.peers[0].handshake.is_some() && seen.peers[0].rx > 0 && seen.peers[0].tx > 0, "{seen:?}");
    wg_agrees(&one, &two);

    if mode == Mode::Kernel {
        assert!(first.ended().success(), "{}", first.log());
    }
}

/// The `ping` program, where there is one, comes through by IPv6.
fn pings(one: &Node, two: &Node) {
    let ping = || Command::new("ping").args(["-6", "-c", "1", "-W", "5", &two.ula.to_string()]).output();
    match one.namespace.enter(ping) {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(_) => eprintln!("skipped: pings: no ping(8)"),
    }
}

#[test]
fn a_preshared_key_changes_and_the_session_goes_on() {
    need!("a_preshared_key_changes_and_the_session_goes_on", no_wireguard());
    let (one, two, _agents, _) = pair();
    let to = |node: &Node, endpoint: &str, psk: &Psk| PeerSpec { psk: psk.clone(), ..node.peer(endpoint) };
    let (to_two, to_one) = (|psk: &Psk| to(&two, "192.0.2.2:51820", psk), |psk: &Psk| to(&one, "192.0.2.1:51820", psk));
    assert!(one.reaches(&two), "no way through without a preshared key");
    let handshake = || one.dump().peers[0].handshake;
    let first = handshake();
    let (old, new) = (Psk::new([5; 32]), Psk::new([6; 32]));
    for psk in [&old, &new] {
        // Only one side has it: what stands goes on. Then both have it, and nothing has happened to it, either.
        for (node, wish) in [(&one, to_two(psk)), (&two, to_one(psk))] {
            let done = node.reconcile(std::slice::from_ref(&wish));
            assert!(
                matches!(done.as_slice(), [Operation::Update { psk: Some(set), endpoint: None, .. }] if set == psk),
                "{done:?}"
            );
            assert_eq!(node.reconcile(&[wish]), []);
            assert_eq!(&node.dump().peers[0].psk, psk);
            assert!(one.reaches(&two) && two.reaches(&one), "the session was lost");
        }
        assert_eq!(handshake(), first, "there was another handshake");
    }
    // A new session is made with the key that both have, and not with one that they do not share.
    let anew = |psk: &Psk| {
        assert_eq!(one.reconcile(&[]).len(), 1);
        assert_eq!(one.reconcile(&[to_two(psk)]).len(), 1);
        one.reaches(&two)
    };
    assert!(anew(&new), "no way through with the new key: {:?} {:?}", one.dump(), two.dump());
    assert!(!anew(&old), "a handshake with a key that only one side has");
    assert!(!anew(&Psk::none()), "a handshake without the key that the other side has");
    assert!(anew(&new), "no way back: {:?} {:?}", one.dump(), two.dump());
}

/// The `wg` program, where there is one, says the same.
fn wg_agrees(one: &Node, two: &Node) {
    let show = || Command::new("wg").args(["show", &one.interface, "dump"]).output();
    let Ok(output) = one.namespace.enter(show) else {
        eprintln!("skipped: wg_agrees: no wg(8)");
        return;
    };
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[0][1..3], [one.key.to_string(), "51820".to_owned()]);
    let allowed = format!("{}/32,{}/128", two.address, two.ula);
    let peer = [two.key.to_string(), "(none)".to_owned(), "192.0.2.2:51820".to_owned(), allowed];
    assert_eq!(lines[1][..4], peer);
    assert_ne!(lines[1][4], "0", "no handshake");
}

#[test]
fn a_changed_peer_keeps_its_session() {
    need!("a_changed_peer_keeps_its_session", no_wireguard());
    let (one, two, _agents, _) = pair();
    assert!(one.reaches(&two));
    let before = one.dump().peers.remove(0);
    let more = ("10.42.255.1".parse().expect("an address"), 32);
    let mut wish = two.peer("192.0.2.2:51820");
    wish.allowed.push(more);
    wish.keepalive = 25;
    let done = one.reconcile(&[wish]);
    assert!(matches!(done.as_slice(), [Operation::Update { allowed: Some(_), keepalive: Some(25), .. }]), "{done:?}");
    let after = one.dump().peers.remove(0);
    assert_eq!(after.keepalive, 25);
    assert!(after.allowed.contains(&more), "{after:?}");
    assert!(one.reaches(&two));
    let last = one.dump().peers.remove(0);
    assert!(last.rx >= after.rx && after.rx >= before.rx && before.rx > 0, "made anew: {before:?} {after:?} {last:?}");
    // In user space the time is counted back from now, and may fall on either side of a second.
    let (first, last) = (before.handshake.expect("a handshake"), last.handshake.expect("a handshake"));
    assert!(first.abs_diff(last) <= 1, "a new session: {first} {last}");
}

#[test]
fn an_endpoint_that_moved_stays_where_it_was_heard() {
    need!("an_endpoint_that_moved_stays_where_it_was_heard", no_wireguard());
    let (one, two, _agents, _) = pair();
    assert!(one.reaches(&two));
    two.namespace.enter(|| {
        crate::world::block_on(async {
            let links = clusteros_init::agent::wg::Links::open().expect("rtnetlink");
            let far = links.find("far").await.expect("links").expect("the end of the wire").index;
            links.set_address(far, "192.0.2.3".parse().expect("an address"), 24).await.expect("another address");
        });
    });
    assert!(two.reaches(&one));
    let endpoint = || one.dump().peers[0].endpoint;
    assert_eq!(endpoint(), Some("192.0.2.3:51820".parse().expect("an endpoint")));
    assert_eq!(one.reconcile(&[two.peer("192.0.2.2:51820")]), []);
    assert!(one.reaches(&two));
    assert_eq!(endpoint(), Some("192.0.2.3:51820".parse().expect("an endpoint")));
}

#[test]
fn without_ipv6_below_all_is_the_same() {
    need!("without_ipv6_below_all_is_the_same", no_wireguard());
    let (one, two) = (Node::new(), Node::new());
    for node in [&one, &two] {
        let off = node.namespace.enter(|| std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"));
        need!(
            "without_ipv6_below_all_is_the_same",
            off.err().map(|error| format!("no way to switch IPv6 off: {error}"))
        );
    }
    let (one, two, agents, _) = join(one, two);
    assert!(one.reaches(&two) && two.reaches(&one));
    let said = format!(
        "node-agent: info: {} has no IPv6 address: IPv6 is switched off here (disable_ipv6=1); the other nodes are reached by IPv4\n",
        one.interface
    );
    assert_eq!(agents[0].log().matches(&said).count(), 1, "{}", agents[0].log());
    assert_eq!(one.dump().peers[0].endpoint, Some("192.0.2.2:51820".parse().expect("an address")));
}

#[test]
fn an_address_moves_between_peers_and_stays() {
    need!("an_address_moves_between_peers_and_stays", no_wireguard());
    let node = Node::new();
    let (_agent, _) = node.up();
    let peer = |n: u8, allowed: &[&str]| PeerSpec {
        key: clusteros_init::mesh::WgKey([n; 32]),
        endpoint: None,
        allowed: allowed.iter().map(|one| (one.parse().expect("an address"), 32)).collect(),
        keepalive: 0,
        psk: Psk::none(),
    };
    let wishes = [
        vec![peer(1, &["10.42.0.1", "10.42.0.9"]), peer(2, &["10.42.0.2"])],
        vec![peer(1, &["10.42.0.1"]), peer(2, &["10.42.0.2", "10.42.0.9"])],
        vec![peer(1, &["10.42.0.2"]), peer(2, &["10.42.0.1"])],
        vec![peer(3, &["10.42.0.1"]), peer(2, &["10.42.0.9"])],
        vec![],
    ];
    for wish in wishes {
        assert_ne!(node.reconcile(&wish), []);
        assert_eq!(node.reconcile(&wish), [], "twice: {wish:?}");
    }
}

/// So many peers that nobody is.
pub fn many(count: u32) -> Vec<PeerSpec> {
    let peer = |n: u32| {
        let mut key = [9; 32];
        key[..4].copy_from_slice(&n.to_be_bytes());
        PeerSpec {
            key: clusteros_init::mesh::WgKey(key),
            endpoint: Some("192.0.2.2:51820".parse().expect("an address")),
            allowed: vec![(std::net::Ipv4Addr::from_bits(0x0a2a_8000 + n).into(), 32)],
            keepalive: 0,
            psk: Psk::none(),
        }
    };
    (1..=count).map(peer).collect()
}

#[test]
fn many_peers_come_and_go() {
    need!("many_peers_come_and_go", no_wireguard());
    let node = Node::new();
    let (_agent, _) = node.up();
    let wish = many(1000);
    assert_eq!(node.reconcile(&wish).len(), 1000);
    assert_eq!(node.dump().peers.len(), 1000);
    assert_eq!(node.reconcile(&wish), []);
    assert_eq!(node.reconcile(&wish[..1]).len(), 999);
    assert_eq!(node.dump().peers.len(), 1);
    node.reconcile(&wish);
    let begun = std::time::Instant::now();
    assert!(node.run(&["wg0", "--down"]).status.success());
    assert!(begun.elapsed() < SOON, "a link with 1000 peers took {:?}", begun.elapsed());
    assert_eq!(node.index(), None);
}

#[test]
fn down_leaves_nothing_and_has_nothing_to_say() {
    need!("down_leaves_nothing_and_has_nothing_to_say", no_wireguard());
    let node = Node::new();
    let (mut agent, _) = node.up();
    assert!(node.index().is_some());
    for _ in 0..2 {
        let down = node.run(&["wg0", "--down"]);
        assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
        assert_eq!(down.stderr, b"");
        assert_eq!(node.index(), None);
    }
    assert!(agent.ended().success(), "{}", agent.log());
    assert!(!node.socket().exists());
}

#[test]
fn a_device_that_went_away_is_absent() {
    need!("a_device_that_went_away_is_absent", no_wireguard());
    let node = Node::new();
    let (mut agent, _) = node.up();
    let error = node.with_device(async |device| {
        assert!(node.run(&["wg0", "--down"]).status.success());
        device.dump().await.expect_err("gone").to_string()
    });
    agent.ended();
    assert_eq!(error, format!("there is no WireGuard link {}; is `node-agent wg0` up?", node.interface));
}

#[test]
fn a_change_of_the_link_wakes() {
    need!("a_change_of_the_link_wakes", no_wireguard());
    let node = Node::new();
    let woken = node.namespace.enter(|| {
        crate::world::block_on(async {
            let mut changes = clusteros_init::agent::wg::changes(&node.interface).await.expect("a subscription");
            let (_agent, _) = node.up();
            tokio::time::timeout(SOON, changes.next()).await
        })
    });
    assert_eq!(woken, Ok(true));
}

#[test]
fn the_process_in_user_space_ends_when_told_and_when_it_lost_its_link() {
    need!("the_process_in_user_space_ends_when_told_and_when_it_lost_its_link", no_wireguard());
    let node = Node::new();
    for signal in [15, 2] {
        let (mut agent, _) = node.up();
        if node.with_device(async |device| device.mode()) == Mode::Kernel {
            eprintln!("skipped: the process in user space: the kernel has WireGuard");
            return;
        }
        agent.signal(signal);
        assert_eq!(agent.ended().code(), Some(0), "{}", agent.log());
        assert_eq!(node.index(), None);
        assert!(!node.socket().exists());
    }
    let (mut agent, _) = node.up();
    node.namespace.enter(|| {
        crate::world::block_on(async {
            let links = clusteros_init::agent::wg::Links::open().expect("rtnetlink");
            let link = links.find(&node.interface).await.expect("links").expect("the link");
            links.delete(link.index).await.expect("deleted");
        });
    });
    assert_eq!(agent.ended().code(), Some(1));
    let line = format!(
        "node-agent: error: unable to bring up {}: the link is gone: somebody deleted it; \
         running it again goes on from here\n",
        node.interface
    );
    assert!(agent.log().ends_with(&line), "{}", agent.log());

    let (agent, _) = node.up();
    agent.signal(9);
    drop(agent);
    wait_until("the end of the link", SOON, || node.index().is_none());
    assert!(node.socket().exists(), "a leftover to be taken over");
    let (mut agent, _) = node.up();
    let again = node.run(&["wg0"]);
    assert_eq!(again.status.code(), Some(1));
    let text = String::from_utf8_lossy(&again.stderr);
    assert!(text.contains("another process serves it already"), "{text}");
    agent.signal(15);
    agent.ended();
}

#[test]
fn down_takes_the_names_away_also_where_the_file_is_mounted() {
    need!("down_takes_the_names_away_also_where_the_file_is_mounted", no_network());
    let node = Node::new();
    let path = node.root.join("etc/hosts");
    let theirs = b"127.0.0.1 localhost\n\xff of others\n";
    let names = b"# begin of the mesh: node-agent keeps these lines\n10.42.0.1\tnode1.mesh\n# end of the mesh\n";
    let text = [&theirs[..], names].concat();
    std::fs::write(&path, &text).expect("hosts");
    assert!(node.run(&["wg0", "--down"]).status.success());
    assert_eq!(std::fs::read(&path).expect("hosts"), theirs);

    let mount = |options: &str| {
        std::fs::write(&path, &text).expect("hosts");
        let script = format!("mount --bind '{0}' '{0}' && {options} exec \"$@\"", path.display());
        let output = node.namespace.enter(|| {
            let before = ["unshare", "--mount", "sh", "-c", &script, "sh"];
            node.command_through(&before, &["wg0", "--down"]).output().expect("unshare")
        });
        assert!(output.status.success(), "{output:?}");
        (String::from_utf8_lossy(&output.stderr).into_owned(), std::fs::read(&path).expect("hosts"))
    };
    assert_eq!(mount(""), (String::new(), theirs.to_vec()));
    let (said, left) = mount(&format!("mount -o remount,bind,ro '{}' &&", path.display()));
    assert!(
        said.contains("warning: unable to take the names of the mesh out of /etc/hosts: Read-only file system"),
        "{said}"
    );
    assert_eq!(left, text);
}
