//! `node-agent keys`: the keys of the whole cluster, asked for and changed through gossip. A key is shown by its fingerprint alone.

use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use log::warn;
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};
use zeroize::Zeroizing;

use super::leave::Gossip;
use super::paths::Paths;
use super::rpc::codec::KeyAnswer;
use super::rpc::{Client, Error, KeyOperation};
use super::{Failure, config, files, keyring, say, serf};
use crate::cluster::{Census, Count, Obstacle};
use crate::mesh::Keyring;
use crate::mesh::keyring::{Fingerprint, MOST};

/// No text of a key comes near this many bytes.
const LIMIT: u64 = 4096;

/// The version of what `--json` prints.
pub(super) const VERSION: u32 = 1;

/// A step of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Install,
    Use,
    Remove,
}

impl Step {
    /// The step that is called `word`.
    pub(super) fn of(word: &str) -> Option<Step> {
        [Step::Install, Step::Use, Step::Remove].into_iter().find(|step| step.word() == word)
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Step::Install => "install",
            Step::Use => "use",
            Step::Remove => "remove",
        }
    }

    const fn operation(self) -> KeyOperation {
        match self {
            Step::Install => KeyOperation::Install,
            Step::Use => KeyOperation::Use,
            Step::Remove => KeyOperation::Remove,
        }
    }

    /// What the step has made of `key` on so many nodes, which are all.
    pub(super) fn done(self, key: Fingerprint, nodes: u64) -> String {
        let nodes = if nodes == 1 { "the only node".to_owned() } else { format!("{nodes} of {nodes} nodes") };
        match self {
            Step::Install => format!("key {key} is on {nodes}"),
            Step::Use => format!("key {key} is in use on {nodes}"),
            Step::Remove => format!("key {key} is gone from {nodes}"),
        }
    }
}

/// A key with the text that gossip has of it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: Fingerprint,
    text: Zeroizing<String>,
}

impl Key {
    /// The key of these bytes; none if there are not 16, 24 or 32.
    pub(super) fn of(bytes: &[u8]) -> Option<Key> {
        let fits = matches!(bytes.len(), 16 | 24 | 32);
        let name = *Keyring::new([bytes]).fingerprints().first().filter(|_| fits)?;
        Some(Key { name, text: Zeroizing::new(STANDARD.encode(bytes)) })
    }
}

/// A key as a person names it.
#[derive(PartialEq, Eq)]
enum Named {
    Whole(Key),
    ByFingerprint(Fingerprint),
}

impl Named {
    /// The key of a text: itself in base64, the cluster's key, from which one follows, or a fingerprint. The error shows nothing of it.
    fn parse(text: &str) -> Result<Named, &'static str> {
        let text = text.trim();
        if let Ok(name) = text.parse() {
            return Ok(Named::ByFingerprint(name));
        }
        let bytes = STANDARD.decode(text).map(Zeroizing::new);
        let key = bytes.ok().and_then(|bytes| Key::of(&serf::fitting(bytes)));
        key.map(Named::Whole).ok_or("neither a key (16, 24, 32 or more bytes in base64) nor the 8 digits that 'node-agent keys list' shows of one")
    }
}

/// Where a person has a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin<'a> {
    /// It was typed; `-` is standard input.
    Typed(&'a str),
    /// It is in a file.
    File(&'a Path),
}

impl Origin<'_> {
    fn read(self) -> Result<Named, Failure> {
        let (place, text) = match self {
            Origin::Typed("-") => {
                let mut text = Zeroizing::new(String::with_capacity(LIMIT as usize));
                let read = std::io::stdin().lock().take(LIMIT).read_to_string(&mut text);
                ("the key from standard input".to_owned(), read.map(|_| Some(text)))
            }
            Origin::Typed(text) => ("the key".to_owned(), Ok(Some(Zeroizing::new(text.to_owned())))),
            Origin::File(path) => (path.display().to_string(), files::read(path)),
        };
        let failed =
            |cause: &str| Failure { code: 1, text: format!("unable to read {place}: {cause}; nothing was changed") };
        let text = text.map_err(|error| failed(&error.to_string()))?.ok_or_else(|| failed("no such file"))?;
        Named::parse(&text).map_err(failed)
    }
}

