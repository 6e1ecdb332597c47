//! Who a node is: an Ed25519 key pair, the node id that names it, and the WireGuard key that follows from it.
//!
//! Owns the text of `identity.json`, which is ClusterOS's: a file that its Go code wrote is read unchanged and gives the
//! same node id and the same WireGuard key.

use std::fmt::{self, Debug, Display, Formatter};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blake2::Blake2b;
use blake2::digest::Digest;
use blake2::digest::consts::U32;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::Deserialize;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::peers::WgKey;

/// What is hashed before the seed to make the WireGuard key (ClusterOS's label).
const WIREGUARD_LABEL: &[u8] = b"wireguard-key-derivation";

/// The base58 text of an Ed25519 public key: the one name of a node that nobody else can carry.
///
/// Ordered as text, which is the order in which a person sees ids and in which conflicts are settled.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(String);

impl NodeId {
    /// The id of the node whose public key is `public`.
    pub fn of(public: &[u8; 32]) -> NodeId {
        NodeId(bs58::encode(public).into_string())
    }

    /// The id as text, 43 or 44 characters as a rule.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight characters: enough to tell nodes apart on a screen.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }

    /// Whether the node of this id made `signature` over `message`. False too if the id is no usable key.
    pub fn signed(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let mut public = [0; 32];
        if !matches!(bs58::decode(&self.0).onto(&mut public[..]), Ok(32)) {
            return false;
        }
        VerifyingKey::from_bytes(&public)
            .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
    }
}

impl FromStr for NodeId {
    type Err = NotANodeId;

    fn from_str(text: &str) -> Result<NodeId, NotANodeId> {
        let mut public = [0; 32];
        // 32 bytes are at most 44 digits of base58: longer text is not worth decoding.
        if text.len() > 44 || !matches!(bs58::decode(text).onto(&mut public[..]), Ok(32)) {
            return Err(NotANodeId);
        }
        Ok(NodeId::of(&public))
    }
}

impl Display for NodeId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Debug for NodeId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that is not the base58 of 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANodeId;

impl Display for NotANodeId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("not a node id (32 bytes in base58)")
    }
}

impl std::error::Error for NotANodeId {}

/// A node's own identity. Holds its secrets, wipes them when dropped, and shows none of them.
pub struct Identity {
    signing: SigningKey,
    node_id: NodeId,
}

impl Debug for Identity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("node_id", &self.node_id).finish_non_exhaustive()
    }
}

impl Identity {
    /// The identity that follows from 32 random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Identity {
        let signing = SigningKey::from_bytes(seed);
        let node_id = NodeId::of(signing.verifying_key().as_bytes());
        Identity { signing, node_id }
    }

    /// Reads the text of an identity.json. The error names the field that is wrong, and why.
    pub fn parse(text: &str) -> Result<Identity, Damage> {
        let fields: Fields = serde_json::from_str(text).map_err(|error| {
            if text.trim().is_empty() {
                Damage::Empty
            } else {
                Damage::Json(error.line(), error.column(), reason(&error))
            }
        })?;
        let private = Zeroizing::new(decode("private_key", &fields.private_key, 64)?);
        let public = decode("public_key", &fields.public_key, 32)?;
        let (Some(seed), Some(half)) = (private.first_chunk::<32>(), private.last_chunk::<32>()) else {
            return Err(Damage::Length { field: "private_key", bytes: private.len(), expected: 64 });
        };
        let identity = Identity::from_seed(seed);
        if half != identity.signing.verifying_key().as_bytes() {
            return Err(Damage::Mismatch {
                field: "private_key",
                why: "its second half is not the public key of its first half",
            });
        }
        if public != half {
            return Err(Damage::Mismatch { field: "public_key", why: "it is not the public half of private_key" });
        }
        if fields.node_id != identity.node_id.as_str() {
            return Err(Damage::Mismatch { field: "node_id", why: "it is not the base58 text of public_key" });
        }
        Ok(identity)
    }

    /// The text of the identity.json of this identity, with its secrets.
    pub fn text(&self) -> Zeroizing<String> {
        let private = Zeroizing::new(STANDARD.encode(Zeroizing::new(self.signing.to_keypair_bytes())));
        let public = STANDARD.encode(self.signing.verifying_key().as_bytes());
        Zeroizing::new(format!(
            "{{\n  \"private_key\": \"{}\",\n  \"public_key\": \"{public}\",\n  \"node_id\": \"{}\"\n}}",
            private.as_str(),
            self.node_id
        ))
    }

    /// The node's id.
    pub fn node_id(&self) -> &NodeId {
        &self.node_id
    }

    /// The signature of `message` by this node.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing.sign(message).to_bytes()
    }

    /// The WireGuard private key, clamped: the kernel takes an unclamped key for a new one each time it is set.
    pub fn wireguard_secret(&self) -> Zeroizing<[u8; 32]> {
        let mut hash = Blake2b::<U32>::new();
        hash.update(WIREGUARD_LABEL);
        hash.update(self.signing.as_bytes());
        let mut key: Zeroizing<[u8; 32]> = Zeroizing::new(hash.finalize().into());
        key[0] &= 248;
        key[31] = (key[31] & 127) | 64;
        key
    }

    /// The WireGuard public key.
    pub fn wireguard_key(&self) -> WgKey {
        WgKey(PublicKey::from(&StaticSecret::from(*self.wireguard_secret())).to_bytes())
    }
}

