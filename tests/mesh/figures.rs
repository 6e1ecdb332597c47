//! What peers cost: ours beside `wg` and `wg-quick`, on one kernel, in turn, as a table of Markdown.
//!
//! `tests/mesh/figures.sh` runs it with many; here it only shows that it runs. `BENCH_PEERS` is a list of sizes (`8`), `BENCH_ROUNDS`
//! how often each has its turn (1).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use clusteros_init::agent::wg::{self, Links};
use clusteros_init::cluster::{Local, Member, Roster, Status};
use clusteros_init::mesh::endpoints::Trials;
use clusteros_init::mesh::known::perform;
use clusteros_init::mesh::peers::{Observed, Operation, PeerSpec, SELDOM, WgKey, diff};
use clusteros_init::mesh::{Identity, Keyring, Record, Subnet, address};

use crate::insider;
use crate::need;
use crate::scenes::many;
use crate::world::{Node, block_on, no_kernel_wireguard};

const ROWS: [&str; 6] =
    ["all peers set", "all read", "one added", "one endpoint changed", "one removed", "taken away with its peers"];

/// A kind of doing, and how long each of [`ROWS`] took.
type Contender = (&'static str, fn(&Node, &[PeerSpec]) -> [Duration; 6]);

const CONTENDERS: [Contender; 3] = [("ours", ours), ("`wg`", by_wg), ("`wg-quick`", by_wg_quick)];

fn lack() -> Option<String> {
    let runs = |program: &str| Command::new(program).arg("--help").output().is_ok();
    no_kernel_wireguard().or_else(|| (!runs("wg") || !runs("wg-quick")).then(|| "no wg(8) and wg-quick(8)".to_owned()))
}

#[test]
fn ours_beside_wg_and_wg_quick() {
    need!("ours_beside_wg_and_wg_quick", lack());
    let said = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let rounds: usize = said("BENCH_ROUNDS", "1").parse().expect("BENCH_ROUNDS is a number");
    eprintln!("\n| {rounds} rounds, ms | ours | `wg` | `wg-quick` |\n|---|---|---|---|");
    for size in said("BENCH_PEERS", "8").split_whitespace() {
        let peers = many(size.parse().expect("BENCH_PEERS is a list of numbers"));
        let mut outcomes: BTreeMap<&str, Vec<[Duration; 6]>> = BTreeMap::new();
        for round in 0..rounds {
            for turn in 0..CONTENDERS.len() {
                let (name, trial) = CONTENDERS[(round + turn) % CONTENDERS.len()];
                outcomes.entry(name).or_default().push(trial(&Node::new(), &peers));
            }
        }
        for (row, what) in ROWS.iter().enumerate() {
            let shown = CONTENDERS.map(|(name, _)| spread(outcomes[name].iter().map(|outcome| outcome[row]).collect()));
            eprintln!("| {size} peers: {what} | {} |", shown.join(" | "));
        }
        let (event, first) = membership(peers.len());
        eprintln!("| {size} peers: a change of the membership judged and compared | {event} | | |");
        eprintln!("| {size} peers: the whole membership judged for the first time | {first} | | |");
    }
    let one = many(1).remove(0);
    let operations = [Operation::Add(one.clone()), moved(&one), Operation::Remove(one.key)];
    let sizes = operations.map(|operation| wg::weight(&[operation]));
    eprintln!(
        "| netlink, bytes: one added, one endpoint changed, one removed | {}, {}, {} | | |",
        sizes[0], sizes[1], sizes[2]
    );
    assert!(sizes.iter().all(|bytes| *bytes < 300), "{sizes:?}");
}

/// The median; least and most in parentheses if there are several.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let shown = |time: Duration| {
        let millis = time.as_secs_f64() * 1000.0;
        if millis < 10.0 { format!("{millis:.2}") } else { format!("{millis:.0}") }
    };
    let median = shown(times[times.len() / 2]);
    match times.as_slice() {
        [least, .., most] => format!("{median} ({} to {})", shown(*least), shown(*most)),
        _ => median,
    }
}

fn timed(task: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    task();
    begun.elapsed()
}

fn moved(peer: &PeerSpec) -> Operation {
    let endpoint = Some("192.0.2.9:9".parse().expect("an endpoint"));
    Operation::Update { key: peer.key, endpoint, allowed: None, keepalive: None, psk: None }
}

/// One that is not among them.
fn another() -> PeerSpec {
    let allowed = vec![("10.43.0.1".parse().expect("an address"), 32)];
    PeerSpec { key: WgKey([0x55; 32]), allowed, ..many(1).remove(0) }
}

fn ours(node: &Node, peers: &[PeerSpec]) -> [Duration; 6] {
    let settings = node.stranger();
    node.up_as(&settings).expect("up");
    let all: Vec<Operation> = peers.iter().cloned().map(Operation::Add).collect();
    let apply = |operations: Vec<Operation>| {
        node.with_device(async |device| {
            let begun = Instant::now();
            device.apply(&operations).await.expect("applied");
            begun.elapsed()
        })
    };
    let set = apply(all);
    let read = node.with_device(async |device| {
        let begun = Instant::now();
        assert_eq!(device.dump().await.expect("a dump").peers.len(), peers.len());
        begun.elapsed()
    });
    let one = another();
    let [added, changed, removed] = [Operation::Add(one.clone()), moved(&peers[0]), Operation::Remove(one.key)]
        .map(|operation| apply(vec![operation]));
    let down = timed(|| node.namespace.enter(|| wg::down(&settings).expect("down")));
    [set, read, added, changed, removed, down]
}

