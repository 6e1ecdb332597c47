//! What is run at events: `/bin/sh -c COMMAND`, one after another, with Serf's environment and input.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::gossip::Name;
use crate::gossip::rpc::EventFilter;
use crate::gossip::serf::{Event, Member};
use crate::gossip::wire::tags::Tags;

/// As much of what a script writes is kept: its end.
const OUTPUT: usize = 8 << 10;
/// As many events wait for the scripts of those before.
const WAITING: usize = 512;

/// Who the node is, as scripts are told.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// Its name.
    pub name: Name,
    /// Its tags.
    pub tags: Tags,
}

/// A command and the events it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    filters: Vec<EventFilter>,
    /// The text before the `=`.
    pub events: String,
    /// For the shell.
    pub command: String,
}

impl Script {
    /// Of `[TYPE[:NAME]=]COMMAND`.
    pub fn read(text: &str) -> Result<Script, String> {
        let (events, command) = text.split_once('=').unwrap_or(("", text));
        let filters = EventFilter::list(events.as_bytes());
        let filters = filters.ok_or_else(|| format!("{events} is no event"))?;
        Ok(Script {
            filters,
            events: if events.is_empty() { "*" } else { events }.to_owned(),
            command: command.to_owned(),
        })
    }
}

/// What came of a script.
#[derive(Debug)]
pub struct Outcome {
    /// The command.
    pub command: String,
    /// The query that it was run for, by its key.
    pub query: Option<u64>,
    /// What it wrote.
    pub output: Vec<u8>,
    /// What went wrong.
    pub failure: Option<String>,
}

/// One script to be run for one event.
struct Job {
    command: String,
    event: Arc<Event>,
}

struct Running {
    command: String,
    query: Option<u64>,
    child: Child,
    input: Option<(ChildStdin, Vec<u8>)>,
    /// Nothing once the other end is closed: it would be found readable again and again.
    reader: Option<PipeReader>,
    output: Vec<u8>,
}

/// Scripts that are to be run.
#[derive(Default)]
pub struct Scripts {
    scripts: Vec<Script>,
    waiting: VecDeque<Job>,
    running: Option<Running>,
    outcomes: Vec<Outcome>,
    dropped: u64,
}

impl Scripts {
    /// Other scripts from now on.
    pub fn set(&mut self, scripts: Vec<Script>) {
        self.scripts = scripts;
    }

    /// Something happened.
    pub fn happened(&mut self, own: &Own, event: &Event) {
        let wanted = |script: &&Script| script.filters.iter().any(|filter| filter.admits(event));
        let commands: Vec<_> = self.scripts.iter().filter(wanted).map(|script| script.command.clone()).collect();
        if commands.is_empty() {
            return;
        }
        let event = Arc::new(event.clone());
        for command in commands {
            if self.waiting.len() >= WAITING {
                self.dropped += 1;
            } else {
                self.waiting.push_back(Job { command, event: Arc::clone(&event) });
            }
        }
        self.go_on(own);
    }

    /// How many were not run, because too many waited, since the last time.
    pub fn dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// What is waited for: to be readable, to be writable.
    pub fn fds(&self) -> (Option<RawFd>, Option<RawFd>) {
        let Some(running) = &self.running else { return (None, None) };
        (running.reader.as_ref().map(AsRawFd::as_raw_fd), running.input.as_ref().map(|(pipe, _)| pipe.as_raw_fd()))
    }

    /// Reads, writes, reaps and starts what can be.
    pub fn go_on(&mut self, own: &Own) {
        loop {
            if let Some(running) = &mut self.running {
                running.feed();
                running.drain();
                let ended = running.child.try_wait();
                if matches!(ended, Ok(None)) {
                    return;
                }
                // What it wrote at its end.
                running.drain();
                let failure = match ended {
                    Ok(Some(status)) if status.success() => None,
                    Ok(Some(status)) => Some(status.to_string()),
                    Ok(None) => None,
                    Err(error) => Some(error.to_string()),
                };
                if let Some(Running { command, query, output, .. }) = self.running.take() {
                    self.outcomes.push(Outcome { command, query, output, failure });
                }
            }
            let Some(job) = self.waiting.pop_front() else { return };
            let query = match &*job.event {
                Event::Query { key, .. } => Some(*key),
                Event::Members { .. } | Event::User { .. } => None,
            };
            match start(own, &job) {
                Ok(running) => self.running = Some(Running { query, ..running }),
                Err(error) => self.outcomes.push(Outcome {
                    command: job.command,
                    query,
                    output: Vec::new(),
                    failure: Some(error.to_string()),
                }),
            }
        }
    }

