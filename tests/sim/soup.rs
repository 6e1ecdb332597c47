//! Events that no kernel would send: the machine must not panic, loop, or act after its end, whatever it is told.

use std::time::Duration;

use clusteros_init::unit::history::KEPT;
use clusteros_init::unit::{
    Action, Ending, Errno, Event, Goal, Machine, Notice, Options, Pid, Request, Role, Scribe, Signal, Snapshot,
    SpawnError, Stage, Time, UnitId, Wish,
};

use crate::dice::Dice;
use crate::tables;

/// One machine and a few hundred random events. `Err` says what went wrong.
pub fn stir(mut dice: Dice) -> Result<(), String> {
    let seed = dice.next();
    let table = tables::table(&mut dice);
    let options = Options { seed, budget: Duration::from_millis(dice.below(20_000)), goal: Goal::Exit };
    let mut now = Time::ZERO;
    let mut machine = Machine::new(table, Vec::new(), options, now);
    let mut halts = 0;
    for _ in 0..dice.below(300) {
        if dice.chance(60) {
            now = now + Duration::from_micros(dice.below(40_000_000));
        }
        machine.handle(now, event(&mut dice));
        let mut actions = 0;
        while let Some(action) = machine.next(now) {
            actions += 1;
            if actions > 2_000 {
                return Err(format!("one event led to 2,000 actions; the last: {action:?}"));
            }
            // Most spawns and sweeps are answered, as they must be; some are not.
            match action {
                Action::Spawn { unit, role } if dice.chance(90) => {
                    let outcome = if dice.chance(80) { Ok(pid(&mut dice)) } else { Err(Errno(11)) };
                    machine.handle(now, Event::Spawned { unit, role, outcome });
                }
                Action::Sweep { .. } if dice.chance(90) => {
                    machine.handle(now, Event::Swept { left: dice.below(3) as usize });
                }
                Action::Halt(_) => halts += 1,
                Action::Spawn { .. }
                | Action::Signal { .. }
                | Action::KillCgroup { .. }
                | Action::Sweep { .. }
                | Action::Forget { .. }
                | Action::CloseLogs
                | Action::Say(..) => {}
            }
        }
        renew(&mut machine, &mut dice)?;
        if halts > 1 {
            return Err("it halted twice".into());
        }
        if machine.deadline().is_some_and(|deadline| deadline <= now) {
            return Err(format!("a deadline that passed is still asked for: {:?}", machine.views(now)));
        }
    }
    for view in machine.views(now) {
        let count = view.history.transitions().len();
        if count > KEPT || view.history.transitions().last().is_some_and(|one| one.state != view.state) {
            return Err(format!("a history of {count} transitions that ends elsewhere: {view:?}"));
        }
    }
    Ok(())
}

/// A soup has states that a snapshot refuses (a pid that is none, two units with one process); what it takes is the same.
fn renew(machine: &mut Machine, dice: &mut Dice) -> Result<(), String> {
    if dice.below(200) != 0 {
        return Ok(());
    }
    let (mut text, mut again) = (String::new(), String::new());
    Scribe::default().write(machine, &mut text);
    if let Ok(copy) = Snapshot::parse(&text)?.machine(machine.table().clone()) {
        Scribe::default().write(&copy, &mut again);
        if text != again {
            return Err(format!("the copy is another one:\n{text}\n{again}"));
        }
    }
    Ok(())
}

const ROLES: [Role; 4] = [Role::Main, Role::Stop, Role::Finish, Role::Probe];

fn pid(dice: &mut Dice) -> Pid {
    Pid(dice.below(12) as i32 - 1)
}

fn unit(dice: &mut Dice) -> UnitId {
    UnitId(if dice.chance(95) { dice.below(10) as u16 } else { dice.next() as u16 })
}

fn event(dice: &mut Dice) -> Event {
    match dice.below(14) {
        0 => Event::Spawned { unit: unit(dice), role: dice.pick(&ROLES), outcome: Ok(pid(dice)) },
        1 => Event::Spawned { unit: unit(dice), role: dice.pick(&ROLES), outcome: Err(Errno(12)) },
        2 if dice.chance(50) => Event::Newline { pid: pid(dice) },
        2 => Event::Forwarded(Signal(dice.next() as i32)),
        3 => Event::Execed { pid: pid(dice) },
        4 => Event::ExecFailed { pid: pid(dice), error: stopped(dice) },
        5..8 => {
            let signal = Signal(dice.next() as i32);
            let how = dice.pick(&[
                Ending::Code(0),
                Ending::Code(78),
                Ending::Lost,
                Ending::Signal { signal, core: true },
                Ending::OutOfMemory,
            ]);
            Event::Exited { pid: pid(dice), how }
        }
        8 | 9 => {
            let notices = vec![
                Notice::Status("\u{1b}[2J".into()),
                Notice::ExtendTimeout(Duration::from_nanos(dice.next())),
                Notice::Stopping,
                if dice.chance(50) { Notice::Watchdog } else { Notice::WatchdogTrigger },
                Notice::WatchdogSpan(Duration::from_nanos(dice.next() >> dice.below(64))),
                Notice::Ready,
            ];
            Event::Notify { unit: unit(dice), pid: pid(dice), kin: dice.chance(20), notices }
        }
        10 => Event::Request(Request {
            unit: unit(dice),
            wish: dice.pick(&[Wish::Start, Wish::Stop, Wish::Restart, Wish::Reload]),
        }),
        11 if dice.chance(10) => Event::Shutdown(dice.pick(&[Goal::Exit, Goal::Halt, Goal::Reboot, Goal::PowerOff])),
        12 => Event::Swept { left: dice.below(3) as usize },
        _ => Event::Tick,
    }
}

/// A failure on the way to a program, sensible or not.
fn stopped(dice: &mut Dice) -> SpawnError {
    let errno = if dice.chance(50) { 0 } else { dice.next() as i32 };
    SpawnError { stage: Stage::from_number(dice.below(18) as i32), errno: Errno(errno), detail: dice.next() as u32 }
}
