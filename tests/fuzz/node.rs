//! What is thrown at a whole node: by clients, by other nodes, and by both in any order.

use std::net::SocketAddr;
use std::time::Duration;

use clusteros_init::gossip::Dice;
use clusteros_init::gossip::node::{Action, Event, Link, Node, Setup};
use clusteros_init::gossip::rpc::Secret;
use clusteros_init::gossip::serf::{Config, Past};
use clusteros_init::gossip::swim::LAN;
use clusteros_init::gossip::wire::message::Addr;
use clusteros_init::gossip::wire::tags::Tags;
use clusteros_init::unit::Time;

/// Dice from a seed (an odd step through all numbers).
struct Steps(u64);

impl Dice for Steps {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        self.0.rotate_left(23)
    }
}

fn node(now: Time, dice: &mut Steps) -> Node {
    let setup = Setup {
        serf: Config::new("a1".into(), Addr(vec![127, 0, 0, 1]), 17946),
        profile: LAN,
        keyring: None,
        compress: false,
        secret: Secret::default(),
        join: Vec::new(),
        seeds: Vec::new(),
        retry_interval: Duration::from_secs(30),
        retry_max: 0,
        replay: false,
        broadcast_timeout: Duration::from_secs(5),
        runtime: Vec::new(),
        event_handlers: Tags::new(),
    };
    Node::new(setup, Past::default(), now, dice).expect("a node")
}

/// What a client says after its handshake, in pieces: every question is answered, and there is an end to it.
pub fn clients(bytes: &[u8]) {
    let mut dice = Steps(1);
    let now = Time::ZERO + Duration::from_secs(1);
    let mut node = node(now, &mut dice);
    let link = node.client(now).expect("room");
    let hello = b"\x82\xa7Command\xa9handshake\xa3Seq\x01\x81\xa7Version\x01";
    for piece in std::iter::once(&hello[..]).chain(bytes.chunks(97)) {
        node.handle(now, Event::Received { link, bytes: piece }, &mut dice);
        drain(&mut node, &mut dice, now, &mut Vec::new());
    }
    take(&mut node, link);
    node.handle(now + Duration::from_secs(60), Event::Tick, &mut dice);
    take(&mut node, link);
}

/// Everything that can happen, in any order: a byte for what, one for the time before it, two for how many bytes it is of.
pub fn nodes(bytes: &[u8]) {
    let mut dice = Steps(2);
    let mut now = Time::ZERO + Duration::from_secs(1);
    let mut node = node(now, &mut dice);
    let mut links = Vec::new();
    let from = |at: u8| SocketAddr::from(([127, 0, 0, at % 4 + 1], 17946));
    let mut rest = bytes;
    while let Some(([what, wait, low, high], behind)) = rest.split_first_chunk() {
        let count = usize::from(u16::from_le_bytes([*low, *high])).min(behind.len());
        let (bytes, behind) = behind.split_at(count);
        rest = behind;
        now = now + Duration::from_millis(u64::from(*wait) * 10);
        let link = links.get(usize::from(*what / 8) % links.len().max(1)).copied();
        match (what % 8, link) {
            (0 | 1, _) => node.handle(now, Event::Datagram { from: from(*what / 8), bytes }, &mut dice),
            (2, _) => links.extend(node.accept(now, from(*what / 8))),
            (3, _) => links.extend(node.client(now)),
            (4 | 5, Some(link)) => node.handle(now, Event::Received { link, bytes }, &mut dice),
            (6, Some(link)) => node.handle(now, Event::Gone { link, why: None, refused: count % 2 == 1 }, &mut dice),
            (6, None) => node.handle(now, Event::Unheard { to: from(*what / 8) }, &mut dice),
            (7, Some(link)) => node.handle(now, Event::Connected(link), &mut dice),
            _ => {}
        }
        drain(&mut node, &mut dice, now, &mut links);
        // After a long time what begins may be over already.
        let mut ticks = 0;
        while ticks == 0 || node.deadline().is_some_and(|due| due <= now) {
            node.handle(now, Event::Tick, &mut dice);
            drain(&mut node, &mut dice, now, &mut links);
            links.iter().for_each(|link| take(&mut node, *link));
            ticks += 1;
            assert!(ticks < 5, "it would be asked again and again");
        }
    }
    assert!(node.serf().member(node.name()).is_some(), "a node is a member of its own cluster");
}

/// Does what can be done without a network.
fn drain(node: &mut Node, dice: &mut Steps, now: Time, links: &mut Vec<Link>) {
    let mut count = 0;
    while let Some(action) = node.next() {
        count += 1;
        assert!(count < 100_000, "no end");
        match action {
            Action::Send { bytes, .. } => assert!(!bytes.is_empty() && bytes.len() <= 65_507, "{}", bytes.len()),
            Action::Connect { link, .. } => links.push(link),
            Action::Close(link) => links.retain(|open| *open != link),
            Action::Resolve { lookup, host, port } => {
                let found = host.parse().map(|ip| vec![SocketAddr::new(ip, port)]).map_err(|_| "no such host".into());
                node.handle(now, Event::Found { lookup, found }, dice);
            }
            Action::Keyring { key, .. } => node.handle(now, Event::Kept { key, why: None }, dice),
            Action::Happened(_) | Action::Snapshot(_) | Action::Tags(_) | Action::Log(..) | Action::Exit { .. } => {}
        }
    }
}

fn take(node: &mut Node, link: Link) {
    let mut rounds = 0;
    while !node.output(link).is_empty() {
        let count = node.output(link).len();
        node.wrote(link, count);
        rounds += 1;
        assert!(rounds < 1_000_000, "no end");
    }
}