/// What is wrong with an identity.json.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// There is no text.
    Empty,
    /// Not JSON, or a field is missing: line, column, cause.
    Json(usize, usize, String),
    /// A field is not base64.
    Base64(&'static str),
    /// A field has another length than it must.
    Length {
        /// The field.
        field: &'static str,
        /// How many bytes it has.
        bytes: usize,
        /// How many it must have.
        expected: usize,
    },
    /// A field contradicts another.
    Mismatch {
        /// The field.
        field: &'static str,
        /// The contradiction.
        why: &'static str,
    },
}

impl Display for Damage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Empty => f.write_str("the file is empty"),
            Damage::Json(line, column, cause) => write!(f, "line {line}, column {column}: {cause}"),
            Damage::Base64(field) => write!(f, "{field}: not base64"),
            Damage::Length { field, bytes, expected } => write!(f, "{field}: {bytes} bytes, not {expected}"),
            Damage::Mismatch { field, why } => write!(f, "{field}: {why}"),
        }
    }
}

impl std::error::Error for Damage {}

#[derive(Deserialize)]
struct Fields {
    private_key: Zeroizing<String>,
    public_key: String,
    node_id: String,
}

fn decode(field: &'static str, text: &str, expected: usize) -> Result<Vec<u8>, Damage> {
    let bytes = STANDARD.decode(text).map_err(|_| Damage::Base64(field))?;
    if bytes.len() != expected {
        return Err(Damage::Length { field, bytes: bytes.len(), expected });
    }
    Ok(bytes)
}

