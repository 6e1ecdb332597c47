//! `/var/lib/cluster-os/keyring`: the keys of gossip as Serf keeps them, the primary first. `node-agent init` makes it from the
//! configured key; from then on gossip keeps it, and `node-agent keys` or `serf keys` on any one node change it on all.

use std::future::pending;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use log::{info, warn};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use zeroize::Zeroizing;

use super::config::{self, Config};
use super::files::{self, Place};
use super::paths::Paths;
use super::{Failure, init, node, serf};
use crate::mesh::Keyring;
use crate::mesh::keyring::MOST;

/// What to do about a damaged keyring.
const MEND: &str = "put back a copy of another node's file, or move it away and it is made anew from the configured key \
                    (nothing was changed)";

/// The keys in the file, or none if there is no file. A damaged file is an error, and is left as it is.
pub fn read(path: &Path) -> Result<Option<Keyring>, Failure> {
    let Some(text) = files::read(path).map_err(|error| node::unreadable(path, &error, MEND))? else { return Ok(None) };
    parse(&text)
        .map(Some)
        .map_err(|cause| Failure::configuration(format!("unable to read {}: {cause}; {MEND}", path.display())))
}

/// The keyring of a text. The error shows no value: one may be a key.
fn parse(text: &str) -> Result<Keyring, String> {
    let kind = |error: serde_json::Error| match (text.trim().is_empty(), error.line(), error.column()) {
        (true, ..) => "the file is empty".to_owned(),
        (false, line, column) => format!("line {line}, column {column}: not a list of keys in base64"),
    };
    let texts: Vec<Zeroizing<String>> = serde_json::from_str(text).map_err(kind)?;
    let key = |(at, text): (usize, &Zeroizing<String>)| {
        config::gossip_key(text).map_err(|cause| format!("key {}: {cause}", at + 1))
    };
    let keys: Vec<Zeroizing<Vec<u8>>> = texts.iter().enumerate().map(key).collect::<Result<_, _>>()?;
    if keys.is_empty() {
        return Err("it holds no key".to_owned());
    }
    if keys.len() > MOST {
        return Err(format!("it holds {} keys, and {MOST} are the most", keys.len()));
    }
    Ok(Keyring::new(keys.iter().map(|key| key.as_slice())))
}

/// Makes the file if there is none, and anew if the configured key is another than the one it was made of and not in it.
pub(super) fn keep(paths: &Paths, config: &Config) -> Result<(), Failure> {
    let path = paths.keyring();
    let key = serf::gossip_key(config)
        .map_err(|cause| Failure::configuration(format!("unable to make the configuration of gossip: {cause}")))?;
    let configured = serf::configured(config);
    let Some(held) = read(&path)? else {
        write(&path, &key)?;
        info!("made {} from the configured key: gossip keeps it from now on", path.display());
        return Ok(());
    };
    init::close(&path, "the cluster's key");
    // A change of the key that is under way, or was done, is not undone by its being configured afterwards.
    if held.fingerprints().iter().any(|key| key.to_string() == configured) {
        return Ok(());
    }
    match node::made_of(paths) {
        Some(made_of) if made_of != configured => {
            write(&path, &key)?;
            warn!(
                "the configured key is {configured} now and was {made_of}: {} held {held}, and is made anew from it",
                path.display()
            );
        }
        _ => info!(
            "the cluster's key was changed: {} holds {held}, and counts before the configured {configured}, from which the \
             RPC's password and k3s's token still follow",
            path.display()
        ),
    }
    Ok(())
}

/// Writes a keyring of one key, as Serf would.
fn write(path: &Path, key: &[u8]) -> Result<(), Failure> {
    let encoded = Zeroizing::new(STANDARD.encode(key));
    let text = Zeroizing::new(format!("[\n  \"{}\"\n]", encoded.as_str()));
    let written = files::folder(path, true).and_then(|()| files::replace(path, &text, true, Place::Kept));
    written.map_err(|error| init::unwritable(path, &error))
}

/// The file as it is read again and again while gossip may write it.
pub struct Source {
    path: PathBuf,
    damage: String,
}

impl Source {
    /// The file at `path`.
    pub fn new(path: PathBuf) -> Source {
        Source { path, damage: String::new() }
    }

    /// The keys that are in the file now; none if it cannot be read, which is said once. Serf writes it in place, so half
    /// of it may be there for a moment.
    pub fn read(&mut self) -> Option<Keyring> {
        match read(&self.path) {
            Ok(keyring) => {
                self.damage.clear();
                keyring
            }
            Err(failure) => {
                if self.damage != failure.text {
                    warn!("{}; this node goes on with the keys that it has", failure.text);
                    self.damage = failure.text;
                }
                None
            }
        }
    }
}

/// Tells that the file was written.
pub struct Watch(Option<Receiver>);

impl Watch {
    /// Watches the file. Where that cannot be, the file is read at each look all the same.
    pub fn new(path: &Path) -> Watch {
        let watch = || -> std::io::Result<Receiver> {
            let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
            // Serf writes into the file, gossipd puts another in its place.
            let folder = path.parent().unwrap_or(Path::new("/"));
            inotify.add_watch(folder, AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO)?;
            Receiver::from_owned_fd_unchecked(inotify.as_fd().try_clone_to_owned()?)
        };
        let said = |error: &_| warn!("unable to watch {}: {error}; looking every minute instead", path.display());
        Watch(watch().inspect_err(said).ok())
    }

    /// Returns when the file was written; never where nothing is watched.
    pub async fn changed(&mut self) {
        let Some(events) = &mut self.0 else { return pending().await };
        loop {
            // Each event ends with the name of its file, which ends with a zero.
            let mut text = [0; 4096];
            match events.read(&mut text).await {
                Ok(length) if length > 0 => {
                    let ours = |name: &[u8]| name == b"keyring\0";
                    if text.get(..length).is_some_and(|text| text.windows(8).any(ours)) {
                        return;
                    }
                }
                _ => return pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::mesh::Keyring;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn a_keyring_is_read_as_serf_writes_it() {
        let (one, two) = (STANDARD.encode([1; 32]), STANDARD.encode([2; 16]));
        let text = format!("[\n  \"{one}\",\n  \"{two}\"\n]");
        assert_eq!(parse(&text), Ok(Keyring::new([&[1; 32][..], &[2; 16]])));
    }

    #[test]
    fn damage_is_said_without_a_key() {
        let key = STANDARD.encode([1; 32]);
        let five = format!("[{}]", vec![format!("{key:?}"); 5].join(","));
        for (text, said) in [
            ("", "the file is empty"),
            ("[]", "it holds no key"),
            (&format!("[\"{key}"), "line 1, column 46: not a list of keys in base64"),
            (&format!("{key:?}"), "line 1, column 46: not a list of keys in base64"),
            ("[\"c2VjcmV0\"]", "key 1: 6 bytes, not 16, 24 or 32"),
            (&format!("[\"{key}\", \"!\"]"), "key 2: not base64"),
            (&five, "it holds 5 keys, and 4 are the most"),
        ] {
            assert_eq!(parse(text), Err(said.to_owned()), "{text}");
        }
    }
}
