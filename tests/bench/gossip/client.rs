//! A client of the RPC that stays connected, so that to look costs little.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::value::{Value, split};

/// A connection to an agent.
pub struct Client {
    stream: TcpStream,
    /// What came and was not looked at.
    come: Vec<u8>,
    asked: u8,
}

impl Client {
    /// Nothing if nobody answers there.
    pub fn connect(rpc: SocketAddr) -> Option<Client> {
        let stream = TcpStream::connect(rpc).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        stream.set_nodelay(true).ok()?;
        let mut client = Client { stream, come: Vec::new(), asked: 0 };
        client.ask("handshake", b"\x81\xa7Version\x01")?;
        client.answer(1).map(|_| client)
    }

    /// Asks another member for all it knows; [`Client::joined`] waits for what comes of it.
    pub fn join(&mut self, other: SocketAddr) {
        let other = other.to_string();
        let mut body = b"\x82\xa8Existing\x91".to_vec();
        body.push(0xa0 | u8::try_from(other.len()).expect("a short address"));
        body.extend_from_slice(other.as_bytes());
        body.extend_from_slice(b"\xa6Replay\xc2");
        self.ask("join", &body).expect("it is there");
    }

    /// Waits until the join is done.
    pub fn joined(&mut self) {
        let parts = self.answer(2).expect("it answers");
        assert_eq!(Value::of(&parts[0]).get("Error").text(), "", "the join");
    }

    /// Leaves the cluster. The agent may end before it answers.
    pub fn leave(&mut self) {
        self.ask("leave", b"").expect("it is there");
    }

    /// How many members have which status, and the status of each.
    pub fn members(&mut self) -> BTreeMap<String, String> {
        self.ask("members", b"").expect("it is there");
        let body = Value::of(&self.answer(2).expect("it answers")[1]);
        let shown = |member: &Value| (member.get("Name").text(), member.get("Status").text());
        body.get("Members").list().iter().map(shown).collect()
    }

    fn ask(&mut self, command: &str, body: &[u8]) -> Option<()> {
        self.asked = self.asked % 100 + 1;
        let mut request = b"\x82\xa7Command".to_vec();
        request.push(0xa0 | u8::try_from(command.len()).ok()?);
        request.extend_from_slice(command.as_bytes());
        request.extend_from_slice(&[0xa3, b'S', b'e', b'q', self.asked]);
        request.extend_from_slice(body);
        self.stream.write_all(&request).ok()
    }

    /// The next so many objects.
    fn answer(&mut self, count: usize) -> Option<Vec<Vec<u8>>> {
        let mut buffer = [0; 65_536];
        loop {
            let mut parts = split(&self.come);
            if parts.len() >= count {
                parts.truncate(count);
                self.come.drain(..parts.iter().map(Vec::len).sum::<usize>());
                return Some(parts);
            }
            let read = self.stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
            self.come.extend_from_slice(&buffer[..read]);
        }
    }
}
