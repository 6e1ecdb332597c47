//! What a client sends: a header with the command and, for most commands, a body.

use std::time::Duration;

use super::ask::Query;
use super::filter::MemberFilter;
use crate::gossip::Name;
use crate::gossip::serf::KeyOperation;
use crate::gossip::wire::pack::{Malformed, Objects, Unpack, read, record};
use crate::gossip::wire::tags::Tags;

/// No object of a client is longer: a join through thousands of addresses fits.
const LARGEST: usize = 256 << 10;

/// Bytes on their way to become requests.
#[derive(Debug)]
pub struct Intake(Objects);

/// The first object of a request.
#[derive(Debug, Default)]
pub struct Header {
    /// The command.
    pub command: Vec<u8>,
    /// The client's number of the request.
    pub seq: u64,
}

record!(Header { "Command" => command, "Seq" => seq });

/// A whole request.
#[derive(Debug)]
pub enum Command {
    /// The version that the client speaks.
    Handshake(i64),
    /// The secret.
    Auth(Vec<u8>),
    /// A user event.
    Event { name: Name, payload: Vec<u8>, coalesce: bool },
    /// Let a failed member have left.
    ForceLeave { node: Name, prune: bool },
    /// Join through these.
    Join { targets: Vec<String>, replay: bool },
    /// Members that pass; without a filter, an expression of it is none.
    Members(Option<MemberFilter>),
    /// Tags to have, and before that to lose.
    Tags { set: Tags, delete: Vec<Name> },
    /// Numbers.
    Stats,
    /// Where a member is.
    Coordinate(Name),
    /// A list of events.
    Stream(Vec<u8>),
    /// A level of the log.
    Monitor(Vec<u8>),
    /// No more of the stream or monitor of that request.
    Stop(u64),
    /// Leave and end.
    Leave,
    /// Ask everybody.
    Query(Query),
    /// A response to the query of that number.
    Respond(u64, Vec<u8>),
    /// Something with the keys.
    Keys(KeyOperation),
    /// None that is known, of which it is not known whether it has a body.
    Unknown,
}

impl Default for Intake {
    fn default() -> Intake {
        Intake(Objects::new(LARGEST))
    }
}

impl Intake {
    /// Takes bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.feed(bytes);
    }

    /// Whether no bytes wait.
    pub fn is_empty(&self) -> bool {
        self.0.waiting() == 0
    }

    /// The next header; none if it has not come whole.
    pub fn header(&mut self) -> Result<Option<Header>, Malformed> {
        self.body()
    }

    /// The request of a header; none if its body has not come whole.
    pub fn command(&mut self, header: &Header) -> Result<Option<Command>, Malformed> {
        let command = match header.command.as_slice() {
            b"handshake" => self.body::<Handshake>()?.map(|body| Command::Handshake(body.version)),
            b"auth" => self.body::<Auth>()?.map(|body| Command::Auth(body.key)),
            b"event" => self.body::<Event>()?.map(Event::command),
            b"force-leave" => {
                self.body::<ForceLeave>()?.map(|ForceLeave { node, prune }| Command::ForceLeave { node, prune })
            }
            b"join" => self.body::<Join>()?.map(|Join { targets, replay }| Command::Join { targets, replay }),
            b"members" => Some(Command::Members(Some(MemberFilter::default()))),
            b"members-filtered" => self
                .body::<Filtered>()?
                .map(|body| Command::Members(MemberFilter::new(&body.name, &body.status, &body.tags))),
            b"tags" => self.body::<TagsBody>()?.map(|TagsBody { set, delete }| Command::Tags { set, delete }),
            b"stats" => Some(Command::Stats),
            b"get-coordinate" => self.body::<Node>()?.map(|body| Command::Coordinate(body.node)),
            b"stream" => self.body::<Stream>()?.map(|body| Command::Stream(body.types)),
            b"monitor" => self.body::<Monitor>()?.map(|body| Command::Monitor(body.level)),
            b"stop" => self.body::<Stop>()?.map(|body| Command::Stop(body.seq)),
            b"leave" => Some(Command::Leave),
            b"query" => self.body::<QueryBody>()?.map(QueryBody::command),
            b"respond" => self.body::<Respond>()?.map(|body| Command::Respond(body.id, body.payload)),
            b"install-key" => self.body::<Key>()?.map(|body| Command::Keys(KeyOperation::Install(body.key.into()))),
            b"use-key" => self.body::<Key>()?.map(|body| Command::Keys(KeyOperation::Use(body.key.into()))),
            b"remove-key" => self.body::<Key>()?.map(|body| Command::Keys(KeyOperation::Remove(body.key.into()))),
            b"list-keys" => Some(Command::Keys(KeyOperation::List)),
            _ => Some(Command::Unknown),
        };
        Ok(command)
    }

    fn body<T: Unpack>(&mut self) -> Result<Option<T>, Malformed> {
        self.0.take()?.map(read).transpose()
    }
}

