//! Scenes: what is told to the machine and what it answers, word for word, against `tests/golden/machine/*.txt`.
//!
//! `BLESS=1` writes the golden files anew; read the difference before keeping it.

mod scene;

use std::time::Duration;

use clusteros_init::unit::attributes::{EnvFile, Limit, Who};
use clusteros_init::unit::{
    Attributes, Ending, Event, ExitRule, GiveUp, Goal, Kill, Kind, Need, Notice, NotifyFrom, Probe, Ready, Request,
    Restart, Rewrite, Signal, Stage, Then, Unit, UnitId, Wish,
};
use scene::Scene;

fn unit(name: &str) -> Unit {
    Unit::new(name, vec![name.to_owned()])
}

fn need(unit: u16) -> Need {
    Need { unit: UnitId(unit), optional: false }
}

/// identity (oneshot) <- wg0 (notify, stop command) <- gossip <- k3s (binds wg0).
fn node() -> Vec<Unit> {
    let identity = Unit { kind: Kind::Oneshot, start_timeout: Some(Duration::from_secs(30)), ..unit("identity") };
    let wg0 = Unit {
        needs: vec![need(0)],
        ready: Ready::Notify,
        restart: Restart::OnFailure,
        stop: Some(vec!["node-agent".into(), "wg0".into(), "--down".into()]),
        ..unit("wg0")
    };
    let gossip = Unit { needs: vec![need(0)], wants: vec![UnitId(1)], ..unit("gossip") };
    let k3s = Unit {
        binds: vec![UnitId(1)],
        wants: vec![UnitId(2)],
        ready: Ready::Notify,
        permanent_exit: vec![ExitRule::Code(78)],
        ..unit("k3s")
    };
    vec![identity, wg0, gossip, k3s]
}

fn started() -> Scene {
    let mut scene = Scene::new(node());
    scene.exec("identity").exit("identity", 0);
    scene.at(20).exec("wg0").ready("wg0").exit("wg0", 0);
    scene.at(30).exec("gossip");
    scene.at(40).exec("k3s").ready("k3s");
    scene
}

/// From `at` on, in ms, a step each 100 ms: k3s ends, wg0 is stopped, starts again, and then k3s.
fn wg0_goes_and_comes(scene: &mut Scene, at: u64) {
    scene.at(at).exit("k3s", 0);
    scene.exec_stop("wg0").exit_stop("wg0", 0);
    scene.at(at + 100).exec("wg0").ready("wg0").exit("wg0", 0);
    scene.at(at + 200).exec("k3s").ready("k3s");
}

#[test]
fn a_node_starts_in_order_and_stops_in_reverse() {
    let mut scene = started();
    scene.at(5_000).tell(Event::Shutdown(Goal::Exit));
    scene.at(5_010).exit("k3s", 0);
    scene.at(5_020).killed("gossip", 15);
    scene.exec_stop("wg0").exit_stop("wg0", 0);
    scene.matches("start-and-stop");
}

#[test]
fn what_is_bound_stops_with_a_lost_bind_and_comes_back_after_it() {
    let mut scene = started();
    scene.at(60_000).tell(Event::Request(Request { unit: UnitId(1), wish: Wish::Restart }));
    wg0_goes_and_comes(&mut scene, 60_100);
    scene.matches("binds");
}

#[test]
fn the_last_transitions_are_remembered_with_why() {
    let mut scene = started();
    scene.at(60_000).tell(Event::Request(Request { unit: UnitId(1), wish: Wish::Restart }));
    wg0_goes_and_comes(&mut scene, 60_100);
    scene.at(60_400).killed("gossip", 11);
    scene.tell(Event::Request(Request { unit: UnitId(2), wish: Wish::Stop }));
    scene.tick().exit("k3s", 78);
    scene.tell(Event::Request(Request { unit: UnitId(3), wish: Wish::Start })).exec("k3s");
    scene.at(80_000).tell(Event::Shutdown(Goal::Exit));
    scene.history("identity").history("wg0").history("gossip").history("k3s");
    scene.matches("history");
}

