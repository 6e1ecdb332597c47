//! How gossip is to run: Serf's own flags and keys of its configuration file, in one table.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::gossip::rpc::Level;
use zeroize::Zeroizing;

/// The timing of the protocol, for a kind of network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// One site.
    #[default]
    Lan,
    /// Many sites.
    Wan,
    /// One machine.
    Local,
}

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Of this node; empty: the host's.
    pub node: String,
    /// `ADDRESS[:PORT]` to listen on.
    pub bind: String,
    /// The link whose address is bound.
    pub interface: Option<String>,
    /// `ADDRESS[:PORT]` that others are told.
    pub advertise: Option<String>,
    /// In base64; empty: nothing is encrypted.
    pub encrypt: Zeroizing<String>,
    /// Where keys are kept.
    pub keyring_file: Option<PathBuf>,
    /// `[TYPE[:NAME]=]COMMAND`
    pub event_handlers: Vec<String>,
    /// Through whom to join at the start, or not start.
    pub join: Vec<String>,
    /// Through whom to join, again and again.
    pub retry_join: Vec<String>,
    /// How long to wait after a join that failed.
    pub retry_interval: Duration,
    /// How many joins; 0: for ever.
    pub retry_max: usize,
    /// Whether events from before a join are delivered.
    pub replay: bool,
    /// Whether a node that left comes back by itself.
    pub rejoin: bool,
    /// What is said of what happens.
    pub log_level: Level,
    /// The timing.
    pub profile: Profile,
    /// Serf's protocol, 2 to 5.
    pub protocol: u8,
    /// Of this node.
    pub tags: BTreeMap<String, String>,
    /// Where tags are kept.
    pub tags_file: Option<PathBuf>,
    /// `ADDRESS:PORT` of the RPC.
    pub rpc_addr: String,
    /// What clients must say; empty: nothing.
    pub rpc_auth: Zeroizing<String>,
    /// A Unix socket of the RPC, too.
    pub rpc_socket: Option<PathBuf>,
    /// Where members and clocks are kept.
    pub snapshot: Option<PathBuf>,
    /// Whether SIGTERM leaves the cluster.
    pub leave_on_terminate: bool,
    /// Whether SIGINT does not.
    pub skip_leave_on_interrupt: bool,
    /// How long a message is waited for to be told.
    pub broadcast_timeout: Duration,
    /// Whether packets are compressed.
    pub compression: bool,
    /// Whether coordinates are told.
    pub coordinates: bool,
    /// Whether of two nodes of one name the one that is right is found out.
    pub name_resolution: bool,
    /// How often a failed member is looked for.
    pub reconnect_interval: Duration,
    /// After how long a failed member is forgotten.
    pub reconnect_timeout: Duration,
    /// After how long a member that left is forgotten.
    pub tombstone_timeout: Duration,
    /// Most bytes of a user event.
    pub event_limit: usize,
    /// Most bytes of a query.
    pub query_limit: usize,
    /// Most bytes of a response.
    pub response_limit: usize,
    /// What was set and nothing here heeds, in words.
    pub unheeded: Vec<&'static str>,
}

impl Default for Settings {
    /// Serf's.
    fn default() -> Settings {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Settings {
            node: String::new(),
            bind: "0.0.0.0:7946".to_owned(),
            interface: None,
            advertise: None,
            encrypt: Zeroizing::default(),
            keyring_file: None,
            event_handlers: Vec::new(),
            join: Vec::new(),
            retry_join: Vec::new(),
            retry_interval: Duration::from_secs(30),
            retry_max: 0,
            replay: false,
            rejoin: false,
            log_level: Level::Info,
            profile: Profile::Lan,
            protocol: 5,
            tags: BTreeMap::new(),
            tags_file: None,
            rpc_addr: "127.0.0.1:7373".to_owned(),
            rpc_auth: Zeroizing::default(),
            rpc_socket: None,
            snapshot: None,
            leave_on_terminate: false,
            skip_leave_on_interrupt: false,
            broadcast_timeout: Duration::from_secs(5),
            compression: true,
            coordinates: true,
            name_resolution: true,
            reconnect_interval: Duration::from_secs(30),
            reconnect_timeout: DAY,
            tombstone_timeout: DAY,
            event_limit: 512,
            query_limit: 1024,
            response_limit: 1024,
            unheeded: Vec::new(),
        }
    }
}

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Text, a number or a span: `-flag=TEXT`, in a file text or a number.
    Text,
    /// As text, and again: `-flag=A -flag=B`, in a file a list (or, for tags, a map).
    Many,
    /// `-flag`, `-flag=false`, in a file `true` or `false`.
    Switch,
}

/// One setting.
pub struct Key {
    /// The flag's name; empty if there is none.
    pub flag: &'static str,
    /// The name in a configuration file; empty if there is none.
    pub key: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// What `-help` and the man page say: of what takes text, its form and, after two spaces, what it is.
    pub help: &'static str,
    /// Whether anything here heeds it: Serf has some for which that is not so.
    pub heeded: bool,
    /// Sets it. The error says what is wrong with the text.
    pub set: fn(&mut Settings, &str) -> Result<(), String>,
}

