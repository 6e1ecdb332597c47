//! `node-agent init`: makes what a node needs before anything of the cluster runs, from the environment and from what is
//! there. Running it again with the same environment changes nothing. And `node-agent info`.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use log::{info, warn};
use zeroize::Zeroizing;

use super::files::{self, Place};
use super::node::{self, Node};
use super::paths::Paths;
use super::{Failure, k3s, keyring, say, seeds, serf, underlay};
use crate::agent::config::Config;
use crate::agent::environment::Change;
use crate::mesh::{Identity, Keyring, Subnet, ula};

/// Makes identity.json, node.yaml, address.json, the keyring and serf.json.
pub fn init(paths: &Paths) -> Result<(), Failure> {
    let (config, changes) = node::configuration(paths)?;
    serf::gossip_key(&config)
        .map_err(|cause| Failure::configuration(format!("unable to make the configuration of gossip: {cause}")))?;
    let identity = identity(&paths.resolve(&config.identity.path))?;
    keyring::keep(paths, &config)?;
    let mut node = Node::new(paths, config, identity)?;
    node.follow_configured();
    keep_configuration(paths, &node.config, &changes);
    node.keep(paths).map_err(|error| unwritable(&paths.address_json(), &error))?;

    gossip(paths, &node)?;
    info!("node {}: id {}, mesh address {}", node.name, node.identity.node_id(), node.address);
    if k3s::is_missing(&node.config) {
        info!("K3S: skipped: there is no k3s in PATH");
    }
    Ok(())
}

/// Makes serf.json.
pub(super) fn gossip(paths: &Paths, node: &Node) -> Result<(), Failure> {
    let advertise = advertised(node)?;
    let join = join(&node.config, seeds::read(paths), &own_addresses(Some(advertise)));
    if join.is_empty() && node.config.discovery.bootstrap != Some(true) {
        info!("no other node to join (NODE_JOIN is not set): this node is alone until another one joins it");
    }
    let tags = node.tags();
    let path = paths.serf_json();
    let text = serf::text(&node.config, &paths.keyring(), &node.name, Some(advertise), &join, &tags)
        .map_err(|cause| Failure::configuration(format!("unable to make {}: {cause}", path.display())))?;
    files::folder(&path, false).map_err(|error| unwritable(&path, &error))?;
    files::replace(&path, &text, true, Place::Run).map_err(|error| unwritable(&path, &error))
}

/// Gives the node another address in the mesh, none of `taken`, and makes what says so.
pub(super) fn relocate(paths: &Paths, node: Node, taken: &BTreeSet<Ipv4Addr>) -> Result<Node, Failure> {
    let moved = node.moved(paths, taken).map_err(|error| {
        Failure::internal(format!(
            "unable to move to another mesh address and keep it in {}: {error}; trying again",
            paths.address_json().display()
        ))
    })?;
    warn!(
        "another node has this node's mesh address, and had it first or has the smaller id: it is {} from now on",
        moved.address
    );
    // Gossip that starts again must not announce the old address.
    if let Err(failure) = gossip(paths, &moved) {
        warn!("{}", failure.text);
    }
    Ok(moved)
}

/// Has the node settled at its address, and makes what says so.
pub(super) fn settle(paths: &Paths, node: &mut Node) {
    info!("this node is settled at {}: it moves for nobody from now on", node.address);
    node.settle();
    announce(paths, node);
}

/// Gives the node other keys of the cluster, and makes what says so.
pub(super) fn rekey(paths: &Paths, node: &mut Node, keyring: Keyring) {
    info!("the keys of the cluster are {keyring} now, the first one in use, and were {}", node.keyring);
    node.rekey(keyring);
    announce(paths, node);
}

/// Makes what says of the node what it is now.
fn announce(paths: &Paths, node: &Node) {
    if let Err(error) = node.keep(paths) {
        warn!("unable to keep the record's generation: {error}; it follows the clock");
    }
    // Gossip that starts again must not announce the old record.
    if let Err(failure) = gossip(paths, node) {
        warn!("{}", failure.text);
    }
}