/// The cause alone: serde_json appends the place, which [`Damage::Json`] carries by itself. A value that is of the wrong kind
/// is not shown: it may be the key.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let named = text.starts_with("missing field") || text.starts_with("duplicate field");
    if error.is_data() && !named {
        return "not an object with the texts private_key, public_key and node_id".to_owned();
    }
    match text.rfind(" at line ") {
        Some(end) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{Damage, Identity, NodeId};
    use crate::mesh::address::{Subnet, address};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    fn seed(hex: &str) -> [u8; 32] {
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
        bytes.try_into().unwrap()
    }

    #[test]
    fn every_vector_of_clusteros_passes() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/golden/wireguard-vectors.json")).unwrap();
        let vectors = file["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 5);
        for vector in vectors {
            let text = |key: &str| vector[key].as_str().unwrap();
            let identity = Identity::from_seed(&seed(text("seed_hex")));
            assert_eq!(identity.node_id().as_str(), text("node_id"));
            assert_eq!(STANDARD.encode(*identity.wireguard_secret()), text("wg_private_clamped_b64"));
            assert_eq!(identity.wireguard_key().to_string(), text("wg_public_b64"));
            for (subnet, key) in [
                ("10.42.0.0/16", "ip_10_42_0_0_16"),
                ("10.42.0.0/24", "ip_10_42_0_0_24"),
                ("10.0.0.0/8", "ip_10_0_0_0_8"),
            ] {
                let subnet: Subnet = subnet.parse().unwrap();
                assert_eq!(address(identity.node_id(), subnet, 0).to_string(), text(key));
            }
        }
    }

    #[test]
    fn text_survives_the_round_trip_and_looks_as_clusteros_wrote_it() {
        let identity = Identity::from_seed(&[0; 32]);
        let text = identity.text();
        assert_eq!(
            text.as_str(),
            "{\n  \"private_key\": \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA7aie8zrakLWKjqNAqbw1zZTIVdx3iQ6Y6wEihi1naKQ==\",\n  \
             \"public_key\": \"O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=\",\n  \
             \"node_id\": \"4zvwRjXUKGfvwnParsHAS3HuSVzV5cA4McphgmoCtajS\"\n}"
        );
        assert_eq!(Identity::parse(&text).unwrap().node_id(), identity.node_id());
    }

    #[test]
    fn damage_names_the_field_and_the_cause() {
        let good = Identity::from_seed(&[1; 32]).text();
        let other = Identity::from_seed(&[2; 32]);
        let public = STANDARD.encode(other.signing.verifying_key().as_bytes());
        let own = STANDARD.encode(Identity::from_seed(&[1; 32]).signing.verifying_key().as_bytes());
        let said = |text: &str| Identity::parse(text).unwrap_err().to_string();
        assert_eq!(said(""), "the file is empty");
        assert_eq!(said(&good[..40]), "line 2, column 38: EOF while parsing a string");
        assert_eq!(said("{\"private_key\": \"\", \"public_key\": \"\"}"), "line 1, column 37: missing field `node_id`");
        assert_eq!(said(&good.replacen("A", "!", 1)), "private_key: not base64");
        assert_eq!(said(&good.replace(&own, "AAAA")), "public_key: 3 bytes, not 32");
        assert_eq!(said(&good.replace(&own, &public)), "public_key: it is not the public half of private_key");
        let id = Identity::from_seed(&[1; 32]).node_id().to_string();
        assert_eq!(
            said(&good.replace(&id, other.node_id().as_str())),
            "node_id: it is not the base58 text of public_key"
        );
        let mut pair = [1u8; 64];
        pair[32..].copy_from_slice(other.signing.verifying_key().as_bytes());
        let start = good.find(": \"").unwrap() + 3;
        let wrong = format!("{}{}{}", &good[..start], STANDARD.encode(pair), &good[start + 88..]);
        assert_eq!(said(&wrong), "private_key: its second half is not the public key of its first half");
        assert_eq!(Identity::parse("{").unwrap_err(), Damage::Json(1, 1, "EOF while parsing an object".to_owned()));
    }

    #[test]
    fn nothing_secret_is_shown() {
        let kind = "not an object with the texts private_key, public_key and node_id";
        for text in ["\"c2VjcmV0\"", "{\"private_key\": [\"c2VjcmV0\"]}", "{\"private_key\": 736563726574}"] {
            let Err(Damage::Json(_, _, cause)) = Identity::parse(text) else { panic!("{text} is an identity") };
            assert_eq!(cause, kind);
        }
        let identity = Identity::from_seed(&[7; 32]);
        let shown = format!("{identity:?}");
        assert!(shown.contains(identity.node_id().as_str()));
        assert!(!shown.contains(&STANDARD.encode([7; 32])[..20]) && !shown.contains("7, 7"));
    }

    #[test]
    fn a_node_id_is_32_bytes_of_base58() {
        let id = Identity::from_seed(&[3; 32]).node_id().clone();
        assert_eq!(id.as_str().parse::<NodeId>().unwrap(), id);
        for text in ["", "0OIl", "abc", &"1".repeat(45), &"z".repeat(44)] {
            assert!(text.parse::<NodeId>().is_err(), "{text}");
        }
        assert!(!id.signed(b"message", &[0; 64]));
    }
}
