//! Whole nodes but for PID 1: `wg0`, `gossipd`, and `node-agent start`; and what a person asks of them.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::kit::{kill, wait_until};
use crate::need;
use crate::world::{Agent, Node, no_wireguard};

/// A join may be tried again, and a handshake, too.
pub const LONG: Duration = Duration::from_secs(40);

/// A process that ends with the test.
pub struct Process(pub Child);

impl Process {
    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        kill(self.0.id().cast_signed(), signal);
    }

    /// Kills it.
    pub fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Which gossip a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gossip {
    Ours,
    Serf,
}

/// A node with everything that runs on it.
pub struct Life {
    pub node: Node,
    _link: Agent,
    kind: Gossip,
    pub gossip: Process,
    agent: Process,
}

impl Life {
    /// Starts all of it, and waits until the agent has seen everything for the first time.
    pub fn begin(node: Node, advertise: &str) -> Life {
        Life::begin_with(node, advertise, Gossip::Ours, "")
    }

    /// The same with this gossip, and `networking` of its `node.yaml` has these lines, too.
    pub fn begin_with(node: Node, advertise: &str, kind: Gossip, networking: &str) -> Life {
        fs::write(node.root.join("etc/hosts"), "127.0.0.1\tlocalhost\n").expect("hosts");
        for log in ["gossip.log", "agent.log"] {
            let _ = fs::remove_file(node.root.join(log));
        }
        configure(&node, advertise, networking);
        let (link, _) = node.up();
        let (gossip, agent) = (gossip(&node, kind), agent(&node));
        let peers = node.root.join("run/cluster-os/peers.json");
        wait_until("the agent's first report", LONG, || peers.exists());
        Life { node, _link: link, kind, gossip, agent }
    }

    /// Kills its gossip, and starts another.
    pub fn restart_gossip(&mut self) {
        self.gossip.end();
        self.gossip = gossip(&self.node, self.kind);
    }

    /// Starts what ended by itself again, as PID 1 does.
    pub fn supervise(&mut self) {
        let ended = |process: &mut Process| process.0.try_wait().expect("its status").is_some();
        if ended(&mut self.gossip) {
            self.restart_gossip();
        }
        if ended(&mut self.agent) {
            self.restart_agent();
        }
    }

    /// Kills its agent, and starts another; the tunnels stay.
    pub fn restart_agent(&mut self) {
        self.agent.end();
        self.agent = agent(&self.node);
    }

    /// Goes on at another address of its host, with the tunnels that it has: its gossip leaves and begins anew.
    pub fn roam(&mut self, advertise: &str, networking: &str) {
        self.said(&["leave"]);
        configure(&self.node, advertise, networking);
        self.restart_gossip();
        self.restart_agent();
    }

    /// Ends all of it at once, as a loss of power does.
    pub fn end(self) -> Node {
        let Life { node, _link, gossip, agent, .. } = self;
        drop((gossip, agent, _link));
        let _ = node.run(&["wg0", "--down"]);
        let _ = fs::remove_dir_all(node.root.join("run/cluster-os"));
        node
    }

    fn hosts(&self) -> String {
        fs::read_to_string(self.node.root.join("etc/hosts")).expect("hosts")
    }

    /// What the agent logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.node.root.join("agent.log")).expect("its log")
    }

    /// Runs a command of the node; returns its exit code and what it said.
    pub fn said(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.node.run(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }
}

fn configure(node: &Node, advertise: &str, networking: &str) {
    let file = node.root.join("etc/cluster-os/node.yaml");
    let text =
        format!("discovery:\n  advertise: {advertise}\nnetworking:\n  interface: {}\n{networking}", node.interface);
    fs::write(file, text).expect("node.yaml");
    assert!(node.run(&["init"]).status.success());
}

