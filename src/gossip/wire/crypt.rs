//! The keys of a cluster, and what is sealed with them: AES-GCM, with the key's length as AES's.

use std::fmt;

use aes::Aes192;
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{AeadInOut, Nonce, Tag};
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm, KeyInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// How many bytes a nonce has.
pub const NONCE: usize = 12;
/// How many bytes what is sealed has more than what is in it.
pub const OVERHEAD: usize = 1 + NONCE + TAG;
/// How many keys a ring may have: every one is tried on what a stranger sends.
pub const KEYS: usize = 64;

const TAG: usize = 16;
const BLOCK: usize = 16;

type Aes192Gcm = AesGcm<Aes192, U12>;

/// What cannot be done with a key. The words are those of Serf, whose users see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// It has not 16, 24 or 32 bytes.
    Length,
    /// It is no base64.
    Base64,
    /// To be used, it has to be installed.
    Absent,
    /// It is in use and cannot be removed.
    Primary,
    /// There are [`KEYS`] already.
    Full,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyError::Length => "key size must be 16, 24 or 32 bytes",
            KeyError::Base64 => "the key is not base64",
            KeyError::Absent => "Requested key is not in the keyring",
            KeyError::Primary => "Removing the primary key is not allowed",
            KeyError::Full => "the keyring is full",
        })
    }
}

impl std::error::Error for KeyError {}

/// A key: 16, 24 or 32 bytes, which are wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<Vec<u8>>);

impl Key {
    /// Of its bytes.
    pub fn new(bytes: &[u8]) -> Result<Key, KeyError> {
        match bytes.len() {
            16 | 24 | 32 => Ok(Key(Zeroizing::new(bytes.to_vec()))),
            _ => Err(KeyError::Length),
        }
    }

    /// Of the text that people and files have.
    pub fn from_base64(text: &str) -> Result<Key, KeyError> {
        let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| KeyError::Base64)?);
        Key::new(&bytes)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text that people and files have.
    pub fn base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(&*self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes)", self.0.len())
    }
}

/// A key made ready, so that a datagram does not pay for it.
#[derive(Clone)]
enum Cipher {
    Short(Box<Aes128Gcm>),
    Middle(Box<Aes192Gcm>),
    Long(Box<Aes256Gcm>),
}

impl Cipher {
    fn new(key: &Key) -> Option<Cipher> {
        Some(match key.bytes().len() {
            16 => Cipher::Short(Box::new(Aes128Gcm::new_from_slice(key.bytes()).ok()?)),
            24 => Cipher::Middle(Box::new(Aes192Gcm::new_from_slice(key.bytes()).ok()?)),
            _ => Cipher::Long(Box::new(Aes256Gcm::new_from_slice(key.bytes()).ok()?)),
        })
    }

    fn encrypt(&self, nonce: [u8; NONCE], aad: &[u8], buffer: &mut [u8]) -> Option<[u8; TAG]> {
        let nonce: Nonce<Aes256Gcm> = nonce.into();
        let tag = match self {
            Cipher::Short(cipher) => cipher.encrypt_inout_detached(&nonce, aad, buffer.into()),
            Cipher::Middle(cipher) => cipher.encrypt_inout_detached(&nonce, aad, buffer.into()),
            Cipher::Long(cipher) => cipher.encrypt_inout_detached(&nonce, aad, buffer.into()),
        };
        tag.ok().map(Into::into)
    }

    /// Looks at the tag first: `buffer` stays as it is if this is not the key.
    fn decrypt(&self, nonce: [u8; NONCE], aad: &[u8], buffer: &mut [u8], tag: [u8; TAG]) -> bool {
        let nonce: Nonce<Aes256Gcm> = nonce.into();
        let tag: Tag<Aes256Gcm> = tag.into();
        let done = match self {
            Cipher::Short(cipher) => cipher.decrypt_inout_detached(&nonce, aad, buffer.into(), &tag),
            Cipher::Middle(cipher) => cipher.decrypt_inout_detached(&nonce, aad, buffer.into(), &tag),
            Cipher::Long(cipher) => cipher.decrypt_inout_detached(&nonce, aad, buffer.into(), &tag),
        };
        done.is_ok()
    }
}

