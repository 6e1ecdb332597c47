//! A cluster of agents over a network of gossip.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::time::Duration;

use clusteros_init::cluster::{self, Member};
use clusteros_init::gossip::Dice;
use clusteros_init::gossip::node::Event;
use clusteros_init::gossip::serf::Status;
use clusteros_init::mesh::record::Tags;
use clusteros_init::mesh::{Identity, Subnet};
use clusteros_init::unit::Time;

use super::agent::{Agent, EPOCH, TURN};
use super::seeded::Seeded;
use super::world::{Host, World, address, keyring};

const MINUTE: Duration = Duration::from_secs(60);
/// Tunnels are heard this often.
pub const KEEPALIVE: Duration = Duration::from_secs(25);
/// What must have happened by then has happened: longer than a suspicion of 1,000 nodes, a reconnect and a push/pull.
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// What a change came to, over all nodes.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Until everybody's device was as it should be.
    pub took: Duration,
    /// What was done to devices until then and for ten seconds more.
    pub operations: usize,
    pub dropped: usize,
    pub netlink: usize,
    /// What gossip sent, until then, in bytes.
    pub said: u64,
}

pub struct Village {
    world: World,
    agents: Vec<Agent>,
    /// Whether a node has not left; one that was killed has not.
    present: Vec<bool>,
    dice: Seeded,
    subnet: Subnet,
    /// When tunnels were heard last.
    spoken: Time,
    looked: Time,
    /// Tags that were read before: all have the same.
    read: HashMap<Vec<u8>, Tags>,
}

impl Village {
    pub fn new(seed: u64, prefix: u8) -> Village {
        let subnet = format!("10.42.0.0/{prefix}").parse().expect("a subnet");
        let (world, dice, read) = (World::new(seed), Seeded(!seed), HashMap::new());
        let (agents, present) = (Vec::new(), Vec::new());
        Village { world, agents, present, dice, subnet, spoken: Time::ZERO, looked: Time::ZERO, read }
    }

    /// So many start within a second, through one of the first three.
    pub fn gather(&mut self, nodes: usize) -> Cost {
        let mut starts: Vec<_> = (0..nodes).map(|_| Duration::from_secs(1).mul_f64(self.dice.fraction())).collect();
        starts.sort();
        let began = self.world.now;
        for (at, start) in starts.into_iter().enumerate() {
            self.pass((began + start).since(self.world.now));
            let identity = self.identity();
            self.born(identity, (at > 0).then(|| at.min(3)));
        }
        self.settle(began)
    }

    /// So many with the same address start, each for itself.
    pub fn forge(&mut self, count: usize) {
        let mut found: HashMap<Ipv4Addr, Vec<Identity>> = HashMap::new();
        let forged = loop {
            let identity = self.identity();
            let place = clusteros_init::mesh::address::address(identity.node_id(), self.subnet, 0);
            let same = found.entry(place).or_default();
            same.push(identity);
            if same.len() == count {
                break std::mem::take(same);
            }
        };
        forged.into_iter().for_each(|identity| self.born(identity, None));
        self.pass(MINUTE);
    }

    /// Those that started each for itself hear of each other.
    pub fn meet(&mut self) -> Cost {
        let began = self.world.now;
        (1..self.agents.len()).for_each(|at| self.join(at, 0));
        self.settle(began)
    }

    /// All are killed and start again at once.
    pub fn restart_all(&mut self) {
        let all = 0..self.agents.len();
        all.clone().for_each(|at| self.world.kill(at));
        self.pass(MINUTE);
        let began = self.world.now;
        let count = self.agents.len();
        all.for_each(|at| self.start(at, Some(count)));
        self.settle(began);
    }

    /// Does something, and says what it came to.
    pub fn change(&mut self, what: &str, act: impl FnOnce(&mut Village)) -> Cost {
        eprintln!("{what}");
        self.count_anew();
        let began = self.world.now;
        act(self);
        self.settle(began)
    }

    pub fn arrive(&mut self, at: usize) {
        assert_eq!(at, self.agents.len());
        let identity = self.identity();
        self.born(identity, Some(at));
    }

    pub fn announce(&mut self, at: usize, port: u16) {
        self.agents[at].announce(port);
        self.tell(at);
    }

    pub fn kill(&mut self, at: usize) {
        self.world.kill(at);
    }

    pub fn back(&mut self, at: usize) {
        self.start(at, Some(self.agents.len()));
    }

    /// It leaves, and its process ends.
    pub fn leave(&mut self, at: usize) {
        self.world.handle(at, Event::Leave);
        let limit = self.world.now + MINUTE;
        while self.world.hosts[at].exit.is_none() {
            assert!(self.world.now < limit, "a leave takes seconds");
            self.pass(TURN);
        }
        self.world.kill(at);
        self.present[at] = false;
    }

