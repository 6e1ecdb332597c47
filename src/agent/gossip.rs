//! Following gossip: the whole membership, each time that it changes, for ever and through every restart of gossip.

use std::time::Duration;

use log::{info, warn};
use tokio::sync::mpsc::Sender;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use zeroize::Zeroizing;

use super::notify;
use super::rpc::{Client, Error};
use crate::cluster::{Member, Status};
use crate::mesh::record::{TAGS, Tags};

/// Gossip that restarts is there again after some 100 ms.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);
/// Events come in bursts: what comes within this long is looked at together, or in four times as long as a look takes.
const BURST: Duration = Duration::from_millis(100);
/// The membership is read this often without any event.
const REFRESH: Duration = Duration::from_secs(60);
/// A node that is alone asks this often.
const ALONE: Duration = Duration::from_secs(10);

/// What this node is in gossip.
#[derive(Clone)]
pub struct Own {
    /// Where gossip serves its RPC.
    pub rpc: String,
    /// What its RPC wants to be told first; empty if nothing.
    pub password: Zeroizing<String>,
    /// This node's name.
    pub name: String,
    /// Its signed tags, as they are at the moment.
    pub tags: watch::Receiver<Tags>,
    /// Whom to join while no other node is alive.
    pub targets: Vec<String>,
}

/// Sends the whole membership into `out` at the start, at every change and every minute. Returns when `out` is closed.
pub async fn follow(own: Own, out: Sender<Vec<Member>>) {
    let mut delay = SHORTEST;
    let mut said = false;
    while !out.is_closed() {
        let error = match Client::connect(&own.rpc, &own.password).await {
            Ok(client) => {
                if std::mem::take(&mut said) {
                    info!("gossip at {} answers", own.rpc);
                }
                delay = SHORTEST;
                let Err(error) = listen(client, &own, &out).await else { return };
                error
            }
            Err(error) => error,
        };
        if !std::mem::replace(&mut said, true) {
            info!("waiting for gossip at {}: {error}; the peers stay as they are", own.rpc);
            notify::status("waiting for gossip");
        }
        sleep(delay).await;
        delay = (delay * 2).min(LONGEST);
    }
}

/// Follows one connection until it breaks; done when `out` is closed.
async fn listen(mut client: Client, own: &Own, out: &Sender<Vec<Member>>) -> Result<(), Error> {
    client.subscribe().await?;
    let mut asked: Option<Instant> = None;
    let mut alone = false;
    let mut tags = own.tags.clone();
    loop {
        let begun = Instant::now();
        let members = client.members().await?;
        let burst = BURST.max(begun.elapsed() * 4);
        // Who moved follows anew: what this one would say of the node is no longer so.
        if out.is_closed() {
            return Ok(());
        }
        tags.mark_unchanged();
        introduce(&mut client, own, &members).await?;
        let was_alone = std::mem::replace(&mut alone, is_alone(own, &members));
        if out.send(members).await.is_err() {
            return Ok(());
        }
        let ask = alone && !own.targets.is_empty();
        if ask && !was_alone {
            info!("no other node answers: asking {}", own.targets.join(", "));
        }
        let now = Instant::now();
        if ask && asked.is_none_or(|last| now >= last + ALONE) {
            asked = Some(now);
            // A join may take long, and this connection must stay free for events.
            tokio::spawn(join(own.clone()));
        }
        let next = if ask { asked.unwrap_or(now) + ALONE } else { now + REFRESH };
        tokio::select! {
            stirred = client.stirred() => {
                stirred?;
                // The rest of the burst; a connection that broke says so at the next request.
                drop(timeout(burst, async { while client.stirred().await.is_ok() {} }).await);
            }
            // Where nobody can change them any more, they stay as they are.
            Ok(()) = tags.changed() => {}
            () = sleep_until(next) => {}
            () = out.closed() => return Ok(()),
        }
    }
}

/// Sets this node's tags if gossip shows others.
async fn introduce(client: &mut Client, own: &Own, members: &[Member]) -> Result<(), Error> {
    let Some(me) = members.iter().find(|member| member.name == own.name) else { return Ok(()) };
    let tags = own.tags.borrow().clone();
    let gone: Vec<&str> =
        TAGS.into_iter().filter(|tag| me.tags.contains_key(*tag) && !tags.contains_key(*tag)).collect();
    if gone.is_empty() && tags.iter().all(|(key, value)| me.tags.get(key) == Some(value)) {
        return Ok(());
    }
    match client.set_tags(&tags, &gone).await {
        Err(Error::Said(cause)) => {
            warn!("unable to announce this node's record: {cause}; the other nodes do not let it in");
            Ok(())
        }
        Ok(()) => look(client).await,
        other => other,
    }
}

/// Has every node look at once; where gossip does not want that, they do a second later.
async fn look(client: &mut Client) -> Result<(), Error> {
    match client.have_all_look().await {
        Err(Error::Said(_)) => Ok(()),
        other => other,
    }
}

fn is_alone(own: &Own, members: &[Member]) -> bool {
    !members.iter().any(|member| member.name != own.name && member.status == Status::Alive)
}

async fn join(own: Own) {
    // That nobody answers is no news: being alone was said, and it is asked again.
    if let Ok(mut client) = Client::connect(&own.rpc, &own.password).await
        && client.join(&own.targets).await.is_ok()
    {
        drop(look(&mut client).await);
    }
}
