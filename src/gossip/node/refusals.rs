//! What came and was not listened to: counted, and said once a minute.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::unit::Time;

/// So often at most is the same said.
const PACE: Duration = Duration::from_secs(60);

/// What is counted together, and when it was last said.
#[derive(Debug, Default)]
struct Counter {
    said: Option<Time>,
    since: u64,
}

/// Counters by what was wrong: as many as there are causes.
#[derive(Debug, Default)]
pub struct Refusals {
    counters: BTreeMap<&'static str, Counter>,
    all: u64,
}

impl Refusals {
    /// Counts one; answers with the line that is to be said now, if one is.
    pub fn count(&mut self, now: Time, what: &'static str, from: Option<SocketAddr>, why: &str) -> Option<String> {
        self.all += 1;
        let counter = self.counters.entry(what).or_default();
        if counter.said.is_some_and(|said| now.since(said) < PACE) {
            counter.since += 1;
            return None;
        }
        counter.said = Some(now);
        let more = match std::mem::take(&mut counter.since) {
            0 => String::new(),
            count => format!(" (and {count} more like it since)"),
        };
        let from = from.map(|from| format!(" from={from}")).unwrap_or_default();
        Some(format!("memberlist: {what}: {why}{from}{more}"))
    }

    /// How many there were.
    pub fn all(&self) -> u64 {
        self.all
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Refusals;
    use crate::unit::Time;

    #[test]
    fn a_flood_is_a_line_a_minute() {
        let mut refusals = Refusals::default();
        let from = "10.0.0.1:7".parse().ok();
        let at = |millis| Time::ZERO + Duration::from_millis(millis);
        let lines: Vec<_> =
            (0..130_000).filter_map(|millis| refusals.count(at(millis), "packet", from, "no key opens it")).collect();
        assert_eq!(
            lines,
            [
                "memberlist: packet: no key opens it from=10.0.0.1:7",
                "memberlist: packet: no key opens it from=10.0.0.1:7 (and 59999 more like it since)",
                "memberlist: packet: no key opens it from=10.0.0.1:7 (and 59999 more like it since)",
            ]
        );
        assert!(refusals.count(at(130_000), "stream", None, "cut").is_some());
        assert_eq!(refusals.all(), 130_001);
    }
}
