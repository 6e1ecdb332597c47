//! What was typed after a command's name, as its row in the table of commands divides it: options and operands.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::commands::{Command, Flag, Operands, Value};
use crate::unit::suggest;

/// The options, each by its first name and with its value, and the operands.
#[derive(Debug, Default)]
pub(super) struct Typed {
    options: Vec<(&'static str, Option<OsString>)>,
    /// What is no option, in order.
    pub operands: Vec<OsString>,
    /// `--help` was typed; nothing else counts then.
    pub help: bool,
}

impl Typed {
    /// Divides `words`, which follow the name `name` of `command`; else what is wrong with them.
    pub fn read(command: &Command, name: &str, words: impl Iterator<Item = OsString>) -> Result<Typed, String> {
        let typed = Typed::divided(command.options, name, words)?;
        if typed.help { Ok(typed) } else { typed.fitting(command, name) }
    }

    /// Divides `words`, which follow `name`, where there are these `options`; else what is wrong with them.
    pub fn divided(
        options: &'static [Flag],
        name: &str,
        words: impl Iterator<Item = OsString>,
    ) -> Result<Typed, String> {
        let (mut typed, mut words) = (Typed::default(), words);
        while let Some(word) = words.next() {
            match word.as_bytes() {
                b"--help" | b"-h" => return Ok(Typed { help: true, ..Typed::default() }),
                b"--" => {
                    typed.operands.extend(words);
                    break;
                }
                [b'-', _, ..] => {
                    let mut word = word;
                    while let Some((letter, rest)) = bundle(options, &word) {
                        typed.options.push((letter, None));
                        word = rest;
                    }
                    let (flag, attached) = option(options, &word).ok_or_else(|| no_option(options, name, &word))?;
                    let value = match flag.value {
                        Value::None if attached.is_some() => return Err(format!("{name} takes no {word:?}")),
                        Value::None | Value::May(_) => attached,
                        Value::Must(..) => Some(attached.or_else(|| words.next()).unwrap_or_default()),
                    };
                    typed.options.extend(flag.names.first().map(|first| (*first, value)));
                }
                _ => typed.operands.push(word),
            }
        }
        Ok(typed)
    }

    /// Whether this option, called by its first name, was typed.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|(name, _)| *name == option)
    }

    /// The value of this option, called by its first name, as it was typed last; the empty one if it has none.
    pub fn value(&self, option: &str) -> Option<&OsStr> {
        let last = self.options.iter().rev().find(|(name, _)| *name == option);
        last.map(|(_, value)| value.as_deref().unwrap_or_default())
    }

    /// Every value of this option, called by its first name, in order.
    pub fn values(&self, option: &str) -> impl Iterator<Item = String> {
        let all = self.options.iter().filter(move |(name, _)| *name == option);
        all.map(|(_, value)| value.as_deref().unwrap_or_default().to_string_lossy().into_owned())
    }

    /// The first operand; empty if there is none.
    pub fn word(&self) -> String {
        self.operands.first().map_or_else(String::new, |word| word.to_string_lossy().into_owned())
    }

    /// The operands as names of units, each once.
    pub fn units(&self) -> Vec<String> {
        let mut units: Vec<String> = Vec::new();
        for name in self.operands.iter().map(|name| name.to_string_lossy().into_owned()) {
            if !units.contains(&name) {
                units.push(name);
            }
        }
        units
    }

    /// Whether the operands are such as the command has.
    fn fitting(self, command: &Command, name: &str) -> Result<Typed, String> {
        let most = match &command.operands {
            Operands::None => 0,
            Operands::Word { .. } => 1,
            Operands::Units(_) | Operands::Files => usize::MAX,
        };
        if let Some(more) = self.operands.get(most) {
            return Err(format!("{name} takes no {more:?}"));
        }
        match (&command.operands, self.operands.as_slice()) {
            (Operands::Units(least), units) if units.len() < *least => Err(format!("{name} needs the name of a unit")),
            (Operands::Units(_), units) => match units.iter().find(|unit| !is_name(unit)) {
                Some(other) => Err(format!("{other:?} is no name of a unit")),
                None => Ok(self),
            },
            (Operands::Word { label, needed: true, .. }, []) => Err(format!("{name} needs {label}")),
            (Operands::Word { words, .. }, [word]) => {
                let text = word.to_string_lossy();
                if words().contains(&&*text) {
                    return Ok(self);
                }
                let meant = suggest::nearest(&text, words()).map(|near| format!(" (did you mean {near:?}?)"));
                Err(format!("{name} knows no {word:?}{}", meant.unwrap_or_default()))
            }
            (Operands::None | Operands::Files | Operands::Word { .. }, _) => Ok(self),
        }
    }
}

