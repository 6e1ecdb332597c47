//! `node.yaml`: ClusterOS's keys, read strictly and written back whole.
//!
//! Every key of ClusterOS is accepted, also those that nothing here uses; any other key is an error with its line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::cluster::k3s::configuration::Extra;
use crate::mesh::{Subnet, record};

/// The port of gossip that ClusterOS uses.
pub const GOSSIP_PORT: u16 = 7946;
/// The port of WireGuard that ClusterOS uses.
pub const WIREGUARD_PORT: u16 = 51820;
/// What to do about a cluster key that is not there or not good.
pub const MAKE_A_KEY: &str =
    "make one with 'head -c 32 /dev/urandom | base64' and give every node of the cluster the same";

/// From what every IPv4 host must take (RFC 791) to what fits a packet of 65535 bytes.
const MTU: std::ops::RangeInclusive<u32> = 576..=65455;

/// Base64 with or without the padding, as people copy it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A node.yaml.
#[derive(Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who the node is.
    pub identity: IdentityKeys,
    /// How it finds the others.
    pub discovery: Discovery,
    /// Its WireGuard interface.
    pub networking: Networking,
    /// What it does in the cluster.
    pub roles: Roles,
    /// ClusterOS's logging keys: accepted and kept; PID 1's table says where lines go.
    pub logging: Logging,
    /// The cluster.
    pub cluster: Cluster,
    /// What is told to k3s. Ours.
    #[serde(skip_serializing_if = "K3s::is_empty")]
    pub k3s: K3s,
}

/// `k3s:`
#[derive(Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct K3s {
    /// Findings of `node-agent k3s` that keep no k3s from starting.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// Keys for the config.yaml of a server.
    #[serde(skip_serializing_if = "Extra::is_empty")]
    pub server: Extra,
    /// Keys for the config.yaml of an agent.
    #[serde(skip_serializing_if = "Extra::is_empty")]
    pub agent: Extra,
}

impl K3s {
    fn is_empty(&self) -> bool {
        *self == K3s::default()
    }
}

/// `identity:`
#[derive(Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdentityKeys {
    /// Where identity.json is.
    pub path: PathBuf,
}

impl Default for IdentityKeys {
    fn default() -> IdentityKeys {
        IdentityKeys { path: PathBuf::from("/var/lib/cluster-os/identity.json") }
    }
}

/// `discovery:`
#[derive(Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Discovery {
    /// The address gossip listens on.
    pub bind_addr: String,
    /// The port gossip listens on, TCP and UDP.
    pub bind_port: u16,
    /// The address that the others are told, without a port; chosen when absent. Ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
    /// Whom to join, as `host` or `host:port`.
    pub bootstrap_peers: Vec<String>,
    /// Whether this node begins the cluster, so that being alone is no surprise. Ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<bool>,
    /// The node's name; the host's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// The key of gossip; made from the cluster key when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypt_key: Option<String>,
}

impl Default for Discovery {
    fn default() -> Discovery {
        Discovery {
            bind_addr: "0.0.0.0".to_owned(),
            bind_port: GOSSIP_PORT,
            advertise: None,
            bootstrap_peers: Vec::new(),
            bootstrap: None,
            node_name: None,
            encrypt_key: None,
        }
    }
}

/// `networking:`
#[derive(Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Networking {
    /// The WireGuard interface.
    pub interface: String,
    /// WireGuard's UDP port.
    pub listen_port: u16,
    /// Where mesh addresses come from.
    pub subnet: String,
    /// Bytes that a packet in the mesh may have; by what the link below takes unless this says it. Ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Whether this node's link has an IPv6 address, too, where it can; it has unless this is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<bool>,
    /// Whether `/etc/hosts` has `NAME.mesh` for every node; it has unless this is false. Ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<bool>,
    /// Where WireGuard may be reached besides, as `address:port`: what a box in between passes on. Ours.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<String>,
    /// Accepted; not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wifi: Option<Value>,
}

impl Default for Networking {
    fn default() -> Networking {
        Networking {
            interface: "wg0".to_owned(),
            listen_port: WIREGUARD_PORT,
            subnet: Subnet::DEFAULT.to_string(),
            mtu: None,
            ipv6: None,
            hosts: None,
            endpoints: Vec::new(),
            wifi: None,
        }
    }
}

