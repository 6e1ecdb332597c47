//! A fake kernel and its processes: pids that are reused at once, programs that are slow, deaf, silent, or not there.

use std::collections::BTreeMap;
use std::time::Duration;

use clusteros_init::unit::{
    Ending, Errno, Event, Kind, Notice, Pid, Ready, Restart, Role, Signal, SpawnError, Table, Target, Time, UnitId,
};

use crate::dice::Dice;
use crate::tables::PASSED;

/// What a process will do, unless somebody sends it a signal.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    Exec,
    FailExec(Errno),
    Ready,
    Feed,
    Trigger,
    Chat,
    Leave(u8),
    Crash(u8),
    /// The kernel kills it for want of memory.
    Starve,
    /// Leave a child to PID 1.
    Orphan,
    Die(Signal),
}

#[derive(Clone, Debug)]
pub struct Process {
    pub unit: Option<UnitId>,
    pub role: Role,
    /// In whose cgroup it is.
    pub cgroup: Option<UnitId>,
    pub zombie: Option<Ending>,
    /// Its end was told to the machine; it is reaped after what follows from that.
    pub told: bool,
    /// Sleeps in the kernel: nothing ends it.
    pub stuck: bool,
    /// How its exec went was told: well, or not.
    pub execed: bool,
    pub not_execed: bool,
    /// When it last said that it is ready or lives.
    pub fed: Option<Time>,
    /// It asked for its end.
    pub triggered: bool,
    /// Its unit went down when it did not end all that is in its cgroup, and has not run since.
    pub spared: bool,
    /// How long after SIGTERM it goes; `None`: never.
    obeys: Option<Duration>,
    deeds: Vec<(Time, Deed)>,
}

impl Process {
    /// SIGKILL is on its way.
    pub fn dying(&self) -> bool {
        self.deeds.iter().any(|(_, deed)| *deed == Deed::Die(Signal(9)))
    }
}

pub struct World {
    pub table: Table,
    pub processes: BTreeMap<i32, Process>,
    /// From here on everything goes well.
    pub calm: bool,
    /// The last failure of a unit was one of resources.
    pub resource_failure: Vec<bool>,
    dice: Dice,
    last_pid: i32,
}

const RESOURCE_ERRORS: [i32; 7] = [11, 12, 24, 23, 28, 26, 5];

impl World {
    pub fn new(table: Table, dice: Dice) -> World {
        let units = table.units.len();
        World {
            table,
            processes: BTreeMap::new(),
            calm: false,
            resource_failure: vec![false; units],
            dice,
            last_pid: 1,
        }
    }

    /// The main or stop process of a unit whose end was not told yet.
    pub fn process_of(&self, unit: UnitId, role: Role) -> Option<Pid> {
        let of = |process: &Process| process.unit == Some(unit) && process.role == role && !process.told;
        self.processes.iter().find(|(_, process)| of(process)).map(|(pid, _)| Pid(*pid))
    }

    pub fn spawn(&mut self, now: Time, id: UnitId, role: Role) -> Result<Pid, Errno> {
        let last = self.table.units[id.index()].last;
        if !self.calm && self.dice.chance(6) {
            self.resource_failure[id.index()] = role == Role::Main;
            let errno = self.dice.pick(&RESOURCE_ERRORS);
            return Err(Errno(errno));
        }
        if role == Role::Main {
            self.resource_failure[id.index()] = false;
        }
        // A small pid space, so that a pid that was reaped comes back soon as somebody else.
        loop {
            self.last_pid = if self.last_pid >= 25 { 2 } else { self.last_pid + 1 };
            if !self.processes.contains_key(&self.last_pid) {
                break;
            }
        }
        let mut process = Process {
            unit: Some(id),
            role,
            cgroup: Some(id),
            zombie: None,
            told: false,
            stuck: !self.calm && !last && self.dice.chance(2),
            obeys: if self.calm || !self.dice.chance(10) { Some(self.short()) } else { None },
            execed: false,
            not_execed: false,
            fed: None,
            triggered: false,
            spared: false,
            deeds: Vec::new(),
        };
        let mut at = now + Duration::from_micros(1 + self.dice.below(3000));
        if !self.calm && self.dice.chance(8) {
            let errno = if self.dice.chance(50) { 2 } else { self.dice.pick(&RESOURCE_ERRORS) };
            process.deeds.push((at, Deed::FailExec(Errno(errno))));
            process.deeds.push((at + Duration::from_micros(50), Deed::Leave(127)));
        } else {
            process.deeds.push((at, Deed::Exec));
            let unit = &self.table.units[id.index()];
            let ends = role != Role::Main || unit.kind == Kind::Oneshot;
            let speaks = role == Role::Main && matches!(unit.ready, Ready::Notify | Ready::Fd(_));
            let watched = role == Role::Main && unit.watchdog.is_some();
            let restart_always = unit.restart == Restart::Always;
            if speaks && !ends && (self.calm || self.dice.chance(85)) {
                at = at + self.short();
                process.deeds.push((at, Deed::Ready));
            }
            if watched && (self.calm || self.dice.chance(85)) {
                process.deeds.push((at, Deed::Feed));
            }
            if ends {
                at = at + self.short();
                let code = if self.calm { 0 } else { self.dice.pick(&[0, 0, 0, 1, 3, 78]) };
                process.deeds.push((at, Deed::Leave(code)));
            } else if !self.calm && self.dice.chance(60) {
                let most = if self.dice.chance(50) { 50 } else { 100_000 };
                at = at + Duration::from_millis(self.dice.below(most));
                let deed = match self.dice.below(9) {
                    0..3 => Deed::Leave(self.dice.pick(&[0, 1, 3, 78])),
                    3 => Deed::Crash(11),
                    4 => Deed::Orphan,
                    5 => Deed::Chat,
                    6 => Deed::Starve,
                    7 => Deed::Trigger,
                    _ => Deed::Crash(9),
                };
                process.deeds.push((at, deed));
            } else if !restart_always && self.dice.chance(20) {
                process.deeds.push((at + self.short(), Deed::Leave(0)));
            }
        }
        process.deeds.sort_by_key(|(at, _)| *at);
        self.processes.insert(self.last_pid, process);
        Ok(Pid(self.last_pid))
    }

