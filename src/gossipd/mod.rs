//! Shell: `gossipd`, membership of a cluster by Serf's protocol.
//!
//! What it does is decided by [`gossip::node`](crate::gossip::node); here are its sockets, files, signals and scripts, and the one
//! loop ([`turn`]).

mod acts;
mod address;
mod dice;
mod files;
mod journal;
mod manual;
mod options;
mod ready;
mod resolver;
mod scripts;
mod settings;
mod signals;
mod sockets;
mod turn;

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use zeroize::Zeroizing;

use self::dice::Kernel;
use self::files::Snapshot;
use self::journal::Journal;
use self::options::{Call, Mistake};
use self::resolver::Resolver;
use self::scripts::{Own, Script, Scripts};
use self::settings::{Profile, Settings};
use self::signals::Signals;
use self::sockets::Clients;
use self::turn::{Outfit, Reloaded, Turn};
use crate::gossip::Name;
use crate::gossip::node::{Event, Node, Setup};
use crate::gossip::rpc::{Level, Secret};
use crate::gossip::serf::{Config, Past};
use crate::gossip::swim;
use crate::gossip::wire::crypt::{Key, Keyring};
use crate::gossip::wire::message::Addr;
use crate::gossip::wire::tags::Tags;
use crate::say::reason;

/// Why it did not start, and the exit code for that.
struct Failure {
    code: u8,
    text: String,
}

/// What was typed.
fn typed(text: String) -> Failure {
    Failure { code: 64, text }
}

/// What is configured: trying again would not help.
fn configured(text: String) -> Failure {
    Failure { code: 78, text }
}

/// What the machine does not give: trying again may help.
fn wanting(text: String) -> Failure {
    Failure { code: 1, text }
}

/// Runs gossip with these arguments (without the program's name) until it is told to end or has left the cluster.
///
/// The exit code is 0 after a leave, 1 after a signal without one or if something is not to be had, 64 for a wrong command line,
/// 78 for a wrong configuration.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.collect();
    let started = match options::call(arguments.iter().cloned()) {
        Ok(Call::Say(text)) => {
            options::say(&text);
            return ExitCode::SUCCESS;
        }
        Ok(Call::Run(settings)) => start(*settings, arguments),
        Err(Mistake::Typed(text)) => Err(typed(format!("unable to start: {text}; 'gossipd --help' shows the options"))),
        Err(Mistake::Configured(text)) => Err(configured(format!("unable to start: {text}; correct it"))),
    };
    match started {
        Ok(mut turn) => turn.run(),
        Err(Failure { code, text }) => {
            drop(writeln!(io::stderr(), "gossipd: error: {text}"));
            ExitCode::from(code)
        }
    }
}