/// A connection to gossip, and what it is for.
pub(super) struct Session {
    runtime: Runtime,
    client: Client,
    place: String,
    what: String,
    paths: Paths,
}

impl Session {
    /// Connects to this node's gossip, to do `what`, as in `unable to ...`.
    pub(super) fn open(paths: &Paths, what: String) -> Result<Session, Failure> {
        let failed = |cause: String| failure(&what, &cause, "is the unit gossip up?");
        let gossip = Gossip::read(paths).map_err(failed)?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| failed(error.to_string()))?;
        let place = format!("gossip at {}", gossip.rpc_addr);
        let client = runtime.block_on(Client::connect(&gossip.rpc_addr, &gossip.rpc_auth));
        let client = client.map_err(|error| failed(format!("{place}: {error}")))?;
        Ok(Session { runtime, client, place, what, paths: paths.clone() })
    }

    pub(super) fn failed(&self, cause: &str, next: &str) -> Failure {
        failure(&self.what, cause, next)
    }

    /// Lets `time` pass.
    pub(super) fn pass(&self, time: std::time::Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    fn ask(&mut self, operation: KeyOperation, key: &str) -> Result<KeyAnswer, Error> {
        self.runtime.block_on(self.client.keys(operation, key))
    }

    fn silent(&self, error: &Error) -> Failure {
        self.failed(&format!("{}: {error}", self.place), "'node-agent keys list' shows what is so")
    }

    /// Asks every node for its keys.
    pub(super) fn census(&mut self) -> Result<(Census, Vec<Key>), Failure> {
        let answer = self.ask(KeyOperation::List, "").map_err(|error| self.silent(&error))?;
        let mut count = Count { nodes: answer.nodes, answered: answer.answered, ..Count::default() };
        let mut keys = Vec::new();
        for (text, nodes) in answer.keys {
            let key = config::gossip_key(&text).ok().and_then(|bytes| Key::of(&bytes));
            if let Some(key) = key {
                count.held.insert(key.name, nodes);
                keys.push(key);
            }
        }
        let path = self.paths.keyring();
        let own = keyring::read(&path)?;
        let own =
            own.ok_or_else(|| self.failed(&format!("there is no {}", path.display()), "run 'node-agent init'"))?;
        let members = self.runtime.block_on(self.client.members()).map_err(|error| self.silent(&error))?;
        Ok((Census::new(count, &own, &members), keys))
    }

    /// Has every node do the step; answers with how many did if all of them did, else with why not.
    pub(super) fn step(&mut self, step: Step, key: &Key) -> Result<u64, String> {
        let answer = self.ask(step.operation(), &key.text).map_err(|error| format!("{}: {error}", self.place))?;
        let done = answer.answered.saturating_sub(answer.failed);
        if done == answer.nodes { Ok(done) } else { Err(partly(&answer)) }
    }
}

fn failure(what: &str, cause: &str, next: &str) -> Failure {
    Failure { code: 1, text: format!("unable to {what}: {cause}; {next}") }
}

/// How many nodes did it, and what those said that did not.
fn partly(answer: &KeyAnswer) -> String {
    let KeyAnswer { nodes, answered, failed, messages, .. } = answer;
    let mut why: Vec<String> = messages.iter().map(|(node, said)| format!("{node}: {said}")).collect();
    match nodes.saturating_sub(*answered) {
        0 => {}
        1 => why.push("one did not answer".to_owned()),
        silent => why.push(format!("{silent} did not answer")),
    }
    format!("{} of {nodes} nodes have done it ({})", answered.saturating_sub(*failed), why.join("; "))
}

/// A step as `--json` has it.
#[derive(Serialize)]
struct Done {
    version: u32,
    step: &'static str,
    key: String,
    nodes: u64,
}

