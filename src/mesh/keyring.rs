//! The keys of the cluster that a node holds, and what follows from them: the tag that binds a record to the cluster, and
//! the preshared key of each pair of nodes.

use std::fmt::{self, Debug, Display, Formatter};
use std::str::FromStr;

use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{KeyInit, Mac};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::record::Record;

/// A node holds this many keys at most: one in use, one that comes, one that goes, and one to spare.
pub const MOST: usize = 4;

/// The bytes of a record's tag of the cluster.
pub const TAG: usize = 16;

/// What sets each thing that follows from a key apart from the others, and from what gossip does with the key itself.
const FINGERPRINT_LABEL: &[u8] = b"clusteros-init key fingerprint 1";
const TAG_LABEL: &[u8] = b"clusteros-init member record mac 1";
const PAIR_LABEL: &[u8] = b"clusteros-init wireguard psk 1";

/// The keys of gossip that a node holds, the primary first. Wiped when dropped, and never shown. A node without any takes
/// nobody's record, and nobody takes its own.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keyring(Vec<Key>);

#[derive(Clone, PartialEq, Eq)]
struct Key {
    bytes: Zeroizing<Vec<u8>>,
    fingerprint: Fingerprint,
}

/// Four bytes that name a key and tell nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 4]);

/// The preshared key of two nodes; 32 zeros are none, as WireGuard has it. Wiped when dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Psk(Zeroizing<[u8; 32]>);

impl Keyring {
    /// The keyring of these keys of 16, 24 or 32 bytes. A key that comes again and those beyond [`MOST`] are left out.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a [u8]>) -> Keyring {
        let mut held: Vec<Key> = Vec::new();
        for key in keys.into_iter().map(Key::new) {
            if !held.contains(&key) && held.len() < MOST {
                held.push(key);
            }
        }
        Keyring(held)
    }

    /// What names each key, the primary first.
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        self.0.iter().map(|key| key.fingerprint).collect()
    }

    /// The tag of `message`, made with the primary key: keyed BLAKE2b-256, its first 16 bytes.
    pub fn tag(&self, message: &[u8]) -> [u8; TAG] {
        let full = self.0.first().map(|primary| primary.mac(message).finalize().into_bytes());
        full.and_then(|full| full.first_chunk().copied()).unwrap_or_default()
    }

    /// Whether `tag` was made of `message` with any of the keys.
    pub fn made(&self, message: &[u8], tag: &[u8; TAG]) -> bool {
        self.0.iter().any(|key| key.mac(message).verify_truncated_left(tag).is_ok())
    }

    /// The preshared key of the nodes of two records, whichever of them is this one: HKDF-SHA256 of a key of gossip, with
    /// both WireGuard keys in it. None if they have no key that is fit, or if it is not in this keyring.
    pub fn pair(&self, one: &Record, other: &Record) -> Option<Psk> {
        let common = common(one, other)?;
        let key = self.0.iter().find(|key| key.fingerprint == common)?;
        Some(Psk(key.follow(&[PAIR_LABEL, &one.key.min(other.key).0, &one.key.max(other.key).0])))
    }
}

/// The key that two nodes take for what is between them: the primary one of the smaller node id if the other one holds it,
/// else the other's primary if the first holds that. The same on both sides, as it follows from both records alone.
fn common(one: &Record, other: &Record) -> Option<Fingerprint> {
    let (first, second) = if one.node_id <= other.node_id { (one, other) } else { (other, one) };
    let primary_of = |of: &Record, held_by: &Record| of.keys.first().copied().filter(|key| held_by.keys.contains(key));
    primary_of(first, second).or_else(|| primary_of(second, first))
}

impl Key {
    fn new(bytes: &[u8]) -> Key {
        let mut key = Key { bytes: Zeroizing::new(bytes.to_vec()), fingerprint: Fingerprint([0; 4]) };
        key.fingerprint = Fingerprint(*key.follow(&[FINGERPRINT_LABEL]));
        key
    }

