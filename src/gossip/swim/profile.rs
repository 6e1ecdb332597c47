//! How eager a node is: memberlist's three sets of numbers (section 2.1).

use std::time::Duration;

/// The numbers of the protocol. All nodes of a cluster are meant to have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// How long a stream may take as a whole.
    pub stream_timeout: Duration,
    /// How many others are asked to ping a node that is silent.
    pub indirect_checks: usize,
    /// How often a message is sent, times the digits of the number of nodes.
    pub retransmit_multiplier: u32,
    /// How many probe intervals a suspicion lasts at least, times the logarithm of the number of nodes.
    pub suspicion_multiplier: u32,
    /// How many times longer than that a suspicion lasts that nobody confirms.
    pub suspicion_max_multiplier: u32,
    /// How often everything is exchanged with one other, in a cluster of up to 32.
    pub push_pull_interval: Duration,
    /// How long an answer may take before others are asked.
    pub probe_timeout: Duration,
    /// How often one other is probed.
    pub probe_interval: Duration,
    /// One more than the highest score of [`super::Awareness`].
    pub awareness_limit: u32,
    /// To how many others news go at once.
    pub gossip_nodes: usize,
    /// How often news go.
    pub gossip_interval: Duration,
    /// How long the dead hear news, so that they can object.
    pub gossip_to_the_dead: Duration,
    /// How long a node must be dead before its name may come back with another address; never, if nothing.
    pub reclaim: Option<Duration>,
}

/// For a local network: the default.
pub const LAN: Profile = Profile {
    stream_timeout: Duration::from_secs(10),
    indirect_checks: 3,
    retransmit_multiplier: 4,
    suspicion_multiplier: 4,
    suspicion_max_multiplier: 6,
    push_pull_interval: Duration::from_secs(30),
    probe_timeout: Duration::from_millis(500),
    probe_interval: Duration::from_secs(1),
    awareness_limit: 8,
    gossip_nodes: 3,
    gossip_interval: Duration::from_millis(200),
    gossip_to_the_dead: Duration::from_secs(30),
    // Serf: never, so that who lost its power and came back at another address stayed out for a day. In the simulation nobody who was
    // wrongly held dead, with a fifth of all datagrams lost, was so for more than 6 s.
    reclaim: Some(Duration::from_secs(10)),
};

/// For networks that are far apart.
pub const WAN: Profile = Profile {
    stream_timeout: Duration::from_secs(30),
    suspicion_multiplier: 6,
    push_pull_interval: Duration::from_secs(60),
    probe_timeout: Duration::from_secs(3),
    probe_interval: Duration::from_secs(5),
    gossip_nodes: 4,
    gossip_interval: Duration::from_millis(500),
    gossip_to_the_dead: Duration::from_secs(60),
    reclaim: Some(Duration::from_secs(30)),
    ..LAN
};

/// For one host.
pub const LOCAL: Profile = Profile {
    stream_timeout: Duration::from_secs(1),
    indirect_checks: 1,
    retransmit_multiplier: 2,
    suspicion_multiplier: 3,
    push_pull_interval: Duration::from_secs(15),
    probe_timeout: Duration::from_millis(200),
    gossip_interval: Duration::from_millis(100),
    gossip_to_the_dead: Duration::from_secs(15),
    ..LAN
};

impl Profile {
    /// The profile of this name: `lan`, `wan` or `local`.
    pub fn named(name: &str) -> Option<Profile> {
        match name {
            "lan" => Some(LAN),
            "wan" => Some(WAN),
            "local" => Some(LOCAL),
            _ => None,
        }
    }

    /// How often everything is exchanged with one other in a cluster of `nodes` (section 2.7).
    pub fn push_pull_every(&self, nodes: usize) -> Duration {
        if nodes <= 32 {
            return self.push_pull_interval;
        }
        // ceil(log2(nodes)) - 5, and one more.
        let doublings = (nodes - 1).ilog2() + 1 - 5;
        self.push_pull_interval * (doublings + 1)
    }

    /// The shortest a suspicion lasts in a cluster of `nodes` (section 2.4).
    pub fn suspicion_min(&self, nodes: usize) -> Duration {
        let scale = (nodes.max(1) as f64).log10().max(1.0);
        self.probe_interval * self.suspicion_multiplier * (scale * 1000.0) as u32 / 1000
    }

    /// The longest a suspicion lasts in a cluster of `nodes` (section 2.4).
    pub fn suspicion_max(&self, nodes: usize) -> Duration {
        self.suspicion_min(nodes) * self.suspicion_max_multiplier
    }

    /// How many must confirm a suspicion for it to last the shortest, in a cluster of `nodes` (section 2.4).
    pub fn confirmations(&self, nodes: usize) -> u32 {
        let wanted = self.suspicion_multiplier.saturating_sub(2);
        if nodes.saturating_sub(2) < wanted as usize { 0 } else { wanted }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LAN, LOCAL, Profile, WAN};

    #[test]
    fn the_interval_of_push_pull_grows_with_the_cluster_2_7() {
        for (nodes, times) in [(1, 1), (32, 1), (33, 2), (64, 2), (65, 3), (128, 3), (129, 4), (1000, 6), (10_000, 10)]
        {
            assert_eq!(LAN.push_pull_every(nodes), LAN.push_pull_interval * times, "{nodes}");
        }
    }

    #[test]
    fn a_suspicion_lasts_longer_in_a_larger_cluster_2_4() {
        for (nodes, min) in [(0, 4_000), (1, 4_000), (10, 4_000), (11, 4_164), (100, 8_000), (1000, 12_000)] {
            assert_eq!(LAN.suspicion_min(nodes), Duration::from_millis(min), "{nodes}");
            assert_eq!(LAN.suspicion_max(nodes), Duration::from_millis(min * 6), "{nodes}");
        }
        assert_eq!(WAN.suspicion_min(10), Duration::from_secs(30));
        assert_eq!(LOCAL.suspicion_min(10), Duration::from_secs(3));
    }

    #[test]
    fn few_nodes_cannot_confirm_2_4() {
        assert_eq!([2, 3, 4, 100].map(|nodes| LAN.confirmations(nodes)), [0, 0, 2, 2]);
        assert_eq!([4, 5, 6].map(|nodes| WAN.confirmations(nodes)), [0, 0, 4]);
        assert_eq!([2, 3].map(|nodes| LOCAL.confirmations(nodes)), [0, 1]);
    }

    #[test]
    fn a_profile_has_a_name_2_1() {
        assert_eq!(["lan", "wan", "local", "moon"].map(Profile::named), [Some(LAN), Some(WAN), Some(LOCAL), None]);
    }
}
