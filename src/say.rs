//! One grammar for every line that a program logs: `program: level: message`.
//!
//! A message about a failure reads `unable to VERB OBJECT: CAUSE; WHAT NEXT`.

use std::io::{self, Write};

use env_logger::{Builder, Target};
use log::{Level, LevelFilter};

/// Sends every `log` line of this process to `target` as `program: level: message`, one write a line, from `max` up.
/// No environment variable changes it. A second call does nothing.
pub fn start(program: &'static str, target: Target, max: LevelFilter) {
    let built = Builder::new()
        .format(move |out, record| writeln!(out, "{program}: {}: {}", name(record.level()), record.args()))
        .target(target)
        .filter_level(LevelFilter::Off)
        // Only our own crate: a netlink library prints whole messages, keys included, at its trace level.
        .filter_module("clusteros_init", max)
        .filter_module(program, max)
        .write_style(env_logger::WriteStyle::Never)
        .try_init();
    drop(built);
}

/// An error's cause as a clause: `no such file or directory`.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let plain = text.split(" (os error").next().unwrap_or_default();
    let mut letters = plain.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// The level's name in the grammar.
pub const fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}
