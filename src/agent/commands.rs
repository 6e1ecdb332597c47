//! The one table of commands: what is parsed, and what help, completions and the man page say.

/// A command.
pub(super) struct Command {
    pub name: &'static str,
    /// What follows the options.
    pub operands: Operands,
    /// What it is for, in a line.
    pub brief: &'static str,
    /// What it does; an empty line parts paragraphs.
    pub text: &'static str,
    pub options: &'static [Flag],
}

/// An option.
pub(super) struct Flag {
    pub name: &'static str,
    /// What the word after it is; empty if there is none.
    pub value: &'static str,
    pub text: &'static str,
}

/// What follows the options.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Operands {
    /// What they are called.
    pub label: &'static str,
    /// Which words the first one may be; none: any.
    pub words: &'static [&'static str],
    /// How many there may be.
    pub most: usize,
}

const NONE: Operands = Operands { label: "", words: &[], most: 0 };

/// The options of every command.
pub(super) const GENERAL: &[Flag] = &[
    Flag {
        name: "--root",
        value: "DIR",
        text: "look for /etc, /var/lib and /run under DIR; processes, cgroups and links are the host's all the same",
    },
    Flag { name: "--help", value: "", text: "what the command does" },
    Flag { name: "--version", value: "", text: "the version" },
];

const JSON: Flag = Flag { name: "--json", value: "", text: "as JSON" };

/// The shells for which there are completions.
pub(super) const SHELLS: &[&str] = &["bash", "zsh", "fish"];

/// What `keys` does with the keys.
pub(super) const KEYS: &[&str] = &["list", "install", "use", "remove", "rotate"];

