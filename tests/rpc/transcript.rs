//! The files `tests/golden/serf/rpc-*.txt`.

use std::fs;
use std::path::PathBuf;

use crate::value::Value;

/// One line was kept only in part, so many letters of it, ...
const CUT: usize = 1500;
/// ... of a query whose payload is `p` 1,100 times.
const WHOLE: usize = 1 + 5 + 2 + 8 + 3 + 0x44c;

/// Who sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Agent,
}

/// One object.
pub struct Part {
    pub side: Side,
    bytes: Vec<u8>,
}

/// What stands under one `##`, or the whole file.
pub struct Section {
    pub title: String,
    pub parts: Vec<Part>,
    /// Whether the agent closed the connection at its end.
    pub closes: bool,
}

impl Section {
    pub fn of(&self, side: Side) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().filter(move |part| part.side == side).map(|part| part.bytes.as_slice())
    }

    fn first(&self) -> Option<Value> {
        self.of(Side::Client).next().map(Value::of)
    }

    pub fn first_seq(&self) -> Option<u64> {
        self.first().map(|header| header.get("Seq").number())
    }

    pub fn begins_with_handshake(&self) -> bool {
        self.title == "no handshake" || self.first().is_some_and(|header| header.get("Command").text() == "handshake")
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/serf")
}

/// Their names.
pub fn names() -> Vec<String> {
    let files = fs::read_dir(folder()).expect("the golden files");
    let names = files.map(|file| file.expect("a file").file_name().into_string().expect("a name"));
    let mut names: Vec<_> = names.filter(|name| name.starts_with("rpc-")).collect();
    names.sort();
    names
}

/// The sections of one.
pub fn read(name: &str) -> Vec<Section> {
    let text = fs::read_to_string(folder().join(name)).expect("a transcript");
    let mut sections = vec![Section { title: name.to_owned(), parts: Vec::new(), closes: false }];
    for line in text.lines() {
        let last = sections.last_mut().expect("there is one");
        if let Some(title) = line.strip_prefix("## ") {
            sections.push(Section { title: title.to_owned(), parts: Vec::new(), closes: false });
        } else if line.contains("(connection closed by agent)") {
            last.closes = true;
        } else if let Some((side, hex)) = line.split_once(" HEX ") {
            let side = if side == "C>" { Side::Client } else { Side::Agent };
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
            let mut bytes: Vec<u8> = (0..hex.len() / 2).map(|at| byte(at * 2)).collect();
            if line.len() == CUT {
                bytes.resize(WHOLE, b'p');
            }
            last.parts.push(Part { side, bytes });
        }
    }
    sections.retain(|section| !section.parts.is_empty());
    sections
}
