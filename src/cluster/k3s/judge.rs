//! From what was seen to a finding: whether its acts can be done, and what happened when they were tried.

use std::collections::BTreeMap;

use super::facts::Facts;
use super::finding::{Act, Finding, Need, State};

/// Acts that were tried and failed, with their causes. They are not tried again.
pub type Failures = BTreeMap<Act, String>;

/// Facts, and what was tried.
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a> {
    /// What is there.
    pub facts: &'a Facts,
    /// What was tried in vain.
    pub failed: &'a Failures,
}

/// A finding's name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Title(pub(super) u8, pub(super) &'static str, pub(super) Need);

impl Title {
    pub(super) fn fine(self, seen: impl Into<String>) -> Finding {
        self.finding(State::Fine, seen.into(), Vec::new(), None)
    }

    pub(super) fn moot(self, seen: impl Into<String>) -> Finding {
        self.finding(State::Moot, seen.into(), Vec::new(), None)
    }

    pub(super) fn cannot(self, seen: impl Into<String>, remedy: impl Into<String>) -> Finding {
        self.finding(State::Cannot, seen.into(), Vec::new(), Some(remedy.into()))
    }

    fn finding(self, state: State, seen: String, acts: Vec<Act>, remedy: Option<String>) -> Finding {
        Finding { item: self.0, name: self.1, need: self.2, state, seen, acts, remedy }
    }
}

impl Judge<'_> {
    /// To be done by `acts`, unless one of them cannot be: then a person follows the remedy.
    pub(super) fn todo(&self, title: Title, seen: &str, acts: Vec<Act>, remedy: impl Into<String>) -> Finding {
        let refusal = acts.iter().find_map(|act| match (self.failed.get(act), self.facts.may(act)) {
            (Some(cause), _) => Some(format!("unable to {act}: {cause}")),
            (None, Err(missing)) => Some(format!("to {act} {missing}")),
            (None, Ok(())) => None,
        });
        match refusal {
            Some(refusal) => title.cannot(format!("{seen}; {refusal}"), remedy),
            None => title.finding(State::ToDo, seen.to_owned(), acts, None),
        }
    }

    /// The first of the acts that can still be tried; none if none can.
    pub(super) fn first_of(&self, acts: impl IntoIterator<Item = Act>) -> Option<Act> {
        acts.into_iter().find(|act| !self.failed.contains_key(act) && self.facts.may(act).is_ok())
    }

    /// What k3s must be told; fine once it will be.
    pub(super) fn told(&self, title: Title, seen: &str, key: &'static str, value: String) -> Finding {
        if self.facts.says(key, &value) {
            return title.fine(format!("{seen}; k3s is told {key}: {value}"));
        }
        self.todo(title, seen, vec![Act::Argument { key, value }], "")
    }
}
