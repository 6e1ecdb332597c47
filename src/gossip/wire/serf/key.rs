//! What is asked of keyrings, and what they answer.

use std::fmt;

use zeroize::Zeroizing;

use crate::gossip::Name;
use crate::gossip::wire::pack::{Malformed, Pack, Reader, Unpack, Writer, record};

/// What is asked of a keyring: the payload of a query.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeyRequest {
    /// The key; empty where none is needed.
    pub key: Zeroizing<Vec<u8>>,
}

/// Without the key.
impl fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRequest").finish_non_exhaustive()
    }
}

/// No key is no bytes, but no nil.
impl Pack for KeyRequest {
    fn pack(&self, out: &mut Writer) {
        out.map(1);
        out.text(b"Key");
        out.bytes(&self.key);
    }
}

impl Unpack for KeyRequest {
    fn unpack(reader: &mut Reader<'_>) -> Result<KeyRequest, Malformed> {
        let mut request = KeyRequest::default();
        reader.fields(&["Key"], |_, reader| {
            request.key = Zeroizing::new(reader.get()?);
            Ok(())
        })?;
        Ok(request)
    }
}

/// What came of it: the payload of a response.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeyResponse {
    /// Whether it was done.
    pub result: bool,
    /// Why not.
    pub message: Name,
    /// The keys in base64, if they were asked for.
    pub keys: Option<Vec<Name>>,
    /// The one that encrypts, in base64, if it was asked for.
    pub primary: Name,
}
record!(KeyResponse { "Result" => result, "Message" => message, "Keys" => keys, "PrimaryKey" => primary });

/// Without the keys.
impl fmt::Debug for KeyResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("KeyResponse");
        shown.field("result", &self.result).field("message", &self.message).finish_non_exhaustive()
    }
}