/// Writes who this node is to stdout; no secrets.
pub fn info(paths: &Paths) -> Result<(), Failure> {
    let node = Node::load(paths)?;
    say(&format!(
        "node          {}\nnode id       {}\nwireguard key {}\nmesh address  {} in {}\nmesh IPv6     {}\ncluster keys  {}\nversions      node-agent {}, member record {}\n",
        node.name,
        node.identity.node_id(),
        node.identity.wireguard_key(),
        node.address,
        node.subnet,
        node.ula().map_or("none: networking.ipv6 is false".to_owned(), |own| {
            format!("{own} in {}/{}", ula::network(node.subnet), ula::LENGTH)
        }),
        node.keyring,
        env!("CARGO_PKG_VERSION"),
        crate::mesh::record::VERSION,
    ))
}

/// Whom a node that is alone asks.
pub(super) fn targets(paths: &Paths, node: &Node) -> Vec<String> {
    let advertise = node.config.discovery.advertise.as_deref().and_then(|text| text.parse().ok());
    join(&node.config, seeds::read(paths), &own_addresses(advertise))
}

/// The addresses to join: those of the configuration and those that were kept, without this node's own. Joining itself
/// would succeed, and gossip would look no further.
fn join(config: &Config, seeds: Vec<String>, own: &[IpAddr]) -> Vec<String> {
    let port = config.discovery.bind_port;
    let is_own = |target: &String| socket(target, port).is_some_and(|at| at.port() == port && own.contains(&at.ip()));
    let mut all: Vec<String> = Vec::new();
    for target in config.discovery.bootstrap_peers.iter().cloned().chain(seeds) {
        let same = |other: &String| {
            *other == target || socket(other, port).is_some_and(|at| Some(at) == socket(&target, port))
        };
        if !is_own(&target) && !all.iter().any(same) {
            all.push(target);
        }
    }
    all
}

/// This host's addresses, and the one that it announces.
fn own_addresses(advertise: Option<IpAddr>) -> Vec<IpAddr> {
    underlay::addresses().into_iter().map(|(_, address)| address).chain(advertise).collect()
}

/// The identity in the file; a new one if there is none.
fn identity(path: &Path) -> Result<Identity, Failure> {
    if let Some(identity) = node::identity(path)? {
        close(path, "this node's private key");
        return Ok(identity);
    }
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|error| {
        Failure::internal(format!(
            "unable to make an identity: the kernel gives no random bytes: {error}; trying again"
        ))
    })?;
    let identity = Identity::from_seed(&seed);
    files::folder(path, true).map_err(|error| unwritable(path, &error))?;
    match files::create(path, &identity.text()) {
        Ok(()) => info!("made {}: this node's id is {} from now on", path.display(), identity.node_id()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::internal(format!(
                "unable to write {}: it appeared just now; trying again",
                path.display()
            )));
        }
        Err(error) => return Err(unwritable(path, &error)),
    }
    Ok(identity)
}

/// Takes from others what they could read of `secret`.
pub(super) fn close(path: &Path, secret: &str) {
    let path_text = path.display();
    match files::close(path) {
        Ok(true) => {
            warn!("{path_text} could be read by others than root, and holds {secret}; its mode is 0600 now");
        }
        Ok(false) => {}
        Err(error) => warn!(
            "unable to close {path_text} to others than root: {error}; it holds {secret}: take it from them with chmod 600"
        ),
    }
}

/// Whether the file has a key, as it was before the environment came over it.
fn has_key(config: &Config, changes: &[Change]) -> bool {
    let from_environment = changes.iter().any(|change| change.key == "cluster.auth_key");
    let of_gossip = config.discovery.encrypt_key.as_deref().is_some_and(|key| !key.is_empty());
    of_gossip || config.cluster.auth_key.is_some() && !from_environment
}

