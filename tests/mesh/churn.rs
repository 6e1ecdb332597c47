//! A crowd of nodes that leave, crash, move, and lose each other and their packets; and those among them that nothing happens to,
//! whose tunnels must not notice.
//!
//! `CHURN_NODES=20 CHURN_MINUTES=10` plays more than the default; `CHURN_SEED` begins with the same decisions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clusteros_init::gossip::Dice;
use clusteros_init::mesh::peers::WgKey;

use crate::collision::{agreed, join, own, report};
use crate::crowd::{Hub, Traffic, connected};
use crate::kit::{SOON, within};
use crate::life::{Gossip, LONG, Life};
use crate::need;
use crate::seeded::Seeded;
use crate::world::{Node, no_wireguard, now};

/// A mesh in which 20 nodes rarely have 20 addresses at once.
const SUBNET: &str = "  subnet: 10.99.0.0/25\n";
/// Nothing happens to so many nodes: the first ones.
const QUIET: usize = 3;
/// Sessions are made anew every 120 s (WireGuard's Rekey-After-Time), and not before unless the old one is lost.
const REKEY: u64 = 110;
/// The part of the packets that are lost where some are.
const LOSS: &str = "0.2";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    /// It leaves, ends, and comes back.
    Stop,
    /// Its power fails, and comes back.
    Kill,
    /// The same, and its host has another address then.
    Move,
    /// Its gossip is killed, and PID 1 starts it again.
    KillGossip,
    /// Its agent is.
    KillAgent,
    /// It reaches nobody for a while, and neither does the one that is cut off with it reach anybody else.
    Cut,
    /// Every fifth packet to it and from it is lost for a while.
    Lose,
    /// Its host gets another address while it runs.
    Roam,
}

const ACTS: [Act; 8] =
    [Act::Stop, Act::Kill, Act::Move, Act::KillGossip, Act::KillAgent, Act::Cut, Act::Lose, Act::Roam];

/// A place in the crowd, and what is there.
struct Place {
    life: Option<Life>,
    /// A node without power.
    node: Option<Node>,
    /// Where its wire is plugged in.
    port: u8,
    /// What happens to it, and until when.
    act: Option<(Act, Instant)>,
}

struct Crowd {
    hub: Hub,
    places: Vec<Place>,
    dice: Seeded,
    counts: BTreeMap<Act, usize>,
}

fn begin(node: Node, port: u8) -> Life {
    Life::begin_with(node, &Hub::address(port).to_string(), Gossip::Ours, SUBNET)
}

impl Crowd {
    /// A cluster of so many nodes, in which each has a tunnel to each.
    fn new(count: u8, seed: u64) -> Crowd {
        let hub = Hub::new();
        let mut places: Vec<Place> = Vec::new();
        for port in 1..=count {
            let node = Node::new();
            hub.plug(&node.namespace, port);
            let life = begin(node, port);
            if port > 1 {
                join(&life, 1);
            }
            places.push(Place { life: Some(life), node: None, port, act: None });
        }
        let mut crowd = Crowd { hub, places, dice: Seeded(seed), counts: BTreeMap::new() };
        crowd.meet();
        crowd
    }

    fn lives(&self) -> Vec<&Life> {
        self.places.iter().filter_map(|place| place.life.as_ref()).collect()
    }

    /// Waits until all have an address of their own, know those of the others, and have tunnels; how long that took.
    fn meet(&mut self) -> Duration {
        let began = Instant::now();
        let mut all = None;
        let met = within(3 * LONG, || {
            all = agreed(&self.lives());
            all.is_some()
        });
        assert!(met, "not all know all: {}", strangers(&self.lives()));
        connected(&self.lives());
        let took = began.elapsed();
        for (place, address) in self.places.iter_mut().zip(all.expect("addresses")) {
            place.life.as_mut().expect("it is there").node.address = address.parse().expect("an address");
        }
        took
    }

