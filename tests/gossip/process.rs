//! The process: signals, readiness, what it refuses.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::cluster::{Agent, LIMIT, Program, address, cluster, no_serf};
use crate::kit::{directory, wait_until};
use crate::need;

const INT: i32 = 2;
const TERM: i32 = 15;
const HUP: i32 = 1;

#[test]
fn signals_mean_what_they_mean_to_serf() {
    need!("signals_mean_what_they_mean_to_serf", no_serf());
    use Program::{Ours, Serf};
    let folder = directory("signals");
    for (signal, leaves_on_term, status, code) in
        [(INT, false, "left", Some(0)), (TERM, false, "failed", Some(1)), (TERM, true, "left", Some(0))]
    {
        let mut agents = cluster(&folder, &[Ours, Serf], |configuration| {
            configuration["leave_on_terminate"] = json!(leaves_on_term);
        });
        let mut ours = agents.remove(0);
        ours.signal(signal);
        assert_eq!(ours.end().code(), code, "{}", ours.log());
        agents[0].sees(&ours.name, status);
    }
}

#[test]
fn a_hangup_changes_tags() {
    need!("a_hangup_changes_tags", no_serf());
    let folder = directory("hangup");
    let ours = Agent::start(&folder, Program::Ours, "ours", |configuration| configuration["tags"] = json!({"v": "1"}));
    assert_eq!(ours.tags("ours").get("v").map(String::as_str), Some("1"));
    ours.change(|configuration| configuration["tags"] = json!({"v": "2"}));
    ours.signal(HUP);
    wait_until("the tag is another", LIMIT, || ours.tags("ours").get("v").is_some_and(|value| value == "2"));
}

#[test]
fn a_seed_that_comes_late_is_joined() {
    need!("a_seed_that_comes_late_is_joined", no_serf());
    let folder = directory("late");
    let mut seed = Agent::prepare(&folder, Program::Serf, "seed", |_| {});
    let ours = Agent::start(&folder, Program::Ours, "ours", |configuration| {
        configuration["retry_join"] = json!([seed.gossip]);
    });
    wait_until("it has tried", LIMIT, || ours.log().contains("retrying in"));
    seed.restart();
    seed.wait();
    seed.sees("ours", "alive");
    ours.sees("seed", "alive");
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let folder = directory("stuck");
    let rpc = address();
    let mut child = Command::new(env!("CARGO_BIN_EXE_gossipd"))
        .args(["-node=stuck", "-log-level=trace", &format!("-bind={}", address()), &format!("-rpc-addr={rpc}")])
        .current_dir(&folder)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    wait_until("it answers", LIMIT, || crate::client::members(&rpc).is_some());
    // Each is said in lines of more than 100 bytes; a pipe holds 65,536.
    let mut stream = std::net::TcpStream::connect(&rpc).expect("a client");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    let mut request = b"\x82\xa7Command\xa9handshake\xa3Seq\x01\x81\xa7Version\x01".to_vec();
    for _ in 0..2000 {
        request.extend(b"\x82\xa7Command\xabforce-leave\xa3Seq\x02\x82\xa4Node\xa6nobody\xa5Prune\xc2");
    }
    request.extend(b"\x82\xa7Command\xa4stop\xa3Seq\x07\x81\xa4Stop\x01");
    std::io::Write::write_all(&mut stream, &request).expect("said");
    let mut said = Vec::new();
    let mut buffer = [0; 65_536];
    while !said.ends_with(b"\x82\xa5Error\xa0\xa3Seq\x07") {
        let count = std::io::Read::read(&mut stream, &mut buffer).expect("it still answers");
        assert!(count > 0);
        said.extend_from_slice(&buffer[..count]);
    }
    child.kill().expect("a process of our own");
    child.wait().expect("a process of our own");
}

#[test]
fn what_cannot_be_is_said_at_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let bind = format!("-bind={}", taken.local_addr().expect("an address"));
    for (words, code, text) in [
        (vec!["-colour"], 64, "unable to start: there is no option -colour; 'gossipd --help' shows the options"),
        (vec!["-config-file=/nowhere"], 78, "unable to start: unable to read /nowhere: no such file or directory"),
        (vec!["-encrypt=x"], 78, "Invalid encryption key"),
        (vec!["-bind=here"], 78, "-bind: here is no address"),
        (vec![bind.as_str()], 1, "address already in use"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_gossipd"))
            .args(["-rpc-addr=", "-node=a"])
            .args(["-bind=127.0.0.1:0"])
            .args(&words)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(
            said.lines().last().is_some_and(|line| line.starts_with("gossipd: error: ") && line.contains(text)),
            "{said}"
        );
    }
    let output = Command::new(env!("CARGO_BIN_EXE_gossipd")).arg("-version").output().expect("it runs");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("gossipd "));
}

#[test]
fn the_supervisor_hears_that_it_is_ready_and_a_path_serves_clients() {
    let folder = directory("ready");
    let path = folder.join("notify");
    let supervisor = UnixDatagram::bind(&path).expect("a socket");
    supervisor.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    let socket = folder.join("rpc");
    let mut child = Command::new(env!("CARGO_BIN_EXE_gossipd"))
        .args(["-node=ready", "-rpc-addr=", &format!("-bind={}", address())])
        .arg(format!("-rpc-socket={}", socket.display()))
        .env("NOTIFY_SOCKET", &path)
        .spawn()
        .expect("it runs");
    let mut buffer = [0; 512];
    let count = supervisor.recv(&mut buffer).expect("a word");
    assert!(buffer[..count].starts_with(b"READY=1\nSTATUS=member ready at 127.0.0.1:"));
    let mut stream = std::os::unix::net::UnixStream::connect(&socket).expect("a client");
    std::io::Write::write_all(&mut stream, b"\x82\xa7Command\xa9handshake\xa3Seq\x01\x81\xa7Version\x01")
        .expect("said");
    let count = std::io::Read::read(&mut stream, &mut buffer).expect("an answer");
    assert_eq!(&buffer[..count], b"\x82\xa5Error\xa0\xa3Seq\x01");
    child.kill().expect("a process of our own");
    child.wait().expect("a process of our own");
}
