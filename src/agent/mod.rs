//! The node's agent: identity and configuration files, `wg0`, and the peers that gossip shows. A shell: it performs what
//! [`crate::mesh`] and [`crate::cluster`] decide.
//!
//! Every command of `node-agent` enters here.

pub mod config;
pub mod environment;
pub mod files;
pub mod gossip;
pub mod hosts;
pub mod init;
pub mod interface;
pub mod join;
pub mod k3s;
pub mod keyring;
mod keys;
pub mod leave;
pub mod network;
pub mod node;
pub mod notify;
pub mod paths;
pub mod picture;
pub mod report;
mod rotation;
pub mod rpc;
pub mod seeds;
pub mod serf;
pub mod state;
pub mod supervisor;
pub mod turn;
pub mod underlay;
pub mod view;
pub mod wg;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use log::{LevelFilter, error};

use keys::{Origin, Step};
use paths::Paths;
use view::View;

/// Exit code of a configuration that cannot be used: trying again does not help.
pub const CONFIGURATION: u8 = 78;
/// Exit code of a fault in this program or its surroundings.
pub const INTERNAL: u8 = 70;
/// Exit code of a command line that means nothing.
pub const USAGE: u8 = 64;

/// What ended a command before it was done.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// `unable to VERB OBJECT: CAUSE; WHAT NEXT`.
    pub text: String,
}

impl Failure {
    /// A configuration that cannot be used.
    pub fn configuration(text: impl Into<String>) -> Failure {
        Failure { code: CONFIGURATION, text: text.into() }
    }

    /// A fault in this program or its surroundings.
    pub fn internal(text: impl Into<String>) -> Failure {
        Failure { code: INTERNAL, text: text.into() }
    }
}

/// One command line, read.
struct Call {
    command: String,
    targets: Vec<String>,
    file: Option<PathBuf>,
    paths: Paths,
    json: bool,
    svg: bool,
    check: bool,
    down: bool,
    clear: bool,
    drain: bool,
    uncordon: bool,
    userspace: bool,
}

/// Runs the command that `arguments` (without the program's name) ask for.
pub fn command(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    crate::say::start("node-agent", env_logger::Target::Stderr, LevelFilter::Info);
    let call = match read(arguments) {
        Ok(call) => call,
        Err(mistake) => {
            error!("unable to read the command line: {mistake}; run 'node-agent help'");
            return ExitCode::from(USAGE);
        }
    };
    match run(&call) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!("{}", failure.text);
            ExitCode::from(failure.code)
        }
    }
}

fn run(call: &Call) -> Result<(), Failure> {
    match call.command.as_str() {
        "init" => init::init(&call.paths),
        "info" => init::info(&call.paths),
        "network" => network::network(),
        "wg0" => wg::command(&call.paths, call.down, call.userspace),
        "k3s" if call.down => k3s::down(&call.paths),
        "k3s" if call.clear => k3s::clear(&call.paths),
        "k3s" if call.drain => k3s::drain(&call.paths),
        "k3s" if call.uncordon => k3s::uncordon(&call.paths),
        "k3s" => k3s::command(&call.paths, call.check, call.json),
        "start" => turn::start(&call.paths),
        "leave" => leave::leave(&call.paths),
        "peers" => view::show(&call.paths, View::Peers, call.json),
        "mesh" if call.svg => view::mesh_svg(&call.paths),
        "mesh" => view::mesh_json(&call.paths),
        "keys" => of_keys(call),
        "join" => join::join(&call.paths, &call.targets),
        "status" if call.check => view::check(&call.paths),
        "status" => view::show(&call.paths, View::Status, call.json),
        "help" => say(HELP),
        "version" => say(&format!("node-agent {}\n", env!("CARGO_PKG_VERSION"))),
        other => Err(Failure {
            code: USAGE,
            text: format!("unable to run {other:?}: no such command; run 'node-agent help'"),
        }),
    }
}

