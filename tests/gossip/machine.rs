//! Clusters of six on networks with faults, as `tests/gossip/machine.sh` boots a machine for them: three of ours with three
//! `serf agent`s, and six `serf agent`s, which show what the protocol itself does there. Every packet is encrypted.
//!
//! `MINUTES` (1) says for how long packets are lost. From 3 on a network stays split for three minutes, and there is a cluster of
//! six of ours to be split, too.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cluster::{Agent, Program, no_serf};
use crate::kit::{directory, within};
use crate::lan::Lan;
use crate::need;
use crate::views::Views;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// How many agents a cluster has.
const SIZE: usize = 6;

/// For how long anybody may be believed to have failed who has not. Who failed is told so by gossip and refutes it at once; a
/// view that misses the refutation is set right by the next exchange of all that is known: every 30 s, at most 10 s long. Two
/// of them, since one may fail.
const LASTING: Duration = Duration::from_secs(80);

/// Within which time a network that is whole again is one cluster again: every 30 s every agent tries one that failed, and each
/// try takes 10 s at most.
const HEALING: Duration = Duration::from_secs(120);

/// Who sees whom. So many times more than twice what `serf` shows by itself somebody may be seen as failed without anybody's
/// flapping: two clusters on a network of chance differ by some.
const PAIRS: usize = SIZE * (SIZE - 1);

/// Which of the clusters is `serf`'s alone.
const SERF: usize = 1;

struct Cluster {
    title: &'static str,
    lan: Lan,
    agents: Vec<Agent>,
    views: Views,
}

impl Cluster {
    fn new(lan: Lan, title: &'static str, folder: &Path, programs: [Program; SIZE]) -> Cluster {
        let seed = lan.host(0).gossip;
        let mut agents = Vec::new();
        for (at, program) in programs.into_iter().enumerate() {
            let name = format!("{}{at}", if program == Program::Ours { "ours" } else { "serf" });
            let mut agent = Agent::on(lan.host(at), folder, program, &name, |configuration| {
                configuration["encrypt_key"] = KEY.into();
                configuration["tags"] = json!({ "of": name });
                if at > 0 {
                    configuration["retry_join"] = json!([seed]);
                }
            });
            agent.restart();
            agents.push(agent);
        }
        let views = Views::of(&agents);
        Cluster { title, lan, agents, views }
    }

    /// Whether it has agents of ours.
    fn ours(&self) -> bool {
        self.agents.iter().any(|agent| agent.program == Program::Ours)
    }

    /// On which switch it is.
    fn side(&self, name: &str) -> usize {
        self.agents.iter().position(|agent| agent.name == name).expect("one of them") % 2
    }

    fn log(&self) -> String {
        self.agents.iter().map(|agent| format!("--- {}\n{}", agent.name, agent.log())).collect()
    }
}

/// The clusters of a test, each whole, with one of ours alone if so asked; `first` is the number of the first one's network.
fn clusters(test: &str, first: usize, alone: bool) -> Vec<Cluster> {
    use Program::{Ours, Serf};
    let began = Instant::now();
    let mut kinds = vec![
        ("3 gossipd + 3 serf", [Ours, Serf, Serf, Ours, Ours, Serf]),
        ("6 serf", [Serf; SIZE]),
        ("6 gossipd", [Ours; SIZE]),
    ];
    // An emulated processor has enough to do with two.
    kinds.truncate(if alone { 3 } else { 2 });
    // What makes a network is slow once agents run.
    let lans: Vec<_> = (0..kinds.len()).map(|at| Lan::new(first + at, SIZE)).collect();
    let clusters: Vec<_> = lans
        .into_iter()
        .zip(kinds)
        .map(|(lan, (title, programs))| Cluster::new(lan, title, &directory(test), programs))
        .collect();
    for cluster in &clusters {
        let whole = within(Duration::from_secs(120), || cluster.views.agree(SIZE));
        assert!(whole, "{} do not come together\n{}", cluster.title, cluster.log());
    }
    eprintln!("{} clusters of {SIZE} after {} s", clusters.len(), began.elapsed().as_secs());
    clusters
}

/// Lets time pass, in which every agent goes on answering.
fn pass(time: Duration, clusters: &[Cluster]) {
    let silent = within(time, || clusters.iter().any(|cluster| cluster.views.silence() > LASTING));
    assert!(!silent, "an agent no longer answers\n{}", clusters.iter().map(Cluster::log).collect::<String>());
}