    /// What came of scripts since the last time.
    pub fn outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes)
    }
}

impl Running {
    fn feed(&mut self) {
        let Some((pipe, bytes)) = &mut self.input else { return };
        while !bytes.is_empty() {
            match pipe.write(bytes) {
                Ok(count) => drop(bytes.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // It reads no more.
                Err(_) => break,
            }
        }
        self.input = None;
    }

    fn drain(&mut self) {
        let mut bytes = [0; 4096];
        while let Some(reader) = &mut self.reader {
            match reader.read(&mut bytes) {
                Ok(count @ 1..) => {
                    self.output.extend_from_slice(bytes.get(..count).unwrap_or_default());
                    let excess = self.output.len().saturating_sub(OUTPUT);
                    self.output.drain(..excess);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Ok(0) | Err(_) => self.reader = None,
            }
        }
    }
}

fn start(own: &Own, job: &Job) -> io::Result<Running> {
    let (reader, writer) = io::pipe()?;
    nonblocking(&reader)?;
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(&job.command).envs(environment(own, &job.event));
    command.stdin(Stdio::piped()).stdout(OwnedFd::from(writer.try_clone()?)).stderr(OwnedFd::from(writer));
    let mut child = command.spawn()?;
    let input = match child.stdin.take() {
        Some(pipe) => {
            nonblocking(&pipe)?;
            Some((pipe, input(&job.event)))
        }
        None => None,
    };
    Ok(Running { command: job.command.clone(), query: None, child, input, reader: Some(reader), output: Vec::new() })
}

fn nonblocking(fd: &impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// What a script finds in its environment.
fn environment(own: &Own, event: &Event) -> Vec<(String, std::ffi::OsString)> {
    use std::os::unix::ffi::OsStringExt;
    // A variable ends at a zero.
    let text = |name: &Name| {
        let bytes = name.bytes().iter().copied().take_while(|byte| *byte != 0).collect();
        std::ffi::OsString::from_vec(bytes)
    };
    let role = own.tags.get(&Name::from("role")).cloned().unwrap_or_default();
    let mut all = vec![("SERF_SELF_NAME".to_owned(), text(&own.name)), ("SERF_SELF_ROLE".to_owned(), text(&role))];
    for (tag, value) in &own.tags {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let upper = |byte: &u8| if fits(*byte) { char::from(byte.to_ascii_uppercase()) } else { '_' };
        let tag: String = tag.bytes().iter().map(upper).collect();
        all.push((format!("SERF_TAG_{tag}"), text(value)));
    }
    let mut put = |key: &str, value: std::ffi::OsString| all.push((key.to_owned(), value));
    match event {
        Event::Members { kind, .. } => put("SERF_EVENT", kind.word().into()),
        Event::User { ltime, name, .. } => {
            put("SERF_EVENT", "user".into());
            put("SERF_USER_EVENT", text(name));
            put("SERF_USER_LTIME", ltime.to_string().into());
        }
        Event::Query { ltime, name, .. } => {
            put("SERF_EVENT", "query".into());
            put("SERF_QUERY_NAME", text(name));
            put("SERF_QUERY_LTIME", ltime.to_string().into());
        }
    }
    all
}

/// What a script reads: a line for each member, or what came with the event.
fn input(event: &Event) -> Vec<u8> {
    match event {
        Event::Members { members, .. } => members.iter().flat_map(member).collect(),
        Event::User { payload, .. } | Event::Query { payload, .. } => {
            let mut bytes = payload.clone();
            if !bytes.is_empty() && bytes.last() != Some(&b'\n') {
                bytes.push(b'\n');
            }
            bytes
        }
    }
}

/// Name, address, role and tags, with tabs between.
fn member(member: &Member) -> Vec<u8> {
    let clean = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\t', "\\t").replace('\n', "\\n").into_bytes();
    let tags = member.tags();
    let role = tags.get(&Name::from("role")).cloned().unwrap_or_default();
    let pair = |(tag, value): (&Name, &Name)| [tag.bytes(), b"=", value.bytes()].concat();
    let tags: Vec<_> = tags.iter().map(pair).collect();
    let address = member.addr.ip().map(|ip| ip.to_string()).unwrap_or_default();
    let fields = [clean(member.name.bytes()), address.into_bytes(), clean(role.bytes()), clean(&tags.join(&b','))];
    let mut line = fields.join(&b'\t');
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Own, Script, Scripts};
    use crate::gossip::serf::{Event, Kind, Member};
    use crate::gossip::swim::Record;
    use crate::gossip::wire::message::Addr;
    use crate::gossip::wire::tags;
    use crate::unit::Time;

    fn own() -> Own {
        let tags = [("role", "web"), ("data-center", "east")].map(|(tag, value)| (tag.into(), value.into()));
        Own { name: "me".into(), tags: tags.into() }
    }

    /// Waits until all is done.
    fn run(scripts: &mut Scripts) -> Vec<super::Outcome> {
        let mut outcomes = Vec::new();
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while scripts.running.is_some() || !scripts.waiting.is_empty() {
            assert!(std::time::Instant::now() < end);
            std::thread::yield_now();
            scripts.go_on(&own());
            outcomes.extend(scripts.outcomes());
        }
        outcomes.extend(scripts.outcomes());
        outcomes
    }

    #[test]
    fn a_script_is_told_what_happened() {
        let mut scripts = Scripts::default();
        scripts.set(vec![Script::read("member-join,query=cat; env | grep ^SERF_ | sort").unwrap()]);
        let meta = tags::encode(&[("role".into(), "db".into()), ("z".into(), "1".into())].into());
        let record = Record { name: "a\tb".into(), addr: Addr(vec![10, 0, 0, 1]), meta, ..Record::default() };
        let node = Member { record: record.into(), ..Member::default() };
        scripts.happened(&own(), &Event::Members { kind: Kind::Leave, members: vec![node.clone()] });
        assert!(run(&mut scripts).is_empty());
        scripts.happened(&own(), &Event::Members { kind: Kind::Join, members: vec![node] });
        let outcome = run(&mut scripts).remove(0);
        assert_eq!(
            String::from_utf8(outcome.output).unwrap(),
            "a\\tb\t10.0.0.1\tdb\trole=db,z=1\nSERF_EVENT=member-join\nSERF_SELF_NAME=me\nSERF_SELF_ROLE=web\n\
             SERF_TAG_DATA_CENTER=east\nSERF_TAG_ROLE=web\n"
        );
        assert_eq!((outcome.query, outcome.failure), (None, None));
        let (until, from) = (Time::ZERO, "x".into());
        let payload = b"how?".to_vec();
        scripts.happened(&own(), &Event::Query { key: 4, until, ltime: 9, name: "q".into(), payload, from });
        let outcome = run(&mut scripts).remove(0);
        let text = String::from_utf8(outcome.output).unwrap();
        assert!(text.starts_with("how?\nSERF_EVENT=query\nSERF_QUERY_LTIME=9\nSERF_QUERY_NAME=q\n"), "{text}");
        assert_eq!(outcome.query, Some(4));
    }

    #[test]
    fn scripts_run_one_after_another_and_their_end_is_kept() {
        let mut scripts = Scripts::default();
        scripts.set(vec![
            Script::read("user:a=yes 0123456 | head -n 2000; exit 3").unwrap(),
            Script::read("echo two").unwrap(),
        ]);
        for name in ["a", "b"] {
            let payload = vec![b'x'; 200_000];
            scripts.happened(&own(), &Event::User { ltime: 1, name: name.into(), payload, coalesce: false });
        }
        let outcomes = run(&mut scripts);
        let lengths: Vec<_> = outcomes.iter().map(|outcome| outcome.output.len()).collect();
        assert_eq!(lengths, [8192, 4, 4]);
        assert_eq!(outcomes[0].failure.as_deref(), Some("exit status: 3"));
        assert!(Script::read("bogus=x").is_err());
    }
}