#[test]
fn failures_back_off_and_say_what_comes_next() {
    let mut scene = Scene::new(vec![
        unit("crash"),
        unit("gone"),
        unit("full"),
        Unit { start_timeout: Some(Duration::from_secs(2)), ready: Ready::Notify, ..unit("slow") },
        Unit { restart: Restart::Never, ..unit("once") },
        Unit { permanent_exit: vec![ExitRule::Code(78)], ..unit("config") },
    ]);
    scene.exec("crash").exec_failed("gone", 2).exec("full").exec("slow").exec("once").exec("config");
    scene.no_process_next("full", 11);
    scene.at(10).exit("crash", 1).killed("once", 11).exit("config", 78).exit("full", 1);
    scene.tick().tick().exec("crash").exit("crash", 1);
    scene.tick().exec("full").tick().exec("crash").exit("crash", 1);
    scene.tick().exec("crash").tick().killed("slow", 15);
    scene.at(200_000).killed("crash", 6);
    scene.matches("failures");
}

#[test]
fn who_fails_too_often_is_given_up() {
    let rule = GiveUp { after: 3, within: Duration::from_secs(60), then: Then::Stay };
    let mut scene = Scene::new(vec![Unit { give_up: Some(rule), ..unit("crash") }, unit("other")]);
    scene.exec("crash").exec("other").at(10).exit("crash", 1);
    scene.no_process_next("crash", 11);
    scene.tick().tick().exec("crash").exit("crash", 1).tick().exec("crash").killed("crash", 11);
    scene.status();
    // Anew, and the old failures do not count.
    scene.at(9_000).tell(Event::Request(Request { unit: UnitId(0), wish: Wish::Start })).exec("crash").exit("crash", 2);
    // A minute later the first one is forgotten.
    scene.tick().exec("crash").at(60_000).exit("crash", 2).tick().exec("crash").at(70_000).exit("crash", 2).status();
    scene.matches("give-up");
}

#[test]
fn who_gives_up_may_end_the_node_and_says_with_what() {
    for (name, then, own, goal) in [
        ("shutdown", Then::Shutdown, Goal::Exit, Goal::Exit),
        ("reboot", Then::Reboot, Goal::Exit, Goal::Exit),
        ("power-off", Then::Shutdown, Goal::PowerOff, Goal::PowerOff),
        ("reboot-machine", Then::Reboot, Goal::PowerOff, Goal::Reboot),
    ] {
        let rule = GiveUp { after: 1, within: Duration::from_secs(60), then };
        let main = Unit { main: true, restart: Restart::Never, ..unit("main") };
        let crash = Unit { give_up: Some(rule), ..unit("crash") };
        let mut scene = Scene::ending(vec![crash, unit("other"), main], own);
        scene.exec("crash").exec("other").exec("main");
        scene.at(10).killed("crash", 6).exit("main", 0).killed("other", 15);
        scene.halted_with(goal, 134);
        if name == "shutdown" {
            scene.matches("give-up-shutdown");
        }
    }
    // To have ended well is no success when it was once too often.
    let rule = GiveUp { after: 1, within: Duration::from_secs(60), then: Then::Shutdown };
    let mut scene = Scene::new(vec![Unit { give_up: Some(rule), ..unit("a") }]);
    scene.exec("a").exit("a", 0).halted_with(Goal::Exit, 1);
}

#[test]
fn a_probe_asks_again_and_again() {
    let ready = Ready::Probe(Probe { argv: vec!["ask".to_owned()], every: Duration::from_secs(1) });
    let start_timeout = Some(Duration::from_secs(30));
    let mut scene = Scene::new(vec![Unit { ready, start_timeout, ..unit("a") }, unit("b")]);
    scene.exec("a").exec("b").at(100).exit_probe("a", 1).status().tick().no_probe("a", 2);
    scene.no_process_next("a", 11).tick().tick();
    // It hangs: killed, and no other one before it has gone.
    scene.tick().at(9_000).killed_probe("a").tick().at(11_000).exit_probe("a", 0);
    // Once up there is none; with a new start there is.
    scene.at(60_000).exit("a", 1).exec("a").status();
    // It dies with its unit, and what comes of it is nothing.
    scene.at(61_000).exit("a", 1).exit_probe("a", 0).at(62_000).exec("a");
    scene.tell(Event::Shutdown(Goal::Exit)).killed_probe("a").killed("a", 15).killed("b", 15);
    scene.matches("probe");
}

