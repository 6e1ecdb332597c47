//! Signals that were ignored, refused or obeyed aloud: whoever sends one without pause fills no log.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::unit::Time;

/// A signal is not said again within this.
const HUSH: Duration = Duration::from_secs(1);

/// When each signal was last said.
#[derive(Debug, Default)]
pub struct Ignored(BTreeMap<i32, Time>);

impl Ignored {
    /// One that has said these already.
    pub fn resume(said: Vec<(i32, Time)>) -> Ignored {
        Ignored(said.into_iter().collect())
    }

    /// When each signal was last said.
    pub fn said(&self) -> Vec<(i32, Time)> {
        self.0.iter().map(|(signal, at)| (*signal, *at)).collect()
    }

    /// Whether signal `number` was said a moment ago; if not, it is to be said now.
    pub fn hushed(&mut self, now: Time, number: i32) -> bool {
        let recent = self.0.get(&number).is_some_and(|last| now.since(*last) < HUSH);
        if !recent {
            self.0.insert(number, now);
        }
        recent
    }
}
