//! Packets of real agents (`tests/golden/serf`), and what this node says to them: byte for byte what real agents say.

use std::time::Duration;

use super::config::Config;
use super::coordinate::Coordinate;
use super::machine::tests::{at, drain, known, said};
use super::member::Status;
use super::output::{KeyChange, Output};
use super::{Event, KeyOutcome, Past, Serf};
use crate::gossip::dice::tests::Seeded;
use crate::gossip::swim::{Delegate, Member, Notice, Record};
use crate::gossip::wire::Layers;
use crate::gossip::wire::crypt::{Key, Keyring};
use crate::gossip::wire::message::{Addr, Message};
use crate::gossip::wire::packet;
use crate::gossip::wire::serf::{LeaveIntent, QueryResponse, SerfMessage};
use crate::gossip::wire::tags;

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

/// The bytes of a packet or stream, and its key.
fn vector(name: &str) -> (Vec<u8>, Option<Keyring>) {
    let table = include_str!("../../../tests/golden/serf/vectors.tsv");
    let line = table.lines().find(|line| line.split('\t').next() == Some(name)).expect("a vector");
    let [_, _, key, _, bytes] = line.split('\t').collect::<Vec<_>>().try_into().expect("five columns");
    let ring = (key != "-").then(|| Keyring::new(Key::from_base64(key).expect("a key")).expect("a ring"));
    (unhex(bytes), ring)
}

/// The messages of a datagram.
fn messages(name: &str) -> Vec<Message> {
    let (bytes, ring) = vector(name);
    let layers = Layers { keyring: ring.as_ref(), ..Layers::default() };
    packet::decode(&bytes, &layers).expect("a packet").messages
}

/// Serf's messages of a datagram.
fn users(name: &str) -> Vec<Vec<u8>> {
    let user = |message| if let Message::User(bytes) = message { Some(bytes) } else { None };
    messages(name).into_iter().filter_map(user).collect()
}

/// A node of the captures, which were made on one machine, beside others of them.
fn node(name: &str, role: &str, others: &[(&str, u16)]) -> Serf {
    let config = Config {
        coalesce: false,
        encrypted: true,
        tags: [("role".into(), role.into())].into(),
        ..Config::new(name.into(), Addr(vec![127, 0, 0, 1]), 17946)
    };
    let mut serf = Serf::new(config, Past::default(), at(0), &mut Seeded(1)).expect("a node");
    for (name, port) in [(name, 17946)].iter().chain(others) {
        let record = Record {
            addr: Addr(vec![127, 0, 0, 1]),
            port: *port,
            meta: tags::encode(&tags::Tags::new()),
            ..(*known(name, 1).record).clone()
        };
        serf.notice(at(0), &Notice::Joined(Member { record: record.into(), ..known(name, 1) }));
    }
    drain(&mut serf);
    serf
}

fn sent(serf: &mut Serf) -> Vec<Vec<u8>> {
    let bytes = |output| if let Output::Send { bytes, .. } = output { Some(bytes) } else { None };
    drain(serf).into_iter().filter_map(bytes).collect()
}

#[test]
fn section_3_4_an_ack_and_its_relay() {
    // The node that asked heard itself, and asked itself to relay its own ack.
    let mut serf = node("a1", "web", &[("a2", 17947)]);
    users("udp-query-relayfactor").iter().for_each(|message| serf.user_message(at(0), message));
    assert_eq!(sent(&mut serf), [users("udp-query-ack"), users("udp-query-relay")].concat());
}

#[test]
fn section_3_4_a_carrier_passes_the_inner_message_on() {
    let mut serf = node("a2", "db", &[]);
    users("udp-query-relay").iter().for_each(|message| serf.user_message(at(0), message));
    let to = "127.0.0.1:17946".parse().expect("an address");
    assert_eq!(drain(&mut serf), [Output::Send { to, bytes: users("udp-query-ack").remove(0) }]);
}

#[test]
fn section_3_1_filters_of_a_real_agent() {
    let heard = |name: &str, role: &str| {
        let mut serf = node(name, role, &[]);
        users("udp-query-filters").iter().for_each(|message| serf.user_message(at(0), message));
        (drain(&mut serf).len(), said(&mut serf).len())
    };
    assert_eq!(heard("a2", "db"), (2, 1));
    assert_eq!(heard("a2", "web"), (0, 1));
    assert_eq!(heard("a1", "db"), (0, 1));
}

#[test]
fn section_3_4_user_events_of_a_real_agent() {
    let mut serf = node("a1", "web", &[]);
    users("udp-user-events").iter().for_each(|message| serf.user_message(at(0), message));
    let user = |ltime, name: &str, payload: &[u8], coalesce| {
        Output::Event(Event::User { ltime, name: name.into(), payload: payload.to_vec(), coalesce })
    };
    assert_eq!(drain(&mut serf), [user(1, "deploy", b"v1.2.3", true), user(2, "nopayload", b"", false)]);
}

#[test]
fn section_3_4_the_same_event_makes_the_same_bytes() {
    let mut serf = node("a1", "web", &[("a2", 17947)]);
    serf.user_event(at(0), "deploy".into(), b"v1.2.3".to_vec(), true).expect("an event");
    serf.user_event(at(0), "nopayload".into(), vec![], false).expect("an event");
    let ours: Vec<Vec<u8>> = said(&mut serf).iter().map(SerfMessage::encode).collect();
    let theirs = users("udp-user-events");
    assert!(theirs[1..].iter().all(|bytes| ours.contains(bytes)), "{ours:?}");
}

#[test]
fn section_3_9_whose_name_it_is() {
    let mut serf = node("k1", "", &[("k2", 17947), ("k3", 17948)]);
    users("udp-conflict-query").iter().for_each(|message| serf.user_message(at(0), message));
    assert_eq!(sent(&mut serf), users("udp-conflict-response"));
}