const fn key(
    flag: &'static str,
    key: &'static str,
    takes: Takes,
    help: &'static str,
    set: fn(&mut Settings, &str) -> Result<(), String>,
) -> Key {
    Key { flag, key, takes, help, heeded: true, set }
}

impl Key {
    /// The same, heeded by nothing here.
    const fn serfs(self) -> Key {
        Key { heeded: false, ..self }
    }
}

/// Every setting.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("node", "node_name", Takes::Text, "NAME  unique in the cluster; the host's name", |to, text| put(&mut to.node, text.to_owned())),
    key("bind", "bind", Takes::Text, "ADDRESS[:PORT]  where to listen, UDP and TCP; 0.0.0.0:7946", |to, text| put(&mut to.bind, text.to_owned())),
    key("iface", "interface", Takes::Text, "LINK  bind the address of this link", |to, text| put(&mut to.interface, Some(text.to_owned()))),
    key("advertise", "advertise", Takes::Text, "ADDRESS[:PORT]  what others are told", |to, text| put(&mut to.advertise, Some(text.to_owned()))),
    key("encrypt", "encrypt_key", Takes::Text, "KEY  16, 24 or 32 bytes in base64", |to, text| put(&mut to.encrypt, Zeroizing::new(text.to_owned()))),
    key("keyring-file", "keyring_file", Takes::Text, "FILE  where keys are kept", |to, text| put(&mut to.keyring_file, Some(text.into()))),
    key("join", "start_join", Takes::Many, "HOST[:PORT]  join through it, or end; may be given again", |to, text| push(&mut to.join, text)),
    key("retry-join", "retry_join", Takes::Many, "HOST[:PORT]  join through it, again and again; may be given again", |to, text| push(&mut to.retry_join, text)),
    key("retry-interval", "retry_interval", Takes::Text, "TIME  between two joins; 30s", |to, text| span(text).map(|span| to.retry_interval = span)),
    key("retry-max", "retry_max_attempts", Takes::Text, "COUNT  how many joins; 0: for ever", |to, text| number(text).map(|number| to.retry_max = number)),
    key("replay", "replay_on_join", Takes::Switch, "deliver events from before a join", |to, text| switch(text).map(|on| to.replay = on)),
    key("rejoin", "rejoin_after_leave", Takes::Switch, "come back after a leave, by the snapshot", |to, text| switch(text).map(|on| to.rejoin = on)),
    key("tag", "tags", Takes::Many, "KEY=VALUE  a tag of this node; may be given again", tag),
    key("tags-file", "tags_file", Takes::Text, "FILE  where tags are kept", |to, text| put(&mut to.tags_file, Some(text.into()))),
    key("role", "role", Takes::Text, "ROLE  the same as -tag role=ROLE", |to, text| { to.tags.insert("role".to_owned(), text.to_owned()); Ok(()) }),
    key("profile", "profile", Takes::Text, "lan|wan|local  the timing", profile),
    key("protocol", "protocol", Takes::Text, "2..5  Serf's protocol; 5", protocol),
    key("rpc-addr", "rpc_addr", Takes::Text, "ADDRESS:PORT  of the RPC; 127.0.0.1:7373, none if empty", |to, text| put(&mut to.rpc_addr, text.to_owned())),
    key("rpc-auth", "rpc_auth", Takes::Text, "SECRET  what clients of the RPC must say", |to, text| put(&mut to.rpc_auth, Zeroizing::new(text.to_owned()))),
    key("rpc-socket", "rpc_socket", Takes::Text, "PATH  the RPC on a Unix socket, too", |to, text| put(&mut to.rpc_socket, Some(text.into()))),
    key("snapshot", "snapshot_path", Takes::Text, "FILE  where members and clocks are kept", |to, text| put(&mut to.snapshot, Some(text.into()))),
    key("event-handler", "event_handlers", Takes::Many, "[TYPE[:NAME]=]COMMAND  run at events; may be given again", |to, text| push(&mut to.event_handlers, text)),
    key("log-level", "log_level", Takes::Text, "trace|debug|info|warn|err  what to say", |to, text| Level::of(text).map(|level| to.log_level = level).ok_or_else(|| "it is none of trace, debug, info, warn, err".to_owned())),
    key("broadcast-timeout", "broadcast_timeout", Takes::Text, "TIME  for a message to be told; 5s", |to, text| span(text).map(|span| to.broadcast_timeout = span)),
    key("disable-compression", "disable_compression", Takes::Switch, "do not compress", |to, text| switch(text).map(|on| to.compression = !on)),
    key("", "enable_compression", Takes::Switch, "as `disable_compression` says, the other way round", |to, text| switch(text).map(|on| to.compression = on)),
    key("", "disable_coordinates", Takes::Switch, "tell others no coordinate, and compute none", |to, text| switch(text).map(|on| to.coordinates = !on)),
    key("", "disable_name_resolution", Takes::Switch, "do not find out which of two nodes of one name is right", |to, text| switch(text).map(|on| to.name_resolution = !on)),
    key("", "leave_on_terminate", Takes::Switch, "leave the cluster at SIGTERM", |to, text| switch(text).map(|on| to.leave_on_terminate = on)),
    key("", "skip_leave_on_interrupt", Takes::Switch, "do not leave it at SIGINT", |to, text| switch(text).map(|on| to.skip_leave_on_interrupt = on)),
    key("", "reconnect_interval", Takes::Text, "TIME  how often a failed member is looked for; 30s", |to, text| span(text).map(|span| to.reconnect_interval = span)),
    key("", "reconnect_timeout", Takes::Text, "TIME  after which a failed member is forgotten; 24h", |to, text| span(text).map(|span| to.reconnect_timeout = span)),
    key("", "tombstone_timeout", Takes::Text, "TIME  after which a member that left is forgotten; 24h", |to, text| span(text).map(|span| to.tombstone_timeout = span)),
    key("", "user_event_size_limit", Takes::Text, "COUNT  most bytes of a user event; 512", |to, text| number(text).map(|number| to.event_limit = number)),
    key("", "query_size_limit", Takes::Text, "COUNT  most bytes of a query; 1024", |to, text| number(text).map(|number| to.query_limit = number)),
    key("", "query_response_size_limit", Takes::Text, "COUNT  most bytes of a response; 1024", |to, text| number(text).map(|number| to.response_limit = number)),
    // Serf has these, and nothing here heeds them.
    key("discover", "discover", Takes::Text, "CLUSTER  find members by mDNS", |to, _| unheeded(to, "unable to find members by mDNS: gossipd does not; name some with -retry-join")).serfs(),
    key("syslog", "enable_syslog", Takes::Switch, "log to syslog", |to, text| switch(text).and_then(|on| if on { unheeded(to, SYSLOG) } else { Ok(()) })).serfs(),
    key("", "syslog_facility", Takes::Text, "NAME  syslog's facility", |to, _| unheeded(to, SYSLOG)).serfs(),
    key("", "statsite_addr", Takes::Text, "ADDRESS  send metrics to a statsite", |to, _| unheeded(to, METRICS)).serfs(),
    key("", "statsd_addr", Takes::Text, "ADDRESS  send metrics to a statsd", |to, _| unheeded(to, METRICS)).serfs(),
];

