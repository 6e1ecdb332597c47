//! A client of Serf's RPC: members, tags, join, leave, and the events that say that members changed.

pub mod codec;

use std::fmt::{self, Display, Formatter};
use std::io;
use std::time::Duration;

use rmpv::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

use self::codec::KeyAnswer;
use crate::cluster::Member;
use crate::mesh::record::Tags;

/// Gossip answers from memory; this is for a machine that is very busy.
const PATIENCE: Duration = Duration::from_secs(10);
/// A query to every node takes Serf a fifth of a second, sixteen times, and that so often as the number of nodes has digits.
const KEY_PATIENCE: Duration = Duration::from_secs(60);
/// A join tries each target for Serf's 10 s.
const JOIN_PATIENCE: Duration = Duration::from_secs(60);
/// The events that change the membership.
const EVENTS: &str = "member-join,member-leave,member-failed,member-update,member-reap,user:mesh";
/// The event by which a node has all others look at once: those of the membership come only after a second without any.
const LOOK: &str = "mesh";

/// What gossip says to who gave no password, or a wrong one.
const UNKNOWN: &str = "Authentication required";

/// Why a request was not answered. Except after [`Error::Said`] the connection is of no more use.
#[derive(Debug)]
pub enum Error {
    /// The connection.
    Io(io::Error),
    /// What came is no RPC.
    Malformed,
    /// Nothing came in time.
    Timeout,
    /// Gossip refused, in its own words.
    Said(String),
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => f.write_str("it closed the connection"),
            Error::Io(cause) => Display::fmt(cause, f),
            Error::Malformed => f.write_str("its answer cannot be read"),
            Error::Timeout => f.write_str("no answer in time"),
            Error::Said(text) if text == UNKNOWN => f.write_str("it has another password than this node's serf.json"),
            Error::Said(text) => f.write_str(text.trim()),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(cause: io::Error) -> Error {
        Error::Io(cause)
    }
}

impl From<codec::Malformed> for Error {
    fn from(_: codec::Malformed) -> Error {
        Error::Malformed
    }
}

/// The request that asked for events, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subscription {
    None,
    Asked(u64),
    Open(u64),
}

/// What is done with the keys of every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOperation {
    /// A key comes, and is not used yet.
    Install,
    /// A key that is there is used from now on.
    Use,
    /// A key that is not used goes.
    Remove,
    /// Every key is told.
    List,
}

impl KeyOperation {
    const fn command(self) -> &'static str {
        match self {
            KeyOperation::Install => "install-key",
            KeyOperation::Use => "use-key",
            KeyOperation::Remove => "remove-key",
            KeyOperation::List => "list-keys",
        }
    }
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    /// Keys may be in it.
    unread: Zeroizing<Vec<u8>>,
    seq: u64,
    subscription: Subscription,
    /// An event came while an answer was waited for.
    stirred: bool,
}

