//! A `gossipd`, or a real `serf agent`, on loopback, ended with the test.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Why there is no serf here.
pub fn no_serf() -> Option<&'static str> {
    let found = Command::new("serf").arg("version").output();
    if found.is_ok_and(|output| output.status.success()) { None } else { Some("no serf(1)") }
}

/// What an agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Gossipd,
    Serf,
}

/// A configuration of an agent, and the agent while it runs.
pub struct Agent {
    pub name: String,
    pub gossip: String,
    pub rpc: String,
    program: Program,
    file: PathBuf,
    child: Option<Child>,
}

impl Agent {
    /// Starts an agent. `change` has the last word on its configuration.
    pub fn start(program: Program, folder: &Path, name: &str, change: impl FnOnce(&mut serde_json::Value)) -> Agent {
        let (gossip, rpc) = (address(), address());
        let mut configuration = serde_json::json!({
            "node_name": name,
            "bind": gossip,
            "rpc_addr": rpc,
            "encrypt_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "profile": "lan",
            "retry_interval": "1s",
        });
        change(&mut configuration);
        let file = folder.join(format!("{name}.json"));
        fs::write(&file, configuration.to_string()).expect("a configuration");
        let rpc = configuration["rpc_addr"].as_str().expect("an address").to_owned();
        let gossip = configuration["bind"].as_str().expect("an address").to_owned();
        let mut agent = Agent { name: name.to_owned(), gossip, rpc, program, file, child: None };
        agent.restart();
        agent
    }

    /// Starts the agent again with the same configuration.
    pub fn restart(&mut self) {
        self.kill();
        let log = fs::File::create(self.file.with_extension("log")).expect("a log");
        let mut command = match self.program {
            Program::Gossipd => Command::new(env!("CARGO_BIN_EXE_gossipd")),
            Program::Serf => Command::new("serf"),
        };
        // Both take the word.
        let child = command
            .arg("agent")
            .arg(format!("-config-file={}", self.file.display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("it starts"));
    }

    /// Kills the agent at once: the others are not told.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a process of our own");
            child.wait().expect("a process of our own");
        }
    }

    /// What the agent said until now.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file.with_extension("log")).unwrap_or_default()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.name, self.log());
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