    /// The network is cut in two for so long.
    pub fn split(&mut self, span: Duration) -> Cost {
        self.count_anew();
        (0..self.agents.len()).for_each(|at| self.world.side(at, at % 2));
        self.pass(span);
        let began = self.world.now;
        (0..self.agents.len()).for_each(|at| self.world.side(at, 0));
        self.settle(began)
    }

    /// Everything happens to everybody for so long, while datagrams are lost; then nothing more.
    pub fn churn(&mut self, span: Duration, loss: f64) {
        let (end, nodes) = (self.world.now + span, self.agents.len());
        self.world.loss = (100.0 * loss) as usize;
        while self.world.now < end {
            let at = self.dice.below(nodes);
            let up = self.world.hosts[at].node.is_some();
            match (self.dice.below(6), up) {
                (0, true) => self.kill(at),
                (1, true) => self.world.handle(at, Event::Leave),
                (2, true) => {
                    let port = 1024 + self.dice.below(1000) as u16;
                    self.announce(at, port);
                }
                (3, _) => self.world.side(at, 1),
                (4, _) => self.world.side(at, 0),
                (_, false) => self.start(at, Some(nodes)),
                (_, true) => {}
            }
            if self.world.hosts[at].exit.is_some() {
                self.kill(at);
            }
            let wait = Duration::from_secs(5).mul_f64(self.dice.fraction());
            self.pass(wait);
        }
        self.world.loss = 0;
        (0..nodes).for_each(|at| self.world.side(at, 0));
        // Who said that it leaves has left by then.
        self.pass(MINUTE);
        for at in 0..nodes {
            if self.world.hosts[at].exit.is_some() {
                self.kill(at);
            }
            if self.world.hosts[at].node.is_none() {
                self.start(at, Some(nodes));
            }
        }
        let began = self.world.now;
        self.settle(began);
    }

