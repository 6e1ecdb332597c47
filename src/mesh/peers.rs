//! The peers of a WireGuard device: what is wanted, what was seen, and the difference between the two.
//!
//! The device is never rebuilt. [`diff`] answers with the fewest operations, and a peer that is as it should be is not
//! mentioned at all, so that its session survives everything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::endpoints::Trials;
use super::keyring::Psk;

/// Seconds between keepalives where there is address translation on the way: most boxes forget after 30.
pub const OFTEN: u16 = 25;

/// Seconds between keepalives elsewhere. The third falls into the seconds from 165 to 180 in which the kernel makes the next session of one
/// that only keepalives used: so there always is one, its age says who is connected, and a node that moved is followed.
pub const SELDOM: u16 = 58;

/// A WireGuard public key. Shown and read as base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WgKey(pub [u8; 32]);

impl Display for WgKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl Debug for WgKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

/// Text that is not the base64 of 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAKey;

impl Display for NotAKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("not a WireGuard key (32 bytes in base64)")
    }
}

impl std::error::Error for NotAKey {}

impl FromStr for WgKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let bytes = STANDARD.decode(text).map_err(|_| NotAKey)?;
        bytes.try_into().map(WgKey).map_err(|_| NotAKey)
    }
}

/// A peer as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSpec {
    /// Who it is.
    pub key: WgKey,
    /// Where to send to until the peer was heard; none if only the peer can begin.
    pub endpoint: Option<SocketAddr>,
    /// The inner addresses that are the peer's, as (address, prefix length).
    pub allowed: Vec<(IpAddr, u8)>,
    /// Seconds between keepalives; 0 is none.
    pub keepalive: u16,
    /// What is mixed into every handshake.
    pub psk: Psk,
}

/// A peer as the device has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedPeer {
    /// Who it is.
    pub key: WgKey,
    /// Where it was last heard, or where it was last set.
    pub endpoint: Option<SocketAddr>,
    /// The inner addresses that the device gives it.
    pub allowed: Vec<(IpAddr, u8)>,
    /// Seconds between keepalives; 0 is none.
    pub keepalive: u16,
    /// What is mixed into every handshake.
    pub psk: Psk,
    /// The last handshake, in seconds since 1970; none if there was none.
    pub handshake: Option<u64>,
    /// Bytes received.
    pub rx: u64,
    /// Bytes sent.
    pub tx: u64,
}

/// A device as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The device's own key; none if it has no private key.
    pub public_key: Option<WgKey>,
    /// The UDP port; 0 if none was chosen.
    pub port: u16,
    /// Its peers.
    pub peers: Vec<ObservedPeer>,
}

/// One change of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A peer that the device does not have.
    Add(PeerSpec),
    /// Some values of a peer that the device has; what is none stays as it is.
    Update {
        /// The peer.
        key: WgKey,
        /// Its new endpoint.
        endpoint: Option<SocketAddr>,
        /// All of its inner addresses.
        allowed: Option<Vec<(IpAddr, u8)>>,
        /// Its new keepalive.
        keepalive: Option<u16>,
        /// Its new preshared key; a session that stands goes on with the old one.
        psk: Option<Psk>,
    },
    /// A peer that the device should no longer have.
    Remove(WgKey),
}

impl Operation {
    /// The peer that is changed.
    pub const fn key(&self) -> &WgKey {
        match self {
            Operation::Add(spec) => &spec.key,
            Operation::Update { key, .. } | Operation::Remove(key) => key,
        }
    }
}