/// How what is sealed is padded: its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// To whole blocks; only the oldest members send it.
    Padded = 0,
    /// Not at all.
    Plain = 1,
}

/// The keys of a cluster: all of them open, the first one seals.
#[derive(Clone)]
pub struct Keyring {
    keys: Vec<(Key, Cipher)>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", self.keys.len())
    }
}

impl Keyring {
    /// A ring of one key.
    pub fn new(primary: Key) -> Result<Keyring, KeyError> {
        let mut ring = Keyring { keys: Vec::new() };
        ring.install(primary)?;
        Ok(ring)
    }

    /// The keys, the primary first.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().map(|(key, _)| key)
    }

    /// The key that seals.
    pub fn primary(&self) -> Option<&Key> {
        self.keys().next()
    }

    /// Adds a key behind the others: it opens, and does not seal. Whether it is new.
    pub fn install(&mut self, key: Key) -> Result<bool, KeyError> {
        if self.keys().any(|known| *known == key) {
            return Ok(false);
        }
        if self.keys.len() >= KEYS {
            return Err(KeyError::Full);
        }
        let cipher = Cipher::new(&key).ok_or(KeyError::Length)?;
        self.keys.push((key, cipher));
        Ok(true)
    }

    /// Makes an installed key the primary.
    pub fn use_key(&mut self, key: &[u8]) -> Result<(), KeyError> {
        let at = self.keys().position(|known| known.bytes() == key).ok_or(KeyError::Absent)?;
        if let Some(first) = self.keys.get_mut(..=at) {
            first.rotate_right(1);
        }
        Ok(())
    }

    /// Removes a key that is not the primary. Whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> Result<bool, KeyError> {
        let at = self.keys().position(|known| known.bytes() == key);
        if at == Some(0) {
            return Err(KeyError::Primary);
        }
        Ok(at.map(|at| self.keys.remove(at)).is_some())
    }

    /// `bytes` sealed with the primary key. The nonce must never come again; `aad` is what the reader has to have, too.
    pub fn seal(&self, version: Version, nonce: [u8; NONCE], aad: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(bytes.len() + OVERHEAD + BLOCK);
        sealed.push(version as u8);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(bytes);
        if version == Version::Padded {
            let padding = BLOCK - bytes.len() % BLOCK;
            sealed.resize(sealed.len() + padding, padding as u8);
        }
        let tag = match (self.keys.first(), sealed.get_mut(1 + NONCE..)) {
            (Some((_, cipher)), Some(body)) => cipher.encrypt(nonce, aad, body),
            _ => None,
        };
        // A ring has a key, and only what is as long as 64 GiB cannot be sealed: nothing goes out unsealed.
        match tag {
            Some(tag) => sealed.extend_from_slice(&tag),
            None => sealed.clear(),
        }
        sealed
    }

    /// Opens what was sealed with any of the keys, in its own place. Whether one of them did; `sealed` is of no use if none did.
    pub fn open(&self, aad: &[u8], sealed: &mut Vec<u8>) -> bool {
        let Some(length) = self.opened(aad, sealed) else { return false };
        sealed.truncate(1 + NONCE + length);
        sealed.drain(..1 + NONCE);
        true
    }

    /// How many bytes are in it, which begin behind the nonce.
    fn opened(&self, aad: &[u8], sealed: &mut [u8]) -> Option<usize> {
        let (version, rest) = sealed.split_first_mut()?;
        let (nonce, rest) = rest.split_first_chunk_mut::<NONCE>()?;
        let (body, tag) = rest.split_last_chunk_mut::<TAG>()?;
        if *version > Version::Plain as u8 {
            return None;
        }
        self.keys.iter().find(|(_, cipher)| cipher.decrypt(*nonce, aad, body, *tag))?;
        if *version == Version::Plain as u8 {
            return Some(body.len());
        }
        let padding = usize::from(*body.last()?);
        let length = body.len().checked_sub(padding)?;
        let whole = (1..=BLOCK).contains(&padding) && body.len().is_multiple_of(BLOCK);
        let filled = body.get(length..)?.iter().all(|byte| usize::from(*byte) == padding);
        (whole && filled).then_some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, KeyError, Keyring, OVERHEAD, Version};

    fn key(length: usize, byte: u8) -> Key {
        Key::new(&vec![byte; length]).unwrap()
    }

    fn opened(ring: &Keyring, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = sealed.to_vec();
        ring.open(aad, &mut bytes).then_some(bytes)
    }

    #[test]
    fn any_key_opens_and_the_first_seals() {
        for length in [16, 24, 32] {
            let mut ring = Keyring::new(key(length, 1)).unwrap();
            let old = ring.seal(Version::Plain, [7; 12], b"", b"hello");
            assert_eq!(old.len(), 5 + OVERHEAD);
            assert_eq!(ring.install(key(16, 2)), Ok(true));
            assert_eq!(ring.install(key(16, 2)), Ok(false));
            assert_eq!(ring.seal(Version::Plain, [7; 12], b"", b"hello"), old);
            ring.use_key(&[2; 16]).unwrap();
            let new = ring.seal(Version::Plain, [7; 12], b"", b"hello");
            assert_eq!(opened(&ring, b"", &old).unwrap(), b"hello");
            assert_eq!(opened(&ring, b"", &new).unwrap(), b"hello");
            assert_eq!(opened(&ring, b"x", &new), None);
            assert_eq!(ring.remove(&[2; 16]), Err(KeyError::Primary));
            assert_eq!(ring.remove(&vec![1; length]), Ok(true));
            assert_eq!(ring.remove(&vec![1; length]), Ok(false));
            assert_eq!(opened(&ring, b"", &old), None);
            assert_eq!(ring.use_key(&vec![1; length]), Err(KeyError::Absent));
            assert_eq!(ring.keys().collect::<Vec<_>>(), [&key(16, 2)]);
        }
    }

    #[test]
    fn using_a_key_keeps_the_order_of_the_others() {
        let mut ring = Keyring::new(key(16, 0)).unwrap();
        (1..4).for_each(|byte| assert!(ring.install(key(16, byte)).unwrap()));
        ring.use_key(&[2; 16]).unwrap();
        assert_eq!(ring.keys().map(|key| key.bytes()[0]).collect::<Vec<_>>(), [2, 0, 1, 3]);
        ring.use_key(&[2; 16]).unwrap();
        assert_eq!(ring.primary(), Some(&key(16, 2)));
    }

    #[test]
    fn padding_comes_off_and_only_if_it_is_whole() {
        let ring = Keyring::new(key(32, 1)).unwrap();
        for length in 0..50 {
            let bytes = vec![9; length];
            for version in [Version::Padded, Version::Plain] {
                let sealed = ring.seal(version, [0; 12], b"a", &bytes);
                assert_eq!(opened(&ring, b"a", &sealed), Some(bytes.clone()));
                for cut in 0..sealed.len() {
                    assert_eq!(opened(&ring, b"a", &sealed[..cut]), None);
                }
                for bit in 0..sealed.len() * 8 {
                    let mut flipped = sealed.clone();
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    // The version is not sealed in: without its padding a padded message is another one, no more.
                    let other = opened(&ring, b"a", &flipped);
                    assert!(other.is_none() || bit == 0 && other != Some(bytes.clone()));
                }
            }
        }
    }

    #[test]
    fn keys_are_16_24_or_32_bytes_and_are_not_shown() {
        for length in 0..40 {
            assert_eq!(Key::new(&vec![1; length]).is_ok(), [16, 24, 32].contains(&length));
        }
        let text = "dGVzdGtleTE2Ynl0ZXMhIQ==";
        let key = Key::from_base64(text).unwrap();
        assert_eq!(key.bytes(), b"testkey16bytes!!");
        assert_eq!(*key.base64(), text);
        assert_eq!(Key::from_base64("!"), Err(KeyError::Base64));
        assert_eq!(Key::from_base64("AAAA"), Err(KeyError::Length));
        assert_eq!(format!("{key:?} {:?}", Keyring::new(key.clone()).unwrap()), "Key(16 bytes) Keyring(1 keys)");
    }

    #[test]
    fn a_ring_is_bounded() {
        let mut ring = Keyring::new(key(16, 0)).unwrap();
        (1..64).for_each(|byte| assert!(ring.install(key(16, byte)).unwrap()));
        assert_eq!(ring.install(key(16, 64)), Err(KeyError::Full));
    }
}
