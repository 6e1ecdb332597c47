//! The node's agent: identity and configuration files, `wg0`, and the peers that gossip shows. A shell: it performs what
//! [`crate::mesh`] and [`crate::cluster`] decide.
//!
//! Every command of `node-agent` enters here.

mod call;
pub mod clock;
mod commands;
mod completions;
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
mod manual;
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
use std::process::ExitCode;

use log::{LevelFilter, error};

use call::Call;
use keys::{Origin, Step};
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

/// Runs the command that `arguments` (without the program's name) ask for.
pub fn command(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    crate::say::start("node-agent", env_logger::Target::Stderr, LevelFilter::Info);
    let call = match Call::read(arguments) {
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
    if call.help {
        return say(&manual::of(call.command));
    }
    let json = call.has("--json");
    match call.command.name {
        "init" => init::init(&call.paths),
        "info" => init::info(&call.paths),
        "network" => network::network(),
        "wg0" => wg::command(&call.paths, call.has("--down"), call.has("--userspace")),
        "k3s" if call.has("--down") => k3s::down(&call.paths),
        "k3s" if call.has("--clear") => k3s::clear(&call.paths),
        "k3s" if call.has("--drain") => k3s::drain(&call.paths),
        "k3s" if call.has("--uncordon") => k3s::uncordon(&call.paths),
        "k3s" => k3s::command(&call.paths, call.has("--check"), json),
        "start" => turn::start(&call.paths),
        "leave" => leave::leave(&call.paths),
        "peers" => view::show(&call.paths, View::Peers, json),
        "mesh" if json => view::mesh_json(&call.paths),
        "mesh" => view::mesh_svg(&call.paths),
        "keys" => of_keys(call),
        "join" => join::join(&call.paths, &call.operands),
        "status" if call.has("--check") => view::check(&call.paths),
        "status" => view::show(&call.paths, View::Status, json),
        "completions" => say(&completions::script(call.operands.first().map_or("", String::as_str))),
        "man" => say(&manual::page()),
        "version" => say(&format!("node-agent {}\n", env!("CARGO_PKG_VERSION"))),
        _ => say(&call.operands.first().and_then(|name| commands::find(name)).map_or_else(manual::help, manual::of)),
    }
}

fn of_keys(call: &Call) -> Result<(), Failure> {
    let json = call.has("--json");
    let words: Vec<&str> = call.operands.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => keys::list(&call.paths, json),
        [word, rest @ ..] if let Some(step) = Step::of(word) => {
            let typed = Origin::Typed(rest.first().copied().unwrap_or("-"));
            keys::change(&call.paths, step, call.file.as_deref().map_or(typed, Origin::File), json)
        }
        _ => rotation::rotate(&call.paths, json),
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

#[cfg(test)]
mod tests {
    use super::Call;

    #[test]
    fn an_option_is_its_commands_and_stands_alone() {
        let said = |line: &str| Call::read(line.split(' ').map(Into::into)).map(drop);
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
            "keys list --json",
            "keys install -",
            "keys use 45e4cf33",
            "keys remove --file old.key",
            "keys rotate",
            "completions zsh",
            "help keys",
            "keys --help",
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
            ("keys", "keys needs one of list, install, use, remove, rotate"),
            ("keys rotate now", "one argument too many after keys"),
            ("keys use a secret", "one argument too many after keys"),
            ("keys use", "keys use needs a key, '-' to read it from standard input, or --file FILE"),
            ("keys list --file a", "keys list has no option --file"),
            ("completions ksh", "completions needs one of bash, zsh, fish"),
            ("pers", "no such command: pers (did you mean \"peers\"?)"),
            ("status --check --json", "--check and --json do not go together"),
        ] {
            assert_eq!(said(line), Err(mistake.to_owned()));
        }
    }
}
