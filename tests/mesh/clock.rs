//! A host whose clock is behind: set forward by what is kept on its disk, and heard by the others all the same where nothing is.

use std::fs;
use std::time::{Duration, Instant};

use clusteros_init::mesh::peers::{ObservedPeer, Operation, PeerSpec};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};

use crate::heal::pair;
use crate::kit::{SOON, wait_until};
use crate::life::{LONG, Life};
use crate::need;
use crate::world::{Node, no_kernel_wireguard, no_machine, no_wireguard, now};

const DAY: u64 = 86_400;

fn kept(node: &Node) -> std::path::PathBuf {
    node.root.join("var/lib/cluster-os/clock")
}

/// The clock of the machine, so many seconds ahead, until it is dropped.
struct Clock {
    began: Instant,
    at: u64,
}

impl Clock {
    fn begin() -> Clock {
        Clock { began: Instant::now(), at: now() }
    }

    /// Sets it so many seconds ahead of what it would be.
    fn set(&self, ahead: u64) {
        let to = self.at + self.began.elapsed().as_secs() + ahead;
        clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::new(to.cast_signed(), 0)).expect("the right to set the clock");
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Has `node` begin a session with `other`, which knows the time of it then; of one that it began itself it does not.
fn begin(node: &Node, other: &Node) {
    let ObservedPeer { key, endpoint, allowed, keepalive, psk, .. } = node.dump().peers.remove(0);
    let before = other.dump().peers[0].handshake.expect("a session");
    wait_until("a later second", SOON, || now() > before);
    let spec = PeerSpec { key, endpoint, allowed, keepalive, psk };
    let anew = [Operation::Remove(key), Operation::Add(spec)];
    node.with_device(async |device| device.apply(&anew).await.expect("changed"));
    wait_until("another session", SOON, || other.dump().peers[0].handshake.is_some_and(|at| at > before));
}

/// Ends the node at once, and what it knows of the time.
fn end(two: Life) -> Node {
    let node = two.end();
    fs::remove_file(kept(&node)).expect("the time that was kept");
    node
}

/// The kernel refuses what an older clock sends to a key that it has heard.
#[test]
fn a_node_whose_clock_is_a_day_back_is_connected_within_ten_seconds() {
    need!(
        "a_node_whose_clock_is_a_day_back_is_connected_within_ten_seconds",
        no_kernel_wireguard().or_else(no_machine)
    );
    let clock = Clock::begin();
    clock.set(DAY);
    let (one, two) = pair();
    begin(&two.node, &one.node);
    let text = fs::read_to_string(kept(&two.node)).expect("the time is kept");
    let ahead: u64 = text.trim().parse().expect("seconds");
    assert!(now() - ahead < 600, "{text}");
    let anew = || one.log().matches("is made anew: it was of an earlier run of its host, or dead").count();

    // All of the machine is a day back, and the host of neither says that it started anew.
    clock.set(0);
    let two = Life::begin(end(two), "192.0.2.2");
    wait_until("it knows its peer", LONG, || !two.node.dump().peers.is_empty());
    assert!(!two.node.reaches(&one.node), "what is there to be done?");
    assert_eq!((anew(), two.node.dump().peers[0].handshake), (0, None));

    // Another run of its host.
    let mut node = end(two);
    node.boot_id = Some("0badcafe-0000-4000-8000-000000000000\n");
    let two = Life::begin(node, "192.0.2.2");
    let began = Instant::now();
    assert!(two.node.reaches(&one.node), "{:?} {:?}", two.node.dump(), one.node.dump());
    eprintln!("connected {:?} after it was up", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(one.node.reaches(&two.node));
    assert_eq!(anew(), 1, "{}", one.log());

    // The time on its disk.
    fs::write(kept(&two.node), text).expect("the time");
    let node = two.end();
    let log = node.up().0.log();
    assert!(now() >= ahead, "{} {ahead}", now());
    let said = "node-agent: info: the clock was behind: it is set forward from ";
    assert!(log.starts_with(said) && log.contains(", when this node was up last\n"), "{log}");
}

#[test]
fn a_host_that_starts_anew_is_reached_in_user_space_too() {
    need!("a_host_that_starts_anew_is_reached_in_user_space_too", no_wireguard());
    let (one, two) = pair();
    let mut node = two.end();
    node.boot_id = Some("0badcafe-0000-4000-8000-000000000000\n");
    let two = Life::begin(node, "192.0.2.2");
    assert!(two.node.reaches(&one.node) && one.node.reaches(&two.node), "{}", one.log());
    assert!(one.log().matches("is made anew: ").count() <= 1, "{}", one.log());
}

#[test]
fn a_time_that_cannot_be_believed_is_said_and_one_of_a_host_is_the_hosts() {
    need!("a_time_that_cannot_be_believed_is_said_and_one_of_a_host_is_the_hosts", no_wireguard());
    let said = |text: &str| {
        let node = Node::new();
        fs::write(kept(&node), text).expect("the time");
        let before = now();
        let (agent, _) = node.up_with(&[("container", "test")]);
        assert!(now() - before < 3600, "the clock was set");
        assert!(node.run(&["wg0", "--down"]).status.success());
        let (log, path) = (agent.log(), kept(&node).display().to_string());
        let warning =
            log.lines().find(|line| line.contains("warning: unable to ")).map(|line| line.replace(&path, "FILE"));
        warning.unwrap_or_default()
    };
    let unable = "node-agent: warning: unable to use the time in FILE: ";
    let left = "; it is left out, and written anew";
    assert_eq!(said("soon\n"), format!("{unable}it is damaged: no seconds since 1970{left}"));
    let far = "4294967295 seconds since 1970 are more than ten years after this program was built";
    assert_eq!(said("4294967295\n"), format!("{unable}{far}{left}"));
    let behind = said(&format!("{}\n", now() + DAY));
    assert!(behind.starts_with("node-agent: warning: unable to set the clock forward from "), "{behind}");
    let end = ", when this node was up last: this is a container, and the clock is its host's; set it on the host, or other nodes may not \
               hear this one at once";
    assert!(behind.ends_with(end), "{behind}");
    assert_eq!(said(&format!("{}\n", now() - DAY)), "");
}