/// Writes node.yaml if there is none, or if the environment says otherwise. Not being able to is no failure: every
/// command reads the environment too.
fn keep_configuration(paths: &Paths, config: &Config, changes: &[Change]) {
    let path = paths.node_yaml();
    let exists = path.exists();
    if exists && has_key(config, changes) {
        close(&path, "the cluster's key");
    }
    if exists && changes.is_empty() {
        return;
    }
    let written = config.text().and_then(|text| {
        files::folder(&path, false)
            .and_then(|()| files::replace(&path, &text, true, Place::Kept))
            .map_err(|error| error.to_string())
    });
    match written {
        Ok(()) if exists => {
            for Change { variable, key } in changes {
                info!("{}: {key} is now what {variable} says", path.display());
            }
        }
        Ok(()) => info!("made {} from the environment", path.display()),
        Err(cause) => {
            warn!("unable to write {}: {cause}; the environment counts for as long as this node runs", path.display())
        }
    }
}

/// The address to announce. One from the configuration is taken as it is, unless it is of the mesh. Without any, gossip
/// would not start, or announce one that nobody reaches: a failure that is tried again, for an address may come late.
fn advertised(node: &Node) -> Result<IpAddr, Failure> {
    let configured = node.config.discovery.advertise.as_deref().and_then(|text| text.parse().ok());
    if let Some(address) = configured.filter(|address| node.subnet.contains(*address)) {
        warn!("unable to announce {address}: it is inside the mesh's own subnet {}; choosing another one", node.subnet);
    } else if let Some(address) = configured {
        return Ok(address);
    }
    let address = reachable(&node.config, node.subnet).ok_or_else(|| {
        Failure::internal(
            "unable to find an address that other nodes can reach: no interface has one yet; trying again, or set \
             NODE_ADVERTISE"
                .to_owned(),
        )
    })?;
    info!("announcing {address} to the other nodes");
    Ok(address)
}

/// The address at which the others may reach this node; none if no interface has one yet.
pub(super) fn reachable(config: &Config, subnet: Subnet) -> Option<IpAddr> {
    let configured = config.discovery.advertise.as_deref().and_then(|text| text.parse().ok());
    let port = config.discovery.bind_port;
    let targets = config.discovery.bootstrap_peers.iter().filter_map(|target| socket(target, port));
    let found = || underlay::announced(&targets.collect::<Vec<_>>(), &config.networking.interface, subnet);
    configured.filter(|address| !subnet.contains(*address)).or_else(found)
}

/// `target` as a socket address, if it is one: names are left to gossip.
fn socket(target: &str, port: u16) -> Option<SocketAddr> {
    let bare = target.trim_start_matches('[').trim_end_matches(']');
    target.parse().ok().or_else(|| Some(SocketAddr::new(bare.parse().ok()?, port)))
}

pub(super) fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    let advice = match error.kind() {
        ErrorKind::ReadOnlyFilesystem | ErrorKind::StorageFull => "mount a writable volume there",
        ErrorKind::PermissionDenied => "run as root",
        _ => "trying again",
    };
    Failure::internal(format!("unable to write {}: {error}; {advice}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{Config, join, socket};

    #[test]
    fn a_node_does_not_join_itself() {
        let mut config = Config::default();
        config.discovery.bootstrap_peers =
            ["10.0.0.1", "10.0.0.2:7946", "10.0.0.1:7947", "node1", "[fd00::1]:7946"].map(str::to_owned).to_vec();
        let own = ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        let seeds = ["10.0.0.2:7946", "10.0.0.1:7946", "10.0.0.3:7946"].map(str::to_owned).to_vec();
        assert_eq!(join(&config, seeds, &own), ["10.0.0.2:7946", "10.0.0.1:7947", "node1", "10.0.0.3:7946"]);
        assert_eq!(socket("fd00::2", 1).unwrap().to_string(), "[fd00::2]:1");
        assert_eq!(socket("[fd00::2]", 1).unwrap().to_string(), "[fd00::2]:1");
    }
}
