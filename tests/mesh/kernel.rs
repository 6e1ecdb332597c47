//! What only the kernel's WireGuard can show.

use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use clusteros_init::agent::wg::Links;
use clusteros_init::mesh::Identity;
use zeroize::Zeroizing;

use crate::heal;
use crate::kit::{SOON, wait_until};
use crate::life::LONG;
use crate::need;
use crate::scenes::{many, pair};
use crate::world::{Node, block_on, no_kernel_wireguard, no_machine, now};

#[test]
fn running_it_again_changes_nothing() {
    need!("running_it_again_changes_nothing", no_kernel_wireguard());
    let (one, two) = (Node::new(), Node::new());
    one.namespace.wire(&two.namespace);
    for node in [&one, &two] {
        let (mut agent, _) = node.up();
        assert!(agent.ended().success(), "{}", agent.log());
    }
    one.reconcile(&[two.peer("192.0.2.2:51820")]);
    two.reconcile(&[one.peer("192.0.2.1:51820")]);
    assert!(one.reaches(&two));
    let (before, index) = (one.dump(), one.index());
    let again = one.run(&["wg0"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(one.index(), index);
    assert!(one.reaches(&two));
    assert_eq!(one.dump().peers[0].handshake, before.peers[0].handshake, "a new session");
    for node in [&one, &two] {
        assert!(node.run(&["wg0", "--down"]).status.success());
        assert_eq!(node.index(), None);
    }
}

#[test]
fn the_link_of_somebody_else_is_left_alone() {
    need!("the_link_of_somebody_else_is_left_alone", no_kernel_wireguard());
    let node = Node::new();
    assert!(node.up_as(&node.stranger()).is_ok());
    let theirs = node.dump();
    for arguments in [["wg0"].as_slice(), &["wg0", "--down"]] {
        let output = node.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{text}");
        assert!(text.contains("is there already and is not ours (wireguard, alias clusteros:a stranger)"), "{text}");
    }
    assert_eq!(node.dump(), theirs);
}

/// The kernel clamps a private key, and compares the next one that it is sent with that.
#[test]
fn the_own_key_as_the_kernel_keeps_it_is_no_new_one() {
    need!("the_own_key_as_the_kernel_keeps_it_is_no_new_one", no_kernel_wireguard());
    let (one, two, _agents, _) = pair();
    assert!(one.reaches(&two));
    let handshake = || one.dump().peers[0].handshake.expect("a handshake");
    let before = handshake();
    let text = std::fs::read_to_string(one.root.join("var/lib/cluster-os/identity.json")).expect("an identity");
    let mut key: Zeroizing<[u8; 32]> = Identity::parse(&text).expect("an identity").wireguard_secret();
    key[0] &= 0b1111_1000;
    key[31] = key[31] & 0b0111_1111 | 0b0100_0000;
    wait_until("a later second", SOON, || now() > before);
    let send = |key: &Zeroizing<[u8; 32]>| {
        one.with_device(async |device| device.configure(Some(key), None).await.expect("taken"));
        assert_eq!(one.dump().public_key, Some(one.key));
        assert!(one.reaches(&two));
    };
    send(&key);
    assert_eq!(handshake(), before, "a new session");
    key[0] |= 0b0000_0111;
    send(&key);
    assert!(handshake() > before, "the session is the old one: is there anything to clamp for?");
}

#[test]
fn a_port_that_another_has_leaves_the_one_that_was() {
    need!("a_port_that_another_has_leaves_the_one_that_was", no_kernel_wireguard());
    let node = Node::new();
    let (_agent, _) = node.up();
    let _taken = node.namespace.enter(|| UdpSocket::bind("0.0.0.0:51999")).expect("the port");
    let error = node.with_device(async |device| device.configure(None, Some(51999)).await.expect_err("taken"));
    let said = "UDP port 51999 is taken by another program; stop it, or choose another port with WIREGUARD_PORT";
    assert_eq!((error.to_string().as_str(), node.dump().port), (said, 51820));
}

/// Deleting a link takes the kernel some 12 ms for each peer that it still has.
#[test]
fn taking_a_link_down_costs_less_than_deleting_it() {
    need!("taking_a_link_down_costs_less_than_deleting_it", no_kernel_wireguard());
    const FEW: u32 = 100;
    let took = |peers: u32, end: &dyn Fn(&Node)| {
        let node = Node::new();
        let (_agent, _) = node.up();
        assert_eq!(node.reconcile(&many(peers)).len(), peers as usize);
        let begun = Instant::now();
        end(&node);
        let took = begun.elapsed();
        assert_eq!(node.index(), None);
        took
    };
    let deleted = took(FEW, &|node| {
        node.namespace.enter(|| {
            block_on(async {
                let links = Links::open().expect("rtnetlink");
                links
                    .delete(links.find(&node.interface).await.expect("links").expect("it").index)
                    .await
                    .expect("deleted");
            });
        });
    });
    let down = |peers| {
        took(peers, &|node| {
            let down = node.run(&["wg0", "--down"]);
            assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
        })
    };
    // A process of the tests' own build takes its time to start, in an emulated machine seconds.
    let (start, whole) = (down(0), down(1000));
    eprintln!(
        "{FEW} peers deleted with their link: {deleted:?}; 1000 cleared before it: {whole:?}, {start:?} of it without any"
    );
    let most = deleted * (1000 / FEW) / 6;
    assert!(
        whole.saturating_sub(start) < most.max(Duration::from_secs(1)),
        "1000 peers took {whole:?}, {FEW} {deleted:?}"
    );
}

/// The kernel's module, which the tests take away for a while.
struct Module;

impl Module {
    fn remove() -> Module {
        // The kernel loads it by itself when a link is asked for.
        std::fs::write("/proc/sys/kernel/modprobe", "/bin/false").expect("a sysctl");
        wait_until("the module is unloaded", SOON, || module(&["-r", "wireguard"]));
        Module
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        assert!(module(&["wireguard"]));
        std::fs::write("/proc/sys/kernel/modprobe", "/sbin/modprobe").expect("a sysctl");
    }
}

fn module(words: &[&str]) -> bool {
    Command::new("modprobe").args(words).status().is_ok_and(|status| status.success())
}

#[test]
fn a_kernel_that_learns_wireguard_takes_over_when_the_unit_restarts() {
    need!(
        "a_kernel_that_learns_wireguard_takes_over_when_the_unit_restarts",
        no_kernel_wireguard().or_else(no_machine)
    );
    let module = Module::remove();
    let (one, two) = heal::pair();
    let says = |words: &str| one.said(&["status"]).1.contains(words);
    assert!(says("in USERSPACE: this kernel has no WireGuard, so it is slower"), "{}", one.said(&["status"]).1);
    drop(module);
    assert!(says("in USERSPACE"));
    // As `initctl restart wg0` does.
    assert!(one.node.run(&["wg0", "--down"]).status.success());
    let (_agent, said) = one.node.up();
    assert_eq!(said, "READY=1\nSTATUS=kernel WireGuard");
    wait_until("its peer is back", LONG, || !one.node.dump().peers.is_empty());
    wait_until("a way through", LONG, || heal::through(&one, &two));
    assert!(says(", in the kernel, MTU 1420"), "{}", one.said(&["status"]).1);
}
