//! How a node of k3s ends: how much of the time that there is each step may take, and what kubectl is told.

use std::time::Duration;

use crate::unit::stopping::Reason;

/// Where a node's pods are moved to other nodes, for so long at most.
const DRAIN: Duration = Duration::from_secs(20);
/// Pods have this long at most to end by themselves, as far as they heed TERM.
const GRACE: Duration = Duration::from_secs(10);
/// What there is where nobody says it: a person stands before it.
const BY_HAND: Duration = Duration::from_secs(60);

/// What somebody who stops us said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Haste {
    shutdown: bool,
    within: Duration,
}

impl Haste {
    /// From the values of [`REASON`](crate::unit::stopping::REASON) and [`SPAN`](crate::unit::stopping::SPAN); none of them:
    /// by hand.
    pub fn new(reason: Option<&str>, span: Option<&str>) -> Haste {
        let span = span.and_then(|text| text.parse().ok()).map(Duration::from_micros);
        Haste { shutdown: reason == Some(Reason::Shutdown.word()), within: span.unwrap_or(BY_HAND) }
    }

    /// How long a drain may take. When the node ends, k3s and pods come after it within the same time.
    pub fn drain(self) -> Duration {
        let share = if self.shutdown { self.within / 3 } else { self.within * 9 / 10 };
        share.min(DRAIN)
    }

    /// How long pods have between TERM and KILL.
    pub fn grace(self) -> Duration {
        (self.within / 2).min(GRACE)
    }
}

/// What kubectl is told so that the pods of `node` go elsewhere, within this time. Those that no other node can have are deleted:
/// they would not outlive the node.
pub fn drain(node: &str, within: Duration) -> Vec<String> {
    let limit = format!("--timeout={}ms", within.as_millis());
    let fixed = ["--force", "--delete-emptydir-data", "--ignore-daemonsets", "--disable-eviction"];
    ["drain", node].into_iter().chain(fixed).map(str::to_owned).chain([limit]).collect()
}

/// What kubectl is told so that pods may come to `node` again.
pub fn uncordon(node: &str) -> Vec<String> {
    ["uncordon", node].map(str::to_owned).into()
}

/// What kubectl is asked, and answers with `true`, where somebody keeps pods from `node` already.
pub fn is_cordoned(node: &str) -> Vec<String> {
    ["get", "node", node, "--output=jsonpath={.spec.unschedulable}"].map(str::to_owned).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_share() {
        let milliseconds = |haste: Haste| (haste.drain().as_millis(), haste.grace().as_millis());
        // A machine, a container, a second request, a person's `initctl stop`, a person's own call.
        for (reason, span, expected) in [
            (Some("shutdown"), Some("60000000"), (20_000, 10_000)),
            (Some("shutdown"), Some("9000000"), (3_000, 4_500)),
            (Some("shutdown"), Some("1000000"), (333, 500)),
            (Some("stop"), Some("10000000"), (9_000, 5_000)),
            (None, None, (20_000, 10_000)),
            (None, Some("soon"), (20_000, 10_000)),
        ] {
            assert_eq!(milliseconds(Haste::new(reason, span)), expected, "{reason:?} {span:?}");
        }
    }

    #[test]
    fn kubectl_is_told_the_limit() {
        let words = drain("node1", Duration::from_secs(3)).join(" ");
        assert!(words.starts_with("drain node1 --force ") && words.ends_with(" --timeout=3000ms"), "{words}");
    }
}
