//! `node-agent join`: what a person asks of gossip, once; `NODE_JOIN` is for every start.

use tokio::runtime::Builder;

use super::leave::Gossip;
use super::paths::Paths;
use super::rpc::{Client, Error};
use super::{Failure, say};

/// Has gossip join through `targets`, and says how many of them answered. Exit 1 if none did.
pub fn join(paths: &Paths, targets: &[String]) -> Result<(), Failure> {
    let all = targets.join(", ");
    let failed =
        |cause: String, next: &str| Failure { code: 1, text: format!("unable to join {all}: {cause}; {next}") };
    let running = "is the unit gossip up?";
    let gossip = Gossip::read(paths).map_err(|cause| failed(cause, running))?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.to_string(), "nothing was changed"))?;
    let asked = async {
        let mut client = Client::connect(&gossip.rpc_addr, &gossip.rpc_auth).await?;
        let joined = client.join(targets).await?;
        // Whether they look at once or a second later is no matter to who asked.
        drop(client.have_all_look().await);
        Ok(joined)
    };
    let joined = runtime.block_on(asked).map_err(|error| match error {
        Error::Said(cause) => failed(
            cause.trim().replace('\n', " "),
            "is it the address of a node's gossip, is its port open for TCP and UDP, is the cluster key the same?",
        ),
        error => failed(format!("gossip at {}: {error}", gossip.rpc_addr), running),
    })?;
    say(&format!("joined through {joined} of {}; 'node-agent peers' shows who comes in\n", targets.len()))
}
