//! Which node holds which of the cluster's keys, and whether the next step of a change of them loses nobody.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use super::member::{Member, Status};
use crate::mesh::keyring::Fingerprint;
use crate::mesh::{Keyring, Record};

/// What gossip counted when it asked every node for its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Nodes that were asked.
    pub nodes: u64,
    /// Nodes that answered.
    pub answered: u64,
    /// On how many nodes each key is.
    pub held: BTreeMap<Fingerprint, u64>,
}

/// The keys of the whole cluster at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    count: Count,
    /// This node's keys, the one in use first.
    own: Vec<Fingerprint>,
    /// What the records of the nodes that answer gossip name, by node; those that have none are not here.
    named: BTreeMap<String, Vec<Fingerprint>>,
    /// Members that gossip does not hear.
    failed: Vec<String>,
}

/// Why a step would lose somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Gossip does not hear these members.
    Failed(Vec<String>),
    /// So many of so many nodes answered.
    Silent(u64, u64),
    /// So many of so many nodes hold the key.
    Held(u64, u64),
    /// The records of these nodes do not name the key.
    Unnamed(Vec<String>),
    /// These nodes use another one, by their records.
    Unused(Vec<String>),
    /// These nodes use the key, by their records.
    Used(Vec<String>),
}

impl Display for Obstacle {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let those = |nodes: &[String], one: &str, many: &str| {
            let verb = if nodes.len() == 1 { one } else { many };
            format!("{} {verb}", nodes.join(", "))
        };
        f.write_str(&match self {
            Obstacle::Failed(nodes) => format!("{} not answer gossip", those(nodes, "does", "do")),
            Obstacle::Silent(answered, nodes) => format!("{answered} of {nodes} nodes answered"),
            Obstacle::Held(held, nodes) => format!("{held} of {nodes} nodes hold it"),
            Obstacle::Unnamed(nodes) => {
                format!("{} not say that it is there (is node-agent up there?)", those(nodes, "does", "do"))
            }
            Obstacle::Unused(nodes) => {
                format!("{} another one (is node-agent up there?)", those(nodes, "uses", "use"))
            }
            Obstacle::Used(nodes) => format!("{} it", those(nodes, "uses", "use")),
        })
    }
}

impl Census {
    /// The census by what gossip counted, by this node's keyring, and by the records of the members.
    pub fn new(count: Count, keyring: &Keyring, members: &[Member]) -> Census {
        let record = |member: &Member| Record::read(&member.name, &member.tags, keyring).ok();
        let alive = members.iter().filter(|member| member.status == Status::Alive);
        let failed = members.iter().filter(|member| member.status == Status::Failed);
        let mut failed: Vec<String> = failed.map(|member| member.name.clone()).collect();
        failed.sort_unstable();
        Census {
            count,
            own: keyring.fingerprints(),
            named: alive.filter_map(|member| Some((member.name.clone(), record(member)?.keys))).collect(),
            failed,
        }
    }

    /// How many nodes were asked, and how many answered.
    pub fn nodes(&self) -> (u64, u64) {
        (self.count.nodes, self.count.answered)
    }

    /// The members that gossip does not hear.
    pub fn failed(&self) -> &[String] {
        &self.failed
    }

    /// The key that this node uses.
    pub fn primary(&self) -> Option<Fingerprint> {
        self.own.first().copied()
    }

    /// Every key that any node holds, this node's in the order of its keyring, then the others.
    pub fn keys(&self) -> Vec<Fingerprint> {
        let others = self.count.held.keys().filter(|key| !self.own.contains(key));
        self.own.iter().chain(others).copied().collect()
    }

    /// On how many nodes `key` is.
    pub fn held(&self, key: Fingerprint) -> u64 {
        self.count.held.get(&key).copied().unwrap_or(0)
    }

    /// How many nodes say in their records that they use `key`.
    pub fn used(&self, key: Fingerprint) -> usize {
        self.named.values().filter(|keys| keys.first() == Some(&key)).count()
    }

    /// Nothing, if every member is there and answers: what is done to all keys now is done to all of them.
    pub fn whole(&self) -> Result<(), Obstacle> {
        if !self.failed.is_empty() {
            return Err(Obstacle::Failed(self.failed.clone()));
        }
        self.answered()
    }

