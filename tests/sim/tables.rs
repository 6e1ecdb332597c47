//! Random tables: acyclic, with every key that the machine looks at.

use std::time::Duration;

use clusteros_init::unit::{
    Backoff, ExitRule, GiveUp, Kill, Kind, Need, NotifyFrom, Probe, Ready, Restart, Rewrite, Signal, Table, Then, Unit,
    UnitId, When,
};

use crate::dice::Dice;

/// What units are sent that is not to end them: `forward`, `rewrite`, `reload-signal`.
pub const PASSED: [Signal; 4] = [Signal(1), Signal(12), Signal(23), Signal(28)];

pub fn table(dice: &mut Dice) -> Table {
    let count = 1 + dice.below(8);
    let mut units: Vec<Unit> = (0..count).map(|at| unit(dice, at as u16)).collect();
    if dice.chance(40) {
        let mut logd = Unit::new("logd", vec!["logd".into()]);
        logd.last = true;
        logd.kill = Kill::Main;
        units.insert(dice.below(count + 1) as usize, logd);
        // Ids behind it moved: draw the edges anew.
        let names = units.len() as u16;
        for at in 0..names {
            if !units[usize::from(at)].last {
                let last = units.iter().position(|unit| unit.last).unwrap() as u16;
                edges(dice, &mut units[usize::from(at)], at, Some(last));
            }
        }
    }
    if dice.chance(30) {
        let mut main = Unit::new("main", vec!["cmd".into()]);
        main.main = true;
        main.restart = Restart::Never;
        main.wants = (0..units.len() as u16).filter(|at| !units[usize::from(*at)].last).map(UnitId).collect();
        units.push(main);
    }
    Table { units }
}

pub fn unit(dice: &mut Dice, at: u16) -> Unit {
    let mut unit = Unit::new(&format!("u{at}"), vec!["program".into()]);
    unit.kind = if dice.chance(25) { Kind::Oneshot } else { Kind::Service };
    let every = Duration::from_millis(10 + dice.below(4_000));
    unit.ready = match dice.below(8) {
        0..3 => Ready::Notify,
        3 => Ready::Fd(3),
        4 => Ready::Probe(Probe { argv: vec!["probe".into()], every }),
        _ => Ready::Exec,
    };
    unit.restart = dice.pick(&[Restart::Always, Restart::OnFailure, Restart::Never]);
    unit.backoff =
        Backoff { first: Duration::from_millis(1 + dice.below(500)), cap: Duration::from_secs(1 + dice.below(30)) };
    if dice.chance(40) {
        unit.start_timeout = Some(Duration::from_millis(100 + dice.below(20_000)));
    }
    unit.stop_timeout = Duration::from_millis(dice.below(15_000));
    if dice.chance(25) {
        unit.stop = Some(vec!["stop".into()]);
    }
    unit.kill = dice.pick(&[Kill::Cgroup, Kill::Cgroup, Kill::Group, Kill::Main]);
    if dice.chance(20) {
        unit.permanent_exit = vec![ExitRule::Code(78), ExitRule::Signal(Signal(11))];
    }
    if dice.chance(20) {
        unit.success_exit = vec![ExitRule::Code(3)];
    }
    if dice.chance(20) {
        let then = if dice.chance(70) { Then::Stay } else { dice.pick(&[Then::Shutdown, Then::Reboot]) };
        let within = Duration::from_millis(1 + dice.below(60_000));
        unit.give_up = Some(GiveUp { after: 1 + dice.below(6) as u32, within, then });
    }
    if dice.chance(20) {
        unit.finish = Some(vec!["finish".into()]);
    }
    if dice.chance(15) && unit.kind == Kind::Service {
        unit.watchdog = Some(Duration::from_millis(10_000 + dice.below(30_000)));
    }
    unit.notify_from = dice.pick(&[NotifyFrom::Main, NotifyFrom::Main, NotifyFrom::Cgroup]);
    if dice.chance(30) {
        unit.reload_signal = Some(Signal(1));
    }
    unit.forward = vec![Signal(28), Signal(23)];
    if dice.chance(30) {
        unit.rewrite = vec![Rewrite { from: Signal(28), to: dice.pick(&[None, Some(Signal(12))]) }];
    }
    unit.enabled = dice.chance(92);
    unit.when = When::default();
    edges(dice, &mut unit, at, None);
    unit
}

/// Only to earlier units, so never a cycle.
pub fn edges(dice: &mut Dice, unit: &mut Unit, at: u16, not: Option<u16>) {
    unit.needs.clear();
    unit.binds.clear();
    unit.wants.clear();
    for earlier in (0..at).filter(|earlier| Some(*earlier) != not) {
        match dice.below(10) {
            0 | 1 => unit.needs.push(Need { unit: UnitId(earlier), optional: dice.chance(30) }),
            2 => unit.binds.push(UnitId(earlier)),
            3 => unit.wants.push(UnitId(earlier)),
            _ => {}
        }
    }
}