    /// Bytes that follow from the key: HKDF-SHA256 without a salt, `info` after one another.
    fn follow<const N: usize>(&self, info: &[&[u8]]) -> Zeroizing<[u8; N]> {
        let mut bytes = Zeroizing::new([0; N]);
        // It fails only for more than 255 * 32 bytes.
        Hkdf::<Sha256>::new(None, &self.bytes).expand_multi_info(info, &mut *bytes).unwrap_or_default();
        bytes
    }

    fn mac(&self, message: &[u8]) -> Blake2bMac<U32> {
        let key: Zeroizing<[u8; 64]> = self.follow(&[TAG_LABEL]);
        let mut mac = Blake2bMac::<U32>::new(&(*key).into());
        mac.update(message);
        mac
    }
}

impl Display for Keyring {
    /// The fingerprints, the primary key's first.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&listed(&self.fingerprints()))
    }
}

impl Debug for Keyring {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyring").field(&self.fingerprints()).finish()
    }
}

impl Psk {
    /// No preshared key.
    pub fn none() -> Psk {
        Psk::new([0; 32])
    }

    /// The preshared key of these bytes.
    pub fn new(bytes: [u8; 32]) -> Psk {
        Psk(Zeroizing::new(bytes))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether there is one.
    pub fn is_some(&self) -> bool {
        *self.0 != [0; 32]
    }
}

/// Fingerprints for the eyes of a person.
pub fn listed(keys: &[Fingerprint]) -> String {
    let all: Vec<String> = keys.iter().map(ToString::to_string).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

impl Debug for Psk {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_some() { "Psk(..)" } else { "Psk(none)" })
    }
}

impl Display for Fingerprint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl Debug for Fingerprint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Fingerprint, NotAFingerprint> {
        let digits = text.len() == 8 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = u32::from_str_radix(text, 16).ok().filter(|_| digits).ok_or(NotAFingerprint)?;
        Ok(Fingerprint(number.to_be_bytes()))
    }
}

/// Text that is not eight hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAFingerprint;

impl Display for NotAFingerprint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("not the fingerprint of a key (8 hexadecimal digits)")
    }
}

impl std::error::Error for NotAFingerprint {}

#[cfg(test)]
mod tests {
    use super::{Fingerprint, Keyring, MOST, Psk};
    use crate::mesh::address::{Subnet, address};
    use crate::mesh::{Identity, Record};

    fn ring(keys: &[u8]) -> Keyring {
        let keys: Vec<[u8; 32]> = keys.iter().map(|n| [*n; 32]).collect();
        Keyring::new(keys.iter().map(|key| &key[..]))
    }

    fn record(seed: u8, keys: &Keyring) -> Record {
        let identity = Identity::from_seed(&[seed; 32]);
        Record {
            node_id: identity.node_id().clone(),
            name: format!("node{seed}"),
            key: identity.wireguard_key(),
            address: address(identity.node_id(), Subnet::DEFAULT, 0),
            port: 51820,
            generation: 1,
            keys: keys.fingerprints(),
            settled: false,
            run: None,
            mtu: None,
            endpoints: Vec::new(),
        }
    }

    /// Two records, the one with the smaller id first, of nodes that hold these keys.
    fn two(first: &Keyring, second: &Keyring) -> (Record, Record) {
        let swap = record(2, first).node_id > record(3, first).node_id;
        if swap { (record(3, first), record(2, second)) } else { (record(2, first), record(3, second)) }
    }

