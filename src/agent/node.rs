//! This node as its files and its environment make it: configuration, identity, name, address.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use log::warn;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::Failure;
use super::config::{self, Config};
use super::environment::{self, Change};
use super::files::{self, Place};
use super::paths::Paths;
use super::{init, keyring, serf};
use crate::cluster::Local;
use crate::cluster::k3s::{self, Role};
use crate::mesh::address::{address, next};
use crate::mesh::record::Tags;
use crate::mesh::{Identity, Keyring, Record, Subnet, ula};

/// What to do about a damaged identity.json.
const MEND: &str =
    "put back a copy of this node's file, or move it away and this node becomes a new one (nothing was changed)";

/// This node.
pub struct Node {
    /// Its configuration: node.yaml, and over it the environment.
    pub config: Config,
    /// Its identity.
    pub identity: Identity,
    /// Its name in gossip.
    pub name: String,
    /// Where mesh addresses come from.
    pub subnet: Subnet,
    /// Its address in the mesh.
    pub address: Ipv4Addr,
    /// Which attempt at an address that is: 0 unless others had the ones before.
    pub attempt: u32,
    /// Where its WireGuard may be reached, as it says under its signature.
    pub endpoints: Vec<SocketAddr>,
    /// Whether it has had its address among others for a while.
    pub settled: bool,
    /// Which run of the host this is.
    pub run: Option<u32>,
    /// The generation of its record.
    pub generation: u64,
    /// The keys of the cluster that it holds.
    pub keyring: Keyring,
    /// The fingerprint of the configured key that the keyring was made of.
    made_of: String,
}

impl Node {
    /// This node, whose identity `node-agent init` has made.
    pub fn load(paths: &Paths) -> Result<Node, Failure> {
        let (config, _) = configuration(paths)?;
        let path = paths.resolve(&config.identity.path);
        let Some(identity) = identity(&path)? else {
            return Err(Failure::configuration(format!(
                "unable to read {}: no such file; run 'node-agent init' first",
                path.display()
            )));
        };
        Node::new(paths, config, identity)
    }

    /// The node of a configuration that was checked and of an identity.
    pub(super) fn new(paths: &Paths, config: Config, identity: Identity) -> Result<Node, Failure> {
        let name = name(&config)?;
        let subnet = config.networking.subnet.parse().unwrap_or(Subnet::DEFAULT);
        let path = paths.address_json();
        let kept = match files::read(&path) {
            Ok(text) => text.and_then(|text| Claim::parse(&path, &text)),
            Err(error) => {
                warn!("unable to read {}: {error}; the address is computed anew", path.display());
                None
            }
        };
        let kept = kept.filter(|kept| kept.node_id == identity.node_id().as_str());
        let (attempt, settled) = match kept.as_ref().filter(|kept| kept.subnet == subnet.to_string()) {
            Some(kept) => (kept.attempt, kept.settled),
            None => (0, false),
        };
        let address = address(identity.node_id(), subnet, attempt);
        let keyring = keyring::read(&paths.keyring())?.unwrap_or_else(|| serf::keyring(&config));
        let made_of = made_of(paths).unwrap_or_else(|| serf::configured(&config));
        let endpoints = match endpoints(&config, subnet) {
            // An address may come late, or be away for a moment.
            found if found.is_empty() => kept.as_ref().map(|kept| kept.endpoints.clone()).unwrap_or_default(),
            found => found,
        };
        let (run, generation) = (run(), 0);
        let mut node = Node {
            name,
            subnet,
            address,
            attempt,
            endpoints,
            settled,
            run,
            generation,
            keyring,
            made_of,
            config,
            identity,
        };
        if let Some(kept) = kept {
            node.generation = kept.generation;
            if node.claim() != kept {
                node.generation = now().max(kept.generation.saturating_add(1));
            }
        } else {
            node.generation = now();
        }
        Ok(node)
    }

    /// Keeps the address and the generation; nothing is written if they are kept already.
    pub(super) fn keep(&self, paths: &Paths) -> std::io::Result<()> {
        let path = paths.address_json();
        let text = serde_json::to_string_pretty(&self.claim())? + "\n";
        if files::read(&path).is_ok_and(|kept| kept.is_some_and(|kept| *kept == text)) {
            return Ok(());
        }
        files::folder(&path, true)?;
        files::replace(&path, &text, false, Place::Kept)
    }

    /// The same node at its next address that is none of `taken`, which is kept; it fails if that cannot be kept, because
    /// a node that forgets where it moved would come back to the address that it lost.
    pub(super) fn moved(self, paths: &Paths, taken: &BTreeSet<Ipv4Addr>) -> std::io::Result<Node> {
        let free = next(self.identity.node_id(), self.subnet, self.attempt, taken);
        let (attempt, address) =
            free.ok_or_else(|| std::io::Error::other(format!("no address of {} is free", self.subnet)))?;
        let generation = now().max(self.generation.saturating_add(1));
        let node = Node { address, attempt, settled: false, generation, ..self };
        node.keep(paths)?;
        Ok(node)
    }

