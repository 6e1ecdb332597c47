//! What somebody changes of `wg0` by hand, with the nodes running: each is put right.

use std::net::IpAddr;
use std::time::Duration;

use clusteros_init::agent::wg::{Links, Mode};
use clusteros_init::mesh::Psk;
use clusteros_init::mesh::peers::{ObservedPeer, Operation, PeerSpec, WgKey};
use zeroize::Zeroizing;

use crate::kit::wait_until;
use crate::life::{LONG, Life};
use crate::need;
use crate::world::{Node, block_on, no_wireguard};

/// No event tells of what changes inside the device: the look that comes once a minute finds it.
const MINUTE: Duration = Duration::from_secs(75);

/// Two nodes with a tunnel between them.
pub fn pair() -> (Life, Life) {
    let (one, two) = (Node::new(), Node::new());
    one.namespace.wire(&two.namespace);
    let (one, two) = (Life::begin(one, "192.0.2.1"), Life::begin(two, "192.0.2.2"));
    assert_eq!(two.said(&["join", "192.0.2.1"]).0, Some(0));
    wait_until("each is the other's peer", LONG, || {
        !one.node.dump().peers.is_empty() && !two.node.dump().peers.is_empty()
    });
    assert!(one.node.reaches(&two.node) && two.node.reaches_by_ipv6(&one.node));
    (one, two)
}

/// Runs `task` with the links of the node's namespace and the number of its own.
fn links<T: Send>(node: &Node, task: impl AsyncFnOnce(&Links, u32) -> T + Send) -> T {
    node.namespace.enter(|| {
        block_on(async {
            let links = Links::open().expect("rtnetlink");
            let link = links.find(&node.interface).await.expect("links").expect("the link");
            task(&links, link.index).await
        })
    })
}

fn applied(node: &Node, operation: Operation) {
    node.with_device(async |device| device.apply(&[operation]).await.expect("changed"));
}

fn has(node: &Node, address: IpAddr) -> bool {
    links(node, async |links, index| links.has(index, address).await.expect("addresses"))
}

/// Both ways, and by both addresses.
pub fn through(one: &Life, two: &Life) -> bool {
    let dressed = |node: &Node| has(node, node.address.into()) && has(node, node.ula.into());
    dressed(&one.node) && dressed(&two.node) && one.node.reaches(&two.node) && two.node.reaches_by_ipv6(&one.node)
}

#[test]
fn what_is_changed_by_hand_is_put_right() {
    need!("what_is_changed_by_hand_is_put_right", no_wireguard());
    let (one, two) = pair();
    of_the_link(&one, &two);
    of_the_wire(&one);
    of_the_peers(&one, &two);
    of_the_device(&one, &two);
    if one.node.with_device(async |device| device.mode()) == Mode::Kernel {
        an_endpoint(&one, &two);
        deleted(&one, &two);
    }
}

fn of_the_link(one: &Life, two: &Life) {
    let node = &one.node;
    for (address, length) in [(IpAddr::V4(node.address), 16), (IpAddr::V6(node.ula), 64)] {
        links(node, async |links, index| links.remove_address(index, address).await.expect("taken off"));
        wait_until("the address is back", LONG, || has(node, address));

        links(node, async |links, index| {
            let route = links.route(index, address, length).await.expect("routes").expect("the mesh's");
            links.remove_route(route).await.expect("taken away");
        });
        let routed =
            async |links: &Links, index: u32| links.route(index, address, length).await.expect("routes").is_some();
        wait_until("the route is back", LONG, || links(node, routed));
        wait_until("and back again", LONG, || through(one, two));
    }
    links(node, async |links, index| links.set_down(index).await.expect("down"));
    wait_until("the link is up", LONG, || {
        node.namespace.enter(|| {
            block_on(async {
                let found = Links::open().expect("rtnetlink").find(&node.interface).await.expect("links");
                found.is_some_and(|link| link.up)
            })
        })
    });
    wait_until("a way through", LONG, || through(one, two));
}

