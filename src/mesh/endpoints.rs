//! Where a peer may be reached, and which of these places its tunnel tries now.
//!
//! A device has one endpoint for each peer. While a session lives that is where the peer was last heard, by WireGuard's own
//! proof, and nothing that anybody announces changes it. While none does, the places are tried in turn.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::peers::{ObservedPeer, WgKey};
use super::runs::Runs;

/// A session is dead this many seconds after its last handshake (WireGuard's Reject-After-Time).
pub const STALE: u64 = 180;

/// A place is tried this many seconds: WireGuard sends a handshake every five, so two of them.
pub const TURN: u64 = 10;

/// After so many turns each takes [`LONG_TURN`]: a peer that is gone for hours is no reason to wake up often.
const TURNS: u32 = 30;

/// As often as a device is looked at without any reason, in seconds.
const LONG_TURN: u64 = 60;

/// Where a peer may be reached, by what was announced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// What it says itself, under its signature.
    pub signed: Vec<SocketAddr>,
    /// Where gossip shows it, which whoever has the cluster's key can change; none if nothing could be sent there.
    pub shown: Option<SocketAddr>,
}

impl Announced {
    /// The place that is tried first.
    pub fn first(&self) -> Option<SocketAddr> {
        self.signed.first().copied().or(self.shown)
    }

    /// Each place once, in the order in which they are tried; `heard` is where WireGuard heard it last.
    fn places(&self, heard: Option<SocketAddr>) -> Vec<SocketAddr> {
        let mut places = Vec::new();
        for place in self.signed.iter().copied().chain(heard).chain(self.shown) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }
}

/// What was tried to reach each peer. It is lost with the program that has it, and then it begins anew.
#[derive(Clone, Debug, Default)]
pub struct Trials(BTreeMap<WgKey, Trial>);

#[derive(Clone, Debug, Default)]
struct Trial {
    announced: Announced,
    /// Where it was heard while its last session lived.
    heard: Option<SocketAddr>,
    /// Since when the place that the device has is tried, in seconds since 1970; none while a session lives.
    since: Option<u64>,
    turns: u32,
    /// In which run its host is.
    runs: Runs,
}

impl Trials {
    /// Takes what is announced of every peer; those that are not among them are forgotten.
    pub fn announce(&mut self, announced: impl IntoIterator<Item = (WgKey, Announced)>) {
        let mut before = std::mem::take(&mut self.0);
        self.0 = announced
            .into_iter()
            .map(|(key, announced)| (key, Trial { announced, ..before.remove(&key).unwrap_or_default() }))
            .collect();
    }

    /// Takes the run that a peer's signed record names at `now`, in seconds since 1970. Who is not announced is left out.
    pub fn hear(&mut self, runs: impl IntoIterator<Item = (WgKey, u32)>, now: u64) {
        for (key, run) in runs {
            if let Some(trial) = self.0.get_mut(&key) {
                trial.runs.hear(run, now);
            }
        }
    }

    /// The device is given the peer.
    pub(super) fn begin(&mut self, key: &WgKey) {
        if let Some(trial) = self.0.get_mut(key) {
            trial.runs.begin();
        }
    }

    /// Whether `peer` must be removed and added again, because its host started anew: once for each start. Its places are tried from the
    /// first one on, then.
    pub(super) fn ended(&mut self, peer: &ObservedPeer, now: u64) -> bool {
        let Some(trial) = self.0.get_mut(&peer.key) else { return false };
        let ended = trial.runs.ended(peer, now);
        if ended {
            (trial.since, trial.turns) = (None, 0);
        }
        ended
    }

    /// Whether there is another place to be tried in at most [`TURN`] seconds.
    pub fn pending(&self) -> bool {
        let waits = |trial: &Trial| trial.since.is_some() && trial.turns < TURNS;
        self.0.values().any(|trial| waits(trial) && trial.announced.places(trial.heard).len() > 1)
    }

