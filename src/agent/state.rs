//! How the tunnel to a member is, in a word, and why it does not stand.

use super::report::{Own, Peer};
use crate::cluster::Status;

/// A handshake is tried again every five seconds (WireGuard's Rekey-Timeout); one that was lost is no sign of anything yet.
const SOON: u64 = 15;

/// How a tunnel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It stands.
    Connected,
    /// There was no handshake yet.
    Waiting,
    /// It stood, and nothing was heard for longer than a session lasts.
    Silent,
    /// It does not stand, and gossip does not hear the member either.
    Failed,
    /// The member is no peer.
    Refused,
}

impl State {
    /// Every state, the best first.
    pub const ALL: [State; 5] = [State::Connected, State::Waiting, State::Silent, State::Failed, State::Refused];

    /// The state of the tunnel to `peer`.
    pub fn of(peer: &Peer) -> State {
        match (peer.verified, peer.connected, peer.handshake) {
            (false, ..) => State::Refused,
            (true, true, _) => State::Connected,
            (true, false, _) if peer.status == Status::Failed.word() => State::Failed,
            (true, false, Some(_)) => State::Silent,
            (true, false, None) => State::Waiting,
        }
    }

    /// The state in a word.
    pub const fn word(self) -> &'static str {
        match self {
            State::Connected => "connected",
            State::Waiting => "waiting",
            State::Silent => "silent",
            State::Failed => "failed",
            State::Refused => "refused",
        }
    }
}

/// Why the tunnel to `peer` does not stand, `now` in seconds since 1970; none if it does.
pub fn why(peer: &Peer, own: &Own, now: u64) -> Option<String> {
    let interface = &own.interface;
    if let Some(reason) = &peer.reason {
        return Some(reason.clone());
    }
    if peer.connected {
        return None;
    }
    if own.mode == "absent" {
        return Some(format!("{interface} is not there"));
    }
    if !peer.present {
        return Some(format!("it is not on {interface} yet"));
    }
    let Some(endpoint) = peer.endpoint else {
        return Some("where it is, is not known: it must begin".to_owned());
    };
    if peer.status == Status::Failed.word() {
        return Some("gossip does not hear it either".to_owned());
    }
    if peer.status == Status::Unknown.word() {
        return Some("gossip does not show it any more".to_owned());
    }
    let silent = match (peer.handshake, peer.since) {
        (Some(at), _) => format!("nothing was heard for {}", lasted(now.saturating_sub(at))),
        (None, Some(since)) if now.saturating_sub(since) < SOON => {
            return Some(format!("waiting for the first one for {}", lasted(now.saturating_sub(since))));
        }
        (None, Some(since)) => format!("none for {}", lasted(now.saturating_sub(since))),
        (None, None) => return Some("waiting for the first one".to_owned()),
    };
    // A handshake that it began counts as bytes; without one in the end it never took our answer.
    let cause = if peer.rx > 0 && peer.handshake.is_none() {
        "it was heard, and does not take our answer: is UDP open both ways, is the cluster key the same?".to_owned()
    } else {
        format!("it answers gossip, is UDP open to {endpoint}?")
    };
    Some(format!("{silent}; {cause}"))
}

/// A time in the unit in which a person would say it.
pub fn lasted(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::{State, lasted, why};
    use crate::agent::report::tests::document;
    use crate::agent::report::{Own, Peer};

    const NOW: u64 = 10_000;

    /// A peer that answers gossip and was never heard.
    fn peer() -> (Peer, Own) {
        let document = document();
        let peer =
            Peer { connected: false, handshake: None, since: Some(NOW - 40), rx: 0, ..document.peers[0].clone() };
        (peer, document.own)
    }

    fn said(change: impl FnOnce(&mut Peer, &mut Own)) -> (&'static str, Option<String>) {
        let (mut peer, mut own) = peer();
        change(&mut peer, &mut own);
        (State::of(&peer).word(), why(&peer, &own, NOW))
    }

    #[test]
    fn each_reason_is_said_in_the_order_in_which_it_counts() {
        let said = |change: fn(&mut Peer, &mut Own)| {
            let (state, why) = said(change);
            (state, why.unwrap_or_default())
        };
        let is = |state, why: &str| (state, why.to_owned());
        let open = "it answers gossip, is UDP open to 172.30.0.12:51820?";
        assert_eq!(said(|_, _| {}), is("waiting", &format!("none for 40 s; {open}")));
        assert_eq!(said(|peer, _| peer.since = Some(NOW - 3)), is("waiting", "waiting for the first one for 3 s"));
        assert_eq!(said(|peer, _| peer.since = None), is("waiting", "waiting for the first one"));
        assert_eq!(
            said(|peer, _| peer.handshake = Some(NOW - 300)),
            is("silent", &format!("nothing was heard for 5 min; {open}"))
        );
        assert_eq!(said(|peer, _| peer.status = "failed".to_owned()), is("failed", "gossip does not hear it either"));
        assert_eq!(
            said(|peer, _| peer.status = "unknown".to_owned()),
            is("waiting", "gossip does not show it any more")
        );
        assert_eq!(said(|peer, _| peer.endpoint = None), is("waiting", "where it is, is not known: it must begin"));
        assert_eq!(said(|peer, _| peer.present = false), is("waiting", "it is not on wg0 yet"));
        assert_eq!(said(|_, own| own.mode = "absent".to_owned()), is("waiting", "wg0 is not there"));
        assert_eq!(
            said(|peer, _| peer.rx = 92),
            is(
                "waiting",
                "none for 40 s; it was heard, and does not take our answer: is UDP open both ways, is the cluster key the same?"
            )
        );
        let refused = said(|peer, _| {
            peer.verified = false;
            peer.reason = Some("its record is an old one".to_owned());
        });
        assert_eq!(refused, is("refused", "its record is an old one"));
    }

    #[test]
    fn a_tunnel_that_stands_needs_no_reason_also_when_gossip_failed() {
        let said = said(|peer, _| {
            peer.connected = true;
            peer.handshake = Some(NOW - 20);
            peer.status = "failed".to_owned();
        });
        assert_eq!(said, ("connected", None));
    }

    #[test]
    fn times_are_short() {
        assert_eq!([lasted(0), lasted(119), lasted(120), lasted(7200)], ["0 s", "119 s", "2 min", "2 h"]);
    }
}