#[test]
fn a_newline_makes_ready_who_is_asked_for_one() {
    let fd = Unit { ready: Ready::Fd(3), ..unit("fd") };
    let mut scene = Scene::new(vec![fd, Unit { ready: Ready::Notify, ..unit("other") }]);
    scene.exec("fd").exec("other").ready("fd").newline("other").status().at(50).newline("fd").newline("fd");
    scene.matches("newline");
}

#[test]
fn a_finish_command_runs_after_each_end() {
    let finish = Some(vec!["clean".to_owned()]);
    let mut scene = Scene::new(vec![
        Unit { finish: finish.clone(), stop: Some(vec!["undo".into()]), ..unit("a") },
        Unit { binds: vec![UnitId(0)], finish, stop_timeout: Duration::from_secs(2), ..unit("b") },
    ]);
    scene.exec("a").at(10).exec("b").at(100).exit("b", 3).status().at(110).exit_finish("b", 0);
    scene.tick().exec("b");
    // The next start is measured from the last one, however long it finishes.
    scene.at(1_000).killed("b", 11).at(2_000).exit_finish("b", 9).exec("b");
    scene.no_process_next("b", 12).at(2_500).exit("b", 0).tick().exec_failed("b", 2);
    scene.at(40_000).tick().exec("b");
    // It hangs, and is killed.
    scene.at(50_000).exit("b", 1).tick().killed_finish("b").exec("b");
    // What is stopped finishes, too, and before what it binds to stops.
    scene.at(60_000).tell(Event::Shutdown(Goal::Exit)).killed("b", 15).exit_finish("b", 0);
    scene.killed("a", 9).exec_stop("a").exit_stop("a", 0).exit_finish("a", 0);
    scene.matches("finish");
}

/// k3s as the shipped table has it: pods <- k3s (binds them) <- node (needs k3s), each end with a command.
#[test]
fn a_stop_command_knows_what_the_stop_is_for() {
    let stop = |word: &str| Some(vec![word.to_owned()]);
    let oneshot = |name: &str| Unit { kind: Kind::Oneshot, stop_timeout: Duration::from_secs(30), ..unit(name) };
    let mut scene = Scene::new(vec![
        Unit { stop: stop("end"), ..oneshot("pods") },
        Unit { binds: vec![UnitId(0)], ready: Ready::Notify, stop: stop("say"), kill: Kill::Main, ..unit("k3s") },
        Unit { needs: vec![need(1)], stop: stop("drain"), stop_timeout: Duration::from_secs(60), ..oneshot("node") },
    ]);
    let ask = |unit: u16, wish| Event::Request(Request { unit: UnitId(unit), wish });
    scene.exec("pods").exit("pods", 0).exec("k3s").ready("k3s").exec("node").exit("node", 0);
    // A crash, and a restart: neither pods nor node are touched.
    scene.at(100_000).exit("k3s", 0).tick().exec("k3s").ready("k3s");
    scene.at(200_000).tell(ask(1, Wish::Restart)).exit_stop("k3s", 0).killed("k3s", 15).exec("k3s").ready("k3s");
    // Stopped with its pods.
    scene.at(300_000).tell(ask(0, Wish::Stop)).exit_stop("k3s", 0).killed("k3s", 15).exit_stop("pods", 0);
    scene.tell(ask(0, Wish::Start)).exec("pods").exit("pods", 0).exec("k3s").ready("k3s");
    // The node ends: the drain is not the last of it, and what is left of the budget gets less.
    scene.at(400_000).tell(Event::Shutdown(Goal::Exit)).at(420_000).exit_stop("node", 0);
    scene.at(421_000).exit_stop("k3s", 0).at(425_000).exit("k3s", 0).at(426_000).tell(Event::Shutdown(Goal::Exit));
    scene.exit_stop("pods", 0);
    scene.matches("stopping");
}

