//! `give-up`: after how many failures a unit is not started again, and what that means for the node.

use std::collections::VecDeque;
use std::time::Duration;

use toml::de::DeValue;

use super::draft::Draft;
use super::duration;
use super::mistake::quoted;
use super::suggest;
use super::table::Backoff;
use super::time::Time;
use super::value::Field;

/// `give-up`: this many failures within this long end the unit's restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GiveUp {
    /// How many failures; 1 to 100.
    pub after: u32,
    /// Within how long.
    pub within: Duration,
    /// What comes of it.
    pub then: Then,
}

/// What the node does when a unit gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing: the unit is failed, the others go on.
    Stay,
    /// It shuts down: a container ends, a machine powers off.
    Shutdown,
    /// It restarts; a container ends.
    Reboot,
}

impl Default for GiveUp {
    /// What is not said: ten failures within five minutes, and the others go on.
    fn default() -> GiveUp {
        GiveUp { after: 10, within: Duration::from_secs(300), then: Then::Stay }
    }
}

impl GiveUp {
    /// The shortest time in which a unit with this backoff can fail so often: the first restart after a long run comes at
    /// once, each later one after its delay, which is an eighth shorter at the least.
    pub(super) fn soonest(&self, backoff: Backoff) -> Duration {
        let plain = |failures: u32| backoff.first.saturating_mul(1 << failures.saturating_sub(1).min(31));
        let delays = (2..self.after).map(|failures| plain(failures).min(backoff.cap));
        delays.fold(Duration::ZERO, Duration::saturating_add) * 7 / 8
    }
}

/// When a unit failed lately: never more entries than its `give-up` counts to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Failures(pub VecDeque<Time>);

impl Failures {
    /// Counts a failure at `now`. Whether that was one too many.
    pub fn count(&mut self, now: Time, rule: &GiveUp) -> bool {
        let most = usize::try_from(rule.after).unwrap_or(usize::MAX);
        while self.0.len() >= most.max(1) || self.0.front().is_some_and(|first| now.since(*first) > rule.within) {
            self.0.pop_front();
        }
        self.0.push_back(now);
        self.0.len() >= most
    }

    /// Begins anew.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

/// The most failures that can be counted to: each is remembered by its time.
const MOST: u32 = 100;

pub(super) fn give_up(field: &mut Field<'_>, draft: &mut Draft) {
    if field.value.get_ref().as_str() == Some("never") {
        draft.unit.give_up = None;
        return;
    }
    let DeValue::Table(parts) = field.value.get_ref() else { return field.wrong(field.value) };
    let mut rule = GiveUp::default();
    for (name, value) in parts {
        match name.get_ref().as_ref() {
            "after" => {
                let number = match value.get_ref() {
                    DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix()).ok(),
                    _ => None,
                };
                match number.filter(|number| (1..=MOST).contains(number)) {
                    Some(number) => rule.after = number,
                    None => field.refuse(value, "after is no number of failures", "write a number from 1 to 100"),
                }
            }
            "within" => match value.get_ref().as_str().and_then(duration::parse).filter(|span| !span.is_zero()) {
                Some(span) => rule.within = span,
                None => field.refuse(value, "within is no duration", format!("write {}", duration::HOW)),
            },
            "then" => match value.get_ref().as_str() {
                Some("stay") => rule.then = Then::Stay,
                Some("shutdown") => rule.then = Then::Shutdown,
                Some("reboot") => rule.then = Then::Reboot,
                _ => field.refuse(value, "then is none of its values", "write \"stay\", \"shutdown\" or \"reboot\""),
            },
            other => {
                let next = match suggest::nearest(other, ["after", "within", "then"]) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("write {}", field.key.values),
                };
                field.refuse(value, format!("unknown word {}", quoted(other)), next);
            }
        }
    }
    draft.unit.give_up = Some(rule);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn failures_count_within_the_window_and_take_no_more_room_than_that() {
        let rule = GiveUp { after: 3, within: Duration::from_secs(10), then: Then::Stay };
        let mut failures = Failures::default();
        let told: Vec<bool> = [0, 5, 11, 12, 15].into_iter().map(|time| failures.count(at(time), &rule)).collect();
        assert_eq!(told, [false, false, false, true, true]);
        for time in 0..10_000 {
            failures.count(at(time), &rule);
            assert!(failures.0.len() <= 3);
        }
        failures.forget();
        assert!(!failures.count(at(20_000), &rule));
        assert!(failures.count(at(0), &GiveUp { after: 1, ..rule }));
    }

    #[test]
    fn the_soonest_end_of_ten_failures() {
        let rule = GiveUp::default();
        // 0.5 + 1 + 2 + 4 + 8 + 16 + 30 + 30 s, less an eighth.
        assert_eq!(rule.soonest(Backoff::default()), Duration::from_millis(91_500) * 7 / 8);
        assert_eq!(GiveUp { after: 1, ..rule }.soonest(Backoff::default()), Duration::ZERO);
    }
}
