//! memberlist's datagrams: one message, its type byte in front.

use std::net::{IpAddr, SocketAddr};

use super::pack::{Malformed, Pack, Reader, Unpack, Writer, gossiped, read, record};
use crate::gossip::Name;

/// The byte that a message begins with.
pub mod kind {
    /// [`super::Ping`].
    pub const PING: u8 = 0;
    /// [`super::IndirectPing`].
    pub const INDIRECT_PING: u8 = 1;
    /// [`super::Ack`].
    pub const ACK: u8 = 2;
    /// [`super::Suspect`].
    pub const SUSPECT: u8 = 3;
    /// [`super::Alive`].
    pub const ALIVE: u8 = 4;
    /// [`super::Dead`].
    pub const DEAD: u8 = 5;
    /// [`super::super::push_pull::PushPull`]; a stream's.
    pub const PUSH_PULL: u8 = 6;
    /// Several messages.
    pub const COMPOUND: u8 = 7;
    /// A message of what lies above.
    pub const USER: u8 = 8;
    /// A message made smaller.
    pub const COMPRESS: u8 = 9;
    /// An encrypted stream.
    pub const ENCRYPT: u8 = 10;
    /// [`super::Nack`].
    pub const NACK: u8 = 11;
    /// A checksum in front of a datagram.
    pub const CRC: u8 = 12;
    /// An error; a stream's.
    pub const ERROR: u8 = 13;
    /// A label in front of a datagram or a stream.
    pub const LABEL: u8 = 244;
}

/// The versions of a node: memberlist's lowest, highest and current protocol, then the same of the delegate, which is Serf.
pub const VSN: [u8; 6] = [1, 5, 2, 2, 5, 5];

/// The address of a member in the bytes that it came in. Real agents compare these, so they go on as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr(pub Vec<u8>);

impl Addr {
    /// What a socket takes, with a mapped address of version 4 as just that; nothing if it is no address.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.0.len() {
            4 => <[u8; 4]>::try_from(self.0.as_slice()).ok().map(IpAddr::from),
            16 => <[u8; 16]>::try_from(self.0.as_slice()).ok().map(|bytes| IpAddr::from(bytes).to_canonical()),
            _ => None,
        }
    }

    /// What a socket takes, with a port.
    pub fn socket(&self, port: u16) -> Option<SocketAddr> {
        self.ip().map(|ip| SocketAddr::new(ip, port))
    }
}

/// 4 bytes for version 4, as an agent announces that was told its address.
impl From<IpAddr> for Addr {
    fn from(ip: IpAddr) -> Addr {
        Addr(match ip.to_canonical() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        })
    }
}

impl Pack for Addr {
    fn pack(&self, out: &mut Writer) {
        self.0.pack(out);
    }
}

impl Unpack for Addr {
    fn unpack(reader: &mut Reader<'_>) -> Result<Addr, Malformed> {
        Vec::unpack(reader).map(Addr)
    }
}

/// Who asks, so that the answer finds its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Its address.
    pub addr: Addr,
    /// Its port.
    pub port: u16,
    /// Its name.
    pub node: Name,
}

/// The fields of a source are left out when they are zero.
impl Source {
    fn fields(source: Option<&Source>) -> impl Iterator<Item = (&str, &dyn Pack)> {
        source.into_iter().flat_map(|source| {
            let addr = (!source.addr.0.is_empty()).then_some(("SourceAddr", &source.addr as &dyn Pack));
            let node = (!source.node.is_empty()).then_some(("SourceNode", &source.node as &dyn Pack));
            let port = (source.port != 0).then_some(("SourcePort", &source.port as &dyn Pack));
            [addr, node, port].into_iter().flatten()
        })
    }

    fn take(source: &mut Option<Source>, name: &str, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let source = source.get_or_insert_default();
        match name {
            "SourceAddr" => source.addr = reader.get()?,
            "SourcePort" => source.port = reader.get()?,
            "SourceNode" => source.node = reader.get()?,
            _ => reader.skip()?,
        }
        Ok(())
    }

    /// Nothing, if all of it is zero.
    fn some(source: Option<Source>) -> Option<Source> {
        source.filter(|source| *source != Source::default())
    }
}

/// Are you there?
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ping {
    /// What the ack must repeat.
    pub seq: u32,
    /// Who is meant; empty means whoever is there.
    pub node: Name,
    /// Who asks.
    pub source: Option<Source>,
}

impl Pack for Ping {
    fn pack(&self, out: &mut Writer) {
        let mut fields: Vec<(&str, &dyn Pack)> = vec![("SeqNo", &self.seq), ("Node", &self.node)];
        fields.extend(Source::fields(self.source.as_ref()));
        out.fields(&mut fields);
    }
}

