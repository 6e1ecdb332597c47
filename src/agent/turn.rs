//! `node-agent start`: the loop. It waits in one place for gossip, for the link, for a look that is due or for the end,
//! and then brings the device from what it is to what the roster says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use log::{Level, info, log, warn};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::files::{self, Place};
use super::interface::Interface;
use super::node::{self, Node};
use super::paths::Paths;
use super::report::Document;
use super::wg::{self, Changes, Mode, Settings};
use super::{Failure, clock, gossip, hosts, init, k3s, keyring, notify, seeds, serf, underlay};
use crate::cluster::{Local, Member, Roster};
use crate::mesh::endpoints::TURN;
use crate::mesh::record::Tags;

/// The first look after a change, and the last of a doubling sequence: a device is looked at often while things happen,
/// and once a minute when nothing does.
const SOON: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(60);
/// A device that is not there yet is looked for this often; the link's own events come first.
const FIRST_SEARCH: Duration = Duration::from_millis(200);
const LAST_SEARCH: Duration = Duration::from_secs(5);

/// After a look the device is left alone for so many times as long as that took, whatever happens to its link; and for so many
/// if nothing does.
const REST: u32 = 2;
const LONG_REST: u32 = 10;

/// A device in user space that does not answer for this long is stopped, or hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs until TERM or INT.
pub fn start(paths: &Paths) -> Result<(), Failure> {
    let mut node = Node::load(paths)?;
    let failed = |error: std::io::Error| Failure::internal(format!("unable to start: {error}; trying again"));
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let ended = loop {
        match runtime.block_on(run(paths, &mut node)) {
            Ok(None) => break Ok(()),
            Ok(Some(taken)) => match init::relocate(paths, node, &taken) {
                Ok(moved) => node = moved,
                Err(failure) => break Err(failure),
            },
            Err(error) => break Err(failed(error)),
        }
    };
    // A join that still waits for an answer must not hold up the end.
    runtime.shutdown_background();
    ended
}

/// Runs until the end is asked for, or until this node must move; then it answers with the addresses that are taken.
async fn run(paths: &Paths, node: &mut Node) -> std::io::Result<Option<BTreeSet<Ipv4Addr>>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (out, mut memberships) = mpsc::channel(1);
    let interface = node.config.networking.interface.clone();
    let mut keys = keyring::Watch::new(&paths.keyring());
    let mut agent = Agent::new(paths, node, &interface);
    tokio::spawn(gossip::follow(agent.own(), out));
    agent.listen();
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            membership = memberships.recv() => match membership {
                Some(members) => {
                    agent.hear(members);
                    if let Some(taken) = agent.roster.lost() {
                        return Ok(Some(taken));
                    }
                }
                None => return Err(std::io::Error::other("the task that follows gossip ended")),
            },
            subscribed = next(&mut agent.changes) => {
                if !subscribed {
                    agent.listen();
                }
                agent.look_soon();
            }
            () = keys.changed() => {}
            () = sleep_until(agent.due) => {}
        }
        // A device that hangs must not hold up the end.
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = agent.turn() => {}
        }
    }
    agent.clock.end();
    info!("ending; the tunnels stay as they are");
    Ok(None)
}

/// Waits for the link; for ever if nothing tells of it.
async fn next(changes: &mut Option<Changes>) -> bool {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}

struct Agent<'a> {
    paths: &'a Paths,
    node: &'a mut Node,
    interface: &'a str,
    local: Local,
    /// What gossip is to say of this node.
    tags: watch::Sender<Tags>,
    roster: Roster,
    members: Option<Vec<Member>>,
    targets: Vec<String>,
    /// Since when each peer is one, by name, in seconds since 1970.
    since: BTreeMap<String, u64>,
    settings: Settings,
    link: Interface,
    changes: Option<Changes>,
    /// When the device is looked at next, and how long after that again; not before it was left alone for long enough.
    due: Instant,
    pause: Duration,
    rested: Instant,
    ready: bool,
    names: hosts::Names,
    /// Whether the names in `/etc/hosts` may be others than the roster's.
    unnamed: bool,
    /// Whether k3s was seen to after this address was on the link.
    settled: bool,
    /// What was complained about last, so that it is said once.
    complaint: String,
    keys: keyring::Source,
    status: String,
    written: String,
    clock: clock::Keeper,
}

