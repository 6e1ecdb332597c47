//! Packets and streams of real agents (`tests/golden/serf`): all are understood, and all that can be is written again, byte for byte.

use super::coordinate::Coordinate;
use super::crypt::{Key, Keyring, Version};
use super::layers::Layers;
use super::message::{Ack, Message, kind};
use super::push_pull::PushPull;
use super::serf::SerfMessage;
use super::stream::{Incoming, Reply, Request};
use super::{lzw, packet, tags};
use crate::gossip::dice::tests::Seeded;

/// What is not written again as it was, and cannot be: maps of more than one key, which Go writes in no order and we in the order of
/// keys, and the compression of what fills its table, which Go empties a code earlier.
const OTHER: [&str; 8] = [
    "udp-compound-crc: tags",
    "udp-compound-ping-gossip: tags",
    "udp-compound-ack-gossip: tags",
    "udp-compressed: tags",
    "tcp-pushpull-join-resp: tags",
    "tcp-pushpull-periodic: tags",
    "tcp-pushpull-dead: serf",
    "tcp-pushpull-big-lzw: compression",
];

/// A packet or a stream as it was captured.
pub(super) struct Vector {
    pub name: &'static str,
    pub tcp: bool,
    pub ring: Option<Keyring>,
    pub bytes: Vec<u8>,
}

impl Vector {
    pub fn layers(&self) -> Layers<'_> {
        Layers { keyring: self.ring.as_ref(), ..Layers::default() }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// All of them.
pub(super) fn vectors() -> Vec<Vector> {
    let lines = include_str!("../../../tests/golden/serf/vectors.tsv").lines().filter(|line| !line.starts_with('#'));
    let vectors = lines.map(|line| {
        let [name, transport, key, _aad, bytes] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let ring = (key != "-").then(|| Keyring::new(Key::from_base64(key).unwrap()).unwrap());
        Vector { name, tcp: transport == "tcp", ring, bytes: unhex(bytes) }
    });
    vectors.collect()
}

/// What could not be written again as it was, as `VECTOR: WHAT`.
#[derive(Default)]
struct Check {
    name: &'static str,
    same: usize,
    other: Vec<String>,
}

impl Check {
    fn same(&mut self, what: &str, ours: &[u8], theirs: &[u8]) {
        if ours == theirs {
            self.same += 1;
        } else {
            self.other.push(format!("{}: {what}", self.name));
        }
    }

    /// Undoes the layers of a packet one by one, does each again, and gives the messages.
    fn packet(&mut self, vector: &Vector) -> Vec<Vec<u8>> {
        let mut bytes = vector.bytes.clone();
        if let Some(ring) = &vector.ring {
            let nonce = bytes[1..13].try_into().unwrap();
            assert!(ring.open(b"", &mut bytes));
            let version = if vector.bytes[0] == 0 { Version::Padded } else { Version::Plain };
            self.same("seal", &ring.seal(version, nonce, b"", &bytes), &vector.bytes);
        }
        if bytes[0] == kind::CRC {
            let inside = bytes.split_off(5);
            self.same("checksum", &crc32fast::hash(&inside).to_be_bytes(), &bytes[1..]);
            bytes = inside;
        }
        if bytes[0] == kind::COMPRESS {
            bytes = self.expanded(&bytes);
        }
        if bytes[0] != kind::COMPOUND {
            return vec![bytes];
        }
        let count = usize::from(bytes[1]);
        let mut at = 2 + 2 * count;
        let parts: Vec<Vec<u8>> = bytes[2..at]
            .chunks(2)
            .map(|length| {
                let from = at;
                at += usize::from(length[0]) << 8 | usize::from(length[1]);
                bytes[from..at].to_vec()
            })
            .collect();
        let again = packet::encode(&parts, None, &Layers::default(), &mut Seeded(0));
        self.same("compound", &again[0], &bytes);
        parts
    }

    fn expanded(&mut self, bytes: &[u8]) -> Vec<u8> {
        let inside = lzw::expanded(&lzw::body(&bytes[1..]).unwrap(), 1 << 20).unwrap();
        self.same("compression", &lzw::compressed(&inside).unwrap(), bytes);
        inside
    }

