//! What is thrown at the reader of a member's record.

use std::sync::OnceLock;

use clusteros_init::mesh::record::{TAGS, Tags};
use clusteros_init::mesh::{Identity, Keyring, Record, Subnet, address};

/// The keyring of the cluster, and a true record with its tags.
fn truth() -> &'static (Keyring, Record, Tags) {
    static TRUTH: OnceLock<(Keyring, Record, Tags)> = OnceLock::new();
    TRUTH.get_or_init(|| {
        let (identity, keyring) = (Identity::from_seed(&[1; 32]), Keyring::new([&[7; 32][..], &[8; 16]]));
        let record = Record {
            node_id: identity.node_id().clone(),
            name: "node1".to_owned(),
            key: identity.wireguard_key(),
            address: address::address(identity.node_id(), Subnet::DEFAULT, 0),
            port: 51820,
            generation: 1_795_000_000,
            keys: keyring.fingerprints(),
            settled: true,
            run: Some(7),
            mtu: Some(1420),
            endpoints: vec!["192.0.2.1:51820".parse().expect("one"), "[2001:db8::1]:51820".parse().expect("one")],
        };
        let tags = record.tags(&identity, &keyring);
        (keyring, record, tags)
    })
}

/// Tags as lines `TAG=VALUE`, by themselves and over those of a true record, from which `-TAG` takes one away. Whatever they are, nobody
/// without the node's own key makes anything else of them than what it has signed; what is wrong is said in one line.
pub fn records(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let given: Tags = text.lines().filter_map(|line| line.split_once('=')).map(owned).collect();
    read("node1", &given);
    let (_, _, mut tags) = truth().clone();
    let before = tags.clone();
    tags.extend(given.into_iter().filter(|(tag, _)| TAGS.contains(&tag.as_str())));
    for gone in text.lines().filter_map(|line| line.strip_prefix('-')) {
        tags.remove(gone);
    }
    if tags != before {
        read("node1", &tags);
        read("node2", &tags);
    }
}

fn owned((tag, value): (&str, &str)) -> (String, String) {
    (tag.to_owned(), value.to_owned())
}

fn read(name: &str, tags: &Tags) {
    let (keyring, record, _) = truth();
    match Record::read(name, tags, keyring) {
        Ok(read) => assert_eq!(read, *record),
        Err(flaw) => {
            let said = flaw.to_string();
            assert!(!said.is_empty() && said.len() < 1024 && !said.chars().any(char::is_control), "{said:?}");
        }
    }
}