    /// Whether `peer` is heard, but nowhere where it says that it is.
    pub(super) fn translated(&self, peer: &ObservedPeer, now: u64) -> bool {
        let announced = self.0.get(&peer.key).map(|trial| &trial.announced);
        let told = announced.filter(|announced| **announced != Announced::default());
        lives(peer, now) && told.is_some_and(|told| peer.endpoint.is_some_and(|at| !told.places(None).contains(&at)))
    }

    /// The endpoint to write for `peer` by `now`, in seconds since 1970; none if it shall stay as it is. `otherwise` is where
    /// it is if nothing was announced of it here.
    pub(super) fn choose(
        &mut self,
        peer: &ObservedPeer,
        otherwise: Option<SocketAddr>,
        now: u64,
    ) -> Option<SocketAddr> {
        let trial = self.0.entry(peer.key).or_default();
        if lives(peer, now) {
            (trial.heard, trial.since, trial.turns) = (peer.endpoint, None, 0);
        }
        let mut places = trial.announced.places(trial.heard);
        if trial.announced == Announced::default() {
            places.extend(otherwise.filter(|place| !places.contains(place)));
        }
        if lives(peer, now) && peer.endpoint.is_some() {
            return None;
        }
        let tried = places.iter().position(|place| Some(*place) == peer.endpoint);
        let turn = if trial.turns < TURNS { TURN } else { LONG_TURN };
        let next = match (trial.since, tried) {
            (Some(since), Some(_)) if now.abs_diff(since) < turn => return None,
            (Some(_), Some(tried)) => {
                trial.turns = trial.turns.saturating_add(1);
                places.get(tried + 1)
            }
            // It has just become silent, or the device has what nobody says any more.
            (None, _) | (Some(_), None) => None,
        };
        trial.since = Some(now);
        next.or(places.first()).copied().filter(|place| Some(*place) != peer.endpoint)
    }
}

/// Whether a session of `peer` lives at `now`, in seconds since 1970. A handshake in the future is no sign of one.
pub fn lives(peer: &ObservedPeer, now: u64) -> bool {
    peer.handshake.is_some_and(|at| at.abs_diff(now) <= STALE)
}

#[cfg(test)]
mod tests {
    use super::{Announced, LONG_TURN, ObservedPeer, STALE, TURN, TURNS, Trials};
    use crate::mesh::keyring::Psk;
    use crate::mesh::peers::WgKey;
    use std::net::SocketAddr;

    const NOW: u64 = 1_800_000_000;
    const KEY: WgKey = WgKey([1; 32]);

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn announced(signed: &[&str], shown: &str) -> Announced {
        Announced { signed: signed.iter().map(|place| at(place)).collect(), shown: Some(at(shown)) }
    }

    fn trials(announced: Announced) -> Trials {
        let mut trials = Trials::default();
        trials.announce([(KEY, announced)]);
        trials
    }

    fn peer(endpoint: &str, handshake: Option<u64>) -> ObservedPeer {
        ObservedPeer {
            key: KEY,
            endpoint: Some(at(endpoint)),
            allowed: Vec::new(),
            keepalive: 0,
            psk: Psk::none(),
            handshake,
            rx: 0,
            tx: 0,
        }
    }

    /// Where the endpoint of a peer that is never heard is put, by time, looked at every second.
    fn tour(trials: &mut Trials, mut peer: ObservedPeer, seconds: u64) -> Vec<(u64, String)> {
        let mut tour = Vec::new();
        for second in 0..seconds {
            if let Some(place) = trials.choose(&peer, None, NOW + second) {
                peer.endpoint = Some(place);
                tour.push((second, place.to_string()));
            }
        }
        tour
    }