/// Runs a program of the namespace, its words after one another.
fn run(node: &Node, words: &[&str]) {
    let output = node.namespace.enter(|| Command::new(words[0]).args(&words[1..]).output().expect("it runs"));
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The three files: all, with another one and one endpoint changed in turn.
fn files(node: &Node, peers: &[PeerSpec], interface: &str) -> [String; 4] {
    let text = |peers: &mut dyn Iterator<Item = PeerSpec>| {
        let mut text = format!("[Interface]\nPrivateKey = {}\nListenPort = 51820\n{interface}", WgKey([0x70; 32]));
        for PeerSpec { key, endpoint, allowed, .. } in peers {
            let (address, prefix) = allowed[0];
            let endpoint = endpoint.expect("an endpoint");
            let _ = writeln!(text, "[Peer]\nPublicKey = {key}\nAllowedIPs = {address}/{prefix}\nEndpoint = {endpoint}");
        }
        text
    };
    let changed =
        |peer: &PeerSpec| PeerSpec { endpoint: Some("192.0.2.9:9".parse().expect("an endpoint")), ..peer.clone() };
    let all = || peers.iter().cloned();
    let others = || peers.iter().skip(1).cloned();
    let texts = [
        text(&mut all()),
        text(&mut all().chain([another()])),
        text(&mut others().chain([changed(&peers[0]), another()])),
        text(&mut others().chain([changed(&peers[0])])),
    ];
    let mut number = 0;
    texts.map(|text| {
        number += 1;
        let folder = node.root.join(number.to_string());
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(format!("{}.conf", node.interface));
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("a path").to_owned()
    })
}

fn by_wg(node: &Node, peers: &[PeerSpec]) -> [Duration; 6] {
    let name = node.interface.as_str();
    let link = |make: bool| {
        node.namespace.enter(|| {
            block_on(async {
                let links = Links::open().expect("rtnetlink");
                if make {
                    links.add_wireguard(name).await.expect("a link");
                    links.set_up(links.find(name).await.expect("links").expect("it").index).await.expect("up");
                } else {
                    links.delete(links.find(name).await.expect("links").expect("it").index).await.expect("deleted");
                }
            });
        });
    };
    let [all, added, changed, removed] = files(node, peers, "");
    link(true);
    let set = timed(|| run(node, &["wg", "setconf", name, &all]));
    let read = timed(|| run(node, &["wg", "show", name, "dump"]));
    let [added, changed, removed] =
        [added, changed, removed].map(|file| timed(|| run(node, &["wg", "syncconf", name, &file])));
    let gone = timed(|| link(false));
    [set, read, added, changed, removed, gone]
}

/// Without its routes, which are one process for each peer.
fn by_wg_quick(node: &Node, peers: &[PeerSpec]) -> [Duration; 6] {
    let name = node.interface.as_str();
    let [all, added, changed, removed] = files(node, peers, "Table = off\nMTU = 1420\n");
    let set = timed(|| run(node, &["wg-quick", "up", &all]));
    let read = timed(|| run(node, &["wg", "showconf", name]));
    let [added, changed, removed] = [added, changed, removed].map(|file| {
        let script = format!("wg syncconf {name} <(wg-quick strip {file})");
        timed(|| run(node, &["bash", "-c", &script]))
    });
    let gone = timed(|| run(node, &["wg-quick", "down", &all]));
    [set, read, added, changed, removed, gone]
}

/// How long one change of so many members takes, and all of them at first, without gossip and without netlink.
fn membership(count: usize) -> (String, String) {
    let keyring = Keyring::new([[7_u8; 32].as_slice()]);
    let subnet: Subnet = "10.0.0.0/8".parse().expect("a subnet");
    let made = |number: usize| {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        let identity = Identity::from_seed(&seed);
        let address = address::address(identity.node_id(), subnet, 0);
        let keys = keyring.fingerprints();
        let record = Record { address, keys, ..insider::record(&identity, &format!("node{number}")) };
        (record, identity)
    };
    let member = |number: usize| {
        let (record, identity) = made(number);
        let tags = record.tags(&identity, &keyring);
        Member { name: record.name, addr: IpAddr::from([192, 0, 2, 1]), port: 7946, tags, status: Status::Alive }
    };
    let mut members: Vec<Member> = (1..=count).map(member).collect();
    let mut roster = Roster::new(Local { record: made(0).0, subnet, keyring: keyring.clone() });
    let mut known = Observed { public_key: None, port: 51820, peers: Vec::new() };
    let mut trials = Trials::default();
    let mut follow = |roster: &mut Roster, members: &[Member], known: &mut Observed| {
        let begun = Instant::now();
        drop(roster.update(members, 0));
        trials.announce(roster.announced());
        let operations = diff(known, &roster.desired(SELDOM), &mut trials, 0);
        perform(known, &operations);
        (begun.elapsed(), operations.len())
    };
    let (first, _) = follow(&mut roster, &members, &mut known);
    members.push(member(count + 1));
    let mut times = Vec::new();
    for status in [Status::Alive, Status::Left, Status::Alive, Status::Left, Status::Alive] {
        members.last_mut().expect("a member").status = status;
        let (time, operations) = follow(&mut roster, &members, &mut known);
        assert_eq!(operations, 1);
        times.push(time);
    }
    (spread(times), spread(vec![first]))
}
