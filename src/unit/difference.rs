//! What changes when a table takes the place of another, unit by unit: what is left alone, what takes effect in place, what
//! starts again.

use super::attributes::Attributes;
use super::cgroup::{Knob, Setting};
use super::log::Log;
use super::table::{Need, Table, Unit, UnitId};

/// What becomes of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Nothing.
    Same,
    /// Its changed keys take effect while it goes on.
    Changed,
    /// It starts again, with what binds to it.
    Restarted,
    /// It is new.
    Added,
    /// It is stopped and then forgotten.
    Removed,
    /// `enabled` became true.
    SwitchedOn,
    /// `enabled` became false.
    SwitchedOff,
    /// Its `when` holds no more. Only who can look knows.
    Skipped,
    /// Its `when` holds again.
    Unskipped,
}

impl Fate {
    /// `unchanged`, `changed in place`, `restarted`, `added`, `removed`, `switched on`, `switched off`, `skipped` or
    /// `no longer skipped`.
    pub const fn word(self) -> &'static str {
        match self {
            Fate::Same => "unchanged",
            Fate::Changed => "changed in place",
            Fate::Restarted => "restarted",
            Fate::Added => "added",
            Fate::Removed => "removed",
            Fate::SwitchedOn => "switched on",
            Fate::SwitchedOff => "switched off",
            Fate::Skipped => "skipped",
            Fate::Unskipped => "no longer skipped",
        }
    }
}

/// What becomes of one unit, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Difference {
    /// Its name.
    pub unit: String,
    /// What becomes of it.
    pub fate: Fate,
    /// The keys that changed, in the order of the list of keys.
    pub keys: Vec<&'static str>,
    /// One of them says what its process is: one that runs is not what the table says.
    pub stale: bool,
}

/// What becomes of every unit of `old` and `new`: those of `new` in its order, then those that are gone. PID 1's own units
/// are left out.
pub fn difference(old: &Table, new: &Table) -> Vec<Difference> {
    let own = |unit: &&Unit| unit.main || unit.last;
    let find = |table: &'_ Table, name: &str| table.units.iter().position(|unit| unit.name == name);
    let kept = new.units.iter().filter(|unit| !own(unit)).map(|unit| {
        let before = find(old, &unit.name).and_then(|at| old.units.get(at)).filter(|unit| !own(unit));
        before.map_or_else(|| of(unit, Fate::Added), |before| between(old, before, new, unit))
    });
    let gone = old.units.iter().filter(|unit| !own(unit) && find(new, &unit.name).is_none());
    kept.chain(gone.map(|unit| of(unit, Fate::Removed))).collect()
}

fn of(unit: &Unit, fate: Fate) -> Difference {
    Difference { unit: unit.name.clone(), fate, keys: Vec::new(), stale: false }
}

/// What one changed key asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    InPlace,
    Restart,
}

/// The keys found to differ so far.
#[derive(Default)]
struct Keys {
    keys: Vec<&'static str>,
    stale: bool,
}

impl Keys {
    fn compare<T: PartialEq>(&mut self, key: &'static str, effect: Effect, old: &T, new: &T) {
        if old != new {
            self.keys.push(key);
            self.stale |= effect == Effect::Restart;
        }
    }
}

fn between(old_table: &Table, old: &Unit, new_table: &Table, new: &Unit) -> Difference {
    let Keys { keys, stale } = changed(old_table, old, new_table, new);
    let fate = match (old.enabled, new.enabled) {
        (true, false) => Fate::SwitchedOff,
        (false, true) => Fate::SwitchedOn,
        _ if stale => Fate::Restarted,
        _ if keys.is_empty() => Fate::Same,
        _ => Fate::Changed,
    };
    Difference { unit: new.name.clone(), fate, keys, stale }
}

