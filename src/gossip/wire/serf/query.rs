//! Questions to all, who they are for, and answers.

use std::time::Duration;

use crate::gossip::Name;
use crate::gossip::wire::message::{Addr, typed};
use crate::gossip::wire::pack::{Malformed, Pack, Reader, Unpack, Writer, read, record};

/// A condition on who a query is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// One of these nodes.
    Nodes(Vec<Name>),
    /// A node whose tag matches.
    Tag {
        /// The tag; one that a node does not have is empty.
        tag: Name,
        /// A regular expression, which need not match the whole value.
        expression: Name,
    },
    /// Something that matches nobody: a kind of filter not known, or one broken.
    Other(Vec<u8>),
}

impl Filter {
    const NODES: u8 = 0;
    const TAG: u8 = 1;

    fn encode(&self) -> Vec<u8> {
        match self {
            Filter::Nodes(names) => typed(Filter::NODES, names),
            Filter::Tag { tag, expression } => {
                typed(Filter::TAG, &TagFilter { tag: tag.clone(), expression: expression.clone() })
            }
            Filter::Other(bytes) => bytes.clone(),
        }
    }

    fn decode(bytes: Vec<u8>) -> Filter {
        let known = match bytes.split_first() {
            Some((&Filter::NODES, names)) => read(names).map(Filter::Nodes).ok(),
            Some((&Filter::TAG, filter)) => {
                let filter = read(filter).ok();
                filter.map(|TagFilter { tag, expression }| Filter::Tag { tag, expression })
            }
            _ => None,
        };
        known.unwrap_or(Filter::Other(bytes))
    }
}

/// [`Filter::Tag`] on the wire.
#[derive(Default)]
struct TagFilter {
    tag: Name,
    expression: Name,
}
record!(TagFilter { "Tag" => tag, "Expr" => expression });

/// The filters of a query, each in bytes of its own; none is a nil.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(pub Vec<Filter>);

impl Pack for Filters {
    fn pack(&self, out: &mut Writer) {
        if self.0.is_empty() {
            return out.nil();
        }
        let filters: Vec<Vec<u8>> = self.0.iter().map(Filter::encode).collect();
        filters.pack(out);
    }
}

impl Unpack for Filters {
    fn unpack(reader: &mut Reader<'_>) -> Result<Filters, Malformed> {
        let filters: Vec<Vec<u8>> = Vec::unpack(reader)?;
        Ok(Filters(filters.into_iter().map(Filter::decode).collect()))
    }
}

/// Of a query, or of a response to one.
pub mod flag {
    /// An ack is wanted; this is one.
    pub const ACK: u32 = 1;
    /// It is not to be sent on.
    pub const NO_BROADCAST: u32 = 2;
}

/// A question to all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// When.
    pub ltime: u64,
    /// Which of that time.
    pub id: u32,
    /// The address of who asks: where responses go.
    pub addr: Addr,
    /// Its port.
    pub port: u16,
    /// Its name.
    pub source: Name,
    /// Who is asked: whom all of these match.
    pub filters: Filters,
    /// As in [`flag`].
    pub flags: u32,
    /// Over how many other members a response goes, too.
    pub relay_factor: u8,
    /// How long responses are waited for.
    pub timeout: Duration,
    /// Its name.
    pub name: Name,
    /// What it carries.
    pub payload: Vec<u8>,
}
record!(Query {
    "LTime" => ltime, "ID" => id, "Addr" => addr, "Port" => port, "SourceNode" => source, "Filters" => filters, "Flags" => flags,
    "RelayFactor" => relay_factor, "Timeout" => timeout, "Name" => name, "Payload" => payload,
});

/// An answer, or that the question came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryResponse {
    /// Of the query.
    pub ltime: u64,
    /// Of the query.
    pub id: u32,
    /// Who answers.
    pub from: Name,
    /// As in [`flag`].
    pub flags: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}
record!(QueryResponse { "LTime" => ltime, "ID" => id, "From" => from, "Flags" => flags, "Payload" => payload });
