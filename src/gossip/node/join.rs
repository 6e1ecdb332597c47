//! Joins that are under way: targets become addresses, addresses exchanges.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use super::event::{Link, Lookup};

/// So many exchanges of one join run at a time.
const AT_ONCE: usize = 8;
/// So many addresses of a join are tried.
const ADDRESSES: usize = 1024;

/// Who wants a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client, who waits for the answer.
    Client(Link),
    /// The start: it must work.
    Start,
    /// The seeds, which are tried again.
    Seeds,
}

/// Names a join.
pub type JoinId = u64;

/// An address that is to be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The join.
    pub join: JoinId,
    /// Which of its targets.
    pub target: usize,
    /// The address.
    pub to: SocketAddr,
}

/// What came of a whole join.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Who wanted it.
    pub origin: Origin,
    /// How many answered.
    pub joined: usize,
    /// What went wrong with the others, in Go's words; empty if somebody answered.
    pub error: String,
}

#[derive(Debug)]
struct Join {
    origin: Origin,
    /// Addresses to be tried.
    waiting: VecDeque<(usize, SocketAddr)>,
    /// Hosts that are looked up.
    lookups: usize,
    running: usize,
    joined: usize,
    errors: Vec<(usize, String)>,
}

/// All joins.
#[derive(Debug, Default)]
pub struct Joins {
    joins: BTreeMap<JoinId, Join>,
    lookups: BTreeMap<Lookup, (JoinId, usize, String)>,
    last: u64,
}

impl Joins {
    /// Begins a join through these; answers what is to be looked up. Without targets it is over at once.
    pub fn begin(&mut self, origin: Origin, targets: &[String], port: u16) -> (JoinId, Vec<(Lookup, String, u16)>) {
        self.last += 1;
        let id = self.last;
        let mut join = Join { origin, waiting: VecDeque::new(), lookups: 0, running: 0, joined: 0, errors: Vec::new() };
        let mut asked = Vec::new();
        for (at, target) in targets.iter().enumerate().take(ADDRESSES) {
            match host(target, port) {
                Some((host, port)) => {
                    self.last += 1;
                    let lookup = Lookup(self.last);
                    self.lookups.insert(lookup, (id, at, target.clone()));
                    join.lookups += 1;
                    asked.push((lookup, host, port));
                }
                None => join.errors.push((at, format!("Failed to resolve {target}: it is no host"))),
            }
        }
        self.joins.insert(id, join);
        (id, asked)
    }

    /// A host was looked up.
    pub fn found(&mut self, lookup: Lookup, found: Result<Vec<SocketAddr>, String>) -> Option<JoinId> {
        let (id, at, target) = self.lookups.remove(&lookup)?;
        let join = self.joins.get_mut(&id)?;
        join.lookups -= 1;
        match found {
            Ok(addresses) => {
                let mut addresses: Vec<_> = addresses.into_iter().map(canonical).collect();
                addresses.dedup();
                let room = ADDRESSES.saturating_sub(join.waiting.len());
                join.waiting.extend(addresses.into_iter().take(room).map(|address| (at, address)));
            }
            Err(cause) => join.errors.push((at, format!("Failed to resolve {target}: {cause}"))),
        }
        Some(id)
    }

    /// The next address of a join to try.
    pub fn attempt(&mut self, id: JoinId) -> Option<Attempt> {
        let join = self.joins.get_mut(&id).filter(|join| join.running < AT_ONCE)?;
        let (target, to) = join.waiting.pop_front()?;
        join.running += 1;
        Some(Attempt { join: id, target, to })
    }

    /// What came of an attempt.
    pub fn tried(&mut self, attempt: Attempt, result: Result<(), String>) {
        let Some(join) = self.joins.get_mut(&attempt.join) else { return };
        join.running -= 1;
        match result {
            Ok(()) => join.joined += 1,
            Err(cause) => {
                join.errors.push((attempt.target, format!("Failed to join {}: {cause}", attempt.to.ip())));
            }
        }
    }

