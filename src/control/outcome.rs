//! What became of a request, read from the status documents before and after it.

use super::status::{Status, UnitStatus};
use crate::unit::Wish;

/// How far a request has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// PID 1 has not read it yet.
    Sent,
    /// PID 1 took it, and it is not done yet.
    Taken,
    /// It is done; the unit's state and pid in words.
    Done(String),
    /// It was refused, or will not come true soon: why, and what comes next.
    Failed(String),
}

/// What became of `wish` for `unit`, whose requests were `before` in number when it was sent, as `status` has it.
pub fn outcome(wish: Wish, unit: &str, before: u64, status: &Status) -> Outcome {
    let Some(unit) = status.units.iter().find(|known| known.name == unit) else {
        return Outcome::Failed("the unit table has it no more; ask again".to_owned());
    };
    if unit.requests <= before {
        return Outcome::Sent;
    }
    if let Some(refusal) = &unit.refusal {
        return Outcome::Failed(format!("{refusal}; nothing was changed"));
    }
    match (wish, unit.state.as_str(), unit.pending.as_deref()) {
        // Sent in the same turn that took it.
        (Wish::Reload, _, _) => Outcome::Done(done(unit)),
        (_, "stuck", _) => Outcome::Failed(format!("{}; it is left alone", because(unit))),
        (Wish::Stop, "off", None) => Outcome::Done(done(unit)),
        (Wish::Stop, "stopping", _) | (Wish::Stop, _, Some("stop")) => Outcome::Taken,
        (Wish::Stop, _, _) => Outcome::Failed("somebody has asked to start it; ask again".to_owned()),
        (Wish::Start | Wish::Restart, _, Some("stop")) | (Wish::Start | Wish::Restart, "off", None) => {
            Outcome::Failed("somebody has asked to stop it; ask again".to_owned())
        }
        (Wish::Start | Wish::Restart, "failed", _) => {
            Outcome::Failed(format!("{}; it is not tried again", because(unit)))
        }
        (Wish::Start | Wish::Restart, "backoff", _) => Outcome::Failed(because(unit)),
        (Wish::Start | Wish::Restart, "up" | "done", None) => Outcome::Done(done(unit)),
        (Wish::Start | Wish::Restart, _, _) if status.goal.is_some() => {
            Outcome::Failed("the node is shutting down; nothing starts any more".to_owned())
        }
        (Wish::Start | Wish::Restart, _, _) => Outcome::Taken,
    }
}

fn done(unit: &UnitStatus) -> String {
    match unit.pid {
        Some(pid) => format!("{} (pid {pid})", unit.state),
        None => unit.state.clone(),
    }
}

/// Why a unit is in its state, or the state alone.
pub fn because(unit: &UnitStatus) -> String {
    match unit.why.as_deref() {
        Some(why) => why.to_owned(),
        None => format!("it is {}", unit.state),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: &str, pending: Option<&str>, requests: u64) -> Status {
        let unit = UnitStatus {
            name: "web".into(),
            state: state.into(),
            why: (state == "backoff").then(|| "it exited with status 1; again in 2 s".into()),
            pid: (state == "up").then_some(7),
            requests,
            pending: pending.map(str::to_owned),
            ..UnitStatus::default()
        };
        Status { phase: "running".into(), units: vec![unit], ..Status::default() }
    }

    #[test]
    fn what_each_state_means_for_each_wish() {
        let failed = |why: &str| Outcome::Failed(why.to_owned());
        let done = |what: &str| Outcome::Done(what.to_owned());
        let stopped = || failed("somebody has asked to stop it; ask again");
        for (wish, state, pending, expected) in [
            (Wish::Start, "waiting", None, Outcome::Taken),
            (Wish::Start, "starting", None, Outcome::Taken),
            (Wish::Start, "up", None, done("up (pid 7)")),
            (Wish::Start, "done", None, done("done")),
            (Wish::Start, "backoff", None, failed("it exited with status 1; again in 2 s")),
            (Wish::Start, "failed", None, failed("it is failed; it is not tried again")),
            (Wish::Start, "stopping", None, Outcome::Taken),
            (Wish::Start, "off", Some("start"), Outcome::Taken),
            (Wish::Start, "off", None, stopped()),
            (Wish::Start, "up", Some("stop"), stopped()),
            (Wish::Restart, "up", Some("restart"), Outcome::Taken),
            (Wish::Restart, "stopping", Some("restart"), Outcome::Taken),
            (Wish::Restart, "starting", None, Outcome::Taken),
            (Wish::Restart, "up", None, done("up (pid 7)")),
            (Wish::Restart, "stuck", Some("restart"), failed("it is stuck; it is left alone")),
            (Wish::Reload, "up", None, done("up (pid 7)")),
            (Wish::Reload, "backoff", None, done("backoff")),
            (Wish::Stop, "up", Some("stop"), Outcome::Taken),
            (Wish::Stop, "stopping", Some("stop"), Outcome::Taken),
            (Wish::Stop, "off", None, done("off")),
            (Wish::Stop, "stuck", Some("stop"), failed("it is stuck; it is left alone")),
            (Wish::Stop, "up", None, failed("somebody has asked to start it; ask again")),
        ] {
            let status = status(state, pending, 1);
            assert_eq!(outcome(wish, "web", 0, &status), expected, "{wish:?} {state} {pending:?}");
            assert_eq!(outcome(wish, "web", 1, &status), Outcome::Sent, "{wish:?} {state} {pending:?}");
        }
    }

    #[test]
    fn refusals_and_ends() {
        let failed = |why: &str| Outcome::Failed(why.to_owned());
        let mut status = status("waiting", None, 3);
        status.goal = Some("exit".into());
        assert_eq!(
            outcome(Wish::Start, "web", 2, &status),
            failed("the node is shutting down; nothing starts any more")
        );
        assert_eq!(outcome(Wish::Start, "gone", 2, &status), failed("the unit table has it no more; ask again"));
        for unit in &mut status.units {
            unit.refusal = Some("its `when` does not hold".into());
        }
        assert_eq!(outcome(Wish::Stop, "web", 2, &status), failed("its `when` does not hold; nothing was changed"));
    }
}