#[test]
fn who_is_done_stays_done_while_it_finishes() {
    let finish = Some(vec!["clean".to_owned()]);
    let done = Unit { restart: Restart::OnFailure, ready: Ready::Notify, finish, ..unit("done") };
    let mut scene = Scene::new(vec![done, Unit { binds: vec![UnitId(0)], ..unit("bound") }]);
    scene.exec("done").ready("done").exec("bound").at(10).exit("done", 0).at(20).exit_finish("done", 0);
    // A third request does not wait for it.
    scene.at(100).tell(Event::Request(Request { unit: UnitId(0), wish: Wish::Restart })).killed("bound", 15);
    scene.exec("done").exit("done", 1);
    for _ in 0..3 {
        scene.tell(Event::Shutdown(Goal::Exit));
    }
    scene.killed_finish("done");
    scene.matches("finish-done");
}

#[test]
fn who_is_silent_for_too_long_is_ended() {
    let watchdog = Some(Duration::from_secs(10));
    let stop = Some(vec!["undo".to_owned()]);
    let mut scene = Scene::new(vec![
        Unit { watchdog, ready: Ready::Notify, stop, ..unit("a") },
        Unit { watchdog, ..unit("b") },
        unit("c"),
    ]);
    scene.exec("a").exec("b").exec("c").at(5_000).ready("a").says("b", Notice::Watchdog);
    scene.at(14_000).says("a", Notice::Watchdog);
    // A wish of its own; then it obeys ABRT, and b does not.
    scene.at(14_500).says("a", Notice::WatchdogSpan(Duration::from_secs(3)));
    scene.at(15_000).tick().tick().killed("a", 6).tick().killed("b", 9);
    scene.tick().exec("a").tick().exec("b");
    // It says itself that it is beyond help, ready or not, with the key or without it.
    scene.at(40_000).says("a", Notice::WatchdogTrigger).killed("a", 6);
    scene.says("c", Notice::WatchdogTrigger).killed("c", 6);
    // None at all any more; and a shutdown waits for nobody's food.
    scene.says("b", Notice::WatchdogSpan(Duration::ZERO)).tick().exec("a").ready("a");
    scene.tell(Event::Shutdown(Goal::Exit)).tick().status();
    scene.matches("watchdog");
}

#[test]
fn a_signal_is_passed_on_as_its_unit_wants_it() {
    let forward = vec![Signal(28), Signal(23), Signal(43)];
    let rewrite = vec![Rewrite { from: Signal(28), to: Some(Signal(10)) }, Rewrite { from: Signal(23), to: None }];
    let mut scene = Scene::new(vec![Unit { forward, rewrite, ..unit("a") }, unit("b")]);
    scene.tell(Event::Forwarded(Signal(28)));
    scene.exec("a").exec("b");
    for signal in [28, 23, 43, 29] {
        scene.tell(Event::Forwarded(Signal(signal)));
    }
    scene.matches("forward");
}

#[test]
fn a_reload_is_a_signal_to_who_is_up_and_takes_one() {
    let mut scene = Scene::new(vec![Unit { reload_signal: Some(Signal(1)), ..unit("a") }, unit("b")]);
    let reload = |unit| Event::Request(Request { unit: UnitId(unit), wish: Wish::Reload });
    scene.tell(reload(0)).exec("a").exec("b").tell(reload(0)).tell(reload(1));
    scene.tell(Event::Shutdown(Goal::Exit)).tell(reload(0)).killed("a", 15).killed("b", 15);
    scene.matches("reload-signal");
}

#[test]
fn whatever_fails_on_the_way_to_a_program_is_named() {
    let who = |name: &str| Some(Who::Name(name.to_owned()));
    let mut web = unit("web");
    web.attributes = Attributes {
        user: who("www"),
        group: who("staff"),
        groups: Some(vec![Who::Number(44), Who::Name("video".to_owned())]),
        cwd: Some("/srv/www".to_owned()),
        nice: Some(-5),
        oom_score_adj: Some(-900),
        rlimits: vec![Limit { resource: 7, soft: 1, hard: 1 }],
        env_file: Some(EnvFile { path: "/etc/web".to_owned(), optional: false }),
        ..Attributes::default()
    };
    let mut scene = Scene::new(vec![web]);
    for (stage, errno, detail) in [
        (Stage::Passwd, 2, 0),
        (Stage::GroupFile, 2, 0),
        (Stage::EnvFile, 2, 0),
        (Stage::EnvFile, 0, 7),
        (Stage::NotifySocket, 1, 0),
        (Stage::OomScoreAdj, 13, 0),
        (Stage::Nice, 13, 0),
        (Stage::Rlimits, 1, 0),
        (Stage::Groups, 1, 0),
        (Stage::Groups, 0, 1),
        (Stage::Group, 1, 0),
        (Stage::Group, 0, 0),
        (Stage::User, 1, 0),
        (Stage::User, 0, 0),
        (Stage::User, 11, 0),
        (Stage::Capabilities, 1, 0),
        (Stage::Cwd, 13, 0),
        (Stage::NoNewPrivileges, 22, 0),
    ] {
        scene.stopped_at("web", stage, errno, detail).tick();
    }
    scene.matches("attributes");
}

