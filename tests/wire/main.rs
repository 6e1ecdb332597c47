//! What a stranger can send, whatever it is: no byte of it panics, and none takes much more memory than it is itself.
//!
//! `WIRE_ROUNDS` is how many datagrams and streams are made up (20,000 by default), `WIRE_SEED` from which seed on.

mod count;
mod noise;
#[path = "../kit/seeded.rs"]
mod seeded;

use clusteros_init::gossip::wire::coordinate::Coordinate;
use clusteros_init::gossip::wire::crypt::{Key, Keyring};
use clusteros_init::gossip::wire::message::Message;
use clusteros_init::gossip::wire::serf::SerfMessage;
use clusteros_init::gossip::wire::stream::{Incoming, Reply, Request};
use clusteros_init::gossip::wire::{Layers, lzw, packet, tags};

use count::peak;
use noise::Noise;

const PLAIN: Layers<'_> = Layers { label: &[], keyring: None, compress: false };

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Everything that reads bytes of the network, at these.
fn read_all(bytes: &[u8], layers: &Layers<'_>) {
    if let Ok(packet) = packet::decode(bytes, layers) {
        assert!(packet.messages.len() + packet.broken <= 255);
        packet.messages.iter().for_each(read_message);
    }
    read_stream(bytes, 1 + bytes.len() / (1 + bytes.len() % 3), layers);
}

fn read_message(message: &Message) {
    match message {
        Message::User(bytes) => read_serf(bytes, 4),
        Message::Ack(ack) => drop(Coordinate::decode(&ack.payload)),
        Message::Alive(alive) => drop(tags::decode(&alive.meta)),
        _ => {}
    }
}

/// As deep as Serf's messages carry others.
fn read_serf(bytes: &[u8], depth: usize) {
    match SerfMessage::decode(bytes) {
        Ok(SerfMessage::Query(query)) if depth > 0 => read_serf(&query.payload, depth - 1),
        Ok(SerfMessage::Response(response)) if depth > 0 => read_serf(&response.payload, depth - 1),
        Ok(SerfMessage::Relay(relay)) if depth > 0 => read_serf(&relay.message, depth - 1),
        _ => {}
    }
}

fn read_stream(bytes: &[u8], size: usize, layers: &Layers<'_>) {
    let (mut request, mut reply) = (Incoming::<Request>::new(), Incoming::<Reply>::new());
    for piece in bytes.chunks(size) {
        match request.feed(piece, layers) {
            Ok(None) => {}
            Ok(Some(Request::PushPull(state))) => {
                state.nodes.iter().for_each(|node| drop(tags::decode(&node.meta)));
                read_serf(&state.user, 1);
                break;
            }
            Ok(Some(_)) | Err(_) => break,
        }
    }
    bytes.chunks(size).find_map(|piece| reply.feed(piece, layers).transpose());
}

struct Vector {
    name: &'static str,
    ring: Option<Keyring>,
    aad: Vec<u8>,
    bytes: Vec<u8>,
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("two digits");
    (0..text.len() / 2).map(|at| byte(at * 2)).collect()
}

fn vectors() -> Vec<Vector> {
    let lines = include_str!("../golden/serf/vectors.tsv").lines().filter(|line| !line.starts_with('#'));
    let vector = |line: &'static str| {
        let columns: Vec<_> = line.split('\t').collect();
        let ring = |key| Keyring::new(Key::from_base64(key).expect("a key")).expect("room for it");
        Vector {
            name: columns[0],
            ring: (columns[2] != "-").then(|| ring(columns[2])),
            aad: if columns[3] == "-" { Vec::new() } else { unhex(columns[3]) },
            bytes: unhex(columns[4]),
        }
    };
    lines.map(vector).collect()
}

/// What is in a vector, one layer after the other: a flip of what is sealed only shows that the seal holds.
fn layers_of(vector: &Vector) -> Vec<(Vec<u8>, bool)> {
    let mut layers = vec![(vector.bytes.clone(), true)];
    let mut bytes = vector.bytes.clone();
    if let Some(ring) = &vector.ring {
        bytes.drain(..vector.aad.len());
        assert!(ring.open(&vector.aad, &mut bytes), "{}", vector.name);
        layers.push((bytes.clone(), false));
    }
    if bytes[0] == 12 {
        bytes.drain(..5);
        layers.push((bytes.clone(), false));
    }
    if bytes[0] == 9 {
        let body = lzw::body(&bytes[1..]).expect("compressed bytes");
        layers.push((lzw::expanded(&body, 1 << 20).expect("what they expand to"), false));
    }
    layers
}

