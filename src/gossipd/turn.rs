//! The loop: wait in one place, tell the node what came, do what it asks.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::dice::Kernel;
use super::files::Snapshot;
use super::journal::Journal;
use super::resolver::Resolver;
use super::scripts::{Own, Scripts};
use super::signals::Signals;
use super::sockets::{Clients, Stream, unheard};
use nix::errno::Errno;

use crate::gossip::node::{Event, Link, Node};
use crate::gossip::rpc::Level;
use crate::gossip::wire::tags::Tags;
use crate::say::reason;
use crate::sys::clock::boottime;
use crate::sys::poll::Wait;
use crate::unit::Time;

/// So many datagrams, and connections, are taken before anything else has its turn.
const BATCH: usize = 64;
/// Nobody is accepted for so long when there is no descriptor left.
const PAUSE: Duration = Duration::from_secs(1);
/// As much is read at once: no datagram is longer.
const BUFFER: usize = 65_536;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub stream: Stream,
    pub connecting: bool,
}

/// What a reload changes.
#[derive(Debug)]
pub struct Reloaded {
    /// What is said.
    pub level: Level,
    /// The node's tags; none if they are kept in a file.
    pub tags: Option<Tags>,
    /// What is run.
    pub scripts: Vec<super::scripts::Script>,
}

/// An address as a socket takes it: one for both versions (`v6`) takes those of version 4 as mapped.
pub(super) fn fitting(v6: bool, to: SocketAddr) -> SocketAddr {
    match to.ip() {
        IpAddr::V4(ip) if v6 => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
        IpAddr::V4(_) | IpAddr::V6(_) => to,
    }
}

/// What gossip runs with.
pub struct Outfit {
    /// The machine.
    pub node: Node,
    /// Its dice.
    pub dice: Kernel,
    /// Where lines go.
    pub journal: Journal,
    /// What is run.
    pub scripts: Scripts,
    /// Who the node is.
    pub own: Own,
    /// For datagrams.
    pub udp: UdpSocket,
    /// For peers.
    pub tcp: TcpListener,
    /// For clients.
    pub clients: Vec<Clients>,
    /// What the supervisor says.
    pub signals: Signals,
    /// For names.
    pub resolver: Resolver,
    /// What outlives the program.
    pub snapshot: Option<Snapshot>,
    /// Where keys are kept.
    pub keyring_file: Option<PathBuf>,
    /// Where tags are kept.
    pub tags_file: Option<PathBuf>,
    /// Which signals leave the cluster: SIGINT, SIGTERM.
    pub leaves: (bool, bool),
    /// Reads the configuration again.
    pub reload: Box<dyn Fn() -> Result<Reloaded, String>>,
}

/// The time of the node.
pub fn now() -> Time {
    Time::from_nanos(boottime())
}

/// The loop and all that it holds.
pub struct Turn {
    pub(super) outfit: Outfit,
    pub(super) connections: BTreeMap<Link, Connection>,
    /// Whether the socket for datagrams is one for both versions.
    pub(super) v6: bool,
    wait: Wait,
    buffer: Vec<u8>,
    /// Nobody is accepted until then.
    deaf: Option<Time>,
    /// The program ends then at the latest, with this code.
    pub(super) end: Option<(Time, u8)>,
    /// A signal asked for a leave, and this is how long it may take.
    pub(super) grace: Option<Time>,
}

/// Where in a [`Wait`] what is.
struct Watched {
    signals: usize,
    resolver: usize,
    udp: usize,
    tcp: Option<usize>,
    clients: Vec<usize>,
    scripts: Vec<usize>,
    connections: Vec<(Link, usize)>,
}

impl Turn {
    /// Everything in its place, and nothing done.
    pub fn new(outfit: Outfit) -> Turn {
        Turn {
            v6: outfit.udp.local_addr().is_ok_and(|own| own.is_ipv6()),
            outfit,
            connections: BTreeMap::new(),
            wait: Wait::default(),
            buffer: vec![0; BUFFER],
            deaf: None,
            end: None,
            grace: None,
        }
    }