    /// How often anybody moved to another address.
    pub fn moved(&self) -> usize {
        self.agents.iter().map(|agent| agent.moves).sum()
    }

    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        self.agents.iter().map(Agent::address).collect()
    }

    fn identity(&mut self) -> Identity {
        let mut seed = [0; 32];
        self.dice.fill(&mut seed);
        Identity::from_seed(&seed)
    }

    /// A new node, which joins through one of the first of so many.
    fn born(&mut self, identity: Identity, through: Option<usize>) {
        let at = self.agents.len();
        self.agents.push(Agent::new(at, identity, self.subnet));
        self.present.push(true);
        let (tags, seeds) = (self.agents[at].tags(), self.seeds(at, through));
        let born = self.world.start(|setup| {
            setup.serf.tags = tags;
            setup.seeds = seeds;
            setup.keyring = Some(keyring(7));
            setup.serf.encrypted = true;
        });
        assert_eq!(born, at);
    }

    /// A node that was there before, with what its disk has.
    fn start(&mut self, at: usize, through: Option<usize>) {
        self.agents[at].begin();
        self.present[at] = true;
        let (tags, seeds) = (self.agents[at].tags(), self.seeds(at, through));
        self.world.restart(at, |setup| {
            setup.serf.tags = tags;
            setup.seeds = seeds;
            setup.keyring = Some(keyring(7));
            setup.serf.encrypted = true;
        });
    }

    /// Three others of the first so many: who joins through one that is down is alone until it asks again.
    fn seeds(&mut self, at: usize, through: Option<usize>) -> Vec<String> {
        let Some(others) = through.filter(|others| *others > 0) else { return Vec::new() };
        let first = self.dice.below(others);
        let some = (first..first + others).map(|other| other % others).filter(|other| *other != at);
        some.take(3).map(|other| address(other).ip().to_string()).collect()
    }

    fn join(&mut self, at: usize, other: usize) {
        let client = self.world.client(at);
        let host = address(other).ip().to_string();
        let mut bytes = b"\x82\xa7Command\xa4join\xa3Seq\x02\x82\xa8Existing\x91".to_vec();
        bytes.push(0xa0 | host.len() as u8);
        bytes.extend(host.as_bytes());
        bytes.extend(b"\xa6Replay\xc2");
        self.world.say(at, client, &bytes);
    }

    fn tell(&mut self, at: usize) {
        let tags = self.agents[at].tags();
        self.world.handle(at, Event::Tags(tags));
    }

    /// Lets time pass, and agents look at what gossip tells them.
    pub fn pass(&mut self, span: Duration) {
        let end = self.world.now + span;
        while self.world.now < end {
            self.world.run(TURN.min(end.since(self.world.now)));
            // Without any news an agent looks once a minute.
            let minute = self.world.now >= self.looked + MINUTE;
            if minute {
                self.looked = self.world.now;
            }
            for at in 0..self.agents.len() {
                if self.world.hosts[at].node.is_some() && (std::mem::take(&mut self.world.hosts[at].news) || minute) {
                    self.look(at);
                }
            }
            if self.world.now >= self.spoken + KEEPALIVE {
                self.spoken = self.world.now;
                self.speak();
            }
        }
    }

    /// Each pair of tunnels of which one end knows where the other is shakes hands, and then both know it.
    fn speak(&mut self) {
        let now = EPOCH + self.world.now.since(Time::ZERO).as_secs();
        let up = |host: &Host| host.node.is_some().then_some(host.side);
        let sides: Vec<_> = self.world.hosts.iter().map(up).collect();
        for one in 0..self.agents.len() {
            let (before, after) = self.agents.split_at_mut(one);
            let Some(here) = after.first_mut() else { break };
            for (other, there) in before.iter_mut().enumerate() {
                let (a, b) = (here.key(), there.key());
                let mutual = here.device.peer(&b).is_some() && there.device.peer(&a).is_some();
                let known = here.device.reaches(&b, there.port) || there.device.reaches(&a, here.port);
                if sides[one].is_some() && sides[one] == sides[other] && mutual && known {
                    here.device.hear(&b, there.port, now);
                    there.device.hear(&a, here.port, now);
                }
            }
        }
    }

    fn look(&mut self, at: usize) {
        let Some(node) = &self.world.hosts[at].node else { return };
        let members: Vec<Member> = node.serf().members().map(|member| shown(&mut self.read, member)).collect();
        while self.agents[at].turn(&members, self.world.now) {
            self.tell(at);
        }
    }

    /// Until everything is as it should be since `began`, and stays so.
    fn settle(&mut self, began: Time) -> Cost {
        let limit = self.world.now + LIMIT;
        while let Some(wrong) = self.wrong() {
            assert!(self.world.now < limit, "{wrong}");
            self.pass(TURN);
        }
        let took = self.world.now.since(began);
        let said = self.world.hosts.iter().map(|host| host.said).sum();
        self.pass(Duration::from_secs(10));
        assert_eq!(self.wrong(), None, "what is right stays right");
        let sum = |count: fn(&Agent) -> usize| self.agents.iter().map(count).sum();
        Cost {
            took,
            operations: sum(|agent| agent.device.operations),
            dropped: sum(|agent| agent.device.dropped),
            netlink: sum(|agent| agent.device.bytes),
            said,
        }
    }

    fn count_anew(&mut self) {
        for agent in &mut self.agents {
            (agent.device.operations, agent.device.dropped, agent.device.bytes) = (0, 0, 0);
        }
        self.world.hosts.iter_mut().for_each(|host| host.said = 0);
    }

    /// What is not as it should be: gossip sees who is there, no address is held twice, and every device that is up has
    /// every node that has not left, with its addresses and its port, and nobody else.
    fn wrong(&self) -> Option<String> {
        let present: Vec<_> = (0..self.agents.len()).filter(|at| self.present[*at]).collect();
        let addresses: BTreeSet<_> = present.iter().map(|at| self.agents[*at].address()).collect();
        if addresses.len() != present.len() {
            return Some(format!("{} addresses for {} nodes", addresses.len(), present.len()));
        }
        for at in present.iter().filter(|at| self.world.hosts[**at].node.is_some()) {
            let device = &self.agents[*at].device;
            if device.seen.peers.len() != present.len() - 1 {
                return Some(format!("node {at} has {} peers of {}", device.seen.peers.len(), present.len() - 1));
            }
            for other in present.iter().filter(|other| *other != at) {
                let seen = self.world.status(*at, *other);
                // Who came back on the other side of a cut, where its intent to leave was never heard, has not taken it back
                // on this one (Serf's rule); it is there all the same.
                let right = match self.world.hosts[*other].node {
                    Some(_) => matches!(seen, Some(Status::Alive | Status::Leaving)),
                    None => seen == Some(Status::Failed),
                };
                if !right {
                    return Some(format!("node {at} sees {other} as {seen:?}"));
                }
                let peer = device.peer(&self.agents[*other].key());
                let right = peer.is_some_and(|peer| {
                    peer.allowed == self.agents[*other].networks()
                        && peer.endpoint.is_some_and(|endpoint| endpoint.port() == self.agents[*other].port)
                });
                if !right {
                    return Some(format!("node {at} has {other} as {peer:?}"));
                }
            }
        }
        None
    }
}

/// A member as the agent is told of it.
fn shown(read: &mut HashMap<Vec<u8>, Tags>, member: &clusteros_init::gossip::serf::Member) -> Member {
    let tags = match read.get(&member.meta) {
        Some(tags) => tags.clone(),
        None => {
            let tags: Tags = member.tags().iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
            read.insert(member.meta.clone(), tags.clone());
            tags
        }
    };
    Member {
        name: member.name.to_string(),
        addr: member.socket().map_or(Ipv4Addr::UNSPECIFIED.into(), |socket| socket.ip()),
        port: member.port,
        tags,
        status: cluster::Status::of(member.status.word()),
    }
}