    /// Takes the keyring for one that was made of the configured key, or holds it.
    pub(super) fn follow_configured(&mut self) {
        self.made_of = serf::configured(&self.config);
    }

    /// Is settled at its address from now on, and says so in its record.
    pub(super) fn settle(&mut self) {
        self.settled = true;
        self.generation = now().max(self.generation.saturating_add(1));
    }

    /// Holds these keys from now on, and says so in its record.
    pub(super) fn rekey(&mut self, keyring: Keyring) {
        self.keyring = keyring;
        self.generation = now().max(self.generation.saturating_add(1));
    }

    fn claim(&self) -> Claim {
        Claim {
            node_id: self.identity.node_id().to_string(),
            name: self.name.clone(),
            subnet: self.subnet.to_string(),
            attempt: self.attempt,
            address: self.address,
            port: self.config.networking.listen_port,
            endpoints: self.endpoints.clone(),
            settled: self.settled,
            run: self.run,
            generation: self.generation,
            keys: self.keyring.fingerprints().iter().map(ToString::to_string).collect(),
            configured: self.made_of.clone(),
        }
    }

    /// Its IPv6 address in the mesh; none if `networking.ipv6` is false.
    pub fn ula(&self) -> Option<Ipv6Addr> {
        (self.config.networking.ipv6 != Some(false)).then(|| ula::address(self.identity.node_id(), self.subnet))
    }

    /// This node as others are judged beside it.
    pub fn local(&self) -> Local {
        Local { record: self.record(), subnet: self.subnet, keyring: self.keyring.clone() }
    }

    /// What it is in gossip: its signed record, and whether it is a server of k3s.
    pub fn tags(&self) -> Tags {
        let mut tags = self.record().tags(&self.identity, &self.keyring);
        if super::k3s::is_server(&self.config) {
            tags.insert(k3s::TAG.to_owned(), Role::Server.word().to_owned());
        }
        tags
    }

    /// What this node says of itself.
    pub fn record(&self) -> Record {
        Record {
            node_id: self.identity.node_id().clone(),
            name: self.name.clone(),
            key: self.identity.wireguard_key(),
            address: self.address,
            port: self.config.networking.listen_port,
            generation: self.generation,
            keys: self.keyring.fingerprints(),
            settled: self.settled,
            run: self.run,
            mtu: None,
            endpoints: self.endpoints.clone(),
        }
    }
}

/// The fingerprint of the configured key that the keyring was made of last; none if nothing says that.
pub(super) fn made_of(paths: &Paths) -> Option<String> {
    let text = files::read(&paths.address_json()).ok().flatten()?;
    let claim: Claim = serde_json::from_str(&text).ok()?;
    Some(claim.configured).filter(|configured| !configured.is_empty())
}

/// Gives up what this node was settled at: who leaves lets others have it.
pub(super) fn unsettle(paths: &Paths) -> std::io::Result<()> {
    let path = paths.address_json();
    let kept = files::read(&path)?.and_then(|text| Claim::parse(&path, &text));
    let Some(kept) = kept.filter(|kept| kept.settled) else { return Ok(()) };
    let claim = Claim { settled: false, generation: kept.generation.saturating_add(1), ..kept };
    files::replace(&path, &(serde_json::to_string_pretty(&claim)? + "\n"), false, Place::Kept)
}

/// Which run of the host this is, by what the kernel drew when it started; none where there is no `/proc`.
fn run() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    u32::from_str_radix(text.get(..8)?, 16).ok()
}

/// Where WireGuard may be reached: what the configuration says, none of it in the mesh, and last this host's own address.
fn endpoints(config: &Config, subnet: Subnet) -> Vec<SocketAddr> {
    let own = init::reachable(config, subnet).map(|address| SocketAddr::new(address, config.networking.listen_port));
    let mut all: Vec<SocketAddr> = Vec::new();
    for at in config.networking.endpoints.iter().filter_map(|text| config::endpoint(text).ok()).chain(own) {
        if !subnet.contains(at.ip()) && !all.contains(&at) {
            all.push(at);
        }
    }
    all
}

