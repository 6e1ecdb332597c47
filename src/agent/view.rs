//! `node-agent peers` and `node-agent status`: the last report, with what the device says this moment.

use std::time::Duration;

use log::warn;
use serde::Serialize;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::paths::Paths;
use super::picture::{self, Mesh};
use super::report::{Document, Peer, VERSION};
use super::state::{State, lasted};
use super::wg::{self, Device, Mode, Sight};
use super::{Failure, files, node, say};
use crate::cluster::Status;

/// A person waits this long for a device that does not answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Which table a person asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The peers.
    Peers,
    /// This node, gossip, and the peers.
    Status,
}

/// Writes the view to stdout, as JSON if `json`.
pub fn show(paths: &Paths, view: View, json: bool) -> Result<(), Failure> {
    let now = node::now();
    let document = look(paths, now)?;
    if json {
        return say(&as_json(&document)?);
    }
    say(&match view {
        View::Peers => peers(&document, now),
        View::Status => status(&document, now),
    })
}

/// Writes the cluster as this node sees it to stdout, as a picture.
pub fn mesh_svg(paths: &Paths) -> Result<(), Failure> {
    let now = node::now();
    say(&picture::svg(&look(paths, now)?, now))
}

/// Writes the same as JSON.
pub fn mesh_json(paths: &Paths) -> Result<(), Failure> {
    let now = node::now();
    say(&as_json(&Mesh::new(&look(paths, now)?, now))?)
}

fn as_json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        Failure::internal(format!("unable to write the report as JSON: {error}; look at it without --json"))
    })?;
    Ok(text + "\n")
}

/// Writes in a line how this node is in the mesh; fails if it is not.
pub fn check(paths: &Paths) -> Result<(), Failure> {
    let document = look(paths, node::now())?;
    let (config, _) = node::configuration(paths)?;
    match document.mesh(config.discovery.bootstrap == Some(true)) {
        Ok(text) => say(&(text + "\n")),
        Err(cause) => Err(Failure { code: 1, text: format!("unable to reach the mesh: {cause}") }),
    }
}

/// The last report, with what the device says this moment.
fn look(paths: &Paths, now: u64) -> Result<Document, Failure> {
    let mut document = read(paths)?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| Failure::internal(format!("unable to look at the device: {error}; nothing was changed")))?;
    match runtime.block_on(observe(&mut document, now)) {
        Ok(()) | Err(wg::Error::Absent(_)) => {}
        Err(error) => warn!("unable to look at {}: {error}; this is what was seen last", document.own.interface),
    }
    Ok(document)
}

async fn observe(document: &mut Document, now: u64) -> Result<(), wg::Error> {
    match Device::open(&document.own.interface).await {
        Ok(mut device) => {
            let observed = timeout(PATIENCE, device.dump()).await;
            let stuck = |_| wg::Error::Refused("no answer".to_owned(), std::io::ErrorKind::TimedOut.into());
            let observed = observed.map_err(stuck)??;
            let sight = wg::sight(&document.own.interface, document.own.ula).await;
            document.observe(Mode::word(Some(device.mode())), sight, Some(&observed), now);
            Ok(())
        }
        Err(wg::Error::Absent(name)) => {
            document.observe(Mode::word(None), Sight::default(), None, now);
            Err(wg::Error::Absent(name))
        }
        Err(error) => Err(error),
    }
}

fn read(paths: &Paths) -> Result<Document, Failure> {
    let path = paths.peers_json();
    let failed = |cause: String| Failure {
        code: 1,
        text: format!("unable to read {}: {cause}; is 'node-agent start' running?", path.display()),
    };
    let text = files::read(&path).map_err(|error| failed(error.to_string()))?;
    let text = text.ok_or_else(|| failed("no such file".to_owned()))?;
    let document: Document = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
    if document.version == VERSION {
        Ok(document)
    } else {
        Err(failed(format!("it is of version {}, not {VERSION}", document.version)))
    }
}

fn status(document: &Document, now: u64) -> String {
    let own = &document.own;
    let (all, connected) = document.counts();
    let mtu = own.mtu.map(|mtu| format!(", MTU {mtu}")).unwrap_or_default();
    let wireguard = match own.mode.as_str() {
        "kernel" => format!("{}, in the kernel{mtu}", own.interface),
        "userspace" => format!("{}, in USERSPACE: this kernel has no WireGuard, so it is slower{mtu}", own.interface),
        _ => format!("{} is not there: waiting for it", own.interface),
    };
    let ipv6 = match own.ula {
        Some(ula) if own.ipv6 || own.mode == "absent" => ula.to_string(),
        Some(ula) => format!("{ula}, which {} does not have: there is no IPv6 here", own.interface),
        None => "none: networking.ipv6 is false".to_owned(),
    };
    let gossip: Vec<String> = document.gossip.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let refused = document.peers.iter().filter(|peer| peer.reason.is_some()).count();
    let mut text = format!(
        "node       {}\nnode id    {}\naddress    {}\nipv6       {ipv6}\nwireguard  {wireguard}\ngossip     {}\npeers      {all}, {connected} connected, {refused} refused\n",
        own.name,
        own.node_id,
        own.address,
        if gossip.is_empty() { "no members".to_owned() } else { gossip.join(", ") },
    );
    let alone = document.gossip.get(Status::Alive.word()).is_none_or(|alive| *alive < 2);
    if !document.asking.is_empty() {
        text.push_str(&format!("alone      asking {}\n", document.asking.join(", ")));
    } else if alone {
        text.push_str("alone      no other node answers: waiting for one that joins, or 'node-agent join ADDRESS'\n");
    }
    if !document.peers.is_empty() {
        text.push('\n');
        text.push_str(&peers(document, now));
    }
    text
}

