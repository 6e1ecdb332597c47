//! What each command of `systemctl` answers.

use std::fs;
use std::time::Duration;

use log::{error, warn};

use super::super::call::{Demand, Whom};
use super::super::code::ABSENT;
use super::super::document::{Document, Unable};
use super::super::look::Look;
use super::super::{logs, print, reload, renew, request};
use super::origin::Source;
use super::systemctl::{Asked, plainly};
use crate::control::Status;
use crate::control::columns::plain;
use crate::control::outcome::because;
use crate::control::status::UnitStatus;
use crate::control::systemd::page::Style;
use crate::control::systemd::property::{Facts, NODE, UNIT, of_node};
use crate::control::systemd::{self, NO, NOT_THERE, NOTHING, OK, UNKNOWN, bare, foreign, id, like, tree, words};
use crate::unit::{Goal, Wish, suggest};

/// How long a start may take that is waited for, as systemd's own default is.
const LIMIT: Duration = Duration::from_secs(90);

/// The exit code.
pub(in crate::ctl) type Answer = Result<u8, Stop>;

/// Why nothing more is answered.
pub(in crate::ctl) enum Stop {
    /// What was unable to be done.
    Unable(Unable),
    /// It is said already, or nothing to say.
    Code(u8),
}

impl From<Unable> for Stop {
    fn from(unable: Unable) -> Stop {
        Stop::Unable(unable)
    }
}

/// A unit that was asked for: as it was typed, and what there is by that name.
type Named<'a> = (String, Option<&'a UnitStatus>);

/// `status`.
pub(super) fn status(asked: &Asked) -> Answer {
    let status = read(asked, false)?;
    let style = style(asked);
    if asked.units.is_empty() {
        let list = status.list(&units_like(&status, asked), Style { all: true, legend: false, ..style });
        return Ok(said(&format!("{}\n{list}", status.node_page(&host(&asked.of), style))));
    }
    let source = Source::read(&asked.of, &status).ok();
    let (mut code, mut first) = (OK, true);
    for (typed, unit) in named(&status, asked) {
        let Some(unit) = unit else {
            error!("{}", not_found(&typed, &status, UNKNOWN));
            code = if code == OK { UNKNOWN } else { code };
            continue;
        };
        let origin = source.as_ref().map(|source| source.of(&unit.name));
        let log = logs::tail(&asked.of, &unit.name, asked.lines);
        let page = status.unit_page(unit, origin.as_ref(), &log, style);
        print(&if first { page } else { format!("\n{page}") }).map_err(Stop::Code)?;
        first = false;
        code = if code == OK { systemd::status(unit) } else { code };
    }
    Ok(code)
}

/// `show`.
pub(super) fn show(asked: &Asked) -> Answer {
    let status = read(asked, false)?;
    let known: Vec<&str> = if asked.units.is_empty() {
        NODE.iter().map(|(name, _)| *name).collect()
    } else {
        UNIT.iter().map(|(name, _)| *name).collect()
    };
    for name in asked.choice.unknown(&known) {
        warn!("unable to show {name}: there is no such property here; it is left out");
    }
    if asked.units.is_empty() {
        return Ok(said(&asked.choice.shown(of_node(&status))));
    }
    let source = Source::read(&asked.of, &status).ok();
    let pages: Vec<String> = named(&status, asked)
        .iter()
        .map(|(typed, unit)| {
            let origin = unit.and_then(|unit| Some(source.as_ref()?.of(&unit.name)));
            let facts = Facts { typed, status: &status, unit: *unit, origin: origin.as_ref() };
            asked.choice.shown(facts.properties())
        })
        .collect();
    Ok(said(&pages.join("\n")))
}

