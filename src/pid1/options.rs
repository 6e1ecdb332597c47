//! The command line.

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;
use std::vec::IntoIter;

use log::LevelFilter;

use crate::control::wrap::{self, Recipient, Wrap};
use crate::unit::{Signal, duration};

use super::place::Place;

/// What was typed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--units FILE`: this table and no other.
    pub units: Option<PathBuf>,
    /// `--mode`: overrides what [`super::place::find`] finds.
    pub place: Option<Place>,
    /// `--budget`: the longest that a shutdown may take, where it is not what it is by itself.
    pub budget: Option<Duration>,
    /// The command and its arguments; empty if none.
    pub command: Vec<OsString>,
    /// What to do.
    pub act: Act,
    /// `--drill`: break down when [`super::drill`] says. Debug builds only.
    pub drill: bool,
    /// How the command is wrapped where there is no table.
    pub wrap: Wrap,
    /// The first option that means something only where there is no table.
    pub wrapping: Option<String>,
    /// What this process gets when its own parent ends.
    pub parent_death: Option<Signal>,
    /// By ourselves: go on from the snapshot in this descriptor.
    pub resume: Option<RawFd>,
    /// By ourselves: say whether we could.
    pub could_resume: Option<RawFd>,
    /// How often `-v` was typed.
    pub verbose: usize,
    /// What the environment says of the least level of the log, as tini counts: 0 errors, 1 warnings, 2 information, 3 all.
    pub verbosity: Option<usize>,
}

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Act {
    /// Be an init.
    #[default]
    Run,
    /// `--rescue`: be a bare reaper for children that a broken init left.
    Rescue,
    /// `--help`.
    Help,
    /// `--version`.
    Version,
    /// `-l`: name the licence.
    License,
    /// `--read-table`: read the table for a PID 1 that must not wait for a disk.
    ReadTable,
    /// `--check`: read the table, say what is wrong with it, start nothing.
    Check,
}

/// What `--version` prints where this program is called `name`. `docker info` takes nothing but tini's own words from its
/// `docker-init`, and catatonit speaks them, too; a version with dots in it would not be taken after `git.`.
pub fn version(name: &OsStr) -> &'static str {
    match name.as_bytes().rsplit(|byte| *byte == b'/').next() {
        Some(b"tini" | b"docker-init" | b"catatonit") => concat!(
            "tini version ",
            env!("CARGO_PKG_VERSION"),
            "_clusteros-init - git.v",
            env!("CARGO_PKG_VERSION_MAJOR"),
            "-",
            env!("CARGO_PKG_VERSION_MINOR"),
            "-",
            env!("CARGO_PKG_VERSION_PATCH"),
            "\n"
        ),
        _ => concat!("clusteros-init ", env!("CARGO_PKG_VERSION"), "\n"),
    }
}

/// Reads the arguments after the program's name. Options end at the first that is none.
///
/// # Errors
/// What is wrong, in the words of `unable to VERB OBJECT: CAUSE`.
pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, String> {
    let mut reader =
        Reader { options: Options::default(), arguments: arguments.into_iter().collect::<Vec<_>>().into_iter() };
    while let Some(argument) = reader.arguments.next() {
        match argument.as_bytes() {
            b"--" => {
                reader.options.command = reader.arguments.collect();
                break;
            }
            [b'-', b'-', long @ ..] => reader.long(long)?,
            [b'-', letters @ ..] if !letters.is_empty() => reader.letters(letters)?,
            _ => {
                reader.options.command = std::iter::once(argument).chain(reader.arguments).collect();
                break;
            }
        }
    }
    let options = reader.options;
    if options.wrap.pause && !options.command.is_empty() {
        return Err("unable to read the option -P: it takes no command".into());
    }
    Ok(options)
}

