//! What a signal to PID 1 means.

use super::request;
use crate::unit::Goal;
use crate::unit::signal::RTMIN;

/// What PID 1 is to its surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It wraps one command and there is no unit table: the caller's signals are the command's.
    Command,
    /// It wraps nothing: it reaps until it is told to end.
    Pause,
    /// It runs a unit table in a container.
    Container,
    /// It runs a unit table as the init of a machine.
    Appliance,
}

/// What PID 1 does about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Begin an orderly shutdown; again, to hurry it.
    Shutdown(Goal),
    /// Write the status document and print the status table; with [`QUIET`] beside the signal, print nothing.
    Status,
    /// Read the table again, and put it in the place of the running one.
    Reload,
    /// Go on as the program that is now where ours was.
    Renew,
    /// One request to a unit; which one tells the number queued beside it ([`super::request`]).
    Request,
    /// A child has ended. PID 1 looks for ended children after every wait, so there is nothing to do besides.
    Child,
    /// Pass it on to the main command, if there is one, and to the units that ask for it.
    Forward,
    /// Do nothing, and log this reason.
    Ignore(&'static str),
}

impl Meaning {
    /// What PID 1 does, in words.
    pub fn words(self) -> String {
        match self {
            Meaning::Shutdown(Goal::Exit) => "orderly shutdown".to_owned(),
            Meaning::Shutdown(Goal::PowerOff) => "orderly shutdown, then power off".to_owned(),
            Meaning::Shutdown(Goal::Reboot) => "orderly shutdown, then reboot".to_owned(),
            Meaning::Shutdown(Goal::Halt) => "orderly shutdown, then halt".to_owned(),
            Meaning::Status => "write the status document and print the status table".to_owned(),
            Meaning::Reload => "read the unit table again, and do what differs".to_owned(),
            Meaning::Renew => "go on as the program that is now in its place".to_owned(),
            Meaning::Request => "take the request that is queued beside it".to_owned(),
            Meaning::Child => "reap a child that has ended".to_owned(),
            Meaning::Forward => "pass it on".to_owned(),
            Meaning::Ignore(why) => format!("nothing: {why}"),
        }
    }
}

/// Every signal that means something to PID 1 where there is a unit table: its number, and what it does in a container and on a
/// machine.
pub fn table() -> impl Iterator<Item = (i32, Meaning, Meaning)> {
    MEANINGS.iter().map(|row| (row.signal, row.container, row.appliance))
}

/// Queued beside `USR1` by who will read the document: the log is spared a table at every health check.
pub const QUIET: i32 = 1;

/// One signal's meaning in a container and on an appliance.
struct Row {
    signal: i32,
    container: Meaning,
    appliance: Meaning,
}

/// Every signal that means something where there is a unit table. All others are forwarded.
const MEANINGS: &[Row] = &[
    // Ctrl-C in the foreground of a container, `docker stop` and `kubectl delete`.
    Row {
        signal: libc::SIGTERM,
        container: Meaning::Shutdown(Goal::Exit),
        appliance: Meaning::Ignore(NOT_ON_A_MACHINE),
    },
    Row {
        signal: libc::SIGQUIT,
        container: Meaning::Shutdown(Goal::Exit),
        appliance: Meaning::Ignore(NOT_ON_A_MACHINE),
    },
    // The kernel sends INT to a machine's init for Ctrl-Alt-Del.
    Row { signal: libc::SIGINT, container: Meaning::Shutdown(Goal::Exit), appliance: Meaning::Shutdown(Goal::Reboot) },
    // LXC, Incus, and a UPS.
    Row {
        signal: libc::SIGPWR,
        container: Meaning::Shutdown(Goal::Exit),
        appliance: Meaning::Shutdown(Goal::PowerOff),
    },
    // podman and LXC send RTMIN+3 to an init; the numbers are systemd's.
    Row { signal: RTMIN + 3, container: Meaning::Shutdown(Goal::Exit), appliance: Meaning::Shutdown(Goal::Halt) },
    Row { signal: RTMIN + 4, container: Meaning::Shutdown(Goal::Exit), appliance: Meaning::Shutdown(Goal::PowerOff) },
    Row { signal: RTMIN + 5, container: Meaning::Shutdown(Goal::Exit), appliance: Meaning::Shutdown(Goal::Reboot) },
    Row { signal: libc::SIGUSR1, container: Meaning::Status, appliance: Meaning::Status },
    Row { signal: libc::SIGHUP, container: Meaning::Reload, appliance: Meaning::Reload },
    Row { signal: libc::SIGUSR2, container: Meaning::Renew, appliance: Meaning::Renew },
    Row { signal: request::SIGNAL, container: Meaning::Request, appliance: Meaning::Request },
    Row { signal: libc::SIGCHLD, container: Meaning::Child, appliance: Meaning::Child },
];

const NOT_ON_A_MACHINE: &str = "it does not end a machine; RTMIN+4 or PWR powers off, INT reboots";
const NOTHING_TO_PASS_IT_TO: &str = "this is a pause without a command; TERM or INT ends it";