#[test]
fn a_deaf_unit_is_killed_and_a_stuck_one_is_left_behind() {
    let mut scene = Scene::new(vec![unit("deaf"), unit("stuck")]);
    scene.exec("deaf").exec("stuck");
    scene.at(1_000).tell(Event::Shutdown(Goal::PowerOff));
    scene.at(11_000).tick().killed("deaf", 9);
    scene.orphans(1);
    scene.at(21_000).tick().tick().tick();
    scene.matches("deaf-and-stuck");
}

#[test]
fn asking_again_hurries_and_a_third_time_kills() {
    let mut scene = Scene::new(vec![unit("a"), unit("b")]);
    scene.exec("a").exec("b");
    scene.at(1_000).tell(Event::Shutdown(Goal::Exit));
    scene.at(1_100).tell(Event::Shutdown(Goal::Exit));
    scene.at(1_200).killed("a", 15);
    scene.at(1_300).tell(Event::Shutdown(Goal::Exit)).killed("b", 9);
    scene.matches("hurry");
}

#[test]
fn the_end_of_the_command_is_the_end_of_the_node() {
    let mut command = Unit { main: true, restart: Restart::Never, ..unit("main") };
    command.wants = vec![UnitId(0)];
    let mut scene = Scene::new(vec![unit("side"), command.clone()]);
    scene.exec("side").exec("main");
    scene.orphans(2);
    scene.at(3_000).killed("main", 9).killed("side", 15);
    scene.orphans(0).at(3_200).orphan_ends();
    scene.matches("command");

    let mut scene = Scene::new(vec![Unit { wants: Vec::new(), exec: vec!["/no/such".into()], ..command }]);
    scene.exec_failed("main", 2);
    scene.matches("command-not-found");
}

#[test]
fn a_foreign_notification_and_refused_requests_change_nothing() {
    let mut scene = Scene::new(vec![Unit { ready: Ready::Notify, ..unit("a") }]);
    scene.exec("a");
    for _ in 0..2 {
        scene.notify("a", 4711, vec![Notice::Ready]);
    }
    scene.ready("a");
    scene.tell(Event::Shutdown(Goal::Exit));
    scene.tell(Event::Request(Request { unit: UnitId(0), wish: Wish::Start }));
    scene.killed("a", 15);
    scene.matches("refused");
}

#[test]
fn others_of_its_processes_speak_for_a_unit_that_lets_them() {
    let open = Unit { ready: Ready::Notify, notify_from: NotifyFrom::Cgroup, ..unit("open") };
    let mut scene = Scene::new(vec![open, Unit { ready: Ready::Notify, ..unit("shut") }]);
    scene.exec("open").exec("shut");
    scene.notify("open", 4711, vec![Notice::Ready]);
    scene.notify_as_kin("shut", 4712, vec![Notice::Ready]);
    scene.notify_as_kin("open", 4713, vec![Notice::Ready]);
    scene.status();
    scene.matches("notify-from");
}

#[test]
fn a_want_is_waited_for_thirty_seconds_and_no_longer() {
    let slow = Unit { ready: Ready::Notify, ..unit("slow") };
    let mut scene = Scene::new(vec![slow, Unit { wants: vec![UnitId(0)], ..unit("eager") }]);
    scene.exec("slow");
    scene.status();
    scene.at(29_999).tick().status();
    scene.at(30_000).tick().exec("eager");
    scene.matches("wants");
}