fn no_networks() -> Option<&'static str> {
    let well = |words: &[&str]| Command::new("ip").args(words).output().is_ok_and(|output| output.status.success());
    if !well(&["link", "add", "probe", "type", "bridge"]) {
        return Some("no right to make networks");
    }
    assert!(well(&["link", "delete", "probe"]));
    no_serf()
}

fn no_netem() -> Option<&'static str> {
    let well = |words: &[&str]| Command::new("tc").args(words).output().is_ok_and(|output| output.status.success());
    if !well(&["qdisc", "add", "dev", "lo", "root", "netem"]) {
        return Some("no netem");
    }
    assert!(well(&["qdisc", "delete", "dev", "lo", "root"]));
    no_networks()
}

fn minutes() -> u64 {
    std::env::var("MINUTES").map_or(1, |text| text.parse().expect("MINUTES is a number"))
}

/// Whether there is time for more than what CI needs.
fn at_length() -> bool {
    minutes() >= 3
}

#[test]
fn loss_delay_and_reordering_part_nobody() {
    need!("machine::loss_delay_and_reordering", no_netem());
    let clusters = clusters("loss", 1, false);
    let began = Instant::now();
    clusters.iter().for_each(|cluster| cluster.lan.harm());
    pass(Duration::from_secs(60 * minutes()), &clusters);
    let mut counts = Vec::new();
    for cluster in &clusters {
        let agreed = within(LASTING, || cluster.views.agree(SIZE));
        let doubts = cluster.views.doubts(began);
        let longest = doubts.iter().map(|doubt| doubt.lasted).max().unwrap_or_default();
        let (sent, lost) = cluster.lan.lost();
        eprintln!(
            "loss: {}: {} s, {lost} of {sent} packets lost, {} times somebody seen as failed, {:.1} s at the longest; \
             the longest time between looks {:.1} s; {:.1} s of the processor for each agent",
            cluster.title,
            began.elapsed().as_secs(),
            doubts.len(),
            longest.as_secs_f64(),
            cluster.views.gap().as_secs_f64(),
            cluster.agents.iter().map(|agent| agent.processor_time().as_secs_f64()).sum::<f64>() / SIZE as f64,
        );
        for doubt in &doubts {
            let at = (doubt.since - began).as_secs_f64();
            eprintln!("  {at:.1} s: {} by {}, {:.1} s", doubt.of, doubt.by, doubt.lasted.as_secs_f64());
        }
        assert!(lost * 100 > sent * 15 && lost * 100 < sent * 25, "{lost} of {sent}");
        // Of what serf does among its own we are not to blame.
        let well = agreed && longest < LASTING || !cluster.ours();
        assert!(well, "{}: not the same everywhere\n{}", cluster.title, cluster.log());
        counts.push(doubts.len());
    }
    for (cluster, count) in clusters.iter().zip(&counts) {
        let most = 2 * counts[SERF] + PAIRS;
        assert!(*count <= most, "{}: {count} times failed, of which {most} are serf's own", cluster.title);
    }
}

#[test]
fn a_split_network_becomes_one_cluster_again() {
    need!("machine::a_split_network", no_networks());
    let clusters = clusters("split", 11, at_length());
    let began = Instant::now();
    clusters.iter().for_each(|cluster| cluster.lan.cut(true));
    let mut parted = Vec::new();
    for cluster in &clusters {
        let wanted = |by: &str, of: &str| if cluster.side(by) == cluster.side(of) { "alive" } else { "failed" };
        let apart = within(Duration::from_secs(120), || cluster.views.are(wanted));
        assert!(apart, "{}: the halves still see each other\n{}", cluster.title, cluster.log());
        parted.push(began.elapsed());
    }
    if at_length() {
        pass(Duration::from_secs(180), &clusters);
    }
    let healed = Instant::now();
    clusters.iter().for_each(|cluster| cluster.lan.cut(false));
    for (cluster, parted) in clusters.iter().zip(parted) {
        let whole = within(HEALING, || cluster.views.agree(SIZE));
        assert!(whole || !cluster.ours(), "{}: not one cluster after {HEALING:?}\n{}", cluster.title, cluster.log());
        let last = cluster.views.doubts(began).iter().map(|doubt| doubt.since + doubt.lasted).max();
        eprintln!(
            "split: {}: apart after {:.1} s, whole {:.1} s after {} s of it",
            cluster.title,
            parted.as_secs_f64(),
            (last.expect("they were apart") - healed).as_secs_f64(),
            (healed - began).as_secs(),
        );
    }
}