impl Options {
    /// Takes the switches of tini, dumb-init and catatonit from the environment, which mean something only where there is
    /// no table. What was typed counts more. `TINI_SUBREAPER` needs no look: orphans are adopted anyway.
    pub fn switch(&mut self, variable: impl Fn(&str) -> Option<OsString>) {
        let is = |name: &str, value: &str| variable(name).is_some_and(|found| found == value);
        if self.wrap.to.is_none() {
            let child = is("DUMB_INIT_SETSID", "0") && variable("TINI_KILL_PROCESS_GROUP").is_none();
            self.wrap.to = child.then_some(Recipient::Child);
        }
        let debug = is("DUMB_INIT_DEBUG", "1") || variable("CATATONIT_DEBUG").is_some();
        let tini = variable("TINI_VERBOSITY").and_then(|text| text.to_str()?.parse().ok());
        self.verbosity = if debug { Some(3) } else { tini };
    }

    /// What is logged where there is only a command, whose output ours is.
    pub fn level(&self) -> LevelFilter {
        match self.verbosity.unwrap_or(1).saturating_add(self.verbose) {
            0 => LevelFilter::Error,
            1 => LevelFilter::Warn,
            2 => LevelFilter::Info,
            _ => LevelFilter::Debug,
        }
    }
}

struct Reader {
    options: Options,
    arguments: IntoIter<OsString>,
}

impl Reader {
    /// `--NAME`, `--NAME=VALUE`: the text after the dashes.
    fn long(&mut self, text: &[u8]) -> Result<(), String> {
        let mut parts = text.splitn(2, |byte| *byte == b'=');
        let name = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let option = format!("--{name}");
        let value = parts.next();
        let letter = match name.as_str() {
            "units" => {
                self.options.units = Some(self.value(&option, value)?.into());
                return Ok(());
            }
            "mode" => {
                self.options.place = Some(match self.value(&option, value)?.to_str() {
                    Some("container") => Place::Container,
                    Some("appliance") => Place::Appliance,
                    _ => return Err("unable to read the option --mode: it is neither container nor appliance".into()),
                });
                return Ok(());
            }
            "budget" => {
                let text = self.value(&option, value)?;
                let span = text.to_str().and_then(duration::parse).filter(|span| !span.is_zero());
                let cause =
                    || format!("unable to read the option --budget: {} is not {}", text.display(), duration::HOW);
                self.options.budget = Some(span.ok_or_else(cause)?);
                return Ok(());
            }
            "resume" => {
                self.options.resume = Some(number(&self.value(&option, value)?)?);
                return Ok(());
            }
            "check-snapshot" => {
                self.options.could_resume = Some(number(&self.value(&option, value)?)?);
                return Ok(());
            }
            "rewrite" => return self.valued(&option, 'r', value),
            "kill-after" => return self.valued(&option, 'k', value),
            _ if value.is_some() => return Err(unknown(&format!("--{}", String::from_utf8_lossy(text)))),
            "check" => return self.act(Act::Check),
            "rescue" => return self.act(Act::Rescue),
            "read-table" => return self.act(Act::ReadTable),
            "drill" if cfg!(debug_assertions) => {
                self.options.drill = true;
                return Ok(());
            }
            "help" => 'h',
            "version" => 'V',
            "verbose" => 'v',
            "single-child" => 'c',
            _ => return Err(unknown(&option)),
        };
        self.letter(&option, letter)
    }

    /// `-abc`, `-eVALUE`: the letters after the dash.
    fn letters(&mut self, mut letters: &[u8]) -> Result<(), String> {
        while let [letter, rest @ ..] = letters {
            let letter = char::from(*letter);
            let option = format!("-{letter}");
            if "rep".contains(letter) {
                return self.valued(&option, letter, (!rest.is_empty()).then_some(rest));
            }
            self.letter(&option, letter)?;
            letters = rest;
        }
        Ok(())
    }

    fn letter(&mut self, option: &str, letter: char) -> Result<(), String> {
        let wrap = &mut self.options.wrap;
        match letter {
            'h' => return self.act(Act::Help),
            'V' => return self.act(Act::Version),
            'l' | 'L' => return self.act(Act::License),
            's' => return Ok(()),
            'v' => {
                self.options.verbose = self.options.verbose.saturating_add(1);
                return Ok(());
            }
            'c' => wrap.to = Some(Recipient::Child),
            'g' => wrap.to = Some(Recipient::Group),
            'w' => wrap.tell_reaped = true,
            'P' => wrap.pause = true,
            _ => return Err(unknown(option)),
        }
        self.wraps(option);
        Ok(())
    }

