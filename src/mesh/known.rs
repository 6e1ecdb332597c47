//! What is known of a WireGuard device between two looks at it: what was seen, and what was done since.
//!
//! Reading a device costs as much as it has peers, and the change that one event makes costs as little as it is: so a device is read
//! now and then, and otherwise taken to be what it was made.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::endpoints::lives;
use super::peers::{Observed, ObservedPeer, Operation, PeerSpec, WgKey};

/// Makes of a device that was seen what it is after `operations`.
pub fn perform(observed: &mut Observed, operations: &[Operation]) {
    let mut moved: BTreeMap<(IpAddr, u8), WgKey> = BTreeMap::new();
    let mut gone = BTreeSet::new();
    let mut new: BTreeMap<WgKey, &PeerSpec> = BTreeMap::new();
    let mut updates: BTreeMap<WgKey, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        let allowed = match operation {
            Operation::Remove(key) => {
                gone.insert(*key);
                continue;
            }
            Operation::Add(spec) => {
                new.insert(spec.key, spec);
                Some(&spec.allowed)
            }
            Operation::Update { key, allowed, .. } => {
                updates.entry(*key).or_default().push(operation);
                allowed.as_ref()
            }
        };
        moved.extend(allowed.into_iter().flatten().map(|network| (*network, *operation.key())));
    }
    observed.peers.retain(|peer| !gone.contains(&peer.key));
    for peer in &mut observed.peers {
        // A network has one owner: who is given it last.
        peer.allowed.retain(|network| moved.get(network).is_none_or(|key| *key == peer.key));
        for operation in updates.get(&peer.key).into_iter().flatten() {
            let Operation::Update { endpoint, allowed, keepalive, psk, .. } = operation else { continue };
            peer.endpoint = endpoint.or(peer.endpoint);
            peer.keepalive = keepalive.unwrap_or(peer.keepalive);
            if let Some(allowed) = allowed {
                peer.allowed.clone_from(allowed);
            }
            if let Some(psk) = psk {
                peer.psk = psk.clone();
            }
        }
    }
    observed.peers.extend(new.into_values().map(made));
}

fn made(spec: &PeerSpec) -> ObservedPeer {
    let PeerSpec { key, endpoint, allowed, keepalive, psk } = spec.clone();
    ObservedPeer { key, endpoint, allowed, keepalive, psk, handshake: None, rx: 0, tx: 0 }
}

/// Whether an operation leans on a session that is dead as far as is known, in a device that was seen a while before `now`, in
/// seconds since 1970: it may have come back to life since. A session that was alive when it was seen is no reason to doubt.
pub fn doubtful(observed: &Observed, operations: &[Operation], now: u64) -> bool {
    let moved: BTreeSet<&WgKey> = operations
        .iter()
        .filter_map(|operation| match operation {
            Operation::Update { key, endpoint: Some(_), .. } => Some(key),
            _ => None,
        })
        .collect();
    let silent = |peer: &ObservedPeer| moved.contains(&peer.key) && !lives(peer, now);
    if !moved.is_empty() && observed.peers.iter().any(silent) {
        return true;
    }
    let removed: BTreeSet<&WgKey> = operations
        .iter()
        .filter_map(|operation| match operation {
            Operation::Remove(key) => Some(key),
            _ => None,
        })
        .collect();
    operations.iter().any(|operation| match operation {
        Operation::Add(spec) => removed.contains(&spec.key),
        Operation::Update { .. } | Operation::Remove(_) => false,
    })
}

/// What puts back the endpoints that moved between two looks although nothing was heard of the peer in between: only who holds the
/// device can have changed these. One that was heard moved by itself, and stays where it is.
///
/// Exact for the kernel, which counts every packet that it takes; in user space one that carries nothing is not counted.
pub fn displaced(before: &Observed, after: &Observed) -> Vec<Operation> {
    let known: BTreeMap<WgKey, &ObservedPeer> = before.peers.iter().map(|peer| (peer.key, peer)).collect();
    let back = |peer: &ObservedPeer| {
        let old = known.get(&peer.key)?;
        let unheard = (old.rx, old.handshake) == (peer.rx, peer.handshake);
        let endpoint = old.endpoint.filter(|endpoint| unheard && peer.endpoint != Some(*endpoint))?;
        let (key, endpoint) = (peer.key, Some(endpoint));
        Some(Operation::Update { key, endpoint, allowed: None, keepalive: None, psk: None })
    };
    after.peers.iter().filter_map(back).collect()
}

#[cfg(test)]
mod tests {
    use super::{displaced, doubtful, perform};
    use crate::mesh::endpoints::Trials;
    use crate::mesh::keyring::Psk;
    use crate::mesh::peers::{Observed, ObservedPeer, Operation, PeerSpec, WgKey, diff};

    const NOW: u64 = 1_800_000_000;