#[derive(Debug, Default)]
struct Handshake {
    version: i64,
}
record!(Handshake { "Version" => version });

#[derive(Default)]
struct Auth {
    key: Vec<u8>,
}
record!(Auth { "AuthKey" => key });

#[derive(Debug, Default)]
struct Event {
    name: Name,
    payload: Vec<u8>,
    coalesce: bool,
}
record!(Event { "Name" => name, "Payload" => payload, "Coalesce" => coalesce });

impl Event {
    fn command(self) -> Command {
        Command::Event { name: self.name, payload: self.payload, coalesce: self.coalesce }
    }
}

#[derive(Debug, Default)]
struct ForceLeave {
    node: Name,
    prune: bool,
}
record!(ForceLeave { "Node" => node, "Prune" => prune });

#[derive(Debug, Default)]
struct Join {
    targets: Vec<String>,
    replay: bool,
}
record!(Join { "Existing" => targets, "Replay" => replay });

#[derive(Debug, Default)]
struct Filtered {
    tags: Tags,
    status: Vec<u8>,
    name: Vec<u8>,
}
record!(Filtered { "Tags" => tags, "Status" => status, "Name" => name });

#[derive(Debug, Default)]
struct TagsBody {
    set: Tags,
    delete: Vec<Name>,
}
record!(TagsBody { "Tags" => set, "DeleteTags" => delete });

#[derive(Debug, Default)]
struct Node {
    node: Name,
}
record!(Node { "Node" => node });

#[derive(Debug, Default)]
struct Stream {
    types: Vec<u8>,
}
record!(Stream { "Type" => types });

#[derive(Debug, Default)]
struct Monitor {
    level: Vec<u8>,
}
record!(Monitor { "LogLevel" => level });

#[derive(Debug, Default)]
struct Stop {
    seq: u64,
}
record!(Stop { "Stop" => seq });

#[derive(Debug, Default)]
struct Respond {
    id: u64,
    payload: Vec<u8>,
}
record!(Respond { "ID" => id, "Payload" => payload });

#[derive(Default)]
struct Key {
    key: Vec<u8>,
}
record!(Key { "Key" => key });

#[derive(Debug, Default)]
struct QueryBody {
    nodes: Vec<Name>,
    tags: Tags,
    ack: bool,
    relay: u8,
    timeout: Duration,
    name: Name,
    payload: Option<Vec<u8>>,
}
record!(QueryBody {
    "FilterNodes" => nodes,
    "FilterTags" => tags,
    "RequestAck" => ack,
    "RelayFactor" => relay,
    "Timeout" => timeout,
    "Name" => name,
    "Payload" => payload,
});

impl QueryBody {
    fn command(self) -> Command {
        let QueryBody { nodes, tags, ack, relay, timeout, name, payload } = self;
        Command::Query(Query { name, payload, nodes, tags, ack, relay, timeout })
    }
}
