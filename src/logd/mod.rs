//! Shell: `logd`, which reads the units' pipes, shows their lines on standard output and keeps them in files.
//!
//! It decides nothing about units. A signal that ends other programs means the node, not logd: logd ends when every
//! pipe has, and PID 1, which keeps both ends of them, sees to that as the last thing of a shutdown. For the same
//! reason a logd that was killed loses nothing that it had not yet read: the next one reads on.

pub mod file;
pub mod format;
pub mod line;
pub mod outlet;
pub mod turn;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::sys::inherited;
use outlet::Outlet;
use turn::Turn;

const USAGE: &str = "usage: logd --dir DIR [--stdout] FD=NAME ...";

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    dir: PathBuf,
    stdout: bool,
    pipes: Vec<(RawFd, String)>,
}

/// Runs logd with these arguments (without the program's name) until every pipe has ended.
/// The exit code is 0, or 64 for a wrong command line.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let call = match parse(arguments) {
        Ok(call) => call,
        Err(mistake) => {
            drop(writeln!(io::stderr(), "logd: error: unable to start: {mistake}; {USAGE}"));
            return ExitCode::from(64);
        }
    };
    // They are caught and not ignored, so that nothing is inherited by anything, and poll and write just go on.
    let caught = Arc::new(AtomicBool::new(false));
    let mut sayings = Vec::new();
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
        if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&caught)) {
            sayings.push(format!("warning: unable to catch signal {signal}: {error}; it would end logd"));
        }
    }
    let mut pipes = Vec::new();
    for (number, name) in call.pipes {
        match inherited::take(number).and_then(nonblocking) {
            Ok(pipe) => pipes.push((pipe, name)),
            Err(error) => sayings
                .push(format!("error: unable to read descriptor {number}: {error}; the lines of {name} are lost")),
        }
    }
    let names = pipes.iter().map(|(_, name)| name.clone()).chain(["logd".to_owned()]).collect();
    let outlet = if call.stdout {
        match stdout().and_then(|target| Outlet::open(target, names)) {
            Ok(outlet) => Some(outlet),
            Err(error) => {
                sayings.push(format!("error: unable to use standard output: {error}; lines go to files alone"));
                None
            }
        }
    } else {
        None
    };
    let mut turn = Turn::new(pipes, &call.dir, outlet);
    for text in sayings {
        turn.say(&text);
    }
    turn.run();
    ExitCode::SUCCESS
}

fn stdout() -> io::Result<OwnedFd> {
    io::stdout().as_fd().try_clone_to_owned()
}

/// Poll may say yes to two readers of one pipe, a dying logd and its successor; the one that comes too late must not wait.
fn nonblocking(pipe: OwnedFd) -> io::Result<OwnedFd> {
    let flags = OFlag::from_bits_retain(fcntl(&pipe, FcntlArg::F_GETFL)?);
    fcntl(&pipe, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(pipe)
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Call, String> {
    let mut call = Call { dir: PathBuf::new(), stdout: false, pipes: Vec::new() };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        match text.as_ref() {
            "--stdout" => call.stdout = true,
            "--dir" => call.dir = arguments.next().ok_or("--dir needs a folder")?.into(),
            option if option.starts_with('-') => return Err(format!("there is no option {option}")),
            pipe => call.pipes.push(pipe_of(pipe)?),
        }
    }
    if call.dir.as_os_str().is_empty() {
        return Err("--dir is missing".into());
    }
    if call.pipes.is_empty() {
        return Err("there is no pipe to read".into());
    }
    Ok(call)
}

fn pipe_of(text: &str) -> Result<(RawFd, String), String> {
    let wrong = || format!("{text} is not FD=NAME");
    let (number, name) = text.split_once('=').ok_or_else(wrong)?;
    let number: RawFd = number.parse().ok().filter(|number| *number > 2).ok_or_else(wrong)?;
    // The name becomes part of a path.
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.@".contains(letter);
    if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(fits) {
        return Err(wrong());
    }
    Ok((number, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{Call, parse};

    fn words(text: &str) -> Result<Call, String> {
        parse(text.split_whitespace().map(OsString::from))
    }

    #[test]
    fn a_call_is_taken() {
        let call = words("--dir /var/log/cluster-os --stdout 5=init 7=node-agent").expect("fine");
        assert_eq!(call.pipes, [(5, "init".to_owned()), (7, "node-agent".to_owned())]);
        assert!(call.stdout);
        assert!(!words("--dir /x 5=init").expect("fine").stdout);
    }

    #[test]
    fn a_wrong_call_is_refused() {
        for (text, mistake) in [
            ("", "--dir is missing"),
            ("--dir", "--dir needs a folder"),
            ("--dir /x", "there is no pipe to read"),
            ("--dir /x --loud", "there is no option --loud"),
            ("--dir /x init", "init is not FD=NAME"),
            ("--dir /x 1=init", "1=init is not FD=NAME"),
            ("--dir /x 5=../../etc/passwd", "5=../../etc/passwd is not FD=NAME"),
            ("--dir /x 5=", "5= is not FD=NAME"),
        ] {
            assert_eq!(words(text), Err(mistake.to_owned()), "{text}");
        }
    }
}