/// Does one step of a change, on every node that is there.
pub(super) fn change(paths: &Paths, step: Step, origin: Origin<'_>, json: bool) -> Result<(), Failure> {
    let named = origin.read()?;
    let name = match &named {
        Named::Whole(key) => key.name,
        Named::ByFingerprint(name) => *name,
    };
    let mut session = Session::open(paths, format!("{} key {name}", step.word()))?;
    let (census, keys) = session.census()?;
    let key = match named {
        Named::Whole(key) => key,
        Named::ByFingerprint(name) => keys.into_iter().find(|key| key.name == name).ok_or_else(|| {
            session
                .failed("no node holds it", "'node-agent keys list' shows those that are there (nothing was changed)")
        })?,
    };
    refuse(step, name, &census).map_err(|(cause, next)| session.failed(&cause, &next))?;
    if !census.failed().is_empty() {
        let cause = Obstacle::Failed(census.failed().to_vec());
        warn!("{cause}: {}", absent(step));
    }
    let nodes = session.step(step, &key).map_err(|cause| {
        session.failed(&cause, "the same again does no harm, and 'node-agent keys list' shows what is so")
    })?;
    if json {
        return shown(&Done { version: VERSION, step: step.word(), key: name.to_string(), nodes });
    }
    let next = match step {
        Step::Install => format!("; 'node-agent keys use {name}' has them use it"),
        Step::Use => census
            .primary()
            .filter(|old| *old != name)
            .map_or_else(String::new, |old| format!("; 'node-agent keys remove {old}' takes the old one away")),
        Step::Remove => String::new(),
    };
    say(&format!("{}{next}\n", step.done(name, nodes)))
}

/// Why a step would part the cluster, and what to do first.
fn refuse(step: Step, key: Fingerprint, census: &Census) -> Result<(), (String, String)> {
    match step {
        Step::Install if census.keys().len() >= MOST && !census.keys().contains(&key) => {
            Err((full(census.keys().len()), "remove one first (nothing was changed)".to_owned()))
        }
        Step::Install => Ok(()),
        Step::Use => census.installed(key).map_err(|obstacle| {
            let next =
                format!("'node-agent keys install {key}' first: who has it not would be lost (nothing was changed)");
            (obstacle.to_string(), next)
        }),
        Step::Remove => census.removable(key).map_err(|obstacle| {
            let next = "'node-agent keys use' of another one first (nothing was changed)";
            (obstacle.to_string(), next.to_owned())
        }),
    }
}

/// What is to be done about members that are away while a step is done.
const fn absent(step: Step) -> &'static str {
    match step {
        Step::Install => "once back, let the same command be run again",
        Step::Use | Step::Remove => {
            "to come back, a copy of another node's /var/lib/cluster-os/keyring is needed there"
        }
    }
}

/// Why there is no room for another key.
pub(super) fn full(held: usize) -> String {
    format!("the nodes hold {held} keys, and {MOST} are the most")
}

/// Writes a document to stdout.
pub(super) fn shown(document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document)
        .map_err(|error| Failure::internal(format!("unable to write JSON: {error}; nothing else was changed")))?;
    say(&(text + "\n"))
}

/// The keys as `--json` has them.
#[derive(Serialize)]
struct Listing {
    version: u32,
    nodes: u64,
    answered: u64,
    failed: Vec<String>,
    keys: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    key: String,
    held: u64,
    used: usize,
}

impl Listing {
    fn new(census: &Census) -> Listing {
        let (nodes, answered) = census.nodes();
        let row = |key: Fingerprint| Row { key: key.to_string(), held: census.held(key), used: census.used(key) };
        let keys = census.keys().into_iter().map(row).collect();
        Listing { version: VERSION, nodes, answered, failed: census.failed().to_vec(), keys }
    }

    fn table(&self) -> String {
        let mut text = "KEY       HELD BY         USED BY\n".to_owned();
        for Row { key, held, used } in &self.keys {
            text += &format!("{key}  {:<14}  {used}\n", format!("{held} of {}", self.nodes));
        }
        if self.answered < self.nodes {
            text += &format!("{}\n", Obstacle::Silent(self.answered, self.nodes));
        }
        if !self.failed.is_empty() {
            text += &format!("{}: what is held there is not known\n", Obstacle::Failed(self.failed.clone()));
        }
        text
    }
}

/// Writes to stdout which keys there are, and on how many nodes each is.
pub(super) fn list(paths: &Paths, json: bool) -> Result<(), Failure> {
    let mut session = Session::open(paths, "list the cluster's keys".to_owned())?;
    let listing = Listing::new(&session.census()?.0);
    if json { shown(&listing) } else { say(&listing.table()) }
}

#[cfg(test)]
mod tests {
    use super::{Key, Listing, Named, Step, partly, refuse};
    use crate::agent::rpc::codec::KeyAnswer;
    use crate::cluster::{Census, Count};
    use crate::mesh::Keyring;
    use crate::mesh::keyring::Fingerprint;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use std::collections::BTreeMap;

