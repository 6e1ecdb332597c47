//! Agents on loopback: `gossipd` and `serf agent`, with the same configuration files, ended with the test.
//!
//! With `UNDER_TEST=serf` each of ours is a `serf agent`, too: what is asked for is the protocol, not us.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::client;
use crate::kit::{kill, wait_until};

/// Long enough for a failure to be found on a machine that does other things.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Why there is no serf here.
pub fn no_serf() -> Option<&'static str> {
    let found = Command::new("serf").arg("version").output();
    if found.is_ok_and(|output| output.status.success()) { None } else { Some("no serf(1)") }
}

/// What an agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Ours,
    Serf,
}

/// Where an agent is.
pub struct Host {
    /// Its addresses, with ports.
    pub gossip: String,
    pub rpc: String,
    /// The network namespace by its name, if it is another than the test's.
    pub namespace: Option<String>,
}

/// An agent while it runs.
pub struct Agent {
    pub name: String,
    pub gossip: String,
    pub rpc: String,
    pub program: Program,
    namespace: Option<String>,
    file: PathBuf,
    child: Option<Child>,
}

impl Agent {
    /// Starts an agent. `change` has the last word on its configuration.
    pub fn start(folder: &Path, program: Program, name: &str, change: impl FnOnce(&mut Json)) -> Agent {
        let mut agent = Agent::prepare(folder, program, name, change);
        agent.restart();
        agent.wait();
        agent
    }

    /// An agent that does not run yet.
    pub fn prepare(folder: &Path, program: Program, name: &str, change: impl FnOnce(&mut Json)) -> Agent {
        Agent::on(Host { gossip: address(), rpc: address(), namespace: None }, folder, program, name, change)
    }

    /// The same on a host of one's choice.
    pub fn on(host: Host, folder: &Path, program: Program, name: &str, change: impl FnOnce(&mut Json)) -> Agent {
        let Host { gossip, rpc, namespace } = host;
        let mut configuration =
            json!({ "node_name": name, "bind": gossip, "rpc_addr": rpc, "retry_interval": "1s", "log_level": "debug" });
        change(&mut configuration);
        let file = folder.join(format!("{name}-{}.json", rpc.replace(':', "-")));
        fs::write(&file, configuration.to_string()).expect("a configuration");
        Agent { name: name.to_owned(), gossip, rpc, program, namespace, file, child: None }
    }

    /// Changes its configuration, which it has yet to read again.
    pub fn change(&self, change: impl FnOnce(&mut Json)) {
        let text = fs::read_to_string(&self.file).expect("a configuration");
        let mut configuration = serde_json::from_str(&text).expect("a configuration");
        change(&mut configuration);
        fs::write(&self.file, configuration.to_string()).expect("a configuration");
    }

    /// Starts it again with the same configuration.
    pub fn restart(&mut self) {
        self.kill();
        let log = File::options().append(true).create(true).open(self.file.with_extension("log")).expect("a log");
        let serf = self.program == Program::Serf || std::env::var_os("UNDER_TEST").is_some_and(|it| it == "serf");
        let words: &[&str] = if serf { &["serf", "agent"] } else { &[env!("CARGO_BIN_EXE_gossipd")] };
        let inside = self.namespace.iter().flat_map(|name| ["ip", "netns", "exec", name]);
        let mut words = inside.chain(words.iter().copied());
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).arg(format!("-config-file={}", self.file.display()));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        self.child = Some(command.spawn().expect("it starts"));
    }

    /// Waits until it answers.
    pub fn wait(&self) {
        wait_until(&format!("{} answers", self.name), LIMIT, || client::members(&self.rpc).is_some());
    }

    /// Kills it at once: the others are not told.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a process of our own");
            child.wait().expect("a process of our own");
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        kill(self.child.as_ref().expect("it runs").id().try_into().expect("a pid"), signal);
    }

    /// What it took of the processor until now.
    pub fn processor_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.child.as_ref().expect("it runs").id());
        let text = fs::read_to_string(path).expect("a process of our own");
        // After the name, which may hold anything: utime and stime, in ticks.
        let numbers = text.rsplit(") ").next().expect("numbers").split(' ').skip(11).take(2);
        let ticks: u64 = numbers.map(|number| number.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(ticks * 1000 / 100)
    }

    /// Whether it ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().expect("a process of our own").is_some())
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let mut status = None;
        wait_until(&format!("{} ends", self.name), LIMIT, || {
            status = child.try_wait().expect("a process of our own");
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// What it said until now.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file.with_extension("log")).unwrap_or_default()
    }

    /// Its resident memory, in kB.
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.as_ref().expect("it runs").id());
        let status = fs::read_to_string(path).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// What the command line of serf says when it asks this agent; the first word is the command.
    pub fn try_ask(&self, words: &[&str]) -> (bool, String) {
        let (command, rest) = words.split_first().expect("a command");
        let output = Command::new("serf")
            .arg(command)
            .arg(format!("-rpc-addr={}", self.rpc))
            .args(rest)
            .output()
            .expect("serf runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// The same, where it must work.
    pub fn ask(&self, words: &[&str]) -> String {
        let (well, text) = self.try_ask(words);
        assert!(well, "{}: serf {words:?}: {text}\n{}", self.name, self.log());
        text
    }

    /// Names and statuses, as this one sees them.
    pub fn statuses(&self) -> BTreeMap<String, String> {
        let members = client::members(&self.rpc).unwrap_or_default();
        members.into_iter().map(|(name, member)| (name, member.status)).collect()
    }

    /// The tags of a member, as this one sees them.
    pub fn tags(&self, name: &str) -> BTreeMap<String, String> {
        client::members(&self.rpc).unwrap_or_default().remove(name).map(|member| member.tags).unwrap_or_default()
    }

    /// Waits until this one sees that.
    pub fn sees(&self, name: &str, status: &str) {
        let wanted = format!("{} sees {name} {status}", self.name);
        wait_until(&wanted, LIMIT, || self.statuses().get(name).is_some_and(|seen| seen == status));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{} ({:?}):\n{}", self.name, self.program, self.log());
        }
    }
}

/// An address of this host whose port nobody has, neither for TCP nor for UDP.
pub fn address() -> String {
    for _ in 0..100 {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = tcp.local_addr().expect("an address");
        if UdpSocket::bind(address).is_ok() {
            return address.to_string();
        }
    }
    panic!("no free port")
}

/// Agents of these programs, all members of one cluster.
pub fn cluster(folder: &Path, programs: &[Program], change: impl Fn(&mut Json)) -> Vec<Agent> {
    let mut agents: Vec<Agent> = Vec::new();
    for (at, program) in programs.iter().enumerate() {
        let seed = agents.first().map(|agent| agent.gossip.clone());
        let name = format!("{}{at}", if *program == Program::Ours { "ours" } else { "serf" });
        agents.push(Agent::start(folder, *program, &name, |configuration| {
            if let Some(seed) = seed {
                configuration["retry_join"] = json!([seed]);
            }
            change(configuration);
        }));
    }
    for agent in &agents {
        agents.iter().for_each(|other| agent.sees(&other.name, "alive"));
    }
    agents
}
