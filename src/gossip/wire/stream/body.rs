//! One message of a stream, without what is around it: taken piece by piece, so that only what it tells is held.

use super::{Content, Failure, LARGEST, SEALED, UserHeader};
use crate::gossip::wire::message::kind;
use crate::gossip::wire::pack::{Malformed, Objects, read};
use crate::gossip::wire::push_pull::{Header, NODES, NodeState, PushPull};

/// How many bytes one value may have: a node, a ping, an error.
const VALUE: usize = 64 * 1024;

/// What is waited for.
#[derive(Clone, Copy, Debug)]
enum Due {
    Kind,
    /// The one value of a message of this type, or what comes before its rest.
    Value(u8),
    /// So many nodes, then so many bytes of what lies above.
    Nodes(u32, usize),
    /// So many bytes of what lies above.
    User(u8, usize),
}

/// A message that is on its way.
#[derive(Debug)]
pub(super) struct Body {
    /// The types of messages that may come.
    takes: &'static [u8],
    due: Due,
    bytes: Objects,
    state: PushPull,
    taken: usize,
}

impl Body {
    /// Nothing yet.
    pub(super) fn new(takes: &'static [u8]) -> Body {
        Body { takes, due: Due::Kind, bytes: Objects::new(VALUE), state: PushPull::default(), taken: 0 }
    }

    /// How many bytes are held, or a few more.
    pub(super) fn held(&self) -> usize {
        self.taken + self.state.nodes.len() * size_of::<NodeState>()
    }

    /// More of it; the whole message when it has come. What comes behind it is not looked at.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Option<Content>, Malformed> {
        self.taken += bytes.len();
        if self.taken > LARGEST {
            return Err(Malformed("a stream that is too long"));
        }
        self.bytes.feed(bytes);
        loop {
            match self.due {
                Due::Kind => {
                    let Some(kind) = self.bytes.raw(1).first() else { return Ok(None) };
                    if !self.takes.contains(kind) {
                        return Err(Malformed("a type of message that does not belong here"));
                    }
                    self.due = Due::Value(*kind);
                }
                Due::Value(kind) => {
                    let Some(value) = self.bytes.take()? else { return Ok(None) };
                    match kind {
                        kind::PING => return read(value).map(|ping| Some(Content::Ping(ping))),
                        kind::ACK => return read(value).map(|ack| Some(Content::Ack(ack))),
                        kind::ERROR => return read(value).map(|Failure { error }| Some(Content::Error(error))),
                        kind::USER => self.due = Due::User(kind, length(read::<UserHeader>(value)?.length)?),
                        kind::PUSH_PULL => {
                            let header: Header = read(value)?;
                            if header.nodes as usize > NODES {
                                return Err(Malformed("more nodes than a cluster has"));
                            }
                            self.state.join = header.join;
                            self.due = Due::Nodes(header.nodes, length(header.user)?);
                        }
                        _ => return Err(Malformed("a type of message that streams do not have")),
                    }
                }
                Due::Nodes(0, user) => self.due = Due::User(kind::PUSH_PULL, user),
                Due::Nodes(nodes, user) => {
                    let Some(node) = self.bytes.take()? else { return Ok(None) };
                    self.state.nodes.push(read(node)?);
                    self.due = Due::Nodes(nodes - 1, user);
                }
                Due::User(kind, 0) => {
                    let state = std::mem::take(&mut self.state);
                    let user = kind == kind::USER;
                    return Ok(Some(if user { Content::User(state.user) } else { Content::PushPull(state) }));
                }
                Due::User(kind, count) => {
                    let bytes = self.bytes.raw(count);
                    if bytes.is_empty() {
                        return Ok(None);
                    }
                    self.state.user.extend_from_slice(bytes);
                    self.due = Due::User(kind, count - bytes.len());
                }
            }
        }
    }
}

/// A length that was announced, if it is one that is waited for.
fn length(announced: u32) -> Result<usize, Malformed> {
    let length = usize::try_from(announced).ok().filter(|length| *length <= SEALED);
    length.ok_or(Malformed("a state that is too long"))
}
