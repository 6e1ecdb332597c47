//! One thing that k3s needs of its surroundings: how much, whether it is there, what to do about it.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

/// How much k3s needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Without it the node never becomes ready: k3s is not started.
    Must,
    /// Without it some pods fail: said as a warning.
    Should,
    /// Seldom missed: only in the table.
    May,
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it should be.
    Fine,
    /// Not needed here, or another finding says it all.
    Moot,
    /// To be done, by the acts.
    ToDo,
    /// It cannot be done from here: a person follows the remedy.
    Cannot,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which of the 24 things that k3s needs it belongs to.
    pub item: u8,
    /// Its name, by which it can be overridden.
    pub name: &'static str,
    /// How much k3s needs it.
    pub need: Need,
    /// How it stands.
    pub state: State,
    /// What was seen.
    pub seen: String,
    /// What would mend it, in order.
    #[serde(serialize_with = "sentences")]
    pub acts: Vec<Act>,
    /// What a person does about it, where no act can.
    pub remedy: Option<String>,
}

impl Finding {
    /// Whether k3s cannot be started for it.
    pub fn is_obstacle(&self) -> bool {
        self.need == Need::Must && self.state == State::Cannot
    }
}

/// What mends a finding. What is there already is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Make a character device.
    Device {
        /// Where.
        path: &'static str,
        /// Its major number (Documentation/admin-guide/devices.txt of the kernel).
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// Make a file with this text, for everyone to read.
    File {
        /// Where.
        path: &'static str,
        /// What it says.
        text: String,
    },
    /// Make a symbolic link, and the folder that it points to.
    Link {
        /// Where.
        path: &'static str,
        /// The folder.
        target: &'static str,
    },
    /// Mount one file over another.
    Bind {
        /// What is seen then.
        from: &'static str,
        /// Where.
        over: &'static str,
    },
    /// Make a read-only mount writable.
    Writable(&'static str),
    /// Let mounts below it be seen in every namespace made from this one.
    Shared(&'static str),
    /// Set a value of the kernel.
    Sysctl {
        /// Its name, with dots.
        key: &'static str,
        /// The value.
        value: &'static str,
    },
    /// Load a kernel module.
    Module(&'static str),
    /// Let this process and k3s after it have so many open files.
    OpenFiles(u64),
    /// Start k3s with this in its configuration.
    Argument {
        /// The key of config.yaml.
        key: &'static str,
        /// The value.
        value: String,
    },
}

/// Whom the kernel lets do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Everyone.
    Anyone,
    /// Who has this capability in its own user namespace.
    Here(Capability),
    /// Who has this capability in the first user namespace.
    First(Capability),
    /// The first user namespace's root.
    Root,
}

/// A capability, by its number in `CapEff` (linux/capability.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability(pub u8, pub &'static str);

/// Raw and other network administration.
pub const NET_ADMIN: Capability = Capability(12, "CAP_NET_ADMIN");
/// Loading modules.
pub const SYS_MODULE: Capability = Capability(16, "CAP_SYS_MODULE");
/// Mounting, and much else.
pub const SYS_ADMIN: Capability = Capability(21, "CAP_SYS_ADMIN");
/// Going beyond limits.
pub const SYS_RESOURCE: Capability = Capability(24, "CAP_SYS_RESOURCE");
/// Making devices.
pub const MKNOD: Capability = Capability(27, "CAP_MKNOD");

impl Act {
    /// Whom the kernel lets do it.
    pub fn right(&self) -> Right {
        match self {
            Act::Device { .. } => Right::First(MKNOD),
            Act::Bind { .. } | Act::Writable(_) | Act::Shared(_) => Right::Here(SYS_ADMIN),
            Act::Sysctl { key, .. } if key.starts_with("net.") => Right::Here(NET_ADMIN),
            Act::Sysctl { .. } => Right::Root,
            Act::Module(_) => Right::First(SYS_MODULE),
            Act::OpenFiles(_) => Right::First(SYS_RESOURCE),
            Act::File { .. } | Act::Link { .. } | Act::Argument { .. } => Right::Anyone,
        }
    }
}

/// As it follows "unable to" and "to do:".
impl Display for Act {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Act::Device { path, major, minor } => write!(f, "make the device {path} ({major}:{minor})"),
            Act::File { path, .. } => write!(f, "write {path}"),
            Act::Link { path, target } => write!(f, "link {path} to {target}"),
            Act::Bind { from, over } => write!(f, "bind {from} over {over}"),
            Act::Writable(mount) => write!(f, "remount {mount} for writing"),
            Act::Shared(mount) => write!(f, "make {mount} shared"),
            Act::Sysctl { key, value } => write!(f, "set {key} to {value}"),
            Act::Module(name) => write!(f, "load the module {name}"),
            Act::OpenFiles(number) => write!(f, "raise the limit of open files to {number}"),
            Act::Argument { key, value } => write!(f, "start k3s with {key}: {value}"),
        }
    }
}

fn sentences<S: serde::Serializer>(acts: &[Act], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(acts.iter().map(ToString::to_string))
}