/// The configuration: node.yaml if there is one, and over it the environment; and what the environment changed.
pub(super) fn configuration(paths: &Paths) -> Result<(Config, Vec<Change>), Failure> {
    let path = paths.node_yaml();
    let text = files::read(&path).map_err(|error| unreadable(&path, &error, "correct it and start the node again"))?;
    let wrong = |mistakes: &[String]| Failure::configuration(config::complaint(&path, mistakes));
    let mut config = match &text {
        Some(text) => Config::parse(text).map_err(|cause| wrong(&[cause]))?,
        None => Config::default(),
    };
    let changes = environment::apply(&mut config, |variable| std::env::var(variable).ok()).map_err(|mistakes| {
        Failure::configuration(format!(
            "unable to use the environment: {}; correct it and start the node again",
            mistakes.join("; ")
        ))
    })?;
    let mistakes = config.mistakes();
    if mistakes.is_empty() { Ok((config, changes)) } else { Err(wrong(&mistakes)) }
}

/// The identity in the file, or none if there is no file. A damaged file is an error, and is left as it is.
pub(super) fn identity(path: &Path) -> Result<Option<Identity>, Failure> {
    let Some(text) = files::read(path).map_err(|error| unreadable(path, &error, MEND))? else { return Ok(None) };
    let damaged = |damage| Failure::configuration(format!("unable to read {}: {damage}; {MEND}", path.display()));
    Identity::parse(&text).map(Some).map_err(damaged)
}

/// A file that cannot be read: by what it is, which only a person can `mend`, or by the state of the system at this moment,
/// which says nothing of the file.
pub(super) fn unreadable(path: &Path, error: &std::io::Error, mend: &str) -> Failure {
    let is_no_file = matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::FileTooLarge);
    if is_no_file || error.raw_os_error() == Some(libc::ELOOP) {
        return Failure::configuration(format!("unable to read {}: {error}; {mend}", path.display()));
    }
    let next = if error.kind() == ErrorKind::PermissionDenied { "run as root" } else { "trying again" };
    Failure::internal(format!("unable to read {}: {error}; {next}", path.display()))
}

/// Seconds since 1970, 0 if the clock is before that.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |span| span.as_secs())
}

/// Seconds since the host started, asleep or not: no clock that is set makes them jump.
pub(super) fn since_boot() -> u64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| time.tv_sec().try_into().unwrap_or(0))
}

/// The name of the node: the configuration's, else the host's.
pub(super) fn name(config: &Config) -> Result<String, Failure> {
    if let Some(name) = &config.discovery.node_name {
        return Ok(name.clone());
    }
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match config::name(&host) {
        Ok(()) if host != "localhost" => Ok(host),
        Ok(()) => Err(Failure::configuration(
            "unable to name this node: the host is called localhost, as every other; set NODE_NAME",
        )),
        Err(cause) => {
            Err(Failure::configuration(format!("unable to name this node: the host's name {cause}; set NODE_NAME")))
        }
    }
}

/// What is kept of the record in address.json.
#[derive(PartialEq, Eq, Deserialize, Serialize)]
struct Claim {
    node_id: String,
    name: String,
    subnet: String,
    attempt: u32,
    address: Ipv4Addr,
    port: u16,
    #[serde(default)]
    endpoints: Vec<SocketAddr>,
    #[serde(default)]
    settled: bool,
    #[serde(default)]
    run: Option<u32>,
    generation: u64,
    /// The keys of the cluster that the record names.
    #[serde(default)]
    keys: Vec<String>,
    /// The configured key that the keyring was made of.
    #[serde(default)]
    configured: String,
}

impl Claim {
    fn parse(path: &Path, text: &str) -> Option<Claim> {
        serde_json::from_str(text)
            .map_err(|error| warn!("unable to read {}: {error}; the address is computed anew", path.display()))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{MEND, since_boot, unreadable};
    use std::io::{Error, ErrorKind};
    use std::path::Path;

    #[test]
    fn a_disk_that_fails_is_no_damaged_identity() {
        let said = |error: Error| {
            let failure = unreadable(Path::new("/identity.json"), &error, MEND);
            (failure.code, failure.text.rsplit("; ").next().unwrap_or_default().to_owned())
        };
        for errno in [libc::EIO, libc::EMFILE, libc::ENOMEM, libc::ENOTCONN] {
            assert_eq!(said(Error::from_raw_os_error(errno)), (70, "trying again".to_owned()), "{errno}");
        }
        assert_eq!(said(Error::from_raw_os_error(libc::EACCES)), (70, "run as root".to_owned()));
        assert_eq!(said(Error::from_raw_os_error(libc::ELOOP)), (78, MEND.to_owned()));
        for kind in [ErrorKind::InvalidInput, ErrorKind::InvalidData, ErrorKind::FileTooLarge] {
            assert_eq!(said(Error::from(kind)), (78, MEND.to_owned()));
        }
    }

    #[test]
    fn the_time_of_a_grace_is_that_of_the_host_and_not_of_its_clock() {
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: u64 = text.split('.').next().unwrap().parse().unwrap();
        assert!((uptime..uptime + 60).contains(&since_boot()), "{uptime}");
    }
}