/// `roles:`
#[derive(Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Roles {
    /// The roles of this node.
    pub enabled: Vec<String>,
    /// Whether k3s runs here. Ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k3s: Option<bool>,
    /// Accepted; not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
}

/// `roles.capabilities:`, accepted and not used.
#[derive(Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capabilities {
    /// Processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Value>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ram: Option<Value>,
    /// Graphics processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Value>,
    /// Architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<Value>,
}

/// `logging:`, accepted and not used.
#[derive(Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Logging {
    /// Level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// Format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// `cluster:`
#[derive(Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// The cluster's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Datacenter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datacenter: Option<String>,
    /// The cluster key: base64 of at least 32 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_key: Option<String>,
    /// Accepted; not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub election_mode: Option<String>,
}

impl Config {
    /// Reads the text of a node.yaml. The error has the line and the column, and never a value: one may be a key.
    pub fn parse(text: &str) -> Result<Config, String> {
        if text.trim().is_empty() {
            return Ok(Config::default());
        }
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let text = error.without_snippet().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text).replace('\n', " ");
            match error.location() {
                Some(place) => format!("line {}, column {}: {}", place.line(), place.column(), cause(&text)),
                None => text,
            }
        })
    }

    /// The text of the node.yaml.
    pub fn text(&self) -> Result<Zeroizing<String>, String> {
        let body = Zeroizing::new(serde_saphyr::to_string(self).map_err(|error| error.to_string())?);
        Ok(Zeroizing::new(format!("{HEADER}{}", body.as_str())))
    }

    /// Checks every value that a type cannot check; each mistake as `KEY: CAUSE`.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut check =
            |key: &str, wrong: Option<String>| mistakes.extend(wrong.map(|cause| format!("{key}: {cause}")));
        check("networking.subnet", self.networking.subnet.parse::<Subnet>().err().map(|cause| cause.to_string()));
        check("networking.listen_port", (self.networking.listen_port == 0).then(|| "0 is no port".to_owned()));
        check("networking.interface", interface(&self.networking.interface).err());
        let odd = self.networking.mtu.filter(|mtu| !MTU.contains(mtu));
        check("networking.mtu", odd.map(|mtu| format!("{mtu} is not between {} and {}", MTU.start(), MTU.end())));
        for text in &self.networking.endpoints {
            check("networking.endpoints", endpoint(text).err());
        }
        let more = self.networking.endpoints.len() >= record::ENDPOINTS;
        check("networking.endpoints", more.then(|| format!("more than {}", record::ENDPOINTS - 1)));
        check("discovery.bind_port", (self.discovery.bind_port == 0).then(|| "0 is no port".to_owned()));
        check("discovery.bind_addr", ip(&self.discovery.bind_addr).err());
        check("discovery.advertise", self.discovery.advertise.as_deref().and_then(|text| advertise(text).err()));
        check("discovery.node_name", self.discovery.node_name.as_deref().and_then(|text| name(text).err()));
        for peer in &self.discovery.bootstrap_peers {
            check("discovery.bootstrap_peers", target(peer).err());
        }
        let encrypt_key = self.discovery.encrypt_key.as_deref().filter(|text| !text.is_empty());
        check("discovery.encrypt_key", encrypt_key.and_then(|text| gossip_key(text).err()));
        check("cluster.auth_key", self.cluster.auth_key.as_deref().and_then(|text| cluster_key(text).err()));
        check("identity.path", (!self.identity.path.is_absolute()).then(|| "not an absolute path".to_owned()));
        mistakes
    }
}

/// The bytes of a cluster key.
pub fn cluster_key(text: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let bytes = Zeroizing::new(BASE64.decode(text.trim()).map_err(|_| format!("not base64; {MAKE_A_KEY}"))?);
    if bytes.len() < 32 {
        return Err(format!("{} bytes, and at least 32 are needed; {MAKE_A_KEY}", bytes.len()));
    }
    Ok(bytes)
}

/// The bytes of a gossip key.
pub fn gossip_key(text: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let bytes = Zeroizing::new(BASE64.decode(text.trim()).map_err(|_| "not base64".to_owned())?);
    if matches!(bytes.len(), 16 | 24 | 32) {
        Ok(bytes)
    } else {
        Err(format!("{} bytes, not 16, 24 or 32", bytes.len()))
    }
}

