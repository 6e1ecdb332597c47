//! What systemd would say: its words for the state of a unit and of the node, its exit codes, its names of units.

pub mod page;
pub mod property;
pub mod tree;

use super::status::{Status, UnitStatus};
use crate::unit::signal;
use crate::unit::words::{
    FINISH_KILLED, FINISH_RUNS, GAVE_UP, KILLED, NO_PROCESS, NO_WATCHDOG, NOT_READY, STOP_RUNS, TRIGGERED,
};

/// The words for the state of a unit: `active (running)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// `ActiveState`: `active`, `activating`, `deactivating`, `inactive` or `failed`.
    pub active: &'static str,
    /// `SubState`, as a service has them.
    pub sub: &'static str,
}

/// The words for a unit that is not there.
pub const NOTHING: Words = Words { active: "inactive", sub: "dead" };

/// Done as asked; the unit is active.
pub const OK: u8 = 0;
/// What else went wrong; the unit has not failed.
pub const NO: u8 = 1;
/// The unit is not active.
pub const NOT_ACTIVE: u8 = 3;
/// Nothing is known of such a unit.
pub const UNKNOWN: u8 = 4;
/// There is no such unit to start, stop, restart or reload.
pub const NOT_THERE: u8 = 5;

/// Every exit code and what it means.
pub const CODES: &[(u8, &str)] = &[
    (OK, "done; is-active, status: active; is-failed: failed; is-enabled: enabled, static or transient"),
    (NO, "anything else: refused, failed, nobody answers, a wrong command line, not here; is-failed: not failed"),
    (NOT_ACTIVE, "is-active, status: not active"),
    (UNKNOWN, "is-active, is-failed, is-enabled, status: there is no such unit"),
    (NOT_THERE, "start, stop, restart, reload: there is no such unit"),
];

/// The words for the state of `unit`.
pub fn words(unit: &UnitStatus) -> Words {
    let why = unit.why.as_deref().unwrap_or_default();
    let (active, sub) = match unit.state.as_str() {
        "up" => ("active", "running"),
        "done" => ("active", "exited"),
        "waiting" | "starting" => ("activating", "start"),
        "backoff" => ("activating", "auto-restart"),
        "stopping" => ("deactivating", stopping(why)),
        "stuck" | "failed" => ("failed", "failed"),
        _ => return NOTHING,
    };
    Words { active, sub }
}

fn stopping(why: &str) -> &'static str {
    match why {
        STOP_RUNS => "stop",
        KILLED => "stop-sigkill",
        FINISH_RUNS => "stop-post",
        FINISH_KILLED => "final-sigkill",
        _ => "stop-sigterm",
    }
}

/// The exit code of `is-active` about these units; a unit that is not there is none.
pub fn is_active(units: &[Option<&UnitStatus>]) -> u8 {
    asked(units, &["active"], NOT_ACTIVE)
}

/// The exit code of `is-failed` about these units; a unit that is not there is none.
pub fn is_failed(units: &[Option<&UnitStatus>]) -> u8 {
    asked(units, &["failed"], NO)
}

/// One that is as asked is enough.
fn asked(units: &[Option<&UnitStatus>], good: &[&str], else_code: u8) -> u8 {
    let mut known = units.iter().flatten().peekable();
    if known.peek().is_none() {
        return UNKNOWN;
    }
    if known.any(|unit| good.contains(&words(unit).active)) { OK } else { else_code }
}

/// The exit code of `status` about one unit.
pub fn status(unit: &UnitStatus) -> u8 {
    if words(unit).active == "active" { OK } else { NOT_ACTIVE }
}

/// The word for the state of the node: `starting` until every unit that is wanted was ready once, then `running`, `degraded`
/// while one has failed, `stopping`.
pub fn system(status: &Status) -> &'static str {
    let on = || status.units.iter().filter(|unit| words(unit) != NOTHING);
    if status.goal.is_some() {
        "stopping"
    } else if on().any(|unit| words(unit).active == "failed") {
        "degraded"
    } else if on().any(|unit| words(unit).active == "activating" && unit.first_ready_us.is_none()) {
        "starting"
    } else {
        "running"
    }
}

/// How the last run of a unit's main process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// As waitid(2) has it: 1 exited, 2 killed, 3 dumped core.
    pub code: u8,
    /// The exit status, or the number of the signal.
    pub status: i32,
    /// The kernel did it for want of memory.
    pub memory: bool,
}

impl End {
    /// What `last_exit` of the status document says; nothing if it says nothing that systemd has a word for.
    pub fn of(last_exit: &str) -> Option<End> {
        if let Some(status) = last_exit.strip_prefix("exit ") {
            return Some(End { code: 1, status: status.parse().ok()?, memory: false });
        }
        let (name, more) = match last_exit.strip_prefix("signal ")?.split_once(", ") {
            Some((name, more)) => (name, more),
            None => (last_exit.strip_prefix("signal ")?, ""),
        };
        let number = signal::parse(name).map(|signal| signal.0).or_else(|| name.parse().ok())?;
        Some(End { code: if more == "core dumped" { 3 } else { 2 }, status: number, memory: more == "out of memory" })
    }