    fn key(n: u8) -> Fingerprint {
        Key::of(&[n; 32]).unwrap().name
    }

    /// Three nodes, all of which hold the first key, and two the others; without records.
    fn census(keys: &[u8]) -> Census {
        let held = keys.iter().enumerate().map(|(at, n)| (key(*n), if at == 0 { 3 } else { 2 })).collect();
        let bytes: Vec<[u8; 32]> = keys.iter().map(|n| [*n; 32]).collect();
        let ring = Keyring::new(bytes.iter().map(|key| &key[..]));
        Census::new(Count { nodes: 3, answered: 3, held }, &ring, &[])
    }

    #[test]
    fn a_key_is_named_in_three_ways_and_never_shown() {
        let named = |text: &str| {
            Named::parse(text).map(|named| match named {
                Named::Whole(key) => (key.name, Some(key.text.len())),
                Named::ByFingerprint(name) => (name, None),
            })
        };
        let text = STANDARD.encode([7; 32]);
        assert_eq!(named(&text), Ok((key(7), Some(44))));
        assert_eq!(named(&format!(" {text}\n")), Ok((key(7), Some(44))));
        assert_eq!(named(&key(7).to_string()), Ok((key(7), None)));
        // A cluster's key that is too long for gossip: the one that follows from it.
        assert_eq!(named(&STANDARD.encode([7; 40])).map(|(_, length)| length), Ok(Some(44)));
        for wrong in ["", "c2VjcmV0", "secret!", "0001ABFF", &STANDARD.encode([7; 20])] {
            let said = "neither a key (16, 24, 32 or more bytes in base64) nor the 8 digits that 'node-agent keys list' shows of one";
            assert_eq!(named(wrong), Err(said), "{wrong}");
        }
    }

    #[test]
    fn a_step_that_would_part_the_cluster_is_refused() {
        let said = |step: Step, n: u8, keys: &[u8]| {
            refuse(step, key(n), &census(keys)).map_err(|(cause, next)| format!("{cause}; {next}"))
        };
        assert_eq!(said(Step::Install, 2, &[1]), Ok(()));
        assert_eq!(said(Step::Install, 4, &[1, 2, 3, 4]), Ok(()));
        assert_eq!(
            said(Step::Install, 5, &[1, 2, 3, 4]),
            Err("the nodes hold 4 keys, and 4 are the most; remove one first (nothing was changed)".to_owned())
        );
        assert_eq!(said(Step::Use, 1, &[1, 2]), Ok(()));
        let lost = format!(
            "2 of 3 nodes hold it; 'node-agent keys install {}' first: who has it not would be lost (nothing was changed)",
            key(2)
        );
        assert_eq!(said(Step::Use, 2, &[1, 2]), Err(lost));
        assert_eq!(said(Step::Remove, 2, &[1, 2]), Ok(()));
        let used = "this node uses it; 'node-agent keys use' of another one first (nothing was changed)";
        assert_eq!(said(Step::Remove, 1, &[1, 2]), Err(used.to_owned()));
    }

    #[test]
    fn what_is_not_done_everywhere_is_said() {
        let messages = BTreeMap::from([("node3".to_owned(), "the keyring is full".to_owned())]);
        let answer = KeyAnswer { nodes: 4, answered: 3, failed: 1, messages, keys: Vec::new() };
        assert_eq!(partly(&answer), "2 of 4 nodes have done it (node3: the keyring is full; one did not answer)");
        let silent = KeyAnswer { nodes: 3, answered: 1, ..KeyAnswer::default() };
        assert_eq!(partly(&silent), "1 of 3 nodes have done it (2 did not answer)");
    }

    #[test]
    fn the_keys_are_as_a_person_reads_them() {
        let table = Listing::new(&census(&[1, 2])).table();
        assert_eq!(
            table,
            format!(
                "KEY       HELD BY         USED BY\n{}  3 of 3          0\n{}  2 of 3          0\n",
                key(1),
                key(2)
            )
        );
        assert_eq!(Step::Use.done(key(1), 3), format!("key {} is in use on 3 of 3 nodes", key(1)));
        assert_eq!(Step::Remove.done(key(1), 1), format!("key {} is gone from the only node", key(1)));
    }
}
