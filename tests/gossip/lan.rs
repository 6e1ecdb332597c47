//! A network of namespaces, with a fault to order.
//!
//! Every host has two links. That for gossip leads to one of two switches, which one wire joins; the other, for the RPC, loses
//! nothing, so that what an agent believes can be asked at any moment.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::cluster::Host;

/// Every packet of gossip, as it comes to its host: one in five is lost, one in fifty comes twice, the others take 100 ms, normally
/// distributed by 50 ms, but one in four goes at once and so overtakes those before it.
const FAULT: &str = "limit 10000 delay 100ms 50ms distribution normal loss 20% duplicate 2% reorder 25% 50%";

/// The network; what it is made of goes with the machine.
pub struct Lan {
    number: usize,
    hosts: usize,
}

impl Lan {
    /// A network of that many hosts, every other one on the far switch. No two may have the same number.
    pub fn new(number: usize, hosts: usize) -> Lan {
        let lan = Lan { number, hosts };
        let mut words = String::new();
        for switch in ["near", "far", "ask"] {
            words += &format!("link add {switch}{number} up type bridge\n");
        }
        words += &format!("address add 10.{number}.1.254/24 dev ask{number}\n");
        words += &format!("link add wire{number} type veth peer name eriw{number}\n");
        words +=
            &format!("link set wire{number} master near{number} up\nlink set eriw{number} master far{number} up\n");
        for host in 0..hosts {
            let name = lan.name(host);
            words += &format!("netns add {name}\n");
            let switch = if host % 2 == 0 { "near" } else { "far" };
            for (link, switch) in [("gossip", switch), ("rpc", "ask")] {
                let port = format!("{link}{number}x{host}");
                words += &format!("link add {port} type veth peer name {link} netns {name}\n");
                words += &format!("link set {port} master {switch}{number} up\n");
            }
        }
        run(&["ip", "-batch", "-"], &words);
        for host in 0..hosts {
            let mut words = "link set lo up\n".to_owned();
            for (net, link) in ["gossip", "rpc"].into_iter().enumerate() {
                words += &format!("address add 10.{number}.{net}.{}/24 dev {link}\nlink set {link} up\n", host + 1);
            }
            run(&["ip", "-n", &lan.name(host), "-batch", "-"], &words);
        }
        lan
    }

    fn name(&self, host: usize) -> String {
        format!("host{}x{host}", self.number)
    }

    /// The switch's end of a host's link.
    fn port(&self, host: usize) -> String {
        format!("gossip{}x{host}", self.number)
    }

    /// A place for an agent.
    pub fn host(&self, host: usize) -> Host {
        Host {
            gossip: format!("10.{}.0.{}:7946", self.number, host + 1),
            rpc: format!("10.{}.1.{}:7373", self.number, host + 1),
            namespace: Some(self.name(host)),
        }
    }

    /// From now on packets are lost, late, doubled and out of order: on their way from the switches to the hosts.
    pub fn harm(&self) {
        let words: String =
            (0..self.hosts).map(|host| format!("qdisc add dev {} root netem {FAULT}\n", self.port(host))).collect();
        run(&["tc", "-batch", "-"], &words);
    }

    /// How many packets of gossip there were, and how many of them were lost.
    pub fn lost(&self) -> (u64, u64) {
        let words: String = (0..self.hosts).map(|host| format!("qdisc show dev {}\n", self.port(host))).collect();
        // Sent 1824 bytes 12 pkt (dropped 3, overlimits 0 requeues 0)
        let said = run(&["tc", "-s", "-batch", "-"], &words);
        let sum = |before: &str, after: &str| -> u64 {
            let parts = said.split(before).skip(1).filter_map(|part| part.split(after).next());
            parts.map(|number| number.parse::<u64>().unwrap_or_else(|_| panic!("{said}"))).sum()
        };
        let (sent, dropped) = (sum(" bytes ", " pkt"), sum("(dropped ", ","));
        (sent + dropped, dropped)
    }

    /// Cuts the wire between the switches, or joins it again.
    pub fn cut(&self, cut: bool) {
        run(&["ip", "link", "set", &format!("wire{}", self.number), if cut { "down" } else { "up" }], "");
    }
}

fn run(words: &[&str], input: &str) -> String {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("iproute2");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {error}\n{input}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
