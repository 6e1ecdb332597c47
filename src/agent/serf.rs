//! The configuration file of gossip, `serf.json`, as `serf agent -config-file` reads it.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use blake2::Blake2b;
use blake2::digest::Digest;
use blake2::digest::consts::U32;
use hkdf::Hkdf;
use serde::Serialize;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::config::{self, Config};
use crate::mesh::Keyring;
use crate::mesh::record::Tags;

/// Where gossip serves its RPC: this host alone can reach it.
pub const RPC: &str = "127.0.0.1:7373";

/// The text of a serf.json, which names the file of the keys. `join` are the targets that are not this node itself.
pub fn text(
    config: &Config,
    keyring: &Path,
    name: &str,
    advertise: Option<IpAddr>,
    join: &[String],
    tags: &Tags,
) -> Result<Zeroizing<String>, String> {
    let port = config.discovery.bind_port;
    let bind: IpAddr =
        config.discovery.bind_addr.parse().map_err(|_| "discovery.bind_addr is no address".to_owned())?;
    let password = rpc_password(config)?;
    let file = File {
        node_name: name,
        bind: SocketAddr::new(bind, port).to_string(),
        advertise: advertise.map(|address| SocketAddr::new(address, port).to_string()),
        keyring_file: keyring,
        retry_join: join,
        retry_interval: "2s",
        rpc_addr: RPC,
        rpc_auth: &password,
        tags,
        profile: "lan",
        log_level: "info",
    };
    let text = serde_json::to_string_pretty(&file).map_err(|error| error.to_string())?;
    Ok(Zeroizing::new(text + "\n"))
}

/// The key of gossip: `discovery.encrypt_key` if there is one; else the cluster key itself if it has 32 bytes, and if it
/// is longer its BLAKE2b-256 after a label. The error says which key is missing or wrong.
pub fn gossip_key(config: &Config) -> Result<Zeroizing<Vec<u8>>, String> {
    if let Some(key) = config.discovery.encrypt_key.as_deref().filter(|key| !key.is_empty()) {
        return config::gossip_key(key).map_err(|cause| format!("discovery.encrypt_key: {cause}"));
    }
    let key = config
        .cluster
        .auth_key
        .as_deref()
        .ok_or_else(|| format!("CLUSTER_AUTH_KEY is not set; {}", config::MAKE_A_KEY))?;
    Ok(fitting(config::cluster_key(key).map_err(|cause| format!("cluster.auth_key: {cause}"))?))
}

/// The key of gossip that a key is, or that follows from one which is too long to be one.
pub fn fitting(key: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    if key.len() <= 32 {
        return key;
    }
    let mut hash = Blake2b::<U32>::new();
    hash.update(b"clusteros-init gossip key 1\0");
    hash.update(&*key);
    Zeroizing::new(hash.finalize().to_vec())
}

/// The keyring of the configured key alone; empty without one.
pub fn keyring(config: &Config) -> Keyring {
    Keyring::new(gossip_key(config).ok().as_deref().map(Vec::as_slice))
}

/// The fingerprint of the configured key, `none` without one.
pub fn configured(config: &Config) -> String {
    keyring(config).to_string()
}

/// What sets the password of the RPC apart from everything else that follows from the key of gossip.
const RPC_LABEL: &[u8] = b"clusteros-init serf rpc 1";

/// The password of gossip's RPC, 64 hexadecimal digits: HKDF-SHA256 of the key of gossip, without a salt. Without one every
/// process of this host could read that key there, and change whom this node sees. The error is [`gossip_key`]'s.
pub fn rpc_password(config: &Config) -> Result<Zeroizing<String>, String> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    // It fails only for more than 255 * 32 bytes.
    Hkdf::<Sha256>::new(None, &gossip_key(config)?).expand(RPC_LABEL, &mut *bytes).unwrap_or_default();
    let mut text = Zeroizing::new(String::with_capacity(64));
    for byte in *bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    Ok(text)
}

#[derive(Serialize)]
struct File<'a> {
    node_name: &'a str,
    bind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advertise: Option<String>,
    keyring_file: &'a Path,
    retry_join: &'a [String],
    retry_interval: &'a str,
    rpc_addr: &'a str,
    rpc_auth: &'a str,
    tags: &'a Tags,
    profile: &'a str,
    log_level: &'a str,
}

#[cfg(test)]
mod tests {
    use super::{gossip_key, rpc_password, text};
    use crate::agent::config::Config;
    use crate::mesh::record::Tags;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use std::path::Path;

    fn config(key: &[u8]) -> Config {
        let mut config = Config::default();
        config.cluster.auth_key = Some(STANDARD.encode(key));
        config
    }

    #[test]
    fn the_key_of_gossip_follows_from_the_cluster_key() {
        assert_eq!(gossip_key(&config(&[7; 32])).unwrap().as_slice(), [7; 32]);
        let long = gossip_key(&config(&[7; 33])).unwrap();
        assert_eq!(long.len(), 32);
        assert_ne!(long.as_slice(), [7; 32]);
        assert_ne!(long, gossip_key(&config(&[7; 34])).unwrap());
        let mut own = config(&[7; 32]);
        own.discovery.encrypt_key = Some(STANDARD.encode([9; 16]));
        assert_eq!(gossip_key(&own).unwrap().as_slice(), [9; 16]);
        assert_eq!(
            gossip_key(&Config::default()).unwrap_err(),
            "CLUSTER_AUTH_KEY is not set; make one with 'head -c 32 /dev/urandom | base64' and give every node of the cluster \
             the same"
        );
    }

    #[test]
    fn the_password_of_the_rpc_follows_from_the_key_and_is_not_it() {
        // The same by Python's hmac, as in cluster::k3s::token.
        assert_eq!(
            rpc_password(&config(&[7; 32])).unwrap().as_str(),
            "b09b91d32f4e869919db0203d1ad12bc2f3b9afc7b41b07794c53d440aa67fe3"
        );
        assert!(rpc_password(&Config::default()).is_err());
    }

    #[test]
    fn the_file_is_what_serf_reads() {
        let tags = Tags::from([("v".to_owned(), "1".to_owned())]);
        let join = ["10.0.0.1:7946".to_owned()];
        let keyring = Path::new("/var/lib/cluster-os/keyring");
        let file = text(&config(&[0; 32]), keyring, "node2", "10.0.0.2".parse().ok(), &join, &tags).unwrap();
        assert_eq!(
            file.as_str(),
            "{\n  \"node_name\": \"node2\",\n  \"bind\": \"0.0.0.0:7946\",\n  \"advertise\": \"10.0.0.2:7946\",\n  \
             \"keyring_file\": \"/var/lib/cluster-os/keyring\",\n  \"retry_join\": [\n    \"10.0.0.1:7946\"\n  ],\n  \
             \"retry_interval\": \"2s\",\n  \"rpc_addr\": \"127.0.0.1:7373\",\n  \"rpc_auth\": \"62300d0a5504c35ff31a656073599f2667788dffe6aad23253379c55145739e3\",\n  \"tags\": {\n    \"v\": \"1\"\n  },\n  \
             \"profile\": \"lan\",\n  \"log_level\": \"info\"\n}\n"
        );
    }
}
