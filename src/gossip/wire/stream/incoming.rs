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

#[cfg(test)]
mod tests {
    use super::Incoming;
    use crate::gossip::Name;
    use crate::gossip::dice::tests::Seeded;
    use crate::gossip::wire::crypt::{Key, Keyring};
    use crate::gossip::wire::layers::{Layers, Refusal};
    use crate::gossip::wire::lzw;
    use crate::gossip::wire::message::{Ack, Addr, Ping, VSN};
    use crate::gossip::wire::pack::Malformed;
    use crate::gossip::wire::push_pull::{NodeState, PushPull, State};
    use crate::gossip::wire::stream::{Reply, Request};

    const PLAIN: Layers<'_> = Layers { label: &[], keyring: None, compress: false };

    fn ring(byte: u8) -> Keyring {
        Keyring::new(Key::new(&[byte; 16]).unwrap()).unwrap()
    }

    fn state(nodes: u32) -> PushPull {
        let node = |number: u32| NodeState {
            name: Name::from(format!("node{number}").as_str()),
            addr: Addr(vec![10, 0, 0, number as u8]),
            port: 7946,
            meta: vec![0xff, 0x80],
            incarnation: number,
            state: State::from(number as u8 % 5),
            vsn: VSN.to_vec(),
        };
        PushPull { join: true, nodes: (0..nodes).map(node).collect(), user: vec![2; 586] }
    }

    fn requests() -> Vec<Request> {
        let ping = Ping { seq: 7, node: Name::from("b"), source: None };
        let states = [0, 3, 200].map(|nodes| Request::PushPull(state(nodes)));
        let bare = PushPull { user: Vec::new(), ..state(1) };
        let others =
            [Request::Ping(ping), Request::PushPull(bare), Request::User(vec![9; 5]), Request::User(Vec::new())];
        states.into_iter().chain(others).collect()
    }

    fn fed(stream: &[u8], size: usize, layers: &Layers<'_>) -> Result<Option<Request>, Refusal> {
        let mut incoming = Incoming::<Request>::new();
        for piece in stream.chunks(size) {
            if let Some(request) = incoming.feed(piece, layers)? {
                return Ok(Some(request));
            }
            assert!(incoming.held() <= 64 * 1024 + 3 * stream.len() + 10 * 200 * 120);
        }
        Ok(None)
    }

    #[test]
    fn it_comes_as_it_went_however_it_is_cut() {
        let ring = ring(1);
        for bits in 0..8 {
            let layers = Layers {
                label: if bits & 1 == 0 { b"" } else { b"blue" },
                keyring: (bits & 2 != 0).then_some(&ring),
                compress: bits & 4 != 0,
            };
            for request in requests() {
                let stream = request.encode(&layers, &mut Seeded(bits));
                for size in [1, 2, 3, 7, 1000, stream.len()] {
                    assert_eq!(fed(&stream, size, &layers), Ok(Some(request.clone())), "{bits} {size}");
                }
                let cuts = (0..stream.len()).step_by(1 + stream.len() / 500);
                cuts.for_each(|cut| assert_eq!(fed(&stream[..cut], 64, &layers), Ok(None), "{cut}"));
                let longer = [stream.as_slice(), b"more"].concat();
                assert_eq!(fed(&longer, 1000, &layers), Ok(Some(request.clone())));
            }
        }
    }

    #[test]
    fn replies_come_too() {
        let told = "Remote state is encrypted and encryption is not configured";
        for reply in
            [Reply::Ack(Ack { seq: 8, payload: Vec::new() }), Reply::PushPull(state(2)), Reply::Error(Name::from(told))]
        {
            let stream = reply.encode(&PLAIN, &mut Seeded(1));
            assert_eq!(Incoming::<Reply>::new().feed(&stream, &PLAIN), Ok(Some(reply)));
        }
    }

    #[test]
    fn each_side_takes_what_belongs_to_it() {
        let wrong = Err(Refusal::Malformed(Malformed("a type of message that does not belong here")));
        let ack = Reply::Ack(Ack::default()).encode(&PLAIN, &mut Seeded(1));
        assert_eq!(Incoming::<Request>::new().feed(&ack, &PLAIN), wrong);
        for kind in 0..=255 {
            if ![0, 6, 8, 9, 10, 244].contains(&kind) {
                assert_eq!(Incoming::<Request>::new().feed(&[kind], &PLAIN), wrong);
            }
        }
        // Nothing is compressed twice.
        let twice = lzw::compressed(&lzw::compressed(&ack).unwrap()).unwrap();
        assert!(matches!(Incoming::<Reply>::new().feed(&twice, &PLAIN), Err(Refusal::Malformed(_))));
    }