#[test]
fn section_3_9_a_leave_makes_the_same_bytes() {
    let mut serf = node("a3", "", &[("a1", 17947)]);
    serf.clock.witness(2);
    serf.leave(at(0));
    let ours: Vec<Vec<u8>> = said(&mut serf).iter().map(SerfMessage::encode).collect();
    assert_eq!(ours, users("udp-leave-intent"));
    // And another takes it for what it is.
    let mut other = node("a1", "", &[("a3", 17948)]);
    ours.iter().for_each(|message| other.user_message(at(0), message));
    assert_eq!(other.member(&"a3".into()).map(|member| member.status), Some(Status::Leaving));
    let intent = LeaveIntent { ltime: 3, node: "a3".into(), prune: false };
    assert_eq!(said(&mut other), [SerfMessage::Leave(intent)]);
}

#[test]
fn section_3_10_keys_of_a_real_agent() {
    let mut serf = node("b1", "", &[("b2", 17947)]);
    users("udp-enc-install-key").iter().for_each(|message| serf.user_message(at(0), message));
    let outputs = drain(&mut serf);
    let [
        Output::Ring { key: install, change: KeyChange::Install(key) },
        Output::Ring { key: list, change: KeyChange::List },
    ] = &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(key.as_slice(), b"testkey16bytes!!");
    serf.key_changed(at(0), *install, KeyOutcome::Done);
    assert_eq!(sent(&mut serf).len(), 1);
    let keys = vec!["Vk/hxhubMAAPFe+bEcR5FGmiRas2bpzCs5FfX1eQpTM=".into()];
    serf.key_changed(at(0), *list, KeyOutcome::Keys(keys));
    assert_eq!(sent(&mut serf), users("udp-enc-key-response"));
}

#[test]
fn section_3_5_the_state_of_a_node_that_is_alone_makes_the_same_bytes() {
    let mut serf = node("a2", "db", &[]);
    let (stream, _) = vector("tcp-pushpull-join-req");
    assert!(stream.ends_with(&serf.local_state(true)));
    assert_eq!(serf.local_state(true).len(), 586);
}

#[test]
fn section_3_5_the_state_of_three_nodes_makes_the_same_bytes() {
    let (stream, _) = vector("tcp-pushpull-periodic");
    let state = &stream[stream.len() - 677..];
    let mut serf = node("a1", "web", &[("a2", 17947), ("a3", 17948)]);
    serf.merge_state(at(0), state, false);
    assert_eq!((drain(&mut serf).len(), serf.numbers().event_time), (2, 3));
    // Witnessing their times, it has come to the same ones.
    assert_eq!(serf.local_state(false), state);
}

#[test]
fn section_3_5_who_left_by_the_state_of_a_real_agent() {
    let (stream, _) = vector("tcp-pushpull-dead");
    let mut serf = node("d1", "", &[("d3", 17948)]);
    serf.merge_state(at(0), &stream[stream.len() - 601..], false);
    let cell = serf.members.get(&"d3".into()).map(|cell| (cell.member.status, cell.heard));
    assert_eq!((cell, serf.intents.len()), (Some((Status::Leaving, 6)), 2));
}

#[test]
fn section_3_8_the_coordinate_of_a_real_agent() {
    let [Message::Ack(ack)] = &messages("udp-ack-coord")[..] else { panic!("no ack") };
    let mut serf = node("a1", "", &[("a2", 17947)]);
    serf.ping_complete(at(0), &"a2".into(), Duration::from_micros(300), &ack.payload);
    let coordinate = serf.coordinate(&"a2".into()).expect("a coordinate");
    assert!((coordinate.error - 1.431_449_397_602_025_3).abs() < 1e-15);
    assert_eq!(crate::gossip::wire::coordinate::Coordinate::from(&coordinate).encode(), ack.payload);
    assert_ne!(serf.coordinate(&"a1".into()), Some(Coordinate::default()));
}

#[test]
fn section_3_4_a_response_of_a_real_agent_reaches_the_client() {
    let mut serf = node("a1", "web", &[("a2", 17947)]);
    let request = super::Request { name: "load".into(), ack: true, ..super::Request::default() };
    let key = serf.query(at(0), request).expect("a query");
    let [SerfMessage::Query(query)] = &said(&mut serf)[..] else { panic!("no query") };
    drain(&mut serf);
    let Ok(SerfMessage::Response(ack)) = SerfMessage::decode(&users("udp-query-ack")[0]) else { panic!("no ack") };
    let ack = QueryResponse { ltime: query.ltime, id: query.id, from: "a2".into(), ..ack };
    serf.user_message(at(0), &SerfMessage::Response(ack).encode());
    assert_eq!(drain(&mut serf), [Output::Reply { key, reply: super::Reply::Ack("a2".into()) }]);
}

#[test]
fn section_3_6_what_older_protocols_say_of_themselves() {
    for (vector, protocol) in [("udp-proto2-alive", 2), ("udp-proto4-alive", 4)] {
        let alive =
            messages(vector).into_iter().find_map(|m| if let Message::Alive(alive) = m { Some(alive) } else { None });
        let alive = alive.expect("an alive message");
        let tags = tags::decode(&alive.meta);
        let config = Config { protocol, tags, ..Config::new("a".into(), Addr(vec![127, 0, 0, 1]), 17946) };
        let serf = Serf::new(config, Past::default(), at(0), &mut Seeded(1)).expect("a node");
        assert_eq!((&serf.versions()[..], serf.meta()), (&alive.vsn[..], alive.meta), "{vector}");
    }
}
