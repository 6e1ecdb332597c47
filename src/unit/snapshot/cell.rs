//! One unit: its state and what is remembered of it.

use std::time::Duration;

use super::super::attributes::Stage;
use super::super::event::{Ending, Errno, SpawnError};
use super::super::finish::Aftermath;
use super::super::give_up::Failures;
use super::super::history::{History, Milestones, Transition};
use super::super::policy::Policy;
use super::super::probing::Probing;
use super::super::state::{Cell, Sequel, State, Step, Stop, Why};
use super::super::time::Time;
use super::super::watchdog::Watchdog;
use super::page::Page;
use super::{NOBODY, pass_tally};

pub(super) fn pass_cell(cell: &mut Cell, page: &mut Page<'_>) {
    let Cell {
        state,
        since,
        wanted,
        wanted_since,
        wants_over,
        again,
        changed,
        skip,
        gone,
        forgotten,
        failures,
        failed: Failures(failed),
        delay,
        starts,
        last_start,
        ready_after,
        last_exit,
        exec_error,
        status,
        foreign_said,
        aftermath,
        probing,
        probe_said,
        watchdog: Watchdog { span, until, asked: watchdog_asked },
        asked,
        history,
    } = cell;
    page.part("state", &mut |page| pass_state(state, page));
    page.must("since", since);
    page.must("wanted", wanted);
    page.must("wanted-since", wanted_since);
    page.may("wants-over", wants_over);
    page.may("again", again);
    page.may("changed", changed);
    page.may("skip", skip);
    page.may("gone", gone);
    page.may("forgotten", forgotten);
    page.may("failures", failures);
    let mut times = Vec::from(std::mem::take(failed));
    page.list("failed", &mut times, || Time::ZERO, |time, page| page.must("at", time));
    *failed = times.into();
    page.may("delay", delay);
    page.may("starts", starts);
    page.must("last-start", last_start);
    page.may("ready-after", ready_after);
    page.may("last-exit", last_exit);
    page.perhaps("exec-error", exec_error, SpawnError::exec(Errno(0)), pass_spawn_error);
    page.may("status", status);
    page.may("foreign-said", foreign_said);
    pass_aftermath(aftermath, page);
    page.part("probing", &mut |page| pass_probing(probing, page));
    page.may("probe-said", probe_said);
    page.may("watchdog", span);
    page.may("watchdog-until", until);
    page.may("watchdog-asked", watchdog_asked);
    pass_tally(asked, page);
    pass_history(history, page);
}

fn pass_state(state: &mut State, page: &mut Page<'_>) {
    let word = state.word();
    page.word("is", word, &mut |read| {
        *state = match read {
            "off" => State::Off,
            "skipped" => State::Skipped(String::new()),
            "waiting" => State::Waiting,
            "backoff" => State::Backoff { until: Time::ZERO, why: BLANK },
            "starting" => State::Starting { pid: None, deadline: None },
            "up" => State::Up { pid: NOBODY },
            "done" => State::Done,
            "stopping" => State::Stopping(Stop {
                main: None,
                step: Step::Signalled,
                deadline: Time::ZERO,
                sequel: None,
                ended: None,
            }),
            "stuck" => State::Stuck { pid: NOBODY },
            "failed" => State::Failed(BLANK),
            _ => return false,
        };
        true
    });
    match state {
        State::Off | State::Waiting | State::Done => {}
        State::Skipped(why) => page.must("why", why),
        State::Backoff { until, why } => {
            page.must("until", until);
            page.part("why", &mut |page| pass_why(why, page));
        }
        State::Starting { pid, deadline } => {
            page.may("pid", pid);
            page.may("deadline", deadline);
        }
        State::Up { pid } | State::Stuck { pid } => page.must("pid", pid),
        State::Stopping(stop) => pass_stop(stop, page),
        State::Failed(why) => page.part("why", &mut |page| pass_why(why, page)),
    }
}

/// Before it is read.
const BLANK: Why = Why::Fork(Errno(0));

fn pass_stop(stop: &mut Stop, page: &mut Page<'_>) {
    let Stop { main, step, deadline, sequel, ended } = stop;
    page.may("main", main);
    let word = match step {
        Step::Command(_) => "command",
        Step::Signalled => "signalled",
        Step::Killed(_) => "killed",
        Step::Finish(_) => "finish",
        Step::FinishKilled(_) => "finish-killed",
    };
    page.word("step", word, &mut |read| {
        *step = match read {
            "command" => Step::Command(None),
            "signalled" => Step::Signalled,
            "killed" => Step::Killed(None),
            "finish" => Step::Finish(None),
            "finish-killed" => Step::FinishKilled(NOBODY),
            _ => return false,
        };
        true
    });
    match step {
        Step::Command(pid) | Step::Killed(pid) | Step::Finish(pid) => page.may("command", pid),
        Step::FinishKilled(pid) => page.must("command", pid),
        Step::Signalled => {}
    }
    page.must("deadline", deadline);
    page.perhaps("sequel", sequel, Sequel { policy: Policy::Retry, why: BLANK }, pass_sequel);
    page.may("ended", ended);
}