    fn answered(&self) -> Result<(), Obstacle> {
        let Count { nodes, answered, .. } = self.count;
        if answered < nodes { Err(Obstacle::Silent(answered, nodes)) } else { Ok(()) }
    }

    /// Nothing, if every node that is there holds `key`: a message that is sealed with it is lost on nobody.
    pub fn installed(&self, key: Fingerprint) -> Result<(), Obstacle> {
        self.answered()?;
        let (held, nodes) = (self.held(key), self.count.nodes);
        if held < nodes { Err(Obstacle::Held(held, nodes)) } else { Ok(()) }
    }

    /// Nothing, if every node that has a record names `key` in it: preshared keys can be made of it.
    pub fn announced(&self, key: Fingerprint) -> Result<(), Obstacle> {
        self.installed(key)?;
        self.every(|keys| keys.contains(&key), Obstacle::Unnamed)
    }

    /// Nothing, if every node that has a record uses `key`.
    pub fn in_use(&self, key: Fingerprint) -> Result<(), Obstacle> {
        self.installed(key)?;
        self.every(|keys| keys.first() == Some(&key), Obstacle::Unused)
    }

    /// Nothing, if no node uses `key`: it would be left with what the others cannot read.
    pub fn removable(&self, key: Fingerprint) -> Result<(), Obstacle> {
        self.every(|keys| keys.first() != Some(&key), Obstacle::Used)?;
        let own = self.primary() == Some(key);
        if own { Err(Obstacle::Used(vec!["this node".to_owned()])) } else { Ok(()) }
    }

