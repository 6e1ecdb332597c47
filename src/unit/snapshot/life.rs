//! Where the node is in its life.

use super::super::event::Goal;
use super::super::shutdown::{Ending, Life};
use super::super::table::Signal;
use super::super::time::Time;
use super::page::Page;
use super::pass_goal;

pub(super) fn pass_life(life: &mut Life, page: &mut Page<'_>) {
    let word = match life {
        Life::Running => "running",
        Life::Stopping(_) => "stopping",
        Life::Sweeping { .. } => "sweeping",
        Life::Logs { .. } => "logs",
        Life::Halted(_) => "halted",
    };
    page.word("is", word, &mut |read| {
        let (ending, until) = (NO_ENDING, Time::ZERO);
        *life = match read {
            "running" => Life::Running,
            "stopping" => Life::Stopping(ending),
            "sweeping" => Life::Sweeping { ending, signal: Signal(0), due: true, until },
            "logs" => Life::Logs { ending, killed: false, until },
            "halted" => Life::Halted(Goal::Exit),
            _ => return false,
        };
        true
    });
    match life {
        Life::Running => {}
        Life::Stopping(ending) => pass_ending(ending, page),
        Life::Sweeping { ending, signal, due, until } => {
            pass_ending(ending, page);
            page.must("signal", signal);
            page.may("due", due);
            page.must("sweeping-until", until);
        }
        Life::Logs { ending, killed, until } => {
            pass_ending(ending, page);
            page.may("killed", killed);
            page.must("logs-until", until);
        }
        Life::Halted(goal) => pass_goal(goal, page),
    }
}

/// Before it is read.
const NO_ENDING: Ending = Ending { goal: Goal::Exit, begun: Time::ZERO, until: Time::ZERO, hurry: None, forced: false };

fn pass_ending(ending: &mut Ending, page: &mut Page<'_>) {
    let Ending { goal, begun, until, hurry, forced } = ending;
    pass_goal(goal, page);
    page.must("begun", begun);
    page.must("until", until);
    page.may("hurry", hurry);
    page.may("forced", forced);
}
