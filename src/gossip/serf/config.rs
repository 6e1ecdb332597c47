//! What Serf is told at its start. The numbers are Serf's (sections 3.3, 3.4, 3.7).

use std::time::Duration;

use crate::gossip::Name;
use crate::gossip::wire::message::Addr;
use crate::gossip::wire::tags::Tags;

/// The longest that an intent to leave is waited for until everybody was told, and then that for memberlist's.
pub const BROADCAST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a leave is given to get around.
pub const LEAVE_PROPAGATE: Duration = Duration::from_secs(1);
/// How often what is gone is looked through.
pub const REAP_INTERVAL: Duration = Duration::from_secs(15);
/// How long an intent of a node that is not known is kept.
pub const INTENT_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// How often a failed member may be tried again.
pub const RECONNECT_INTERVAL: Duration = Duration::from_secs(30);
/// How often the queues are looked at.
pub const QUEUE_INTERVAL: Duration = Duration::from_secs(30);
/// A queue as long as this is worth a warning.
pub const QUEUE_WARNING: usize = 128;
/// The longest that a queue may be when it is looked at.
pub const QUEUE_MAX: usize = 4096;
/// A query waits this many rounds of gossip for responses, times the digits of the number of members.
pub const QUERY_ROUNDS: u32 = 16;
/// The largest user event, whatever the configuration says.
pub const EVENT_SIZE_MAX: usize = 9 * 1024;
/// The largest query, encoded.
pub const QUERY_SIZE: usize = 1024;
/// The largest response to one, encoded.
pub const RESPONSE_SIZE: usize = 1024;
/// What user events that are remembered may weigh, all together. Serf knows no such bound.
pub const EVENTS_WEIGHT: usize = 2 * 1024 * 1024;
/// How many queries are remembered. Serf knows no such bound.
pub const QUERIES_WEIGHT: usize = 64 * 1024;
/// How many queries of this node, or of others, may run at a time. Serf knows no such bound.
pub const RUNNING: usize = 1024;
/// What the names of internal queries begin with.
pub const INTERNAL: &[u8] = b"_serf_";

/// What Serf is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of this node.
    pub name: Name,
    /// The address that it tells others.
    pub addr: Addr,
    /// The port that it tells others.
    pub port: u16,
    /// Its tags.
    pub tags: Tags,
    /// Serf's protocol: 2 to 5.
    pub protocol: u8,
    /// Whether there is a keyring.
    pub encrypted: bool,
    /// How often memberlist gossips: the base of a query's timeout.
    pub gossip_interval: Duration,
    /// Times each message is sent, by the digits of the number of members.
    pub retransmit: u32,
    /// The largest user event, before it is encoded and after.
    pub event_size: usize,
    /// The largest query, encoded.
    pub query_size: usize,
    /// The largest response to one, encoded.
    pub response_size: usize,
    /// How long an intent to leave is waited for until everybody was told, and then that for memberlist's.
    pub broadcast_timeout: Duration,
    /// How often a failed member may be tried again.
    pub reconnect_interval: Duration,
    /// Whether this node says where it is in time, and learns it of others.
    pub coordinates: bool,
    /// How long a failed member is remembered.
    pub reconnect_timeout: Duration,
    /// How long a member that left is remembered.
    pub tombstone_timeout: Duration,
    /// Members at most; of intents and of what a query may bring as many.
    pub members: usize,
    /// Whether events are coalesced.
    pub coalesce: bool,
    /// Whether a snapshot is kept.
    pub snapshot: bool,
    /// Whether a leave leaves the snapshot as it is, and is left out when one is read.
    pub rejoin: bool,
    /// Whether this node gives up when most others mean another by its name.
    pub resolve_conflicts: bool,
}

impl Config {
    /// Serf's defaults, in the `lan` profile.
    pub fn new(name: Name, addr: Addr, port: u16) -> Config {
        Config {
            name,
            addr,
            port,
            tags: Tags::new(),
            protocol: 5,
            encrypted: false,
            gossip_interval: Duration::from_millis(200),
            retransmit: 4,
            event_size: 512,
            query_size: QUERY_SIZE,
            response_size: RESPONSE_SIZE,
            broadcast_timeout: BROADCAST_TIMEOUT,
            reconnect_interval: RECONNECT_INTERVAL,
            coordinates: true,
            reconnect_timeout: Duration::from_secs(24 * 3600),
            tombstone_timeout: Duration::from_secs(24 * 3600),
            members: 10_000,
            coalesce: true,
            snapshot: false,
            rejoin: false,
            resolve_conflicts: true,
        }
    }
}
