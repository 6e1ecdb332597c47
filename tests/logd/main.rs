//! logd as a program, on real pipes.

mod killed;

use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const LIMIT: Duration = Duration::from_secs(20);

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("logd-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn text(&self, file: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.0.join(file)).unwrap_or_default()).into_owned()
    }

    /// The file's lines without their times, whose shape is checked.
    fn lines(&self, file: &str) -> Vec<String> {
        self.text(file)
            .lines()
            .map(|line| {
                let (stamp, text) = line.split_once(' ').expect("a time and a text");
                assert!(stamp.len() == 24 && stamp.starts_with("20") && stamp.ends_with('Z'), "{stamp}");
                text.to_owned()
            })
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A running logd; killed if a test ends before it does.
struct Logd(Child);

impl Logd {
    /// Starts logd on these pipes.
    fn start(dir: &Path, stdout: Stdio, pipes: &[(&PipeReader, &str)]) -> Logd {
        Logd::start_with(dir, stdout, pipes, None)
    }

    /// Starts logd on these pipes, with memory that outlives it.
    fn start_with(dir: &Path, stdout: Stdio, pipes: &[(&PipeReader, &str)], stage: Option<&OwnedFd>) -> Logd {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logd"));
        command.arg("--dir").arg(dir).arg("--stdout").stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
        // Descriptors cross exec when close-on-exec is off. They are duplicates, so that no other test's child, started
        // at this moment, is kept from seeing the end of a pipe: it would hold a reading end, not a writing one.
        let copies: Vec<OwnedFd> =
            pipes.iter().map(|(pipe, _)| pipe.as_fd().try_clone_to_owned().expect("a copy")).collect();
        for (copy, (_, name)) in copies.iter().zip(pipes) {
            fcntl(copy, FcntlArg::F_SETFD(FdFlag::empty())).expect("cleared");
            command.arg(format!("{}={name}", copy.as_raw_fd()));
        }
        let stage = stage.map(|stage| stage.try_clone().expect("a copy"));
        if let Some(stage) = &stage {
            fcntl(stage, FcntlArg::F_SETFD(FdFlag::empty())).expect("cleared");
            command.arg(format!("--stage={}", stage.as_raw_fd()));
        }
        Logd(command.spawn().expect("logd starts"))
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).expect("a pid"))
    }

    fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("logd ends", || {
            status = self.0.try_wait().expect("asked");
            status.is_some()
        });
        status.expect("ended")
    }
}

impl Drop for Logd {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "not within {LIMIT:?}: {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// Reads all that is shown, away from the test, so that logd's standard output is never stuck.
fn reading(mut shown: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut text = Vec::new();
        drop(shown.read_to_end(&mut text));
        drop(send.send(String::from_utf8_lossy(&text).into_owned()));
    });
    receive
}

/// Writes without blocking, and says how many whole copies of `text` the pipe took.
fn fill(writer: &PipeWriter, text: &[u8], limit: usize) -> usize {
    let flags = nix::fcntl::OFlag::from_bits_retain(fcntl(writer, FcntlArg::F_GETFL).expect("flags"));
    fcntl(writer, FcntlArg::F_SETFL(flags | nix::fcntl::OFlag::O_NONBLOCK)).expect("set");
    (0..limit).take_while(|_| nix::unistd::write(writer, text).is_ok_and(|count| count == text.len())).count()
}