/// Every key, in the order of the list of keys. Taken apart in full: a new key does not compile before it is in here.
fn changed(old_table: &Table, old: &Unit, new_table: &Table, new: &Unit) -> Keys {
    use Effect::{InPlace, Restart};
    let Unit {
        name: _,
        kind,
        exec,
        needs,
        binds,
        wants,
        when,
        ready,
        restart,
        backoff,
        give_up,
        permanent_exit,
        success_exit,
        start_timeout,
        stop_timeout,
        stop_signal,
        reload_signal,
        stop,
        finish,
        kill,
        notify_from,
        watchdog,
        env,
        attributes,
        log,
        forward,
        rewrite,
        enabled,
        description,
        main: _,
        last: _,
    } = old;
    let mut keys = Keys::default();
    keys.compare("type", Restart, kind, &new.kind);
    keys.compare("exec", Restart, exec, &new.exec);
    // By name: a unit's place in its table says nothing.
    let needed = |table: &Table, needs: &[Need]| -> Vec<(Option<String>, bool)> {
        needs.iter().map(|need| (name(table, need.unit), need.optional)).collect()
    };
    let names = |table: &Table, units: &[UnitId]| -> Vec<Option<String>> {
        units.iter().map(|unit| name(table, *unit)).collect()
    };
    keys.compare("needs", InPlace, &needed(old_table, needs), &needed(new_table, &new.needs));
    keys.compare("binds", InPlace, &names(old_table, binds), &names(new_table, &new.binds));
    keys.compare("wants", InPlace, &names(old_table, wants), &names(new_table, &new.wants));
    keys.compare("when", InPlace, when, &new.when);
    keys.compare("ready", Restart, ready, &new.ready);
    keys.compare("restart", InPlace, restart, &new.restart);
    keys.compare("backoff", InPlace, backoff, &new.backoff);
    keys.compare("give-up", InPlace, give_up, &new.give_up);
    keys.compare("permanent-exit", InPlace, permanent_exit, &new.permanent_exit);
    keys.compare("success-exit", InPlace, success_exit, &new.success_exit);
    keys.compare("start-timeout", InPlace, start_timeout, &new.start_timeout);
    keys.compare("stop-timeout", InPlace, stop_timeout, &new.stop_timeout);
    keys.compare("stop-signal", InPlace, stop_signal, &new.stop_signal);
    keys.compare("reload-signal", InPlace, reload_signal, &new.reload_signal);
    keys.compare("stop", InPlace, stop, &new.stop);
    keys.compare("finish", InPlace, finish, &new.finish);
    keys.compare("kill", InPlace, kill, &new.kill);
    keys.compare("notify-from", InPlace, notify_from, &new.notify_from);
    keys.compare("watchdog", Restart, watchdog, &new.watchdog);
    keys.compare("env", Restart, env, &new.env);
    process(&mut keys, attributes, &new.attributes);
    // Size and number of its files are logd's business; where it writes to is its own.
    let kept = |log: &Log| matches!(log, Log::File { .. });
    let effect = if kept(log) && kept(&new.log) { InPlace } else { Restart };
    keys.compare("log", effect, log, &new.log);
    keys.compare("forward", InPlace, forward, &new.forward);
    keys.compare("rewrite", InPlace, rewrite, &new.rewrite);
    keys.compare("enabled", InPlace, enabled, &new.enabled);
    keys.compare("description", InPlace, description, &new.description);
    keys
}

/// The keys that shape a process: all are put on between fork and exec.
fn process(keys: &mut Keys, old: &Attributes, new: &Attributes) {
    use Effect::Restart;
    let Attributes {
        user,
        group,
        groups,
        umask,
        cwd,
        nice,
        oom_score_adj,
        rlimits,
        capabilities,
        no_new_privileges,
        env_file,
        clear_env,
        pass_env,
        cgroup,
    } = old;
    keys.compare("env-file", Restart, env_file, &new.env_file);
    keys.compare("clear-env", Restart, clear_env, &new.clear_env);
    keys.compare("pass-env", Restart, pass_env, &new.pass_env);
    keys.compare("user", Restart, user, &new.user);
    keys.compare("group", Restart, group, &new.group);
    keys.compare("groups", Restart, groups, &new.groups);
    keys.compare("umask", Restart, umask, &new.umask);
    keys.compare("cwd", Restart, cwd, &new.cwd);
    keys.compare("nice", Restart, nice, &new.nice);
    keys.compare("oom-score-adj", Restart, oom_score_adj, &new.oom_score_adj);
    keys.compare("rlimits", Restart, rlimits, &new.rlimits);
    keys.compare("capabilities", Restart, capabilities, &new.capabilities);
    keys.compare("no-new-privileges", Restart, no_new_privileges, &new.no_new_privileges);
    let set = |settings: &[Setting], knob: Knob| -> Option<String> {
        settings.iter().find(|setting| setting.knob == knob).map(|setting| setting.text.clone())
    };
    for knob in Knob::ALL {
        keys.compare(knob.key(), Restart, &set(cgroup, knob), &set(&new.cgroup, knob));
    }
}

fn name(table: &Table, id: UnitId) -> Option<String> {
    table.units.get(id.index()).map(|unit| unit.name.clone())
}

#[cfg(test)]
mod tests {
    use super::super::keys::KEYS;
    use super::super::read;
    use super::*;

    fn table(text: &str) -> Table {
        read(&[("t".to_owned(), text.to_owned())]).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
    }

    fn told(old: &str, new: &str) -> String {
        let lines = difference(&table(old), &table(new)).into_iter().map(|difference| {
            let Difference { unit, fate, keys, stale } = difference;
            format!("{unit} {}{}: {}\n", fate.word(), if stale { " (stale)" } else { "" }, keys.join(" "))
        });
        lines.collect()
    }