/// Whether `text` can be a node's name: what Serf, DNS and k3s all take.
pub fn name(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if !(1..=63).contains(&text.len()) || !text.chars().all(fits) {
        return Err(format!("{text:?} is no node name: 1 to 63 letters, digits, '-' or '.'"));
    }
    if text.split('.').any(|label| label.is_empty() || label.starts_with('-') || label.ends_with('-')) {
        return Err(format!("{text:?} is no node name: each part between dots begins and ends with a letter or digit"));
    }
    Ok(())
}

/// Whether `text` is `host` or `host:port`.
pub fn target(text: &str) -> Result<(), String> {
    let wrong = || Err(format!("{text:?} is neither host nor host:port"));
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '[' | ']');
    match port.map(str::parse::<u16>) {
        Some(Err(_) | Ok(0)) => wrong(),
        _ if host.is_empty() || !host.chars().all(fits) => wrong(),
        _ => Ok(()),
    }
}

/// Whether `text` is an address that others can be told.
pub fn advertise(text: &str) -> Result<(), String> {
    let address: std::net::IpAddr = text.parse().map_err(|_| format!("{text:?} is no IP address"))?;
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() {
        return Err(format!("{text} cannot be reached by other nodes"));
    }
    Ok(())
}

/// Whether `text` is an endpoint that others can be told; answers with it.
pub fn endpoint(text: &str) -> Result<SocketAddr, String> {
    let endpoint: SocketAddr = text.parse().map_err(|_| format!("{text:?} is no address:port"))?;
    if endpoint.port() == 0 || matches!(endpoint, SocketAddr::V6(v6) if v6.scope_id() != 0) {
        return Err(format!("{text} cannot be reached by other nodes"));
    }
    advertise(&endpoint.ip().to_string()).map(|()| endpoint)
}

/// `path: CAUSE` lines as one message.
pub fn complaint(path: &Path, mistakes: &[String]) -> String {
    format!("unable to use {}: {}; correct it and start the node again", path.display(), mistakes.join("; "))
}

fn ip(text: &str) -> Result<(), String> {
    text.parse::<std::net::IpAddr>().map(drop).map_err(|_| format!("{text:?} is no IP address"))
}

fn interface(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_graphic() && c != '/' && c != ':';
    if (1..=15).contains(&text.len()) && text.chars().all(fits) && text != "." && text != ".." && text != "lo" {
        Ok(())
    } else {
        Err(format!("{text:?} is no interface name"))
    }
}

/// The cause as a person says it, without the place that [`Config::parse`] puts first, and without what the
/// library says to programmers.
fn cause(text: &str) -> &str {
    let text = text.rfind(" at line ").and_then(|end| text.get(..end)).unwrap_or(text);
    match text {
        "invalid u16" => "not a number from 0 to 65535",
        _ => text.split(", set DuplicateKeyPolicy").next().unwrap_or(text),
    }
}

const HEADER: &str = "\
# The configuration of this node, written by 'node-agent init' from the environment.
# A variable that is set in the environment wins over the key here, and is written here at the next start.
# Holds the cluster key: keep it readable by root alone.
";

#[cfg(test)]
mod tests {
    use super::{Config, name};

    fn said(text: &str) -> String {
        Config::parse(text).err().unwrap_or_default()
    }

    #[test]
    fn every_key_of_clusteros_is_read() {
        let text = "identity:\n  path: /var/lib/cluster-os/identity.json\ndiscovery:\n  bind_addr: 0.0.0.0\n  bind_port: 7946\n  \
                    bootstrap_peers: [\"10.0.0.1:7946\"]\n  node_name: node1\n  encrypt_key: \"\"\nnetworking:\n  interface: wg0\n  \
                    listen_port: 51820\n  subnet: 10.42.0.0/16\n  endpoints: [\"203.0.113.7:51820\"]\n  ipv6: false\n  wifi:\n    enabled: true\n    ssid: x\nroles:\n  \
                    enabled: [compute]\n  capabilities:\n    cpu: 4\n    ram: 8GB\n    gpu: false\n    arch: amd64\nlogging:\n  \
                    level: info\n  format: json\n  output: stdout\ncluster:\n  name: home\n  region: eu\n  datacenter: dc1\n  \
                    auth_key: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n  election_mode: auto\n";
        let config = Config::parse(text).unwrap();
        assert_eq!(config.discovery.bootstrap_peers, ["10.0.0.1:7946"]);
        assert_eq!(config.roles.enabled, ["compute"]);
        assert!(Config::parse(&config.text().unwrap()).unwrap() == config);
        assert_eq!(config.mistakes(), Vec::<String>::new());
    }