    /// Runs until the node has ended; the exit code.
    pub fn run(&mut self) -> ExitCode {
        loop {
            self.tell(Event::Tick);
            // Who takes what was said to him may have asked for more.
            while self.write() {
                self.tell(Event::Tick);
            }
            let now = now();
            if self.grace.is_some_and(|until| until <= now) {
                self.log(Level::Err, "agent: Graceful leave timed out, quitting");
                return ExitCode::FAILURE;
            }
            if let Some((until, code)) = self.end
                && (until <= now || self.connections.keys().all(|link| self.outfit.node.output(*link).is_empty()))
            {
                return ExitCode::from(code);
            }
            let watched = self.watch(now);
            let deadlines = [self.outfit.node.deadline(), self.deaf, self.grace, self.end.map(|(until, _)| until)];
            let limit = deadlines.into_iter().flatten().min().map(|until| until.since(now));
            if let Err(errno) = self.wait.sleep(limit) {
                self.log(Level::Err, &format!("agent: unable to wait: {errno}"));
                return ExitCode::from(70);
            }
            self.take(&watched);
        }
    }

    /// Tells the node, and does what it asks for.
    pub(super) fn tell(&mut self, event: Event<'_>) {
        self.outfit.node.handle(now(), event, &mut self.outfit.dice);
        self.settle();
    }

    pub(super) fn settle(&mut self) {
        while let Some(action) = self.outfit.node.next() {
            self.perform(action);
        }
    }

    /// Writes what is taken on every connection, and closes what is over. Whether anything was written.
    fn write(&mut self) -> bool {
        let links: Vec<_> = self.connections.keys().copied().collect();
        let mut wrote = false;
        for link in links {
            wrote |= self.write_to(link);
        }
        self.settle();
        wrote
    }