impl<'a> Agent<'a> {
    fn new(paths: &'a Paths, node: &'a mut Node, interface: &'a str) -> Agent<'a> {
        let local = node.local();
        Agent {
            paths,
            interface,
            tags: watch::Sender::new(node.tags()),
            targets: init::targets(paths, node),
            settings: Settings::of(node),
            node,
            roster: Roster::new(local.clone()),
            local,
            members: None,
            since: BTreeMap::new(),
            link: Interface::default(),
            changes: None,
            due: Instant::now(),
            pause: SOON,
            rested: Instant::now(),
            ready: false,
            names: hosts::Names::default(),
            unnamed: true,
            settled: false,
            complaint: String::new(),
            keys: keyring::Source::new(paths.keyring()),
            status: String::new(),
            written: String::new(),
            clock: clock::Keeper::new(paths),
        }
    }

    fn own(&self) -> gossip::Own {
        gossip::Own {
            rpc: serf::RPC.to_owned(),
            // Without a key there is no serf.json either, and so no gossip.
            password: serf::rpc_password(&self.node.config).unwrap_or_default(),
            name: self.node.name.clone(),
            tags: self.tags.subscribe(),
            targets: self.targets.clone(),
        }
    }

    fn interface(&self) -> &'a str {
        self.interface
    }

    fn listen(&mut self) {
        self.changes = Changes::and_losses(self.interface())
            .inspect_err(|error| {
                warn!("unable to hear of changes of {}: {error}; looking every minute instead", self.interface());
            })
            .ok();
    }

    /// Settles at this node's address once that was its own for long enough.
    fn settle(&mut self) {
        if self.roster.settles(node::since_boot()) {
            init::settle(self.paths, self.node);
            self.renew();
        }
    }

    /// Takes the keys that gossip holds now; true if they are others than before.
    fn hold(&mut self) -> bool {
        let held = &self.local.keyring;
        let Some(keyring) = self.keys.read().filter(|keyring| keyring != held) else { return false };
        init::rekey(self.paths, self.node, keyring);
        self.renew();
        true
    }

    fn renew(&mut self) {
        self.local = self.node.local();
        self.roster.renew(self.local.clone());
        self.tags.send_replace(self.node.tags());
    }

    /// Judges the members, and says what is new.
    fn judge(&mut self, members: &[Member]) {
        for delta in self.roster.update(members, node::since_boot()) {
            self.pause = self.first_pause();
            let level = if delta.is_warning() { Level::Warn } else { Level::Info };
            log!(level, "{delta}");
        }
        self.link.hear(&self.roster);
    }

    /// Takes the membership, and says what is new in it.
    fn hear(&mut self, members: Vec<Member>) {
        self.hold(); // Others may have changed their keys because this node's gossip did.
        if let (None, Some(observed)) = (&self.members, self.link.observed()) {
            self.roster.recall(observed);
        }
        self.judge(&members);
        if let Err(error) = seeds::keep(self.paths, &self.roster, &members) {
            self.complain(
                Level::Warn,
                format!(
                    "unable to keep the addresses of the other nodes: {error}; after a restart only NODE_JOIN is asked"
                ),
            );
        }
        let now = node::now();
        let peers = self.roster.verified().map(|peer| peer.record().name.clone());
        let since = |name: String| (name.clone(), self.since.get(&name).copied().unwrap_or(now));
        self.since = peers.map(since).collect();
        self.members = Some(members);
        self.unnamed = true;
    }

    fn look_soon(&mut self) {
        self.due = self.rested.max(Instant::now());
        self.pause = self.first_pause();
    }

    fn first_pause(&self) -> Duration {
        if self.link.mode().is_some() { SOON } else { FIRST_SEARCH }
    }

