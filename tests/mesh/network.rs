//! `node-agent network`, on a machine that has nothing up yet.

use std::net::UdpSocket;
use std::process::Output;

use crate::need;
use crate::world::{Namespace, Node, no_network};

fn network(node: &Node, variables: &[(&str, &str)]) -> Output {
    node.namespace.enter(|| node.command(&["network"]).envs(variables.iter().copied()).output().expect("node-agent"))
}

fn said(output: &Output) -> (String, Option<i32>) {
    (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code())
}

#[test]
fn it_waits_for_the_interface_and_does_nothing_twice() {
    need!("it_waits_for_the_interface_and_does_nothing_twice", no_network());
    let (node, other) = (Node::new(), Namespace::new());
    let wish = [("NODE_ADDRESS", "198.51.100.7/24"), ("NODE_GATEWAY", "198.51.100.1"), ("NODE_INTERFACE", "wire")];
    let first = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| network(&node, &wish));
        node.namespace.wire(&other);
        waiting.join().expect("node-agent")
    });
    let line = "node-agent: info: wire is up: 198.51.100.7/24, default route over 198.51.100.1\n";
    assert_eq!(said(&first), (line.to_owned(), Some(0)));
    assert_eq!(said(&network(&node, &wish)), (line.to_owned(), Some(0)));
    let left = node.namespace.enter(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        socket.connect("203.0.113.9:9").expect("a route");
        socket.local_addr().expect("an address").ip()
    });
    assert_eq!(left.to_string(), "198.51.100.7");
}

#[test]
fn a_gateway_beside_the_network_is_a_mistake() {
    need!("a_gateway_beside_the_network_is_a_mistake", no_network());
    let (node, other) = (Node::new(), Namespace::new());
    node.namespace.wire(&other);
    let wish = [("NODE_ADDRESS", "198.51.100.7/24"), ("NODE_GATEWAY", "203.0.113.1")];
    let line = "node-agent: error: unable to set the default route over 203.0.113.1 on wire: it is not in the network of \
                198.51.100.7/24; correct NODE_GATEWAY or NODE_ADDRESS\n";
    assert_eq!(said(&network(&node, &wish)), (line.to_owned(), Some(78)));
}

#[test]
fn without_an_address_only_lo_comes_up() {
    need!("without_an_address_only_lo_comes_up", no_network());
    assert_eq!(said(&network(&Node::new(), &[])), (String::new(), Some(0)));
}

#[test]
fn an_address_to_announce_may_come_late() {
    need!("an_address_to_announce_may_come_late", no_network());
    let (node, other) = (Node::new(), Namespace::new());
    std::fs::write(node.root.join("etc/cluster-os/node.yaml"), "discovery: {}\n").expect("node.yaml");
    let identity = || std::fs::read(node.root.join("var/lib/cluster-os/identity.json")).expect("an identity");
    let before = identity();
    let (text, code) = said(&node.run(&["init"]));
    assert_eq!(code, Some(70), "{text}");
    let line = "node-agent: error: unable to find an address that other nodes can reach: no interface has one yet; trying \
                again, or set NODE_ADVERTISE\n";
    assert!(text.ends_with(line), "{text}");
    node.namespace.wire(&other);
    let (text, code) = said(&node.run(&["init"]));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("announcing 192.0.2.1 to the other nodes"), "{text}");
    assert_eq!(identity(), before);
}
