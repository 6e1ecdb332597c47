//! The README's table of refusals has what the programs say, all of it and nothing else.

use std::collections::BTreeSet;

use clusteros_init::cluster::Refusal;
use clusteros_init::mesh::record::Flaw;
use clusteros_init::mesh::{Identity, Subnet};

const README: &str = include_str!("../../README.md");

/// One of each, and its name in the source; of those that say two things both.
fn all() -> Vec<(&'static str, Refusal)> {
    let id = Identity::from_seed(&[1; 32]).node_id().clone();
    let (address, name) = ("10.42.0.1".parse().expect("an address"), "node2".to_owned());
    vec![
        ("None", Refusal::Record(Flaw::None)),
        ("Version", Refusal::Record(Flaw::Version("2".to_owned()))),
        ("Missing", Refusal::Record(Flaw::Missing("sig"))),
        ("Malformed", Refusal::Record(Flaw::Malformed("sig"))),
        ("Forged", Refusal::Record(Flaw::Forged(id))),
        ("Foreign", Refusal::Record(Flaw::Foreign(Vec::new()))),
        ("Copied", Refusal::Copied { signed_for: name.clone() }),
        ("Own", Refusal::Own),
        ("WeakKey", Refusal::WeakKey),
        ("Outside", Refusal::Outside(address, Subnet::DEFAULT)),
        ("OwnAddress", Refusal::OwnAddress { address, kept: true }),
        ("OwnAddress", Refusal::OwnAddress { address, kept: false }),
        ("NoCommonKey", Refusal::NoCommonKey(Vec::new())),
        ("Loop", Refusal::Loop(address.into())),
        ("Unreachable", Refusal::Unreachable(address.into())),
        ("IdHeld", Refusal::IdHeld(name.clone())),
        ("KeyHeld", Refusal::KeyHeld(name.clone())),
        ("AddressHeld", Refusal::AddressHeld(address, name)),
        ("Older", Refusal::Older { carries: 1, seen: 2 }),
    ]
}

/// The names of the variants of an enum, as its source has them.
fn variants(source: &'static str, name: &str) -> BTreeSet<&'static str> {
    let (_, rest) = source.split_once(&format!("pub enum {name} {{\n")).expect("the enum");
    let (body, _) = rest.split_once("\n}\n").expect("its end");
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    let named = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    named.filter_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric()).next()).collect()
}

#[test]
fn the_readme_has_every_refusal() {
    let refusals = variants(include_str!("../../src/cluster/member.rs"), "Refusal");
    let flaws = variants(include_str!("../../src/mesh/record.rs"), "Flaw");
    let named: BTreeSet<&str> = all().iter().map(|(name, _)| *name).chain(["Record"]).collect();
    assert_eq!(named, refusals.union(&flaws).copied().collect(), "a refusal is missing in this test");

    let (_, rest) = README.split_once("| what it says | when |").expect("the table");
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells: Vec<Vec<&str>> = rows
        .map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    for row in &cells {
        assert!(row.len() == 3 && row.iter().all(|cell| !cell.is_empty()), "{row:?}");
    }
    for (name, refusal) in all() {
        let said = refusal.to_string();
        // What differs from time to time is dots in the table.
        let has = |row: &&Vec<&str>| row[0].split("...").all(|part| said.contains(part));
        assert_eq!(cells.iter().filter(has).count(), 1, "{name}: {said}");
    }
    for row in &cells {
        let says = |(_, refusal): &(&str, Refusal)| {
            let said = refusal.to_string();
            row[0].split("...").all(|part| said.contains(part))
        };
        assert!(all().iter().any(says), "nothing says {:?}", row[0]);
    }
}