    fn valued(&mut self, option: &str, letter: char, attached: Option<&[u8]>) -> Result<(), String> {
        let value = self.value(option, attached)?;
        let text = value.to_string_lossy();
        let taken = match letter {
            'r' => self.options.wrap.rewrite(&text),
            'e' => self.options.wrap.count_as_good(&text),
            'k' => self.options.wrap.kill_after(&text),
            _ => wrap::signal(&text).map(|signal| self.options.parent_death = Some(signal)),
        };
        self.wraps(option);
        taken.map_err(|cause| format!("unable to read the option {option}: {cause}"))
    }

    fn value(&mut self, option: &str, attached: Option<&[u8]>) -> Result<OsString, String> {
        let attached = attached.map(|value| OsString::from_vec(value.to_vec()));
        let missing = || format!("unable to read the option {option}: its value is missing");
        attached.or_else(|| self.arguments.next()).ok_or_else(missing)
    }

    fn wraps(&mut self, option: &str) {
        self.options.wrapping.get_or_insert_with(|| option.to_owned());
    }

    fn act(&mut self, act: Act) -> Result<(), String> {
        self.options.act = act;
        Ok(())
    }
}

/// The number of a descriptor.
fn number(text: &OsStr) -> Result<RawFd, String> {
    let number = text.to_str().and_then(|text| text.parse().ok()).filter(|number| *number > 2);
    number.ok_or_else(|| "unable to read the option --resume: it is no descriptor".to_owned())
}