/// `cat`.
pub(super) fn cat(asked: &Asked) -> Answer {
    let status = read(asked, true)?;
    let source = Source::read(&asked.of, &status).map_err(|unable| Unable::new(NO, unable.to_string()))?;
    let (mut code, mut pages) = (OK, Vec::new());
    for (typed, unit) in named(&status, asked) {
        let Some(unit) = unit else {
            error!("{}", not_found(&typed, &status, NO));
            code = NO;
            continue;
        };
        let parts = source.parts(&unit.name);
        if parts.is_empty() {
            error!("unable to show the table of {}: no file has it; PID 1 adds that unit itself", unit.name);
            code = NO;
        }
        for part in parts {
            if part.changed {
                let next = "this is what it read; systemctl daemon-reload takes the new one";
                warn!("{} was changed since PID 1 read it; {next}", part.file);
            }
            pages.push(format!("# {}\n{}", part.file, part.text));
        }
    }
    print(&pages.join("\n")).map_err(Stop::Code)?;
    Ok(code)
}

/// `is-active`.
pub(super) fn is_active(asked: &Asked) -> Answer {
    tell_states(asked, systemd::is_active)
}

/// `is-failed`.
pub(super) fn is_failed(asked: &Asked) -> Answer {
    if !asked.units.is_empty() {
        return tell_states(asked, systemd::is_failed);
    }
    let word = systemd::system(&read(asked, true)?);
    tell(asked, &format!("{word}\n"))?;
    Ok(if word == "degraded" { OK } else { NO })
}

fn tell_states(asked: &Asked, code: fn(&[Option<&UnitStatus>]) -> u8) -> Answer {
    let status = read(asked, true)?;
    let units: Vec<Option<&UnitStatus>> = named(&status, asked).into_iter().map(|(_, unit)| unit).collect();
    let lines = units.iter().map(|unit| format!("{}\n", unit.map_or(NOTHING, words).active));
    tell(asked, &lines.collect::<String>())?;
    Ok(code(&units))
}

/// `is-enabled`.
pub(super) fn is_enabled(asked: &Asked) -> Answer {
    let status = read(asked, true)?;
    let source = Source::read(&asked.of, &status).map_err(|unable| Unable::new(NO, unable.to_string()))?;
    let units = named(&status, asked);
    let words: Vec<&str> =
        units.iter().map(|(_, unit)| unit.map_or("not-found", |unit| source.of(&unit.name).state)).collect();
    tell(asked, &words.iter().map(|word| format!("{word}\n")).collect::<String>())?;
    Ok(match () {
        () if words.iter().any(|word| !["disabled", "not-found"].contains(word)) => OK,
        () if words.iter().all(|word| *word == "not-found") => UNKNOWN,
        () => NO,
    })
}

/// `is-system-running`.
pub(super) fn is_system_running(asked: &Asked) -> Answer {
    let word = match read(asked, true) {
        Ok(status) => systemd::system(&status),
        Err(_) => "offline",
    };
    tell(asked, &format!("{word}\n"))?;
    Ok(if word == "running" { OK } else { NO })
}

/// `list-units`.
pub(super) fn list_units(asked: &Asked) -> Answer {
    let status = read(asked, false)?;
    let style = style(asked);
    let style = Style { all: style.all || !asked.states.is_empty(), ..style };
    Ok(said(&status.list(&units_like(&status, asked), style)))
}

/// `list-dependencies`.
pub(super) fn list_dependencies(asked: &Asked) -> Answer {
    let status = read(asked, false)?;
    let style = tree::Style { reverse: asked.reverse, bare: asked.bare, colours: Look::found().colours };
    let mut pages = Vec::new();
    for (typed, unit) in named(&status, asked) {
        let unit = unit.ok_or_else(|| not_found(&typed, &status, NO))?;
        pages.push(status.tree(unit, style));
    }
    Ok(said(&pages.join("\n")))
}