    /// `exited`, `killed` or `dumped`.
    pub fn word(self) -> &'static str {
        match self.code {
            1 => "exited",
            3 => "dumped",
            _ => "killed",
        }
    }
}

/// The word for how the last start of `unit` went: `success` unless it failed.
pub fn result(unit: &UnitStatus) -> &'static str {
    if !matches!(unit.state.as_str(), "backoff" | "failed" | "stuck") {
        return "success";
    }
    let why = unit.why.as_deref().unwrap_or_default();
    let end = unit.last_exit.as_deref().and_then(End::of);
    match () {
        () if unit.state == "stuck" || why.starts_with(NOT_READY) => "timeout",
        () if why.starts_with(GAVE_UP) => "start-limit-hit",
        () if why.starts_with(NO_WATCHDOG) || why.starts_with(TRIGGERED) => "watchdog",
        () if why.starts_with(NO_PROCESS) => "resources",
        () => match end {
            Some(End { memory: true, .. }) => "oom-kill",
            Some(End { code: 2, .. }) => "signal",
            Some(End { code: 3, .. }) => "core-dump",
            _ => "exit-code",
        },
    }
}

/// What ends the name of a service.
const SERVICE: &str = ".service";

/// What other ends of names systemd has, and we have no units of.
const OTHERS: &[&str] =
    &["automount", "device", "mount", "path", "scope", "slice", "socket", "swap", "target", "timer"];

/// The name of the unit `name` as systemd would call it: `web.service`.
pub fn id(name: &str) -> String {
    if name.ends_with(SERVICE) { name.to_owned() } else { format!("{name}{SERVICE}") }
}

/// What `typed` may be the name of: itself, and itself without `.service`.
pub fn bare(typed: &str) -> &str {
    typed.strip_suffix(SERVICE).filter(|name| !name.is_empty()).unwrap_or(typed)
}

/// The kind of unit that `typed` names, if it is one that there is none of here: `timer`.
pub fn foreign(typed: &str) -> Option<&'static str> {
    let (_, end) = typed.rsplit_once('.')?;
    OTHERS.iter().find(|kind| **kind == end).copied()
}

impl Status {
    /// The unit that is called `typed`, with or without `.service`.
    pub fn called(&self, typed: &str) -> Option<&UnitStatus> {
        let named = |name: &str| self.units.iter().find(|unit| unit.name == name);
        named(typed).or_else(|| named(bare(typed)))
    }
}

