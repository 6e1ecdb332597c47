//! What `node-agent` does with a membership, without its sockets and files: its turn in the same pure code.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use clusteros_init::cluster::{Local, Member, Roster};
use clusteros_init::gossip::Name;
use clusteros_init::gossip::wire::tags;
use clusteros_init::mesh::address::{address, next};
use clusteros_init::mesh::endpoints::Trials;
use clusteros_init::mesh::peers::{Operation, diff};
use clusteros_init::mesh::{Identity, Keyring, Record, Subnet, WgKey, ula};
use clusteros_init::unit::Time;

use super::device::Device;
use super::world::name;

/// When the world began, in seconds since 1970.
pub const EPOCH: u64 = 1_800_000_000;

/// Seconds between keepalives, as by default.
const KEEPALIVE: u16 = 25;

pub struct Agent {
    identity: Identity,
    name: String,
    subnet: Subnet,
    keyring: Keyring,
    attempt: u32,
    settled: bool,
    generation: u64,
    pub port: u16,
    roster: Roster,
    trials: Trials,
    pub device: Device,
    /// How often it moved to another address.
    pub moves: usize,
}

impl Agent {
    pub fn new(at: usize, identity: Identity, subnet: Subnet) -> Agent {
        let (name, keyring) = (name(at).to_string(), Keyring::new([&[7; 32][..]]));
        let record = Record {
            node_id: identity.node_id().clone(),
            name: name.clone(),
            key: identity.wireguard_key(),
            address: address(identity.node_id(), subnet, 0),
            port: 51820,
            generation: 1,
            keys: keyring.fingerprints(),
            settled: false,
            run: None,
            mtu: None,
            endpoints: Vec::new(),
        };
        let mut device = Device::default();
        device.seen.public_key = Some(identity.wireguard_key());
        let roster = Roster::new(Local { record, subnet, keyring: keyring.clone() });
        Agent {
            identity,
            name,
            subnet,
            keyring,
            attempt: 0,
            settled: false,
            generation: 1,
            port: 51820,
            roster,
            trials: Trials::default(),
            device,
            moves: 0,
        }
    }

    pub fn key(&self) -> WgKey {
        self.identity.wireguard_key()
    }

    pub fn address(&self) -> Ipv4Addr {
        address(self.identity.node_id(), self.subnet, self.attempt)
    }

    /// The inner addresses that are its own on every other device.
    pub fn networks(&self) -> [(IpAddr, u8); 2] {
        let ula = ula::address(self.identity.node_id(), self.subnet);
        [(self.address().into(), 32), (ula.into(), 128)]
    }

    /// Its signed record, as gossip carries it.
    pub fn tags(&self) -> tags::Tags {
        let tags = self.local().record.tags(&self.identity, &self.keyring);
        tags.iter().map(|(key, value)| (Name::from(key.as_str()), Name::from(value.as_str()))).collect()
    }

    /// It announces that its WireGuard listens elsewhere.
    pub fn announce(&mut self, port: u16) {
        (self.port, self.generation) = (port, self.generation + 1);
        self.begin();
    }

    /// As after a start of its process: what it has on disk stays, and so does its device.
    pub fn begin(&mut self) {
        self.roster = Roster::new(self.local());
        self.roster.recall(&self.device.seen);
        self.trials = Trials::default();
    }

    /// Brings the device in line with this membership. True if its record is another one now, because it moved to another
    /// address or is settled at its own: that is to be announced, and then it is called again.
    pub fn turn(&mut self, members: &[Member], now: Time) -> bool {
        let seconds = now.since(Time::ZERO).as_secs();
        self.roster.update(members, seconds);
        if let Some(taken) = self.roster.lost() {
            let free = next(self.identity.node_id(), self.subnet, self.attempt, &taken);
            let (attempt, _) = free.expect("there are more addresses than nodes");
            (self.attempt, self.settled, self.generation) = (attempt, false, self.generation + 1);
            self.moves += 1;
            self.begin();
            return true;
        }
        if self.roster.settles(seconds) {
            (self.settled, self.generation) = (true, self.generation + 1);
            self.roster.renew(self.local());
            return true;
        }
        let now = EPOCH + seconds;
        self.trials.announce(self.roster.announced());
        let operations = diff(&self.device.seen, &self.roster.desired(KEEPALIVE), &mut self.trials, now);
        // As the agent: a gossip that shows nobody else has just begun.
        let alone = members.len() < 2;
        let done: Vec<_> =
            operations.into_iter().filter(|operation| !alone || !matches!(operation, Operation::Remove(_))).collect();
        self.device.apply(&done);
        let again = diff(&self.device.seen, &self.roster.desired(KEEPALIVE), &mut self.trials, now);
        assert!(alone || again.is_empty(), "what was done need not be done again: {again:?}");
        false
    }

    fn local(&self) -> Local {
        let record = Record {
            node_id: self.identity.node_id().clone(),
            name: self.name.clone(),
            key: self.key(),
            address: self.address(),
            port: self.port,
            generation: self.generation,
            keys: self.keyring.fingerprints(),
            settled: self.settled,
            run: None,
            mtu: None,
            endpoints: Vec::new(),
        };
        Local { record, subnet: self.subnet, keyring: self.keyring.clone() }
    }
}

/// How often an agent looks at a membership that changes all the time.
pub const TURN: Duration = Duration::from_millis(100);