fn pass_sequel(sequel: &mut Sequel, page: &mut Page<'_>) {
    let Sequel { policy, why } = sequel;
    let word = |policy: Policy| match policy {
        Policy::Done => "done",
        Policy::Retry => "retry",
        Policy::Fail => "fail",
    };
    page.word("policy", word(*policy), &mut |read| {
        let known = [Policy::Done, Policy::Retry, Policy::Fail].into_iter().find(|policy| word(*policy) == read);
        known.inspect(|known| *policy = *known).is_some()
    });
    page.part("why", &mut |page| pass_why(why, page));
}

fn pass_probing(probing: &mut Probing, page: &mut Page<'_>) {
    let word = match probing {
        Probing::None => "none",
        Probing::Due(_) => "due",
        Probing::Asked => "asked",
        Probing::Runs { .. } => "runs",
        Probing::Killed { .. } => "killed",
    };
    page.word("is", word, &mut |read| {
        *probing = match read {
            "none" => Probing::None,
            "due" => Probing::Due(Time::ZERO),
            "asked" => Probing::Asked,
            "runs" => Probing::Runs { pid: NOBODY, until: Time::ZERO },
            "killed" => Probing::Killed { pid: NOBODY, again: false },
            _ => return false,
        };
        true
    });
    match probing {
        Probing::None | Probing::Asked => {}
        Probing::Due(at) => page.must("at", at),
        Probing::Runs { pid, until } => {
            page.must("pid", pid);
            page.must("until", until);
        }
        Probing::Killed { pid, again } => {
            page.must("pid", pid);
            page.may("again", again);
        }
    }
}

fn pass_aftermath(aftermath: &mut Option<Aftermath>, page: &mut Page<'_>) {
    page.perhaps("aftermath", aftermath, Aftermath::Success, |aftermath, page| {
        page.word("is", aftermath.word(), &mut |read| {
            let known = Aftermath::ALL.into_iter().find(|known| known.word() == read);
            known.inspect(|known| *aftermath = *known).is_some()
        });
    });
}

fn pass_why(why: &mut Why, page: &mut Page<'_>) {
    let word = match why {
        Why::Ended(_) => "ended",
        Why::EarlyEnd(_) => "early-end",
        Why::Fork(_) => "fork",
        Why::Exec(_) => "exec",
        Why::StartTimeout(_) => "start-timeout",
        Why::Watchdog(_) => "watchdog",
        Why::GaveUp { .. } => "gave-up",
    };
    page.word("is", word, &mut |read| {
        *why = match read {
            "ended" => Why::Ended(Ending::Lost),
            "early-end" => Why::EarlyEnd(Ending::Lost),
            "fork" => BLANK,
            "exec" => Why::Exec(SpawnError::exec(Errno(0))),
            "start-timeout" => Why::StartTimeout(Duration::ZERO),
            "watchdog" => Why::Watchdog(None),
            "gave-up" => Why::GaveUp { after: 0, within: Duration::ZERO, last: Box::new(BLANK) },
            _ => return false,
        };
        true
    });
    match why {
        Why::Ended(how) | Why::EarlyEnd(how) => page.must("how", how),
        Why::Fork(errno) => page.must("errno", errno),
        Why::Exec(error) => pass_spawn_error(error, page),
        Why::StartTimeout(limit) => page.must("limit", limit),
        Why::Watchdog(limit) => page.may("limit", limit),
        Why::GaveUp { after, within, last } => {
            page.must("after", after);
            page.must("within", within);
            page.part("last", &mut |page| pass_why(last, page));
        }
    }
}

fn pass_spawn_error(error: &mut SpawnError, page: &mut Page<'_>) {
    let SpawnError { stage, errno, detail } = error;
    let mut number = *stage as i32;
    page.must("stage", &mut number);
    *stage = Stage::from_number(number);
    page.must("errno", errno);
    page.may("detail", detail);
}

fn pass_history(history: &mut History, page: &mut Page<'_>) {
    let History { last, milestones: Milestones { waiting, starting, ready } } = history;
    page.may("first-waiting", waiting);
    page.may("first-starting", starting);
    page.may("first-ready", ready);
    let mut list = Vec::from(std::mem::take(last));
    let blank = || Transition { at: Time::ZERO, state: "", pid: None, why: None };
    page.list("history", &mut list, blank, |transition, page| {
        let Transition { at, state, pid, why } = transition;
        page.must("at", at);
        page.word("state", state, &mut |read| {
            let known = STATES.into_iter().find(|known| *known == read);
            known.inspect(|known| *state = known).is_some()
        });
        page.may("pid", pid);
        page.may("why", why);
    });
    *last = list.into();
}

/// The words of [`Cell::word`].
const STATES: [&str; 10] =
    ["off", "skipped", "waiting", "backoff", "starting", "up", "done", "stopping", "stuck", "failed"];