    fn every(
        &self,
        holds: impl Fn(&[Fingerprint]) -> bool,
        obstacle: impl Fn(Vec<String>) -> Obstacle,
    ) -> Result<(), Obstacle> {
        let others: Vec<String> =
            self.named.iter().filter(|(_, keys)| !holds(keys)).map(|(name, _)| name.clone()).collect();
        if others.is_empty() { Ok(()) } else { Err(obstacle(others)) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Census, Count, Obstacle};
    use crate::cluster::member::tests::record;
    use crate::cluster::{Member, Status};
    use crate::mesh::keyring::Fingerprint;
    use crate::mesh::record::Tags;
    use crate::mesh::{Identity, Keyring, Record};

    fn ring(keys: &[u8]) -> Keyring {
        let keys: Vec<[u8; 32]> = keys.iter().map(|n| [*n; 32]).collect();
        Keyring::new(keys.iter().map(|key| &key[..]))
    }

    fn key(n: u8) -> Fingerprint {
        ring(&[n]).fingerprints()[0]
    }

    /// The member of this number with these keys; none of them: a `serf agent` without a record.
    fn member(n: u8, status: Status, keys: &[u8]) -> Member {
        let (name, identity, keyring) = (format!("node{n}"), Identity::from_seed(&[n; 32]), ring(keys));
        let record = Record { keys: keyring.fingerprints(), ..record(&identity, &name) };
        let tags = if keys.is_empty() { Tags::new() } else { record.tags(&identity, &keyring) };
        Member { name, addr: [192, 0, 2, n].into(), port: 7946, tags, status }
    }

    /// What node1 sees of a cluster of nodes with these keys, all of which answer.
    fn census(nodes: &[&[u8]]) -> Census {
        let mut count = Count { nodes: nodes.len() as u64, answered: nodes.len() as u64, ..Count::default() };
        for n in nodes.iter().copied().flatten() {
            *count.held.entry(key(*n)).or_default() += 1;
        }
        let all = nodes.iter().zip(1..);
        let members: Vec<Member> = all.map(|(keys, n)| member(n, Status::Alive, keys)).collect();
        Census::new(count, &ring(nodes[0]), &members)
    }

    fn names(nodes: &[&str]) -> Vec<String> {
        nodes.iter().map(|node| (*node).to_owned()).collect()
    }

    #[test]
    fn every_step_waits_for_the_last_node() {
        let said = |census: &Census| {
            [census.announced(key(2)), census.in_use(key(2)), census.removable(key(1))].map(Result::err)
        };
        let held = |held| Some(Obstacle::Held(held, 2));
        let used = |nodes: &[&str]| Some(Obstacle::Used(names(nodes)));
        let unused = |nodes: &[&str]| Some(Obstacle::Unused(names(nodes)));
        let old = census(&[&[1], &[1]]);
        assert_eq!(said(&old), [held(0), held(0), used(&["node1", "node2"])]);
        let half = census(&[&[1, 2], &[1]]);
        assert_eq!(said(&half), [held(1), held(1), used(&["node1", "node2"])]);
        let both = census(&[&[1, 2], &[1, 2]]);
        assert_eq!(said(&both), [None, unused(&["node1", "node2"]), used(&["node1", "node2"])]);
        let one = census(&[&[2, 1], &[1, 2]]);
        assert_eq!(said(&one), [None, unused(&["node2"]), used(&["node2"])]);
        let all = census(&[&[2, 1], &[2, 1]]);
        assert_eq!(said(&all), [None, None, None]);
        assert_eq!((all.held(key(1)), all.used(key(1)), all.used(key(2))), (2, 0, 2));
        assert_eq!((all.keys(), all.primary()), (vec![key(2), key(1)], Some(key(2))));
    }

    #[test]
    fn a_record_that_lags_holds_a_change_up_and_one_that_never_was_does_not() {
        let mut lagging = census(&[&[1, 2], &[1, 2], &[1, 2]]);
        lagging.named.insert("node3".to_owned(), vec![key(1)]);
        assert_eq!(lagging.announced(key(2)), Err(Obstacle::Unnamed(names(&["node3"]))));
        let count = Count { nodes: 2, answered: 2, held: [(key(1), 2), (key(2), 2)].into() };
        let members = [member(1, Status::Alive, &[2, 1]), member(2, Status::Alive, &[])];
        let serf = Census::new(count.clone(), &ring(&[2, 1]), &members);
        assert_eq!((serf.in_use(key(2)), serf.removable(key(1))), (Ok(()), Ok(())));
        let bare = Census::new(count, &ring(&[2, 1]), &[]);
        assert_eq!(bare.removable(key(2)), Err(Obstacle::Used(names(&["this node"]))));
    }

    #[test]
    fn who_does_not_answer_is_not_forgotten() {
        let count = Count { nodes: 2, answered: 2, held: [(key(1), 2)].into() };
        let members = [
            member(1, Status::Alive, &[1]),
            member(4, Status::Failed, &[1]),
            member(2, Status::Alive, &[1]),
            member(3, Status::Failed, &[1]),
            member(5, Status::Left, &[1]),
        ];
        let census = Census::new(count.clone(), &ring(&[1]), &members);
        assert_eq!(census.whole(), Err(Obstacle::Failed(names(&["node3", "node4"]))));
        assert_eq!(census.installed(key(1)), Ok(()));
        let census = Census::new(Count { answered: 1, ..count }, &ring(&[1]), &members[..1]);
        assert_eq!(
            (census.whole(), census.installed(key(1))),
            (Err(Obstacle::Silent(1, 2)), Err(Obstacle::Silent(1, 2)))
        );
    }

    #[test]
    fn obstacles_are_said() {
        let said = |obstacle: Obstacle| obstacle.to_string();
        assert_eq!(said(Obstacle::Failed(names(&["node3"]))), "node3 does not answer gossip");
        assert_eq!(said(Obstacle::Failed(names(&["node3", "node4"]))), "node3, node4 do not answer gossip");
        assert_eq!(said(Obstacle::Silent(2, 3)), "2 of 3 nodes answered");
        assert_eq!(said(Obstacle::Held(2, 3)), "2 of 3 nodes hold it");
        assert_eq!(
            said(Obstacle::Unnamed(names(&["node3"]))),
            "node3 does not say that it is there (is node-agent up there?)"
        );
        assert_eq!(said(Obstacle::Unused(names(&["node3"]))), "node3 uses another one (is node-agent up there?)");
        assert_eq!(said(Obstacle::Used(names(&["node1", "node2"]))), "node1, node2 use it");
    }
}