#[test]
fn lines_are_shown_and_kept() {
    let folder = Folder::new("shown");
    let (init, mut to_init) = pipe().expect("a pipe");
    let (gossip, mut to_gossip) = pipe().expect("a pipe");
    let mut logd = Logd::start(&folder.0, Stdio::piped(), &[(&init, "init"), (&gossip, "gossip")]);
    let shown = reading(logd.0.stdout.take().expect("piped"));
    to_init.write_all(b"init: info: up\n\x1b[31mred\n").expect("written");
    to_gossip.write_all(b"no newline at the end").expect("written");
    drop((to_init, to_gossip));
    assert_eq!(logd.ended().code(), Some(0));
    let shown = shown.recv_timeout(LIMIT).expect("read");
    let mut lines: Vec<_> = shown.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["gossip | no newline at the end", "init   | \\x1b[31mred", "init   | init: info: up"]);
    assert_eq!(folder.lines("init.log"), ["init: info: up", "\x1b[31mred"]);
    assert_eq!(folder.lines("gossip.log"), ["no newline at the end"]);
    assert!(!folder.0.join("logd.log").exists(), "nothing to complain of");
}

#[test]
fn the_signals_that_mean_the_node_do_not_end_it() {
    let folder = Folder::new("signals");
    let (pipe, mut writer) = pipe().expect("a pipe");
    let mut logd = Logd::start(&folder.0, Stdio::null(), &[(&pipe, "a")]);
    writer.write_all(b"before\n").expect("written");
    // It has read, so its handlers are in place.
    wait_until("the first line", || folder.lines("a.log") == ["before"]);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        kill(logd.pid(), signal).expect("sent");
        writer.write_all(signal.as_str().as_bytes()).expect("written");
        writer.write_all(b"\n").expect("written");
        wait_until(signal.as_str(), || folder.text("a.log").contains(signal.as_str()));
    }
    drop(writer);
    assert_eq!(logd.ended().code(), Some(0));
}

#[test]
fn a_stuck_standard_output_stops_no_pipe_and_what_it_missed_is_said() {
    let folder = Folder::new("stuck");
    let (from_a, mut a) = pipe().expect("a pipe");
    let (from_b, mut b) = pipe().expect("a pipe");
    let (mut stuck, out) = pipe().expect("a pipe");
    let mut logd = Logd::start(&folder.0, out.into(), &[(&from_a, "a"), (&from_b, "quiet")]);
    // Five times what the queue and the pipe hold. If logd stopped reading, this would never return.
    let line = format!("{}\n", "x".repeat(999));
    for _ in 0..6000 {
        a.write_all(line.as_bytes()).expect("written");
    }
    b.write_all(b"still read\n").expect("written");
    wait_until("the file of the quiet one", || folder.lines("quiet.log") == ["still read"]);
    drop((a, b));
    // Now somebody reads again, just in time for the end.
    let mut shown = String::new();
    stuck.read_to_string(&mut shown).expect("read");
    assert_eq!(logd.ended().code(), Some(0));
    let kept = folder.lines("a.log").len() + folder.lines("a.log.1").len();
    assert_eq!(kept, 6000);
    let lines = shown.lines().filter(|line| line.starts_with("a     | x")).count();
    let missing = 6000 - lines;
    assert!(missing > 4000, "{lines} shown");
    let warning = format!(
        "logd  | warning: unable to show {missing} lines of a: standard output was stuck; the log file has them"
    );
    assert!(shown.lines().any(|line| line == warning), "{warning}");
    let warning = "logd  | warning: unable to show 1 line of quiet: standard output was stuck; the log file has them";
    assert!(shown.lines().any(|line| line == warning));
    assert!(shown.lines().all(|line| line.len() < 1100), "no line is torn");
}

#[test]
fn a_standard_output_that_stays_stuck_does_not_keep_it_from_ending() {
    let folder = Folder::new("stays-stuck");
    let (pipe, writer) = pipe().expect("a pipe");
    let (_never_read, out) = std::io::pipe().expect("a pipe");
    fill(&out, &[b'x'; 4096], 1000);
    let mut logd = Logd::start(&folder.0, out.into(), &[(&pipe, "a")]);
    assert_eq!(fill(&writer, b"one\n", 1), 1);
    drop(writer);
    assert_eq!(logd.ended().code(), Some(0));
    assert_eq!(folder.lines("a.log"), ["one"]);
    assert!(folder.text("logd.log").contains("unable to show the last lines"));
}

