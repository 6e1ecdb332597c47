//! More than two nodes: a router between them, and somebody among them who has the cluster's key and no node's.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use clusteros_init::agent::wg::Links;
use rtnetlink::{LinkUnspec, LinkVeth, RouteMessageBuilder};
use serde_json::{Value, json};

use crate::kit::{self, wait_until};
use crate::life::{LONG, Life, Process, gossipd};
use crate::world::{Namespace, block_on, end};

/// The cluster's key.
pub const KEY: [u8; 32] = {
    let mut key = [0; 32];
    let mut n = 0;
    while n < 32 {
        key[n] = n as u8;
        n += 1;
    }
    key
};

/// What everybody is connected to.
pub struct Hub(Namespace);

impl Hub {
    pub fn new() -> Hub {
        let hub = Namespace::new();
        hub.enter(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1")).expect("a router");
        Hub(hub)
    }

    /// Where the one with this number is.
    pub fn address(number: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, 4 * number + 2)
    }

    /// Takes up the wire of the one with this number, at both ends.
    pub fn unplug(&self, number: u8) {
        self.0.enter(|| {
            block_on(async {
                let links = Links::open().expect("rtnetlink");
                let port = links.find(&format!("port{number}")).await.expect("links").expect("a wire");
                links.delete(port.index).await.expect("no wire");
            });
        });
    }

    /// Lets through what these rules say, in the words of iptables-restore.
    pub fn rule(&self, rules: &str) -> io::Result<()> {
        let mut command = Command::new("iptables-restore");
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.0.enter(|| command.spawn())?;
        let text = format!("*filter\n:FORWARD ACCEPT [0:0]\n{rules}COMMIT\n");
        child.stdin.take().expect("its input").write_all(text.as_bytes())?;
        let output = child.wait_with_output()?;
        let said = || io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        if output.status.success() { Ok(()) } else { Err(said()) }
    }

    /// Lays a wire to `namespace`, which reaches all others from then on.
    pub fn plug(&self, namespace: &Namespace, number: u8) {
        let name = format!("port{number}");
        let there = namespace.file().as_raw_fd();
        self.0.enter(|| {
            block_on(async {
                let (connection, handle, _) = rtnetlink::new_connection().expect("rtnetlink");
                let _connection = tokio::spawn(connection);
                handle.link().add(LinkVeth::new(&name, "wire").build()).execute().await.expect("a wire");
                let moved = LinkUnspec::new_with_name("wire").setns_by_fd(there).build();
                handle.link().change(moved).execute().await.expect("its other end");
            });
            end(&name, Ipv4Addr::new(198, 51, 100, 4 * number + 1), 30);
        });
        namespace.enter(|| {
            end("wire", Hub::address(number), 30);
            block_on(async {
                let (connection, handle, _) = rtnetlink::new_connection().expect("rtnetlink");
                let _connection = tokio::spawn(connection);
                let route = RouteMessageBuilder::<Ipv4Addr>::new()
                    .destination_prefix(Ipv4Addr::UNSPECIFIED, 0)
                    .gateway(Ipv4Addr::new(198, 51, 100, 4 * number + 1))
                    .build();
                handle.route().add(route).execute().await.expect("a route");
            });
        });
    }
}

/// Somebody who runs gossip, and says there what they like.
pub struct Insider {
    root: PathBuf,
    namespace: Namespace,
    address: Ipv4Addr,
    members: Vec<Process>,
}

impl Insider {
    pub fn new(hub: &Hub, number: u8) -> Insider {
        let namespace = Namespace::new();
        hub.plug(&namespace, number);
        Insider { root: kit::directory("insider"), namespace, address: Hub::address(number), members: Vec::new() }
    }

