//! `node-agent keys rotate`: another key for the whole cluster, in steps of which each is done when every node is ready for it.

use std::time::{Duration, Instant};

use serde::Serialize;
use zeroize::Zeroizing;

use super::keys::{Key, Session, Step, VERSION, full, shown};
use super::paths::Paths;
use super::{Failure, say};
use crate::cluster::{Census, Obstacle};
use crate::mesh::keyring::{Fingerprint, MOST};

/// A record that changes is on every node within seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the records are looked at meanwhile.
const LOOK: Duration = Duration::from_millis(500);

/// What to do when not every node is there.
const MEND: &str = "nothing was changed: have it answer and try again, or go on without it in steps, by 'node-agent keys install', 'use' and \
                    'remove'";

/// How far a change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The new key is on some nodes.
    Installing,
    /// It is on all of them.
    Installed,
    /// It is in use on some.
    Using,
    /// It is in use on all of them.
    Used,
}

/// What is left to do by hand, or to take back, when a change stops.
fn next(stage: Stage, new: Fingerprint, old: &[Fingerprint]) -> String {
    let command = |step: Step, key: Fingerprint| format!("'node-agent keys {} {key}'", step.word());
    let removals: Vec<String> = old.iter().map(|key| command(Step::Remove, *key)).collect();
    let removals = removals.join(", ");
    let back = command(Step::Remove, new);
    let using = command(Step::Use, new);
    match stage {
        Stage::Installing => format!(
            "key {new} is in use nowhere: go on with {}, {using} and {removals}, or take it back with {back}",
            command(Step::Install, new)
        ),
        Stage::Installed => format!(
            "key {new} is on every node and in use nowhere: go on with {using} and {removals}, or take it back with {back}"
        ),
        Stage::Using => format!("every node holds both keys, and none is lost: go on with {using} and {removals}"),
        Stage::Used => format!("key {new} is in use on every node: go on with {removals}"),
    }
}

/// What came of it, as `--json` has it.
#[derive(Serialize)]
struct Rotated {
    version: u32,
    key: String,
    removed: Vec<String>,
    nodes: u64,
}

/// Gives the cluster a new key and takes the old ones away. Stops, and says how far it came, at the first step that is not
/// done on every node.
pub(super) fn rotate(paths: &Paths, json: bool) -> Result<(), Failure> {
    let mut rotation = Rotation::begin(paths)?;
    let (new, old) = (rotation.new.clone(), rotation.old.clone());
    // Nobody's reading it is no reason to stop half way.
    let mut said = Ok(());
    let mut tell = |step: Step, key: Fingerprint, nodes: u64| {
        if !json {
            said = std::mem::replace(&mut said, Ok(())).and_then(|()| say(&format!("{}\n", step.done(key, nodes))));
        }
    };
    tell(Step::Install, new.name, rotation.step(Step::Install, &new, Stage::Installing)?);
    rotation.wait(Stage::Installed, |census| census.announced(new.name))?;
    let nodes = rotation.step(Step::Use, &new, Stage::Using)?;
    tell(Step::Use, new.name, nodes);
    rotation.wait(Stage::Using, |census| census.in_use(new.name))?;
    for key in &old {
        tell(Step::Remove, key.name, rotation.step(Step::Remove, key, Stage::Used)?);
    }
    if json {
        let removed = old.iter().map(|key| key.name.to_string()).collect();
        return shown(&Rotated { version: VERSION, key: new.name.to_string(), removed, nodes });
    }
    said
}

/// A change that is under way.
struct Rotation {
    session: Session,
    new: Key,
    old: Vec<Key>,
}

impl Rotation {
    /// Looks whether every node is there, and makes the new key.
    fn begin(paths: &Paths) -> Result<Rotation, Failure> {
        let mut session = Session::open(paths, "change the cluster's key".to_owned())?;
        let (census, old) = session.census()?;
        census.whole().map_err(|obstacle| session.failed(&obstacle.to_string(), MEND))?;
        if old.len() >= MOST {
            return Err(session.failed(&full(old.len()), "remove one that is not in use (nothing was changed)"));
        }
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).map_err(|error| {
            session.failed(&format!("the kernel gives no random bytes: {error}"), "nothing was changed")
        })?;
        let new = Key::of(&*bytes).ok_or_else(|| session.failed("the new key is none", "nothing was changed"))?;
        Ok(Rotation { session, new, old })
    }

    fn stopped(&self, stage: Stage, cause: &str) -> Failure {
        let old: Vec<Fingerprint> = self.old.iter().map(|key| key.name).collect();
        self.session.failed(cause, &next(stage, self.new.name, &old))
    }

    /// Has every node do the step; answers with how many did.
    fn step(&mut self, step: Step, key: &Key, stage: Stage) -> Result<u64, Failure> {
        self.session.step(step, key).map_err(|cause| self.stopped(stage, &cause))
    }

    /// Waits until the whole cluster is `ready` for the next step.
    fn wait(&mut self, stage: Stage, ready: impl Fn(&Census) -> Result<(), Obstacle>) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let looked = self.session.census().map_err(|failure| failure.text);
            let cause = match looked.map(|(census, _)| census.whole().and_then(|()| ready(&census))) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(obstacle)) => obstacle.to_string(),
                Err(text) => text,
            };
            if Instant::now() >= deadline {
                return Err(self.stopped(stage, &cause));
            }
            self.session.pass(LOOK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MEND, Stage, next};
    use crate::golden::assert_golden;
    use crate::mesh::keyring::Fingerprint;

    #[test]
    fn wherever_it_stops_it_says_how_to_go_on() {
        let [new, old, older] = [1, 2, 3].map(|n| Fingerprint([n; 4]));
        let stages = [Stage::Installing, Stage::Installed, Stage::Using, Stage::Used];
        let mut text = format!("Begun: {MEND}\n");
        for stage in stages {
            text += &format!("{stage:?}: {}\n", next(stage, new, &[old, older]));
        }
        assert_golden("keys-stopped.txt", &text);
    }
}