#[test]
fn a_second_logd_reads_on_where_a_killed_one_stopped() {
    let folder = Folder::new("killed");
    let (reader, mut writer) = pipe().expect("a pipe");
    let mut first = Logd::start(&folder.0, Stdio::null(), &[(&reader, "a")]);
    writer.write_all(b"one\n").expect("written");
    wait_until("the first line", || folder.lines("a.log") == ["one"]);
    kill(first.pid(), Signal::SIGKILL).expect("sent");
    first.ended();
    // Nobody reads now, and nothing fails: this side holds the reading end too.
    writer.write_all(b"two\nthree\n").expect("written");
    let mut second = Logd::start(&folder.0, Stdio::null(), &[(&reader, "a")]);
    writer.write_all(b"four\n").expect("written");
    drop(writer);
    assert_eq!(second.ended().code(), Some(0));
    assert_eq!(folder.lines("a.log"), ["one", "two", "three", "four"]);
}

#[test]
fn files_that_cannot_be_written_are_said_once_and_standard_output_goes_on() {
    let folder = Folder::new("unwritable");
    let dir = folder.0.join("logs");
    File::create(&dir).expect("in the way");
    let (reader, mut writer) = pipe().expect("a pipe");
    let (other, mut second) = pipe().expect("a pipe");
    let mut logd = Logd::start(&dir, Stdio::piped(), &[(&reader, "a"), (&other, "b")]);
    let shown = reading(logd.0.stdout.take().expect("piped"));
    writeln!(second, "too").expect("written");
    for number in 0..100 {
        writeln!(writer, "{number}").expect("written");
    }
    drop((writer, second));
    assert_eq!(logd.ended().code(), Some(0));
    let shown = shown.recv_timeout(LIMIT).expect("read");
    let (own, lines): (Vec<_>, Vec<_>) = shown.lines().partition(|line| line.starts_with("logd | "));
    let (b, a): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.starts_with('b'));
    assert_eq!(a, (0..100).map(|number| format!("a    | {number}")).collect::<Vec<_>>());
    assert_eq!(b, ["b    | too"]);
    assert_eq!(
        own,
        [format!(
            "logd | warning: unable to write into {}: file exists; lines go to standard output alone until \
             that is possible",
            dir.display()
        )]
    );
}

#[test]
fn a_link_in_place_of_a_log_file_is_not_followed() {
    let folder = Folder::new("link");
    std::os::unix::fs::symlink("/dev/full", folder.0.join("link.log")).expect("linked");
    let (reader, mut writer) = pipe().expect("a pipe");
    let mut logd = Logd::start(&folder.0, Stdio::piped(), &[(&reader, "link")]);
    let shown = reading(logd.0.stdout.take().expect("piped"));
    writer.write_all(b"one\n").expect("written");
    drop(writer);
    assert_eq!(logd.ended().code(), Some(0));
    let shown = shown.recv_timeout(LIMIT).expect("read");
    assert!(shown.contains("too many symbolic links encountered"), "{shown}");
    assert!(shown.contains("link | one\n"), "{shown}");
}

#[test]
fn lines_of_different_units_are_never_torn() {
    let folder = Folder::new("torn");
    let pipes: Vec<_> = (0..4).map(|_| pipe().expect("a pipe")).collect();
    let names = ["unit-a", "unit-b", "unit-c", "unit-d"];
    let given: Vec<_> = pipes.iter().zip(names).map(|((reader, _), name)| (reader, name)).collect();
    let mut logd = Logd::start(&folder.0, Stdio::piped(), &given);
    let shown = reading(logd.0.stdout.take().expect("piped"));
    let writers: Vec<_> = pipes
        .into_iter()
        .zip(names)
        .map(|((reader, mut writer), name)| {
            thread::spawn(move || {
                let line = format!("{}\n", name.repeat(20));
                let text = line.repeat(500);
                // In crooked chunks, so that lines arrive in pieces.
                for chunk in text.as_bytes().chunks(333) {
                    writer.write_all(chunk).expect("written");
                }
                drop(reader);
            })
        })
        .collect();
    for writer in writers {
        writer.join().expect("wrote");
    }
    assert_eq!(logd.ended().code(), Some(0));
    let shown = shown.recv_timeout(LIMIT).expect("read");
    for name in names {
        let whole = format!("{name} | {}", name.repeat(20));
        assert_eq!(shown.lines().filter(|line| *line == whole).count(), 500, "{name}");
    }
    assert_eq!(shown.lines().count(), 2000);
}