    fn write_to(&mut self, link: Link) -> bool {
        let mut wrote = false;
        while let Some(connection) = self.connections.get(&link).filter(|connection| !connection.connecting) {
            let output = self.outfit.node.output(link);
            if output.is_empty() {
                if self.outfit.node.is_over(link) {
                    self.gone(link, None);
                }
                return wrote;
            }
            match connection.stream.write(output) {
                Ok(count) => {
                    wrote = true;
                    self.outfit.node.wrote(link, count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return wrote,
                Err(error) => {
                    self.gone(link, Some(&error));
                    return wrote;
                }
            }
        }
        wrote
    }

    fn watch(&mut self, now: Time) -> Watched {
        if self.deaf.is_some_and(|until| until <= now) {
            self.deaf = None;
        }
        let Outfit { node, signals, resolver, udp, tcp, clients, scripts, .. } = &self.outfit;
        let wait = &mut self.wait;
        wait.clear();
        let hears = self.deaf.is_none();
        let (reads, writes) = scripts.fds();
        Watched {
            signals: wait.watch(signals.fd(), true, false),
            resolver: wait.watch(resolver.fd(), true, false),
            udp: wait.watch(udp.as_raw_fd(), true, false),
            tcp: hears.then(|| wait.watch(tcp.as_raw_fd(), true, false)),
            clients: clients.iter().filter(|_| hears).map(|clients| wait.watch(clients.fd(), true, false)).collect(),
            scripts: reads
                .map(|fd| wait.watch(fd, true, false))
                .into_iter()
                .chain(writes.map(|fd| wait.watch(fd, false, true)))
                .collect(),
            connections: self
                .connections
                .iter()
                .map(|(link, connection)| {
                    let reads = !connection.connecting && node.is_hungry(*link);
                    let writes = connection.connecting || !node.output(*link).is_empty();
                    (*link, wait.watch(connection.stream.fd(), reads, writes))
                })
                .collect(),
        }
    }

    /// Takes what came.
    fn take(&mut self, watched: &Watched) {
        let came = |wait: &Wait, number: usize| wait.found(number) != (false, false);
        if came(&self.wait, watched.udp) {
            self.receive();
        }
        for (link, number) in &watched.connections {
            match self.wait.found(*number) {
                (false, false) => {}
                found => {
                    self.hear(*link, found);
                    // One that is not read would be found broken again at once.
                    if self.wait.broken(*number) && !self.outfit.node.is_hungry(*link) {
                        self.gone(*link, None);
                    }
                }
            }
        }
        if watched.tcp.is_some_and(|number| came(&self.wait, number)) {
            self.accept();
        }
        for (at, number) in watched.clients.iter().enumerate() {
            if came(&self.wait, *number) {
                self.admit(at);
            }
        }
        if came(&self.wait, watched.resolver) {
            for (id, found) in self.outfit.resolver.take() {
                self.tell(Event::Found { lookup: id.into(), found });
            }
        }
        if watched.scripts.iter().any(|number| came(&self.wait, *number)) {
            self.go_on_with_scripts();
        }
        if came(&self.wait, watched.signals) {
            for signal in self.outfit.signals.take() {
                self.signal(signal);
            }
        }
    }

    fn receive(&mut self) {
        for _ in 0..BATCH {
            match unheard(&self.outfit.udp) {
                Ok(Some(to)) => self.tell(Event::Unheard { to }),
                Ok(None) | Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        for _ in 0..BATCH {
            match self.outfit.udp.recv_from(&mut self.buffer) {
                Ok((count, from)) => {
                    let bytes = self.buffer.get(..count).unwrap_or_default();
                    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                    self.outfit.node.handle(now(), Event::Datagram { from, bytes }, &mut self.outfit.dice);
                    self.settle();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // What was sent before could not be delivered: the next may be a datagram.
                Err(_) => {}
            }
        }
    }

    fn hear(&mut self, link: Link, (readable, writable): (bool, bool)) {
        let Some(connection) = self.connections.get_mut(&link) else { return };
        if connection.connecting {
            if !writable {
                return;
            }
            match connection.stream.error() {
                Ok(None) => {
                    connection.connecting = false;
                    self.tell(Event::Connected(link));
                    self.write_to(link);
                }
                Ok(Some(error)) | Err(error) => {
                    self.gone(link, Some(&error));
                    self.settle();
                }
            }
            return;
        }
        if readable && self.outfit.node.is_hungry(link) {
            match connection.stream.read(&mut self.buffer) {
                Ok(0) => self.gone(link, None),
                Ok(count) => {
                    let bytes = self.buffer.get(..count).unwrap_or_default();
                    self.outfit.node.handle(now(), Event::Received { link, bytes }, &mut self.outfit.dice);
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => self.gone(link, Some(&error)),
            }
            self.settle();
        }
        self.write_to(link);
    }

    fn accept(&mut self) {
        for _ in 0..BATCH {
            match self.outfit.tcp.accept() {
                Ok((stream, from)) => {
                    if let Some(link) = self.outfit.node.accept(now(), from)
                        && let Ok(stream) = Stream::tcp(stream)
                    {
                        self.connections.insert(link, Connection { stream, connecting: false });
                    }
                }
                Err(error) => return self.accepted_nobody(&error),
            }
        }
    }

    fn admit(&mut self, at: usize) {
        for _ in 0..BATCH {
            let Some(clients) = self.outfit.clients.get(at) else { return };
            match clients.accept() {
                Ok(stream) => {
                    if let Some(link) = self.outfit.node.client(now()) {
                        self.connections.insert(link, Connection { stream, connecting: false });
                    }
                }
                Err(error) => return self.accepted_nobody(&error),
            }
        }
    }

    /// Nobody waits any more, or there is no descriptor left; then the next try is later, for the listener stays readable.
    fn accepted_nobody(&mut self, error: &io::Error) {
        let harmless = [ErrorKind::WouldBlock, ErrorKind::Interrupted, ErrorKind::ConnectionAborted];
        if !harmless.contains(&error.kind()) {
            self.deaf = Some(now() + PAUSE);
            self.log(Level::Err, &format!("agent: unable to accept a connection: {}", reason(error)));
        }
        self.settle();
    }
}
