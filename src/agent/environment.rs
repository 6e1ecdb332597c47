//! The environment variables that configure a node, as ClusterOS names them, and which keys of node.yaml they set.

use super::config::{self, Config};
use crate::mesh::Subnet;

/// The variables, in the order in which they are applied, and the key each one sets.
pub const VARIABLES: [(&str, &str); 10] = [
    ("NODE_NAME", "discovery.node_name"),
    ("NODE_BOOTSTRAP", "discovery.bootstrap"),
    ("NODE_JOIN", "discovery.bootstrap_peers"),
    ("NODE_K3S_ENABLED", "roles.k3s"),
    ("NODE_ROLES", "roles.enabled"),
    ("SERF_BIND_PORT", "discovery.bind_port"),
    ("WIREGUARD_PORT", "networking.listen_port"),
    ("CLUSTER_AUTH_KEY", "cluster.auth_key"),
    ("NODE_ADVERTISE", "discovery.advertise"),
    ("NODE_SUBNET", "networking.subnet"),
];

/// What a variable changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The variable.
    pub variable: &'static str,
    /// The key that it sets.
    pub key: &'static str,
}

/// Sets in `config` what the environment asks for; `read` gives a variable's value. An empty value is as none.
/// Answers with what is different now, or with every variable that cannot be used, as `VARIABLE: CAUSE`.
pub fn apply(config: &mut Config, read: impl Fn(&str) -> Option<String>) -> Result<Vec<Change>, Vec<String>> {
    let (mut changes, mut mistakes) = (Vec::new(), Vec::new());
    for (variable, key) in VARIABLES {
        let Some(value) = read(variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()) else {
            continue;
        };
        let before = config.clone();
        match set(config, variable, value) {
            Err(cause) => mistakes.push(format!("{variable}: {cause}")),
            Ok(()) if *config != before => changes.push(Change { variable, key }),
            Ok(()) => {}
        }
    }
    if mistakes.is_empty() { Ok(changes) } else { Err(mistakes) }
}

fn set(config: &mut Config, variable: &str, value: String) -> Result<(), String> {
    match variable {
        "NODE_NAME" => {
            config::name(&value)?;
            config.discovery.node_name = Some(value);
        }
        "NODE_BOOTSTRAP" => config.discovery.bootstrap = Some(boolean(&value)?),
        "NODE_K3S_ENABLED" => config.roles.k3s = Some(boolean(&value)?),
        "NODE_JOIN" => {
            let targets = list(&value);
            targets.iter().try_for_each(|target| config::target(target))?;
            config.discovery.bootstrap_peers = targets;
        }
        "NODE_ROLES" => config.roles.enabled = list(&value),
        "SERF_BIND_PORT" => config.discovery.bind_port = port(&value)?,
        "WIREGUARD_PORT" => config.networking.listen_port = port(&value)?,
        "CLUSTER_AUTH_KEY" => {
            config::cluster_key(&value)?;
            config.cluster.auth_key = Some(value);
        }
        "NODE_ADVERTISE" => {
            config::advertise(&value)?;
            config.discovery.advertise = Some(value);
        }
        "NODE_SUBNET" => {
            value.parse::<Subnet>().map_err(|cause| format!("{value:?} is {cause}"))?;
            config.networking.subnet = value;
        }
        _ => {}
    }
    Ok(())
}

fn list(value: &str) -> Vec<String> {
    value.split([',', ' ', '\t', '\n']).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn boolean(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("{value:?} is neither true nor false")),
    }
}

fn port(value: &str) -> Result<u16, String> {
    value.parse().ok().filter(|port| *port != 0).ok_or_else(|| format!("{value:?} is no port (1 to 65535)"))
}

#[cfg(test)]
mod tests {
    use super::{Change, apply};
    use crate::agent::config::Config;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn environment<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn every_variable_sets_its_key_once() {
        let pairs = [
            ("NODE_NAME", "node2"),
            ("NODE_BOOTSTRAP", "False"),
            ("NODE_JOIN", "10.0.0.1, node1:7946"),
            ("NODE_K3S_ENABLED", "true"),
            ("NODE_ROLES", "compute,storage"),
            ("SERF_BIND_PORT", "7947"),
            ("WIREGUARD_PORT", "51821"),
            ("CLUSTER_AUTH_KEY", KEY),
            ("NODE_ADVERTISE", "10.0.0.2"),
            ("NODE_SUBNET", "10.99.0.0/16"),
        ];
        let mut config = Config::default();
        assert_eq!(apply(&mut config, environment(&pairs)).unwrap().len(), 10);
        assert_eq!(config.discovery.bootstrap_peers, ["10.0.0.1", "node1:7946"]);
        assert_eq!((config.discovery.bootstrap, config.roles.k3s), (Some(false), Some(true)));
        assert_eq!((config.discovery.bind_port, config.networking.listen_port), (7947, 51821));
        assert_eq!(config.roles.enabled, ["compute", "storage"]);
        assert_eq!(apply(&mut config, environment(&pairs)).unwrap(), []);
        assert_eq!(
            apply(&mut config, environment(&[("NODE_NAME", "node3")])).unwrap(),
            [Change { variable: "NODE_NAME", key: "discovery.node_name" }]
        );
    }

    #[test]
    fn the_link_of_the_underlay_is_not_the_link_of_the_mesh() {
        let mut config = Config::default();
        let pairs = [("NODE_ADDRESS", "10.0.0.1/24"), ("NODE_INTERFACE", "eth0")];
        assert_eq!(apply(&mut config, environment(&pairs)).unwrap(), []);
        assert_eq!(config.networking.interface, "wg0");
    }

    #[test]
    fn an_empty_value_is_as_none() {
        let mut config = Config::default();
        assert_eq!(apply(&mut config, environment(&[("NODE_JOIN", ""), ("NODE_NAME", " ")])).unwrap(), []);
        assert!(config == Config::default());
    }

    #[test]
    fn every_mistake_is_said_and_no_key_is_shown() {
        let pairs = [
            ("NODE_NAME", "my_node"),
            ("NODE_BOOTSTRAP", "maybe"),
            ("NODE_JOIN", "10.0.0.1:seven"),
            ("SERF_BIND_PORT", "0"),
            ("WIREGUARD_PORT", "99999"),
            ("CLUSTER_AUTH_KEY", "c2VjcmV0"),
            ("NODE_ADVERTISE", "0.0.0.0"),
            ("NODE_SUBNET", "10.42.0.0/40"),
        ];
        assert_eq!(
            apply(&mut Config::default(), environment(&pairs)).unwrap_err(),
            [
                "NODE_NAME: \"my_node\" is no node name: 1 to 63 letters, digits, '-' or '.'",
                "NODE_BOOTSTRAP: \"maybe\" is neither true nor false",
                "NODE_JOIN: \"10.0.0.1:seven\" is neither host nor host:port",
                "SERF_BIND_PORT: \"0\" is no port (1 to 65535)",
                "WIREGUARD_PORT: \"99999\" is no port (1 to 65535)",
                "CLUSTER_AUTH_KEY: 6 bytes, and at least 32 are needed; make one with 'head -c 32 /dev/urandom | base64' and \
                 give every node of the cluster the same",
                "NODE_ADVERTISE: 0.0.0.0 cannot be reached by other nodes",
                "NODE_SUBNET: \"10.42.0.0/40\" is not an IPv4 network such as 10.42.0.0/16 (with a prefix of 1 to 30 bits, and \
                 no host bits set)",
            ]
        );
    }
}
