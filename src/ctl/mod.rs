//! Shell: `initctl`, the person's side. It reads files and asks PID 1 by signal; what the answer looks like is decided in
//! `control` and `unit`.

mod call;
mod check;
mod code;
mod commands;
mod completions;
mod document;
mod draw;
mod habits;
mod logs;
mod look;
mod man;
mod page;
mod picture;
mod previous;
mod reel;
mod reload;
mod renew;
mod request;
mod turn;
mod typed;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use env_logger::Target;
use log::{LevelFilter, error};

use crate::say::reason;
use crate::unit::manual;
use call::Call;
use code::{NO, OK, USAGE};

/// Runs `initctl` with these arguments, the first of which is the name that it was called by: `systemctl` and `journalctl` are
/// two programs that it can be. The exit codes are those of `code.rs`; of these two, systemd's.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments;
    let called = arguments.next().unwrap_or_default();
    match habits::run(&called, &mut arguments) {
        Some(code) => ExitCode::from(code),
        None => own(arguments),
    }
}

fn own(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    crate::say::start("initctl", Target::Stderr, LevelFilter::Info);
    let code = match Call::parse(arguments) {
        Ok(Call::Help) => shown(&page::help()),
        Ok(Call::HelpOf(name)) => shown(&commands::find(&name).map(page::of).unwrap_or_default()),
        Ok(Call::HelpUnits) => shown(&manual::help()),
        Ok(Call::Version) => shown(concat!("initctl ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Call::Check { root, files }) => check::run(&root, &files),
        Ok(Call::Logs(wanted)) => logs::run(wanted),
        Ok(Call::Graph(drawing)) => draw::graph(&drawing),
        Ok(Call::BootChart { text, of }) => draw::boot_chart(text, &of),
        Ok(Call::Status(asked)) => turn::run(&asked),
        Ok(Call::Units(of)) => turn::names(&of),
        Ok(Call::Completions(shell)) => shown(&completions::script(&shell)),
        Ok(Call::Man(name)) => shown(&man::page(&name)),
        Ok(Call::Reload(wanted)) => reload::run(&wanted),
        Ok(Call::Renew(wanted)) => renew::run(&wanted),
        Ok(Call::Request(demand)) => request::ask(&demand),
        Ok(Call::Shutdown { goal, of }) => request::shut_down(goal, &of),
        Err(mistake) => {
            error!("unable to read the command line: {mistake}; \"initctl help\" lists what there is");
            USAGE
        }
    };
    ExitCode::from(code)
}

/// Shows `text`; the exit code.
fn shown(text: &str) -> u8 {
    print(text).err().unwrap_or(OK)
}

/// Writes `text` to standard output, or answers the exit code to end with. A reader that has seen enough is no failure.
fn print(text: &str) -> Result<(), u8> {
    put(text.as_bytes())
}

/// As [`print`], for bytes.
fn put(bytes: &[u8]) -> Result<(), u8> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Err(OK),
        Err(cause) => {
            error!("unable to write to standard output: {}; the rest is not shown", reason(&cause));
            Err(NO)
        }
    }
}