impl Unpack for Ping {
    fn unpack(reader: &mut Reader<'_>) -> Result<Ping, Malformed> {
        let mut ping = Ping::default();
        reader.fields(&["SeqNo", "Node", "SourceAddr", "SourcePort", "SourceNode"], |name, reader| {
            match name {
                "SeqNo" => ping.seq = reader.get()?,
                "Node" => ping.node = reader.get()?,
                _ => Source::take(&mut ping.source, name, reader)?,
            }
            Ok(())
        })?;
        ping.source = Source::some(ping.source);
        Ok(ping)
    }
}

/// Ask another for me.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndirectPing {
    /// What the ack must repeat.
    pub seq: u32,
    /// The address of the other.
    pub target: Addr,
    /// Its port; 0 of an old node, which means that it is the same as one's own.
    pub port: u16,
    /// Its name.
    pub node: Name,
    /// Whether a nack is wanted if it is silent.
    pub nack: bool,
    /// Who asks.
    pub source: Option<Source>,
}

impl Pack for IndirectPing {
    fn pack(&self, out: &mut Writer) {
        let mut fields: Vec<(&str, &dyn Pack)> = vec![
            ("SeqNo", &self.seq),
            ("Target", &self.target),
            ("Port", &self.port),
            ("Node", &self.node),
            ("Nack", &self.nack),
        ];
        fields.extend(Source::fields(self.source.as_ref()));
        out.fields(&mut fields);
    }
}

impl Unpack for IndirectPing {
    fn unpack(reader: &mut Reader<'_>) -> Result<IndirectPing, Malformed> {
        let mut ping = IndirectPing::default();
        let names = ["SeqNo", "Target", "Port", "Node", "Nack", "SourceAddr", "SourcePort", "SourceNode"];
        reader.fields(&names, |name, reader| {
            match name {
                "SeqNo" => ping.seq = reader.get()?,
                "Target" => ping.target = reader.get()?,
                "Port" => ping.port = reader.get()?,
                "Node" => ping.node = reader.get()?,
                "Nack" => ping.nack = reader.get()?,
                _ => Source::take(&mut ping.source, name, reader)?,
            }
            Ok(())
        })?;
        ping.source = Source::some(ping.source);
        Ok(ping)
    }
}

/// I am there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// Of the ping.
    pub seq: u32,
    /// What lies above has to say; Serf's coordinate.
    pub payload: Vec<u8>,
}
record!(Ack { "SeqNo" => seq, "Payload" => payload });

/// The other is silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nack {
    /// Of the indirect ping.
    pub seq: u32,
}
record!(Nack { "SeqNo" => seq });

/// A node does not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspect {
    /// Of the node.
    pub incarnation: u32,
    /// Which node.
    pub node: Name,
    /// Who says so.
    pub from: Name,
}
record!(Suspect { "Incarnation" => incarnation, "Node" => node, "From" => from });

/// A node is gone; of its own will if it says so itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dead {
    /// Of the node.
    pub incarnation: u32,
    /// Which node.
    pub node: Name,
    /// Who says so.
    pub from: Name,
}
record!(Dead { "Incarnation" => incarnation, "Node" => node, "From" => from });

/// A node is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alive {
    /// Of the node.
    pub incarnation: u32,
    /// Which node.
    pub node: Name,
    /// Its address.
    pub addr: Addr,
    /// Its port.
    pub port: u16,
    /// What lies above has to say; Serf's tags.
    pub meta: Vec<u8>,
    /// Its versions, as [`VSN`].
    pub vsn: Vec<u8>,
}
record!(Alive {
    "Incarnation" => incarnation, "Node" => node, "Addr" => addr, "Port" => port, "Meta" => meta, "Vsn" => vsn,
});

/// A message of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Are you there?
    Ping(Ping),
    /// Ask another for me.
    IndirectPing(IndirectPing),
    /// I am there.
    Ack(Ack),
    /// The other is silent.
    Nack(Nack),
    /// A node does not answer.
    Suspect(Suspect),
    /// A node is there.
    Alive(Alive),
    /// A node is gone.
    Dead(Dead),
    /// A message of what lies above: never empty.
    User(Vec<u8>),
}

