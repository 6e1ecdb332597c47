//! What every signal means, as a table that a change of meaning cannot get past.

use std::fmt::Write;

use clusteros_init::control::{Mode, meaning};
use clusteros_init::sys::signal::{FAULTS, LAST};
use clusteros_init::unit::{Signal, signal};

use crate::golden::assert_golden;

const HEAD: &str = "\
What each signal to PID 1 means. tests/table makes this table from control/signal.rs; tests/ns sends every signal to a
real PID 1 and holds it to this table.

fault: read by nobody; the kernel raises it for a fault of PID 1's own, and one that somebody sends does nothing.
kernel: never delivered. From outside the namespace KILL ends PID 1 and STOP stops it; from within they do nothing.

";

#[test]
fn every_signal_means_what_it_meant() {
    let mut notes: Vec<String> = Vec::new();
    let mut table = String::new();
    let _ = writeln!(table, "{:<4}{:<10}{:<10}{:<18}{:<18}appliance", "no", "name", "command", "pause", "container");
    for number in 1..=LAST {
        let modes = [Mode::Command, Mode::Pause, Mode::Container, Mode::Appliance];
        let [command, pause, container, appliance] = modes.map(|mode| match number {
            libc::SIGKILL | libc::SIGSTOP => "kernel".to_owned(),
            _ if FAULTS.has(number) => "fault".to_owned(),
            _ => noted(&format!("{:?}", meaning(number, mode)), &mut notes),
        });
        let name = signal::name(Signal(number));
        let name = if name.contains(' ') { "-" } else { name.as_str() };
        let _ = writeln!(table, "{number:<4}{name:<10}{command:<10}{pause:<18}{container:<18}{appliance}");
    }
    table.push('\n');
    for (number, note) in (1..).zip(&notes) {
        let _ = writeln!(table, "{number}: {note}");
    }
    assert_golden("signals.txt", &format!("{HEAD}{table}"));
}

/// `meaning` with the sentence in it as a number of `notes`.
fn noted(meaning: &str, notes: &mut Vec<String>) -> String {
    let Some((before, sentence)) = meaning.split_once('"') else { return meaning.to_owned() };
    let sentence = sentence.trim_end_matches(['"', ')']).to_owned();
    let at = notes.iter().position(|known| *known == sentence).unwrap_or_else(|| {
        notes.push(sentence);
        notes.len() - 1
    });
    format!("{before}{})", at + 1)
}