/// Returns what must be done for `observed` to become `desired`: removals first, then updates, then additions.
///
/// Endpoints are what `trials` chooses at `now_unix`, in seconds since 1970: never one over that of a session that lives. A
/// peer that is heard at none of the places that it announces is behind address translation, and gets keepalives
/// [`OFTEN`]. A new endpoint goes with the keepalive off and on again: that makes WireGuard try it now. A peer whose host started
/// anew since its last handshake is removed and added again: its session is dead, and what its host sends may be refused.
///
/// The own key, the zero key, a key that comes again and a prefix that is too long are left out. An address that two
/// peers claim is the first one's, so that the same wish gives the same device whatever the device's history.
pub fn diff(observed: &Observed, desired: &[PeerSpec], trials: &mut Trials, now_unix: u64) -> Vec<Operation> {
    let wanted = settled(observed.public_key, desired);
    let keys: BTreeSet<WgKey> = wanted.iter().map(|spec| spec.key).collect();
    let seen: BTreeMap<WgKey, &ObservedPeer> = observed.peers.iter().map(|peer| (peer.key, peer)).collect();

    let mut removals: Vec<Operation> =
        seen.keys().filter(|key| !keys.contains(key)).map(|key| Operation::Remove(*key)).collect();
    let mut updates = Vec::new();
    let mut additions = Vec::new();
    for spec in wanted {
        let Some(peer) = seen.get(&spec.key) else {
            trials.begin(&spec.key);
            additions.push(Operation::Add(spec));
            continue;
        };
        if trials.ended(peer, now_unix) {
            removals.push(Operation::Remove(spec.key));
            additions.push(Operation::Add(PeerSpec { endpoint: spec.endpoint.or(peer.endpoint), ..spec }));
            continue;
        }
        let endpoint = trials.choose(peer, spec.endpoint, now_unix);
        let often = spec.keepalive != 0 && trials.translated(peer, now_unix);
        let wish = if often { spec.keepalive.min(OFTEN) } else { spec.keepalive };
        let has: BTreeSet<(IpAddr, u8)> =
            peer.allowed.iter().filter_map(|(address, prefix)| network(*address, *prefix)).collect();
        let allowed = (!spec.allowed.iter().copied().eq(has)).then_some(spec.allowed);
        let awake = endpoint.is_some() && wish != 0;
        let keepalive = if awake { Some(0) } else { (wish != peer.keepalive).then_some(wish) };
        let psk = (spec.psk != peer.psk).then_some(spec.psk);
        if endpoint.is_some() || allowed.is_some() || keepalive.is_some() || psk.is_some() {
            updates.push(Operation::Update { key: spec.key, endpoint, allowed, keepalive, psk });
        }
        if awake {
            let keepalive = Some(wish);
            updates.push(Operation::Update { key: spec.key, endpoint: None, allowed: None, keepalive, psk: None });
        }
    }
    removals.append(&mut updates);
    removals.append(&mut additions);
    removals
}

/// The wish without what no device would take, each network with exactly one owner, in sorted order within a peer.
fn settled(own: Option<WgKey>, desired: &[PeerSpec]) -> Vec<PeerSpec> {
    let mut keys = BTreeSet::new();
    let mut owned = BTreeSet::new();
    desired
        .iter()
        .filter(|spec| spec.key != WgKey([0; 32]) && Some(spec.key) != own && keys.insert(spec.key))
        .map(|spec| {
            let networks: BTreeSet<(IpAddr, u8)> = spec
                .allowed
                .iter()
                .filter_map(|(address, prefix)| network(*address, *prefix))
                .filter(|network| owned.insert(*network))
                .collect();
            PeerSpec { allowed: networks.into_iter().collect(), ..spec.clone() }
        })
        .collect()
}