/// The size of what is below decides that of the link.
fn of_the_wire(one: &Life) {
    for (below, inside) in [(1400, 1320), (1500, 1420)] {
        links(&one.node, async |links, _| {
            let wire = links.find("wire").await.expect("links").expect("the wire").index;
            links.set_mtu(wire, below).await.expect("another size");
        });
        let follows = async |links: &Links, _| {
            let link = links.find(&one.node.interface).await.expect("links").expect("the link");
            link.mtu == Some(inside)
        };
        wait_until("the link follows the wire", LONG, || links(&one.node, follows));
    }
}

fn of_the_peers(one: &Life, two: &Life) {
    let node = &one.node;
    let right = node.dump().peers.remove(0);
    let is_right = || {
        let peers = node.dump().peers;
        let same = |peer: &ObservedPeer| {
            let ObservedPeer { key, allowed, keepalive, psk, .. } = peer;
            (*key, allowed.len(), *keepalive, psk) == (right.key, right.allowed.len(), right.keepalive, &right.psk)
        };
        peers.len() == 1 && peers.iter().all(same)
    };
    let stranger = PeerSpec {
        key: WgKey([9; 32]),
        allowed: vec![("10.42.9.9".parse().expect("an address"), 32)],
        ..two.node.peer("192.0.2.9:9")
    };
    applied(node, Operation::Add(stranger));
    applied(node, Operation::Remove(right.key));
    assert!(!is_right());
    wait_until("the member is a peer, and nobody else", MINUTE, is_right);
    let changed = Operation::Update {
        key: right.key,
        endpoint: None,
        allowed: Some(vec![("10.42.9.9".parse().expect("an address"), 32)]),
        keepalive: Some(7),
        psk: Some(Psk::new([5; 32])),
    };
    applied(node, changed);
    assert!(!is_right());
    wait_until("the peer as it was", MINUTE, is_right);
    wait_until("a way through", LONG, || through(one, two));
}

fn of_the_device(one: &Life, two: &Life) {
    let node = &one.node;
    let mut stranger = Zeroizing::new([0x70; 32]);
    stranger[31] = 0x40;
    node.with_device(async |device| device.configure(Some(&stranger), Some(51999)).await.expect("changed"));
    let seen = || {
        let seen = node.dump();
        (seen.public_key, seen.port)
    };
    assert_ne!(seen(), (Some(node.key), 51820));
    wait_until("key and port as they were", MINUTE, || seen() == (Some(node.key), 51820));
    wait_until("a way through", LONG, || through(one, two));
    let said = "was not as it should be; this is as it was again: its private key, its port";
    wait_until("it says so", LONG, || one.log().contains(said));
    assert_eq!(one.log().matches(said).count(), 1, "{}", one.log());
}

fn an_endpoint(one: &Life, two: &Life) {
    let node = &one.node;
    let right = node.dump().peers.remove(0);
    let key = right.key;
    let nowhere = Some("192.0.2.77:1".parse().expect("an endpoint"));
    let moved = Operation::Update { key, endpoint: nowhere, allowed: None, keepalive: None, psk: None };
    applied(node, moved);
    assert_eq!(node.dump().peers[0].endpoint, nowhere);
    wait_until("the endpoint as it was", MINUTE, || node.dump().peers[0].endpoint == right.endpoint);
    wait_until("a way through", LONG, || through(one, two));
}

fn deleted(one: &Life, two: &Life) {
    let node = &one.node;
    let before = node.index();
    links(node, async |links, index| links.delete(index).await.expect("deleted"));
    wait_until("the link is made anew", LONG, || node.index().is_some_and(|index| Some(index) != before));
    wait_until("it has its peer", LONG, || !node.dump().peers.is_empty());
    wait_until("a way through", LONG, || through(one, two));
    assert!(one.log().contains("info: somebody deleted"), "{}", one.log());

    // Who takes it down does so.
    assert!(node.run(&["wg0", "--down"]).status.success());
    wait_until("the agent waits", LONG, || {
        one.log().matches("there is no WireGuard link of that name yet").count() > 1
    });
    let asked = std::time::Instant::now();
    wait_until("longer than a deleted link takes", LONG, || asked.elapsed() > Duration::from_secs(4));
    assert_eq!(node.index(), None);
    assert_eq!(one.log().matches("info: somebody deleted").count(), 1, "{}", one.log());
}