impl Message {
    /// Its bytes, the type byte in front.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Message::Ping(ping) => typed(kind::PING, ping),
            Message::IndirectPing(ping) => typed(kind::INDIRECT_PING, ping),
            Message::Ack(ack) => typed(kind::ACK, ack),
            Message::Nack(nack) => typed(kind::NACK, nack),
            Message::Suspect(suspect) => typed(kind::SUSPECT, suspect),
            Message::Alive(alive) => typed(kind::ALIVE, alive),
            Message::Dead(dead) => typed(kind::DEAD, dead),
            Message::User(bytes) => [&[kind::USER], bytes.as_slice()].concat(),
        }
    }

    /// The message of these bytes, the type byte in front.
    pub fn decode(bytes: &[u8]) -> Result<Message, Malformed> {
        let (kind, body) = bytes.split_first().ok_or(Malformed("no byte at all"))?;
        Ok(match *kind {
            kind::PING => Message::Ping(read(body)?),
            kind::INDIRECT_PING => Message::IndirectPing(read(body)?),
            kind::ACK => Message::Ack(read(body)?),
            kind::NACK => Message::Nack(read(body)?),
            kind::SUSPECT => Message::Suspect(read(body)?),
            kind::ALIVE => Message::Alive(read(body)?),
            kind::DEAD => Message::Dead(read(body)?),
            kind::USER if body.is_empty() => return Err(Malformed("an empty user message")),
            kind::USER => Message::User(body.to_vec()),
            _ => return Err(Malformed("a type of message that datagrams do not have")),
        })
    }
}

/// A value, its type byte in front.
pub(super) fn typed(kind: u8, value: &dyn Pack) -> Vec<u8> {
    let mut bytes = gossiped(value);
    bytes.insert(0, kind);
    bytes
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Ack, Addr, Alive, IndirectPing, Message, Ping, Source};
    use crate::gossip::Name;

    #[test]
    fn an_address_is_the_bytes_it_came_in() {
        let mapped = Addr([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 9, 8, 7].to_vec());
        let short = Addr(vec![10, 9, 8, 7]);
        assert_ne!(mapped, short);
        assert_eq!(mapped.ip(), short.ip());
        assert_eq!(short.socket(7946).map(|socket| socket.to_string()).as_deref(), Some("10.9.8.7:7946"));
        assert_eq!(Addr::from("::ffff:10.9.8.7".parse::<IpAddr>().unwrap()), short);
        assert_eq!(Addr::from("fd00::1".parse::<IpAddr>().unwrap()).0.len(), 16);
        assert!([0, 3, 5, 15, 17].iter().all(|length| Addr(vec![1; *length]).ip().is_none()));
        let alive = Message::Alive(Alive { addr: mapped, ..Alive::default() });
        assert_eq!(Message::decode(&alive.encode()), Ok(alive));
    }

    #[test]
    fn a_source_is_left_out_where_it_is_zero() {
        let source = Source { addr: Addr(vec![127, 0, 0, 1]), port: 0, node: Name::default() };
        for source in [None, Some(source)] {
            let ping = Message::Ping(Ping { seq: 1, node: Name::from("b"), source: source.clone() });
            assert_eq!(ping.encode()[1], 0x82 + u8::from(source.is_some()));
            assert_eq!(Message::decode(&ping.encode()), Ok(ping));
            let indirect = Message::IndirectPing(IndirectPing { source, ..IndirectPing::default() });
            assert_eq!(Message::decode(&indirect.encode()), Ok(indirect));
        }
        let zero = Ping { source: Some(Source::default()), ..Ping::default() };
        assert_eq!(Message::decode(&Message::Ping(zero).encode()), Ok(Message::Ping(Ping::default())));
    }

    #[test]
    fn what_is_nil_or_missing_is_zero() {
        assert_eq!(Message::decode(b"\x02\x80"), Ok(Message::Ack(Ack::default())));
        assert_eq!(Message::decode(b"\x02\xc0"), Ok(Message::Ack(Ack::default())));
        assert_eq!(Message::decode(b"\x02\x82\xa5SeqNo\xc0\xa7Payload\xc0"), Ok(Message::Ack(Ack::default())));
        let alive = b"\x04\x83\xa4Addr\xc4\x04\x7f\0\0\x01\xa4Node\xd9\x01a\xa3Vsn\x96\x01\x05\x02\x02\x05\x05";
        let Ok(Message::Alive(alive)) = Message::decode(alive) else { panic!() };
        assert_eq!((alive.addr.0.as_slice(), alive.vsn.as_slice()), (&[127, 0, 0, 1][..], &super::VSN[..]));
        for broken in [&b""[..], b"\x02", b"\x08", b"\x06\x80", b"\x0d\x80", b"\xff\x80", b"\x02\x81\xa5SeqNo\xff"] {
            Message::decode(broken).unwrap_err();
        }
    }
}
