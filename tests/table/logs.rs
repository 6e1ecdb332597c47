//! `initctl logs` as a person runs it, on files that `logd` writes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clusteros_init::logd::file::{Bounds, LogFile};

const LIMIT: Duration = Duration::from_secs(20);

/// A node's root with nothing but logs, gone when the test ends.
struct Node(PathBuf);

impl Node {
    fn new(name: &str) -> Node {
        let path = std::env::temp_dir().join(format!("initctl-logs-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(path.join("var/log/cluster-os")).expect("a folder for the test");
        Node(path)
    }

    fn folder(&self) -> PathBuf {
        self.0.join("var/log/cluster-os")
    }

    fn put(&self, file: &str, text: &str) {
        fs::write(self.folder().join(file), text).expect("written");
    }

    fn add(&self, file: &str, text: &str) {
        let path = self.folder().join(file);
        let mut file = fs::File::options().create(true).append(true).open(path).expect("opened");
        file.write_all(text.as_bytes()).expect("written");
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_initctl"));
        command.arg("logs").args(arguments.split_whitespace()).arg("--root").arg(&self.0);
        command.stdin(Stdio::null());
        command
    }

    fn said(&self, arguments: &str) -> (i32, String, String) {
        let output = self.command(arguments).output().expect("initctl");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let err = text(&output.stderr).replace(&self.0.display().to_string(), "");
        (output.status.code().unwrap_or(-1), text(&output.stdout), err)
    }

    fn follow(&self, arguments: &str) -> Following {
        let mut command = self.command(arguments);
        let mut child = command.arg("-f").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("initctl");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let (send, lines) = std::sync::mpsc::channel();
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Following { child, lines }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

struct Following {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Following {
    fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).expect("a line")
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A line as `logd` keeps it, so many seconds after a minute began.
fn at(second: u32, text: &str) -> String {
    format!("2026-01-31T12:00:{second:02}.000Z {text}\n")
}

fn shown(text: &str) -> (i32, String, String) {
    (0, text.to_owned(), String::new())
}

#[test]
fn the_last_lines_come_from_every_file() {
    let node = Node::new("files");
    node.put("web.log.10", &at(1, "one"));
    node.put("web.log.2", &(at(2, "two") + &at(3, "three")));
    node.put("web.log", &(at(4, "four") + "torn"));
    node.put("web.logs", "not a log");
    let all = at(1, "one") + &at(2, "two") + &at(3, "three") + &at(4, "four") + "torn\n";
    assert_eq!(node.said("web"), shown(&all));
    assert_eq!(node.said("web -n all"), shown(&all));
    assert_eq!(node.said("web -n 2"), shown(&(at(3, "three") + &at(4, "four") + "torn\n")));
    assert_eq!(node.said("-n 3 web"), shown(&(at(2, "two") + &at(3, "three") + &at(4, "four") + "torn\n")));
    assert_eq!(node.said("web -n 0"), shown("torn\n"));
    fs::remove_file(node.folder().join("web.log")).expect("removed");
    assert_eq!(node.said("web -n 1"), shown(&at(3, "three")), "within a rotation");
}

#[test]
fn more_lines_than_a_chunk() {
    let node = Node::new("chunks");
    let text: String = (0..60).map(|second| at(second, &"x".repeat(7000))).collect();
    node.put("web.log", &text);
    for count in [1, 10, 59, 60, 61] {
        let (code, out, _) = node.said(&format!("web -n {count}"));
        assert_eq!((code, out.lines().count()), (0, count.min(60)));
        assert!(text.ends_with(&out), "{count}");
    }
}

#[test]
fn several_units_are_merged_by_time() {
    let node = Node::new("merged");
    node.put("init.log", &(at(1, "start") + &at(4, "end")));
    node.put("web.log.1", &at(2, "hello"));
    node.put("web.log", &(at(3, "panic") + "  goes on without a time\n"));
    let line = |name: &str, line: &str| format!("{name:4} | {line}");
    let four = line("web", &at(3, "panic")) + &line("web", "  goes on without a time\n") + &line("init", &at(4, "end"));
    let all = line("init", &at(1, "start")) + &line("web", &at(2, "hello")) + &four;
    assert_eq!(node.said(""), shown(&all));
    assert_eq!(node.said("init web"), shown(&all));
    assert_eq!(node.said("-n 3"), shown(&four));
}

#[test]
fn a_link_is_no_unit() {
    let node = Node::new("link");
    node.put("k3s.log", &at(1, "ready"));
    for (link, to) in [("k3s-server.log", "k3s.log"), ("gone.log", "nothing.log")] {
        std::os::unix::fs::symlink(to, node.folder().join(link)).expect("a link");
    }
    assert_eq!(node.said(""), (0, format!("k3s | {}", at(1, "ready")), String::new()));
    let none = "initctl: error: unable to show the lines of k3s-server: none are kept in /var/log/cluster-os; lines are kept of k3s\n";
    assert_eq!(node.said("k3s-server"), (1, String::new(), none.to_owned()));
}

#[test]
fn a_folder_is_no_unit() {
    let node = Node::new("folder");
    node.put("web.log", &at(1, "ready"));
    std::fs::create_dir_all(node.folder().join("archive.log")).expect("a folder");
    assert_eq!(node.said(""), (0, format!("web | {}", at(1, "ready")), String::new()));
}

#[test]
fn many_units_take_many_descriptors() {
    let node = Node::new("many");
    let mut all = String::new();
    for unit in 10..50 {
        node.put(&format!("u{unit}.log"), &at(unit, "ready"));
        all.push_str(&format!("u{unit} | {}", at(unit, "ready")));
    }
    let mut words = vec!["-c", "ulimit -Sn 20; exec \"$@\"", "bash"];
    let command = node.command("");
    words.extend([command.get_program()].into_iter().chain(command.get_args()).filter_map(|word| word.to_str()));
    let output = Command::new("bash").args(words).output().expect("bash");
    assert_eq!((String::from_utf8_lossy(&output.stdout).as_ref(), output.stderr.as_slice()), (all.as_str(), &b""[..]));
}

#[test]
fn what_is_not_there() {
    let node = Node::new("absent");
    let no = |text: &str| (1, String::new(), format!("initctl: error: {text}\n"));
    assert_eq!(
        node.said("web"),
        no("unable to show the lines of web: none are kept in /var/log/cluster-os; nothing is kept of any unit")
    );
    assert_eq!(node.said(""), shown(""));
    node.put("web.log", "");
    assert_eq!(
        node.said("wbe"),
        no("unable to show the lines of wbe: none are kept in /var/log/cluster-os; did you mean \"web\"?")
    );
    assert_eq!(
        node.said("postgres"),
        no("unable to show the lines of postgres: none are kept in /var/log/cluster-os; lines are kept of web")
    );
    fs::remove_dir_all(node.folder()).expect("removed");
    for arguments in ["", "web", "-f"] {
        assert_eq!(
            node.said(arguments),
            no("unable to read /var/log/cluster-os: no such file or directory; is clusteros-init running here? For a \
                container seen from outside there is --pid")
        );
    }
    let (code, _, err) = node.said("-q");
    assert_eq!(code, 64);
    assert!(err.contains("logs takes no \"-q\"; \"initctl help\" lists what there is"), "{err}");
}

#[test]
fn following_loses_nothing_across_rotations() {
    let node = Node::new("rotations");
    let following = node.follow("web -n all");
    let folder = node.folder();
    let writing = thread::spawn(move || {
        let mut file = LogFile::new(&folder, "web", Bounds { size: 16_384, keep: 99 });
        for number in 0..20_000 {
            assert!(file.append(at(0, &number.to_string()).as_bytes(), 1, Instant::now(), |_| {}).is_none());
        }
    });
    for number in 0..20_000 {
        assert_eq!(following.line() + "\n", at(0, &number.to_string()));
    }
    writing.join().expect("wrote");
    assert!(node.folder().join("web.log.30").exists());
}

#[test]
fn following_goes_on_after_a_file_was_emptied_and_takes_new_units_in() {
    let node = Node::new("emptied");
    node.put("web.log", &(at(1, "one") + &at(2, "two")));
    let following = node.follow("-n 1");
    assert_eq!(following.line() + "\n", "web | ".to_owned() + &at(2, "two"));
    node.put("web.log", "");
    wait_until_read(&following, &node.folder().join("web.log"));
    node.add("web.log", "2026-01-31T12:00:03.000Z thr");
    node.add("web.log", "ee\n");
    assert_eq!(following.line() + "\n", "web | ".to_owned() + &at(3, "three"));
    node.put("db.log", &at(4, "four"));
    assert_eq!(following.line() + "\n", "db  | ".to_owned() + &at(4, "four"));
}

/// Waits until the follower stands within the file's length.
fn wait_until_read(following: &Following, file: &Path) {
    let own = format!("/proc/{}", following.child.id());
    let end = Instant::now() + LIMIT;
    loop {
        assert!(Instant::now() < end, "it never looked");
        let entries = fs::read_dir(format!("{own}/fd")).expect("its descriptors").flatten();
        let mut open = entries.filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == file));
        let place = open.next().and_then(|entry| {
            let number = entry.file_name().into_string().ok()?;
            let text = fs::read_to_string(format!("{own}/fdinfo/{number}")).ok()?;
            text.lines().next()?.strip_prefix("pos:")?.trim().parse::<u64>().ok()
        });
        if place.is_some_and(|place| place <= fs::metadata(file).map_or(0, |known| known.len())) {
            return;
        }
        thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn following_what_is_not_there_yet_waits() {
    let node = Node::new("yet");
    let following = node.follow("web");
    node.put("web.log", &at(1, "one"));
    assert_eq!(following.line() + "\n", at(1, "one"));
}

#[test]
fn following_ends_with_its_reader() {
    let node = Node::new("reader");
    node.put("web.log", &at(1, "one"));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = node.command("-f");
    let mut child = command.stdout(writer).stderr(Stdio::null()).spawn().expect("initctl");
    drop(command);
    let mut lines = BufReader::new(reader).lines();
    assert!(lines.next().is_some_and(|line| line.is_ok()));
    drop(lines);
    let end = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().expect("asked") {
            break status;
        }
        assert!(Instant::now() < end, "it still runs");
        thread::park_timeout(Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn what_was_written_before_the_last_start() {
    let node = Node::new("previous");
    let run = node.0.join("run/cluster-os");
    fs::create_dir_all(&run).expect("made");
    fs::write(run.join("status.json"), crate::golden::golden("status-units.json")).expect("written");
    // The status has it that gossip was last started at 23:59:50.999, and wg0 at 23:56:49.040.
    let line = |time: &str, text: &str| format!("2026-01-31T{time}Z {text}\n");
    let (old, crash) = (line("23:50:00.000", "old"), line("23:59:50.998", "panic"));
    let (trace, new) = ("  a trace without a time\n", line("23:59:50.999", "new"));
    node.put("gossip.log.1", &old);
    node.put("gossip.log", &format!("{crash}{trace}{new}"));
    let (before, after) = (line("23:56:49.039", "down"), line("23:56:49.040", "up"));
    node.put("wg0.log", &format!("{before}{after}"));
    assert_eq!(node.said("gossip --previous"), shown(&format!("{old}{crash}{trace}")));
    assert_eq!(node.said("gossip --previous -n 1"), shown(trace));
    assert_eq!(node.said("gossip --previous -n all"), shown(&format!("{old}{crash}{trace}")));
    let both = format!("gossip | {old}wg0    | {before}gossip | {crash}gossip | {trace}");
    assert_eq!(node.said("gossip wg0 --previous"), shown(&both));
    let error = |code, text: &str| (code, String::new(), format!("initctl: error: {text}\n"));
    node.put("identity.log", &old);
    let unknown = "unable to show what identity wrote before its last start: no start of it is known; \
                   without --previous all its lines are shown";
    assert_eq!(node.said("identity --previous"), error(1, unknown));
    node.put("gone.log", &old);
    let (code, _, err) = node.said("gone --previous");
    assert_eq!(code, 64, "{err}");
    fs::remove_dir_all(&run).expect("removed");
    assert_eq!(node.said("gossip --previous").0, 111);
}
