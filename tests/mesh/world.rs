//! Namespaces, the wire between them, and `node-agent wg0` in each.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clusteros_init::agent::wg::{self, Device, Links, Settings};
use clusteros_init::mesh::endpoints::Trials;
use clusteros_init::mesh::peers::{Observed, Operation, PeerSpec, WgKey, diff};
use clusteros_init::mesh::{Identity, Psk};
use nix::sched::{CloneFlags, setns, unshare};
use rtnetlink::{LinkUnspec, LinkVeth};
use zeroize::Zeroizing;

use crate::kit;

/// The program under test.
const AGENT: &str = env!("CARGO_BIN_EXE_node-agent");

/// Where the program is: a machine that only runs the tests has it elsewhere.
fn agent() -> PathBuf {
    std::env::var_os("AGENT").map_or_else(|| PathBuf::from(AGENT), PathBuf::from)
}

/// Why no network namespace can be made here.
pub fn no_network() -> Option<String> {
    thread::spawn(|| unshare(CloneFlags::CLONE_NEWNET).err())
        .join()
        .expect("a thread")
        .map(|errno| format!("no right to make a network namespace: {errno}"))
}

/// Why no WireGuard of either kind can be had here.
pub fn no_wireguard() -> Option<String> {
    no_network().or_else(|| {
        let tun = File::options().read(true).write(true).open("/dev/net/tun");
        match (kernel_has_wireguard(), tun) {
            (false, Err(error)) => Some(format!("the kernel has no WireGuard, and no /dev/net/tun: {error}")),
            _ => None,
        }
    })
}

/// Why the kernel's own WireGuard cannot be had here.
pub fn no_kernel_wireguard() -> Option<String> {
    no_network().or_else(|| (!kernel_has_wireguard()).then(|| "the kernel has no WireGuard".to_owned()))
}

/// Why the kernel's modules cannot be changed here.
pub fn no_machine() -> Option<String> {
    std::env::var_os("AGENT").is_none().then(|| "this is no machine of the tests' own".to_owned())
}

fn kernel_has_wireguard() -> bool {
    Namespace::new().enter(|| {
        block_on(async {
            let links = Links::open().expect("rtnetlink");
            links.add_wireguard("probe").await.is_ok()
        })
    })
}

/// Runs a future on a runtime of its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// A network namespace; it lives as long as the file is open.
pub struct Namespace(File);

impl Namespace {
    /// A new one, with `lo` up.
    pub fn new() -> Namespace {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            block_on(async {
                let links = Links::open().expect("rtnetlink");
                let lo = links.find("lo").await.expect("links").expect("lo");
                links.set_up(lo.index).await.expect("lo up");
            });
            File::open("/proc/thread-self/ns/net").expect("the namespace")
        });
        Namespace(made.join().expect("a thread"))
    }

    /// Runs `task` inside.
    pub fn enter<T: Send>(&self, task: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&self.0, CloneFlags::CLONE_NEWNET).expect("into the namespace");
                task()
            });
            inside.join().expect("what runs inside")
        })
    }

    /// What others enter it by.
    pub fn file(&self) -> &File {
        &self.0
    }

    /// Lays a wire to `other`: this end has 192.0.2.1, the other 192.0.2.2.
    pub fn wire(&self, other: &Namespace) {
        let there = std::os::fd::AsRawFd::as_raw_fd(&other.0);
        self.enter(|| {
            block_on(async {
                let (connection, handle, _) = rtnetlink::new_connection().expect("rtnetlink");
                let _connection = tokio::spawn(connection);
                handle.link().add(LinkVeth::new("wire", "far").build()).execute().await.expect("a wire");
                let moved = LinkUnspec::new_with_name("far").setns_by_fd(there).build();
                handle.link().change(moved).execute().await.expect("its other end");
            });
            end("wire", Ipv4Addr::new(192, 0, 2, 1), 24);
        });
        other.enter(|| end("far", Ipv4Addr::new(192, 0, 2, 2), 24));
    }
}

/// Brings up the end `name` of a wire with this address.
pub fn end(name: &str, address: Ipv4Addr, prefix: u8) {
    block_on(async {
        let links = Links::open().expect("rtnetlink");
        let link = links.find(name).await.expect("links").expect("the end of a wire");
        links.add_address(link.index, address, prefix).await.expect("an address");
        links.set_up(link.index).await.expect("the wire up");
    });
}