fn gossip(node: &Node, kind: Gossip) -> Process {
    let configuration = node.root.join("run/cluster-os/serf.json");
    let command = match kind {
        Gossip::Ours => gossipd(&configuration),
        Gossip::Serf => {
            let mut command = Command::new("serf");
            command.arg("agent").arg(format!("-config-file={}", configuration.display()));
            command
        }
    };
    start(node, command, "gossip.log")
}

fn agent(node: &Node) -> Process {
    start(node, node.command(&["start"]), "agent.log")
}

/// Starts a program that goes on with this log.
fn start(node: &Node, mut command: Command, log: &str) -> Process {
    let log = File::options().append(true).create(true).open(node.root.join(log)).expect("a log");
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
    Process(node.namespace.enter(|| command.spawn().expect("a process")))
}

/// The command that runs gossip with this configuration.
pub fn gossipd(configuration: &Path) -> Command {
    // A machine that only runs the tests has it elsewhere.
    let program = std::env::var_os("GOSSIPD").unwrap_or_else(|| env!("CARGO_BIN_EXE_gossipd").into());
    let mut command = Command::new(program);
    command.arg(format!("-config-file={}", configuration.display()));
    command
}

fn line(of: &Life) -> String {
    format!("{}\t{}.mesh\n", of.node.address, of.node.interface)
}

#[test]
fn a_node_joins_has_a_name_and_leaves() {
    need!("a_node_joins_has_a_name_and_leaves", no_wireguard());
    let (one, two) = (Node::new(), Node::new());
    one.namespace.wire(&two.namespace);
    let (one, two) = (Life::begin(one, "192.0.2.1"), Life::begin(two, "192.0.2.2"));
    wait_until("a node alone has its own name", LONG, || one.hosts().contains(&line(&one)));
    let alone = one.said(&["status"]);
    assert!(alone.1.contains("peers      0, 0 connected, 0 refused\nalone      no other node answers"), "{alone:?}");

    let (code, _, err) = two.said(&["join", "192.0.2.1:1"]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("unable to join 192.0.2.1:1: ") && err.contains("connection refused"), "{err}");
    let joined = "joined through 1 of 1; 'node-agent peers' shows who comes in\n".to_owned();
    assert_eq!(two.said(&["join", "192.0.2.1"]), (Some(0), joined, String::new()));

    wait_until("each has the other's name", LONG, || {
        one.hosts().contains(&line(&two)) && two.hosts().contains(&line(&one))
    });
    assert!(one.node.reaches(&two.node) && two.node.reaches_by_ipv6(&one.node));
    let mesh = || serde_json::from_str::<serde_json::Value>(&one.said(&["mesh", "--json"]).1).expect("JSON");
    wait_until("the tunnel in the picture", LONG, || mesh()["edges"][0]["state"] == "connected");
    assert_eq!(mesh()["nodes"][1]["ula"], two.node.ula.to_string());
    assert!(one.said(&["mesh", "--svg"]).1.starts_with("<svg "));
    let status = one.said(&["status"]).1;
    assert!(status.contains(&format!("ipv6       {}\n", one.node.ula)) && status.contains(", MTU 1420\n"), "{status}");

    let (code, out, err) = two.said(&["leave"]);
    assert_eq!((code, err.as_str()), (Some(0), "node-agent: info: left the cluster\n"), "{out}");
    assert!(out.starts_with("the other nodes close their tunnels to this one; "), "{out}");
    wait_until("the tunnel is closed", LONG, || one.node.dump().peers.is_empty());
    wait_until("the name is gone", LONG, || !one.hosts().contains(&line(&two)));
    assert_eq!(one.hosts().matches(".mesh\n").count(), 1, "{}", one.hosts());
    wait_until("who left has no names", LONG, || two.hosts() == "127.0.0.1\tlocalhost\n");
    let (code, _, err) = two.said(&["leave"]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.starts_with("node-agent: error: unable to leave the cluster: gossip at 127.0.0.1:7373: "), "{err}");
}