fn read(arguments: impl Iterator<Item = OsString>) -> Result<Call, String> {
    let mut call = Call {
        command: String::new(),
        targets: Vec::new(),
        file: None,
        paths: Paths::new(PathBuf::from("/")),
        json: false,
        svg: false,
        check: false,
        down: false,
        clear: false,
        drain: false,
        uncordon: false,
        userspace: false,
    };
    let mut arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--root" => call.paths = Paths::new(arguments.next().ok_or("--root needs a folder")?.into()),
            "--json" => call.json = true,
            "--svg" => call.svg = true,
            "--check" => call.check = true,
            "--down" => call.down = true,
            "--clear" => call.clear = true,
            "--drain" => call.drain = true,
            "--uncordon" => call.uncordon = true,
            "--userspace" => call.userspace = true,
            "--version" | "-V" => call.command = "version".to_owned(),
            "--help" | "-h" => call.command = "help".to_owned(),
            "--file" => call.file = Some(arguments.next().ok_or("--file needs a file")?.into()),
            option if option.starts_with('-') && option != "-" => return Err(format!("no such option: {option}")),
            _ if call.command.is_empty() => call.command = argument,
            _ if matches!(call.command.as_str(), "join" | "keys") => call.targets.push(argument),
            extra => return Err(format!("one argument too many: {extra}")),
        }
    }
    if call.command.is_empty() {
        return Err("no command".to_owned());
    }
    fits(&call)?;
    Ok(call)
}

/// Whether the options are the command's: one that were of no effect might be taken for one that had it.
fn fits(call: &Call) -> Result<(), String> {
    let own: &[&str] = match call.command.as_str() {
        "k3s" => &["--check", "--json", "--down", "--clear", "--drain", "--uncordon"],
        "wg0" => &["--down", "--userspace"],
        "peers" => &["--json"],
        "keys" => &["--json", "--file"],
        "mesh" => &["--json", "--svg"],
        "status" => &["--json", "--check"],
        _ => &[],
    };
    let options = [
        ("--check", call.check),
        ("--down", call.down),
        ("--clear", call.clear),
        ("--drain", call.drain),
        ("--uncordon", call.uncordon),
        ("--userspace", call.userspace),
        ("--json", call.json),
        ("--svg", call.svg),
        ("--file", call.file.is_some()),
    ];
    let given: Vec<&str> = options.into_iter().filter(|(_, given)| *given).map(|(option, _)| option).collect();
    if let Some(option) = given.iter().find(|option| !own.contains(option)) {
        return Err(format!("{} has no option {option}", call.command));
    }
    if call.command == "join" {
        if call.targets.is_empty() {
            return Err("join needs the address of a node, such as 10.0.0.1 or node1:7946".to_owned());
        }
        call.targets.iter().try_for_each(|target| config::target(target))?;
    }
    match (call.command.as_str(), given.as_slice()) {
        ("mesh", []) => Err("mesh needs --svg or --json".to_owned()),
        ("k3s", ["--json"]) => Err("--json is for --check".to_owned()),
        ("keys", _) => keys_fit(call),
        ("k3s", ["--check", "--json"]) | (_, [] | [_]) => Ok(()),
        (_, [first, second, ..]) => Err(format!("{first} and {second} do not go together")),
    }
}

/// What was asked of the cluster's keys.
fn keys_fit(call: &Call) -> Result<(), String> {
    let words: Vec<&str> = call.targets.iter().map(String::as_str).collect();
    match (words.as_slice(), call.file.is_some()) {
        (["list" | "rotate"], false)
        | (["install" | "use" | "remove"], true)
        | (["install" | "use" | "remove", _], false) => Ok(()),
        (["list" | "rotate"], true) => Err(format!("keys {} has no option --file", words.join(" "))),
        (["install" | "use" | "remove"], false) => {
            Err(format!("keys {} needs a key, '-' to read it from standard input, or --file FILE", words.join(" ")))
        }
        // What is too much may be a key.
        (["list" | "install" | "use" | "remove" | "rotate", ..], _) => {
            Err("one argument too many after keys".to_owned())
        }
        _ => Err("keys needs one of list, install, use, remove, rotate".to_owned()),
    }
}