/// The signal that asks for a shutdown with this goal; in a container they all ask for the same.
pub const fn asking(goal: Goal) -> i32 {
    match goal {
        Goal::Halt => RTMIN + 3,
        Goal::PowerOff | Goal::Exit => RTMIN + 4,
        Goal::Reboot => RTMIN + 5,
    }
}

/// What `signal` means in `mode`. With a bare command every signal but SIGCHLD is the command's own.
pub fn meaning(signal: i32, mode: Mode) -> Meaning {
    let row = MEANINGS.iter().find(|row| row.signal == signal);
    match (mode, row) {
        (Mode::Command | Mode::Pause, _) if signal == libc::SIGCHLD => Meaning::Child,
        (Mode::Pause, Some(Row { container: Meaning::Shutdown(goal), .. })) => Meaning::Shutdown(*goal),
        (Mode::Pause, _) => Meaning::Ignore(NOTHING_TO_PASS_IT_TO),
        (Mode::Command, _) | (Mode::Container | Mode::Appliance, None) => Meaning::Forward,
        (Mode::Container, Some(row)) => row.container,
        (Mode::Appliance, Some(row)) => row.appliance,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_command_gets_every_signal() {
        for signal in (1..=31).chain(34..=64) {
            let expected = if signal == libc::SIGCHLD { Meaning::Child } else { Meaning::Forward };
            assert_eq!(meaning(signal, Mode::Command), expected, "{signal}");
        }
    }

    #[test]
    fn a_pause_only_ends() {
        for signal in (1..=31).chain(34..=64) {
            let meaning = meaning(signal, Mode::Pause);
            match signal {
                2 | 3 | 15 | 30 | 37 | 38 | 39 => assert_eq!(meaning, Meaning::Shutdown(Goal::Exit), "{signal}"),
                17 => assert_eq!(meaning, Meaning::Child),
                _ => assert!(matches!(meaning, Meaning::Ignore(_)), "{signal}"),
            }
        }
    }

    #[test]
    fn a_container_shuts_down() {
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGPWR, 37, 38, 39] {
            assert_eq!(meaning(signal, Mode::Container), Meaning::Shutdown(Goal::Exit), "{signal}");
        }
    }

    #[test]
    fn a_machine_tells_the_ways_to_end_apart() {
        let goal = |signal| meaning(signal, Mode::Appliance);
        assert_eq!(goal(libc::SIGINT), Meaning::Shutdown(Goal::Reboot));
        assert_eq!(goal(libc::SIGPWR), Meaning::Shutdown(Goal::PowerOff));
        assert_eq!(goal(37), Meaning::Shutdown(Goal::Halt));
        assert_eq!(goal(38), Meaning::Shutdown(Goal::PowerOff));
        assert_eq!(goal(39), Meaning::Shutdown(Goal::Reboot));
        assert!(matches!(goal(libc::SIGTERM), Meaning::Ignore(_)));
        assert!(matches!(goal(libc::SIGQUIT), Meaning::Ignore(_)));
    }

    #[test]
    fn a_goal_is_asked_for_by_its_signal() {
        for goal in [Goal::PowerOff, Goal::Reboot, Goal::Halt] {
            assert_eq!(meaning(asking(goal), Mode::Appliance), Meaning::Shutdown(goal));
            assert_eq!(meaning(asking(goal), Mode::Container), Meaning::Shutdown(Goal::Exit));
        }
    }

    #[test]
    fn the_same_in_both() {
        for mode in [Mode::Container, Mode::Appliance] {
            assert_eq!(meaning(libc::SIGUSR1, mode), Meaning::Status);
            assert_eq!(meaning(libc::SIGCHLD, mode), Meaning::Child);
            assert_eq!(meaning(42, mode), Meaning::Request);
            assert_eq!(meaning(libc::SIGHUP, mode), Meaning::Reload);
            assert_eq!(meaning(libc::SIGUSR2, mode), Meaning::Renew);
            for signal in [libc::SIGWINCH, libc::SIGALRM, libc::SIGCONT, libc::SIGTSTP, 34, 64, 99] {
                assert_eq!(meaning(signal, mode), Meaning::Forward, "{signal}");
            }
        }
    }

    #[test]
    fn what_means_something_here_is_kept_from_units() {
        for signal in (1..=31).chain(34..=64) {
            // KILL and STOP reach nobody else; a fault's signal is PID 1's own fault.
            let other = [9, 19, 4, 5, 6, 7, 8, 11, 31].contains(&signal);
            let passes = meaning(signal, Mode::Container) == Meaning::Forward && !other;
            assert_eq!(passes, !crate::unit::signal::KEPT.contains(&signal), "{signal}");
        }
    }

    #[test]
    fn one_row_a_signal() {
        for (at, row) in MEANINGS.iter().enumerate() {
            assert!(MEANINGS.iter().skip(at + 1).all(|other| other.signal != row.signal), "{}", row.signal);
        }
    }
}