    #[test]
    fn nothing_is_a_good_configuration() {
        for text in ["", "\n", "# only a comment\n", "{}"] {
            let config = Config::parse(text).unwrap_or_else(|cause| panic!("{text:?}: {cause}"));
            assert!(config == Config::default());
            assert_eq!(config.mistakes(), Vec::<String>::new());
        }
    }

    #[test]
    fn errors_have_their_place_and_no_values() {
        for (text, expected) in [
            (
                "discovery:\n  bind_prot: 7946\n",
                "line 2, column 3: unknown field `bind_prot`, expected one of bind_addr, bind_port, advertise, \
                 bootstrap_peers, bootstrap, node_name, encrypt_key",
            ),
            ("discovery:\n  bind_port: many\n", "line 2, column 14: not a number from 0 to 65535"),
            ("discovery:\n  bind_port: 70000\n", "line 2, column 14: not a number from 0 to 65535"),
            ("cluster:\n  auth_key: [secret]\n", "line 2, column 13: expected string scalar"),
            ("cluster:\n auth_key: \"sec\n", "line 2, column 12: unclosed quote"),
            ("discovery: {}\ndiscovery: {}\n", "line 2, column 1: duplicate mapping key: discovery"),
        ] {
            assert_eq!(said(text), expected);
        }
    }

    #[test]
    fn values_are_checked_each_by_its_key() {
        let text = "discovery:\n  bind_addr: here\n  bind_port: 0\n  advertise: 127.0.0.1\n  node_name: \"my node\"\n  \
                    bootstrap_peers: [\"a:b\", \"host\", \"10.0.0.1:7946\", \"[fd00::1]:7946\"]\nnetworking:\n  interface: a/b\n  \
                    endpoints: [\"0.0.0.0:1\", \"host:1\", \"192.0.2.1:0\"]\n  listen_port: 0\n  mtu: 100\n  subnet: 10.42.1.0/16\ncluster:\n  auth_key: c2hvcnQ=\nidentity:\n  path: here.json\n";
        assert_eq!(
            Config::parse(text).unwrap().mistakes(),
            [
                "networking.subnet: not an IPv4 network such as 10.42.0.0/16 (with a prefix of 1 to 30 bits, and no host bits set)",
                "networking.listen_port: 0 is no port",
                "networking.interface: \"a/b\" is no interface name",
                "networking.mtu: 100 is not between 576 and 65455",
                "networking.endpoints: 0.0.0.0 cannot be reached by other nodes",
                "networking.endpoints: \"host:1\" is no address:port",
                "networking.endpoints: 192.0.2.1:0 cannot be reached by other nodes",
                "networking.endpoints: more than 2",
                "discovery.bind_port: 0 is no port",
                "discovery.bind_addr: \"here\" is no IP address",
                "discovery.advertise: 127.0.0.1 cannot be reached by other nodes",
                "discovery.node_name: \"my node\" is no node name: 1 to 63 letters, digits, '-' or '.'",
                "discovery.bootstrap_peers: \"a:b\" is neither host nor host:port",
                "cluster.auth_key: 5 bytes, and at least 32 are needed; make one with 'head -c 32 /dev/urandom | base64' and \
                 give every node of the cluster the same",
                "identity.path: not an absolute path",
            ]
        );
    }

    #[test]
    fn a_name_is_one_that_dns_and_k3s_take() {
        for text in ["a", "node1", "Node-1.example", "0"] {
            assert_eq!(name(text), Ok(()), "{text}");
        }
        for text in ["-x", "x-", "a..b", ".a", "a.", "a.-b", "a-.b"] {
            let cause =
                format!("{text:?} is no node name: each part between dots begins and ends with a letter or digit");
            assert_eq!(name(text), Err(cause));
        }
    }
}
