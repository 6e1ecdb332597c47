//! What cannot be done is said in one line, with what to do about it.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Command, Output};

use crate::need;
use crate::world::{Node, no_kernel_wireguard, no_network, no_wireguard};

fn refused(node: &Node, output: &Output, code: i32, cause: &str) {
    let expected = format!("node-agent: error: unable to bring up {}: {cause}\n", node.interface);
    assert_eq!(
        (String::from_utf8_lossy(&output.stderr).as_ref(), output.status.code()),
        (expected.as_str(), Some(code))
    );
    assert_eq!(node.index(), None);
    assert!(!node.socket().exists());
}

fn through(node: &Node, before: &[&str]) -> Output {
    node.namespace.enter(|| node.command_through(before, &["wg0"]).output().expect("the program"))
}

#[test]
fn without_the_capability() {
    let before = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];
    let tried = Command::new(before[0]).args(&before[1..]).arg("true").output();
    let able = tried.is_ok_and(|output| output.status.success());
    need!(
        "without_the_capability",
        no_network().or_else(|| (!able).then(|| "no setpriv(1) that drops capabilities".to_owned()))
    );
    let node = Node::new();
    let output = through(&node, &before);
    let cause = "no permission to change the network; give the container CAP_NET_ADMIN (--cap-add NET_ADMIN)";
    refused(&node, &output, 78, cause);
}

#[test]
fn without_a_tun_device() {
    need!("without_a_tun_device", no_wireguard());
    if no_kernel_wireguard().is_none() {
        eprintln!("skipped: without_a_tun_device: the kernel has WireGuard");
        return;
    }
    let node = Node::new();
    for (options, cause) in [("ro", "No such file or directory"), ("nodev", "Permission denied")] {
        let hide = format!("mount -t tmpfs -o {options} none /dev/net && exec \"$@\"");
        let output = through(&node, &["unshare", "--mount", "sh", "-c", &hide, "sh"]);
        let text = format!(
            "this kernel has no WireGuard and /dev/net/tun cannot be used ({cause}); \
             load the wireguard module on the host, or give the container --device /dev/net/tun"
        );
        refused(&node, &output, 1, &text);
    }
}

#[test]
fn with_a_taken_port() {
    need!("with_a_taken_port", no_wireguard());
    let node = Node::new();
    let taken = node.namespace.enter(|| UdpSocket::bind("0.0.0.0:51820")).expect("the port");
    let output = node.run(&["wg0"]);
    let expected = format!(
        "node-agent: error: unable to bring up {}: UDP port 51820 is taken by another program; \
         stop it, or choose another port with WIREGUARD_PORT\n",
        node.interface
    );
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!((text.as_ref(), output.status.code()), (expected.as_str(), Some(1)));
    drop(taken);
    let (mut agent, _) = node.up();
    assert!(node.run(&["wg0", "--down"]).status.success());
    agent.ended();
}

#[test]
fn a_link_that_is_not_ours() {
    need!("a_link_that_is_not_ours", no_network());
    let node = Node::new();
    node.namespace.enter(|| {
        crate::world::block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection().expect("rtnetlink");
            let _connection = tokio::spawn(connection);
            let link = rtnetlink::LinkVeth::new(&node.interface, "other").build();
            handle.link().add(link).execute().await.expect("a link");
        });
    });
    for (arguments, verb) in [(["wg0"].as_slice(), "bring up"), (&["wg0", "--down"], "take down")] {
        let output = node.run(arguments);
        let expected = format!(
            "node-agent: error: unable to {verb} {0}: {0} is there already and is not ours (veth); \
             remove it, or choose another name\n",
            node.interface
        );
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!((text.as_ref(), output.status.code()), (expected.as_str(), Some(78)));
        assert!(node.index().is_some());
    }
}

/// The words of a refusal, which has changed nothing.
fn apart(node: &Node, clash: &str) {
    let output = node.run(&["wg0"]);
    let expected = format!("node-agent: error: unable to bring up {}: {clash}\n", node.interface);
    assert_eq!((String::from_utf8_lossy(&output.stderr).as_ref(), output.status.code()), (expected.as_str(), Some(78)));
    assert_eq!(node.index(), None);
    assert!(!node.socket().exists());
}

#[test]
fn a_mesh_that_overlaps_the_host() {
    need!("a_mesh_that_overlaps_the_host", no_wireguard());
    let (node, other) = (Node::new(), crate::world::Namespace::new());
    node.namespace.wire(&other);
    let over = |network: &str, length: u8, add: bool| {
        let network: Ipv4Addr = network.parse().expect("a network");
        node.namespace.enter(|| {
            crate::world::block_on(async {
                let (connection, handle, _) = rtnetlink::new_connection().expect("rtnetlink");
                let _connection = tokio::spawn(connection);
                let gateway = Ipv4Addr::new(192, 0, 2, 2);
                let route = rtnetlink::RouteMessageBuilder::<Ipv4Addr>::new()
                    .destination_prefix(network, length)
                    .gateway(gateway)
                    .build();
                if add {
                    handle.route().add(route).execute().await.expect("a route");
                } else {
                    handle.route().del(route).execute().await.expect("no route");
                }
            });
        });
    };
    let advice = "choose another range for the mesh with NODE_SUBNET, the same on every node";
    over("10.42.3.0", 24, true);
    apart(
        &node,
        &format!("the mesh 10.42.0.0/16 overlaps what this host has: 10.42.3.0/24 is routed over wire; {advice}"),
    );
    over("10.42.3.0", 24, false);

    // Less specific ones are no overlap, and its own link is none either.
    over("10.0.0.0", 8, true);
    over("0.0.0.0", 0, true);
    let (mut agent, _) = node.up();
    if no_kernel_wireguard().is_none() {
        assert!(agent.ended().success(), "{}", agent.log());
        assert!(node.run(&["wg0"]).status.success());
    }
    assert!(node.run(&["wg0", "--down"]).status.success());
    drop(agent);

    node.namespace.enter(|| {
        crate::world::block_on(async {
            let links = clusteros_init::agent::wg::Links::open().expect("rtnetlink");
            let link = links.find("wire").await.expect("links").expect("the wire");
            links.add_address(link.index, Ipv4Addr::new(10, 42, 7, 5), 24).await.expect("an address");
        });
    });
    apart(
        &node,
        &format!(
            "the mesh 10.42.0.0/16 overlaps what this host has: wire has 10.42.7.5/24, and 1 more like it; {advice}"
        ),
    );
    let moved = node.namespace.enter(|| {
        let mut command = node.command(&["info"]);
        command.env("NODE_SUBNET", "10.99.0.0/16").output().expect("node-agent")
    });
    assert!(moved.status.success());
}

#[test]
fn a_mesh_that_overlaps_what_k3s_gives_to_pods() {
    need!("a_mesh_that_overlaps_what_k3s_gives_to_pods", no_network());
    let node = Node::new();
    let path = node.root.join("etc/cluster-os/node.yaml");
    let text = format!(
        "networking:\n  interface: {}\nroles:\n  k3s: true\n  enabled: [server]\nk3s:\n  server:\n    cluster-cidr: 10.42.128.0/17\n",
        node.interface
    );
    std::fs::write(&path, text).expect("node.yaml");
    apart(
        &node,
        "k3s.server.cluster-cidr: 10.42.128.0/17 overlaps the mesh, 10.42.0.0/16; choose another range there, or another one \
         for the mesh with NODE_SUBNET, the same on every node",
    );
}