    fn short(&mut self) -> Duration {
        let span = if self.dice.chance(80) { 200_000 } else { 8_000_000 };
        Duration::from_micros(self.dice.below(span))
    }

    /// A signal from PID 1. The caller has checked that the target is one of ours.
    pub fn signal(&mut self, now: Time, target: Target, signal: Signal) {
        let (Target::Process(Pid(pid)) | Target::Group(Pid(pid))) = target;
        self.deliver(now, pid, signal);
    }

    fn deliver(&mut self, now: Time, pid: i32, signal: Signal) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let passed = signal == Signal(18) || PASSED.contains(&signal);
        if process.zombie.is_some() || process.stuck || process.dying() || passed {
            return;
        }
        let last = process.unit.is_some_and(|unit| self.table.units[unit.index()].last);
        let after = match (signal.0, process.obeys) {
            (9, _) => Some(Duration::from_micros(10)),
            // Before its exec it has default dispositions.
            (_, _) if process.deeds.iter().any(|(_, deed)| *deed == Deed::Exec) => Some(Duration::from_micros(5)),
            (_, _) if last => None,
            (_, obeys) => obeys,
        };
        if let Some(after) = after {
            process.deeds.retain(|(at, deed)| *at <= now + after && !matches!(deed, Deed::Die(_)));
            process.deeds.push((now + after, Deed::Die(signal)));
            process.deeds.sort_by_key(|(at, _)| *at);
        }
    }

    /// Everybody in the unit's cgroup is killed, orphans too.
    pub fn kill_cgroup(&mut self, now: Time, unit: UnitId) {
        let inside = |process: &Process| process.cgroup == Some(unit);
        let pids: Vec<i32> = self.processes.iter().filter(|(_, p)| inside(p)).map(|(pid, _)| *pid).collect();
        for pid in pids {
            self.deliver(now, pid, Signal(9));
        }
    }

    /// A sweep: how many living children are left.
    pub fn sweep(&mut self, now: Time, signal: Signal) -> usize {
        let pids: Vec<i32> = self.others().collect();
        for pid in &pids {
            self.deliver(now, *pid, signal);
        }
        pids.len()
    }

    /// Living children that belong to no unit with `last`.
    pub fn others(&self) -> impl Iterator<Item = i32> + '_ {
        let last = |process: &Process| process.unit.is_some_and(|unit| self.table.units[unit.index()].last);
        self.processes.iter().filter(move |(_, p)| p.zombie.is_none() && !last(p)).map(|(pid, _)| *pid)
    }

    /// `logd` reads the end of its pipes.
    pub fn close_logs(&mut self, now: Time) {
        let after = if self.calm || !self.dice.chance(10) { Duration::from_millis(1) } else { Duration::from_secs(60) };
        for process in self.processes.values_mut() {
            if process.unit.is_some_and(|unit| self.table.units[unit.index()].last) {
                process.deeds = vec![(now + after, Deed::Leave(0))];
            }
        }
    }

    /// When the next process does something.
    pub fn next_deed(&self) -> Option<Time> {
        self.processes.values().filter_map(|process| process.deeds.first().map(|(at, _)| *at)).min()
    }

    /// Everything that is due, as PID 1 learns it: exec pipes and notify sockets before exits.
    pub fn happen(&mut self, now: Time) -> Vec<Event> {
        let mut events = Vec::new();
        let mut exits = Vec::new();
        let mut orphans = Vec::new();
        for (&pid, process) in &mut self.processes {
            while let Some((_, deed)) = process.deeds.first().copied().filter(|(at, _)| *at <= now) {
                process.deeds.remove(0);
                if process.zombie.is_some() {
                    continue;
                }
                let ending = match deed {
                    Deed::Exec => {
                        events.push(Event::Execed { pid: Pid(pid) });
                        None
                    }
                    Deed::FailExec(errno) => {
                        events.push(Event::ExecFailed { pid: Pid(pid), error: SpawnError::exec(errno) });
                        None
                    }
                    Deed::Ready => {
                        let unit = process.unit.expect("only units notify");
                        events.push(match self.table.units[unit.index()].ready {
                            Ready::Fd(_) => Event::Newline { pid: Pid(pid) },
                            _ => Event::Notify { unit, pid: Pid(pid), kin: false, notices: vec![Notice::Ready] },
                        });
                        None
                    }
                    Deed::Feed => {
                        let unit = process.unit.expect("only units notify");
                        events.push(Event::Notify { unit, pid: Pid(pid), kin: false, notices: vec![Notice::Watchdog] });
                        let span = self.table.units[unit.index()].watchdog.unwrap_or(Duration::from_secs(60));
                        if self.calm || self.dice.chance(90) {
                            process.deeds.push((now + span / 2, Deed::Feed));
                            process.deeds.sort_by_key(|(at, _)| *at);
                        }
                        None
                    }
                    Deed::Trigger => {
                        let unit = process.unit.expect("only units notify");
                        let notices = vec![Notice::Watchdog, Notice::WatchdogTrigger];
                        events.push(Event::Notify { unit, pid: Pid(pid), kin: false, notices });
                        process.triggered = true;
                        None
                    }
                    Deed::Chat => {
                        let unit = process.unit.expect("only units notify");
                        let notices = vec![
                            Notice::Status("busy".into()),
                            Notice::ExtendTimeout(Duration::from_secs(40)),
                            Notice::Stopping,
                        ];
                        events.push(Event::Notify { unit, pid: Pid(pid), kin: false, notices });
                        None
                    }
                    Deed::Orphan => {
                        orphans.push(process.cgroup);
                        Some(Ending::Code(0))
                    }
                    Deed::Leave(code) => Some(Ending::Code(code)),
                    Deed::Crash(signal) => Some(Ending::Signal { signal: Signal(signal.into()), core: signal == 11 }),
                    Deed::Starve => Some(Ending::OutOfMemory),
                    Deed::Die(signal) => Some(Ending::Signal { signal, core: false }),
                };
                if let Some(how) = ending {
                    process.zombie = Some(how);
                    exits.push(Event::Exited { pid: Pid(pid), how });
                }
            }
        }
        for cgroup in orphans {
            self.orphan(now, cgroup);
        }
        if !self.calm && self.dice.chance(3) {
            // Somebody else's datagram on a unit's socket.
            let unit = UnitId(self.dice.below(self.table.units.len() as u64) as u16);
            events.push(Event::Notify { unit, pid: Pid(9999), kin: false, notices: vec![Notice::Ready] });
        }
        events.extend(exits);
        events
    }

    fn orphan(&mut self, now: Time, cgroup: Option<UnitId>) {
        let Some(pid) = (26..60).find(|pid| !self.processes.contains_key(pid)) else { return };
        let obeys = if self.dice.chance(70) { Some(self.short()) } else { None };
        let stuck = self.dice.chance(5);
        let until = now + Duration::from_millis(self.dice.below(60_000));
        let deeds = if self.dice.chance(50) && !stuck { vec![(until, Deed::Leave(0))] } else { Vec::new() };
        let (unit, role, zombie, told) = (None, Role::Main, None, false);
        let (execed, not_execed, fed, triggered, spared) = (false, false, None, false, false);
        self.processes.insert(
            pid,
            Process {
                unit,
                role,
                cgroup,
                zombie,
                told,
                stuck,
                execed,
                not_execed,
                fed,
                triggered,
                spared,
                obeys,
                deeds,
            },
        );
    }

    /// From here on everything goes well; what is stuck comes loose.
    pub fn calm_down(&mut self, now: Time) {
        self.calm = true;
        for process in self.processes.values_mut() {
            if process.stuck {
                process.stuck = false;
                process.deeds = vec![(now + Duration::from_millis(1), Deed::Die(Signal(9)))];
            }
            process.obeys = Some(Duration::from_millis(10));
            process.deeds.retain(|(_, deed)| matches!(deed, Deed::Exec | Deed::Feed | Deed::Leave(_) | Deed::Die(_)));
            // Who was silent so far speaks at last.
            if process.unit.is_some() && process.role == Role::Main && process.zombie.is_none() {
                process.deeds.push((now + Duration::from_secs(4), Deed::Ready));
                process.deeds.push((now + Duration::from_secs(4), Deed::Feed));
                process.deeds.sort_by_key(|(at, _)| *at);
            }
        }
    }
}