/// `start`, `stop`, `restart`, `reload`, and what is made of these.
pub(super) fn request(verb: &str, asked: &Asked) -> Answer {
    somebody(asked)?;
    let status = read(asked, true)?;
    let source = if verb.contains("reload-") { Source::read(&asked.of, &status).ok() } else { None };
    let mut wishes: Vec<(Wish, Vec<String>)> = Vec::new();
    for (typed, unit) in named(&status, asked) {
        let unit = unit.ok_or_else(|| not_found(&typed, &status, NOT_THERE))?;
        let Some(wish) = wish(verb, unit, source.as_ref().is_some_and(|source| source.reloads(&unit.name))) else {
            if unit.state == "skipped" && verb != "stop" {
                warn!("unable to {verb} {}: {}; it is left alone", unit.name, plain(&because(unit)));
            }
            continue;
        };
        match wishes.iter_mut().find(|(known, _)| *known == wish) {
            Some((_, units)) if units.contains(&unit.name) => {}
            Some((_, units)) => units.push(unit.name.clone()),
            None => wishes.push((wish, vec![unit.name.clone()])),
        }
    }
    let ask = |(wish, units)| {
        let wait = Some(LIMIT).filter(|_| asked.wait && wish != Wish::Reload);
        plainly(request::ask(&Demand { wish, units, wait, quiet: true, of: asked.of.clone() }))
    };
    Ok(wishes.into_iter().map(ask).max().unwrap_or(OK))
}

/// What `verb` asks for `unit`, which takes a reload or not; none: nothing is asked, and that is no failure.
fn wish(verb: &str, unit: &UnitStatus, reloads: bool) -> Option<Wish> {
    let idle = ["inactive", "failed"].contains(&words(unit).active);
    match verb {
        "reload" => Some(Wish::Reload),
        // As for systemd a condition that does not hold is.
        _ if unit.state == "skipped" => None,
        "start" => Some(Wish::Start),
        "stop" => Some(Wish::Stop),
        "try-restart" | "try-reload-or-restart" if idle => None,
        "reload-or-restart" | "try-reload-or-restart" if reloads && unit.state == "up" => Some(Wish::Reload),
        _ => Some(Wish::Restart),
    }
}

/// `daemon-reload`.
pub(super) fn reload_table(asked: &Asked) -> Answer {
    somebody(asked)?;
    Ok(plainly(reload::run(&reload::Wanted { plan: false, of: asked.of.clone() })))
}

/// `daemon-reexec`.
pub(super) fn renew(asked: &Asked) -> Answer {
    somebody(asked)?;
    Ok(plainly(renew::run(&renew::Wanted { wait: None, of: asked.of.clone() })))
}

/// `poweroff`, `reboot` and `halt`.
pub(super) fn shut_down(verb: &str, asked: &Asked) -> Answer {
    somebody(asked)?;
    let goal = match verb {
        "reboot" => Goal::Reboot,
        "halt" => Goal::Halt,
        _ => Goal::PowerOff,
    };
    Ok(plainly(request::shut_down(goal, &asked.of)))
}

/// The document as it is now. Who may not ask PID 1 for it gets it as it is, at most 100 ms old where something changed; that
/// is said where the figures in it matter.
fn read(asked: &Asked, quietly: bool) -> Result<Status, Unable> {
    let as_systemctl = |unable: Unable| Unable::new(NO, unable.to_string());
    let document = Document::open(&asked.of).map_err(as_systemctl)?;
    match document.renew() {
        Err(unable) if unable.code == ABSENT => return Err(as_systemctl(unable.and("nothing can be told"))),
        Err(unable) if !quietly => warn!("{unable}; what units use is not shown"),
        Err(_) | Ok(()) => {}
    }
    document.read().map(|reading| reading.status).map_err(as_systemctl)
}

/// That there is somebody to ask.
fn somebody(asked: &Asked) -> Result<(), Unable> {
    match (&asked.of.root, asked.of.pid) {
        (Some(_), None) => {
            let text = "unable to read the command line: --root alone says where, not who; add --pid".to_owned();
            Err(Unable::new(NO, text))
        }
        _ => Ok(()),
    }
}

