//! Whether a peer's session is of the run in which its host is now. A host that starts anew has lost its part of every session, and may
//! have a clock that is behind: WireGuard refuses what it sends until the peer that it was is removed.

use super::endpoints::lives;
use super::peers::ObservedPeer;

/// A peer is made anew at most once in so many seconds, however often its host says that it started.
pub const REST: u64 = 60;

/// A host shakes hands by itself at most so many seconds before gossip tells of its run.
pub const AHEAD: u64 = 2;

/// What is known of a peer's runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    last: Option<u32>,
    /// The last run, until there is a session of it, or the peer was made anew for it.
    news: Option<News>,
    /// When the peer was made anew last, in seconds since 1970.
    anew: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct News {
    /// When it was heard of, in seconds since 1970.
    at: u64,
    /// Whether a run before it is known, which ended then.
    ended: bool,
}

impl Runs {
    /// Takes the run of which a signed record tells at `now`, in seconds since 1970.
    pub(super) fn hear(&mut self, run: u32, now: u64) {
        if self.last != Some(run) {
            self.news = Some(News { at: now, ended: self.last.is_some() });
            self.last = Some(run);
        }
    }

    /// The device has just been given the peer: there is nothing before this run.
    pub(super) fn begin(&mut self) {
        self.news = None;
    }

    /// Whether `peer`, as the device has it, is of a run that ended, and must be made anew; once for each.
    ///
    /// Who did not hear of the run before this one has only the session to go by: it counts as of this run until it is dead.
    pub(super) fn ended(&mut self, peer: &ObservedPeer, now: u64) -> bool {
        let Some(news) = self.news else { return false };
        let since = news.at.saturating_sub(AHEAD)..=now.saturating_add(AHEAD);
        if peer.handshake.is_some_and(|at| since.contains(&at)) {
            self.news = None;
            return false;
        }
        let rests = self.anew.is_some_and(|at| now.abs_diff(at) < REST);
        if rests || !news.ended && lives(peer, now) {
            return false;
        }
        (self.news, self.anew) = (None, Some(now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{AHEAD, REST, Runs};
    use crate::mesh::endpoints::STALE;
    use crate::mesh::keyring::Psk;
    use crate::mesh::peers::{ObservedPeer, WgKey};
    use proptest::prelude::{Strategy, any, prop_assert, prop_oneof, proptest};

    const NOW: u64 = 1_800_000_000;

    fn peer(handshake: Option<u64>) -> ObservedPeer {
        ObservedPeer {
            key: WgKey([1; 32]),
            endpoint: None,
            allowed: Vec::new(),
            keepalive: 0,
            psk: Psk::none(),
            handshake,
            rx: 0,
            tx: 0,
        }
    }

    /// What is known of a peer whose first run was heard of long ago.
    fn known() -> Runs {
        let mut runs = Runs::default();
        runs.hear(1, NOW - 10_000);
        runs.begin();
        runs
    }

    #[test]
    fn a_session_of_a_run_that_ended_is_made_anew_once() {
        for before in [None, Some(NOW - AHEAD - 1), Some(NOW - STALE - 1), Some(NOW + 86_400)] {
            let mut runs = known();
            runs.hear(1, NOW);
            assert!(!runs.ended(&peer(before), NOW), "the same run: {before:?}");
            runs.hear(2, NOW);
            assert!(runs.ended(&peer(before), NOW), "{before:?}");
            for later in [NOW, NOW + 1, NOW + REST, NOW + 10_000] {
                runs.hear(2, later);
                assert!(!runs.ended(&peer(None), later), "twice: {before:?}");
            }
        }
    }

    #[test]
    fn a_session_that_the_new_run_began_stays() {
        for made in [NOW - AHEAD, NOW, NOW + 3] {
            let mut runs = known();
            runs.hear(2, NOW);
            assert!(!runs.ended(&peer(Some(made)), NOW + 3), "{made}");
            // Nor is it made anew when it dies in its turn.
            assert!(!runs.ended(&peer(Some(made)), NOW + 1000), "{made}");
        }
    }

    #[test]
    fn a_run_that_was_never_told_is_no_change() {
        let mut runs = Runs::default();
        for now in [NOW, NOW + 1000] {
            assert!(!runs.ended(&peer(Some(NOW)), now));
        }
    }

    #[test]
    fn without_a_run_before_only_a_dead_session_is_made_anew() {
        // An agent that started anew finds the peer as one before it left it.
        let first = || {
            let mut runs = Runs::default();
            runs.hear(2, NOW);
            runs
        };
        let mut runs = first();
        for now in [NOW, NOW + STALE - 100] {
            assert!(!runs.ended(&peer(Some(NOW - 100)), now));
        }
        assert!(runs.ended(&peer(Some(NOW - 100)), NOW + STALE - 99));
        assert!(!runs.ended(&peer(None), NOW + 1000));
        assert!(first().ended(&peer(None), NOW));
        // What it gave the device itself has nothing before it.
        let mut runs = first();
        runs.begin();
        assert!(!runs.ended(&peer(None), NOW));
        runs.hear(3, NOW + 1);
        assert!(runs.ended(&peer(None), NOW + 1));
    }

    #[test]
    fn who_says_again_and_again_that_it_started_is_made_anew_once_a_minute() {
        let mut runs = known();
        let anew = (NOW..NOW + 600).filter(|now| {
            runs.hear(if now % 2 == 0 { 8 } else { 9 }, *now);
            runs.ended(&peer(None), *now)
        });
        let anew: Vec<u64> = anew.map(|now| now - NOW).collect();
        assert_eq!(anew, (0..10).map(|minute| minute * REST).collect::<Vec<_>>());
    }

    /// What happens to a peer in the second that comes next.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Run(u32),
        Shake,
        Look,
        Pass(u64),
    }

    proptest! {
        #[test]
        fn a_session_made_after_the_news_is_never_touched(
            steps in proptest::collection::vec(
                prop_oneof![
                    (0..3_u32).prop_map(Step::Run),
                    proptest::strategy::Just(Step::Shake),
                    proptest::strategy::Just(Step::Look),
                    (0..400_u64).prop_map(Step::Pass),
                ],
                0..60,
            ),
            known in any::<bool>(),
        ) {
            let (mut runs, mut now, mut held) = (Runs::default(), NOW, peer(known.then_some(NOW - 1)));
            let (mut last, mut heard) = (None, NOW);
            let mut anew: Vec<u64> = Vec::new();
            for step in steps {
                now += 1;
                match step {
                    Step::Run(run) => {
                        heard = if last == Some(run) { heard } else { now };
                        last = Some(run);
                        runs.hear(run, now);
                    }
                    Step::Shake => held.handshake = Some(now),
                    Step::Pass(seconds) => now += seconds,
                    Step::Look if runs.ended(&held, now) => {
                        prop_assert!(held.handshake.is_none_or(|at| at < heard), "{held:?}, the news at {heard}");
                        prop_assert!(anew.last().is_none_or(|last| *last < heard && now - last >= REST), "{anew:?}");
                        anew.push(now);
                        held.handshake = None;
                    }
                    Step::Look => {}
                }
            }
            prop_assert!(anew.is_empty() || last.is_some());
        }
    }
}
