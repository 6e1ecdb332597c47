//! What the node asks for, done: sockets, files, scripts, the log; and what signals mean.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use super::files;
use super::signals::Signal;
use super::sockets::Stream;
use super::turn::{Connection, Reloaded, Turn, fitting, now};
use crate::gossip::node::{Action, Event, Link};
use crate::gossip::rpc::Level;
use crate::say::reason;

/// A leave that a signal asked for takes no longer; Serf's number.
const GRACE: Duration = Duration::from_secs(3);
/// Clients have so long to take what is said to them at the end.
const FLUSH: Duration = Duration::from_secs(1);

impl Turn {
    /// Writes a line, for monitors too.
    pub(super) fn log(&mut self, level: Level, text: &str) {
        let line = self.outfit.journal.write(level, text);
        self.outfit.node.handle(now(), Event::Said(line), &mut self.outfit.dice);
    }

    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::Send { to, bytes } => {
                self.send(&bytes, to);
            }
            Action::Connect { link, to } => match Stream::connect(to) {
                Ok(stream) => drop(self.connections.insert(link, Connection { stream, connecting: true })),
                Err(error) => self.gone(link, Some(&error)),
            },
            Action::Close(link) => drop(self.connections.remove(&link)),
            Action::Resolve { lookup, host, port } => {
                if let Some((id, found)) = self.outfit.resolver.resolve(lookup.into(), &host, port) {
                    let event = Event::Found { lookup: id.into(), found };
                    self.outfit.node.handle(now(), event, &mut self.outfit.dice);
                }
            }
            Action::Happened(event) => {
                self.outfit.scripts.happened(&self.outfit.own, &event);
                self.scripted();
            }
            Action::Snapshot(record) => {
                let kept = self.outfit.snapshot.as_mut().map(|snapshot| snapshot.keep(&record));
                self.kept("snapshot", kept.unwrap_or(Ok(())));
            }
            Action::Keyring { key, keys } => {
                let text = files::keyring(&keys);
                let path = self.outfit.keyring_file.as_ref();
                let kept = path.map(|path| files::replace(path, text.as_bytes(), 0o600, ".new"));
                let why = kept.and_then(Result::err).map(|error| reason(&error));
                self.outfit.node.handle(now(), Event::Kept { key, why }, &mut self.outfit.dice);
            }
            Action::Tags(tags) => {
                let path = self.outfit.tags_file.as_ref();
                let kept = path.map(|path| files::replace(path, files::tags_text(&tags).as_bytes(), 0o600, ".new"));
                self.kept("tags file", kept.unwrap_or(Ok(())));
                self.outfit.own.tags = tags;
            }
            Action::Log(level, text) => self.log(level, &text),
            Action::Exit { well } => {
                let code = u8::from(!well);
                self.end.get_or_insert((now() + FLUSH, code));
            }
        }
    }

    fn kept(&mut self, what: &str, kept: io::Result<()>) {
        if let Err(error) = kept {
            self.log(Level::Err, &format!("agent: unable to write the {what}: {}", reason(&error)));
        }
    }

    pub(super) fn gone(&mut self, link: Link, error: Option<&io::Error>) {
        self.connections.remove(&link);
        let why = error.map(reason);
        let refused = error.is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused);
        self.outfit.node.handle(now(), Event::Gone { link, why, refused }, &mut self.outfit.dice);
    }

    /// Sends a datagram. What is lost is sent again by the protocol, and what has no way is seen as silence.
    fn send(&mut self, bytes: &[u8], to: SocketAddr) {
        let (udp, to) = (&self.outfit.udp, fitting(self.v6, to));
        // What became of an earlier one is said in place of sending this one.
        let _ = udp.send_to(bytes, to).or_else(|_| udp.send_to(bytes, to));
    }

    /// What came of scripts.
    fn scripted(&mut self) {
        for outcome in self.outfit.scripts.outcomes() {
            let output = String::from_utf8_lossy(&outcome.output).trim_end().to_owned();
            if let Some(failure) = &outcome.failure {
                self.log(Level::Err, &format!("agent: Error invoking script '{}': {failure}", outcome.command));
            }
            if !output.is_empty() {
                self.log(Level::Debug, &format!("agent: script '{}' output: {output}", outcome.command));
            }
            if let Some(key) = outcome.query.filter(|_| !outcome.output.is_empty()) {
                let event = Event::Respond { key, payload: outcome.output };
                self.outfit.node.handle(now(), event, &mut self.outfit.dice);
            }
        }
        match self.outfit.scripts.dropped() {
            0 => {}
            count => self.log(Level::Warn, &format!("agent: {count} scripts were not run: too many wait")),
        }
    }

    pub(super) fn go_on_with_scripts(&mut self) {
        self.outfit.scripts.go_on(&self.outfit.own);
        self.scripted();
        self.settle();
    }

    pub(super) fn signal(&mut self, signal: Signal) {
        let (interrupt, terminate) = self.outfit.leaves;
        match signal {
            Signal::Child => self.go_on_with_scripts(),
            Signal::Hangup => self.reload(),
            Signal::Interrupt | Signal::Terminate => {
                let leaves = if signal == Signal::Interrupt { interrupt } else { terminate };
                let name = if signal == Signal::Interrupt { "interrupt" } else { "terminated" };
                self.log(Level::Info, &format!("agent: Caught signal: {name}"));
                if leaves && self.grace.is_none() {
                    self.grace = Some(now() + GRACE);
                    self.log(Level::Info, "agent: Gracefully shutting down");
                    self.tell(Event::Leave);
                } else {
                    self.end = Some((now(), 1));
                }
            }
        }
    }

    fn reload(&mut self) {
        self.log(Level::Info, "agent: Reloading configuration");
        match (self.outfit.reload)() {
            Ok(Reloaded { level, tags, scripts }) => {
                self.outfit.journal.level = level;
                self.outfit.scripts.set(scripts);
                if let Some(tags) = tags {
                    self.outfit.own.tags = tags.clone();
                    self.tell(Event::Tags(tags));
                }
            }
            Err(cause) => self.log(Level::Err, &format!("agent: Failed to reload the configuration: {cause}")),
        }
    }
}