fn unknown(option: &str) -> String {
    format!("unable to read the option {option}: there is no such option")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(words: &[&str]) -> Result<Options, String> {
        read(words.iter().map(OsString::from))
    }

    #[test]
    fn options_end_at_the_first_that_is_none() {
        let options = typed(&["--mode", "container", "sh", "-c", "exit 3", "--help"]).unwrap();
        assert_eq!(options.command, ["sh", "-c", "exit 3", "--help"]);
        assert_eq!(options.place, Some(Place::Container));
        assert_eq!(options.act, Act::Run);
    }

    #[test]
    fn two_dashes_end_the_options() {
        assert_eq!(typed(&["--", "--help"]).unwrap().command, ["--help"]);
        assert!(typed(&["--"]).unwrap().command.is_empty());
    }

    #[test]
    fn a_mistake_is_named() {
        assert_eq!(typed(&["--nope"]).unwrap_err(), "unable to read the option --nope: there is no such option");
        assert_eq!(typed(&["--budget=55s", "--units=x"]).unwrap().budget, Some(Duration::from_secs(55)));
        assert_eq!(
            typed(&["--budget", "0s"]).unwrap_err(),
            "unable to read the option --budget: 0s is not a whole number and ms, s, m or h, such as \"10s\""
        );
        assert_eq!(typed(&["--units"]).unwrap_err(), "unable to read the option --units: its value is missing");
    }

    #[test]
    fn a_mistake_in_a_value_is_named() {
        for (words, said) in [
            (&["-r", "15"][..], "unable to read the option -r: 15 is not FROM:TO"),
            (&["--rewrite", "TREM:0"], "unable to read the option --rewrite: there is no signal TREM"),
            (
                &["--kill-after=9"],
                "unable to read the option --kill-after: 9 is not a whole number and ms, s, m or h, such as \"10s\"",
            ),
            (&["-e256"], "unable to read the option -e: 256 is no exit status from 0 to 255"),
            (&["-gp"], "unable to read the option -p: its value is missing"),
            (&["-gx"], "unable to read the option -x: there is no such option"),
            (&["--verbose=2"], "unable to read the option --verbose=2: there is no such option"),
            (&["-P", "sh"], "unable to read the option -P: it takes no command"),
        ] {
            assert_eq!(typed(words).unwrap_err(), said);
        }
    }

    #[test]
    fn values_are_attached_or_follow() {
        for words in [
            &["-e143", "-pSIGTERM", "-r15:3", "sh"][..],
            &["-e", "143", "-p", "15", "-r", "TERM:QUIT", "sh"],
            &["-e", "143", "-pTERM", "--rewrite=TERM:SIGQUIT", "sh"],
            &["-se143", "-sp15", "--rewrite", "15:QUIT", "--", "sh"],
        ] {
            let options = typed(words).unwrap();
            assert_eq!((options.wrap.status(143), options.wrap.status(3)), (0, 3), "{words:?}");
            assert_eq!(options.wrap.passes(15), Some(Signal(3)), "{words:?}");
            assert_eq!(options.parent_death, Some(Signal(15)), "{words:?}");
            assert_eq!(options.command, ["sh"], "{words:?}");
        }
        assert_eq!(typed(&["--units=/a=b"]).unwrap().units, Some("/a=b".into()));
    }

    #[test]
    fn letters_are_combined() {
        let options = typed(&["-vgvsw", "--verbose", "sh", "-c", "x"]).unwrap();
        assert_eq!((options.verbose, options.wrap.to), (3, Some(Recipient::Group)));
        assert!(options.wrap.tell_reaped);
        assert_eq!(options.wrapping.as_deref(), Some("-g"));
        assert_eq!(options.command, ["sh", "-c", "x"]);
        assert_eq!(typed(&["-gc"]).unwrap().wrap.to, Some(Recipient::Child));
        assert_eq!(typed(&["--single-child"]).unwrap().wrapping.as_deref(), Some("--single-child"));
        assert!(typed(&["-P"]).unwrap().wrap.pause);
        assert_eq!(typed(&["-sv"]).unwrap().wrapping, None);
        assert_eq!(typed(&["-", "x"]).unwrap().command, ["-", "x"]);
    }

    #[test]
    fn the_environment_switches_what_was_not_typed() {
        let switched = |words: &[&str], variables: &[(&str, &str)]| {
            let mut options = typed(words).unwrap();
            let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
            options.switch(find);
            (options.wrap.to, options.level())
        };
        let (group, child) = (Some(Recipient::Group), Some(Recipient::Child));
        for (words, variables, expected) in [
            (&[][..], &[][..], (None, LevelFilter::Warn)),
            (&["-vv"], &[("TINI_SUBREAPER", "")], (None, LevelFilter::Debug)),
            (&[], &[("DUMB_INIT_SETSID", "0"), ("TINI_VERBOSITY", "2")], (child, LevelFilter::Info)),
            (&["-g"], &[("DUMB_INIT_SETSID", "0"), ("TINI_VERBOSITY", "0")], (group, LevelFilter::Error)),
            (&["-v"], &[("DUMB_INIT_SETSID", "1"), ("TINI_VERBOSITY", "1")], (None, LevelFilter::Info)),
            (&["-c"], &[("TINI_KILL_PROCESS_GROUP", ""), ("DUMB_INIT_DEBUG", "1")], (child, LevelFilter::Debug)),
            (&[], &[("TINI_KILL_PROCESS_GROUP", ""), ("CATATONIT_DEBUG", "")], (None, LevelFilter::Debug)),
        ] {
            assert_eq!(switched(words, variables), expected, "{words:?} {variables:?}");
        }
    }

    #[test]
    fn docker_understands_its_init() {
        assert_eq!(
            version(OsStr::new("/a/clusteros-init")),
            concat!("clusteros-init ", env!("CARGO_PKG_VERSION"), "\n")
        );
        for name in ["docker-init", "/usr/bin/tini", "catatonit"] {
            let text = version(OsStr::new(name));
            let (version, commit) = text.trim().split_once(" - ").unwrap();
            assert_eq!(version, concat!("tini version ", env!("CARGO_PKG_VERSION"), "_clusteros-init"));
            // Two parts; an older docker cuts its own commit of 7 letters to the length of ours.
            assert!(commit.starts_with("git.") && commit.matches('.').count() == 1 && commit.len() <= 11, "{commit}");
        }
    }
}
