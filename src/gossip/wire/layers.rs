//! What is put around messages of datagrams and streams, and why what came is not listened to.

use std::fmt;

use super::crypt::{Keyring, NONCE, Version};
use super::message::kind;
use super::pack::Malformed;
use crate::gossip::Dice;

/// How a node speaks with the others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layers<'a> {
    /// The label of newer versions, which tells clusters apart: at most 255 bytes, none if it is empty.
    pub label: &'a [u8],
    /// With what everything is sealed, if it is.
    pub keyring: Option<&'a Keyring>,
    /// Whether what is sent is made smaller; what comes may be in any case.
    pub compress: bool,
}

impl Layers<'_> {
    /// The label as it stands in front of a datagram or a stream.
    pub(super) fn front(&self) -> Vec<u8> {
        match u8::try_from(self.label.len()) {
            Ok(length @ 1..) => [&[kind::LABEL, length], self.label].concat(),
            _ => Vec::new(),
        }
    }

    /// `message` sealed, if it is to be; `head` is what stands in front of it, which is sealed in.
    pub(super) fn sealed(&self, ring: &Keyring, head: &[u8], message: &[u8], dice: &mut dyn Dice) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        dice.fill(&mut nonce);
        ring.seal(Version::Plain, nonce, &[head, self.label].concat(), message)
    }

    /// What is behind the label; nothing while it has not come whole.
    pub(super) fn unlabelled<'a>(&self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, Refusal> {
        let (label, rest) = match bytes {
            [kind::LABEL, length, rest @ ..] => match rest.split_at_checked(usize::from(*length)) {
                Some(split) => split,
                None => return Ok(None),
            },
            [] | [kind::LABEL] => return Ok(None),
            _ => (&[][..], bytes),
        };
        if label == self.label { Ok(Some(rest)) } else { Err(Refusal::Label) }
    }
}

/// Why what came is not listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// It is for another cluster.
    Label,
    /// It is not encrypted, and we have a key.
    Plain,
    /// It is encrypted, and we have no key.
    Encrypted,
    /// None of our keys opens it: it is of another cluster, or was changed on its way.
    Key,
    /// Its checksum is wrong.
    Checksum,
    /// It is no message.
    Malformed(Malformed),
}

impl Refusal {
    /// What a peer is told whose stream is refused, in memberlist's words; nothing if it is told nothing.
    pub const fn answer(self) -> Option<&'static str> {
        match self {
            Refusal::Plain => Some("Encryption is configured but remote state is not encrypted"),
            Refusal::Encrypted => Some("Remote state is encrypted and encryption is not configured"),
            Refusal::Label | Refusal::Key | Refusal::Checksum | Refusal::Malformed(_) => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Label => "it has another label",
            Refusal::Plain => "it is not encrypted",
            Refusal::Encrypted => "it is encrypted, and there is no key here",
            Refusal::Key => "no key here opens it",
            Refusal::Checksum => "its checksum is wrong",
            Refusal::Malformed(malformed) => malformed.0,
        })
    }
}

impl std::error::Error for Refusal {}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Refusal {
        Refusal::Malformed(malformed)
    }
}