#[test]
fn a_wrong_command_line_is_64_and_a_wrong_descriptor_is_no_reason_to_stop() {
    let told = Command::new(env!("CARGO_BIN_EXE_logd")).arg("--dir").arg("/nowhere").output().expect("ran");
    assert_eq!(told.status.code(), Some(64));
    let text = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(
        text,
        "logd: error: unable to start: there is no pipe to read; usage: logd --dir DIR [--stdout] [--stage=FD] FD=NAME[:SIZE:KEEP] ...\n"
    );
    let folder = Folder::new("descriptor");
    let told = Command::new(env!("CARGO_BIN_EXE_logd"))
        .arg("--dir")
        .arg(&folder.0)
        .args(["--stdout", "999=a"])
        .output()
        .expect("ran");
    assert_eq!(told.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&told.stdout),
        "logd | error: unable to read descriptor 999: bad file number; the lines of a are lost\n"
    );
}

#[test]
fn a_full_disk_tears_no_line_and_what_is_missing_is_counted() {
    if !nix::unistd::Uid::effective().is_root() {
        let text = "skipped: a_full_disk: mounting needs root";
        assert!(std::env::var_os("NEED").is_none_or(|need| need != "all"), "{text}");
        eprintln!("{text}");
        return;
    }
    // A thread's own mounts are those of the programs that it starts.
    let test = thread::spawn(|| {
        let none: Option<&str> = None;
        unshare(CloneFlags::CLONE_NEWNS).expect("mounts of our own");
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private");
        let folder = Folder::new("full");
        mount(Some("tmpfs"), &folder.0, Some("tmpfs"), MsFlags::empty(), Some("size=64k")).expect("a small disk");
        full_disk(&folder);
        nix::mount::umount(&folder.0).expect("taken away");
    });
    test.join().expect("the test on a disk of its own");
}

fn full_disk(folder: &Folder) {
    fs::write(folder.0.join("filler"), vec![0; 48 * 1024]).expect("filled");
    let (reader, mut writer) = pipe().expect("a pipe");
    let mut logd = Logd::start(&folder.0, Stdio::piped(), &[(&reader, "a")]);
    let shown = reading(logd.0.stdout.take().expect("piped"));
    let line = "x".repeat(999);
    for _ in 0..40 {
        writeln!(writer, "{line}").expect("written");
    }
    wait_until("the disk is full", || folder.text("a.log").len() > 10_000);
    fs::remove_file(folder.0.join("filler")).expect("emptied");
    let mut sent = 40;
    wait_until("the file is written again", || {
        writeln!(writer, "later").expect("written");
        sent += 1;
        folder.text("a.log").ends_with("later\n")
    });
    drop(writer);
    assert_eq!(logd.ended().code(), Some(0));
    let kept = folder.lines("a.log");
    assert!(kept.iter().all(|text| *text == line || text == "later"), "a torn line");
    let shown = shown.recv_timeout(LIMIT).expect("read");
    let (own, lines): (Vec<_>, Vec<_>) = shown.lines().partition(|line| line.starts_with("logd | "));
    assert_eq!(lines.len(), sent);
    assert_eq!(own.len(), 2, "{own:?}");
    assert!(own[0].contains("a.log: no space left on device; its lines go to standard output alone"));
    assert!(
        own[1].ends_with(&format!("a.log is written again; {} lines are missing in it", sent - kept.len())),
        "{own:?}"
    );
}