fn start(settings: Settings, arguments: Vec<OsString>) -> Result<Turn, Failure> {
    let mut journal = Journal::new(settings.log_level);
    for what in &settings.unheeded {
        journal.write(Level::Warn, &format!("agent: {what}"));
    }
    // Before anything that a signal could interrupt half done.
    let signals = Signals::catch().map_err(|error| wanting(format!("unable to catch signals: {}", reason(&error))))?;
    let (bind, advertise) = addresses(&settings).map_err(configured)?;
    let unable = |what: &str, error: &io::Error| wanting(format!("unable to listen on {what}: {}", reason(error)));
    let (udp, tcp) = sockets::gossip(bind).map_err(|error| unable(&format!("{bind}, UDP and TCP"), &error))?;
    let bound = udp.local_addr().map_err(|error| unable(&bind.to_string(), &error))?;
    let advertised = address::advertised(bound, advertise).ok_or_else(|| {
        wanting("unable to find an address of this host: it has none; give one with -advertise".to_owned())
    })?;
    let mut clients = Vec::new();
    if !settings.rpc_addr.is_empty() {
        let address =
            address::parse(&settings.rpc_addr, 7373).map_err(|cause| configured(format!("-rpc-addr: {cause}")))?;
        clients.push(Clients::tcp(address).map_err(|error| unable(&format!("{address} for the RPC"), &error))?);
    }
    if let Some(path) = &settings.rpc_socket {
        clients.push(Clients::unix(path).map_err(|error| unable(&path.display().to_string(), &error))?);
    }
    let keyring = keyring(&settings).map_err(configured)?;
    let tags = tags(&settings).map_err(configured)?;
    let scripts = scripts(&settings).map_err(configured)?;
    let (snapshot, past) = match &settings.snapshot {
        Some(path) => {
            let (snapshot, text) = Snapshot::open(path)
                .map_err(|error| wanting(format!("unable to open {}: {}", path.display(), reason(&error))))?;
            (Some(snapshot), Past::read(&text, settings.rejoin))
        }
        None => (None, Past::default()),
    };
    let name = match settings.node.as_str() {
        "" => nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()),
        name => Ok(name.to_owned()),
    };
    let name =
        name.map_err(|errno| wanting(format!("unable to read the name of this host: {errno}; give one with -node")))?;
    let own = Own { name: Name::from(name.as_str()), tags };
    let setup = setup(&settings, &own, advertised, keyring, &scripts);
    let mut dice = Kernel::new();
    let mut node = Node::new(setup, past, turn::now(), &mut dice)
        .map_err(|refusal| configured(format!("unable to start: {refusal}")))?;
    let resolver = Resolver::new().map_err(|error| wanting(format!("unable to start: {}", reason(&error))))?;
    let mut lines = vec![
        journal.write(Level::Info, "agent: Serf agent starting"),
        journal.write(Level::Info, &format!("agent: {name} {advertised}, RPC {}", settings.rpc_addr)),
    ];
    if let Err(error) = ready::notify(&format!("READY=1\nSTATUS=member {name} at {advertised}")) {
        lines.push(journal.write(Level::Warn, &format!("agent: unable to notify the supervisor: {}", reason(&error))));
    }
    for line in lines {
        node.handle(turn::now(), Event::Said(line), &mut dice);
    }
    let mut running = Scripts::default();
    running.set(scripts);
    let filed = settings.tags_file.is_some();
    Ok(Turn::new(Outfit {
        node,
        dice,
        journal,
        scripts: running,
        own,
        udp,
        tcp,
        clients,
        signals,
        resolver,
        snapshot,
        keyring_file: settings.keyring_file,
        tags_file: settings.tags_file,
        leaves: (!settings.skip_leave_on_interrupt, settings.leave_on_terminate),
        reload: Box::new(move || reloaded(&arguments, filed)),
    }))
}

/// What to bind, and what was said to tell others.
fn addresses(settings: &Settings) -> Result<(SocketAddr, Option<SocketAddr>), String> {
    let mut bind = address::parse(&settings.bind, address::PORT).map_err(|cause| format!("-bind: {cause}"))?;
    if let Some(link) = &settings.interface {
        let ip = address::of_link(link).ok_or_else(|| format!("-iface: {link} is no link, or has no address"))?;
        if !bind.ip().is_unspecified() && bind.ip() != ip {
            return Err(format!("-iface: {link} has the address {ip}, and -bind says {}", bind.ip()));
        }
        bind.set_ip(ip);
    }
    let advertise = settings.advertise.as_ref().map(|text| address::parse(text, bind.port())).transpose();
    Ok((bind, advertise.map_err(|cause| format!("-advertise: {cause}"))?))
}

fn keyring(settings: &Settings) -> Result<Option<Keyring>, String> {
    let texts = match &settings.keyring_file {
        Some(_) if !settings.encrypt.is_empty() => {
            return Err("Encryption key not allowed while using a keyring; give -encrypt or -keyring-file".to_owned());
        }
        Some(path) => {
            let read =
                files::read(path).map_err(|error| format!("unable to read {}: {}", path.display(), reason(&error)))?;
            let text = read.ok_or_else(|| format!("unable to read {}: there is no such file", path.display()))?;
            files::keys(&text).map_err(|cause| format!("{}: {cause}", path.display()))?
        }
        None if settings.encrypt.is_empty() => return Ok(None),
        None => vec![Zeroizing::new(settings.encrypt.to_string())],
    };
    let mut ring: Option<Keyring> = None;
    for text in &texts {
        let key = Key::from_base64(text).map_err(|error| format!("Invalid encryption key: {error}"))?;
        match &mut ring {
            None => ring = Some(Keyring::new(key).map_err(|error| error.to_string())?),
            Some(ring) => drop(ring.install(key).map_err(|error| error.to_string())?),
        }
    }
    ring.map(Some).ok_or_else(|| "Keyring file contains no keys".to_owned())
}