    fn message(&mut self, bytes: &[u8]) {
        let message = Message::decode(bytes).unwrap();
        self.same("message", &message.encode(), bytes);
        match message {
            Message::User(bytes) => self.serf(&bytes),
            Message::Ack(Ack { payload, .. }) if !payload.is_empty() => {
                let coordinate = Coordinate::decode(&payload).unwrap();
                assert_eq!(coordinate.vec.len(), 8);
                self.same("coordinate", &coordinate.encode(), &payload);
            }
            Message::Alive(alive) => self.tags(&alive.meta),
            _ => {}
        }
    }

    fn tags(&mut self, meta: &[u8]) {
        let decoded = tags::decode(meta);
        let ours = if meta[0] == 0xff { tags::encode(&decoded) } else { tags::encode_role(&decoded) };
        assert_eq!(tags::decode(&ours), decoded);
        self.same("tags", &ours, meta);
    }

    fn serf(&mut self, bytes: &[u8]) {
        let message = SerfMessage::decode(bytes).unwrap();
        assert_eq!(SerfMessage::decode(&message.encode()), Ok(message.clone()));
        self.same("serf", &message.encode(), bytes);
        match message {
            SerfMessage::Query(query)
                if query.name.to_string().ends_with("-key") || query.payload.first() == Some(&7) =>
            {
                self.serf(&query.payload);
            }
            SerfMessage::Response(response) if matches!(response.payload.first(), Some(6 | 8)) => {
                self.serf(&response.payload)
            }
            SerfMessage::Relay(relay) => self.serf(&relay.message),
            SerfMessage::Conflict(Some(member)) => assert_eq!(member.name.to_string(), "k3"),
            _ => {}
        }
    }

    fn push_pull(&mut self, state: &PushPull, bytes: &[u8]) {
        self.same("push/pull", &state.encode(), bytes);
        state.nodes.iter().for_each(|node| self.tags(&node.meta));
        self.serf(&state.user);
    }

    /// As [`Check::packet`], of a stream: what is left is one message.
    fn stream(&mut self, vector: &Vector) -> Vec<u8> {
        let mut bytes = vector.bytes.clone();
        if let Some(ring) = &vector.ring {
            let head = bytes[..5].to_vec();
            let mut inside = bytes.split_off(5);
            let nonce = inside[1..13].try_into().unwrap();
            assert!(ring.open(&head, &mut inside));
            let sealed = ring.seal(Version::Plain, nonce, &head, &inside);
            self.same("seal", &[head, sealed].concat(), &vector.bytes);
            bytes = inside;
        }
        if bytes[0] == kind::COMPRESS { self.expanded(&bytes) } else { bytes }
    }
}

#[test]
fn what_real_agents_send_is_understood_and_written_again() {
    let (mut check, vectors) = (Check::default(), vectors());
    assert_eq!(vectors.len(), 44);
    for vector in &vectors {
        check.name = vector.name;
        if !vector.tcp {
            let parts = check.packet(vector);
            parts.iter().for_each(|part| check.message(part));
            let whole = packet::decode(&vector.bytes, &vector.layers()).unwrap();
            let messages: Vec<Message> = parts.iter().map(|part| Message::decode(part).unwrap()).collect();
            assert_eq!((whole.messages, whole.broken), (messages, 0), "{}", vector.name);
            continue;
        }
        let bytes = check.stream(vector);
        let (plain, dice) = (Layers::default(), &mut Seeded(0));
        match bytes[0] {
            kind::PING => {
                let request = Incoming::<Request>::new().feed(&vector.bytes, &vector.layers()).unwrap().unwrap();
                check.same("ping", &request.encode(&plain, dice), &bytes);
            }
            kind::PUSH_PULL => {
                let request = Incoming::<Request>::new().feed(&vector.bytes, &vector.layers()).unwrap();
                let reply = Incoming::<Reply>::new().feed(&vector.bytes, &vector.layers()).unwrap();
                let (Some(Request::PushPull(state)), Some(Reply::PushPull(same))) = (request, reply) else { panic!() };
                assert_eq!(state, same);
                check.push_pull(&state, &bytes);
            }
            _ => {
                let reply = Incoming::<Reply>::new().feed(&vector.bytes, &vector.layers()).unwrap().unwrap();
                check.same("reply", &reply.encode(&plain, dice), &bytes);
            }
        }
    }
    assert_eq!((check.same, check.other), (179, OTHER.map(str::to_owned).to_vec()));
}
