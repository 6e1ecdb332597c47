//! What becomes of the node's own keys, and of operations on everybody's.

use super::Node;
use super::event::Action;
use crate::gossip::Name;
use crate::gossip::rpc::{Answer, Level};
use crate::gossip::serf::{KeyChange, KeyOutcome, KeyReport};
use crate::gossip::wire::crypt::{Key, KeyError, Keyring};
use crate::unit::Time;

impl Node {
    /// Does to the keyring what somebody asked of everybody.
    pub(super) fn change_keys(&mut self, now: Time, key: u64, change: KeyChange) {
        let outcome = match &mut self.keyring {
            Some(ring) => changed(ring, change),
            None => KeyOutcome::Failed("No keyring to modify (encryption not enabled)".to_owned()),
        };
        match (&outcome, &self.keyring) {
            (KeyOutcome::Done, Some(ring)) => {
                self.actions.push_back(Action::Keyring { key, keys: ring.keys().map(Key::base64).collect() });
            }
            _ => self.serf.key_changed(now, key, outcome),
        }
    }

    /// Answers for a change whose keys were kept, or not. It stays in memory as it is, as Serf's does: whoever asked must know that
    /// it would not outlive this program.
    pub(super) fn keys_kept(&mut self, now: Time, key: u64, why: Option<String>) {
        let failed = |why| KeyOutcome::Failed(format!("Failed to write keyring file: {why}"));
        self.serf.key_changed(now, key, why.map_or(KeyOutcome::Done, failed));
    }

    /// An operation on everybody's keys is over.
    pub(super) fn keys_reported(&mut self, key: u64, report: KeyReport) {
        let Some(link) = self.key_askers.remove(&key) else { return };
        if !report.error.is_empty() {
            self.log(Level::Err, format!("agent: keys: {}", report.error));
        }
        if let Some(session) = self.sessions.get_mut(&link) {
            session.answer(Answer::Keys(report));
        }
        self.answered.push(link);
    }
}

fn changed(ring: &mut Keyring, change: KeyChange) -> KeyOutcome {
    let done = match change {
        KeyChange::Install(bytes) => Key::new(&bytes).and_then(|key| ring.install(key)).map(drop),
        KeyChange::Use(bytes) => ring.use_key(&bytes),
        KeyChange::Remove(bytes) => ring.remove(&bytes).map(drop),
        KeyChange::List => {
            return KeyOutcome::Keys(ring.keys().map(|key| Name::from(key.base64().as_str())).collect());
        }
    };
    match done {
        Ok(()) => KeyOutcome::Done,
        Err(error @ (KeyError::Length | KeyError::Base64 | KeyError::Absent | KeyError::Primary | KeyError::Full)) => {
            KeyOutcome::Failed(error.to_string())
        }
    }
}