fn of_keys(call: &Call) -> Result<(), Failure> {
    let words: Vec<&str> = call.targets.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => keys::list(&call.paths, call.json),
        [word, rest @ ..] if let Some(step) = Step::of(word) => {
            let typed = Origin::Typed(rest.first().copied().unwrap_or("-"));
            keys::change(&call.paths, step, call.file.as_deref().map_or(typed, Origin::File), call.json)
        }
        _ => rotation::rotate(&call.paths, call.json),
    }
}

/// Writes `text` to stdout. A reader that went away (`node-agent help | head -1`) is no failure.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure { code: 1, text: format!("unable to write to stdout: {error}; nothing was changed") })
        }
        _ => Ok(()),
    }
}

const HELP: &str = "\
node-agent: a node's identity, its wg0, and its peers

  node-agent init             make identity.json, node.yaml and serf.json from the environment
  node-agent wg0 [--down]     bring wg0 up (or down); in user space where the kernel has no WireGuard, or with --userspace
  node-agent network          on a machine: lo, and NODE_ADDRESS (NODE_INTERFACE, NODE_GATEWAY)
  node-agent start            follow gossip and keep wg0's peers
  node-agent k3s              mend what k3s needs, then become k3s; NODE_K3S_IGNORE=NAME,... overrides what it refuses for
  node-agent k3s --check [--json]  what k3s needs and how it stands; changes nothing, and exits 1 if k3s would not start
  node-agent k3s --down       after k3s was stopped: end its pods, and take away their mounts, links and cgroups
  node-agent k3s --clear      before k3s starts: take away what pods of an end without order left; nothing where a pod lives
  node-agent k3s --drain      on a server: move the pods to other nodes; --uncordon: let them come again
  node-agent leave            tell the others that this node leaves, and end gossip; as its stop command, only when the node ends
  node-agent info             who this node is
  node-agent peers [--json]   the peers and their tunnels
  node-agent status [--json]  the same, with this node and gossip
  node-agent mesh --svg       the cluster as this node sees it, as a picture; --json: the same as nodes and edges
  node-agent join ADDRESS...  have gossip join through these nodes, now; NODE_JOIN is for every start
  node-agent keys list        the cluster's keys, by fingerprint, and on how many nodes each is; --json
  node-agent keys install|use|remove KEY  have every node take a key, use it, drop it; KEY is base64, '-' (standard input), or a
                              fingerprint; --file FILE in its place
  node-agent keys rotate      another key for the whole cluster: install, use, remove, each when every node is ready
  node-agent status --check   whether this node is in the mesh, in a line; exit 1 if it is not
  node-agent help | --version

  --root DIR                  look for /etc, /var/lib and /run under DIR; processes, cgroups and links are the host's all the same

Exit codes: 0 done, 1 no, 64 wrong command line, 70 internal fault, 78 wrong configuration.
";

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn an_option_is_its_commands_and_stands_alone() {
        let said = |line: &str| read(line.split(' ').map(Into::into)).map(drop);
        for line in [
            "k3s",
            "k3s --down",
            "k3s --check --json",
            "wg0 --down",
            "wg0 --userspace",
            "status --check",
            "peers --json",
            "mesh --svg",
            "mesh --json",
            "join 10.0.0.1 node2:7946 [fd00::1]:7946",
            "leave",
        ] {
            assert_eq!(said(line), Ok(()), "{line}");
        }
        for (line, mistake) in [
            ("k3s --check --down", "--check and --down do not go together"),
            ("k3s --down --drain", "--down and --drain do not go together"),
            ("k3s --json", "--json is for --check"),
            ("k3s --json --down", "--down and --json do not go together"),
            ("k3s --userspace", "k3s has no option --userspace"),
            ("wg0 --check", "wg0 has no option --check"),
            ("start --down", "start has no option --down"),
            ("mesh", "mesh needs --svg or --json"),
            ("mesh --svg --json", "--json and --svg do not go together"),
            ("peers --svg", "peers has no option --svg"),
            ("join", "join needs the address of a node, such as 10.0.0.1 or node1:7946"),
            ("join node1:", "\"node1:\" is neither host nor host:port"),
            ("leave now", "one argument too many: now"),
            ("status --check --json", "--check and --json do not go together"),
        ] {
            assert_eq!(said(line), Err(mistake.to_owned()));
        }
    }
}
