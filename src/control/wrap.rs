//! A command without a unit table: which signal reaches it and whom, and what its exit status becomes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::unit::signal::{self, RTMAX, RTMIN};
use crate::unit::{Kill, Signal, Unit, duration};

/// Who gets the signals that are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// The process group that the command leads.
    Group,
    /// The command alone.
    Child,
}

/// A second less than `docker stop` gives.
const BUDGET: Duration = Duration::from_secs(9);
/// What is left for orphans after the last moment of the command.
const ORPHANS: Duration = Duration::from_secs(5);

/// How one command is wrapped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wrap {
    /// Who gets the signals; none: nobody has said, and it is the group.
    pub to: Option<Recipient>,
    /// There is no command: reap, and end when told to.
    pub pause: bool,
    /// Warn of every orphan that is reaped.
    pub tell_reaped: bool,
    /// How long after a TERM the command is killed; none: it never is.
    kill_after: Option<Duration>,
    /// What a signal becomes; none: it is dropped.
    rewrites: BTreeMap<i32, Option<Signal>>,
    /// Exit statuses that count as 0.
    good: BTreeSet<u8>,
}

impl Wrap {
    /// Takes `FROM:TO`, names or numbers; 0 for `TO` drops the signal. The last word about a signal counts.
    ///
    /// # Errors
    /// What is wrong with it, as the cause of a message.
    pub fn rewrite(&mut self, text: &str) -> Result<(), String> {
        let (from, to) = text.split_once(':').ok_or_else(|| format!("{text} is not FROM:TO"))?;
        let from = signal(from)?;
        if [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD].contains(&from.0) {
            return Err(format!("{} is never passed on", signal::name(from)));
        }
        self.rewrites.insert(from.0, if to == "0" { None } else { Some(signal(to)?) });
        Ok(())
    }

    /// Takes an exit status that is to count as 0.
    ///
    /// # Errors
    /// What is wrong with it, as the cause of a message.
    pub fn count_as_good(&mut self, text: &str) -> Result<(), String> {
        let status = text.parse().map_err(|_| format!("{text} is no exit status from 0 to 255"))?;
        self.good.insert(status);
        Ok(())
    }

    /// Takes how long after a TERM the command is killed.
    ///
    /// # Errors
    /// What is wrong with it, as the cause of a message.
    pub fn kill_after(&mut self, text: &str) -> Result<(), String> {
        let span = duration::parse(text).ok_or_else(|| format!("{text} is not {}", duration::HOW))?;
        self.kill_after = Some(span);
        Ok(())
    }

    /// Whether `signal` begins a shutdown, and is no more just passed on.
    pub fn shuts_down(&self, signal: i32) -> bool {
        signal == libc::SIGTERM && self.kill_after.is_some() && self.passes(signal).is_some()
    }

    /// Makes that shutdown end the command as it is wrapped.
    pub fn shape(&self, main: &mut Unit) {
        if let (Some(after), Some(signal)) = (self.kill_after, self.passes(libc::SIGTERM)) {
            (main.stop_timeout, main.stop_signal) = (after, signal);
        }
        if self.to == Some(Recipient::Child) {
            main.kill = Kill::Main;
        }
    }

    /// The longest that a shutdown may take.
    pub fn budget(&self) -> Duration {
        BUDGET.max(self.kill_after.unwrap_or_default().saturating_add(ORPHANS))
    }

    /// What is passed on when `signal` comes in; none: nothing.
    pub fn passes(&self, signal: i32) -> Option<Signal> {
        self.rewrites.get(&signal).copied().unwrap_or(Some(Signal(signal)))
    }

    /// What PID 1 exits with when the command's exit status (128 + N after signal N) is `status`.
    pub fn status(&self, status: u8) -> u8 {
        if self.good.contains(&status) { 0 } else { status }
    }
}

/// The signal called `text`, by name or number.
///
/// # Errors
/// What is wrong with it, as the cause of a message.
pub fn signal(text: &str) -> Result<Signal, String> {
    let number = text.parse().ok().filter(|number| (1..=31).contains(number) || (RTMIN..=RTMAX).contains(number));
    number.map(Signal).or_else(|| signal::parse(text)).ok_or_else(|| format!("there is no signal {text}"))
}

/// Whether `signal`, sent while there is no command to pass it to, asks for the end.
pub fn ends(signal: Signal) -> bool {
    [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGPWR, RTMIN + 3].contains(&signal.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(words: &[&str]) -> Result<Wrap, String> {
        let mut wrap = Wrap::default();
        words.iter().try_for_each(|text| wrap.rewrite(text)).map(|()| wrap)
    }

    #[test]
    fn what_is_not_rewritten_passes_as_it_is() {
        for number in (1..=31).chain(34..=64) {
            assert_eq!(Wrap::default().passes(number), Some(Signal(number)));
        }
    }

    #[test]
    fn signals_are_rewritten_once_and_dropped() {
        let wrap = rewritten(&["TERM:QUIT", "3:SIGRTMIN+3", "rtmin+3:USR1", "WINCH:0", "15:INT"]).unwrap();
        assert_eq!(wrap.passes(15), Some(Signal(2)));
        assert_eq!(wrap.passes(3), Some(Signal(37)));
        assert_eq!(wrap.passes(37), Some(Signal(10)));
        assert_eq!(wrap.passes(28), None);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, why) in [
            ("15", "15 is not FROM:TO"),
            ("", " is not FROM:TO"),
            ("15:", "there is no signal "),
            ("0:15", "there is no signal 0"),
            ("TREM:15", "there is no signal TREM"),
            ("15:65", "there is no signal 65"),
            ("15:32", "there is no signal 32"),
            ("15:-1", "there is no signal -1"),
            ("15:2:3", "there is no signal 2:3"),
            ("KILL:15", "KILL is never passed on"),
            ("17:15", "CHLD is never passed on"),
        ] {
            assert_eq!(rewritten(&[text]).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn a_term_begins_a_shutdown_where_the_command_has_a_limit() {
        let mut wrap = rewritten(&["TERM:INT"]).unwrap();
        let mut main = Unit::new("main", vec!["x".to_owned()]);
        wrap.shape(&mut main);
        assert_eq!((main.stop_signal, main.kill), (Signal(15), Kill::Cgroup));
        assert!(!wrap.shuts_down(15));
        assert_eq!(wrap.budget(), BUDGET);
        wrap.kill_after("30s").unwrap();
        wrap.to = Some(Recipient::Child);
        wrap.shape(&mut main);
        assert_eq!((main.stop_signal, main.kill, main.stop_timeout), (Signal(2), Kill::Main, Duration::from_secs(30)));
        assert!(wrap.shuts_down(15) && !wrap.shuts_down(2));
        assert_eq!(wrap.budget(), Duration::from_secs(35));
        wrap.rewrite("TERM:0").unwrap();
        assert!(!wrap.shuts_down(15));
        let said = wrap.kill_after("30").unwrap_err();
        assert_eq!(said, "30 is not a whole number and ms, s, m or h, such as \"10s\"");
    }

    #[test]
    fn good_statuses_become_0() {
        let mut wrap = Wrap::default();
        wrap.count_as_good("143").unwrap();
        wrap.count_as_good("3").unwrap();
        let statuses = [0, 3, 4, 143, 255].map(|status| wrap.status(status));
        assert_eq!(statuses, [0, 0, 4, 0, 255]);
        for bad in ["256", "-1", "", "x"] {
            assert_eq!(wrap.count_as_good(bad).unwrap_err(), format!("{bad} is no exit status from 0 to 255"));
        }
    }
}