impl Client {
    /// Connects to `address`, shakes hands, and says the password if there is one.
    pub async fn connect(address: &str, password: &str) -> Result<Client, Error> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await.map_err(|_| Error::Timeout)??;
        stream.set_nodelay(true)?;
        let mut client =
            Client { stream, unread: Zeroizing::default(), seq: 0, subscription: Subscription::None, stirred: false };
        client.ask("handshake", Some(codec::map([("Version", 1.into())])), false, PATIENCE).await?;
        if !password.is_empty() {
            let body = codec::map([("AuthKey", password.into())]);
            match client.ask("auth", Some(body), false, PATIENCE).await {
                // A gossip that was started without a password says so; one that has another refuses what comes next.
                Ok(_) | Err(Error::Said(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(client)
    }

    /// Asks to be told of every change of the membership; see [`Client::stirred`].
    pub async fn subscribe(&mut self) -> Result<(), Error> {
        self.subscription = Subscription::Asked(self.seq + 1);
        self.ask("stream", Some(codec::map([("Type", EVENTS.into())])), false, PATIENCE).await.map(drop)
    }

    /// Every member that gossip knows, this node too, in no order.
    pub async fn members(&mut self) -> Result<Vec<Member>, Error> {
        let body = self.ask("members", None, true, PATIENCE).await?;
        Ok(codec::members(&body))
    }

    /// Sets tags of this node and takes away those that are `gone`; others stay as they are.
    pub async fn set_tags(&mut self, tags: &Tags, gone: &[&str]) -> Result<(), Error> {
        let gone = Value::Array(gone.iter().map(|tag| Value::from(*tag)).collect());
        let body = codec::map([("DeleteTags", gone), ("Tags", codec::texts(tags))]);
        self.ask("tags", Some(body), false, PATIENCE).await.map(drop)
    }

    /// Asks gossip to join through `targets`; done if one of them answered, with how many did.
    pub async fn join(&mut self, targets: &[String]) -> Result<u64, Error> {
        let targets = targets.iter().map(|target| target.as_str().into()).collect();
        let body = codec::map([("Existing", Value::Array(targets)), ("Replay", false.into())]);
        self.ask("join", Some(body), true, JOIN_PATIENCE).await.map(|body| codec::joined(&body))
    }

    /// Has every node look at the membership at once.
    pub async fn have_all_look(&mut self) -> Result<(), Error> {
        let body =
            codec::map([("Name", LOOK.into()), ("Payload", Value::Binary(Vec::new())), ("Coalesce", false.into())]);
        self.ask("event", Some(body), false, PATIENCE).await.map(drop)
    }

    /// Has every node do something with its keys, of which `key` is one in base64, and tells what came of it.
    pub async fn keys(&mut self, operation: KeyOperation, key: &str) -> Result<KeyAnswer, Error> {
        self.seq += 1;
        let request = match operation {
            KeyOperation::List => Zeroizing::new(codec::encode(operation.command(), self.seq, None)),
            _ => codec::encode_key(operation.command(), self.seq, key),
        };
        match self.exchange(&request, true, KEY_PATIENCE).await? {
            // Without a body it says why; with one that is how many nodes did it, which the body says, too.
            (error, Value::Nil) => Err(Error::Said(error)),
            (error, body) => {
                let answer = codec::keys(body);
                if answer.nodes == 0 { Err(Error::Said(error)) } else { Ok(answer) }
            }
        }
    }

    /// Asks gossip to say to the others that this node leaves, and to end; done when it has said so. For `patience` at most.
    pub async fn leave(&mut self, patience: Duration) -> Result<(), Error> {
        self.ask("leave", None, false, patience).await.map(drop)
    }

    /// Waits for the next event. Dropping the future loses nothing.
    pub async fn stirred(&mut self) -> Result<(), Error> {
        loop {
            if std::mem::take(&mut self.stirred) {
                return Ok(());
            }
            match self.take(true)? {
                // An answer that nobody waits for any more.
                Some(_) => {}
                None => self.fill().await?,
            }
        }
    }

    /// Sends a request and waits for its answer; the body is nil if the command has none.
    async fn ask(
        &mut self,
        command: &str,
        body: Option<Value>,
        answered: bool,
        patience: Duration,
    ) -> Result<Value, Error> {
        self.seq += 1;
        let (error, body) = self.exchange(&codec::encode(command, self.seq, body), answered, patience).await?;
        if error.is_empty() { Ok(body) } else { Err(Error::Said(error)) }
    }

    /// Sends the bytes of a request and waits for its answer: the error, empty if there is none, and the body.
    async fn exchange(&mut self, request: &[u8], answered: bool, patience: Duration) -> Result<(String, Value), Error> {
        timeout(patience, async {
            self.stream.write_all(request).await?;
            loop {
                match self.take(answered)? {
                    Some((seq, error, body)) if seq == self.seq => return Ok((error, body)),
                    Some(_) => {}
                    None => self.fill().await?,
                }
            }
        })
        .await
        .map_err(|_| Error::Timeout)?
    }

    /// Takes one whole answer or event from what was read; none if more must be read. An event is remembered.
    fn take(&mut self, answered: bool) -> Result<Option<(u64, String, Value)>, Error> {
        let Some((head, size)) = codec::decode(&self.unread)? else { return Ok(None) };
        let (seq, error) = codec::header(&head)?;
        // The first answer with the subscription's number has no body; every later one is an event.
        let event = self.subscription == Subscription::Open(seq);
        let bodied = event || answered && seq == self.seq && !bare(&error);
        let (body, size) = if bodied {
            let Some((body, more)) = codec::decode(self.unread.get(size..).unwrap_or_default())? else {
                return Ok(None);
            };
            (body, size + more)
        } else {
            (Value::Nil, size)
        };
        self.unread.drain(..size);
        self.stirred |= event;
        if self.subscription == Subscription::Asked(seq) {
            self.subscription = Subscription::Open(seq);
        }
        Ok(Some((seq, error, body)))
    }

    async fn fill(&mut self) -> Result<(), Error> {
        if self.stream.read_buf(&mut *self.unread).await? == 0 {
            return Err(Error::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(())
    }
}

/// Errors after which gossip sends no body and closes.
fn bare(error: &str) -> bool {
    matches!(error, UNKNOWN | "Handshake required" | "Unsupported command")
}
