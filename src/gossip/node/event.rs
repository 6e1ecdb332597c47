//! What the node is told and what it asks for.

use std::net::SocketAddr;

use zeroize::Zeroizing;

use crate::gossip::rpc::{Level, Line};
use crate::gossip::serf;
use crate::gossip::wire::tags::Tags;

/// Names a connection: of a client, of a peer, or to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link(pub(super) u64);

/// Names a host that is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lookup(pub(super) u64);

impl From<Lookup> for u64 {
    fn from(lookup: Lookup) -> u64 {
        lookup.0
    }
}

impl From<u64> for Lookup {
    fn from(number: u64) -> Lookup {
        Lookup(number)
    }
}

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// Time passed: to be said when [`super::Node::deadline`] is there, after what came until then. An answer is never too late
    /// only because nobody looked.
    Tick,
    /// A datagram came.
    Datagram {
        /// From where.
        from: SocketAddr,
        /// All of it.
        bytes: &'a [u8],
    },
    /// A host said that nothing listens where a datagram went.
    Unheard {
        /// Where it went.
        to: SocketAddr,
    },
    /// A connection that was asked for is there.
    Connected(Link),
    /// Bytes came on a connection.
    Received {
        /// On which.
        link: Link,
        /// Some of them.
        bytes: &'a [u8],
    },
    /// A connection is gone, or could not be made: the other side closed it, or something went wrong.
    Gone {
        /// Which.
        link: Link,
        /// What went wrong: `connection refused`; nothing if it was just closed.
        why: Option<String>,
        /// Whether the other host says that nothing takes connections there.
        refused: bool,
    },
    /// A host was looked up.
    Found {
        /// For what.
        lookup: Lookup,
        /// Its addresses, or why there are none.
        found: Result<Vec<SocketAddr>, String>,
    },
    /// A script has something to say to a query.
    Respond {
        /// The key of the query.
        key: u64,
        /// What it says.
        payload: Vec<u8>,
    },
    /// The keys that an operation changed were kept, or not: whoever asked for it is answered now.
    Kept {
        /// The key of the operation.
        key: u64,
        /// Why they could not be kept; nothing if they were, or if this node keeps none.
        why: Option<String>,
    },
    /// A line was written to the log.
    Said(Line),
    /// The node is to have these tags, for its configuration says so.
    Tags(Tags),
    /// The node is to leave the cluster, and then to end.
    Leave,
}

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Send a datagram.
    Send {
        /// Where to.
        to: SocketAddr,
        /// All of it.
        bytes: Vec<u8>,
    },
    /// Connect, and say [`Event::Connected`] or [`Event::Gone`].
    Connect {
        /// What the connection is called.
        link: Link,
        /// Where to.
        to: SocketAddr,
    },
    /// Close a connection, whatever is still to be written; nothing is said of it.
    Close(Link),
    /// Look a host up, and say [`Event::Found`].
    Resolve {
        /// For what.
        lookup: Lookup,
        /// Its name, or its address.
        host: String,
        /// The port of the addresses.
        port: u16,
    },
    /// Run the scripts for this.
    Happened(serf::Event),
    /// Do this to the snapshot.
    Snapshot(serf::Record),
    /// Keep these keys, in base64, the primary first, and say [`Event::Kept`].
    Keyring {
        /// The key of the operation that made them what they are.
        key: u64,
        /// All of them.
        keys: Vec<Zeroizing<String>>,
    },
    /// Keep these tags.
    Tags(Tags),
    /// Write a line to the log, and say [`Event::Said`].
    Log(Level, String),
    /// Let clients have what is said to them, and end.
    Exit {
        /// Whether everything is as it should be.
        well: bool,
    },
}
