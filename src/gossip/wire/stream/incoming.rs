//! What comes on a stream: the label, the seal, the compression, the message.

use std::fmt;

use super::body::Body;
use super::{Content, LARGEST, Reply, Request, SEALED, head};
use crate::gossip::wire::layers::{Layers, Refusal};
use crate::gossip::wire::message::kind;
use crate::gossip::wire::pack::{Extent, Malformed};
use crate::gossip::wire::{crypt, lzw};

/// How many times its length compressed bytes may expand to, beside [`SLACK`]: members tell little that is the same 64 times.
const EXPANSION: usize = 64;
/// How many bytes anything may expand to: a full ring of events that are all zeros, and more.
const SLACK: usize = 1 << 20;

/// How many bytes are copied at once of what has come whole.
const PIECE: usize = 16 * 1024;

const CUT: Malformed = Malformed("a stream that ends in the middle of its message");

/// What is waited for.
#[derive(Debug)]
enum Due {
    Label,
    Kind,
    /// Everything that is sealed.
    Sealed,
    /// Everything that is compressed.
    Compressed(Extent),
    Body,
}

/// A [`Request`] or a [`Reply`] that is on its way.
pub struct Incoming<T> {
    due: Due,
    /// What cannot be understood before all of it has come.
    buffer: Vec<u8>,
    body: Body,
    of: fn(Content) -> Option<T>,
}

impl<T> fmt::Debug for Incoming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("due", &self.due).field("held", &self.held()).finish_non_exhaustive()
    }
}

impl Default for Incoming<Request> {
    fn default() -> Incoming<Request> {
        Incoming::<Request>::new()
    }
}

impl Incoming<Request> {
    /// Nothing yet.
    pub fn new() -> Incoming<Request> {
        Incoming::taking(&[kind::PING, kind::PUSH_PULL, kind::USER], |content| match content {
            Content::Ping(ping) => Some(Request::Ping(ping)),
            Content::PushPull(state) => Some(Request::PushPull(state)),
            Content::User(bytes) => Some(Request::User(bytes)),
            Content::Ack(_) | Content::Error(_) => None,
        })
    }
}

impl Default for Incoming<Reply> {
    fn default() -> Incoming<Reply> {
        Incoming::<Reply>::new()
    }
}

impl Incoming<Reply> {
    /// Nothing yet.
    pub fn new() -> Incoming<Reply> {
        Incoming::taking(&[kind::ACK, kind::PUSH_PULL, kind::ERROR], |content| match content {
            Content::Ack(ack) => Some(Reply::Ack(ack)),
            Content::PushPull(state) => Some(Reply::PushPull(state)),
            Content::Error(error) => Some(Reply::Error(error)),
            Content::Ping(_) | Content::User(_) => None,
        })
    }
}

impl<T> Incoming<T> {
    fn taking(takes: &'static [u8], of: fn(Content) -> Option<T>) -> Incoming<T> {
        Incoming { due: Due::Label, buffer: Vec::new(), body: Body::new(takes), of }
    }

    /// How many bytes of memory it holds, more or less: never many more than have come.
    pub fn held(&self) -> usize {
        self.buffer.len() + self.body.held()
    }

    /// More of the stream; the whole of it when that has come, which is to be waited for no longer. After a refusal, or when it has
    /// come, the stream has no more sense.
    pub fn feed(&mut self, bytes: &[u8], layers: &Layers<'_>) -> Result<Option<T>, Refusal> {
        let content = match self.due {
            Due::Body => self.body.feed(bytes)?,
            _ => {
                self.buffer.extend_from_slice(bytes);
                self.go_on(layers)?
            }
        };
        Ok(content.and_then(self.of))
    }

    fn go_on(&mut self, layers: &Layers<'_>) -> Result<Option<Content>, Refusal> {
        loop {
            match &mut self.due {
                Due::Label => {
                    let Some(rest) = layers.unlabelled(&self.buffer)? else { return Ok(None) };
                    let label = self.buffer.len() - rest.len();
                    self.buffer.drain(..label);
                    self.due = Due::Kind;
                }
                Due::Kind => {
                    let Some(kind) = self.buffer.first() else { return Ok(None) };
                    self.due = match (*kind, layers.keyring) {
                        (kind::ENCRYPT, Some(_)) => Due::Sealed,
                        (kind::ENCRYPT, None) => return Err(Refusal::Encrypted),
                        (_, Some(_)) => return Err(Refusal::Plain),
                        (kind::COMPRESS, None) => Due::Compressed(Extent::default()),
                        (_, None) => Due::Body,
                    };
                }
                Due::Sealed => {
                    let Some(inside) = opened(&mut self.buffer, layers)? else { return Ok(None) };
                    return self.whole(&inside).map(Some);
                }
                Due::Compressed(extent) => {
                    let frame = self.buffer.get(1..).unwrap_or_default();
                    let end = extent.end(frame)?;
                    if extent.least() > SEALED {
                        return Err(Malformed("a stream that is too long").into());
                    }
                    if end.is_none() {
                        return Ok(None);
                    }
                    let all = std::mem::take(&mut self.buffer);
                    return self.whole(&all).map(Some);
                }
                Due::Body => return Ok(self.body.feed(&std::mem::take(&mut self.buffer))?),
            }
        }
    }

    /// The message of which these are all bytes.
    fn whole(&mut self, bytes: &[u8]) -> Result<Content, Refusal> {
        self.due = Due::Body;
        let [kind::COMPRESS, frame @ ..] = bytes else {
            let mut pieces = bytes.chunks(PIECE).map(|piece| self.body.feed(piece));
            let content = pieces.find_map(Result::transpose).transpose()?;
            return Ok(content.ok_or(CUT)?);
        };
        let compressed = lzw::body(frame)?;
        let largest = LARGEST.min(SLACK + compressed.len() * EXPANSION);
        let mut content = None;
        lzw::expand(&compressed, largest, |piece| {
            content = self.body.feed(piece)?;
            Ok(content.is_none())
        })?;
        Ok(content.ok_or(CUT)?)
    }
}

/// What was sealed; nothing while it has not come whole.
fn opened(buffer: &mut Vec<u8>, layers: &Layers<'_>) -> Result<Option<Vec<u8>>, Refusal> {
    let Some((front, rest)) = buffer.split_first_chunk::<5>() else { return Ok(None) };
    let [_, length @ ..] = *front;
    let length = u32::from_be_bytes(length) as usize;
    if length > SEALED {
        return Err(Malformed("a stream that is too long").into());
    }
    if length < crypt::OVERHEAD {
        return Err(Malformed("a seal with nothing in it").into());
    }
    if rest.len() < length {
        return Ok(None);
    }
    let mut sealed = std::mem::take(buffer);
    sealed.truncate(5 + length);
    sealed.drain(..5);
    let aad = [&head(length), layers.label].concat();
    match layers.keyring {
        Some(ring) if ring.open(&aad, &mut sealed) => Ok(Some(sealed)),
        _ => Err(Refusal::Key),
    }
}
