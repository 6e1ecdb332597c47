//! What was typed, and what configuration files say.
//!
//! Flags are Go's: `-name=VALUE` or `-name VALUE`, one dash or two. Flags have the last word over files, whatever their order.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;
use zeroize::Zeroizing;

use super::manual;
use super::settings::{KEYS, Key, Settings, Takes};
use crate::say::reason;

/// No configuration file is longer.
const LONGEST: u64 = 1 << 20;

/// What is to be done.
#[derive(Debug)]
pub enum Call {
    /// Run.
    Run(Box<Settings>),
    /// Say this and end.
    Say(String),
}

/// Why nothing can be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Mistake {
    /// In what was typed.
    Typed(String),
    /// In a file.
    Configured(String),
}

/// A flag and its text.
struct Given {
    key: &'static Key,
    text: Zeroizing<String>,
}

/// Reads the arguments, without the program's name, and the files that they name.
pub fn call(arguments: impl Iterator<Item = OsString>) -> Result<Call, Mistake> {
    let mut arguments = arguments.map(|argument| argument.to_string_lossy().into_owned()).peekable();
    let mut given = Vec::new();
    let mut files = Vec::new();
    // So that it can stand where `serf agent` stood.
    if arguments.peek().is_some_and(|first| first == "agent") {
        arguments.next();
    }
    while let Some(argument) = arguments.next() {
        let Some(flag) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else {
            return Err(Mistake::Typed(format!("{argument} is no option")));
        };
        let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value.to_owned())));
        match name {
            "help" | "h" => return Ok(Call::Say(manual::help())),
            "man" => return Ok(Call::Say(manual::page())),
            "version" => return Ok(Call::Say(manual::version())),
            _ => {}
        }
        let key = KEYS.iter().find(|key| !key.flag.is_empty() && key.flag == name);
        let takes_next = key.is_none_or(|key| key.takes != Takes::Switch);
        let known = key.is_some() || matches!(name, "config-file" | "config-dir");
        if !known {
            return Err(Mistake::Typed(format!("there is no option -{name}")));
        }
        let value = match value {
            Some(value) => value,
            None if takes_next => arguments.next().ok_or_else(|| Mistake::Typed(format!("-{name} needs a value")))?,
            None => "true".to_owned(),
        };
        match (name, key) {
            ("config-file", _) => files.push(PathBuf::from(value)),
            ("config-dir", _) => files.extend(folder(Path::new(&value))?),
            (_, Some(key)) => given.push(Given { key, text: Zeroizing::new(value) }),
            (_, None) => {}
        }
    }
    let mut settings = Settings::default();
    for path in &files {
        file(path, &mut settings)?;
    }
    // A list that was typed is beside that of the files, as with Serf.
    for Given { key, text } in &given {
        (key.set)(&mut settings, text).map_err(|cause| Mistake::Typed(format!("-{}: {cause}", key.flag)))?;
    }
    Ok(Call::Run(Box::new(settings)))
}

/// The files of a folder that end in `.json`, sorted.
fn folder(path: &Path) -> Result<Vec<PathBuf>, Mistake> {
    let unable =
        |error: std::io::Error| Mistake::Configured(format!("unable to read {}: {}", path.display(), reason(&error)));
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unable)? {
        let entry = entry.map_err(unable)?.path();
        if entry.extension().is_some_and(|extension| extension == "json") {
            files.push(entry);
        }
    }
    files.sort();
    Ok(files)
}

fn file(path: &Path, settings: &mut Settings) -> Result<(), Mistake> {
    let unable = |cause: &str| Mistake::Configured(format!("unable to read {}: {cause}", path.display()));
    let length = fs::metadata(path).map_err(|error| unable(&reason(&error)))?.len();
    if length > LONGEST {
        return Err(unable("it is too long"));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|error| unable(&reason(&error)))?);
    let value: Value = serde_json::from_str(&text).map_err(|error| unable(&error.to_string()))?;
    keys(&value, settings).map_err(|cause| Mistake::Configured(format!("{}: {cause}", path.display())))
}

/// Sets what a configuration says.
fn keys(value: &Value, settings: &mut Settings) -> Result<(), String> {
    let Value::Object(pairs) = value else { return Err("it is no JSON object".to_owned()) };
    for (name, value) in pairs {
        // Go reads keys in small or capital letters.
        let key = KEYS.iter().find(|key| !key.key.is_empty() && key.key.eq_ignore_ascii_case(name));
        let key = key.ok_or_else(|| format!("there is no key {name}"))?;
        for text in texts(value, key.takes).ok_or_else(|| format!("{name}: it has the wrong type"))? {
            (key.set)(settings, &text).map_err(|cause| format!("{name}: {cause}"))?;
        }
    }
    Ok(())
}