    #[test]
    fn who_has_another_key_is_told_what_memberlist_says() {
        let (ours, theirs) = (ring(1), ring(2));
        let (keyed, foreign) = (Layers { keyring: Some(&ours), ..PLAIN }, Layers { keyring: Some(&theirs), ..PLAIN });
        let request = Request::Ping(Ping::default());
        let sent = |layers: &Layers<'_>| request.encode(layers, &mut Seeded(1));
        assert_eq!(fed(&sent(&PLAIN), 1, &keyed), Err(Refusal::Plain));
        assert_eq!(fed(&sent(&keyed), 1, &PLAIN), Err(Refusal::Encrypted));
        assert_eq!(fed(&sent(&foreign), 1, &keyed), Err(Refusal::Key));
        assert!(Refusal::Plain.answer().is_some_and(|told| told.ends_with("is not encrypted")));
        assert!(Refusal::Encrypted.answer().is_some_and(|told| told.ends_with("is not configured")));
        assert_eq!(Refusal::Key.answer(), None);
        let labelled = Layers { label: b"blue", ..PLAIN };
        assert_eq!(fed(&sent(&labelled), 1, &PLAIN), Err(Refusal::Label));
        assert_eq!(fed(&sent(&PLAIN), 1, &labelled), Err(Refusal::Label));
        // The length is sealed in.
        let mut longer = sent(&keyed);
        longer[4] += 1;
        longer.push(0);
        assert_eq!(fed(&longer, 100, &keyed), Err(Refusal::Key));
    }

    #[test]
    fn what_is_announced_is_not_waited_for_if_it_is_too_much() {
        let ours = ring(1);
        let keyed = Layers { keyring: Some(&ours), ..PLAIN };
        let long = Err(Refusal::Malformed(Malformed("a stream that is too long")));
        assert_eq!(fed(b"\x0a\x01\x40\0\x01", 1, &keyed), long);
        assert_eq!(fed(b"\x0a\x01\x40\0\0", 1, &keyed), Ok(None));
        assert!(fed(b"\x0a\0\0\0\x1c", 1, &keyed).is_err());
        assert_eq!(fed(b"\x09\x82\xa4Algo\0\xa3Buf\xdb\x01\x40\0\0", 1, &PLAIN), long);
        assert_eq!(fed(b"\x09\xdf\xff\xff\xff\xff", 1, &PLAIN), long);
        for stream in [
            &b"\x06\x81\xa5Nodes\xcd\x40\x01"[..],
            b"\x06\x81\xa5Nodes\xff",
            b"\x06\x81\xacUserStateLen\xce\x01\x40\0\x01",
            b"\x06\x81\xacUserStateLen\xff",
            b"\x06\xdf\xff\xff\xff\xff",
            b"\x06\x81\xa5Nodes\x01\x81\xa4Name\xdb\0\x02\0\0",
            b"\x00\xdb\x00\x02\0\0",
            b"\x08\x81\xaaUserMsgLen\xce\xff\xff\xff\xff",
        ] {
            assert!(matches!(fed(stream, 1, &PLAIN), Err(Refusal::Malformed(_))), "{stream:x?}");
        }
    }

    #[test]
    fn bombs_do_not_go_off() {
        let bomb =
            lzw::compressed(&[b"\x08\x81\xaaUserMsgLen\xce\0\xff\xff\xff".to_vec(), vec![0; 0xff_ffff]].concat());
        let bomb = bomb.unwrap();
        assert!(bomb.len() < 16_000);
        let mut incoming = Incoming::<Request>::new();
        assert!(incoming.feed(&bomb, &PLAIN).is_err());
        assert!(incoming.held() < 3 << 20, "{}", incoming.held());
        // Nodes of one byte.
        let nodes = [b"\x06\x81\xa5Nodes\xcd\x40\0".to_vec(), vec![0x80; 16_384]].concat();
        let Ok(Some(Request::PushPull(state))) = fed(&nodes, 100_000, &PLAIN) else { panic!() };
        assert_eq!(state.nodes.len(), 16_384);
    }
}
