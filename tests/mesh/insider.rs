//! Somebody who has the cluster's key and no node's, and somebody who has not even that: over real gossip, against real nodes.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use clusteros_init::mesh::address::address;
use clusteros_init::mesh::{Identity, Keyring, NodeId, Record, Subnet, WgKey};
use serde_json::Value;

use crate::crowd::{Hub, Insider, KEY, Traffic, connected, peer, report};
use crate::kit::wait_until;
use crate::life::{LONG, Life};
use crate::need;
use crate::world::{Node, no_wireguard};

type Tags = BTreeMap<String, String>;

/// Three nodes that know each other; the first one is the victim.
fn three(hub: &Hub) -> [Life; 3] {
    let nodes = [1, 2, 3].map(|number| {
        let node = Node::new();
        hub.plug(&node.namespace, number);
        Life::begin(node, &Hub::address(number).to_string())
    });
    let victim = Hub::address(1).to_string();
    for node in &nodes[1..] {
        let said = node.said(&["join", &victim]);
        assert_eq!(said.0, Some(0), "{said:?}");
    }
    connected(&nodes.iter().collect::<Vec<_>>());
    for node in &nodes {
        wait_until("it is settled", LONG, || tags(node).contains_key("st"));
    }
    nodes
}

/// What the node says of itself in gossip.
fn tags(life: &Life) -> Tags {
    let file = fs::read_to_string(life.node.root.join("run/cluster-os/serf.json")).expect("serf.json");
    let file: Value = serde_json::from_str(&file).expect("JSON");
    serde_json::from_value(file["tags"].clone()).expect("tags")
}

/// A new identity whose id is smaller than `than`, or larger.
fn forged(seed: &mut u64, than: &NodeId, smaller: bool) -> Identity {
    loop {
        *seed += 1;
        let mut bytes = [0x5a; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let identity = Identity::from_seed(&bytes);
        if (identity.node_id() < than) == smaller {
            return identity;
        }
    }
}

/// What `name` may say of itself, at its first address.
pub fn record(identity: &Identity, name: &str) -> Record {
    Record {
        node_id: identity.node_id().clone(),
        name: name.to_owned(),
        key: identity.wireguard_key(),
        address: address(identity.node_id(), Subnet::DEFAULT, 0),
        port: 51820,
        generation: 1_900_000_000,
        keys: keyring().fingerprints(),
        settled: false,
        run: None,
        mtu: None,
        endpoints: Vec::new(),
    }
}

fn keyring() -> Keyring {
    Keyring::new([&KEY[..]])
}

/// A member that must stay out, and what the victim and the others say of it.
struct Attempt {
    name: &'static str,
    tags: Tags,
    victim: &'static str,
    others: &'static str,
}

fn attempts(victim: &Life) -> Vec<Attempt> {
    let copied = tags(victim);
    let id: NodeId = copied["id"].parse().expect("an id");
    let mut seed = 0;
    let mut attempts = Vec::new();
    let mut add = |name, tags, victim, others| attempts.push(Attempt { name, tags, victim, others });
    let both = |add: &mut dyn FnMut(&'static str, Tags, &'static str, &'static str), name, tags, said| {
        add(name, tags, said, said);
    };
    let mut with = |smaller: bool, name: &'static str, change: &dyn Fn(&mut Record)| {
        let identity = forged(&mut seed, &id, smaller);
        let mut record = record(&identity, name);
        change(&mut record);
        record.tags(&identity, &keyring())
    };

    both(&mut add, "copied", copied.clone(), "it carries the record of ");
    let mut altered = copied.clone();
    altered.insert("ip".to_owned(), "10.42.99.99".to_owned());
    both(&mut add, "altered", altered, "its record was not signed by node ");
    both(&mut add, "bare", Tags::new(), "it carries no signed record yet");
    let mut unsigned = with(true, "unsigned", &|_| {});
    unsigned.remove("sig");
    both(&mut add, "unsigned", unsigned, "its record has no tag \"sig\"");
    let mut badly = with(true, "badly", &|_| {});
    badly.insert("sig".to_owned(), STANDARD_NO_PAD.encode([7; 64]));
    both(&mut add, "badly", badly, "its record was not signed by node ");
    let mut foreign = with(true, "foreign", &|_| {});
    foreign.insert("mac".to_owned(), copied["mac"].clone());
    both(&mut add, "foreign", foreign, "its record was not made with this cluster's key");

    let at: Ipv4Addr = victim.node.address;
    for (smaller, name) in [(true, "small-thief"), (false, "large-thief")] {
        let tags = with(smaller, name, &|record| (record.address, record.settled) = (at, true));
        add(name, tags, "is this node's own", "is held by member ");
    }
    let stolen = victim.node.key;
    let tags = with(true, "key-thief", &|record| record.key = stolen);
    add("key-thief", tags, "it carries this node's own identity", "its WireGuard key is held by member ");
    let mut low = [0; 32];
    low[0] = 1;
    for (name, key) in [("zero", [0; 32]), ("low", low)] {
        let tags = with(true, name, &|record| record.key = WgKey(key));
        both(&mut add, name, tags, "its WireGuard key is a zero or low-order point");
    }
    let tags = with(true, "looped", &|record| record.endpoints = vec!["10.42.7.7:51820".parse().expect("an endpoint")]);
    both(&mut add, "looped", tags, "its endpoint 10.42.7.7 is inside the mesh");
    let tags = with(true, "outside", &|record| record.address = Ipv4Addr::new(10, 43, 0, 1));
    both(&mut add, "outside", tags, "its mesh address 10.43.0.1 is no host of 10.42.0.0/16");
    attempts
}

