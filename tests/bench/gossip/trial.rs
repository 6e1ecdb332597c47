//! One cluster of one program, in a network namespace of its own, and what it does.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use serde_json::json;

use crate::client::Client;
use crate::usage::{Memory, Sent, memory, processor, sent};

/// Longer than anything may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Who is measured.
#[derive(Clone, Debug)]
pub struct Contender {
    pub name: &'static str,
    /// The program and its first words.
    pub command: Vec<PathBuf>,
}

/// What came of a trial.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// From the first join until all list all.
    pub converged: Duration,
    /// Of one agent, the largest of all.
    pub memory: Memory,
    /// Of one agent, in thousandths of a processor.
    pub processor: f64,
    /// A node a second, at rest.
    pub datagrams: f64,
    /// A node a second, at rest, with headers and streams.
    pub bytes: f64,
    /// From a kill until the first shows it as failed, and the last.
    pub failed: [Duration; 2],
    /// From the request to leave until all others show it as left.
    pub left: Duration,
}

struct Agent {
    child: Child,
    client: Option<Client>,
    gossip: SocketAddr,
    rpc: SocketAddr,
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a cluster of so many, and lets it rest so long.
pub fn trial(contender: &Contender, nodes: usize, rest: Duration, folder: &Path) -> Outcome {
    // A namespace is a thread's, and its children's.
    std::thread::scope(|scope| {
        scope.spawn(|| alone(contender, nodes, rest, folder)).join().expect("the trial goes well")
    })
}

fn alone(contender: &Contender, nodes: usize, rest: Duration, folder: &Path) -> Outcome {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace, as root");
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip(8)");
    assert!(up.success());
    let mut agents: Vec<_> = (0..nodes).map(|node| start(contender, node, folder)).collect();
    for agent in &mut agents {
        let began = Instant::now();
        while agent.client.is_none() {
            assert!(began.elapsed() < LIMIT, "{} answers", agent.rpc);
            agent.client = Client::connect(agent.rpc);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let mut clients: Vec<_> = agents.iter_mut().map(|agent| agent.client.take().expect("connected")).collect();

    let began = Instant::now();
    clients[1..].iter_mut().for_each(|client| client.join(agents[0].gossip));
    clients[1..].iter_mut().for_each(Client::joined);
    let all = |client: &mut Client| client.members().values().filter(|status| *status == "alive").count() == nodes;
    let converged = each(&mut clients, began, Duration::from_millis(1), all)[1];

    // What follows from the start is over.
    std::thread::sleep(Duration::from_secs(5));
    let pids: Vec<_> = agents.iter().map(|agent| agent.child.id()).collect();
    let used = || pids.iter().map(|pid| processor(*pid)).sum::<Duration>();
    let (began, before, ran) = (Instant::now(), sent(), used());
    std::thread::sleep(rest);
    let (ran, Sent { datagrams, bytes, .. }, span) = (used() - ran, sent().since(before), began.elapsed());
    let memory = pids.iter().map(|pid| memory(*pid)).max_by_key(|memory| memory.resident).expect("some");
    let each_second = nodes as f64 * span.as_secs_f64();

    let (mut victim, _) = (agents.pop().expect("some"), clients.pop());
    let began = Instant::now();
    victim.child.kill().expect("a process of our own");
    let name = format!("n{}", nodes - 1);
    let is = |status: &'static str, name: String| {
        move |client: &mut Client| client.members().get(&name).is_some_and(|seen| seen == status)
    };
    let failed = each(&mut clients, began, Duration::from_millis(5), is("failed", name));

    let mut leaver = clients.pop().expect("some");
    let began = Instant::now();
    leaver.leave();
    let left = each(&mut clients, began, Duration::from_millis(1), is("left", format!("n{}", nodes - 2)))[1];
    Outcome {
        converged,
        memory,
        processor: 1000.0 * ran.as_secs_f64() / each_second,
        datagrams: datagrams as f64 / each_second,
        bytes: bytes as f64 / each_second,
        failed,
        left,
    }
}

fn start(contender: &Contender, node: usize, folder: &Path) -> Agent {
    let host = u8::try_from(node + 1).expect("few nodes");
    let at = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)), port);
    let (gossip, rpc) = (at(7946), at(7373));
    let configuration = json!({ "node_name": format!("n{node}"), "bind": gossip, "rpc_addr": rpc });
    let file = folder.join(format!("{}-{node}.json", contender.name));
    fs::write(&file, configuration.to_string()).expect("a configuration");
    let log = File::create(file.with_extension("log")).expect("a log");
    let (program, words) = contender.command.split_first().expect("a program");
    let mut command = Command::new(program);
    command.args(words).arg(format!("-config-file={}", file.display()));
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
    Agent { child: command.spawn().expect("it starts"), client: None, gossip, rpc }
}

/// When the first and when the last of them came to be so.
fn each(clients: &mut [Client], began: Instant, pause: Duration, holds: impl Fn(&mut Client) -> bool) -> [Duration; 2] {
    let mut when = vec![None; clients.len()];
    while when.iter().any(Option::is_none) {
        assert!(began.elapsed() < LIMIT, "not all came to be so");
        for (client, when) in clients.iter_mut().zip(&mut when) {
            if when.is_none() && holds(client) {
                *when = Some(began.elapsed());
            }
        }
        std::thread::sleep(pause);
    }
    let when = || when.iter().copied().flatten();
    [when().min().expect("some"), when().max().expect("some")]
}