/// The units that were asked for; a pattern is all that are like it.
fn named<'a>(status: &'a Status, asked: &Asked) -> Vec<Named<'a>> {
    let mut all: Vec<Named<'a>> = Vec::new();
    for typed in &asked.units {
        if typed.contains(['*', '?']) {
            let found = status.units.iter().filter(|unit| like(typed, &id(&unit.name)) || like(typed, &unit.name));
            all.extend(found.map(|unit| (unit.name.clone(), Some(unit))));
        } else {
            all.push((typed.clone(), status.called(typed)));
        }
    }
    all
}

/// The units that a list has, in the order of their names.
fn units_like<'a>(status: &'a Status, asked: &Asked) -> Vec<&'a UnitStatus> {
    let kind = asked.kinds.is_empty() || asked.kinds.iter().any(|kind| kind == "service");
    let among = |unit: &UnitStatus| {
        let words = words(unit);
        let state = |state: &String| [words.active, words.sub, "loaded"].contains(&state.as_str());
        asked.states.is_empty() || asked.states.iter().any(state)
    };
    let called = |unit: &UnitStatus| {
        let matches = |pattern: &String| like(pattern, &id(&unit.name)) || like(pattern, &unit.name);
        asked.units.is_empty() || asked.units.iter().any(matches)
    };
    let mut units: Vec<&UnitStatus> = status.units.iter().filter(|unit| kind && among(unit) && called(unit)).collect();
    units.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    units
}

/// That there is no unit `typed`, and what may have been meant.
fn not_found(typed: &str, status: &Status, code: u8) -> Unable {
    let next = match suggest::nearest(bare(typed), status.units.iter().map(|unit| unit.name.as_str())) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "\"systemctl list-units --all\" lists what there is".to_owned(),
    };
    let cause = match foreign(typed) {
        Some(kind) => format!("there is no unit of type {kind} here, only services"),
        None => "the table has none".to_owned(),
    };
    Unable::new(code, format!("unable to find a unit called {typed:?}: {cause}; {next}"))
}

fn style(asked: &Asked) -> Style {
    let look = Look::found();
    let limit = if look.terminal && !asked.full { look.width } else { usize::MAX };
    Style { limit, colours: look.colours, all: asked.all, legend: asked.legend, bare: asked.bare }
}

/// What the node is called.
fn host(of: &Whom) -> String {
    let name = if *of == Whom::default() {
        nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok())
    } else {
        fs::read_to_string(of.root().join("etc/hostname")).ok().map(|name| name.trim().to_owned())
    };
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "node".to_owned())
}

/// Shows `text` unless only the exit code is wanted.
fn tell(asked: &Asked, text: &str) -> Result<(), Stop> {
    if asked.quiet { Ok(()) } else { print(text).map_err(Stop::Code) }
}

fn said(text: &str) -> u8 {
    print(text).err().unwrap_or(OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_verb_asks_of_a_unit() {
        let (start, stop, restart, reload) =
            (Some(Wish::Start), Some(Wish::Stop), Some(Wish::Restart), Some(Wish::Reload));
        // Asked of a unit that is up and takes a reload, is up and takes none, is off, is skipped.
        for (verb, wishes) in [
            ("start", [start, start, start, None]),
            ("stop", [stop, stop, stop, None]),
            ("restart", [restart, restart, restart, None]),
            ("reload", [reload, reload, reload, reload]),
            ("try-restart", [restart, restart, None, None]),
            ("reload-or-restart", [reload, restart, restart, None]),
            ("try-reload-or-restart", [reload, restart, None, None]),
        ] {
            let of = |state: &str, reloads| {
                wish(verb, &UnitStatus { state: state.into(), ..UnitStatus::default() }, reloads)
            };
            assert_eq!([of("up", true), of("up", false), of("off", true), of("skipped", true)], wishes, "{verb}");
        }
    }
}