fn peers(document: &Document, now: u64) -> String {
    if document.peers.is_empty() {
        return "no peers\n".to_owned();
    }
    let head = ["NAME", "ID", "ADDRESS", "ENDPOINT", "GOSSIP", "HANDSHAKE", "RX", "TX", "STATE"].map(str::to_owned);
    let mut rows = vec![head];
    rows.extend(document.peers.iter().map(|peer| row(peer, now)));
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..8).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            match widths.get(column) {
                Some(width) => line.push_str(&format!("{cell:width$}  ")),
                None => line.push_str(cell),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(peer: &Peer, now: u64) -> [String; 9] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let word = match (State::of(peer), peer.handshake) {
        (State::Waiting | State::Failed, None) => "no handshake yet",
        (State::Failed, Some(_)) => State::Silent.word(),
        (state, _) => state.word(),
    };
    let state = match &peer.why {
        Some(why) => format!("{word}: {why}"),
        None => word.to_owned(),
    };
    let tunnel = |text: String| if peer.verified { text } else { "-".to_owned() };
    [
        printable(&peer.name),
        or_dash(peer.node_id.as_deref().map(|id| id.get(..8).unwrap_or(id).to_owned())),
        or_dash(peer.address.map(|address| address.to_string())),
        or_dash(peer.endpoint.map(|endpoint| endpoint.to_string())),
        peer.status.clone(),
        or_dash(peer.handshake.map(|at| ago(now.saturating_sub(at)))),
        tunnel(size(peer.rx)),
        tunnel(size(peer.tx)),
        printable(&state),
    ]
}

/// A name may be anything; a terminal must not be made to do anything.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn ago(seconds: u64) -> String {
    lasted(seconds) + " ago"
}

fn size(bytes: u64) -> String {
    let scaled = |unit: u64, name: &str| format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit);
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => scaled(1 << 10, "KiB"),
        1_048_576..1_073_741_824 => scaled(1 << 20, "MiB"),
        _ => scaled(1 << 30, "GiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::{ago, peers, size, status};
    use crate::agent::report::tests::document;

    #[test]
    fn the_tables_are_as_a_person_reads_them() {
        assert_eq!(
            status(&document(), 1012),
            "node       node1\n\
             node id    FAe4sisG95oZ42w7buUn5qEE4TAnfTTFPiguZUHmhiF\n\
             address    10.42.133.224\n\
             ipv6       fde2:1b26:8c8::7\n\
             wireguard  wg0, in USERSPACE: this kernel has no WireGuard, so it is slower, MTU 1420\n\
             gossip     3 alive, 1 failed\n\
             peers      2, 1 connected, 1 refused\n\
             \n\
             NAME    ID        ADDRESS        ENDPOINT           GOSSIP  HANDSHAKE  RX       TX    STATE\n\
             node2   4zvwRjXU  10.42.227.168  172.30.0.12:51820  alive   12 s ago   1.5 KiB  42 B  connected\n\
             node3   4zvwRjXU  10.42.227.168  172.30.0.12:51820  failed  -          1.5 KiB  42 B  no handshake yet: gossip does not hear it either\n\
             no?de9  4zvwRjXU  -              -                  alive   -          -        -     refused: its WireGuard key is held by member node2\n"
        );
    }

    #[test]
    fn a_node_that_is_alone_says_whom_it_asks() {
        let mut alone = document();
        alone.peers.clear();
        alone.gossip = [("alive".to_owned(), 1)].into();
        alone.asking = vec!["10.0.0.1:7946".to_owned(), "node1".to_owned()];
        alone.own.mode = "absent".to_owned();
        let text = status(&alone, 0);
        assert!(text.ends_with(
            "wireguard  wg0 is not there: waiting for it\ngossip     1 alive\npeers      0, 0 connected, 0 refused\n\
             alone      asking 10.0.0.1:7946, node1\n"
        ));
        assert_eq!(peers(&alone, 0), "no peers\n");
        alone.asking.clear();
        let text = status(&alone, 0);
        assert!(
            text.ends_with(
                "\nalone      no other node answers: waiting for one that joins, or 'node-agent join ADDRESS'\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_node_says_whether_it_is_in_the_mesh() {
        let mut node = document();
        assert_eq!(node.mesh(false).unwrap(), "10.42.133.224 on wg0, 1 of 1 peers connected");
        node.peers[0].connected = false;
        assert_eq!(node.mesh(true).unwrap_err(), "no tunnel to any of 1 peers; is udp open between the nodes?");
        // One that does not answer is no reason to call this node broken.
        node.peers[0].status = "failed".to_owned();
        assert_eq!(node.mesh(false).unwrap(), "10.42.133.224 on wg0, 0 of 0 peers connected");
        node.asking = vec!["10.0.0.1:7946".to_owned()];
        assert!(node.mesh(true).is_ok());
        assert_eq!(
            node.mesh(false).unwrap_err(),
            "no verified peer is alive, and 10.0.0.1:7946 does not answer; 'node-agent peers' says why one stays out"
        );
        node.own.mode = "absent".to_owned();
        assert_eq!(node.mesh(true).unwrap_err(), "wg0 is not there; look at the unit wg0");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([ago(0), ago(119), ago(120), ago(7200)], ["0 s ago", "119 s ago", "2 min ago", "2 h ago"]);
        assert_eq!(
            [size(1023), size(1024), size(1_572_864), size(1 << 31)],
            ["1023 B", "1.0 KiB", "1.5 MiB", "2.0 GiB"]
        );
    }
}
