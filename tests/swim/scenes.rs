//! What is played on the network, and the figures of it.

use std::collections::HashMap;
use std::time::Duration;

use clusteros_init::gossip::Dice;
use clusteros_init::gossip::swim::State;
use clusteros_init::unit::Time;

use super::world::{Heard, Traffic, World};

const MINUTE: Duration = Duration::from_secs(60);

/// What a quiet cluster says: datagrams, bytes of those and bytes of streams, a node a second.
pub struct Quiet {
    pub datagrams: f64,
    pub bytes: f64,
    pub stream_bytes: f64,
}

/// Everybody starts within a second and joins one of the first three; until all know all.
pub fn gather(seed: u64, nodes: usize) -> Duration {
    let mut world = World::new(seed);
    let mut starts: Vec<_> = (0..nodes).map(|_| Duration::from_secs(1).mul_f64(world.dice.fraction())).collect();
    starts.sort();
    let began = world.now;
    for (node, start) in starts.into_iter().enumerate() {
        let wait = (began + start).since(world.now);
        world.pass(wait);
        world.start(node, b"tags");
        if node > 0 {
            let seed = world.dice.below(node.min(3));
            world.join(node, seed);
        }
    }
    let last = world.now;
    let took = world.until(10 * MINUTE, World::is_settled).expect("all know all");
    assert!(world.is_of_one_mind());
    assert!(world.log.iter().all(|line| line.heard == Heard::Joined), "nobody is lost on the way");
    took + last.since(world.now)
}

/// One more joins; until everybody knows it.
pub fn arrive(seed: u64, nodes: usize) -> Duration {
    let mut world = World::founded(seed, nodes);
    world.pass(Duration::from_secs(2));
    world.start(nodes, b"tags");
    let other = world.dice.below(nodes);
    world.join(nodes, other);
    let took = world.until(MINUTE, World::is_settled).expect("everybody knows it");
    assert!(world.is_of_one_mind());
    took
}

/// Nothing happens for a minute.
pub fn rest(seed: u64, nodes: usize) -> Quiet {
    let mut world = World::founded(seed, nodes);
    world.pass(Duration::from_secs(5));
    world.traffic = Traffic::default();
    world.pass(MINUTE);
    assert_eq!(world.log.len(), 0, "nothing happens");
    let each = nodes as f64 * MINUTE.as_secs_f64();
    let Traffic { datagrams, bytes, stream_bytes, .. } = world.traffic;
    Quiet { datagrams: datagrams as f64 / each, bytes: bytes as f64 / each, stream_bytes: stream_bytes as f64 / each }
}

/// One is killed, or its host is; until the first and the last know it.
pub fn kill(seed: u64, nodes: usize, host: bool) -> [Duration; 2] {
    let mut world = World::founded(seed, nodes);
    world.pass(Duration::from_secs(3));
    let victim = world.dice.below(nodes);
    let killed = world.now;
    if host {
        world.cut_off(victim)
    } else {
        world.kill(victim)
    }
    world.until(5 * MINUTE, World::is_settled).expect("everybody knows it");
    assert!(world.is_of_one_mind());
    assert!(world.log.iter().all(|line| (line.heard, line.subject) == (Heard::Failed, victim)), "nobody else fails");
    let first = world.log.first().expect("somebody hears of it").at;
    // memberlist's formula: a round of probes fails, then a suspicion runs out.
    assert!(first.since(killed) >= world.profile.suspicion_min(nodes));
    assert!(world.now.since(killed) <= 6 * world.profile.probe_interval + world.profile.suspicion_max(nodes));
    [first.since(killed), world.now.since(killed)]
}

/// One leaves; until everybody knows it, and until it need not be there any more.
pub fn leave(seed: u64, nodes: usize) -> [Duration; 2] {
    let mut world = World::founded(seed, nodes);
    world.pass(Duration::from_secs(2));
    let (who, began) = (world.dice.below(nodes), world.now);
    world.leave(who);
    let departed = world.until(MINUTE, |world| world.has_departed(who)).expect("it has left");
    let others = |world: &World| world.log.iter().filter(|line| line.observer != who).count();
    let told = |world: &World| world.log.len() >= nodes - 1 && others(world) == nodes - 1;
    world.until(MINUTE, told).expect("everybody knows it");
    let known = world.log.last().expect("somebody hears of it").at.since(began);
    world.kill(who);
    world.pass(MINUTE);
    assert!(world.is_of_one_mind());
    assert!(world.log.iter().all(|line| (line.heard, line.subject) == (Heard::Left, who)), "it left and did not fail");
    [known, departed]
}

