//! Several nodes at one address: who stays there, and where the others go.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::mesh::address::{ATTEMPTS, address, next};
use crate::mesh::{NodeId, Subnet};

/// A node at an address that others claim, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// Its id.
    pub node_id: NodeId,
    /// Whether it is settled there.
    pub settled: bool,
}

/// The addresses that the node `own`, who loses `lost` to one of `rivals`, must not take: `held` by others, and what those who lose it, too,
/// and come before, take now. Each of them comes to the same answer, so that they need not meet again at the next address.
pub fn taken(
    own: &NodeId,
    lost: Ipv4Addr,
    rivals: &[Rival],
    held: impl IntoIterator<Item = Ipv4Addr>,
    subnet: Subnet,
) -> BTreeSet<Ipv4Addr> {
    let mut taken: BTreeSet<Ipv4Addr> = held.into_iter().chain([lost]).collect();
    let mut order: Vec<&Rival> = rivals.iter().collect();
    order.sort_by_key(|rival| (!rival.settled, &rival.node_id));
    // The first one stays, and so does who is settled.
    for rival in order.into_iter().skip(1).filter(|rival| !rival.settled && rival.node_id < *own) {
        let now = (0..).take(ATTEMPTS).find(|attempt| address(&rival.node_id, subnet, *attempt) == lost);
        taken.extend(now.and_then(|now| next(&rival.node_id, subnet, now, &taken)).map(|(_, address)| address));
    }
    taken
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    use crate::cluster::member::tests::{keyring, local, member};
    use crate::cluster::{Local, Roster};
    use crate::mesh::address::{address, next};
    use crate::mesh::{Identity, Record, Subnet};

    struct Node {
        identity: Identity,
        record: Record,
        attempt: u32,
        roster: Roster,
    }

    impl Node {
        fn new(seed: u32, subnet: Subnet) -> Node {
            let mut bytes = [0x61; 32];
            bytes[..4].copy_from_slice(&seed.to_be_bytes());
            let identity = Identity::from_seed(&bytes);
            let record = Record {
                node_id: identity.node_id().clone(),
                name: format!("node{seed}"),
                key: identity.wireguard_key(),
                address: address(identity.node_id(), subnet, 0),
                keys: keyring().fingerprints(),
                ..local().record
            };
            let roster = Roster::new(Local { record: record.clone(), subnet, keyring: keyring() });
            Node { identity, record, attempt: 0, roster }
        }
    }

    /// Everybody sees everybody, and moves if they must; true if somebody did.
    fn round(nodes: &mut [Node], subnet: Subnet) -> bool {
        let members: Vec<_> = nodes.iter().map(|node| member(&node.record, &node.identity)).collect();
        let mut moved = false;
        for node in nodes {
            node.roster.update(&members, 0);
            let Some(taken) = node.roster.lost() else { continue };
            moved = true;
            let free = next(&node.record.node_id, subnet, node.attempt, &taken);
            (node.attempt, node.record.address) = free.expect("an address");
            node.record.generation += 1;
            node.roster.renew(Local { record: node.record.clone(), subnet, keyring: keyring() });
        }
        moved
    }

    fn addresses(nodes: &[Node]) -> Vec<Ipv4Addr> {
        nodes.iter().map(|node| node.record.address).collect()
    }

    #[test]
    fn those_that_meet_at_one_address_part_in_one_round() {
        let subnet: Subnet = "10.99.0.0/27".parse().unwrap();
        let mut by_address: BTreeMap<Ipv4Addr, Vec<u32>> = BTreeMap::new();
        let mut contests = 0;
        for seed in 0..80 {
            let at = Node::new(seed, subnet).record.address;
            let same = by_address.entry(at).or_default();
            same.push(seed);
            if same.len() < 3 {
                continue;
            }
            let mut nodes: Vec<Node> = std::mem::take(same).into_iter().map(|seed| Node::new(seed, subnet)).collect();
            assert!(round(&mut nodes, subnet) && !round(&mut nodes, subnet), "{:?}", addresses(&nodes));
            let first = nodes.iter().min_by_key(|node| node.record.node_id.clone()).unwrap();
            assert_eq!((first.record.address, first.attempt), (at, 0));
            for node in &nodes {
                assert_eq!(node.roster.desired(0).len(), 2, "{:?}", addresses(&nodes));
            }
            contests += 1;
        }
        assert!(contests > 5, "{contests}");
    }

    #[test]
    fn a_crowd_in_a_small_subnet_settles_the_same_way_on_every_node() {
        let subnet: Subnet = "10.99.0.0/28".parse().unwrap();
        for crowd in 0..2 {
            let mut nodes: Vec<Node> = (0..7).map(|n| Node::new(1000 + crowd * 7 + n, subnet)).collect();
            let rounds = (1..).take(40).find(|_| !round(&mut nodes, subnet)).expect("an end");
            assert!(rounds <= 12, "{rounds} rounds");
            let all = addresses(&nodes);
            for node in &nodes {
                let seen: BTreeMap<&str, Ipv4Addr> =
                    node.roster.verified().map(|peer| (peer.record().name.as_str(), peer.record().address)).collect();
                assert_eq!(seen.len(), 6, "{:?}", node.roster.refused().collect::<Vec<_>>());
                assert!(
                    nodes
                        .iter()
                        .zip(&all)
                        .all(|(other, at)| seen.get(&*other.record.name).is_none_or(|seen| seen == at))
                );
            }
        }
    }
}
