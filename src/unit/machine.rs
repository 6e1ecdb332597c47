//! All units and the shutdown: the machine.

use std::time::Duration;

use super::event::{Action, Event, Goal, View};
use super::table::Table;
use super::time::Time;

/// What the machine needs to know beside the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Makes backoff jitter differ between nodes (a hash of the node's name).
    pub seed: u64,
    /// The longest that a whole shutdown may take before everything left is killed.
    pub budget: Duration,
    /// What the end of the main command, if there is one, leads to.
    pub goal: Goal,
}

/// Where the node is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Starting and keeping units.
    Running,
    /// Stopping towards this goal.
    Stopping(Goal),
}

/// The machine.
#[derive(Debug)]
pub struct Machine {
    table: Table,
}

impl Machine {
    /// A machine that will start every enabled unit of `table`. `skips` holds, by unit, why its `when` does not hold.
    pub fn new(table: Table, _skips: Vec<Option<String>>, _options: Options, _now: Time) -> Machine {
        Machine { table }
    }

    /// Records what happened. Nothing is done until [`Machine::next`] is called.
    pub fn handle(&mut self, _now: Time, _event: Event) {}

    /// The next thing to do, or nothing. Called until it answers nothing.
    pub fn next(&mut self, _now: Time) -> Option<Action> {
        None
    }

    /// When to call [`Machine::handle`] with [`Event::Tick`] at the latest; none: only an event wakes the machine.
    pub fn deadline(&self) -> Option<Time> {
        None
    }

    /// The table that it runs.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Where the node is in its life.
    pub fn phase(&self) -> Phase {
        Phase::Running
    }

    /// Every unit as a person sees it, in the order of the table.
    pub fn views(&self, _now: Time) -> Vec<View<'_>> {
        Vec::new()
    }
}