/// Whether `name` is as `pattern`, in which `*` stands for any text and `?` for any letter.
pub fn like(pattern: &str, name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let mut parts: Vec<Vec<char>> = pattern.split('*').map(|part| part.chars().collect()).collect();
    let same = |part: &[char], text: &[char]| {
        part.len() == text.len() && part.iter().zip(text).all(|(wanted, letter)| *wanted == '?' || wanted == letter)
    };
    let Some(last) = parts.pop() else { return false };
    let mut parts = parts.iter();
    let Some(first) = parts.next() else { return same(&last, &name) };
    let Some((head, mut rest)) = name.split_at_checked(first.len()) else { return false };
    if !same(first, head) {
        return false;
    }
    // What stands between two stars, as early as it can be: more is left for what follows.
    for part in parts {
        let mut at = 0;
        let found = loop {
            match rest.get(at..at + part.len()) {
                Some(text) if same(part, text) => break rest.get(at + part.len()..),
                Some(_) => at += 1,
                None => break None,
            }
        };
        let Some(found) = found else { return false };
        rest = found;
    }
    rest.len().checked_sub(last.len()).and_then(|at| rest.get(at..)).is_some_and(|end| same(&last, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(state: &str, why: Option<&str>) -> UnitStatus {
        UnitStatus { name: state.into(), state: state.into(), why: why.map(str::to_owned), ..UnitStatus::default() }
    }

    #[test]
    fn every_state_has_its_words_and_codes() {
        for (state, why, active, sub, codes) in [
            ("up", None, "active", "running", (0, 1, 0)),
            ("done", None, "active", "exited", (0, 1, 0)),
            ("waiting", Some("waiting for db"), "activating", "start", (3, 1, 3)),
            ("starting", Some("not ready yet"), "activating", "start", (3, 1, 3)),
            ("backoff", Some("it exited with status 1"), "activating", "auto-restart", (3, 1, 3)),
            ("stopping", Some("the stop signal was sent"), "deactivating", "stop-sigterm", (3, 1, 3)),
            ("stopping", Some("its stop command runs"), "deactivating", "stop", (3, 1, 3)),
            ("stopping", Some("it was killed"), "deactivating", "stop-sigkill", (3, 1, 3)),
            ("stopping", Some("its finish command runs"), "deactivating", "stop-post", (3, 1, 3)),
            ("stopping", Some("its finish command was killed"), "deactivating", "final-sigkill", (3, 1, 3)),
            ("stuck", None, "failed", "failed", (3, 0, 3)),
            ("failed", None, "failed", "failed", (3, 0, 3)),
            ("off", None, "inactive", "dead", (3, 1, 3)),
            ("skipped", Some("NODE_K3S_ENABLED is not set"), "inactive", "dead", (3, 1, 3)),
        ] {
            let unit = unit(state, why);
            assert_eq!(words(&unit), Words { active, sub }, "{state} {why:?}");
            let some = [Some(&unit)];
            assert_eq!((is_active(&some), is_failed(&some), status(&unit)), codes, "{state}");
        }
    }

    #[test]
    fn one_good_unit_of_many_is_enough() {
        let (up, off, failed) = (unit("up", None), unit("off", None), unit("failed", None));
        assert_eq!(is_active(&[Some(&off), None, Some(&up)]), OK);
        assert_eq!(is_active(&[Some(&off), None]), NOT_ACTIVE);
        assert_eq!(is_active(&[None, None]), UNKNOWN);
        assert_eq!(is_failed(&[Some(&up), Some(&failed)]), OK);
        assert_eq!((is_failed(&[Some(&up)]), is_failed(&[None])), (NO, UNKNOWN));
    }

    #[test]
    fn the_node_has_a_word() {
        let with = |units: Vec<UnitStatus>| Status { units, ..Status::default() };
        let again = UnitStatus { first_ready_us: Some(1), ..unit("backoff", None) };
        assert_eq!(system(&with(vec![unit("up", None), unit("off", None), unit("skipped", None)])), "running");
        assert_eq!(system(&with(vec![unit("up", None), unit("waiting", None)])), "starting");
        assert_eq!(system(&with(vec![unit("up", None), again])), "running");
        assert_eq!(system(&with(vec![unit("waiting", None), unit("failed", None)])), "degraded");
        assert_eq!(system(&Status { goal: Some("exit".into()), ..Status::default() }), "stopping");
    }

    #[test]
    fn how_it_ended() {
        let end = |code, status, memory| Some(End { code, status, memory });
        for (text, expected, word) in [
            ("exit 0", end(1, 0, false), "success"),
            ("exit 78", end(1, 78, false), "exit-code"),
            ("signal TERM", end(2, 15, false), "signal"),
            ("signal 33", end(2, 33, false), "signal"),
            ("signal RTMIN+3", end(2, 37, false), "signal"),
            ("signal SEGV, core dumped", end(3, 11, false), "core-dump"),
            ("signal KILL, out of memory", end(2, 9, true), "oom-kill"),
            ("not known", None, "exit-code"),
        ] {
            assert_eq!(End::of(text), expected, "{text}");
            let state = if text == "exit 0" { "done" } else { "failed" };
            let unit = UnitStatus { last_exit: Some(text.into()), ..unit(state, None) };
            assert_eq!(result(&unit), word, "{text}");
        }
        for (why, word) in [
            ("it was not ready within 30 s; again in 2 s", "timeout"),
            ("gave up after 3 failures in 1m: it exited with status 1", "start-limit-hit"),
            ("it sent no WATCHDOG=1 for 3 s; again in 1 s", "watchdog"),
            ("it asked for its end (WATCHDOG=trigger); again in 1 s", "watchdog"),
            ("no process could be made: out of memory; again in 1 s", "resources"),
            ("its program could not be executed: no such file or directory; again in 30 s", "exit-code"),
        ] {
            assert_eq!(result(&unit("backoff", Some(why))), word, "{why}");
        }
        assert_eq!(result(&unit("stuck", None)), "timeout");
    }

    #[test]
    fn names() {
        assert_eq!(
            (id("web"), id("web.service"), id("a.b")),
            ("web.service".into(), "web.service".into(), "a.b.service".into())
        );
        assert_eq!(
            (bare("web.service"), bare("web"), bare(".service"), bare("a.timer")),
            ("web", "web", ".service", "a.timer")
        );
        assert_eq!(
            (foreign("a.timer"), foreign("a.b"), foreign("a.service"), foreign("a")),
            (Some("timer"), None, None, None)
        );
        let status =
            Status { units: vec![unit("a", None), unit("a.service", None), unit("b", None)], ..Status::default() };
        let called = |typed| status.called(typed).map(|unit| unit.name.as_str());
        assert_eq!(
            (called("a"), called("a.service"), called("b.service"), called("c")),
            (Some("a"), Some("a.service"), Some("b"), None)
        );
    }

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("k*", "k3s.service", true),
            ("*.service", "k3s.service", true),
            ("k?s.service", "k3s.service", true),
            ("k?s", "k3s.service", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("**", "x", true),
            ("*ab", "aab", true),
            ("*a?*c", "xac", false),
            ("*a?*c", "abacc", true),
            ("", "", true),
            ("", "x", false),
            ("wg0", "wg0", true),
            ("wg0", "wg00", false),
        ] {
            assert_eq!(like(pattern, name), expected, "{pattern} {name}");
        }
    }
}