#[test]
fn a_stop_command_that_fails_does_not_stop_the_stop() {
    let with_stop = Unit { stop: Some(vec!["undo".into()]), ..unit("a") };
    let mut scene = Scene::new(vec![with_stop.clone()]);
    scene.exec("a").at(100).tell(Event::Shutdown(Goal::Exit)).exec_stop("a").exit_stop("a", 3).killed("a", 15);
    scene.matches("stop-command-fails");

    let mut scene = Scene::new(vec![with_stop]);
    scene.exec("a");
    scene.no_process_next("a", 12);
    scene.at(100).tell(Event::Shutdown(Goal::Exit)).killed("a", 15);
    scene.matches("stop-command-not-made");
}

#[test]
fn logd_stops_last() {
    let logd = Unit { last: true, ..unit("logd") };
    let mut scene = Scene::new(vec![unit("a"), logd]);
    scene.exec("logd").exec("a");
    scene.at(10).killed("logd", 9).tick().exec("logd");
    scene.at(2_000).tell(Event::Shutdown(Goal::Exit)).killed("a", 15).at(2_010).exit("logd", 0);
    scene.matches("logd");
}

#[test]
fn an_ending_names_its_signal() {
    let core = Ending::Signal { signal: Signal(11), core: true };
    assert_eq!(clusteros_init::unit::words::ending(core), "was killed by SIGSEGV and left a core dump");
    assert_eq!(clusteros_init::unit::words::ending(Ending::Code(3)), "exited with status 3");
}

fn keyed(units: Vec<Unit>, change: impl FnOnce(&mut [Unit])) -> Vec<Unit> {
    let mut units = units;
    change(&mut units);
    units
}

#[test]
fn a_reload_restarts_what_changed_and_what_binds_to_it() {
    let mut scene = started();
    // The same table: nothing.
    scene.at(50_000).reload(node(), &[]);
    // Policy alone: in place. wg0 is done, and runs again with what is new.
    let policy = |units: &mut [Unit]| units[2].restart = Restart::Never;
    scene.at(60_000).reload(keyed(node(), policy), &[]);
    let exec = |units: &mut [Unit]| {
        policy(units);
        units[1].exec.push("--mtu=1380".into());
    };
    scene.at(70_000).reload(keyed(node(), exec), &[]);
    wg0_goes_and_comes(&mut scene, 70_100);
    scene.matches("reload-restarts");
}

#[test]
fn a_reload_stops_what_is_removed_in_reverse_and_forgets_it() {
    let mut scene = started();
    // Gossip and wg0 go, k3s stays without its bind, and web comes.
    let k3s = Unit { binds: vec![], wants: vec![], ..node().remove(3) };
    let units = || vec![unit("web"), node().remove(0), k3s.clone()];
    scene.at(60_000).reload(units(), &[]).status();
    scene.tell(Event::Request(Request { unit: UnitId(4), wish: Wish::Start }));
    // Again, while they stop: they are no news.
    scene.at(60_050).reload(units(), &[]);
    scene.exec("web");
    // Gossip wanted wg0, so it goes first.
    scene.at(60_100).killed("gossip", 15);
    scene.exec_stop("wg0").exit_stop("wg0", 0);
    scene.at(60_200).tell(Event::Shutdown(Goal::Exit)).reload(node(), &[]);
    scene.matches("reload-removes");
}

#[test]
fn a_reload_takes_up_failed_units_and_conditions() {
    let when = |path: &str| clusteros_init::unit::When { path: Some(path.to_owned()), ..Default::default() };
    let units = || {
        let config = Unit { permanent_exit: vec![ExitRule::Code(78)], ..unit("config") };
        vec![config, unit("crash"), unit("disk"), Unit { enabled: false, ..unit("off") }, unit("on")]
    };
    let mut scene = Scene::new(units());
    scene.at(10).exec("config").exec("crash").exec("disk").exec("on");
    scene.at(20).exit("config", 78).exit("crash", 1).status();
    let second = keyed(units(), |units| {
        units[0].env.insert("FIXED".into(), "1".into());
        units[1].exec = vec!["fine".into()];
        units[2].when = when("/data");
        units[3].enabled = true;
        units[4].enabled = false;
    });
    scene.at(30).reload(second.clone(), &[("disk", "there is no /data")]);
    scene.at(40).killed("disk", 15).killed("on", 15).status();
    // The disk is there: a unit that is skipped is asked for again at each reload.
    scene.at(50).reload(second, &[]);
    scene.matches("reload-conditions");
}
