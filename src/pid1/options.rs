//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use super::place::Place;

/// What was typed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--units FILE`: this table and no other.
    pub units: Option<PathBuf>,
    /// `--mode`: overrides what [`super::place::find`] finds.
    pub place: Option<Place>,
    /// The command and its arguments; empty if none.
    pub command: Vec<OsString>,
    /// What to do.
    pub act: Act,
    /// `--drill`: break down when [`super::drill`] says. Debug builds only.
    pub drill: bool,
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
    /// `--check`: read the table, say what is wrong with it, start nothing.
    Check,
}

/// The text of `--help`.
pub const HELP: &str = "\
usage: clusteros-init [options] [--] [COMMAND ARGUMENT...]

PID 1 for a container or a machine. With a command it runs that command, passes
signals on, reaps, and ends with its status. With a unit table
(/etc/cluster-os/units.toml, then units.d/*.toml) it starts and keeps the units
of the table; with both, the command is the unit `main`.

  --units FILE      read this table instead
  --check           read the table, say every mistake in it, start nothing
  --mode MODE       container or appliance, instead of finding out
  --version         print the version
  --help            print this text
";

/// Reads the arguments after the program's name. Options end at the first that is none.
///
/// # Errors
/// What is wrong, in the words of `unable to VERB OBJECT: CAUSE`.
pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, String> {
    let mut options = Options::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy().into_owned();
        let mut value = |name: &str| {
            arguments.next().ok_or_else(|| format!("unable to read the option {name}: its value is missing"))
        };
        match text.as_str() {
            "--" => {
                options.command = arguments.collect();
                break;
            }
            "--units" => options.units = Some(value("--units")?.into()),
            "--mode" => {
                options.place = Some(match value("--mode")?.to_str() {
                    Some("container") => Place::Container,
                    Some("appliance") => Place::Appliance,
                    _ => return Err("unable to read the option --mode: it is neither container nor appliance".into()),
                });
            }
            "--check" => options.act = Act::Check,
            "--rescue" => options.act = Act::Rescue,
            "--drill" if cfg!(debug_assertions) => options.drill = true,
            "--help" | "-h" => options.act = Act::Help,
            "--version" => options.act = Act::Version,
            option if option.starts_with('-') && option.len() > 1 => {
                return Err(format!("unable to read the option {option}: there is no such option"));
            }
            _ => {
                options.command = std::iter::once(argument).chain(arguments).collect();
                break;
            }
        }
    }
    Ok(options)
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
        assert_eq!(typed(&["--units"]).unwrap_err(), "unable to read the option --units: its value is missing");
    }
}
