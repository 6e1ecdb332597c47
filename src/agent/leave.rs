//! Leaving the cluster: the others are told, so that they see this node as `left`, and not as one that failed.

use std::env;
use std::time::Duration;

use log::{info, warn};
use serde::Deserialize;
use tokio::runtime::Builder;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::paths::Paths;
use super::rpc::{Client, Error};
use super::{Failure, files, hosts, node, say};
use crate::unit::stopping::{REASON, Reason, SPAN};

/// Telling the others takes Serf 1.3 to 1.6 s, and more only where messages are lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks gossip to leave, and waits until the others were told; gossip ends then. As a unit's `stop` command it does so only
/// when the node ends: one that merely starts again, or stays down while the node goes on, is no reason to close tunnels.
pub fn leave(paths: &Paths) -> Result<(), Failure> {
    let [reason, span] = [REASON, SPAN].map(|name| env::var(name).ok());
    let by_hand = reason.is_none();
    if reason.is_some_and(|reason| reason != Reason::Shutdown.word()) {
        return Ok(());
    }
    let failed = |cause: String| Failure {
        code: 1,
        text: format!("unable to leave the cluster: {cause}; the others see this node as failed until it is back"),
    };
    let gossip = Gossip::read(paths).map_err(failed)?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| failed(error.to_string()))?;
    let asked = async { Client::connect(&gossip.rpc_addr, &gossip.rpc_auth).await?.leave(PATIENCE).await };
    runtime
        .block_on(async { timeout(patience(span.as_deref()), asked).await.unwrap_or(Err(Error::Timeout)) })
        .map_err(|error| failed(format!("gossip at {}: {error}", gossip.rpc_addr)))?;
    info!("left the cluster");
    if let Err(error) = node::unsettle(paths) {
        warn!(
            "unable to write {}: {error}; this node claims its address again when it is back",
            paths.address_json().display()
        );
    }
    if let Err(error) = hosts::clear(paths) {
        warn!("unable to take the names of the mesh out of /etc/hosts: {error}; they lead nowhere now");
    }
    if by_hand {
        say(
            "the other nodes close their tunnels to this one; it is back when PID 1 starts gossip again: 'initctl stop gossip' keeps it out\n",
        )?;
    }
    Ok(())
}

/// Of what PID 1 grants (`span`, in microseconds) some stays for the signal that comes after.
fn patience(span: Option<&str>) -> Duration {
    let span = span.and_then(|text| text.parse().ok()).map(Duration::from_micros);
    span.map_or(PATIENCE, |span| PATIENCE.min(span * 3 / 4))
}

/// What of serf.json says how gossip is reached.
#[derive(Deserialize)]
pub(super) struct Gossip {
    /// Where it serves its RPC.
    pub(super) rpc_addr: String,
    /// What its RPC wants to be told first.
    pub(super) rpc_auth: Zeroizing<String>,
}

impl Gossip {
    /// As gossip itself reads it: this command has not the cluster's key in its environment.
    pub(super) fn read(paths: &Paths) -> Result<Gossip, String> {
        let path = paths.serf_json();
        let text = files::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let text = text.map(Zeroizing::new).ok_or_else(|| format!("there is no {}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::patience;

    #[test]
    fn what_is_granted_is_not_all_used() {
        assert_eq!(patience(None), Duration::from_secs(5));
        assert_eq!(patience(Some("10000000")), Duration::from_secs(5));
        assert_eq!(patience(Some("1000000")), Duration::from_millis(750));
        assert_eq!(patience(Some("soon")), Duration::from_secs(5));
    }
}