    #[test]
    fn what_follows_from_a_key_follows_on_every_node_alike() {
        // The same by Python's hmac (HKDF) and hashlib.blake2b.
        let keyring = ring(&[7]);
        assert_eq!(keyring.fingerprints(), ["e0f557d0".parse().unwrap()]);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(&keyring.tag(b"message")), "26f6b55141093b7302dcc17b0adf2b99");
        let (one, other) = (record(2, &keyring), record(3, &keyring));
        let psk = keyring.pair(&one, &other).unwrap();
        assert_eq!(hex(psk.bytes()), "7a71af1e0f43f55bbdb3293979a438e337ecfd282d78a44c2dc4c96dadc0ede8");
        assert_eq!(keyring.pair(&other, &one), Some(psk));
    }

    #[test]
    fn any_key_that_is_held_makes_a_tag_good_and_no_other() {
        let message = b"message";
        let (old, both, new) = (ring(&[1]), ring(&[2, 1]), ring(&[2]));
        assert!(both.made(message, &old.tag(message)) && both.made(message, &new.tag(message)));
        assert!(new.made(message, &both.tag(message)) && !old.made(message, &both.tag(message)));
        assert!(!both.made(b"massage", &old.tag(message)));
        let none = Keyring::default();
        assert!(!none.made(message, &none.tag(message)) && !both.made(message, &none.tag(message)));
    }

    #[test]
    fn a_pair_has_one_key_at_every_step_of_a_rotation() {
        let (old, brought, used, new) = (ring(&[1]), ring(&[1, 2]), ring(&[2, 1]), ring(&[2]));
        let psk = |first: &Keyring, second: &Keyring| {
            let (one, other) = two(first, second);
            let (here, there) = (first.pair(&one, &other), second.pair(&other, &one));
            assert_eq!(here, there);
            here
        };
        let (before, after) = (psk(&old, &old).unwrap(), psk(&new, &new).unwrap());
        assert_ne!(before, after);
        // Whoever goes first, both are always at the same one of the two, and the key that only one holds is never taken.
        for (first, second, expected) in [
            (&old, &brought, &before),
            (&brought, &old, &before),
            (&brought, &brought, &before),
            (&used, &brought, &after),
            (&brought, &used, &before),
            (&used, &used, &after),
            (&used, &old, &before),
            (&old, &used, &before),
            (&new, &used, &after),
            (&brought, &new, &after),
            (&new, &new, &after),
        ] {
            assert_eq!(psk(first, second).as_ref(), Some(expected), "{first:?} {second:?}");
        }
        assert_eq!(psk(&old, &new), None);
        assert_eq!(psk(&ring(&[1, 3]), &ring(&[2, 3])), None);
    }

    #[test]
    fn every_pair_has_a_key_of_its_own() {
        let keyring = ring(&[1]);
        let [one, two, three] = [1, 2, 3].map(|seed| record(seed, &keyring));
        let psks = [keyring.pair(&one, &two), keyring.pair(&one, &three), keyring.pair(&two, &three)];
        assert!(psks.iter().all(|psk| psk.as_ref().is_some_and(Psk::is_some)));
        assert!(psks[0] != psks[1] && psks[1] != psks[2] && psks[0] != psks[2]);
    }

    #[test]
    fn a_keyring_holds_each_key_once_and_four_at_most() {
        assert_eq!(ring(&[1, 1, 2, 2, 1]), ring(&[1, 2]));
        let many = ring(&[1, 2, 3, 4, 5]);
        assert_eq!((many.fingerprints().len(), many), (MOST, ring(&[1, 2, 3, 4])));
    }

    #[test]
    fn nothing_secret_is_shown() {
        let keyring = ring(&[7]);
        assert_eq!(format!("{keyring:?}"), format!("Keyring([{}])", keyring.fingerprints()[0]));
        assert_eq!(format!("{:?} {:?}", Psk::new([7; 32]), Psk::none()), "Psk(..) Psk(none)");
    }

    #[test]
    fn a_fingerprint_is_read_as_it_is_shown() {
        let fingerprint = Fingerprint([0, 1, 0xab, 0xff]);
        assert_eq!((fingerprint.to_string(), "0001abff".parse()), ("0001abff".to_owned(), Ok(fingerprint)));
        for text in ["", "0001abf", "0001ABFF", "+001abff", "0001abff0"] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }
}
