//! As much of a client of the RPC as tests need to look again and again.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::value::{Value, split};

/// A member as an agent shows it.
pub struct Member {
    pub status: String,
    pub tags: BTreeMap<String, String>,
}

/// The members that the agent of this address knows, by name; nothing if it does not answer.
pub fn members(rpc: &str) -> Option<BTreeMap<String, Member>> {
    let mut stream = TcpStream::connect(rpc).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let handshake = b"\x82\xa7Command\xa9handshake\xa3Seq\x01\x81\xa7Version\x01";
    let request = [&handshake[..], b"\x82\xa7Command\xa7members\xa3Seq\x02"].concat();
    stream.write_all(&request).ok()?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 65_536];
    // Two headers and a body; only the body has members.
    loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        if let Some(body) = split(&bytes).get(2) {
            let body = Value::of(body);
            let members = body.get("Members");
            return Some(members.list().iter().map(|member| (member.get("Name").text(), shown(member))).collect());
        }
    }
}

fn shown(member: &Value) -> Member {
    let tags = member.get("Tags");
    let tags = tags.pairs().iter().map(|(tag, value)| (tag.text(), value.text())).collect();
    Member { status: member.get("Status").text(), tags }
}