    /// Something begins to happen to somebody to whom nothing does.
    fn act(&mut self) {
        let idle: Vec<usize> = (QUIET..self.places.len()).filter(|place| self.places[*place].act.is_none()).collect();
        if idle.is_empty() {
            return;
        }
        let at = idle[self.dice.below(idle.len())];
        let act = ACTS[self.dice.below(ACTS.len())];
        let until = Instant::now() + Duration::from_millis(1000 + self.dice.below(15_000) as u64);
        *self.counts.entry(act).or_default() += 1;
        let place = &mut self.places[at];
        place.act = Some((act, until));
        match act {
            Act::Stop | Act::Kill | Act::Move => {
                let life = place.life.take().expect("it runs");
                if act == Act::Stop {
                    life.said(&["leave"]);
                }
                let node = life.end();
                if act == Act::Move {
                    self.replug(at, &node);
                }
                self.places[at].node = Some(node);
            }
            Act::KillGossip => place.life.as_mut().expect("it runs").restart_gossip(),
            Act::KillAgent => place.life.as_mut().expect("it runs").restart_agent(),
            Act::Cut | Act::Lose => self.rule(),
            Act::Roam => {
                let mut life = place.life.take().expect("it runs");
                self.replug(at, &life.node);
                life.roam(&Hub::address(self.places[at].port).to_string(), SUBNET);
                self.places[at].life = Some(life);
            }
        }
    }

    /// Has a node's wire end elsewhere: as many ports again are free.
    fn replug(&mut self, at: usize, node: &Node) {
        let count = u8::try_from(self.places.len()).expect("few");
        let place = &mut self.places[at];
        let port = if place.port > count { place.port - count } else { place.port + count };
        self.hub.unplug(place.port);
        self.hub.plug(&node.namespace, port);
        place.port = port;
    }

    /// Ends what has lasted long enough, or all of it.
    fn mend(&mut self, all: bool) {
        let over = |place: &Place| place.act.is_some_and(|(_, until)| all || until <= Instant::now());
        let mut ruled = false;
        for place in self.places.iter_mut().filter(|place| over(place)) {
            ruled |= matches!(place.act.take(), Some((Act::Cut | Act::Lose, _)));
            if let Some(node) = place.node.take() {
                place.life = Some(begin(node, place.port));
            }
        }
        self.places.iter_mut().filter_map(|place| place.life.as_mut()).for_each(Life::supervise);
        if ruled {
            self.rule();
        }
    }

    /// What the hub lets through.
    fn rule(&self) {
        let mut rules = String::new();
        for place in &self.places {
            let address = Hub::address(place.port);
            let how = match place.act {
                Some((Act::Cut, _)) => String::new(),
                Some((Act::Lose, _)) => lossy(),
                _ => continue,
            };
            for end in ["-s", "-d"] {
                writeln!(rules, "-A FORWARD {end} {address} {how}-j DROP").expect("a string");
            }
        }
        self.hub.rule(&rules).expect("rules");
    }