fn tags(settings: &Settings) -> Result<Tags, String> {
    let mut tags = settings.tags.clone();
    if let Some(path) = &settings.tags_file {
        if !tags.is_empty() {
            return Err("Tags config not allowed while using tag files; give -tag or -tags-file".to_owned());
        }
        let read =
            files::read(path).map_err(|error| format!("unable to read {}: {}", path.display(), reason(&error)))?;
        if let Some(text) = read {
            tags = files::tags(&text).map_err(|cause| format!("{}: {cause}", path.display()))?;
        }
    }
    Ok(tags.iter().map(|(tag, value)| (Name::from(tag.as_str()), Name::from(value.as_str()))).collect())
}

fn scripts(settings: &Settings) -> Result<Vec<Script>, String> {
    let read = |text: &String| Script::read(text).map_err(|cause| format!("-event-handler: {cause}"));
    settings.event_handlers.iter().map(read).collect()
}

fn setup(
    settings: &Settings,
    own: &Own,
    advertised: SocketAddr,
    keyring: Option<Keyring>,
    scripts: &[Script],
) -> Setup {
    let profile = match settings.profile {
        Profile::Lan => swim::LAN,
        Profile::Wan => swim::WAN,
        Profile::Local => swim::LOCAL,
    };
    let mut serf = Config::new(own.name.clone(), Addr::from(advertised.ip()), advertised.port());
    serf.tags = own.tags.clone();
    serf.protocol = settings.protocol;
    serf.encrypted = keyring.is_some();
    serf.gossip_interval = profile.gossip_interval;
    serf.retransmit = profile.retransmit_multiplier;
    serf.event_size = settings.event_limit;
    serf.query_size = settings.query_limit;
    serf.response_size = settings.response_limit;
    serf.broadcast_timeout = settings.broadcast_timeout;
    serf.coordinates = settings.coordinates;
    serf.reconnect_interval = settings.reconnect_interval;
    serf.reconnect_timeout = settings.reconnect_timeout;
    serf.tombstone_timeout = settings.tombstone_timeout;
    serf.snapshot = settings.snapshot.is_some();
    serf.rejoin = settings.rejoin;
    serf.resolve_conflicts = settings.name_resolution;
    let handler = |script: &Script| (Name::from(script.events.as_str()), Name::from(script.command.as_str()));
    Setup {
        serf,
        profile,
        keyring,
        compress: settings.compression,
        secret: Secret::new(Zeroizing::new(settings.rpc_auth.as_bytes().to_vec())),
        join: settings.join.clone(),
        seeds: settings.retry_join.clone(),
        retry_interval: settings.retry_interval,
        retry_max: settings.retry_max,
        replay: settings.replay,
        broadcast_timeout: settings.broadcast_timeout,
        runtime: runtime(),
        event_handlers: scripts.iter().map(handler).collect(),
    }
}

/// What the program runs on, in Go's words.
fn runtime() -> Vec<(&'static str, String)> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    vec![
        ("os", std::env::consts::OS.to_owned()),
        ("arch", arch.to_owned()),
        ("version", format!("gossipd {}", env!("CARGO_PKG_VERSION"))),
        ("max_procs", "1".to_owned()),
        ("goroutines", "1".to_owned()),
        ("cpu_count", cpus.to_string()),
    ]
}

/// What a reload changes, read again from the same arguments and files.
fn reloaded(arguments: &[OsString], filed: bool) -> Result<Reloaded, String> {
    let settings = match options::call(arguments.iter().cloned()) {
        Ok(Call::Run(settings)) => settings,
        Ok(Call::Say(_)) => return Err("there is nothing to run".to_owned()),
        Err(Mistake::Typed(cause) | Mistake::Configured(cause)) => return Err(cause),
    };
    let tags = if filed { None } else { Some(tags(&settings)?) };
    Ok(Reloaded { level: settings.log_level, tags, scripts: scripts(&settings)? })
}