/// Every command, in the order of the page.
pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "init",
        operands: NONE,
        brief: "make this node's files from the environment",
        text: "\
Makes identity.json and the keyring where there are none, node.yaml from the environment, and serf.json for gossip. What is \
there and whole is kept; what is damaged is never replaced in silence.",
        options: &[],
    },
    Command {
        name: "wg0",
        operands: NONE,
        brief: "bring wg0 up, or down",
        text: "\
Brings the WireGuard interface up and tells its supervisor; where the kernel has no WireGuard it stays and carries the \
packets in user space.",
        options: &[
            Flag { name: "--down", value: "", text: "bring it down" },
            Flag { name: "--userspace", value: "", text: "in user space, whatever the kernel has" },
        ],
    },
    Command {
        name: "network",
        operands: NONE,
        brief: "on a machine: lo, and its address",
        text: "Brings lo up, and gives the interface NODE_INTERFACE the address NODE_ADDRESS and the gateway NODE_GATEWAY.",
        options: &[],
    },
    Command {
        name: "start",
        operands: NONE,
        brief: "follow gossip and keep the peers of wg0",
        text: "\
Runs until it is ended: takes the members of gossip whose records hold for peers of wg0, follows the keyring, keeps the names \
of the mesh in /etc/hosts, and writes what it sees to /run/cluster-os/peers.json. The tunnels outlive it.",
        options: &[],
    },
    Command {
        name: "k3s",
        operands: NONE,
        brief: "mend what k3s needs, then become k3s",
        text: "\
Finds what k3s needs of its host, mends what can be mended, writes its configuration, and goes on as k3s. \
NODE_K3S_IGNORE=NAME,... overrides what it refuses for.",
        options: &[
            Flag {
                name: "--check",
                value: "",
                text: "what k3s needs and how it stands; changes nothing, and exits 1 if k3s would not start",
            },
            Flag {
                name: "--down",
                value: "",
                text: "after k3s was stopped: end its pods, and take away their mounts, links and cgroups",
            },
            Flag {
                name: "--clear",
                value: "",
                text: "before k3s starts: take away what pods of an end without order left; nothing where a pod lives",
            },
            Flag { name: "--drain", value: "", text: "on a server: move the pods to other nodes" },
            Flag { name: "--uncordon", value: "", text: "on a server: let the pods come again" },
            Flag { name: "--json", value: "", text: "with --check: as JSON" },
        ],
    },
    Command {
        name: "leave",
        operands: NONE,
        brief: "tell the others that this node leaves, and end gossip",
        text: "As its unit's stop command it does so only when the node ends.",
        options: &[],
    },
    Command { name: "info", operands: NONE, brief: "who this node is", text: "Shows no secret.", options: &[] },
    Command {
        name: "peers",
        operands: NONE,
        brief: "the peers and their tunnels",
        text: "A line a member: its addresses, whether its tunnel stands, and else why not.",
        options: &[JSON],
    },
    Command {
        name: "status",
        operands: NONE,
        brief: "the same, with this node and gossip",
        text: "What `node-agent start` saw last. A node that is alone says whom it asks.",
        options: &[
            Flag { name: "--check", value: "", text: "whether this node is in the mesh, in a line; exit 1 if it is not" },
            JSON,
        ],
    },
    Command {
        name: "mesh",
        operands: NONE,
        brief: "the cluster as this node sees it",
        text: "As a picture, or as nodes and edges.",
        options: &[JSON, Flag { name: "--svg", value: "", text: "as SVG, for a browser" }],
    },
    Command {
        name: "join",
        operands: Operands { label: "ADDRESS...", words: &[], most: usize::MAX },
        brief: "have gossip join through these nodes, now",
        text: "An ADDRESS is a host, or host:port. NODE_JOIN is for every start.",
        options: &[],
    },
    Command {
        name: "keys",
        operands: Operands { label: "list|install|use|remove|rotate [KEY]", words: KEYS, most: 2 },
        brief: "the keys of the cluster, on all its nodes",
        text: "\
`list` shows them by their fingerprints: on how many nodes each is, and how many nodes use it. `rotate` makes a new key and has \
every node install it, use it, and remove the old ones; it goes on only when every node is ready, and says how to go on where \
it stops. No tunnel is lost.

`install`, `use` and `remove` are its steps, done on every node that is there. A KEY is 16, 24, 32 or more bytes in base64, `-` \
to read that from standard input, or the fingerprint of one that is there. A step that would part the cluster is refused.",
        options: &[JSON, Flag { name: "--file", value: "FILE", text: "the KEY is in FILE" }],
    },
    Command {
        name: "completions",
        operands: Operands { label: "bash|zsh|fish", words: SHELLS, most: 1 },
        brief: "what makes a shell complete this command",
        text: "\
Prints a script. For the shell that runs: source <(node-agent completions bash), or in fish node-agent completions fish | \
source.",
        options: &[],
    },
    Command {
        name: "man",
        operands: NONE,
        brief: "the man page",
        text: "In roff: node-agent man | man -l - shows it.",
        options: &[],
    },
    Command {
        name: "help",
        operands: Operands { label: "[COMMAND]", words: &[], most: 1 },
        brief: "this page, or that of a command",
        text: "As COMMAND --help.",
        options: &[],
    },
    Command { name: "version", operands: NONE, brief: "the version", text: "As --version.", options: &[] },
];

/// What the program ends with.
pub(super) const CODES: &[(u8, &str)] = &[
    (0, "done"),
    (1, "no; or somebody else did not do it"),
    (super::USAGE, "the command line is wrong"),
    (super::INTERNAL, "an internal fault, or something of the machine is not to be had; trying again may help"),
    (super::CONFIGURATION, "the configuration is wrong: trying again would not help"),
];

/// The command that is called `name`.
pub(super) fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// The option that is called `name`, of any command.
pub(super) fn option(name: &str) -> Option<&'static Flag> {
    GENERAL.iter().chain(COMMANDS.iter().flat_map(|command| command.options)).find(|flag| flag.name == name)
}

impl Command {
    /// The name and what may follow it.
    pub fn usage(&self) -> Vec<String> {
        let mut parts = vec![self.name.to_owned()];
        parts.extend(self.options.iter().map(|flag| format!("[{}]", flag.spelled())));
        parts.extend((!self.operands.label.is_empty()).then(|| self.operands.label.to_owned()));
        parts
    }
}

impl Flag {
    /// The name and what follows it.
    pub fn spelled(&self) -> String {
        if self.value.is_empty() { self.name.to_owned() } else { format!("{} {}", self.name, self.value) }
    }
}