    /// How many of the others answer a ping, of all, asked once.
    fn pings(&self) -> (usize, usize) {
        let lives = self.lives();
        let counts = thread::scope(|scope| {
            let all: Vec<_> =
                lives.iter().map(|life| scope.spawn(|| (answers(life, &lives), lives.len() - 1))).collect();
            all.into_iter().map(|one| one.join().expect("pings")).collect::<Vec<_>>()
        });
        counts.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

/// What each says of each other whom it does not know, or elsewhere than that one does; and its logs.
fn strangers(lives: &[&Life]) -> String {
    let mut text = String::new();
    for life in lives {
        let of = |other: &&&Life| {
            let (name, at) = (&other.node.interface, own(other));
            let report = report(life);
            let mut all = report["peers"].as_array().into_iter().flatten();
            let seen = all.find(|peer| peer["name"] == name.as_str()).cloned().unwrap_or_default();
            let known = seen["verified"] == true && seen["address"] == at.as_str();
            (!known).then(|| format!("{name} at {at:?}: {seen}"))
        };
        let others = lives.iter().filter(|other| other.node.interface != life.node.interface);
        let unknown: Vec<String> = others.filter_map(|other| of(&other)).collect();
        if !unknown.is_empty() {
            let gossip = std::fs::read_to_string(life.node.root.join("gossip.log")).unwrap_or_default();
            let (name, log) = (&life.node.interface, life.log());
            writeln!(text, "{name} does not know {}\n{log}{gossip}", unknown.join(", ")).expect("a string");
        }
    }
    text
}

fn answers(life: &Life, lives: &[&Life]) -> usize {
    let others = lives.iter().filter(|other| other.node.interface != life.node.interface);
    let asked = others.map(|other| {
        let mut ping = Command::new("ping");
        ping.args(["-q", "-c", "1", "-W", "5"]).arg(other.node.address.to_string()).stdout(Stdio::null());
        life.node.namespace.enter(|| ping.status().expect("ping"))
    });
    asked.filter(std::process::ExitStatus::success).count()
}

/// What was seen of the sessions between nodes to which nothing happens.
#[derive(Default)]
struct Sessions(BTreeMap<(usize, WgKey), Session>);

#[derive(Clone, Copy)]
struct Session {
    handshake: u64,
    rx: u64,
}

impl Sessions {
    fn look(&mut self, quiet: &[&Life]) {
        let keys: BTreeSet<WgKey> = quiet.iter().map(|life| life.node.key).collect();
        for (at, life) in quiet.iter().enumerate() {
            let held: Vec<_> = life.node.dump().peers.into_iter().filter(|peer| keys.contains(&peer.key)).collect();
            assert_eq!(held.len(), quiet.len() - 1, "a peer was removed: {}", life.log());
            for peer in held {
                let new = Session { handshake: peer.handshake.expect("a session"), rx: peer.rx };
                let old = self.0.insert((at, peer.key), new).unwrap_or(new);
                assert!(new.rx >= old.rx, "a peer was made anew: {}", life.log());
                let apart = new.handshake.abs_diff(old.handshake);
                assert!(apart == 0 || apart >= REKEY, "a session was lost after {apart} s: {}", life.log());
                assert!(now().abs_diff(new.handshake) <= 180, "a session is dead: {}", life.log());
            }
        }
    }
}

/// No two verified peers that `life` sees, and itself, have one address.
fn apart(life: &Life) {
    let report = report(life);
    let peers = report["peers"].as_array().into_iter().flatten().filter(|peer| peer["verified"] == true);
    let mut all: Vec<String> = peers.map(|peer| peer["address"].to_string()).collect();
    all.push(format!("{:?}", own(life)));
    let different: BTreeSet<&String> = all.iter().collect();
    assert_eq!(different.len(), all.len(), "an address is held twice: {all:?}");
}

fn lossy() -> String {
    format!("-m statistic --mode random --probability {LOSS} ")
}

/// Why packets cannot be lost here.
fn no_loss() -> Option<String> {
    let tried = Hub::new().rule(&format!("-A FORWARD {}-j DROP\n", lossy()));
    tried.err().map(|error| format!("iptables-restore(8) loses no packets: {error}"))
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn whoever_is_left_alone_notices_nothing_and_in_the_end_all_reach_all() {
    need!("whoever_is_left_alone_notices_nothing", no_wireguard().or_else(no_loss));
    let seed = number("CHURN_SEED", now());
    let nodes = u8::try_from(number("CHURN_NODES", 6)).expect("62 ports are half of them");
    let span = Duration::from_secs(30).max(Duration::from_secs(60 * number("CHURN_MINUTES", 0)));
    eprintln!("seed {seed}; decide the same with CHURN_SEED={seed}");
    let mut crowd = Crowd::new(nodes, seed);

    let quiet = |crowd: &Crowd, task: &mut dyn FnMut(&[&Life])| task(&crowd.lives()[..QUIET]);
    let mut traffic = Vec::new();
    quiet(&crowd, &mut |lives| {
        for (at, from) in lives.iter().enumerate() {
            traffic.extend(lives[..at].iter().map(|to| Traffic::begin(from, to)));
        }
    });
    let mut sessions = Sessions::default();
    let end = Instant::now() + span;
    while Instant::now() < end {
        crowd.act();
        // Twenty nodes have one event a second, smaller crowds as many each.
        let pause = Duration::from_secs(20) / u32::from(nodes);
        let next = Instant::now() + pause;
        let _ = within(SOON, || {
            crowd.mend(false);
            quiet(&crowd, &mut |lives| {
                sessions.look(lives);
                lives.iter().for_each(|life| apart(life));
            });
            Instant::now() >= next
        });
    }
    crowd.mend(true);
    let took = crowd.meet();
    quiet(&crowd, &mut |lives| sessions.look(lives));
    let (sent, lost) = traffic.into_iter().map(Traffic::end).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let (answered, asked) = crowd.pings();
    eprintln!(
        "{nodes} nodes, {} s: {:?}; all had tunnels to all {took:.1?} after the end; {answered} of {asked} pings; \
         {sent} packets between {QUIET} left alone, {lost} lost",
        span.as_secs(),
        crowd.counts
    );
    assert_eq!((answered, lost), (asked, 0));
}