    /// By key: a value that is not its default.
    const OTHER: &[(&str, &str, bool)] = &[
        ("type", "type = \"oneshot\"\nrestart = \"on-failure\"\nstart-timeout = \"30s\"", true),
        ("exec", "", true),
        ("needs", "needs = [\"b\"]", false),
        ("binds", "binds = [\"b\"]", false),
        ("wants", "wants = [\"b\"]", false),
        ("when", "when = { path = \"/x\" }", false),
        ("ready", "ready = \"notify\"", true),
        ("restart", "restart = \"never\"", false),
        ("backoff", "backoff = \"1s..2s\"", false),
        ("give-up", "give-up = { after = 3 }", false),
        ("permanent-exit", "permanent-exit = [78]", false),
        ("success-exit", "success-exit = [3]", false),
        ("start-timeout", "start-timeout = \"9s\"", false),
        ("stop-timeout", "stop-timeout = \"9s\"", false),
        ("stop-signal", "stop-signal = \"INT\"", false),
        ("reload-signal", "reload-signal = \"HUP\"", false),
        ("stop", "stop = [\"x\"]", false),
        ("finish", "finish = [\"x\"]", false),
        ("kill", "kill = \"main\"", false),
        ("notify-from", "notify-from = \"cgroup\"", false),
        ("watchdog", "watchdog = \"9s\"", true),
        ("env", "env = { A = \"1\" }", true),
        ("env-file", "env-file = \"/x\"", true),
        ("clear-env", "clear-env = true", true),
        ("pass-env", "clear-env = true\npass-env = [\"A\"]", true),
        ("user", "user = \"www\"", true),
        ("group", "group = \"www\"", true),
        ("groups", "groups = [\"www\"]", true),
        ("umask", "umask = \"077\"", true),
        ("cwd", "cwd = \"/srv\"", true),
        ("nice", "nice = 5", true),
        ("oom-score-adj", "oom-score-adj = 5", true),
        ("rlimits", "rlimits = { core = 0 }", true),
        ("capabilities", "capabilities = []", true),
        ("no-new-privileges", "no-new-privileges = true", true),
        ("memory-max", "memory-max = \"1G\"", true),
        ("memory-high", "memory-high = \"1G\"", true),
        ("cpu-max", "cpu-max = \"10%\"", true),
        ("cpu-weight", "cpu-weight = 1", true),
        ("pids-max", "pids-max = 1", true),
        ("io-weight", "io-weight = 1", true),
        ("log", "log = \"none\"", true),
        ("forward", "forward = [\"WINCH\"]", false),
        ("rewrite", "forward = [\"URG\"]\nrewrite = { URG = \"drop\" }", false),
        ("enabled", "enabled = false", false),
        ("description", "description = \"x\"", false),
    ];

    #[test]
    fn every_key_is_seen_to_change() {
        for key in KEYS {
            let other = OTHER.iter().find(|(name, ..)| *name == key.name);
            let (_, text, stale) = other.unwrap_or_else(|| panic!("{} has no other value here", key.name));
            let unit = |exec: &str, text: &str| {
                table(&format!("[unit.a]\nexec = [\"{exec}\"]\n{text}\n[unit.b]\nexec = [\"b\"]\n"))
            };
            let new = unit(if key.name == "exec" { "other" } else { "a" }, text);
            let all = difference(&unit("a", ""), &new);
            assert!(all[0].keys.contains(&key.name), "{} is not seen: {all:?}", key.name);
            assert_eq!(all[0].stale, *stale, "{}", key.name);
            assert_eq!(all[1].fate, Fate::Same, "{}", key.name);
            assert!(difference(&new, &new).iter().all(|one| one.fate == Fate::Same), "{}", key.name);
        }
        assert_eq!(OTHER.len(), KEYS.len());
    }

    #[test]
    fn units_come_and_go() {
        let old = "[unit.a]\nexec = [\"a\"]\n[unit.b]\nexec = [\"b\"]\nenabled = false\n[unit.c]\nexec = [\"c\"]\n";
        let new = "[unit.n]\nexec = [\"n\"]\n[unit.b]\nexec = [\"b2\"]\n[unit.a]\nexec = [\"a\"]\nenabled = false\n";
        assert_eq!(
            told(old, new),
            "n added: \nb switched on (stale): exec enabled\na switched off: enabled\nc removed: \n"
        );
    }

    #[test]
    fn another_order_is_no_change() {
        let old = "[unit.a]\nexec = [\"a\"]\n[unit.b]\nexec = [\"b\"]\nneeds = [\"a\"]\n";
        let new = "[unit.b]\nexec = [\"b\"]\nneeds = [\"a\"]\n[unit.a]\nexec = [\"a\"]\n";
        assert_eq!(told(old, new), "b unchanged: \na unchanged: \n");
    }

    #[test]
    fn the_size_of_a_log_is_no_reason_to_restart() {
        let unit = |log: &str| format!("[unit.a]\nexec = [\"a\"]\nlog = {log}\n");
        assert_eq!(told(&unit("\"file\""), &unit("{ keep = 9 }")), "a changed in place: log\n");
        assert_eq!(told(&unit("\"file\""), &unit("\"inherit\"")), "a restarted (stale): log\n");
    }

    #[test]
    fn own_units_are_left_out() {
        let own = |table: Table| table.with_logd(vec!["logd".to_owned()]).with_main(vec!["sh".to_owned()]);
        let plain = || table("[unit.a]\nexec = [\"a\"]\n");
        let all = difference(&own(plain()), &plain());
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].fate, Fate::Same);
    }
}