/// A node: a namespace, files, and an interface of its own name, since the sockets of all are in one directory.
pub struct Node {
    pub namespace: Namespace,
    pub interface: String,
    pub key: WgKey,
    pub address: Ipv4Addr,
    pub ula: Ipv6Addr,
    /// Where its `/etc`, `/var/lib` and `/run` are.
    pub root: PathBuf,
    /// The run of its host that it sees; none if that is the kernel's own.
    pub boot_id: Option<&'static str>,
}

/// `node-agent wg0` of a node, and what it says to its supervisor.
pub struct Agent {
    child: Option<Child>,
    notices: UnixDatagram,
    log: PathBuf,
}

impl Node {
    /// A node that was initialised.
    pub fn new() -> Node {
        Node::with(None)
    }

    /// The same, with an identity that was there before.
    pub fn of(identity: &Identity) -> Node {
        Node::with(Some(identity))
    }

    fn with(identity: Option<&Identity>) -> Node {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let interface = format!("wg{}x{number}", std::process::id());
        let root = kit::directory("mesh");
        let file = root.join("etc/cluster-os/node.yaml");
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        // Its namespace has no address yet that it could find by itself.
        let text = format!("discovery:\n  advertise: 192.0.2.1\nnetworking:\n  interface: {interface}\n");
        fs::write(file, text).expect("node.yaml");
        if let Some(identity) = identity {
            let file = root.join("var/lib/cluster-os/identity.json");
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            fs::write(file, identity.text()).expect("identity.json");
        }
        let mut node = Node {
            namespace: Namespace::new(),
            interface,
            key: WgKey([0; 32]),
            address: Ipv4Addr::UNSPECIFIED,
            ula: Ipv6Addr::UNSPECIFIED,
            root,
            boot_id: None,
        };
        assert!(node.run(&["init"]).status.success(), "init");
        let facts = String::from_utf8(node.run(&["info"]).stdout).expect("text");
        let fact = |name: &str| {
            let line = facts.lines().find_map(|line| line.strip_prefix(name)).expect("a fact");
            line.split_whitespace().next().expect("its value").to_owned()
        };
        node.key = fact("wireguard key").parse().expect("a key");
        node.address = fact("mesh address").parse().expect("an address");
        node.ula = fact("mesh IPv6").parse().expect("an address");
        node
    }

    /// The command `node-agent ARGUMENTS` of this node.
    pub fn command(&self, arguments: &[&str]) -> Command {
        if let Some(boot_id) = self.boot_id {
            let file = self.root.join("boot_id");
            fs::write(&file, boot_id).expect("a run");
            let see = format!("mount --bind '{}' /proc/sys/kernel/random/boot_id && exec \"$@\"", file.display());
            return self.command_through(&["unshare", "--mount", "sh", "-c", &see, "sh"], arguments);
        }
        let mut command = Command::new(agent());
        self.dress(command.arg("--root").arg(&self.root).args(arguments));
        command
    }

    /// The same, with the words of another program before it.
    pub fn command_through(&self, before: &[&str], arguments: &[&str]) -> Command {
        let (program, words) = before.split_first().expect("a program");
        let mut command = Command::new(program);
        self.dress(command.args(words).arg(agent()).arg("--root").arg(&self.root).args(arguments));
        command
    }

    fn dress(&self, command: &mut Command) {
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        command.env("NODE_NAME", &self.interface).env("CLUSTER_AUTH_KEY", key).env_remove("NOTIFY_SOCKET");
    }

    /// Runs it inside, to its end.
    pub fn run(&self, arguments: &[&str]) -> std::process::Output {
        self.namespace.enter(|| self.command(arguments).output().expect("node-agent"))
    }

    /// Starts `node-agent wg0` and waits until it is ready; returns what it said.
    pub fn up(&self) -> (Agent, String) {
        self.up_with(&[])
    }

