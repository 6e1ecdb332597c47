//! As much of a client of the RPC as tests need to look again and again.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::value::{Value, split};

/// A member as an agent shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub status: String,
    pub tags: BTreeMap<String, String>,
}

/// The members that the agent of this address knows, by name; nothing if it does not answer.
pub fn members(rpc: &str) -> Option<BTreeMap<String, Member>> {
    Client::connect(rpc)?.members()
}

/// A connection to an agent.
pub struct Client {
    stream: TcpStream,
}

impl Client {
    /// Connects and shakes hands; nothing if nobody is there.
    pub fn connect(rpc: &str) -> Option<Client> {
        let stream = TcpStream::connect(rpc).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let mut client = Client { stream };
        client.ask(b"\x82\xa7Command\xa9handshake\xa3Seq\x01\x81\xa7Version\x01", 1)?;
        Some(client)
    }

    /// The members by name; nothing if it does not answer.
    pub fn members(&mut self) -> Option<BTreeMap<String, Member>> {
        let answer = self.ask(b"\x82\xa7Command\xa7members\xa3Seq\x02", 2)?;
        let body = Value::of(split(&answer).get(1)?);
        let members = body.get("Members");
        Some(members.list().iter().map(|member| (member.get("Name").text(), shown(member))).collect())
    }

    /// Sends a request and reads that many objects.
    fn ask(&mut self, request: &[u8], objects: usize) -> Option<Vec<u8>> {
        self.stream.write_all(request).ok()?;
        let mut bytes = Vec::new();
        let mut buffer = [0; 65_536];
        while split(&bytes).len() < objects {
            let count = self.stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
            bytes.extend_from_slice(&buffer[..count]);
        }
        Some(bytes)
    }
}

fn shown(member: &Value) -> Member {
    let tags = member.get("Tags");
    let tags = tags.pairs().iter().map(|(tag, value)| (tag.text(), value.text())).collect();
    Member { status: member.get("Status").text(), tags }
}