/// The option that `word` begins with or is, and what is attached to it: `--name=value`, `-nVALUE`.
fn option(options: &'static [Flag], word: &OsStr) -> Option<(&'static Flag, Option<OsString>)> {
    let bytes = word.as_bytes();
    let (name, mut attached) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) if bytes.starts_with(b"--") => (bytes.get(..at)?, bytes.get(at + 1..)),
        _ => (bytes, None),
    };
    let called = |name: &[u8]| options.iter().find(|flag| flag.names.iter().any(|known| known.as_bytes() == name));
    let flag = match (called(name), bytes) {
        (Some(flag), _) => flag,
        (None, [b'-', letter, rest @ ..]) if *letter != b'-' => {
            attached = Some(rest);
            called(&[b'-', *letter]).filter(|flag| flag.value != Value::None)?
        }
        (None, _) => return None,
    };
    Some((flag, attached.map(|value| OsString::from_vec(value.to_vec()))))
}

/// The first letter of a bundle such as `-fn5`, where it is an option without a value, by its first name; and the rest.
fn bundle(options: &'static [Flag], word: &OsStr) -> Option<(&'static str, OsString)> {
    let [b'-', letter, rest @ ..] = word.as_bytes() else { return None };
    let (b'a'..=b'z' | b'A'..=b'Z', [b'a'..=b'z' | b'A'..=b'Z', ..]) = (letter, rest) else { return None };
    let whole = options.iter().any(|flag| flag.names.iter().any(|name| name.as_bytes() == word.as_bytes()));
    let (flag, _) = option(options, OsStr::from_bytes(&[b'-', *letter])).filter(|_| !whole)?;
    let first = flag.names.first().filter(|_| flag.value == Value::None)?;
    Some((first, OsString::from_vec([b"-", rest].concat())))
}

fn no_option(options: &'static [Flag], name: &str, word: &OsStr) -> String {
    let names = options.iter().flat_map(|flag| flag.names).copied();
    let text = word.to_string_lossy();
    let typed = text.split('=').next().unwrap_or_default();
    let meant = Some(typed).filter(|typed| typed.len() > 2).and_then(|typed| suggest::nearest(typed, names));
    let meant = meant.filter(|near| near.len() > 2).map(|near| format!(" (did you mean {near:?}?)"));
    format!("{name} takes no {word:?}{}", meant.unwrap_or_default())
}

/// Whether a unit may be called so; a path is none.
fn is_name(word: &OsStr) -> bool {
    let bytes = word.as_bytes();
    !bytes.is_empty() && !bytes.starts_with(b".") && !bytes.contains(&b'/')
}

#[cfg(test)]
mod tests {
    use super::super::commands::find;
    use super::*;

    fn typed(text: &str) -> Result<Typed, String> {
        let mut words = text.split_whitespace().map(OsString::from);
        let name = words.next().unwrap_or_default().into_string().unwrap_or_default();
        Typed::read(find(&name).expect("a command"), &name, words)
    }

    #[test]
    fn options_and_operands() {
        let logs = typed("logs -n5 web --follow db --root=/r -n 7 web -- -x").expect("typed well");
        assert_eq!(logs.units(), ["web", "db", "-x"]);
        assert_eq!(logs.value("-n"), Some(OsStr::new("7")));
        assert_eq!(logs.value("--root"), Some(OsStr::new("/r")));
        assert!(logs.has("-f") && !logs.has("--pid"));
        let bundle = typed("logs -fn5 web").expect("typed well");
        assert_eq!(
            (bundle.has("-f"), bundle.value("-n"), bundle.units()),
            (true, Some(OsStr::new("5")), vec!["web".to_owned()])
        );
        let start = typed("start --wait a --wait=5").expect("typed well");
        assert_eq!((start.units(), start.value("--wait")), (vec!["a".to_owned()], Some(OsStr::new("5"))));
        assert!(typed("start --bad --help").is_err());
        assert!(typed("start --help --bad").expect("help").help);
        assert!(typed("start -h").expect("help").help);
    }

    #[test]
    fn mistakes() {
        for (text, mistake) in [
            ("status --jsno", "status takes no \"--jsno\" (did you mean \"--json\"?)"),
            ("status -j", "status takes no \"-j\""),
            ("logs -fx web", "logs takes no \"-x\""),
            ("status --json=1", "status takes no \"--json=1\""),
            ("start", "start needs the name of a unit"),
            ("logs ../../etc/shadow", "\"../../etc/shadow\" is no name of a unit"),
            ("reboot now", "reboot takes no \"now\""),
            ("help me", "help knows no \"me\""),
            ("help unit", "help knows no \"unit\" (did you mean \"units\"?)"),
            ("help a b", "help takes no \"b\""),
        ] {
            assert_eq!(typed(text).map(|typed| typed.operands), Err(mistake.to_owned()), "{text}");
        }
    }
}