    /// Brings the device in line, writes the report, and says when to look again. A change of the membership is performed on what the
    /// device is known to hold; it is looked at only when that is due.
    async fn turn(&mut self) {
        self.settle();
        let members = if self.hold() { self.members.clone() } else { None };
        if let Some(members) = members {
            self.judge(&members);
        }
        let begun = Instant::now();
        let looks = begun >= self.due || self.link.mode().is_none();
        if looks {
            self.settings = Settings::of(self.node);
            if let (Some(changes), Some(below)) = (&mut self.changes, &self.settings.below) {
                changes.also(below);
            }
        }
        self.link.revive(&self.settings, self.changes.as_ref().and_then(Changes::alias)).await;
        let outcome = match timeout(PATIENCE, self.reconcile(looks)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(wg::Error::Refused("no answer".to_owned(), std::io::ErrorKind::TimedOut.into())),
        };
        if let Err(error) = &outcome {
            let absent = matches!(error, wg::Error::Absent(_));
            if self.link.release(absent) {
                self.pause = FIRST_SEARCH;
            }
            let interface = self.interface();
            if absent {
                self.complain(
                    Level::Info,
                    format!("waiting for {interface}: there is no WireGuard link of that name yet"),
                );
            } else {
                let text = format!("unable to change the peers of {interface}: {error}; trying again");
                self.complain(Level::Warn, text);
            }
        } else if !std::mem::take(&mut self.complaint).is_empty() {
            info!("{} is there, its peers are as they should be", self.interface());
        }
        self.name(outcome.is_ok());
        self.report(outcome.is_err()).await;
        let now = Instant::now();
        if looks {
            let longest = match &outcome {
                Err(_) => LAST_SEARCH,
                Ok(()) if self.link.tries() => Duration::from_secs(TURN),
                Ok(()) => LATE,
            };
            let cost = now - begun;
            self.rested = now + (cost * REST).min(longest);
            self.due = now + (cost * LONG_REST).min(longest).max(self.pause);
            self.pause = (self.pause * 2).min(longest);
        } else {
            self.due = self.due.min(self.rested.max(now + self.pause));
        }
        self.due = self.link.overdue().unwrap_or(self.due).min(self.due);
    }

    async fn reconcile(&mut self, looks: bool) -> Result<(), wg::Error> {
        if looks {
            self.link.look(&self.settings, self.local.record.key).await?;
            self.clock.keep();
            if !std::mem::replace(&mut self.settled, true) {
                k3s::settle(self.paths, &self.node.config, &self.node.name, self.node.address);
            }
        }
        // Without a word from gossip yet, what the device has is as good as anything.
        let Some(members) = &self.members else { return Ok(()) };
        let translated = underlay::is_foreign(&self.local.record.endpoints);
        if self.link.follow(&self.roster, translated, members.len() < 2).await? {
            self.pause = SOON;
        }
        Ok(())
    }

    /// Keeps the names of the mesh while its link is `there`: who takes that down takes them away, too.
    fn name(&mut self, there: bool) {
        if self.node.config.networking.hosts == Some(false) {
            if std::mem::take(&mut self.unnamed) {
                self.names.clear(self.paths);
            }
        } else if let Some(members) = self.members.as_ref().filter(|_| there) {
            if std::mem::take(&mut self.unnamed) {
                self.names.keep(self.paths, &self.local, &self.roster, members);
            }
        } else {
            self.unnamed = true;
        }
    }

    /// Writes peers.json, and tells the supervisor.
    async fn report(&mut self, failed: bool) {
        let Some(members) = &self.members else {
            return self.tell(if failed { "waiting for wg0 and gossip" } else { "waiting for gossip" }.to_owned());
        };
        let mut document =
            Document::new(&self.local, self.node.ula(), self.interface(), members, &self.roster, &self.targets);
        document.since(&self.since);
        let sight = wg::sight(self.interface(), self.node.ula()).await;
        document.observe(Mode::word(self.link.mode()), sight, self.link.observed(), node::now());
        let (peers, connected) = document.counts();
        let path = self.paths.peers_json();
        let text = serde_json::to_string_pretty(&document).unwrap_or_default() + "\n";
        if text != self.written {
            let written = files::folder(&path, false).and_then(|()| files::replace(&path, &text, false, Place::Run));
            match written {
                Ok(()) => self.written = text,
                Err(error) => warn!("unable to write {}: {error}; 'node-agent peers' shows what was", path.display()),
            }
        }
        if failed {
            return self.tell(format!("waiting for {}", self.interface()));
        }
        let status = format!("{peers} peers, {connected} connected");
        if !std::mem::replace(&mut self.ready, true) {
            self.status.clone_from(&status);
            return notify::ready(&status);
        }
        self.tell(status);
    }

    fn tell(&mut self, status: String) {
        if status != self.status {
            notify::status(&status);
            self.status = status;
        }
    }

    /// Says it once, until it is something else.
    fn complain(&mut self, level: Level, text: String) {
        if text != self.complaint {
            log!(level, "{text}");
            self.complaint = text;
        }
    }
}
