//! Every transcript of Serf's RPC, spoken again to our side of it: the node behind it answers what Serf's agent answered,
//! and the bytes must be the same. Where Go writes a map in no order, ours is sorted: there the values must be the same.

mod node;
mod transcript;
mod value;

use clusteros_init::gossip::rpc::{Secret, Session};
use clusteros_init::unit::Time;
use node::Node;
use transcript::{Part, Side};
use value::Value;
use zeroize::Zeroizing;

/// What came of the records of one transcript.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    /// Objects of the agent's that are the same to the byte.
    same: usize,
    /// Objects with a map in another order.
    sorted: usize,
}

fn session(secret: &str) -> Session {
    Session::new(Secret::new(Zeroizing::new(secret.as_bytes().to_vec())))
}

/// A session that has shaken hands.
fn greeted() -> Session {
    let mut session = session("");
    session.receive(b"\x82\xa7Command\xa9handshake\xa3Seq\x01\x81\xa7Version\x01");
    assert!(session.next(Time::ZERO).is_none());
    drop(taken(&mut session));
    session
}

fn taken(session: &mut Session) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !session.output().is_empty() {
        bytes.extend_from_slice(session.output());
        session.wrote(session.output().len());
    }
    bytes
}

/// Plays one transcript.
fn play(name: &str, secret: &str) -> Count {
    let sections = transcript::read(name);
    let mut count = Count::default();
    let mut streaming: Option<Session> = None;
    let mut current = session(secret);
    let mut last_seq = 0;
    for section in sections {
        let seq = section.first_seq();
        let begins = section.begins_with_handshake();
        match section.parts.first() {
            Some(Part { side: Side::Agent, .. }) => {
                std::mem::swap(&mut current, streaming.as_mut().expect("a stream goes on"));
            }
            _ if begins => current = session(secret),
            _ if seq.is_some_and(|seq| seq <= last_seq) || last_seq == 0 => {
                let before = std::mem::replace(&mut current, greeted());
                streaming.get_or_insert(before);
            }
            _ => {}
        }
        last_seq = seq.unwrap_or(last_seq);
        let expected: Vec<Vec<u8>> = section.of(Side::Agent).map(<[u8]>::to_vec).collect();
        let mut node = Node::new(&expected);
        let mut actual = Vec::new();
        let told_first = section.parts.first().is_some_and(|part| part.side == Side::Agent);
        if told_first {
            node.tell_stream(&mut current);
        }
        for bytes in section.of(Side::Client) {
            // In two pieces, cut anywhere.
            let (one, other) = bytes.split_at(bytes.len() / 2);
            for piece in [one, other] {
                current.receive(piece);
                while let Some(ask) = current.next(Time::ZERO) {
                    node.answer(&mut current, ask);
                }
            }
        }
        if !told_first {
            node.tell_stream(&mut current);
        }
        while !current.output().is_empty() {
            let whole = current.output().len();
            actual.extend_from_slice(&current.output()[..whole.min(7)]);
            current.wrote(whole.min(7));
        }
        compare(name, &section.title, &expected, &actual, &mut count);
        assert_eq!(current.is_over(), section.closes, "{name}: {}: closed", section.title);
        if section.closes {
            current = session(secret);
            last_seq = 0;
        }
        if section.title.starts_with("stream") {
            streaming = Some(std::mem::replace(&mut current, greeted()));
        }
    }
    count
}

fn compare(name: &str, title: &str, expected: &[Vec<u8>], actual: &[u8], count: &mut Count) {
    let actual = value::split(actual);
    let mut expected: Vec<_> = expected.to_vec();
    // Serf's agent takes the body of what it refuses for one more request, and refuses that, too. We read the body.
    let refused = b"Authentication required";
    expected.dedup_by(|one, other| one == other && one.windows(refused.len()).any(|window| window == refused));
    let shown = |all: &[Vec<u8>]| all.iter().map(|bytes| format!("{:?}\n", Value::of(bytes))).collect::<String>();
    assert_eq!(actual.len(), expected.len(), "{name}: {title}:\n{}\nexpected\n{}", shown(&actual), shown(&expected));
    for (ours, theirs) in actual.iter().zip(&expected) {
        if ours == theirs {
            count.same += 1;
        } else {
            assert_eq!(Value::of(ours).sorted(), Value::of(theirs).sorted(), "{name}: {title}");
            count.sorted += 1;
        }
    }
}

#[test]
fn every_transcript_replays() {
    let mut all = Count::default();
    let mut unlike = Vec::new();
    let names = transcript::names();
    assert_eq!(names.len(), 20, "{names:?}");
    for name in names {
        let secret = if name.contains("auth") { "s3cret" } else { "" };
        let count = play(&name, secret);
        if count.sorted > 0 {
            unlike.push(format!("{name}: {}", count.sorted));
        }
        all.same += count.same;
        all.sorted += count.sorted;
    }
    // Maps of Go's are in no order: tags, the sections of the numbers, messages of members.
    assert_eq!(all, Count { same: 217, sorted: 8 }, "{unlike:?}");
}