    /// Joins the nodes at `to` as a member called `name`, with these tags and the key of `key`.
    pub fn join(&mut self, name: &str, tags: &BTreeMap<String, String>, key: &str, to: &[Ipv4Addr]) {
        let port = 8000 + u16::try_from(self.members.len()).expect("few");
        let configuration = json!({
            "node_name": name,
            "bind": format!("{}:{port}", self.address),
            "encrypt_key": key,
            "retry_join": to.iter().map(|to| format!("{to}:7946")).collect::<Vec<_>>(),
            "retry_interval": "1s",
            "rpc_addr": format!("127.0.0.1:{}", port + 1000),
            "tags": tags,
            "profile": "lan",
        });
        let path = self.root.join(format!("{port}.json"));
        fs::write(&path, configuration.to_string()).expect("a configuration");
        let log = File::create(self.root.join(format!("{port}.log"))).expect("a log");
        let mut command: Command = gossipd(&path);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        self.members.push(Process(self.namespace.enter(|| command.spawn().expect("gossipd"))));
    }

    /// What the members of the insider logged.
    pub fn log(&self) -> String {
        let all = fs::read_dir(&self.root).expect("the folder").map(|entry| entry.expect("a file").path());
        all.filter(|path| path.extension().is_some_and(|end| end == "log"))
            .map(|path| fs::read_to_string(path).unwrap_or_default())
            .collect()
    }
}

impl Drop for Insider {
    fn drop(&mut self) {
        self.members.clear();
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Packets to and fro, ten a second, until it is asked how many were lost.
pub struct Traffic {
    over: Arc<AtomicBool>,
    stop: mpsc::Sender<()>,
    source: JoinHandle<(u32, u32)>,
    echo: JoinHandle<()>,
}

impl Traffic {
    /// From the mesh address of `from` to that of `to`.
    pub fn begin(from: &Life, to: &Life) -> Traffic {
        let over = Arc::new(AtomicBool::new(false));
        let (stop, stopped) = mpsc::channel();
        let bind = |life: &Life, limit: u64| {
            let at = SocketAddr::from((IpAddr::from(life.node.address), 0));
            let socket = life.node.namespace.enter(|| UdpSocket::bind(at)).expect("a socket");
            socket.set_read_timeout(Some(Duration::from_millis(limit))).expect("a limit");
            socket
        };
        let (sink, source) = (bind(to, 200), bind(from, 3000));
        source.connect(sink.local_addr().expect("an address")).expect("a destination");
        let ended = Arc::clone(&over);
        let echo = thread::spawn(move || {
            let mut text = [0; 8];
            while !ended.load(Ordering::Relaxed) {
                if let Ok((length, peer)) = sink.recv_from(&mut text) {
                    let _ = sink.send_to(&text[..length], peer);
                }
            }
        });
        let source = thread::spawn(move || {
            let (mut sent, mut lost) = (0_u32, 0);
            loop {
                let next = Instant::now() + Duration::from_millis(100);
                sent += 1;
                let mut text = [0; 8];
                let asked = source.send(&sent.to_be_bytes());
                let answered = asked.and_then(|_| source.recv(&mut text)).is_ok();
                lost += u32::from(!answered);
                let pause = next.saturating_duration_since(Instant::now());
                if stopped.recv_timeout(pause) != Err(mpsc::RecvTimeoutError::Timeout) {
                    return (sent, lost);
                }
            }
        });
        Traffic { stop, over, echo, source }
    }

    /// Ends it; how many were sent, and how many did not come back within 3 s.
    pub fn end(self) -> (u32, u32) {
        // The answer to the last one is waited for.
        drop(self.stop);
        let counts = self.source.join().expect("the source");
        self.over.store(true, Ordering::Relaxed);
        self.echo.join().expect("the sink");
        counts
    }
}

/// What `node-agent peers --json` of `life` says.
pub fn report(life: &Life) -> Value {
    serde_json::from_str(&life.said(&["peers", "--json"]).1).unwrap_or_default()
}

/// What it says of the member called `name`.
pub fn peer(life: &Life, name: &str) -> Value {
    let report = report(life);
    let found = report["peers"].as_array().and_then(|all| all.iter().find(|peer| peer["name"] == name));
    found.cloned().unwrap_or_default()
}

/// Waits until each of `lives` has a tunnel to each other one.
pub fn connected(lives: &[&Life]) {
    for life in lives {
        for other in lives.iter().filter(|other| other.node.interface != life.node.interface) {
            let what = format!("the tunnel from {} to {}", life.node.interface, other.node.interface);
            wait_until(&what, LONG, || peer(life, &other.node.interface)["connected"] == true);
        }
    }
}