fn put<T>(to: &mut T, value: T) -> Result<(), String> {
    *to = value;
    Ok(())
}

fn push(to: &mut Vec<String>, text: &str) -> Result<(), String> {
    to.push(text.to_owned());
    Ok(())
}

const SYSLOG: &str = "unable to log to syslog: gossipd does not; its lines are on standard error";
const METRICS: &str = "unable to send metrics: gossipd has none; 'serf info' shows its counters";

fn unheeded(to: &mut Settings, what: &'static str) -> Result<(), String> {
    if !to.unheeded.contains(&what) {
        to.unheeded.push(what);
    }
    Ok(())
}

fn tag(to: &mut Settings, text: &str) -> Result<(), String> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("it is not KEY=VALUE")?;
    to.tags.insert(key.to_owned(), value.to_owned());
    Ok(())
}

fn profile(to: &mut Settings, text: &str) -> Result<(), String> {
    to.profile = match text {
        "lan" => Profile::Lan,
        "wan" => Profile::Wan,
        "local" => Profile::Local,
        _ => return Err("it is none of lan, wan, local".to_owned()),
    };
    Ok(())
}

fn protocol(to: &mut Settings, text: &str) -> Result<(), String> {
    let number = text.parse().ok().filter(|number| (2..=5).contains(number));
    to.protocol = number.ok_or("it is none of 2, 3, 4, 5")?;
    Ok(())
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "it is no number".to_owned())
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "t" | "T" | "TRUE" | "True" => Ok(true),
        "false" | "0" | "f" | "F" | "FALSE" | "False" => Ok(false),
        _ => Err("it is neither true nor false".to_owned()),
    }
}

/// A span as Go writes it: `1m30s`, `500ms`, `1.5h`, `0`.
fn span(text: &str) -> Result<Duration, String> {
    let wrong = || "it is no time like 30s, 500ms or 1m30s".to_owned();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut all = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').ok_or_else(wrong)?;
        let (count, unit) = rest.split_at(digits);
        let letters = unit.find(|letter: char| letter.is_ascii_digit()).unwrap_or(unit.len());
        let (unit, next) = unit.split_at(letters);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(wrong()),
        };
        let count: f64 = count.parse().map_err(|_| wrong())?;
        all += Duration::try_from_secs_f64(count * seconds).map_err(|_| wrong())?;
        rest = next;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::span;

    #[test]
    fn spans_are_written_as_in_go() {
        for (text, millis) in [("2s", 2000), ("1m30s", 90_000), ("500ms", 500), ("1.5h", 5_400_000), ("0", 0)] {
            assert_eq!(span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "5", "-5s", "5 s", "5x", "1e9s"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
