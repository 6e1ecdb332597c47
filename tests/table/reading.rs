//! What the reader makes of files: good ones, bad ones, and none at all.

use std::time::Duration;

use clusteros_init::unit::attributes::{Attributes, EnvFile, Limit, UNLIMITED, Who};
use clusteros_init::unit::keys::KEYS;
use clusteros_init::unit::manual::help;
use clusteros_init::unit::read::{MOST, read};
use clusteros_init::unit::{
    Backoff, ExitRule, GiveUp, Kill, Kind, Log, Need, Probe, Ready, Restart, Signal, Table, Then, UnitId, When,
};

use crate::golden::{assert_golden, golden};

fn files(texts: &[&str]) -> Vec<(String, String)> {
    texts.iter().enumerate().map(|(n, text)| (format!("{n}.toml"), (*text).to_owned())).collect()
}

fn good(texts: &[&str]) -> Table {
    read(&files(texts)).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

fn mistakes(texts: &[&str]) -> Vec<String> {
    read(&files(texts)).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn golden_mistakes(name: &str) {
    let file = (format!("{name}.toml"), golden(&format!("{name}.toml")));
    let mistakes = read(&[file]).expect_err("the file has mistakes");
    let text: String = mistakes.iter().map(|mistake| format!("{mistake}\n")).collect();
    assert_golden(&format!("{name}.txt"), &text);
}

#[test]
fn every_mistake_at_once() {
    golden_mistakes("units-mistakes");
}

#[test]
fn broken_lines_and_what_stands_between_them() {
    golden_mistakes("units-broken");
}

#[test]
fn mistakes_of_what_shapes_a_process() {
    golden_mistakes("units-process");
}

#[test]
fn mistakes_of_what_keeps_a_unit_going() {
    golden_mistakes("units-upkeep");
}

#[test]
fn every_key_of_a_process() {
    let table = good(&[r#"
        [unit.all]
        exec = ["all"]
        user = "www"
        group = "0033"
        groups = ["video", 44]
        umask = 0o027
        cwd = "/srv/www"
        nice = -20
        oom-score-adj = -1000
        rlimits = { nofile = 1048576, core = "0:unlimited", as = "unlimited" }
        capabilities = ["CAP_CHOWN", "net_bind_service"]
        no-new-privileges = true
        env-file = "/etc/default/web?"
        clear-env = true
        pass-env = ["LANG"]
        [unit.none]
        exec = ["none"]
    "#]);
    let name = |name: &str| Who::Name(name.to_owned());
    let mut limits = table.units[0].attributes.rlimits.clone();
    limits.sort_by_key(|limit| limit.resource);
    assert_eq!(
        limits,
        [
            Limit { resource: 4, soft: 0, hard: UNLIMITED },
            Limit { resource: 7, soft: 1_048_576, hard: 1_048_576 },
            Limit { resource: 9, soft: UNLIMITED, hard: UNLIMITED },
        ]
    );
    assert_eq!(
        table.units[0].attributes,
        Attributes {
            user: Some(name("www")),
            group: Some(Who::Number(33)),
            groups: Some(vec![name("video"), Who::Number(44)]),
            umask: Some(0o27),
            cwd: Some("/srv/www".to_owned()),
            nice: Some(-20),
            oom_score_adj: Some(-1000),
            rlimits: table.units[0].attributes.rlimits.clone(),
            capabilities: Some(0x401),
            no_new_privileges: true,
            env_file: Some(EnvFile { path: "/etc/default/web".to_owned(), optional: true }),
            clear_env: true,
            pass_env: vec!["LANG".to_owned()],
            cgroup: Vec::new(),
        }
    );
    assert_eq!(table.units[1].attributes, Attributes::default());
}

#[test]
fn every_kind_of_readiness() {
    let table = good(&[r#"
        [unit.fd]
        exec = ["a"]
        ready = "fd:3"
        [unit.last]
        exec = ["a"]
        ready = "fd:255"
        [unit.probe]
        exec = ["a"]
        ready = { probe = ["ask", "it"] }
        [unit.often]
        exec = ["a"]
        ready = { probe = ["ask"], every = "250ms" }
        start-timeout = "none"
    "#]);
    let probe = |argv: &[&str], millis| {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        Ready::Probe(Probe { argv, every: Duration::from_millis(millis) })
    };
    let ready: Vec<Ready> = table.units.iter().map(|unit| unit.ready.clone()).collect();
    assert_eq!(ready, [Ready::Fd(3), Ready::Fd(255), probe(&["ask", "it"], 1000), probe(&["ask"], 250)]);
    let timeouts: Vec<_> = table.units.iter().map(|unit| unit.start_timeout.map(|span| span.as_secs())).collect();
    assert_eq!(timeouts, [None, None, Some(30), None]);
}

#[test]
fn every_key() {
    let table = good(&[r#"
        [unit.first]
        exec = ["first"]
        [unit.second]
        exec = ["second"]
        enabled = false
        [unit.all]
        type = "service"
        exec = ["prog", "arg", ""]
        needs = ["first", "second?"]
        binds = ["first"]
        wants = ["second"]
        when = { env = "E", program = "p", path = "/p", container = false }
        ready = "notify"
        restart = "on-failure"
        backoff = "1s..1m"
        permanent-exit = [78, "SEGV"]
        success-exit = [0x03, "SIGTERM"]
        start-timeout = "5m"
        stop-timeout = "0s"
        stop-signal = "RTMIN+3"
        stop = ["prog", "--stop"]
        kill = "main"
        log = { size = "64K", keep = 0x0a }
        env = { A = "1", B = "" }
        finish = ["prog", "--clean"]
        watchdog = "20s"
        reload-signal = "HUP"
        give-up = { after = 3, within = "1m", then = "reboot" }
        forward = ["WINCH", "RTMIN+9"]
        rewrite = { WINCH = "USR1", "RTMIN+9" = "drop" }
        memory-max = "64M"
        memory-high = "max"
        cpu-max = "150%"
        cpu-weight = 10000
        pids-max = 64
        io-weight = 1
        description = "all of it"
    "#]);
    let all = &table.units[2];
    assert_eq!(all.kind, Kind::Service);
    assert_eq!(all.exec, ["prog", "arg", ""]);
    assert_eq!(all.needs, [Need { unit: UnitId(0), optional: false }, Need { unit: UnitId(1), optional: true }]);
    assert_eq!(all.binds, [UnitId(0)]);
    assert_eq!(all.wants, [UnitId(1)]);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(all.when, When { env: text("E"), program: text("p"), path: text("/p"), container: Some(false) });
    assert_eq!(all.ready, Ready::Notify);
    assert_eq!(all.restart, Restart::OnFailure);
    assert_eq!(all.backoff, Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(60) });
    assert_eq!(all.permanent_exit, [ExitRule::Code(78), ExitRule::Signal(Signal(11))]);
    assert_eq!(all.success_exit, [ExitRule::Code(3), ExitRule::Signal(Signal(15))]);
    assert_eq!(all.start_timeout, Some(Duration::from_secs(300)));
    assert_eq!(all.stop_timeout, Duration::ZERO);
    assert_eq!(all.stop_signal, Signal(37));
    assert_eq!(all.stop.as_deref(), Some(&["prog".to_owned(), "--stop".to_owned()][..]));
    assert_eq!(all.kill, Kill::Main);
    assert_eq!(all.log, Log::File { size: 65_536, keep: 10 });
    assert_eq!(all.env.get("B").map(String::as_str), Some(""));
    assert_eq!(all.finish.as_deref(), Some(&["prog".to_owned(), "--clean".to_owned()][..]));
    assert_eq!(all.watchdog, Some(Duration::from_secs(20)));
    assert_eq!(all.reload_signal, Some(Signal(1)));
    assert_eq!(all.give_up, Some(GiveUp { after: 3, within: Duration::from_secs(60), then: Then::Reboot }));
    assert_eq!(all.forward, [Signal(28), Signal(43)]);
    assert_eq!(all.passes(Signal(28)), Some(Signal(10)));
    assert_eq!((all.passes(Signal(43)), all.passes(Signal(23))), (None, None));
    let settings = all.attributes.cgroup.iter().map(|setting| (setting.knob.file(), setting.text.as_str()));
    assert_eq!(
        settings.collect::<Vec<_>>(),
        [
            ("memory.max", "67108864"),
            ("cpu.max", "150000 100000"),
            ("cpu.weight", "10000"),
            ("pids.max", "64"),
            ("io.weight", "default 1"),
        ]
    );
    assert_eq!(all.description, "all of it");
    assert!(all.enabled && !table.units[1].enabled && !all.main && !all.last);
}

#[test]
fn defaults_follow_the_type() {
    let table = good(&["[unit.s]\nexec = [\"s\"]\n[unit.o]\ntype = \"oneshot\"\nexec = [\"o\"]"]);
    assert_eq!((table.units[0].restart, table.units[0].start_timeout), (Restart::Always, None));
    assert_eq!(
        (table.units[1].restart, table.units[1].start_timeout),
        (Restart::OnFailure, Some(Duration::from_secs(30)))
    );
    let table = good(&["[unit.o]\ntype = \"oneshot\"\nexec = [\"o\"]\nstart-timeout = \"none\"\nrestart = \"never\""]);
    assert_eq!((table.units[0].restart, table.units[0].start_timeout), (Restart::Never, None));
}

#[test]
fn units_keep_the_order_of_the_file() {
    let table =
        good(&["[unit.z]\nexec = [\"z\"]\nwants = [\"m\"]\n[unit.a]\nexec = [\"a\"]\n[unit.m]\nexec = [\"m\"]"]);
    let names: Vec<&str> = table.units.iter().map(|unit| unit.name.as_str()).collect();
    assert_eq!(names, ["z", "a", "m"]);
    assert_eq!(table.order(), [UnitId(1), UnitId(2), UnitId(0)]);
}

#[test]
fn a_later_file_changes_the_keys_that_it_says() {
    let base = "[unit.a]\nexec = [\"a\"]\nneeds = [\"b\"]\nstop-timeout = \"3s\"\n[unit.b]\nexec = [\"b\"]\n[unit.gossip]\nexec = [\"g\"]";
    let table = good(&[base, "[unit.a]\nneeds = []\n[unit.c]\nexec = [\"c\"]", "[unit.b]\nenabled = false"]);
    assert_eq!(table.units.len(), 4);
    assert_eq!(table.units[0].exec, ["a"]);
    assert_eq!(table.units[0].needs, []);
    assert_eq!(table.units[0].stop_timeout, Duration::from_secs(3));
    assert!(!table.units[1].enabled);
    assert_eq!(
        mistakes(&[base, "[unit.gosip]\nenabled = false"]),
        [
            "1.toml:1:7: unable to read unit gosip: it has no exec; did you mean unit gossip? Else write exec = [\"prog\", \"arg\"]"
        ]
    );
}

#[test]
fn mistakes_come_in_the_order_of_files_and_lines() {
    assert_eq!(
        mistakes(&["[unit.a]\nexec = [\"a\"]\nkil = 1", "[unit.b]\n\nexec = [\"b\"]\n  wants = [\"ä\", 1]"]),
        [
            "0.toml:3:1: unable to read unit a: unknown key \"kil\"; did you mean \"kill\"?",
            "1.toml:4:12: unable to read wants of unit b: there is no unit \"ä\"; remove it",
            "1.toml:4:17: unable to read wants of unit b: a whole number is not one of its values; write a list of unit names, such as [\"wg0\"]",
        ]
    );
}

#[test]
fn nothing_is_an_empty_table() {
    assert_eq!(good(&[]), Table::default());
    assert_eq!(good(&["", "# nothing\n", "[unit]\n"]), Table::default());
}

#[test]
fn too_many_units() {
    let table = |count: usize| (0..count).map(|n| format!("[unit.u{n}]\nexec = [\"x\"]\n")).collect::<String>();
    assert_eq!(good(&[&table(MOST)]).units.len(), MOST);
    assert_eq!(
        mistakes(&[&table(MOST + 40)]),
        [format!("0.toml:{}:7: unable to read unit u256: there are more than 256 units; remove some", 2 * MOST + 1)]
    );
}

#[test]
fn files_that_are_no_tables() {
    assert_eq!(
        mistakes(&[&"#".repeat((1 << 20) + 1), "[unit.a]\nexec = [\"a\"]\nneeds = [\"b\"]"]),
        ["0.toml:1:1: unable to read this file: it is larger than 1 MiB; is it a unit table?"]
    );
    // Nested so deep that a reader which recurses would run out of stack.
    for deep in [format!("a{} = 1", ".a".repeat(100_000)), format!("a = {}", "[".repeat(100_000))] {
        assert_eq!(mistakes(&[&deep]).len(), 1);
    }
}

#[test]
fn the_page_about_units() {
    assert_golden("help-units.txt", &help());
    for key in KEYS {
        assert!(!key.what.is_empty() && !key.values.is_empty() && !key.default.is_empty(), "{}", key.name);
    }
}