    #[test]
    fn what_is_announced_never_moves_a_live_session() {
        let mut trials = trials(announced(&["192.0.2.1:51820"], "192.0.2.1:51820"));
        let roamed = peer("198.51.100.7:40000", Some(NOW - STALE));
        assert_eq!(trials.choose(&roamed, None, NOW), None);
        // Whoever has the cluster's key, and the node itself, may announce what they like.
        for elsewhere in
            [announced(&["192.0.2.1:51820"], "203.0.113.66:51820"), announced(&["192.0.2.9:1"], "192.0.2.9:1")]
        {
            trials.announce([(KEY, elsewhere)]);
            assert_eq!(trials.choose(&roamed, Some(at("192.0.2.9:1")), NOW), None);
        }
        assert!(!trials.pending());
    }

    #[test]
    fn the_signed_ones_come_first_and_each_has_its_turn() {
        let mut trials = trials(announced(&["192.0.2.1:1", "192.0.2.2:2"], "203.0.113.66:1"));
        let heard = peer("198.51.100.7:40000", Some(NOW - 10));
        assert_eq!(trials.choose(&heard, None, NOW), None);
        let silent = peer("198.51.100.7:40000", Some(NOW - STALE - 1));
        let expected = [
            (0, "192.0.2.1:1"),
            (TURN, "192.0.2.2:2"),
            (2 * TURN, "198.51.100.7:40000"),
            (3 * TURN, "203.0.113.66:1"),
            (4 * TURN, "192.0.2.1:1"),
        ];
        let tour = tour(&mut trials, silent, 4 * TURN + 1);
        assert_eq!(tour, expected.map(|(second, place)| (second, place.to_owned())));
        assert!(trials.pending());
        // One handshake, and it stays where it is.
        assert_eq!(trials.choose(&peer("203.0.113.66:1", Some(NOW + 41)), None, NOW + 41), None);
        assert!(!trials.pending());
    }

    #[test]
    fn with_one_place_there_is_nothing_to_do() {
        let mut trials = trials(announced(&["192.0.2.1:1"], "192.0.2.1:1"));
        assert_eq!(tour(&mut trials, peer("192.0.2.1:1", None), 1000), []);
        assert!(!trials.pending());
        // What nobody announces is put right.
        assert_eq!(tour(&mut trials, peer("10.42.0.9:1", None), 100), [(0, "192.0.2.1:1".to_owned())]);
    }

    #[test]
    fn a_place_that_is_new_is_tried_at_once_where_the_old_one_is_gone() {
        let mut trials = trials(announced(&["192.0.2.1:1"], "192.0.2.1:1"));
        let silent = peer("192.0.2.1:1", Some(NOW - 1000));
        assert_eq!(trials.choose(&silent, None, NOW), None);
        trials.announce([(KEY, announced(&["192.0.2.9:1"], "192.0.2.9:1"))]);
        assert_eq!(trials.choose(&silent, None, NOW + 1), Some(at("192.0.2.9:1")));
    }

    #[test]
    fn who_is_silent_for_long_is_tried_less_often() {
        let mut trials = trials(announced(&["192.0.2.1:1"], "192.0.2.2:1"));
        let tour = tour(&mut trials, peer("192.0.2.1:1", None), TURN * u64::from(TURNS) + 10 * LONG_TURN);
        let last: Vec<u64> = tour.iter().rev().take(5).map(|(second, _)| *second).collect();
        assert!(last.windows(2).all(|pair| pair[0] - pair[1] == LONG_TURN), "{last:?}");
        assert!(!trials.pending());
    }

    #[test]
    fn without_an_announcement_the_wish_counts() {
        let mut none = Trials::default();
        let mut mute = peer("192.0.2.1:1", None);
        mute.endpoint = None;
        assert_eq!(none.choose(&mute, Some(at("192.0.2.1:1")), NOW), Some(at("192.0.2.1:1")));
        assert_eq!(none.choose(&mute, None, NOW), None);
        // A clock that is set back makes nobody wait for it.
        let mut silent = trials(announced(&["192.0.2.1:1"], "192.0.2.2:1"));
        assert_eq!(silent.choose(&peer("192.0.2.1:1", None), None, NOW), None);
        assert_eq!(silent.choose(&peer("192.0.2.1:1", None), None, NOW - 86_400), Some(at("192.0.2.2:1")));
    }
}
