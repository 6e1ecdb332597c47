//! PID 1: performs what the machine of [`crate::unit`] decides.
//!
//! This process waits in exactly one place, [`turn`]. It never waits for another process, a pipe, a console or a disk: a
//! call that can block belongs in a unit. It has one thread, and it decides nothing that a pure room could decide.

use std::ffi::{CStr, CString, OsString};
use std::fs;
use std::os::fd::{IntoRawFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use log::LevelFilter;

use crate::control::{Wrap, usage};
use crate::sys::signal::Entry;
use crate::sys::{self, descriptor, power, process, signal};
use crate::unit::Table;

pub mod boot;
pub mod cgroup;
pub mod conditions;
pub mod deaths;
pub mod division;
pub mod drill;
mod estate;
pub mod files;
pub mod halt;
pub mod ignored;
pub mod logs;
pub mod notify;
pub mod options;
pub mod place;
pub mod reader;
pub mod readiness;
pub mod reload;
mod renewal;
pub mod request;
pub mod rescue;
mod resume;
pub mod say;
pub mod signals;
pub mod spawn;
pub mod status;
pub mod sweep;
pub mod turn;

use options::{Act, Options};
use place::Place;
use renewal::{Call, RESUME, Renewal};
use turn::Node;

/// Exit statuses beside the command's own.
mod exit {
    /// All is well.
    pub const OK: u8 = 0;
    /// The command line is wrong.
    pub const USAGE: u8 = 64;
    /// PID 1 itself broke.
    pub const INTERNAL: u8 = 70;
    /// The table is wrong, or there is nothing to do.
    pub const CONFIGURATION: u8 = 78;
}

/// The whole life of the process, from its first instruction on: its exit status.
pub fn run() -> u8 {
    // Nothing may come before this: the kernel throws away what is sent to a PID 1 that neither blocks nor handles it.
    let entry = signal::enter();
    descriptor::fill_stdio();
    // What another program left open for us is named in its snapshot.
    let renewed = std::env::args_os().nth(1).is_some_and(|word| word.as_bytes().starts_with(RESUME.as_bytes()));
    let inherited = if renewed { Vec::new() } else { descriptor::adopt_inherited() };
    say::start(LevelFilter::Info);
    let parent = process::parent();
    let place = place::find();
    let mut arguments = std::env::args_os();
    let own = arguments.next();
    let version = options::version(own.as_deref().unwrap_or_default());
    let own = own.and_then(|path| CString::new(path.into_vec()).ok());
    if let Err(errno) = sys::renewal::keep_program(own.as_deref()) {
        log::warn!("unable to keep our own program open: {}; a broken init reaps in place", errno.desc());
    }
    let options = match options::read(arguments) {
        Ok(options) => options,
        // A kernel passes on what it does not understand of its own command line.
        Err(text) if place == Place::Appliance => {
            log::warn!("{text}; the command line is ignored");
            Options::default()
        }
        Err(text) => {
            log::error!("{text}; see clusteros-init --help");
            return exit::USAGE;
        }
    };
    if let Some(number) = options.could_resume {
        return resume::check(number, options);
    }
    let call = Call::new(std::env::args_os());
    let machine = place == Place::Appliance;
    let place = options.place.unwrap_or(place);
    if place == Place::Appliance {
        // Where it is refused, Ctrl-Alt-Del restarts at once, as the kernel does it without us.
        let _ = power::take_ctrl_alt_del();
    }
    let given = Given { entry, inherited, parent };
    let status = match options.act {
        // A machine has an init, whatever its kernel's command line asks for.
        Act::Help | Act::Version | Act::License | Act::Check | Act::ReadTable if machine => {
            be(options, place, call, given)
        }
        Act::Help => print(&usage::help()),
        Act::Version => print(version),
        Act::License => print(concat!("clusteros-init is under ", env!("CARGO_PKG_LICENSE"), "\n")),
        Act::Check => check(&options),
        Act::Rescue => {
            process::name_ourselves(NAME);
            rescue::reap(place)
        }
        Act::ReadTable => read_table(&options, place, given.entry),
        Act::Run => be(options, place, call, given),
    };
    // The end of PID 1 is a kernel panic.
    if machine { rescue::reap(place) } else { status }
}

/// What we are called in lists of processes, whatever the file of our program is: who asks us looks for it.
const NAME: &CStr = c"clusteros-init";

/// What this process was given at its start.
struct Given {
    entry: Entry,
    inherited: Vec<RawFd>,
    parent: i32,
}

fn be(mut options: Options, place: Place, call: Call, given: Given) -> u8 {
    process::name_ourselves(NAME);
    rescue::arm(place);
    let resume = options.resume.take();
    match resume {
        Some(number) => go_on(number, options, place, call),
        None => live(options, place, call, given),
    }
}

/// Goes on where another program left.
fn go_on(number: RawFd, options: Options, place: Place, call: Call) -> u8 {
    let drill = options.drill;
    match resume::go_on(number, options, call) {
        Ok((node, wrap)) => to_its_end(node, wrap, drill),
        Err(why) => {
            sys::renewal::resume_with(None);
            log::error!("unable to go on: {why}; keeping the children and reaping, no unit is started again");
            rescue::reap(place)
        }
    }
}

fn to_its_end(mut node: Node, wrap: Option<Wrap>, drill: bool) -> u8 {
    let mut verdict = node.run(drill);
    if let Some(wrap) = wrap {
        verdict.status = wrap.status(verdict.status);
    }
    halt::halt(verdict)
}

fn live(mut options: Options, place: Place, call: Call, given: Given) -> u8 {
    let Given { entry, mut inherited, parent } = given;
    // Found again from another directory.
    let chosen = options.units.as_ref().map(|file| std::path::absolute(file).unwrap_or_else(|_| file.clone()));
    let mut command = std::mem::take(&mut options.command);
    if place == Place::Appliance && !command.is_empty() {
        // A kernel passes on words of its own command line that it does not understand.
        log::warn!(
            "unable to run {} from the kernel's command line: this is a machine; ignored",
            command.join(&OsString::from(" ")).display()
        );
        command.clear();
    }
    if process::own_pid() != 1
        && let Err(errno) = process::adopt_orphans()
    {
        log::warn!("unable to become the parent of orphans: {}; they are left to another init", errno.desc());
    }
    let texts = files::texts(options.units.as_deref()).map_err(|text| vec![format!("{text}; nothing was started")]);
    // Who only wraps a command is left as it is, and so is whoever is not the init of its mounts.
    let has_table = texts.as_ref().is_ok_and(|texts| !texts.is_empty());
    if process::own_pid() == 1 && (place == Place::Appliance || has_table) {
        boot::run(place == Place::Appliance);
        say::reopen();
    }
    if has_table && sweep::children().is_none() {
        log::warn!(
            "unable to see our children: there is no /proc of ours; at the end orphans are killed without a grace"
        );
    }
    if let Some(option) = &options.wrapping
        && (has_table || place == Place::Appliance)
    {
        let why = format!("unable to use the option {option} with a unit table: it is about a command without one");
        if place == Place::Container {
            log::error!("{why}; see clusteros-init --help");
            return exit::USAGE;
        }
        log::warn!("{why}; ignored");
    } else if let Some(signal) = options.parent_death {
        match process::follow(parent, signal.0) {
            Ok(true) => {}
            Ok(false) => {
                log::error!("unable to run for our parent: it has ended already; nothing was started");
                return u8::try_from(signal.0).map_or(exit::INTERNAL, |number| number.saturating_add(128));
            }
            Err(errno) => log::warn!("unable to follow our parent: {}; its end is not noticed", errno.desc()),
        }
    }
    let loaded = match (texts.and_then(|texts| table(texts, place)), place) {
        (Ok(None), Place::Container) if command.is_empty() && !options.wrap.pause => {
            log::error!("unable to find anything to do: there is neither a command nor {}; see --help", files::TABLE);
            return exit::CONFIGURATION;
        }
        (Ok(None), Place::Appliance) => {
            log::error!("unable to find {}; starting a shell on the console alone", files::TABLE);
            Some(console())
        }
        (Ok(loaded), _) => loaded,
        (Err(mistakes), Place::Container) => {
            say_mistakes(&mistakes);
            return exit::CONFIGURATION;
        }
        (Err(mistakes), Place::Appliance) => {
            say_mistakes(&mistakes);
            Some(last_good())
        }
    };
    let (table, texts) = loaded.map_or((None, Vec::new()), |(table, texts)| (Some(table), texts));
    if command.is_empty() {
        descriptor::close_inherited(inherited.split_off(0));
        // A directory that we stay in cannot be unmounted.
        let _ = std::env::set_current_dir("/");
    }
    let logd = table.as_ref().and_then(|_| logd());
    let null = fs::File::options().read(true).write(true).open("/dev/null").ok();
    let wrap = wrapping(&mut options, table.is_some());
    let table = assemble(table.unwrap_or_default(), logd.as_deref(), &command, wrap.as_ref());
    let outfit = spawn::Outfit::new(entry, command, inherited, null.map(IntoRawFd::into_raw_fd));
    let source = files::Source { chosen, texts, former: Vec::new() };
    let cgroups = cgroup::Cgroups::new(wrap.is_none().then(|| division::divide(place == Place::Appliance)));
    let renewal = Renewal::new(call, logd, None);
    match Node::new(table, source, outfit, place, wrap.clone(), cgroups, renewal) {
        Ok(mut node) => {
            if let Some(budget) = options.budget {
                node.machine.allow(budget);
            }
            node.publish();
            to_its_end(node, wrap, options.drill)
        }
        Err(errno) => {
            log::error!("unable to read signals: {}; nothing was started", errno.desc());
            exit::INTERNAL
        }
    }
}

/// How a command is wrapped; none where there is a unit table. What is logged follows from it.
fn wrapping(options: &mut Options, has_table: bool) -> Option<Wrap> {
    if has_table {
        if options.verbose > 0 {
            log::set_max_level(LevelFilter::Debug);
        }
        return None;
    }
    options.switch(|name| std::env::var_os(name));
    // Its output is the command's own.
    log::set_max_level(options.level());
    Some(std::mem::take(&mut options.wrap))
}

/// The table with the units that we add to it.
fn assemble(table: Table, logd: Option<&str>, command: &[OsString], wrap: Option<&Wrap>) -> Table {
    let table = match logd {
        Some(path) => table.with_logd([path, "--dir", LOGS, "--stdout"].map(str::to_owned).to_vec()),
        None => table,
    };
    let typed = command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut table = table.with_main(typed);
    if let (Some(wrap), Some(main)) = (wrap, table.units.last_mut()) {
        wrap.shape(main);
    }
    table
}

/// `--read-table`.
fn read_table(options: &Options, place: Place, entry: Entry) -> u8 {
    signal::restore(entry);
    let outfit = spawn::Outfit::new(entry, Vec::new(), Vec::new(), None);
    if reader::run(&outfit, place, options.units.as_deref()) { exit::OK } else { exit::INTERNAL }
}

/// The table in `texts`, with them; none if there are none. A machine keeps a good one for the day that it has a bad one.
fn table(texts: files::Texts, place: Place) -> Result<Option<(Table, files::Texts)>, Vec<String>> {
    if texts.is_empty() {
        return Ok(None);
    }
    let table = files::table(&texts)?;
    if place == Place::Appliance
        && let Err(error) = files::keep(&texts)
    {
        log::warn!("unable to keep the unit table for a day when it is damaged: {}; going on", say::cause(&error));
    }
    Ok(Some((table, texts)))
}

/// What a machine starts whose table is damaged.
fn last_good() -> (Table, files::Texts) {
    let texts = files::kept();
    match files::table(&texts) {
        Ok(table) if !texts.is_empty() => {
            log::warn!("the unit table is damaged; starting the last good one");
            (table, texts)
        }
        Ok(_) | Err(_) => {
            log::error!("unable to find a last good unit table; starting a shell on the console alone");
            console()
        }
    }
}

/// Where the units' lines are kept.
const LOGS: &str = "/var/log/cluster-os";

/// `--check`.
fn check(options: &Options) -> u8 {
    let texts = files::texts(options.units.as_deref()).map_err(|text| vec![format!("{text}; nothing was checked")]);
    match texts.and_then(|texts| files::table(&texts)) {
        Ok(table) => print(&format!("{} units, no mistake\n", table.units.len())),
        Err(mistakes) => {
            say_mistakes(&mistakes);
            exit::CONFIGURATION
        }
    }
}

fn say_mistakes(mistakes: &[String]) {
    for mistake in mistakes {
        log::error!("{mistake}");
    }
}

/// `logd` beside our own program, or in `PATH`.
fn logd() -> Option<String> {
    // Without /proc, the name by which we were started tells where we are, if it is a path.
    let called = || std::env::args_os().next().map(PathBuf::from).filter(|own| own.components().count() > 1);
    let own = fs::read_link("/proc/self/exe").ok().or_else(called);
    let beside = own.and_then(|own| Some(own.parent()?.join("logd")));
    let path = std::env::var_os("PATH");
    let named = spawn::candidates("logd".as_ref(), path.as_deref()).unwrap_or_default();
    let named = named.iter().map(|path| PathBuf::from(std::ffi::OsStr::from_bytes(path.as_bytes())));
    let found = beside.into_iter().chain(named).find(|path: &PathBuf| Path::new(path).is_file());
    if found.is_none() {
        log::warn!(
            "unable to find logd: it is neither beside clusteros-init nor in PATH; units write to our output, and nothing is kept"
        );
    }
    found.map(|path| path.display().to_string())
}

/// What a machine without a table gets: a shell, if there is one.
fn console() -> (Table, files::Texts) {
    let text = if Path::new("/bin/sh").exists() { CONSOLE } else { "" };
    let texts = vec![("the console".to_owned(), text.to_owned())];
    (files::table(&texts).unwrap_or_default(), texts)
}

/// A shell with a person at it ignores TERM.
const CONSOLE: &str = r#"[unit.console]
exec = ["/bin/sh", "-c", "exec /bin/sh -i </dev/console >/dev/console 2>&1"]
stop-signal = "HUP"
"#;

fn print(text: &str) -> u8 {
    // To stdout, as asked for; that nobody reads it is not worth a word.
    let _ = descriptor::write_now(1, text.as_bytes());
    exit::OK
}
