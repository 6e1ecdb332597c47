//! What was typed.

use std::ffi::OsString;
use std::path::PathBuf;

use super::commands::{self, COMMANDS, Command, KEYS, SHELLS};
use super::config;
use super::paths::Paths;
use crate::unit::suggest;

/// One command line, read.
pub(super) struct Call {
    pub command: &'static Command,
    /// Its help was asked for; nothing else counts then.
    pub help: bool,
    pub operands: Vec<String>,
    pub file: Option<PathBuf>,
    pub paths: Paths,
    options: Vec<&'static str>,
}

impl Call {
    /// What `arguments` (without the program's name) ask for; else what is wrong with them.
    pub fn read(arguments: impl Iterator<Item = OsString>) -> Result<Call, String> {
        let mut arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
        let (mut words, mut options) = (Vec::new(), Vec::new());
        let (mut file, mut paths) = (None, Paths::new(PathBuf::from("/")));
        let mut help = false;
        while let Some(argument) = arguments.next() {
            let name = match argument.as_str() {
                "-h" => "--help",
                "-V" => "--version",
                other => other,
            };
            match commands::option(name).map(|flag| flag.name) {
                Some("--root") => paths = Paths::new(arguments.next().ok_or("--root needs a folder")?.into()),
                Some("--file") => {
                    file = Some(arguments.next().ok_or("--file needs a file")?.into());
                    options.push("--file");
                }
                Some("--help") => help = true,
                Some("--version") => words = vec!["version".to_owned()],
                Some(option) => options.push(option),
                None if name.starts_with('-') && name != "-" => return Err(format!("no such option: {argument}")),
                None => words.push(argument),
            }
        }
        let mut words = words.into_iter();
        let name = words.next().or_else(|| help.then(|| "help".to_owned())).ok_or("no command")?;
        let command = commands::find(&name).ok_or_else(|| unknown(&name))?;
        options.dedup();
        let call = Call { command, help: help && name != "help", operands: words.collect(), file, paths, options };
        if !call.help {
            call.fits()?;
        }
        Ok(call)
    }

    /// Whether this option was given.
    pub fn has(&self, option: &str) -> bool {
        self.options.contains(&option)
    }

    /// Whether the options and operands are the command's: one that were of no effect might be taken for one that had it.
    fn fits(&self) -> Result<(), String> {
        let Command { name, operands, options, .. } = self.command;
        // The table's order.
        let order: Vec<&str> = options.iter().map(|flag| flag.name).filter(|name| self.has(name)).collect();
        if let Some(option) = self.options.iter().find(|option| !order.contains(option)) {
            return Err(format!("{name} has no option {option}"));
        }
        match self.operands.get(operands.most) {
            // What is too much may be a key.
            Some(_) if *name == "keys" => return Err("one argument too many after keys".to_owned()),
            Some(extra) => return Err(format!("one argument too many: {extra}")),
            None => {}
        }
        let words: Vec<&str> = self.operands.iter().map(String::as_str).collect();
        match (*name, words.as_slice(), order.as_slice()) {
            ("keys", ..) => self.keys_fit(&words),
            ("join", [], _) => Err("join needs the address of a node, such as 10.0.0.1 or node1:7946".to_owned()),
            ("join", targets, _) => targets.iter().try_for_each(|target| config::target(target)),
            ("completions", [shell], _) if SHELLS.contains(shell) => Ok(()),
            ("completions", ..) => Err(format!("completions needs one of {}", SHELLS.join(", "))),
            ("help", [page], _) if commands::find(page).is_none() => Err(unknown(page)),
            ("mesh", _, []) => Err("mesh needs --svg or --json".to_owned()),
            ("k3s", _, ["--json"]) => Err("--json is for --check".to_owned()),
            ("k3s", _, ["--check", "--json"]) | (_, _, [] | [_]) => Ok(()),
            (_, _, [first, second, ..]) => Err(format!("{first} and {second} do not go together")),
        }
    }

    fn keys_fit(&self, words: &[&str]) -> Result<(), String> {
        match (words, self.file.is_some()) {
            (["list" | "rotate"], false) | (["install" | "use" | "remove"], true) => Ok(()),
            (["install" | "use" | "remove", _], false) => Ok(()),
            (["list" | "rotate"], true) => Err(format!("keys {} has no option --file", words.join(" "))),
            ([step @ ("install" | "use" | "remove")], false) => {
                Err(format!("keys {step} needs a key, '-' to read it from standard input, or --file FILE"))
            }
            // What is too much may be a key.
            ([word, _], _) if KEYS.contains(word) => Err("one argument too many after keys".to_owned()),
            _ => Err(format!("keys needs one of {}", KEYS.join(", "))),
        }
    }
}

fn unknown(name: &str) -> String {
    let meant = suggest::nearest(name, COMMANDS.iter().map(|command| command.name));
    let meant = meant.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
    format!("no such command: {name}{meant}")
}
