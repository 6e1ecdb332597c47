//! Shell: `logd`, which reads the units' pipes, shows their lines on standard output and keeps them in files.
//!
//! It decides nothing about units. A signal that ends other programs means the node, not logd: logd ends when every
//! pipe has, and PID 1, which keeps both ends of them, sees to that as the last thing of a shutdown. For the same
//! reason a logd that was killed loses nothing that it had not yet read: the next one reads on. What it had read is in
//! [`stage`], memory that PID 1 holds open.

pub mod file;
pub mod line;
pub mod outlet;
pub mod stage;
pub mod turn;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::say::reason;
use crate::sys::inherited;
use file::Bounds;
use outlet::Outlet;
use stage::Stage;
use turn::Turn;

const USAGE: &str = "usage: logd --dir DIR [--stdout] [--stage=FD] FD=NAME[:SIZE:KEEP] ...";

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    dir: PathBuf,
    stdout: bool,
    stage: Option<RawFd>,
    pipes: Vec<Pipe>,
}

#[derive(Debug, PartialEq, Eq)]
struct Pipe {
    number: RawFd,
    name: String,
    bounds: Bounds,
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
            sayings.push(format!("warning: unable to catch signal {signal}: {}; it would end logd", reason(&error)));
        }
    }
    let mut pipes = Vec::new();
    for Pipe { number, name, bounds } in call.pipes {
        match inherited::take(number).and_then(nonblocking) {
            Ok(pipe) => pipes.push((pipe, name, bounds)),
            Err(error) => sayings.push(format!(
                "error: unable to read descriptor {number}: {}; the lines of {name} are lost",
                reason(&error)
            )),
        }
    }
    let names = pipes.iter().map(|(_, name, _)| name.clone()).chain(["logd".to_owned()]).collect();
    let outlet = if call.stdout {
        match stdout().and_then(|target| Outlet::open(target, names)) {
            Ok(outlet) => Some(outlet),
            Err(error) => {
                sayings
                    .push(format!("error: unable to use standard output: {}; lines go to files alone", reason(&error)));
                None
            }
        }
    } else {
        None
    };
    let given = call.stage.map(|number| inherited::take(number).and_then(Stage::open));
    if let Some(Err(error)) = &given {
        sayings.push(format!(
            "warning: unable to use the memory for what is read: {}; it is lost if logd is killed",
            reason(error)
        ));
    }
    let stage = given.and_then(Result::ok).or_else(|| Stage::own().ok());
    let mut turn = Turn::new(pipes, &call.dir, outlet, stage);
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
    let mut call = Call { dir: PathBuf::new(), stdout: false, stage: None, pipes: Vec::new() };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        match text.as_ref() {
            "--stdout" => call.stdout = true,
            "--dir" => call.dir = arguments.next().ok_or("--dir needs a folder")?.into(),
            stage if stage.starts_with("--stage=") => {
                let number = stage.strip_prefix("--stage=").and_then(descriptor);
                call.stage = Some(number.ok_or("--stage needs a descriptor")?);
            }
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

fn pipe_of(text: &str) -> Result<Pipe, String> {
    let wrong = || format!("{text} is not FD=NAME or FD=NAME:SIZE:KEEP");
    let (number, name) = text.split_once('=').ok_or_else(wrong)?;
    let number = descriptor(number).ok_or_else(wrong)?;
    let (name, bounds) = match name.split_once(':') {
        None => (name, Bounds::default()),
        Some((name, bounds)) => {
            let (size, keep) = bounds.split_once(':').ok_or_else(wrong)?;
            let size = count(size).filter(|size| *size > 0).ok_or_else(wrong)?;
            let keep = count(keep).and_then(|keep| keep.try_into().ok()).ok_or_else(wrong)?;
            (name, Bounds { size, keep })
        }
    };
    // The name becomes part of a path.
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.@".contains(letter);
    if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(fits) {
        return Err(wrong());
    }
    Ok(Pipe { number, name: name.to_owned(), bounds })
}

/// A number in digits alone.
fn count(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The number of a descriptor that is none of the first three.
fn descriptor(text: &str) -> Option<RawFd> {
    count(text).and_then(|number| number.try_into().ok()).filter(|number| *number > 2)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{Bounds, Call, Pipe, parse};

    fn words(text: &str) -> Result<Call, String> {
        parse(text.split_whitespace().map(OsString::from))
    }

    #[test]
    fn a_call_is_taken() {
        let call = words("--dir /var/log/cluster-os --stdout --stage=9 5=init 7=node-agent:65536:2").expect("fine");
        let pipe = |number, name: &str, bounds| Pipe { number, name: name.to_owned(), bounds };
        let bounds = Bounds { size: 65_536, keep: 2 };
        assert_eq!(call.pipes, [pipe(5, "init", Bounds::default()), pipe(7, "node-agent", bounds)]);
        assert!(call.stdout && call.stage == Some(9));
        assert!(!words("--dir /x 5=init").expect("fine").stdout);
    }

    #[test]
    fn a_wrong_call_is_refused() {
        for (text, mistake) in [
            ("", "--dir is missing"),
            ("--dir", "--dir needs a folder"),
            ("--dir /x", "there is no pipe to read"),
            ("--dir /x --loud", "there is no option --loud"),
            ("--dir /x init", "init is not FD=NAME or FD=NAME:SIZE:KEEP"),
            ("--dir /x 1=init", "1=init is not FD=NAME or FD=NAME:SIZE:KEEP"),
            ("--dir /x 5=../../etc/passwd", "5=../../etc/passwd is not FD=NAME or FD=NAME:SIZE:KEEP"),
            ("--dir /x --stage=x 5=a", "--stage needs a descriptor"),
            ("--dir /x 5=a:1", "5=a:1 is not FD=NAME or FD=NAME:SIZE:KEEP"),
            ("--dir /x 5=a:0:1", "5=a:0:1 is not FD=NAME or FD=NAME:SIZE:KEEP"),
            ("--dir /x 5=a:+9:1", "5=a:+9:1 is not FD=NAME or FD=NAME:SIZE:KEEP"),
            ("--dir /x 5=a:9:1:1", "5=a:9:1:1 is not FD=NAME or FD=NAME:SIZE:KEEP"),
            ("--dir /x +5=a", "+5=a is not FD=NAME or FD=NAME:SIZE:KEEP"),
            ("--dir /x 5=", "5= is not FD=NAME or FD=NAME:SIZE:KEEP"),
        ] {
            assert_eq!(words(text), Err(mistake.to_owned()), "{text}");
        }
    }
}