/// A value as what a flag would say.
fn texts(value: &Value, takes: Takes) -> Option<Vec<Zeroizing<String>>> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let texts = match (takes, value) {
        (_, Value::Null) => Vec::new(),
        (Takes::Switch, Value::Bool(on)) => vec![on.to_string()],
        (Takes::Many, Value::Array(items)) => items.iter().map(one).collect::<Option<_>>()?,
        (Takes::Many, Value::Object(pairs)) => {
            let pair = |(key, value): (&String, &Value)| one(value).map(|value| format!("{key}={value}"));
            pairs.iter().map(pair).collect::<Option<_>>()?
        }
        // Switches that take what else Serf has for them, like `mdns`.
        (Takes::Text, Value::Object(_) | Value::Bool(_)) => return None,
        (Takes::Text, value) => vec![one(value)?],
        _ => return None,
    };
    Some(texts.into_iter().map(Zeroizing::new).collect())
}

/// Writes all of `text`, as well as it can.
pub fn say(text: &str) {
    drop(std::io::stdout().lock().write_all(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{Call, Mistake, call, keys};
    use crate::gossip::rpc::Level;
    use crate::gossipd::settings::{Profile, Settings};

    fn typed(text: &str) -> Result<Settings, Mistake> {
        match call(text.split_whitespace().map(OsString::from))? {
            Call::Run(settings) => Ok(*settings),
            Call::Say(text) => panic!("{text}"),
        }
    }

    #[test]
    fn flags_are_those_of_serf() {
        let settings = typed(
            "agent -node=a -bind 127.0.0.1:7946 --rpc-addr=127.0.0.1:7373 -tag role=web -tag dc=a=b -join x -join y \
             -profile=wan -replay -rejoin=false -retry-interval=2s -log-level=debug -event-handler=user:deploy=./a -protocol 4",
        )
        .unwrap();
        assert_eq!((settings.node.as_str(), settings.bind.as_str()), ("a", "127.0.0.1:7946"));
        assert_eq!(settings.tags.get("dc").map(String::as_str), Some("a=b"));
        assert_eq!((settings.join.len(), settings.profile, settings.protocol), (2, Profile::Wan, 4));
        assert!(settings.replay && !settings.rejoin);
        assert_eq!((settings.log_level, settings.retry_interval.as_secs()), (Level::Debug, 2));
        assert_eq!(settings.event_handlers, ["user:deploy=./a"]);
        for (text, cause) in [
            ("-colour=red", "there is no option -colour"),
            ("-node", "-node needs a value"),
            ("x", "x is no option"),
            ("-tag=x", "-tag: it is not KEY=VALUE"),
            ("-profile=moon", "-profile: it is none of lan, wan, local"),
        ] {
            assert_eq!(typed(text).unwrap_err(), Mistake::Typed(cause.to_owned()));
        }
    }

    #[test]
    fn a_file_of_serf_is_read() {
        let text = r#"{ "node_name": "node2", "bind": "0.0.0.0:7946", "advertise": "10.0.0.2:7946", "encrypt_key": "AAAA",
            "retry_join": ["10.0.0.1:7946"], "retry_interval": "2s", "rpc_addr": "127.0.0.1:7373", "rpc_auth": "62",
            "tags": { "v": "1" }, "profile": "lan", "log_level": "info", "leave_on_terminate": true, "protocol": 5 }"#;
        let mut settings = Settings::default();
        keys(&serde_json::from_str(text).unwrap(), &mut settings).unwrap();
        assert_eq!((settings.node.as_str(), settings.retry_join.len()), ("node2", 1));
        assert_eq!(settings.tags.get("v").map(String::as_str), Some("1"));
        assert!(settings.leave_on_terminate && settings.rpc_auth.as_str() == "62");
        for (text, cause) in [
            (r#"{"nodename": "a"}"#, "there is no key nodename"),
            (r#"{"tags": ["a"]}"#, "tags: it is not KEY=VALUE"),
            (r#"{"bind": true}"#, "bind: it has the wrong type"),
            ("[]", "it is no JSON object"),
        ] {
            assert_eq!(keys(&serde_json::from_str(text).unwrap(), &mut settings), Err(cause.to_owned()));
        }
    }

    #[test]
    fn what_nothing_heeds_is_said_once_each() {
        let settings = typed("-discover=here -syslog -syslog=true").unwrap();
        assert_eq!(
            settings.unheeded,
            [
                "unable to find members by mDNS: gossipd does not; name some with -retry-join",
                "unable to log to syslog: gossipd does not; its lines are on standard error",
            ]
        );
        assert!(typed("-syslog=false").unwrap().unheeded.is_empty());
        let mut settings = Settings::default();
        let text = r#"{"statsd_addr": "10.0.0.1:8125", "statsite_addr": "10.0.0.1:8125", "enable_syslog": false}"#;
        keys(&serde_json::from_str(text).unwrap(), &mut settings).unwrap();
        assert_eq!(settings.unheeded, ["unable to send metrics: gossipd has none; 'serf info' shows its counters"]);
    }
}
