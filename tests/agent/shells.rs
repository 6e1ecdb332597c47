//! What a shell completes, asked of the shells themselves.

use std::path::Path;
use std::process::{Command, Stdio};

/// What `node-agent completions SHELL` prints.
fn script(shell: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_node-agent")).args(["completions", shell]).output().expect("run");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text")
}

/// What the shell says to `text`; none where there is no such shell.
fn answer(test: &str, shell: &[&str], text: &str) -> Option<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    if !path.split(':').any(|folder| Path::new(folder).join(shell[0]).exists()) {
        let text = format!("skipped: {test}: there is no {}", shell[0]);
        assert!(std::env::var_os("NEED").is_none_or(|need| need != "all"), "{text}");
        eprintln!("{text}");
        return None;
    }
    let output = Command::new(shell[0]).args(&shell[1..]).arg(text).stdin(Stdio::null()).output().expect("a shell");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && err.is_empty(), "{}: {err}", output.status);
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn bash_completes() {
    let text = "
try() { COMP_WORDS=(node-agent \"$@\"); COMP_CWORD=$#; _node_agent; echo \"${COMPREPLY[*]}\"; }
try sta
try --ro
try keys ''
try keys ro
try keys install --f
try --root /nowhere peers --j
try completions ''
try help ke
try --root /et
";
    let Some(said) = answer("shells::bash_completes", &["bash", "-c"], &(script("bash") + text)) else { return };
    let expected = "\
start status
--root
list install use remove rotate --json --file --root --help
rotate
--file
--json
bash zsh fish --root --help
keys
/etc
";
    assert_eq!(said, expected);
}

#[test]
fn zsh_completes() {
    // As it completes at a line's end: what _arguments and _describe were given is what counts.
    let text = "
_describe() { print -r -- ${(P)2}; }
_arguments() { if [[ $1 == -C ]]; then state=$STATE line=($LINE); else print -r -- $@; fi; }
STATE=commands LINE=() _node_agent
STATE=rest LINE=(keys) _node_agent
";
    let said =
        answer("shells::zsh_completes", &["zsh", "-f", "-c"], &format!("compdef() {{ :; }}\n{}{text}", script("zsh")));
    let Some(said) = said else { return };
    let (commands, options) = said.split_once('\n').expect("two lines");
    assert!(commands.starts_with("init:make ") && commands.contains(" keys:the keys "), "{commands}");
    assert!(options.starts_with("--json[as JSON] --file[the KEY is in FILE]:file:_files "), "{options}");
    assert!(options.contains("1:word:(list install use remove rotate)"), "{options}");
}

#[test]
fn fish_completes() {
    let text = "
complete -C 'node-agent sta'
complete -C 'node-agent keys ro'
complete -C 'node-agent keys list --js'
complete -C 'node-agent completions z'
";
    let said = answer("shells::fish_completes", &["fish", "--no-config", "-c"], &(script("fish") + text));
    let Some(said) = said else { return };
    let words: Vec<&str> = said.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(words, ["start", "status", "rotate", "--json", "zsh"]);
}
