//! What every agent of a cluster believes, from moment to moment.

use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::client::{Client, Member};
use crate::cluster::Agent;

/// How often an agent is asked.
const INTERVAL: Duration = Duration::from_secs(1);

type Members = BTreeMap<String, Member>;

/// What one agent showed.
#[derive(Default)]
struct View {
    /// What it showed and from when on.
    changes: Vec<(Instant, Members)>,
    last: Option<Instant>,
    /// The longest time without an answer.
    gap: Duration,
}

/// A time for which one agent did not believe another to be alive.
pub struct Doubt {
    pub of: String,
    pub by: String,
    pub since: Instant,
    pub lasted: Duration,
}

/// The views of all agents of a cluster; they are asked until this is dropped.
pub struct Views {
    seen: Arc<Mutex<BTreeMap<String, View>>>,
    /// Nothing is ever sent: the threads end when these go.
    stop: Vec<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Views {
    pub fn of(agents: &[Agent]) -> Views {
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let (mut stop, mut threads) = (Vec::new(), Vec::new());
        for agent in agents {
            seen.lock().expect("whole").insert(agent.name.clone(), View::default());
            let (sender, stopped) = channel();
            stop.push(sender);
            let seen = seen.clone();
            let (name, rpc) = (agent.name.clone(), agent.rpc.clone());
            threads.push(thread::spawn(move || {
                let mut client = None;
                loop {
                    client = client.or_else(|| Client::connect(&rpc));
                    match client.as_mut().and_then(Client::members) {
                        Some(members) => seen.lock().expect("whole").entry(name.clone()).or_default().add(members),
                        None => client = None,
                    }
                    if stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                }
            }));
        }
        Views { seen, stop, threads }
    }

    /// Whether every agent shows every one with the status that `wanted` says, given who looks and at whom.
    pub fn are(&self, wanted: impl Fn(&str, &str) -> &'static str) -> bool {
        let seen = self.seen.lock().expect("whole");
        seen.iter().all(|(by, view)| {
            let members = view.changes.last().map(|(_, members)| members);
            seen.keys().all(|of| {
                members.and_then(|members| members.get(of)).is_some_and(|member| member.status == wanted(by, of))
            })
        })
    }

    /// Whether every agent shows the same, that many members and nobody but the living.
    pub fn agree(&self, count: usize) -> bool {
        let seen = self.seen.lock().expect("whole");
        let mut last = seen.values().map(|view| view.changes.last().map(|(_, members)| members));
        let Some(Some(first)) = last.next() else { return false };
        let well = first.len() == count && first.values().all(|member| member.status == "alive");
        well && last.all(|members| members == Some(first))
    }

    /// Every time for which somebody was not believed to be alive, from then on.
    pub fn doubts(&self, from: Instant) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        let seen = self.seen.lock().expect("whole");
        for (by, view) in seen.iter() {
            for of in seen.keys() {
                let mut since = None;
                for (at, members) in &view.changes {
                    let alive = members.get(of).is_some_and(|member| member.status == "alive");
                    match (alive, since) {
                        (false, None) => since = Some(*at),
                        (true, Some(began)) => {
                            doubts.push(Doubt { of: of.clone(), by: by.clone(), since: began, lasted: *at - began });
                            since = None;
                        }
                        (false, Some(_)) | (true, None) => {}
                    }
                }
                if let Some(since) = since {
                    let lasted = Instant::now() - since;
                    doubts.push(Doubt { of: of.clone(), by: by.clone(), since, lasted });
                }
            }
        }
        doubts.retain(|doubt| doubt.since >= from);
        doubts.sort_by_key(|doubt| doubt.since);
        doubts
    }

    /// For how long the agent that was heard the longest ago was not.
    pub fn silence(&self) -> Duration {
        let seen = self.seen.lock().expect("whole");
        seen.values().filter_map(|view| view.last).map(|last| last.elapsed()).max().unwrap_or_default()
    }

    /// The longest time for which an agent was not heard.
    pub fn gap(&self) -> Duration {
        self.seen.lock().expect("whole").values().map(|view| view.gap).max().unwrap_or_default()
    }
}

impl View {
    fn add(&mut self, members: Members) {
        let now = Instant::now();
        self.gap = self.gap.max(self.last.map_or(Duration::ZERO, |last| now - last));
        self.last = Some(now);
        if self.changes.last().is_none_or(|(_, last)| *last != members) {
            self.changes.push((now, members));
        }
    }
}

impl Drop for Views {
    fn drop(&mut self) {
        self.stop.clear();
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}
