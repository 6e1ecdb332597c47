//! The keys of a unit: one table that the reader goes by and that `initctl help units` prints.

use super::cgroup;
use super::draft::Draft;
use super::duration;
use super::give_up;
use super::log;
use super::process;
use super::rewrite;
use super::settings;
use super::value::Field;

/// One key of a unit.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What may be written, as it follows "write".
    pub values: &'static str,
    /// What holds when it is not written.
    pub default: &'static str,
    /// What it is for.
    pub what: &'static str,
    /// What other programs call it.
    pub(super) also: &'static [&'static str],
    pub(super) read: fn(&mut Field<'_>, &mut Draft),
}

/// Every key, in the order in which a person meets them.
pub const KEYS: &[Key] = &[
    Key {
        name: "type",
        values: "\"service\" or \"oneshot\"",
        default: "\"service\"",
        what: "a service runs until it is stopped; a oneshot runs to its end, and exit 0 makes it done",
        also: &["kind"],
        read: settings::kind,
    },
    Key {
        name: "exec",
        values: "a list of texts, such as [\"prog\", \"arg\"]",
        default: "none: every unit has it",
        what: "the program and its arguments; no shell; looked up in PATH",
        also: &["command", "cmd", "run", "execstart", "entrypoint", "start"],
        read: settings::exec,
    },
    Key {
        name: "needs",
        values: "a list of unit names, such as [\"wg0\"] or [\"wg0?\"]",
        default: "[]",
        what: "must be ready or done before this one starts; with ? a skipped or switched-off unit will do",
        also: &["requires", "depends", "depends-on", "after"],
        read: settings::needs,
    },
    Key {
        name: "binds",
        values: "a list of unit names, such as [\"wg0\"]",
        default: "[]",
        what: "as needs, and this one stops before them and starts again after them",
        also: &["binds-to", "part-of"],
        read: settings::binds,
    },
    Key {
        name: "wants",
        values: "a list of unit names, such as [\"wg0\"]",
        default: "[]",
        what: "start after they are ready, done, failed, skipped or off, or after 30 s",
        also: &["waits-for"],
        read: settings::wants,
    },
    Key {
        name: "when",
        values: "a table of env, program, path (texts) and container (true or false)",
        default: "{}",
        what: "all must hold, else the unit is skipped: env is set, program is in PATH, path exists, in a container or not",
        also: &["condition", "if", "only-if"],
        read: settings::when,
    },
    Key {
        name: "ready",
        values: "\"exec\" or \"notify\"",
        default: "\"exec\"",
        what: "what makes a service up: its exec succeeded, or it sent READY=1 (sd_notify)",
        also: &["readiness"],
        read: settings::ready,
    },
    Key {
        name: "restart",
        values: "\"always\", \"on-failure\" or \"never\"",
        default: "\"always\"; \"on-failure\" for a oneshot",
        what: "whether it starts again after an end that was not asked for",
        also: &["respawn"],
        read: settings::restart,
    },
    Key {
        name: "backoff",
        values: "two durations, such as \"250ms..30s\", or one",
        default: "\"250ms..30s\"",
        what: "the time between starts, doubling from the first to the second",
        also: &["restart-sec", "restart-delay", "delay"],
        read: settings::backoff,
    },
    Key {
        name: "give-up",
        values: "a table of after (1 to 100), within (a duration) and then (\"stay\", \"shutdown\" or \"reboot\"), or \"never\"",
        default: "\"never\"; what a table leaves out is { after = 10, within = \"5m\", then = \"stay\" }",
        what: "so many failures in that time, and it is failed and not started again; then: what the node does",
        also: &["start-limit", "start-limit-burst", "start-limit-action", "max-restarts"],
        read: give_up::give_up,
    },
    Key {
        name: "permanent-exit",
        values: "a list of exit codes (0 to 255) and signal names, such as [78, \"SEGV\"]",
        default: "[]",
        what: "ends after which it is failed and not started again",
        also: &["restart-prevent-exit-status"],
        read: settings::permanent_exit,
    },
    Key {
        name: "success-exit",
        values: "a list of exit codes (0 to 255) and signal names, such as [3, \"TERM\"]",
        default: "[]",
        what: "ends that count as success, beside exit 0",
        also: &["success-exit-status"],
        read: settings::success_exit,
    },
    Key {
        name: "start-timeout",
        values: "a duration, such as \"30s\", or \"none\"",
        default: "\"none\"; \"30s\" for a oneshot",
        what: "from exec to ready (a oneshot: to its end); after it the unit is stopped and tried again",
        also: &["timeout-start-sec", "timeout"],
        read: settings::start_timeout,
    },
    Key {
        name: "stop-timeout",
        values: "a duration, such as \"10s\"",
        default: "\"10s\"",
        what: "from the first act of stopping to SIGKILL",
        also: &["timeout-stop-sec", "grace", "stop-grace-period"],
        read: settings::stop_timeout,
    },
    Key {
        name: "stop-signal",
        values: "a signal name, such as \"TERM\" or \"RTMIN+3\"",
        default: "\"TERM\"",
        what: "what asks it to stop; CONT follows it",
        also: &["kill-signal"],
        read: settings::stop_signal,
    },
    Key {
        name: "reload-signal",
        values: "a signal name, such as \"HUP\"",
        default: "none",
        what: "what \"initctl reload UNIT\" sends to its main process",
        also: &["exec-reload", "reload"],
        read: settings::reload_signal,
    },
    Key {
        name: "stop",
        values: "a list of texts, such as [\"prog\", \"--stop\"]",
        default: "none",
        what: "a command that runs before the signal, and also when the unit is done",
        also: &["execstop", "stop-command"],
        read: settings::stop,
    },
    Key {
        name: "kill",
        values: "\"cgroup\", \"group\" or \"main\"",
        default: "\"cgroup\"",
        what: "what a stop reaches: the process group, and what is left in the unit's cgroup is killed (without cgroups as group); the process group; the main process alone",
        also: &["kill-mode"],
        read: settings::kill,
    },
    Key {
        name: "env",
        values: "a table of texts, such as { LANG = \"C\" }",
        default: "{}",
        what: "added to PID 1's own environment, which is inherited",
        also: &["environment"],
        read: settings::env,
    },
    Key {
        name: "env-file",
        values: "a path, such as \"/etc/default/web\"; with ? at its end it need not be there",
        default: "none",
        what: "NAME=VALUE lines, read at each start, before the user changes; env wins over them",
        also: &["environment-file"],
        read: process::env_file,
    },
    Key {
        name: "clear-env",
        values: "true or false",
        default: "false",
        what: "true passes nothing of PID 1's environment on but pass-env; PATH gets a default",
        also: &[],
        read: process::clear_env,
    },
    Key {
        name: "pass-env",
        values: "a list of names, such as [\"LANG\", \"TZ\"]",
        default: "[]",
        what: "what clear-env leaves",
        also: &["pass-environment", "passenv"],
        read: process::pass_env,
    },
    Key {
        name: "user",
        values: "a name, such as \"www\", or a number, such as 1000",
        default: "PID 1's user",
        what: "who it runs as; a name is looked up in /etc/passwd at each start, and sets USER, LOGNAME and HOME",
        also: &["uid", "run-as"],
        read: process::user,
    },
    Key {
        name: "group",
        values: "a name, such as \"www\", or a number, such as 1000",
        default: "the user's own group in /etc/passwd; a user by number must have it said",
        what: "its group; a name is looked up in /etc/group at each start",
        also: &["gid"],
        read: process::group,
    },
    Key {
        name: "groups",
        values: "a list of names and numbers, such as [\"video\", 44]",
        default: "[] with user or group, else PID 1's groups",
        what: "its supplementary groups: these and no other",
        also: &["supplementary-groups"],
        read: process::groups,
    },
    Key {
        name: "umask",
        values: "an octal text, such as \"022\" or \"0077\"",
        default: "PID 1's umask",
        what: "the permissions that its new files do not get",
        also: &["u-mask"],
        read: process::umask,
    },
    Key {
        name: "cwd",
        values: "a path, such as \"/srv/www\"",
        default: "PID 1's directory: /",
        what: "where it starts; the user must be allowed to enter it",
        also: &["working-directory", "dir", "directory", "workdir", "chdir"],
        read: process::cwd,
    },
    Key {
        name: "nice",
        values: "a whole number from -20 to 19",
        default: "PID 1's",
        what: "how much it yields to others; below 0 it takes",
        also: &["priority"],
        read: process::nice,
    },
    Key {
        name: "oom-score-adj",
        values: "a whole number from -1000 to 1000",
        default: "PID 1's",
        what: "how soon the kernel kills it when memory is short: 1000 first, -1000 never",
        also: &["oom-score-adjust", "oom"],
        read: process::oom_score_adj,
    },
    Key {
        name: "rlimits",
        values: "a table of limits, such as { nofile = 1048576, core = \"0:unlimited\" }",
        default: "PID 1's limits",
        what: "what it may use, one number or soft:hard, of cpu fsize data stack core rss nproc nofile memlock as locks sigpending msgqueue nice rtprio rttime",
        also: &["limits", "ulimit", "ulimits"],
        read: process::rlimits,
    },
    Key {
        name: "capabilities",
        values: "a list of names, such as [\"NET_BIND_SERVICE\"]",
        default: "PID 1's for root, none for another user",
        what: "what it may do of root's rights, and what it can ever get; another user than root keeps these",
        also: &["caps", "ambient-capabilities", "capability-bounding-set"],
        read: process::capabilities,
    },
    Key {
        name: "no-new-privileges",
        values: "true or false",
        default: "false",
        what: "true: no set-user-ID program and no file capability raises it",
        also: &["no-new-privs"],
        read: process::no_new_privileges,
    },
    Key {
        name: "memory-max",
        values: "a size, such as \"512M\", or \"max\"",
        default: "\"max\"",
        what: "what it may use of memory, all its processes together; whoever wants more is killed",
        also: &["memory-limit", "mem-limit", "memory"],
        read: cgroup::memory_max,
    },
    Key {
        name: "memory-high",
        values: "a size, such as \"400M\", or \"max\"",
        default: "\"max\"",
        what: "from here on it is slowed down and its memory taken back, but nobody is killed",
        also: &["memory-soft", "mem-reservation"],
        read: cgroup::memory_high,
    },
    Key {
        name: "cpu-max",
        values: "a share of one processor, such as \"50%\" (\"200%\" is two), or \"max\"",
        default: "\"max\"",
        what: "what it may use of processor time in each tenth of a second",
        also: &["cpu-quota", "cpus", "cpu-limit"],
        read: cgroup::cpu_max,
    },
    Key {
        name: "cpu-weight",
        values: "a whole number from 1 to 10000",
        default: "100",
        what: "its part of the processors when there are too few for all, beside the others' numbers",
        also: &["cpu-shares"],
        read: cgroup::cpu_weight,
    },
    Key {
        name: "pids-max",
        values: "a whole number from 1 to 4194304, or \"max\"",
        default: "\"max\"",
        what: "how many processes and threads it may have",
        also: &["tasks-max", "pids-limit"],
        read: cgroup::pids_max,
    },
    Key {
        name: "io-weight",
        values: "a whole number from 1 to 10000",
        default: "100",
        what: "its part of a busy disk, beside the others' numbers; where the kernel weighs disks",
        also: &["blkio-weight"],
        read: cgroup::io_weight,
    },
    Key {
        name: "log",
        values: "\"file\", \"inherit\", \"none\", or a table such as { size = \"4M\", keep = 3 }",
        default: "\"file\", which is { size = \"4M\", keep = 3 }",
        what: "where its lines go: shown, and kept in UNIT.log with so many older files of that size; to PID 1's own output; nowhere",
        also: &["logs", "logging", "standard-output", "stdout"],
        read: log::log,
    },
    Key {
        name: "forward",
        values: "a list of signal names, such as [\"WINCH\", \"RTMIN+9\"]",
        default: "[]",
        what: "signals to PID 1 that it passes on while the unit is up, to what kill says; not those that mean something to PID 1",
        also: &["forward-signals", "pass-signals"],
        read: rewrite::forward,
    },
    Key {
        name: "rewrite",
        values: "a table of signal names, such as { WINCH = \"USR1\", URG = \"drop\" }",
        default: "{}",
        what: "what the unit gets instead of a signal that forward passes on to it, or \"drop\" for nothing",
        also: &["rewrite-signals", "map-signals"],
        read: rewrite::rewrite,
    },
    Key {
        name: "enabled",
        values: "true or false",
        default: "true",
        what: "false switches the unit off",
        also: &["enable", "disabled"],
        read: settings::enabled,
    },
    Key {
        name: "description",
        values: "a text of one line, at most 200 bytes",
        default: "\"\"",
        what: "for the people who read the status",
        also: &["comment"],
        read: settings::description,
    },
];

/// Keys that are designed and not built: known names, so that nobody hunts for a slip of the finger.
pub(super) const LATER: &[&str] = &["finish", "watchdog"];

/// The keys as a page for a person.
pub fn help() -> String {
    let width = KEYS.iter().map(|key| key.name.len()).max().unwrap_or(0);
    let mut page = String::from(
        "The unit table: /etc/cluster-os/units.toml, then /etc/cluster-os/units.d/*.toml in name order.\n\
         A later file that names a unit again changes the keys that it says and leaves the others;\n\
         enabled = false switches a unit off. A unit is a table [unit.NAME]; its keys:\n\n",
    );
    for key in KEYS {
        let Key { name, values, default, what, .. } = key;
        page.push_str(&format!(
            "{name:width$}  {what}\n{:width$}  values: {values}\n{:width$}  default: {default}\n",
            "", ""
        ));
    }
    page.push_str("\nA duration is ");
    page.push_str(duration::HOW);
    page.push_str(".\n");
    page
}