    fn spec(n: u8, endpoint: &str, allowed: &[&str]) -> PeerSpec {
        PeerSpec {
            key: WgKey([n; 32]),
            endpoint: Some(endpoint.parse().expect("an endpoint")),
            allowed: allowed.iter().map(|one| (one.parse().expect("an address"), 32)).collect(),
            keepalive: 0,
            psk: Psk::none(),
        }
    }

    fn seen(spec: &PeerSpec, handshake: Option<u64>, rx: u64) -> ObservedPeer {
        ObservedPeer { handshake, rx, ..super::made(spec) }
    }

    fn device(peers: Vec<ObservedPeer>) -> Observed {
        Observed { public_key: Some(WgKey([99; 32])), port: 51820, peers }
    }

    fn to(n: u8, endpoint: &str) -> Operation {
        let endpoint = Some(endpoint.parse().expect("an endpoint"));
        Operation::Update { key: WgKey([n; 32]), endpoint, allowed: None, keepalive: None, psk: None }
    }

    #[test]
    fn what_was_done_is_known() {
        let (one, two) = (spec(1, "192.0.2.1:1", &["10.42.0.1"]), spec(2, "192.0.2.2:1", &["10.42.0.2"]));
        let mut held = device(vec![seen(&one, Some(NOW), 7), seen(&two, None, 0)]);
        let mut wish = vec![
            PeerSpec { keepalive: 25, psk: Psk::new([5; 32]), ..spec(1, "192.0.2.9:1", &["10.42.0.2", "10.42.0.9"]) },
            spec(3, "192.0.2.3:1", &["10.42.0.1"]),
        ];
        for _ in 0..2 {
            let operations = diff(&held, &wish, &mut Trials::default(), NOW);
            assert_ne!(operations, []);
            perform(&mut held, &operations);
            assert_eq!(diff(&held, &wish, &mut Trials::default(), NOW), [], "{held:?}");
            wish = vec![spec(2, "192.0.2.2:1", &["10.42.0.1"]), spec(1, "192.0.2.9:1", &["10.42.0.9"])];
        }
        let kept = held.peers.iter().find(|peer| peer.key == WgKey([1; 32])).expect("it stayed");
        assert_eq!((kept.handshake, kept.rx), (Some(NOW), 7));
    }

    #[test]
    fn a_peer_that_is_made_anew_is_made_anew() {
        let one = spec(1, "192.0.2.1:1", &["10.42.0.1"]);
        let mut held = device(vec![seen(&one, Some(NOW - 3600), 7)]);
        perform(&mut held, &[Operation::Remove(one.key), Operation::Add(one.clone())]);
        assert_eq!(held, device(vec![seen(&one, None, 0)]));
    }

    #[test]
    fn only_what_leans_on_a_dead_session_is_in_doubt() {
        let one = spec(1, "192.0.2.1:1", &["10.42.0.1"]);
        let held = |handshake| device(vec![seen(&one, handshake, 7)]);
        let moved = [to(1, "192.0.2.9:1")];
        assert!(!doubtful(&held(Some(NOW - 100)), &moved, NOW));
        assert!(doubtful(&held(None), &moved, NOW));
        assert!(doubtful(&held(Some(NOW - 181)), &moved, NOW));
        let anew = [Operation::Remove(one.key), Operation::Add(one.clone())];
        assert!(doubtful(&held(Some(NOW - 181)), &anew, NOW));
        assert!(!doubtful(&held(Some(NOW - 181)), &[Operation::Remove(one.key)], NOW));
        assert!(!doubtful(&held(None), &[Operation::Add(spec(2, "192.0.2.2:1", &[]))], NOW));
    }

    #[test]
    fn an_endpoint_that_moved_by_itself_stays_and_one_that_was_moved_goes_back() {
        let (here, there) = (spec(1, "192.0.2.1:1", &["10.42.0.1"]), spec(1, "198.51.100.7:40000", &["10.42.0.1"]));
        let back = |before: (Option<u64>, u64), after: (Option<u64>, u64)| {
            displaced(&device(vec![seen(&here, before.0, before.1)]), &device(vec![seen(&there, after.0, after.1)]))
        };
        assert_eq!(back((Some(NOW), 7), (Some(NOW), 7)), [to(1, "192.0.2.1:1")]);
        assert_eq!(back((Some(NOW), 7), (Some(NOW), 8)), []);
        assert_eq!(back((Some(NOW), 7), (Some(NOW + 120), 7)), []);
        assert_eq!(back((None, 0), (None, 0)), [to(1, "192.0.2.1:1")]);
        assert_eq!(displaced(&device(vec![]), &device(vec![seen(&there, None, 0)])), []);
        let same = device(vec![seen(&here, None, 0)]);
        assert_eq!(displaced(&same, &same), []);
    }
}
