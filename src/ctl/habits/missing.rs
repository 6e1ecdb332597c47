//! What systemd has and is not here, and what there is instead.

use std::ffi::OsString;

/// Names, and what there is instead of each.
pub(in crate::ctl) type Missing = &'static [(&'static [&'static str], &'static str)];

/// Commands of systemctl.
pub(in crate::ctl) const COMMANDS: Missing = &[
    (
        &["enable", "disable", "reenable", "preset", "mask", "unmask"],
        "a unit is switched on and off by enabled = true or false in the unit table, then systemctl daemon-reload",
    ),
    (
        &["edit", "revert", "link", "set-property", "add-wants", "add-requires"],
        "write what differs into a file of /etc/cluster-os/units.d, then systemctl daemon-reload",
    ),
    (&["list-unit-files"], "the units of the table are all there are: systemctl list-units --all"),
    (
        &["list-timers", "list-sockets", "list-paths", "list-mounts", "list-automounts", "list-machines"],
        "all units are services: systemctl list-units --all",
    ),
    (&["list-jobs", "cancel"], "what is asked and not done yet is in initctl status UNIT"),
    (
        &["isolate", "default", "rescue", "emergency", "get-default", "set-default"],
        "there are no targets: every unit that is switched on is wanted",
    ),
    (
        &["log-level", "log-target", "service-log-level", "service-log-target"],
        "PID 1 logs what it does, and more with clusteros-init --verbose",
    ),
    (&["condrestart"], "systemctl try-restart is the same"),
    (&["force-reload"], "systemctl try-reload-or-restart is the same"),
    (&["whoami"], "cat /proc/self/cgroup says which unit's process asks, where units have cgroups"),
    (&["help"], "systemctl cat UNIT shows what runs; initctl help has what there is of manuals"),
    (&["reset-failed"], "systemctl start UNIT tries a failed unit again"),
    (&["kill", "freeze", "thaw", "clean"], "kill -s SIGNAL $(systemctl show -P MainPID UNIT) signals its main process"),
    (
        &["show-environment", "set-environment", "unset-environment", "import-environment"],
        "a unit's env, env-file and pass-env say what it gets: initctl help units",
    ),
    (
        &["kexec", "soft-reboot", "suspend", "hibernate", "hybrid-sleep", "sleep", "switch-root", "exit"],
        "poweroff, reboot and halt end the node",
    ),
];

/// Options of systemctl.
pub(in crate::ctl) const OPTIONS: Missing = &[
    (&["--user", "--global"], "all units are the node's"),
    (&["-H", "--host", "-M", "--machine"], "--pid PID means another node, by its PID 1 as it is seen from here"),
    (&["-f", "--force"], "a shutdown that is asked for again hurries, and the third time kills"),
    (&["-o", "--output"], "initctl status --json has all of it"),
    (&["--now", "--runtime"], "nothing is enabled or disabled by command"),
    (&["-s", "--signal", "--kill-whom"], "kill -s SIGNAL $(systemctl show -P MainPID UNIT) signals its main process"),
    (&["--wait"], "start, stop and restart wait by themselves, unless --no-block is said"),
    (&["--job-mode", "--when", "--message"], "there are no jobs, and nothing is planned ahead"),
];

/// Options of journalctl.
pub(in crate::ctl) const LOG_OPTIONS: Missing = &[
    (&["-k", "--dmesg"], "the kernel's lines are not kept: see dmesg"),
    (&["-p", "--priority", "--facility"], "lines have no priority"),
    (&["-g", "--grep", "--case-sensitive"], "pipe the lines into grep"),
    (&["-r", "--reverse"], "pipe the lines into tac"),
    (
        &["-t", "--identifier", "-F", "--field", "-N", "--fields", "--output-fields"],
        "lines have no fields: -u names a unit",
    ),
    (
        &["-c", "--cursor", "--after-cursor", "--show-cursor", "--cursor-file"],
        "lines have no cursors: --since has a time",
    ),
    (&["--list-boots"], "lines do not say which boot they are of; -b shows those since this PID 1 started"),
    (
        &[
            "--disk-usage",
            "--vacuum-size",
            "--vacuum-time",
            "--vacuum-files",
            "--rotate",
            "--flush",
            "--sync",
            "--verify",
        ],
        "a unit's log = { size, keep } says how much is kept, in plain files under /var/log/cluster-os",
    ),
    (&["-D", "--directory", "--file", "-i", "--image"], "--root DIR means another node's files"),
    (&["--user", "--namespace"], "all units are the node's"),
    (&["-M", "--machine"], "--pid PID means another node, by its PID 1 as it is seen from here"),
];

/// What there is instead of `name`.
pub(super) fn instead(missing: Missing, name: &str) -> Option<&'static str> {
    missing.iter().find(|(names, _)| names.contains(&name)).map(|(_, instead)| *instead)
}

/// The first option among `words` that is not here, and what there is instead.
pub(super) fn option(missing: Missing, words: &[OsString]) -> Option<(String, &'static str)> {
    let words = words.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--");
    words.filter(|word| word.starts_with('-')).find_map(|word| {
        let name = word.split('=').next().unwrap_or_default();
        let short = if name.starts_with("--") { name } else { name.get(..2).unwrap_or(name) };
        [name, short].into_iter().find_map(|name| Some((name.to_owned(), instead(missing, name)?)))
    })
}
