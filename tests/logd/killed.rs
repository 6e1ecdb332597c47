//! What becomes of lines when logd is killed.

use std::fs;
use std::io::{Write, pipe};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;

use clusteros_init::sys::memory;
use nix::sys::signal::{Signal, kill};

use crate::{Folder, Logd, wait_until};

/// How often logd is killed while a unit writes as fast as it can.
const KILLS: usize = 50;

/// A cheap die, the same at each run.
fn roll(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// All bytes of all files of the unit, oldest first.
fn all(folder: &Folder, name: &str) -> String {
    let older = (1..100).rev().map(|number| folder.text(&format!("{name}.log.{number}")));
    older.chain([folder.text(&format!("{name}.log"))]).collect()
}

fn size(folder: &Folder, name: &str) -> u64 {
    fs::metadata(folder.0.join(name)).map_or(0, |known| known.len())
}

#[test]
fn killed_fifty_times_under_load_every_line_is_there_once() {
    let folder = Folder::new("fifty");
    let (reader, writer) = pipe().expect("a pipe");
    let stage = memory::file(c"logd").expect("memory");
    let start = || Logd::start_with(&folder.0, Stdio::null(), &[(&reader, "a:1048576:99")], Some(&stage));
    let mut logd = start();
    let mut unit = Command::new("seq")
        .args(["1", "100000000"])
        .stdout(writer.as_fd().try_clone_to_owned().expect("a copy"))
        .spawn()
        .expect("seq starts");
    let mut seed = 0x5eed_0001;
    for turn in 0..KILLS {
        // Some are killed in their first moment, most at work.
        if turn % 5 != 0 {
            let before = size(&folder, "a.log");
            wait_until("it writes", || size(&folder, "a.log") != before);
        }
        for _ in 0..roll(&mut seed) % 20_000 {
            std::hint::spin_loop();
        }
        kill(logd.pid(), Signal::SIGKILL).expect("sent");
        logd.ended();
        logd = start();
    }
    unit.kill().expect("killed");
    unit.wait().expect("waited for");
    drop((writer, unit));
    assert_eq!(logd.ended().code(), Some(0));
    let text = all(&folder, "a");
    let mut lines: Vec<&str> = text.lines().collect();
    // The unit itself was killed in the middle of a line.
    let torn = lines.pop();
    let mut repeated = 0;
    let mut next: u64 = 1;
    for line in lines {
        let (stamp, number) = line.split_once(' ').expect("a time and a number");
        assert!(stamp.len() == 24 && stamp.ends_with('Z'), "a torn line: {line}");
        let number: u64 = number.parse().unwrap_or_else(|_| panic!("a torn line: {line}"));
        if number < next {
            repeated += 1;
        } else {
            assert_eq!(number, next, "lost: {} lines", number - next);
            next += 1;
        }
    }
    eprintln!("{KILLS} kills: {} lines, 0 lost, 0 torn, {repeated} repeated; the last: {torn:?}", next - 1);
    assert_eq!(repeated, 0);
    assert!(next > 10_000, "{next}");
    assert!(!folder.0.join("a.log.99").exists(), "old files went");
}

#[test]
fn the_two_halves_of_a_line_find_each_other() {
    let folder = Folder::new("halves");
    let (reader, mut writer) = pipe().expect("a pipe");
    let (other, mut to_other) = pipe().expect("a pipe");
    let stage = memory::file(c"logd").expect("memory");
    let start = || Logd::start_with(&folder.0, Stdio::null(), &[(&reader, "a"), (&other, "b")], Some(&stage));
    let mut logd = start();
    let mut whole = String::new();
    for number in 0..20 {
        let part = format!("part {number}, ");
        writer.write_all(part.as_bytes()).expect("written");
        whole.push_str(&part);
        // The line of the other pipe comes after it: what is before it was read.
        writeln!(to_other, "{number}").expect("written");
        wait_until("the other line", || folder.lines("b.log").last().is_some_and(|last| *last == number.to_string()));
        wait_until("the part is read", || !is_waiting(&reader));
        kill(logd.pid(), Signal::SIGKILL).expect("sent");
        logd.ended();
        logd = start();
    }
    writer.write_all(b"end\nand more").expect("written");
    drop((writer, to_other));
    assert_eq!(logd.ended().code(), Some(0));
    whole.push_str("end");
    assert_eq!(folder.lines("a.log"), [whole, "and more".to_owned()]);
}

/// Whether a pipe has something for a reader.
fn is_waiting(pipe: &impl AsFd) -> bool {
    let mut waiting = [nix::poll::PollFd::new(pipe.as_fd(), nix::poll::PollFlags::POLLIN)];
    nix::poll::poll(&mut waiting, nix::poll::PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

#[test]
fn a_line_of_ten_megabytes_is_kept_in_pieces() {
    let folder = Folder::new("long");
    let (reader, mut writer) = pipe().expect("a pipe");
    let mut logd = Logd::start(&folder.0, Stdio::null(), &[(&reader, "a:1048576:20")]);
    let writing = thread::spawn(move || {
        let line: Vec<u8> = (0..10_000_000_u32).map(|at| b'a' + u8::try_from(at % 26).unwrap_or(0)).collect();
        writer.write_all(&line).expect("written");
        writer.write_all(b"\nshort\n").expect("written");
    });
    writing.join().expect("wrote");
    assert_eq!(logd.ended().code(), Some(0));
    let text = all(&folder, "a");
    let lines: Vec<&str> = text.lines().map(|line| line.split_once(' ').expect("a time and a text").1).collect();
    let (short, pieces) = lines.split_last().expect("lines");
    assert_eq!(*short, "short");
    let (last, others) = pieces.split_last().expect("pieces");
    assert!(others.iter().all(|piece| piece.len() == 65_537 && piece.ends_with('\\')));
    let whole: String = others.iter().map(|piece| piece.trim_end_matches('\\')).chain([*last]).collect();
    assert_eq!(whole.len(), 10_000_000);
    assert!(whole.bytes().zip(0_u32..).all(|(letter, at)| u32::from(letter - b'a') == at % 26));
}
