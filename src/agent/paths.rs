//! Where the agent's files are.

use std::path::{Path, PathBuf};

/// The agent's files, all under one root.
#[derive(Clone, Debug)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// The files under `root`, which is `/` except in tests and on mounted images.
    pub fn new(root: PathBuf) -> Paths {
        Paths { root }
    }

    /// The configuration.
    pub fn node_yaml(&self) -> PathBuf {
        self.root.join("etc/cluster-os/node.yaml")
    }

    /// The address in the mesh and the record's generation.
    pub fn address_json(&self) -> PathBuf {
        self.root.join("var/lib/cluster-os/address.json")
    }

    /// The keys of gossip, which gossip keeps.
    pub fn keyring(&self) -> PathBuf {
        self.root.join("var/lib/cluster-os/keyring")
    }

    /// The time when the node was up last.
    pub fn clock(&self) -> PathBuf {
        self.root.join("var/lib/cluster-os/clock")
    }

    /// The addresses of other nodes' gossip, one a line.
    pub fn seeds(&self) -> PathBuf {
        self.root.join("var/lib/cluster-os/seeds")
    }

    /// The configuration of gossip, which holds the password of its RPC.
    pub fn serf_json(&self) -> PathBuf {
        self.root.join("run/cluster-os/serf.json")
    }

    /// The peers as `node-agent start` last saw them.
    pub fn peers_json(&self) -> PathBuf {
        self.root.join("run/cluster-os/peers.json")
    }

    /// The names of hosts, which are not the agent's alone.
    pub fn hosts(&self) -> PathBuf {
        self.root.join("etc/hosts")
    }

    /// The k3s server that was found last.
    pub fn k3s_server(&self) -> PathBuf {
        self.root.join("var/lib/cluster-os/k3s-server")
    }

    /// The mesh address that k3s was last started with.
    pub fn k3s_address(&self) -> PathBuf {
        self.root.join("var/lib/cluster-os/k3s-address")
    }

    /// Where it is remembered that pods were kept away from this node for its end.
    pub fn k3s_drained(&self) -> PathBuf {
        self.root.join("var/lib/cluster-os/k3s-drained")
    }

    /// `path`, which a configuration names as absolute, under the root.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}