    /// What came of a join, if it is over.
    pub fn outcome(&mut self, id: JoinId) -> Option<Outcome> {
        let over = |join: &&Join| join.lookups == 0 && join.running == 0 && join.waiting.is_empty();
        self.joins.get(&id).filter(over)?;
        let mut join = self.joins.remove(&id)?;
        join.errors.sort_by_key(|(at, _)| *at);
        let error = if join.joined > 0 { String::new() } else { several(&join.errors) };
        Some(Outcome { origin: join.origin, joined: join.joined, error })
    }

    /// Whether any is under way.
    pub fn is_empty(&self) -> bool {
        self.joins.is_empty()
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Errors as Go's multi-error shows them.
fn several(errors: &[(usize, String)]) -> String {
    let count = match errors.len() {
        0 => return String::new(),
        1 => "1 error occurred".to_owned(),
        count => format!("{count} errors occurred"),
    };
    let lines: String = errors.iter().map(|(_, error)| format!("\t* {error}\n")).collect();
    format!("{count}:\n{lines}\n")
}

/// Host and port of `[NAME/]HOST[:PORT]`.
fn host(target: &str, port: u16) -> Option<(String, u16)> {
    let target = target.rsplit_once('/').map_or(target, |(_, rest)| rest);
    if let Ok(address) = target.parse::<SocketAddr>() {
        return Some((address.ip().to_string(), address.port()));
    }
    let bare = target.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(target);
    if bare.parse::<std::net::IpAddr>().is_ok() {
        return Some((bare.to_owned(), port));
    }
    let (host, port) = match target.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (target, port),
    };
    let fits = |letter: char| !letter.is_whitespace() && !letter.is_control() && letter != ':';
    (!host.is_empty() && host.len() < 256 && host.chars().all(fits)).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::{Attempt, Joins, Origin, Outcome, host};

    #[test]
    fn a_target_is_a_host_with_or_without_a_port() {
        let at = |target: &str| host(target, 7946).map(|(host, port)| format!("{host} {port}"));
        for (target, found) in [
            ("10.0.0.1", "10.0.0.1 7946"),
            ("10.0.0.1:1", "10.0.0.1 1"),
            ("seed.example:1", "seed.example 1"),
            ("seed", "seed 7946"),
            ("::1", "::1 7946"),
            ("[::1]:1", "::1 1"),
            ("name/10.0.0.1:1", "10.0.0.1 1"),
        ] {
            assert_eq!(at(target).as_deref(), Some(found));
        }
        for target in ["", ":1", "a:b", "a b", "a:70000", "a:b:1"] {
            assert_eq!(at(target), None, "{target}");
        }
    }

    #[test]
    fn one_that_answers_is_enough_and_errors_are_gos() {
        for (works, error) in [
            (true, ""),
            (
                false,
                "3 errors occurred:\n\t* Failed to resolve nowhere: lookup nowhere: no such host\n\
                 \t* Failed to join 127.0.0.1: dial tcp 127.0.0.1:1: connect: connection refused\n\
                 \t* Failed to resolve x y: it is no host\n\n",
            ),
        ] {
            let mut joins = Joins::default();
            let targets = ["nowhere", "127.0.0.1:1", "x y"].map(str::to_owned);
            let (id, asked) = joins.begin(Origin::Start, &targets, 7946);
            assert_eq!((asked.len(), joins.outcome(id)), (2, None));
            joins.found(asked[1].0, Ok(vec!["127.0.0.1:1".parse().unwrap()]));
            joins.found(asked[0].0, Err("lookup nowhere: no such host".to_owned()));
            let attempt = joins.attempt(id).unwrap();
            assert_eq!(attempt, Attempt { join: id, target: 1, to: "127.0.0.1:1".parse().unwrap() });
            assert_eq!((joins.attempt(id), joins.outcome(id)), (None, None));
            let refused = Err("dial tcp 127.0.0.1:1: connect: connection refused".to_owned());
            joins.tried(attempt, if works { Ok(()) } else { refused });
            let joined = usize::from(works);
            assert_eq!(joins.outcome(id), Some(Outcome { origin: Origin::Start, joined, error: error.to_owned() }));
            assert!(joins.is_empty());
        }
    }

    #[test]
    fn a_join_through_nobody_is_over() {
        let mut joins = Joins::default();
        let (id, asked) = joins.begin(Origin::Seeds, &[], 1);
        assert!(asked.is_empty());
        assert_eq!(joins.outcome(id).map(|outcome| outcome.joined), Some(0));
    }
}
