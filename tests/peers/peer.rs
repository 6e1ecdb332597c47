//! Who is asked.

use std::path::PathBuf;

use crate::kit::{INIT, Plan};

/// An init, and the options that it is asked with.
pub struct Peer {
    /// What it is called in the table.
    pub name: &'static str,
    program: &'static str,
    options: &'static [&'static str],
}

/// All of them.
pub const PEERS: &[Peer] = &[
    Peer { name: "ours", program: INIT, options: &[] },
    Peer { name: "tini", program: "tini", options: &[] },
    Peer { name: "tini -g", program: "tini", options: &["-g"] },
    Peer { name: "dumb-init", program: "dumb-init", options: &[] },
    Peer { name: "catatonit", program: "catatonit", options: &[] },
];

impl Peer {
    /// Where it is; none if it is not installed.
    pub fn path(&self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|folder| folder.join(self.program)).find(|file| file.is_file())?;
        found.canonicalize().ok()
    }

    /// It as PID 1 around `words`; `@` in them is its directory.
    pub fn plan(&self, words: &[&str]) -> Plan {
        let words = [self.options, &["--"], words].concat();
        self.plan_without_dashes(&words)
    }

    /// It with these arguments alone.
    pub fn plan_without_dashes(&self, words: &[&str]) -> Plan {
        Plan::new("peer").program(&self.path().expect("it is installed")).arguments(words)
    }
}