    /// The same, with these variables.
    pub fn up_with(&self, variables: &[(&str, &str)]) -> (Agent, String) {
        let path = self.root.join("notify");
        let _ = fs::remove_file(&path);
        let notices = UnixDatagram::bind(&path).expect("a socket");
        notices.set_read_timeout(Some(kit::SOON)).expect("a limit");
        let log = self.root.join("log");
        let err = File::create(&log).expect("the log");
        let child = self.namespace.enter(|| {
            let mut command = self.command(&["wg0"]);
            command
                .env("NOTIFY_SOCKET", &path)
                .envs(variables.iter().copied())
                .stdin(Stdio::null())
                .stderr(err)
                .spawn()
                .expect("node-agent")
        });
        let agent = Agent { child: Some(child), notices, log };
        let mut text = [0; 256];
        let length = agent.notices.recv(&mut text).unwrap_or_else(|error| panic!("ready: {error}; {}", agent.log()));
        (agent, String::from_utf8_lossy(&text[..length]).into_owned())
    }

    /// The device.
    pub fn dump(&self) -> Observed {
        self.with_device(async |device| device.dump().await.expect("a dump"))
    }

    /// Makes `desired` the peers, as `node-agent start` does; returns what there was to do.
    pub fn reconcile(&self, desired: &[PeerSpec]) -> Vec<Operation> {
        self.with_device(async |device| {
            let operations = diff(&device.dump().await.expect("a dump"), desired, &mut Trials::default(), now());
            device.apply(&operations).await.expect("applied");
            operations
        })
    }

    /// Runs `task` with the device, inside.
    pub fn with_device<T: Send>(&self, task: impl AsyncFnOnce(&mut Device) -> T + Send) -> T {
        self.namespace.enter(|| {
            block_on(async {
                let mut device = Device::open(&self.interface).await.expect("a device");
                task(&mut device).await
            })
        })
    }

    /// The link's number; none if there is no link.
    pub fn index(&self) -> Option<u32> {
        self.namespace.enter(|| {
            block_on(async { Links::open().expect("rtnetlink").find(&self.interface).await.expect("links") })
                .map(|link| link.index)
        })
    }

    /// This node as a peer of others.
    pub fn peer(&self, endpoint: &str) -> PeerSpec {
        PeerSpec {
            key: self.key,
            endpoint: Some(endpoint.parse().expect("an endpoint")),
            allowed: vec![(self.address.into(), 32), (self.ula.into(), 128)],
            keepalive: 0,
            psk: Psk::none(),
        }
    }

    /// Whether a packet comes through to `other` by its mesh address.
    pub fn reaches(&self, other: &Node) -> bool {
        self.reaches_by(self.address.into(), other, other.address.into())
    }

    /// The same by its IPv6 address.
    pub fn reaches_by_ipv6(&self, other: &Node) -> bool {
        self.reaches_by(self.ula.into(), other, other.ula.into())
    }

    fn reaches_by(&self, own: IpAddr, other: &Node, there: IpAddr) -> bool {
        let sink = other.namespace.enter(|| UdpSocket::bind(SocketAddr::from((there, 0)))).expect("a socket");
        sink.set_read_timeout(Some(Duration::from_millis(500))).expect("a limit");
        let to = sink.local_addr().expect("an address");
        let source = self.namespace.enter(|| UdpSocket::bind(SocketAddr::from((own, 0)))).expect("a socket");
        (0..20).any(|_| {
            source.send_to(b"hello", to).expect("sent");
            let mut text = [0; 8];
            sink.recv_from(&mut text).is_ok_and(|(length, from)| &text[..length] == b"hello" && from.ip() == own)
        })
    }

    /// Another wish for the same link: a key that is not this node's.
    pub fn stranger(&self) -> Settings {
        Settings {
            interface: self.interface.clone(),
            private_key: Zeroizing::new([0x77; 32]),
            port: 51820,
            address: self.address,
            prefix: 16,
            ula: None,
            mtu: Some(1420),
            below: None,
            node_id: "a stranger".to_owned(),
        }
    }

    /// Brings the link up for somebody else.
    pub fn up_as(&self, settings: &Settings) -> Result<(), clusteros_init::agent::Failure> {
        self.namespace.enter(|| wg::up(settings, false))
    }

    /// Where the device is served in user space.
    pub fn socket(&self) -> PathBuf {
        PathBuf::from(format!("/var/run/wireguard/{}.sock", self.interface))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
        // What an agent that was killed left behind.
        let _ = fs::remove_file(self.socket());
    }
}

impl Agent {
    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a process");
        let mut status = None;
        kit::wait_until("the end of node-agent wg0", kit::SOON, || {
            status = child.try_wait().expect("its status");
            status.is_some()
        });
        status.expect("ended")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        kit::kill(self.child.as_ref().expect("a process").id().cast_signed(), signal);
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}
