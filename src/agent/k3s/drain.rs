//! Before a server ends with its node, its pods go to other nodes; when it is back, pods may come again. An agent has no
//! credentials for either: its pods are missed by the cluster, and then made anew elsewhere.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use log::info;

use super::{binary, down, role_of, start};
use crate::agent::Failure;
use crate::agent::files::{self, Place};
use crate::agent::node;
use crate::agent::paths::Paths;
use crate::cluster::k3s::{Role, ending};

/// The credentials for the cluster, of a server alone.
const CREDENTIALS: &str = "/etc/rancher/k3s/k3s.yaml";
/// How long an answer to anything but a drain is waited for.
const ANSWER: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// Moves the pods elsewhere, as long as there is time, and remembers that it did.
pub fn drain(paths: &Paths) -> Result<(), Failure> {
    let Some(kubectl) = Kubectl::find(paths)? else { return Ok(()) };
    let until = Instant::now() + down::haste().drain();
    let failed = |cause: String| Failure {
        code: 1,
        text: format!("unable to move the pods of {} to other nodes: {cause}; they end with it", kubectl.node),
    };
    // Who keeps pods away from here on purpose shall find it so when the node is back.
    let cordoned = kubectl.run(&ending::is_cordoned(&kubectl.node), until).map_err(failed)?;
    if cordoned.trim() != "true" {
        remember(paths).map_err(|error| failed(format!("{}: {error}", paths.k3s_drained().display())))?;
    }
    let left = until.saturating_duration_since(Instant::now());
    kubectl.run(&ending::drain(&kubectl.node, left), until).map_err(failed)?;
    info!("moved the pods of {} to other nodes", kubectl.node);
    Ok(())
}

/// Lets pods come again, if a drain of ours keeps them away.
pub fn uncordon(paths: &Paths) -> Result<(), Failure> {
    if !paths.k3s_drained().exists() {
        return Ok(());
    }
    let Some(kubectl) = Kubectl::find(paths)? else { return forget(paths) };
    kubectl.run(&ending::uncordon(&kubectl.node), Instant::now() + ANSWER).map_err(|cause| Failure {
        code: 1,
        text: format!("unable to let pods come to {} again: {cause}; trying again", kubectl.node),
    })?;
    info!("pods may come to {} again", kubectl.node);
    forget(paths)
}

fn remember(paths: &Paths) -> std::io::Result<()> {
    let path = paths.k3s_drained();
    files::folder(&path, true)?;
    files::replace(&path, "", false, Place::Kept)
}

fn forget(paths: &Paths) -> Result<(), Failure> {
    let path = paths.k3s_drained();
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Failure { code: 1, text: format!("unable to remove {}: {error}; remove it by hand", path.display()) })
        }
        _ => Ok(()),
    }
}

/// k3s's own kubectl, with the credentials of this server.
struct Kubectl {
    binary: std::path::PathBuf,
    credentials: std::path::PathBuf,
    node: String,
}

impl Kubectl {
    /// None where this node is no server, or has never been up as one.
    fn find(paths: &Paths) -> Result<Option<Kubectl>, Failure> {
        let (config, _) = node::configuration(paths)?;
        let credentials = paths.resolve(Path::new(CREDENTIALS));
        match (role_of(&config), binary()) {
            (Ok(Some(Role::Server)), Some(binary)) if credentials.exists() => {
                let node = node::name(&config)?.to_ascii_lowercase();
                Ok(Some(Kubectl { binary, credentials, node }))
            }
            _ => Ok(None),
        }
    }

    /// What it says, at `until` at the latest; or why not.
    fn run(&self, words: &[String], until: Instant) -> Result<String, String> {
        let mut command = Command::new(&self.binary);
        command.arg("kubectl").args(words).env("KUBECONFIG", &self.credentials);
        start::clean(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", self.binary.display()))?;
        let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
        // It may say more than a pipe holds before it ends.
        let said = std::thread::spawn(move || text(out.as_mut()));
        let complained = std::thread::spawn(move || text(err.as_mut()));
        let ended = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < until => sleep(PAUSE),
                Ok(None) => {
                    drop(child.kill().and_then(|()| child.wait()));
                    break None;
                }
                Err(error) => return Err(error.to_string()),
            }
        };
        let Some(status) = ended else { return Err(format!("kubectl {} was not done in time", words[0])) };
        let (said, complained) = (said.join().unwrap_or_default(), complained.join().unwrap_or_default());
        if status.success() {
            return Ok(said);
        }
        let last = complained.lines().rev().find(|line| !line.trim().is_empty());
        Err(last.map_or_else(|| format!("kubectl {} ended with {status}", words[0]), |line| line.trim().to_owned()))
    }
}

fn text(from: Option<&mut impl Read>) -> String {
    let mut bytes = Vec::new();
    // What came before an error is still worth showing.
    from.map(|from| from.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}