#[test]
fn whoever_has_the_clusters_key_alone_gets_nothing_of_a_member() {
    need!("whoever_has_the_clusters_key_alone_gets_nothing_of_a_member", no_wireguard());
    let hub = Hub::new();
    let lives = three(&hub);
    let [victim, others @ ..] = &lives;
    let mut insider = Insider::new(&hub, 4);
    let all = [1, 2, 3].map(Hub::address);
    let key = STANDARD.encode(KEY);
    let before = peer(&others[0], &victim.node.interface);
    let traffic = [Traffic::begin(&others[0], victim), Traffic::begin(&others[1], victim)];

    let attempts = attempts(victim);
    for attempt in &attempts {
        insider.join(attempt.name, &attempt.tags, &key, &all);
    }
    for attempt in &attempts {
        for (life, said) in [(victim, attempt.victim), (&others[0], attempt.others), (&others[1], attempt.others)] {
            let what = format!("{} says of {}: {said}", life.node.interface, attempt.name);
            let holds = || peer(life, attempt.name)["reason"].as_str().is_some_and(|reason| reason.contains(said));
            if !crate::kit::within(LONG, holds) {
                panic!("{what}: {:?}", peer(life, attempt.name));
            }
        }
    }

    // The victim's name and its own record from elsewhere, and the name with another node's record.
    let name = victim.node.interface.as_str();
    let mut seed = 1000;
    let mine = forged(&mut seed, &tags(victim)["id"].parse().expect("an id"), true);
    insider.join(name, &tags(victim), &key, &all);
    insider.join(name, &record(&mine, name).tags(&mine, &keyring()), &key, &all);
    let gossip = |life: &Life| fs::read_to_string(life.node.root.join("gossip.log")).expect("a log");
    for life in &others[..] {
        wait_until("every other node names the second one of that name", LONG, || {
            gossip(life).contains(&format!("Name conflict for '{name}'"))
        });
    }
    wait_until("the victim says that somebody has its name", LONG, || {
        gossip(victim).contains("Node name conflicts with another node at ")
    });
    wait_until("whoever took a name gives up", LONG, || {
        insider.log().matches("minority in name conflict resolution, quitting").count() == 2
    });

    for traffic in traffic {
        let (sent, lost) = traffic.end();
        assert_eq!(lost, 0, "of {sent} packets");
        assert!(sent > 10, "{sent} packets are no traffic");
    }
    let after = peer(&others[0], name);
    for fact in ["node_id", "address", "key", "endpoint", "verified", "connected"] {
        assert_eq!(after[fact], before[fact], "{fact}: {before} {after}");
    }
    let own = &report(victim)["self"];
    assert_eq!((&own["address"], &own["name"]), (&Value::from(victim.node.address.to_string()), &Value::from(name)));
    for life in &lives {
        assert_eq!(life.node.dump().peers.len(), 2, "{:?}", life.node.dump());
    }
}

#[test]
fn without_the_clusters_key_nothing_gets_in() {
    need!("without_the_clusters_key_nothing_gets_in", no_wireguard());
    let hub = Hub::new();
    let lives = three(&hub);
    let [victim, other, _] = &lives;
    let traffic = Traffic::begin(other, victim);
    let mut insider = Insider::new(&hub, 4);
    insider.join("stranger", &tags(victim), &STANDARD.encode([9; 32]), &[Hub::address(1)]);
    let gossip = || fs::read_to_string(victim.node.root.join("gossip.log")).expect("a log");
    wait_until("gossip says that it refused somebody", Duration::from_secs(90), || {
        gossip().contains(&Hub::address(4).to_string())
    });
    for life in &lives {
        let report = report(life);
        assert_eq!(report["peers"].as_array().map(Vec::len), Some(2), "{report}");
        assert_eq!(report["gossip"]["alive"], 3, "{report}");
    }
    assert_eq!(traffic.end().1, 0);
}
