//! What is thrown at the readers of gossip.

use clusteros_init::gossip::Dice;
use clusteros_init::gossip::wire::coordinate::Coordinate;
use clusteros_init::gossip::wire::crypt::{Key, Keyring};
use clusteros_init::gossip::wire::message::Message;
use clusteros_init::gossip::wire::serf::SerfMessage;
use clusteros_init::gossip::wire::stream::{Incoming, Reply, Request};
use clusteros_init::gossip::wire::{Layers, Refusal, packet, tags};

/// Nonces need not be random here.
struct Same;

impl Dice for Same {
    fn next(&mut self) -> u64 {
        4
    }
}

fn ring() -> Keyring {
    let key = Key::from_base64("Vk/hxhubMAAPFe+bEcR5FGmiRas2bpzCs5FfX1eQpTM=").expect("a key");
    Keyring::new(key).expect("room for it")
}

/// A datagram, with a key in the ring or without: what is understood is written again as it was understood, in all layers.
pub fn packets(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let ring = ring();
    let keyed = Layers { label: b"blue", keyring: Some(&ring), compress: true };
    let layers = Layers { label: &[], keyring: (kind % 2 == 1).then_some(&ring), compress: false };
    let _ = (Coordinate::decode(bytes), tags::decode(&tags::encode(&tags::decode(bytes))), serf(bytes));
    assert!(packet::decode(bytes, &keyed).is_err(), "opened");
    let Ok(packet) = packet::decode(bytes, &layers) else { return };
    assert!(packet.messages.len() + packet.broken <= 255);
    for message in &packet.messages {
        assert_eq!(Message::decode(&message.encode()).as_ref(), Ok(message));
        if let Message::User(bytes) = message {
            serf(bytes);
        }
    }
    let parts: Vec<Vec<u8>> = packet.messages.iter().map(Message::encode).collect();
    let sent = packet::encode(&parts, Some(5), &keyed, &mut Same);
    let again = sent.iter().flat_map(|bytes| packet::decode(bytes, &keyed).expect("our own packet").messages);
    assert_eq!(again.collect::<Vec<_>>(), packet.messages);
}

/// A ring may be read that is not in its order: once written it stays as it is.
fn serf(bytes: &[u8]) {
    let Ok(message) = SerfMessage::decode(bytes) else { return };
    let once = message.encode();
    assert_eq!(SerfMessage::decode(&once).expect("our own message").encode(), once);
}

/// A stream, however it is cut: the same comes of it, and it is written again as it was understood.
pub fn streams(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let (plain, ring) = (Layers::default(), ring());
    let keyed = Layers { keyring: Some(&ring), compress: true, ..plain };
    let request = cut_or_whole(Incoming::<Request>::new, Incoming::feed, bytes, *cut);
    if let Ok(Some(request)) = request {
        let sent = request.encode(&keyed, &mut Same);
        assert_eq!(Incoming::<Request>::new().feed(&sent, &keyed), Ok(Some(request)));
    }
    let reply = cut_or_whole(Incoming::<Reply>::new, Incoming::feed, bytes, *cut);
    if let Ok(Some(reply)) = reply {
        let sent = reply.encode(&keyed, &mut Same);
        assert_eq!(Incoming::<Reply>::new().feed(&sent, &keyed), Ok(Some(reply)));
    }
    let refused = Incoming::<Request>::new().feed(bytes, &keyed);
    assert!(matches!(refused, Ok(None) | Err(_)), "opened");
}

type Fed<T> = Result<Option<T>, Refusal>;

fn cut_or_whole<T: PartialEq + std::fmt::Debug>(
    new: fn() -> Incoming<T>,
    feed: fn(&mut Incoming<T>, &[u8], &Layers<'_>) -> Fed<T>,
    bytes: &[u8],
    cut: u8,
) -> Fed<T> {
    let (mut whole, mut pieces) = (new(), new());
    let came = feed(&mut whole, bytes, &Layers::default());
    let in_pieces = bytes.chunks(usize::from(cut) + 1).find_map(|piece| {
        let fed = feed(&mut pieces, piece, &Layers::default()).transpose();
        assert!(pieces.held() <= (2 << 20) + 300 * bytes.len(), "{} bytes held", pieces.held());
        fed
    });
    // Two mistakes may be met in another order: a length that is too much, and what breaks off before it.
    let mistaken = |fed: &Fed<T>| matches!(fed, Err(Refusal::Malformed(_)));
    let in_pieces = in_pieces.transpose();
    assert!(in_pieces == came || mistaken(&in_pieces) && mistaken(&came), "{in_pieces:?}, {came:?}");
    came
}