#[test]
fn cut_at_every_length_and_flipped_at_every_bit() {
    let (mut cuts, mut flips) = (0, 0);
    for vector in vectors() {
        for (bytes, sealed) in layers_of(&vector) {
            let layers = Layers { keyring: vector.ring.as_ref().filter(|_| sealed), ..PLAIN };
            // All of it where it is short; of what is long, a share. It is odd, so that every bit of a byte has its turn.
            let step = 1 + 2 * (bytes.len() / 400) * (1 + bytes.len() / 4000);
            for cut in (0..bytes.len()).step_by(step) {
                read_all(&bytes[..cut], &layers);
                cuts += 1;
            }
            let mut flipped = bytes.clone();
            for bit in (0..bytes.len() * 8).step_by(step) {
                flipped[bit / 8] ^= 1 << (bit % 8);
                read_all(&flipped, &layers);
                flipped[bit / 8] ^= 1 << (bit % 8);
                flips += 1;
            }
        }
    }
    eprintln!("{cuts} cuts, {flips} flips");
    assert!(cuts > 10_000 && flips > 60_000);
}

#[test]
fn what_is_made_up_takes_no_more_than_its_share() {
    let ring = Keyring::new(Key::new(&[1; 16]).expect("a key")).expect("room for it");
    let vectors = vectors();
    let (rounds, seed) = (number("WIRE_ROUNDS", 20_000), number("WIRE_SEED", 0));
    let mut most = 0.0_f64;
    for round in seed..seed + rounds {
        let mut noise = Noise::new(round);
        let real = &vectors[noise.below(vectors.len())];
        let bytes = noise.bytes(&real.bytes);
        let layers = Layers { keyring: noise.one_of(4).then_some(&ring), ..PLAIN };
        let ((), peak) = peak(|| read_all(&bytes, &layers));
        // The tables of the decompression, and that a byte on the wire can be an empty value, which is much more in memory.
        let bound = 160 * 1024 + bytes.len() * 200;
        assert!(peak <= bound, "WIRE_SEED={round}: {} bytes took {peak}", bytes.len());
        most = most.max(peak as f64 / bound as f64);
    }
    eprintln!("{rounds} made up, the largest {:.0} % of its bound", most * 100.0);
}

#[test]
fn what_is_meant_to_take_memory_takes_little() {
    let bomb = |bytes: &[u8]| lzw::compressed(bytes).expect("compressed");
    let names = |count: u32| [&[0xdd][..], &count.to_be_bytes(), &vec![0xa0; count as usize]].concat();
    let datagrams = [
        ("empty parts", [&[7, 255][..], &[0; 510]].concat()),
        ("nacks", bomb(&[&[7, 255][..], &[0, 2].repeat(255), &[11, 0x80].repeat(255)].concat())),
        ("nested", [7, 1, 0xff, 0xff].repeat(16_000)),
        ("bomb", bomb(&vec![8; 60_000_000])),
        ("bytes as numbers", [&b"\x04\x81\xa4Meta\xdd\0\0\xff\0"[..], &[1; 65_280]].concat()),
        ("filters", [&b"\x08\x04\x81\xa7Filters"[..], &names(65_000)].concat()),
        ("filter", [&b"\x08\x04\x81\xa7Filters\x91\xda\xfd\xee\0"[..], &names(65_000)].concat()),
        ("events", [&b"\x08\x02\x81\xa6Events\x91\x81\xa6Events"[..], &names(65_000), &[0x80; 65_000]].concat()),
    ];
    for (name, bytes) in datagrams {
        let ((), peak) = peak(|| read_all(&bytes[..bytes.len().min(65_507)], &PLAIN));
        eprintln!("{name}: {} bytes take {peak}", bytes.len());
        assert!(peak < 8 << 20, "{name}");
    }
    let user = |state: &[u8]| {
        let head = [&b"\x06\x81\xacUserStateLen\xce"[..], &(state.len() as u32).to_be_bytes()].concat();
        [head, state.to_vec()].concat()
    };
    let streams = [
        ("nodes", [&b"\x06\x81\xa5Nodes\xcd\x40\0"[..], &[0x80; 16_384]].concat()),
        ("names", user(&[&b"\x02\x81\xabLeftMembers"[..], &names(1 << 20)].concat())),
        ("nils", user(&[&b"\x02\x81\xa6Events\xdd\0\x10\0\0"[..], &vec![0xc0; 1 << 20]].concat())),
        ("announced", b"\x0a\x01\x40\0\0".to_vec()),
        ("bomb", bomb(&user(&vec![0; 20_000_000]))),
        (
            "bomb of nodes",
            bomb(
                &[
                    &b"\x06\x81\xa5Nodes\xcd\x40\0"[..],
                    &[&b"\x81\xa4Meta\xda\x02\0"[..], &[0; 512]].concat().repeat(16_384),
                ]
                .concat(),
            ),
        ),
    ];
    for (name, bytes) in streams {
        let ((), peak) = peak(|| read_all(&bytes, &PLAIN));
        eprintln!("{name}: {} bytes take {peak}", bytes.len());
        assert!(peak < 16 << 20, "{name}");
    }
}