/// Returns the network of `address` with the host bits cleared, as the kernel keeps it; none if `prefix` is too long.
pub fn network(address: IpAddr, prefix: u8) -> Option<(IpAddr, u8)> {
    let cleared = match address {
        IpAddr::V4(v4) => {
            let host = 32_u32.checked_sub(prefix.into())?;
            let mask = u32::MAX.checked_shl(host).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let host = 128_u32.checked_sub(prefix.into())?;
            let mask = u128::MAX.checked_shl(host).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    };
    Some((cleared, prefix))
}

#[cfg(test)]
mod tests {
    use super::{
        NotAKey, OFTEN, Observed, ObservedPeer, Operation, PeerSpec, Psk, SELDOM, Trials, WgKey, diff, network,
    };
    use crate::mesh::endpoints::Announced;
    use std::net::{IpAddr, SocketAddr};

    const NOW: u64 = 1_800_000_000;

    fn key(n: u8) -> WgKey {
        WgKey([n; 32])
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn net(text: &str) -> (IpAddr, u8) {
        let (address, prefix) = text.split_once('/').expect("a prefix");
        (address.parse().expect("an address"), prefix.parse().expect("a length"))
    }

    fn nets(text: &[&str]) -> Vec<(IpAddr, u8)> {
        text.iter().map(|one| net(one)).collect()
    }

    fn spec(n: u8, endpoint: &str, allowed: &[&str]) -> PeerSpec {
        PeerSpec { key: key(n), endpoint: Some(at(endpoint)), allowed: nets(allowed), keepalive: 0, psk: Psk::none() }
    }

    fn peer(n: u8, endpoint: &str, allowed: &[&str]) -> ObservedPeer {
        ObservedPeer {
            key: key(n),
            endpoint: Some(at(endpoint)),
            allowed: nets(allowed),
            keepalive: 0,
            psk: Psk::none(),
            handshake: Some(NOW - 10),
            rx: 1,
            tx: 1,
        }
    }

    fn device(peers: Vec<ObservedPeer>) -> Observed {
        Observed { public_key: Some(key(99)), port: 51820, peers }
    }

    fn steady(observed: &Observed, desired: &[PeerSpec]) -> Vec<Operation> {
        diff(observed, desired, &mut Trials::default(), NOW)
    }

    fn update(n: u8) -> Operation {
        Operation::Update { key: key(n), endpoint: None, allowed: None, keepalive: None, psk: None }
    }

    fn with_endpoint(operation: Operation, to: &str) -> Operation {
        let Operation::Update { key, allowed, keepalive, psk, .. } = operation else { panic!("not an update") };
        Operation::Update { key, endpoint: Some(at(to)), allowed, keepalive, psk }
    }

    fn with_allowed(operation: Operation, to: &[&str]) -> Operation {
        let Operation::Update { key, endpoint, keepalive, psk, .. } = operation else { panic!("not an update") };
        Operation::Update { key, endpoint, allowed: Some(nets(to)), keepalive, psk }
    }

    #[test]
    fn a_key_is_read_as_it_is_shown() {
        let text = "t1mnTfOpDcJgElw1bzVDsgZ7bsXk7+7pZLMjzwatXm4=";
        let key: WgKey = text.parse().expect("a key");
        assert_eq!(key.to_string(), text);
        assert_eq!(format!("{key:?}"), text);
    }

    #[test]
    fn text_that_is_no_key_is_refused() {
        for text in ["", "t1mnTfOp", "t1mnTfOpDcJgElw1bzVDsgZ7bsXk7+7pZLMjzwatXm4", "****"] {
            assert_eq!(text.parse::<WgKey>(), Err(NotAKey), "{text}");
        }
    }

    #[test]
    fn what_is_as_it_should_be_is_left_alone() {
        let observed = device(vec![peer(1, "192.0.2.1:51820", &["10.42.0.1/32"])]);
        assert_eq!(steady(&observed, &[spec(1, "192.0.2.1:51820", &["10.42.0.1/32"])]), []);
    }

    #[test]
    fn an_empty_device_gets_every_peer_once() {
        let wish = [spec(1, "192.0.2.1:51820", &["10.42.0.1/32"]), spec(2, "192.0.2.2:51820", &["10.42.0.2/32"])];
        let twice: Vec<PeerSpec> = wish.iter().chain(&wish).cloned().collect();
        let expected: Vec<Operation> = wish.iter().cloned().map(Operation::Add).collect();
        assert_eq!(steady(&device(vec![]), &twice), expected);
    }

    #[test]
    fn a_peer_that_left_is_removed_and_the_others_are_not_touched() {
        let observed =
            device(vec![peer(1, "192.0.2.1:51820", &["10.42.0.1/32"]), peer(2, "192.0.2.2:51820", &["10.42.0.2/32"])]);
        let wish = [spec(2, "192.0.2.2:51820", &["10.42.0.2/32"])];
        assert_eq!(steady(&observed, &wish), [Operation::Remove(key(1))]);
    }

    #[test]
    fn the_own_key_and_the_zero_key_are_never_peers() {
        let wish = [spec(99, "192.0.2.1:1", &["10.42.0.1/32"]), spec(0, "192.0.2.2:1", &["10.42.0.2/32"])];
        assert_eq!(steady(&device(vec![]), &wish), []);
    }

    #[test]
    fn a_peer_with_the_zero_key_is_removed() {
        assert_eq!(steady(&device(vec![peer(0, "192.0.2.1:1", &[])]), &[]), [Operation::Remove(key(0))]);
    }

    #[test]
    fn a_roamed_endpoint_is_kept_while_the_session_lives() {
        let observed = device(vec![peer(1, "198.51.100.7:40000", &["10.42.0.1/32"])]);
        assert_eq!(steady(&observed, &[spec(1, "192.0.2.1:51820", &["10.42.0.1/32"])]), []);
    }

    #[test]
    fn a_roamed_endpoint_is_written_again_once_the_session_is_dead() {
        let mut roamed = peer(1, "198.51.100.7:40000", &["10.42.0.1/32"]);
        let wish = [spec(1, "192.0.2.1:51820", &["10.42.0.1/32"])];
        roamed.handshake = Some(NOW - 180);
        assert_eq!(steady(&device(vec![roamed.clone()]), &wish), []);
        roamed.handshake = Some(NOW - 181);
        let expected = [with_endpoint(update(1), "192.0.2.1:51820")];
        assert_eq!(steady(&device(vec![roamed.clone()]), &wish), expected);
        roamed.handshake = None;
        assert_eq!(steady(&device(vec![roamed]), &wish), expected);
    }

    #[test]
    fn a_handshake_far_in_the_future_is_no_sign_of_life() {
        let mut roamed = peer(1, "198.51.100.7:40000", &["10.42.0.1/32"]);
        roamed.handshake = Some(NOW + 86_400);
        let wish = [spec(1, "192.0.2.1:51820", &["10.42.0.1/32"])];
        assert_eq!(steady(&device(vec![roamed]), &wish), [with_endpoint(update(1), "192.0.2.1:51820")]);
    }

    #[test]
    fn a_missing_endpoint_is_written() {
        let mut mute = peer(1, "192.0.2.1:1", &["10.42.0.1/32"]);
        mute.endpoint = None;
        let wish = [spec(1, "192.0.2.1:51820", &["10.42.0.1/32"])];
        assert_eq!(steady(&device(vec![mute]), &wish), [with_endpoint(update(1), "192.0.2.1:51820")]);
    }

    #[test]
    fn an_endpoint_is_never_taken_away() {
        let wish = [PeerSpec { endpoint: None, ..spec(1, "192.0.2.1:1", &["10.42.0.1/32"]) }];
        assert_eq!(steady(&device(vec![peer(1, "192.0.2.1:1", &["10.42.0.1/32"])]), &wish), []);
    }

    #[test]
    fn an_announced_move_is_followed_once_the_session_is_dead_and_tried_at_once() {
        let mut moved = peer(1, "192.0.2.1:51820", &["10.42.0.1/32"]);
        moved.keepalive = 25;
        let wish = [PeerSpec { keepalive: 25, ..spec(1, "192.0.2.9:51820", &["10.42.0.1/32"]) }];
        assert_eq!(steady(&device(vec![moved.clone()]), &wish), []);
        moved.handshake = Some(NOW - 181);
        let step = |endpoint: Option<&str>, keepalive: u16| Operation::Update {
            key: key(1),
            endpoint: endpoint.map(at),
            allowed: None,
            keepalive: Some(keepalive),
            psk: None,
        };
        assert_eq!(steady(&device(vec![moved]), &wish), [step(Some("192.0.2.9:51820"), 0), step(None, 25)]);
    }

    #[test]
    fn who_is_heard_where_it_says_that_it_is_not_gets_keepalives_often() {
        let wish = [PeerSpec { keepalive: SELDOM, ..spec(1, "192.0.2.1:51820", &["10.42.0.1/32"]) }];
        let announced = Announced { signed: vec![at("192.0.2.1:51820")], shown: Some(at("192.0.2.2:51820")) };
        let keepalive = |endpoint: &str| {
            let mut trials = Trials::default();
            trials.announce([(key(1), announced.clone())]);
            let mut peer = peer(1, endpoint, &["10.42.0.1/32"]);
            peer.keepalive = SELDOM;
            diff(&device(vec![peer]), &wish, &mut trials, NOW)
        };
        assert_eq!(keepalive("192.0.2.1:51820"), []);
        assert_eq!(keepalive("192.0.2.2:51820"), []);
        let often = Operation::Update { key: key(1), endpoint: None, allowed: None, keepalive: Some(OFTEN), psk: None };
        assert_eq!(keepalive("198.51.100.7:40000"), [often]);
    }

    #[test]
    fn a_peer_whose_host_started_anew_is_removed_and_added_again_once() {
        let wish = PeerSpec { keepalive: 25, psk: Psk::new([5; 32]), ..spec(1, "192.0.2.1:1", &["10.42.0.1/32"]) };
        let other = spec(2, "192.0.2.2:1", &["10.42.0.2/32"]);
        let mut observed =
            device(vec![peer(1, "198.51.100.7:40000", &["10.42.0.1/32"]), peer(2, "192.0.2.2:1", &["10.42.0.2/32"])]);
        let mut trials = Trials::default();
        let announced = |n: u8| (key(n), Announced { signed: Vec::new(), shown: Some(at(&format!("192.0.2.{n}:1"))) });
        trials.announce([announced(1), announced(2)]);
        let wishes = [wish.clone(), other];
        // Both hosts are known, and of both there is a session.
        trials.hear([(key(1), 7), (key(2), 7)], NOW - 11);
        drop(diff(&observed, &wishes, &mut trials, NOW - 1));
        trials.hear([(key(1), 8), (key(2), 7)], NOW);
        let made = diff(&observed, &wishes, &mut trials, NOW);
        assert_eq!(made, [Operation::Remove(key(1)), Operation::Add(wish.clone())]);
        for operation in made {
            apply(&mut observed, operation);
        }
        for later in [0, 1, 60, 1000] {
            trials.hear([(key(1), 8), (key(2), 7)], NOW + later);
            observed.peers.iter_mut().for_each(|peer| peer.handshake = Some(NOW + later));
            assert_eq!(diff(&observed, &wishes, &mut trials, NOW + later), [], "{later} s");
        }
        // One that nobody says where it is stays where it was heard.
        trials.hear([(key(2), 9)], NOW + 1003);
        let nowhere = [wish, PeerSpec { endpoint: None, ..wishes[1].clone() }];
        let made = diff(&observed, &nowhere, &mut trials, NOW + 1003);
        assert_eq!(made, [Operation::Remove(key(2)), Operation::Add(wishes[1].clone())]);
    }

    #[test]
    fn a_preshared_key_is_changed_alone() {
        let mut roamed = peer(1, "198.51.100.7:40000", &["10.42.0.1/32"]);
        let mut wish = spec(1, "192.0.2.1:51820", &["10.42.0.1/32"]);
        let to = |psk: Psk| {
            [Operation::Update { key: key(1), endpoint: None, allowed: None, keepalive: None, psk: Some(psk) }]
        };
        wish.psk = Psk::new([5; 32]);
        assert_eq!(steady(&device(vec![roamed.clone()]), std::slice::from_ref(&wish)), to(Psk::new([5; 32])));
        roamed.psk = Psk::new([5; 32]);
        assert_eq!(steady(&device(vec![roamed.clone()]), std::slice::from_ref(&wish)), []);
        wish.psk = Psk::none();
        assert_eq!(steady(&device(vec![roamed]), &[wish]), to(Psk::none()));
    }

    #[test]
    fn a_keepalive_is_changed_alone() {
        let wish = [PeerSpec { keepalive: 25, ..spec(1, "192.0.2.1:51820", &["10.42.0.1/32"]) }];
        let expected =
            [Operation::Update { key: key(1), endpoint: None, allowed: None, keepalive: Some(25), psk: None }];
        assert_eq!(steady(&device(vec![peer(1, "192.0.2.1:51820", &["10.42.0.1/32"])]), &wish), expected);
    }

    #[test]
    fn addresses_are_compared_as_a_set_of_networks() {
        let observed = device(vec![peer(1, "192.0.2.1:1", &["10.42.7.0/24", "10.42.0.1/32", "fd00::/64"])]);
        let wish = [spec(1, "192.0.2.1:1", &["fd00::7/64", "10.42.0.1/32", "10.42.7.9/24", "10.42.0.1/32"])];
        assert_eq!(steady(&observed, &wish), []);
    }

    #[test]
    fn an_address_moves_from_one_peer_to_another() {
        let observed = device(vec![
            peer(1, "192.0.2.1:1", &["10.42.0.1/32", "10.42.0.5/32"]),
            peer(2, "192.0.2.2:1", &["10.42.0.2/32"]),
        ]);
        let wish =
            [spec(1, "192.0.2.1:1", &["10.42.0.1/32"]), spec(2, "192.0.2.2:1", &["10.42.0.2/32", "10.42.0.5/32"])];
        let expected =
            [with_allowed(update(1), &["10.42.0.1/32"]), with_allowed(update(2), &["10.42.0.2/32", "10.42.0.5/32"])];
        assert_eq!(steady(&observed, &wish), expected);
    }

    #[test]
    fn an_address_moves_to_a_new_peer_after_the_old_one_gave_it_up() {
        let observed = device(vec![peer(2, "192.0.2.2:1", &["10.42.0.1/32"])]);
        let wish = [spec(1, "192.0.2.1:1", &["10.42.0.1/32"]), spec(2, "192.0.2.2:1", &["10.42.0.2/32"])];
        let expected = [with_allowed(update(2), &["10.42.0.2/32"]), Operation::Add(wish[0].clone())];
        assert_eq!(steady(&observed, &wish), expected);
    }

    #[test]
    fn an_address_that_two_claim_is_the_first_ones_and_stays_so() {
        let wish = [spec(1, "192.0.2.1:1", &["10.42.0.1/32"]), spec(2, "192.0.2.2:1", &["10.42.0.1/32"])];
        let settled = device(vec![peer(1, "192.0.2.1:1", &["10.42.0.1/32"]), peer(2, "192.0.2.2:1", &[])]);
        assert_eq!(steady(&settled, &wish), []);
        let stolen = device(vec![peer(1, "192.0.2.1:1", &[]), peer(2, "192.0.2.2:1", &["10.42.0.1/32"])]);
        let expected = [with_allowed(update(1), &["10.42.0.1/32"]), with_allowed(update(2), &[])];
        assert_eq!(steady(&stolen, &wish), expected);
    }

    #[test]
    fn a_prefix_that_is_too_long_is_left_out() {
        let wish = [spec(1, "192.0.2.1:1", &["10.42.0.1/33", "10.42.0.1/32", "fd00::1/129"])];
        assert_eq!(steady(&device(vec![]), &wish), [Operation::Add(spec(1, "192.0.2.1:1", &["10.42.0.1/32"]))]);
    }

    #[test]
    fn host_bits_are_cleared() {
        let cases = [
            ("10.42.7.9/16", "10.42.0.0/16"),
            ("10.42.7.9/32", "10.42.7.9/32"),
            ("10.42.7.9/0", "0.0.0.0/0"),
            ("fd12::1/64", "fd12::/64"),
            ("fd12::1/128", "fd12::1/128"),
            ("fd12::1/0", "::/0"),
        ];
        for (from, to) in cases {
            let (address, prefix) = net(from);
            assert_eq!(network(address, prefix), Some(net(to)), "{from}");
        }
    }

    #[test]
    fn a_device_that_took_every_operation_needs_none() {
        // A device in values: it applies operations as WireGuard does, the last writer of an address owns it.
        let mut observed = device(vec![
            peer(1, "192.0.2.1:1", &["10.42.0.1/32"]),
            peer(2, "192.0.2.2:1", &["10.42.0.2/32"]),
            peer(3, "192.0.2.3:1", &["10.42.0.3/32"]),
        ]);
        let wish = [
            spec(1, "192.0.2.1:1", &["10.42.0.2/32"]),
            spec(2, "192.0.2.2:1", &["10.42.0.1/32", "10.42.0.3/32"]),
            spec(4, "192.0.2.4:1", &["10.42.0.4/32"]),
        ];
        for operation in steady(&observed, &wish) {
            apply(&mut observed, operation);
        }
        assert_eq!(steady(&observed, &wish), []);
    }

    fn apply(observed: &mut Observed, operation: Operation) {
        match operation {
            Operation::Remove(gone) => observed.peers.retain(|peer| peer.key != gone),
            Operation::Add(spec) => {
                observed.peers.push(ObservedPeer {
                    key: spec.key,
                    endpoint: spec.endpoint,
                    allowed: vec![],
                    keepalive: spec.keepalive,
                    psk: spec.psk.clone(),
                    handshake: None,
                    rx: 0,
                    tx: 0,
                });
                own(observed, spec.key, &spec.allowed);
            }
            Operation::Update { key, allowed, .. } => own(observed, key, &allowed.unwrap_or_default()),
        }
    }

    fn own(observed: &mut Observed, owner: WgKey, networks: &[(IpAddr, u8)]) {
        for peer in &mut observed.peers {
            if peer.key == owner {
                peer.allowed = networks.to_vec();
            } else {
                peer.allowed.retain(|network| !networks.contains(network));
            }
        }
    }
}