/// One is killed and comes back after so long, as if it had never been, with other tags; until everybody has those.
pub fn come_back(seed: u64, nodes: usize, after: Duration) -> Duration {
    let mut world = World::founded(seed, nodes);
    world.pass(Duration::from_secs(2));
    let who = world.dice.below(nodes);
    world.kill(who);
    world.pass(after);
    world.start(who, b"other tags");
    let began = world.now;
    world.join(who, (who + 1) % nodes);
    let others = || (0..nodes).filter(|node| *node != who);
    loop {
        world.pass(Duration::from_millis(10));
        let news = |seen: Option<(State, u32, Vec<u8>)>| {
            seen.is_some_and(|(state, incarnation, meta)| {
                state == State::Alive && incarnation > 1 && meta == b"other tags"
            })
        };
        if others().all(|node| news(world.seen(node, who))) {
            break;
        }
        assert!(world.now.since(began) < 3 * MINUTE, "everybody knows the new one");
    }
    let took = world.now.since(began);
    world.pass(2 * MINUTE);
    assert!(world.is_settled() && world.is_of_one_mind());
    took
}

/// What loss does.
pub struct Doubt {
    /// How many were believed to have failed who had not, at different times.
    pub incidents: usize,
    /// How long each who believed so did, the shortest first.
    pub spans: Vec<Duration>,
}

/// Datagrams and packets of streams are lost, late and out of order for this long; nobody fails.
pub fn lose(seed: u64, nodes: usize, loss: f64, span: Duration) -> Doubt {
    let mut world = lossy(seed, nodes, loss);
    world.pass(span);
    // Time to object, and the loss goes on.
    world.until(2 * MINUTE, World::is_settled).expect("what was believed wrongly is taken back");
    assert!(world.is_of_one_mind());
    let mut open = HashMap::<(usize, usize), Time>::new();
    let mut last = HashMap::<usize, Time>::new();
    let mut doubt = Doubt { incidents: 0, spans: Vec::new() };
    for line in &world.log {
        let pair = (line.observer, line.subject);
        match line.heard {
            Heard::Failed => {
                let before = last.insert(line.subject, line.at);
                doubt.incidents += usize::from(before.is_none_or(|before| line.at.since(before) > MINUTE));
                open.insert(pair, line.at);
            }
            Heard::Joined => doubt.spans.extend(open.remove(&pair).map(|since| line.at.since(since))),
            Heard::Left | Heard::Conflict | Heard::Updated => panic!("{line:?}: nobody did that"),
        }
    }
    doubt.spans.sort();
    doubt
}

/// One is cut off until all others believe it dead, while datagrams are lost all the time; how long each believes so after that,
/// the shortest first.
pub fn doubted(seed: u64, nodes: usize, loss: f64) -> Vec<Duration> {
    let mut world = lossy(seed, nodes, loss);
    world.pass(Duration::from_secs(3));
    let victim = world.dice.below(nodes);
    world.side(victim, 1);
    world.cut = true;
    let gone = |world: &World| {
        let of_it = world.log.iter().filter(|line| (line.heard, line.subject) == (Heard::Failed, victim));
        world.log.len() >= nodes - 1 && of_it.count() == nodes - 1
    };
    world.until(3 * MINUTE, gone).expect("all believe it dead");
    world.cut = false;
    let (began, told) = (world.now, world.log.len());
    world.until(10 * MINUTE, World::is_settled).expect("all take it back");
    assert!(world.is_of_one_mind());
    let back = world.log[told..].iter().filter(|line| (line.heard, line.subject) == (Heard::Joined, victim));
    // Of each the last.
    let last: HashMap<_, _> = back.map(|line| (line.observer, line.at)).collect();
    let mut spans: Vec<_> = last.into_values().map(|at| at.since(began)).collect();
    spans.sort();
    spans
}

/// A cluster on a bad network, whose nodes seek whom they lost.
fn lossy(seed: u64, nodes: usize, loss: f64) -> World {
    let mut world = World::founded(seed, nodes);
    world.loss = loss;
    world.delay = [Duration::from_millis(1), Duration::from_millis(60)];
    world.reconnect = true;
    world
}

/// So many nodes are cut off from the others for this long; until all know all again.
pub fn split(seed: u64, nodes: usize, part: usize, span: Duration) -> Duration {
    let mut world = World::founded(seed, nodes);
    world.reconnect = true;
    world.pass(Duration::from_secs(2));
    (0..nodes).for_each(|node| world.side(node, usize::from(node >= part)));
    world.cut = true;
    world.pass(span);
    let crossing = |line: &&super::world::Line| (line.observer >= part) != (line.subject >= part);
    assert!(world.log.iter().all(|line| crossing(&line)), "only those of the other side fail");
    assert_eq!(world.log.len(), 2 * part * (nodes - part));
    world.cut = false;
    let took = world.until(20 * MINUTE, World::is_settled).expect("all know all again");
    assert!(world.is_of_one_mind());
    world.pass(MINUTE);
    assert!(world.is_of_one_mind(), "and it stays so");
    took
}
