//! `systemctl` and `journalctl` as a person runs them: what they print, where, and their exit codes.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::ctl::Folder;
use crate::golden::{assert_golden, golden};

/// What `line` prints and its exit code, as a terminal would show it. A `_` in it is a space within a word.
fn session(root: &str, line: &str) -> String {
    let mut words = line.split(' ').map(|word| word.replace('_', " "));
    let program = words.next().unwrap_or_default();
    let output = Command::new(env!("CARGO_BIN_EXE_initctl"))
        .arg0(format!("/usr/bin/{program}"))
        .arg(format!("--root={root}"))
        .args(words)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("unable to run {program}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(root, "ROOT");
    let code = output.status.code().map_or_else(|| "none".to_owned(), |code| code.to_string());
    format!("$ {}\n{}{}[{code}]\n", line.replace('_', " "), text(&output.stdout), text(&output.stderr))
}

fn transcript(name: &str, root: &str, lines: &[&str]) {
    assert_golden(
        &format!("habits/{name}.txt"),
        &lines.iter().map(|line| session(root, line)).collect::<Vec<_>>().join("\n"),
    );
}

/// A node with five units, whose table came from two files, and which nobody runs any more.
fn node(name: &str) -> Folder {
    let folder = Folder::new(name);
    let more =
        "[unit.gossip]\n# A burst of failures ends it.\nrestart = \"on-failure\"\n\n[unit.identity]\nlog = \"none\"\n";
    for (path, text) in [
        ("etc/hostname", "node1\n"),
        ("etc/cluster-os/units.toml", &golden("habits/units.toml")),
        ("etc/cluster-os/units.d/10-gossip.toml", &format!("{more}# Changed.\n")),
        ("run/cluster-os/table/1/000.toml", &golden("habits/units.toml")),
        ("run/cluster-os/table/1/001.toml", more),
        (
            "var/log/cluster-os/gossip.log",
            "2026-01-31T23:56:30.000Z agent: started\n2026-01-31T23:59:50.000Z agent: joined\n2026-01-31T23:59:59.100Z panic: out of luck\n",
        ),
        ("var/log/cluster-os/wg0.log", "2026-01-31T23:56:51.900Z up\n"),
    ] {
        let path = folder.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }
    folder.put(&golden("status-units.json"));
    folder
}

#[test]
fn systemctl_answers_in_systemds_words() {
    let node = node("systemctl");
    transcript(
        "systemctl",
        node.root(),
        &[
            "systemctl is-active wg0.service",
            "systemctl is-active wg0 gossip k3s.service nothing.service",
            "systemctl is-active gossip k3s",
            "systemctl -q is-active gossip",
            "systemctl is-active nothing.timer",
            "systemctl is-failed gossip",
            "systemctl is-failed",
            "systemctl is-enabled wg0 node-agent.service",
            "systemctl is-enabled node-agent nothing",
            "systemctl is-enabled nothing",
            "systemctl is-system-running",
            "systemctl status wg0.service --no-pager -l",
            "systemctl -n 2 status gossip nothing",
            "systemctl status node-agent k3s",
            "systemctl status identiy",
            "systemctl status",
            "systemctl list-units",
            "systemctl",
            "systemctl list-units --all --no-legend --plain",
            "systemctl list-units --state=auto-restart,exited w*",
            "systemctl list-units --type=timer",
            "systemctl list-units --failed",
            "systemctl list-dependencies k3s",
            "systemctl list-dependencies --reverse --plain identity.service",
            "systemctl cat wg0.service",
            "systemctl cat gossip k3s",
            "systemctl cat identity node-agent nothing",
            "systemctl start wg0",
        ],
    );
}

#[test]
fn properties() {
    let node = node("properties");
    transcript(
        "show",
        node.root(),
        &[
            "systemctl show wg0",
            "systemctl show gossip.service",
            "systemctl show -p ActiveState,SubState --property=MainPID wg0 nothing",
            "systemctl show -P ActiveState k3s",
            "systemctl show --value -p Id -p Result gossip",
            "systemctl show nothing",
            "systemctl show -p Color wg0",
            "systemctl show",
        ],
    );
}

#[test]
fn what_is_not_here_is_said() {
    let node = node("missing");
    transcript(
        "missing",
        node.root(),
        &[
            "systemctl enable --now k3s",
            "systemctl enable k3s.service",
            "systemctl mask gossip",
            "systemctl list-timers",
            "systemctl isolate multi-user.target",
            "systemctl --user status",
            "systemctl poweroff --force",
            "systemctl stat wg0",
            "systemctl status --jsno",
            "systemctl is-active",
            "systemctl daemon-reload wg0",
            "systemctl status backup.timer",
            "journalctl -k",
            "journalctl -p err -u wg0",
            "journalctl wg0",
            "journalctl -b -1",
            "journalctl --since soon",
            "journalctl -u wgo.service",
        ],
    );
}

#[test]
fn journalctl_shows_what_units_wrote() {
    let node = node("journalctl");
    transcript(
        "journalctl",
        node.root(),
        &[
            "journalctl -u gossip.service",
            "journalctl --no-pager -xeu gossip -n 1",
            "journalctl -u wg0 -u gossip",
            "journalctl -n",
            "journalctl -u gossip -o cat -n2",
            "journalctl -u gossip --since 2026-01-31_23:59",
            "journalctl -u gossip --since 2026-01-31_23:59 -n 1",
            "journalctl -u gossip --until Sat_2026-01-31_23:59:50_UTC",
            "journalctl -u gossip --since -1h",
            "journalctl -q -u gossip --since today",
            "journalctl -b -u gossip",
            "journalctl -u k3s",
        ],
    );
}

#[test]
fn their_help() {
    for program in ["systemctl", "journalctl"] {
        let page = session("/nowhere", &format!("{program} --help"));
        assert_golden(&format!("habits/{program}-help.txt"), &page);
        assert!(session("/nowhere", &format!("{program} --version")).contains(env!("CARGO_PKG_VERSION")));
    }
    let nobody = session("/nowhere", "systemctl is-active wg0");
    assert!(nobody.contains("systemctl: error: unable to read ") && nobody.ends_with("[1]\n"), "{nobody}");
    assert_eq!(session("/nowhere", "systemctl is-system-running"), "$ systemctl is-system-running\noffline\n[1]\n");
}
