//! One unit while the files are being read: its references are still names, and what was said is kept apart from defaults.

use std::collections::BTreeMap;

use super::attributes::Who;
use super::duration::short;
use super::mistake::{Found, Place};
use super::readiness::Ready;
use super::rewrite;
use super::table::{Kind, Restart, Unit};

/// A unit named in `needs`, `binds` or `wants`.
#[derive(Clone, Debug)]
pub(super) struct Mention {
    pub name: String,
    pub optional: bool,
    pub place: Place,
}

/// A unit in the making.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub unit: Unit,
    pub needs: Vec<Mention>,
    pub binds: Vec<Mention>,
    pub wants: Vec<Mention>,
    /// Where each key was last said, good or bad.
    pub said: BTreeMap<&'static str, Place>,
    /// Where the unit was first named.
    pub named: Place,
}

impl Draft {
    pub fn new(name: &str, named: Place) -> Draft {
        Draft {
            unit: Unit::new(name, Vec::new()),
            needs: Vec::new(),
            binds: Vec::new(),
            wants: Vec::new(),
            said: BTreeMap::new(),
            named,
        }
    }

    /// The three kinds of reference, with the key that makes them.
    pub fn mentions(&self) -> [(&'static str, &[Mention]); 3] {
        [("needs", &self.needs), ("binds", &self.binds), ("wants", &self.wants)]
    }

    /// Fills in the defaults that depend on other keys, and notes keys that do not go together.
    pub fn finish(&mut self, found: &mut Vec<Found>) {
        self.check_process(found);
        self.check_restarts(found);
        if self.unit.kind == Kind::Service {
            if self.unit.ready.probe().is_some() && !self.said.contains_key("start-timeout") {
                self.unit.start_timeout = Some(PROBED_START);
            }
            return;
        }
        if !self.said.contains_key("restart") {
            self.unit.restart = Restart::OnFailure;
        }
        if !self.said.contains_key("start-timeout") {
            self.unit.start_timeout = Some(ONESHOT_START);
        }
        if self.unit.restart == Restart::Always {
            self.refuse(
                found,
                "restart",
                "a oneshot that has ended well stays done",
                "write \"on-failure\" or \"never\"",
            );
        }
        if self.unit.watchdog.is_some() {
            self.refuse(found, "watchdog", "a oneshot is never up", "remove it, or write type = \"service\"");
        }
        if self.unit.ready != Ready::Exec {
            self.refuse(found, "ready", "a oneshot is ready when it exits 0", "remove it, or write type = \"service\"");
        }
    }

    fn check_process(&self, found: &mut Vec<Found>) {
        let attributes = &self.unit.attributes;
        // The group that a process keeps by default is PID 1's: root's.
        if matches!(attributes.user, Some(Who::Number(_))) && !self.said.contains_key("group") {
            self.refuse(found, "user", "a number is not looked up, so its group is not known", "write group, too");
        }
        if self.said.contains_key("pass-env") && !attributes.clear_env {
            self.refuse(
                found,
                "pass-env",
                "all of PID 1's environment is passed",
                "remove it, or write clear-env = true",
            );
        }
    }

    fn check_restarts(&self, found: &mut Vec<Found>) {
        for rule in &self.unit.rewrite {
            if let Some((cause, next)) = rewrite::pointless(&self.unit, rule.from) {
                self.refuse(found, "rewrite", &cause, &next);
            }
        }
        let Some(rule) = self.unit.give_up else { return };
        let soonest = rule.soonest(self.unit.backoff);
        if soonest > rule.within {
            let cause = format!(
                "{} failures take {} with this backoff, so there are never so many within {}",
                rule.after,
                short(soonest),
                short(rule.within)
            );
            self.refuse(found, "give-up", &cause, "write a longer within, a smaller after, or a shorter backoff");
        }
    }

    fn refuse(&self, found: &mut Vec<Found>, key: &str, cause: &str, next: &str) {
        let place = self.said.get(key).copied().unwrap_or(self.named);
        let text = format!("unable to read {key} of unit {}: {cause}", self.unit.name);
        found.push(Found { place, text, suggestion: Some(next.to_owned()) });
    }
}

/// `start-timeout` of a oneshot: what starts others must end, and nothing here takes half a minute when it goes well.
const ONESHOT_START: std::time::Duration = std::time::Duration::from_secs(30);
/// `start-timeout` of a service with a probe: what answers nobody for so long will not.
const PROBED_START: std::time::Duration = std::time::Duration::from_secs(30);
