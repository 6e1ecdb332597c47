//! What a shell completes, asked of the shells themselves.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::ctl::{Folder, said};
use crate::golden::golden;

/// The folder of a node, with the three scripts in it.
fn node(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.put(&golden("status-units.json"));
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, err) = said(&["completions", shell]);
        assert_eq!((code, err.as_str()), (0, ""));
        std::fs::write(folder.path(&format!("_initctl.{shell}")), script).expect("written");
    }
    folder
}

/// What the shell says to `script`; none where there is no such shell.
fn answer(test: &str, folder: &Folder, shell: &[&str], script: &str) -> Option<String> {
    let own = Path::new(env!("CARGO_BIN_EXE_initctl")).parent().expect("a folder");
    let path = format!("{}:{}", own.display(), std::env::var("PATH").unwrap_or_default());
    if !path.split(':').any(|folder| Path::new(folder).join(shell[0]).exists()) {
        let text = format!("skipped: {test}: there is no {}", shell[0]);
        assert!(std::env::var_os("NEED").is_none_or(|need| need != "all"), "{text}");
        eprintln!("{text}");
        return None;
    }
    let output = Command::new("timeout")
        .arg("60")
        .args(shell)
        .arg(script)
        .env("PATH", path)
        .env("TERM", "xterm")
        .env("HOME", folder.root())
        .env("NODE", folder.root())
        .stdin(Stdio::null())
        .output()
        .expect("timeout");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && err.is_empty(), "{}: {err}", output.status);
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn bash_completes() {
    let folder = node("bash");
    // What bash itself does: the word, the one before, and the line parted at spaces and `=`.
    let script = "\
. $NODE/_initctl.bash
try() { COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1)); _initctl initctl \"${@: -1}\" \"${@: -2:1}\"; echo \"${COMPREPLY[*]}\"; }
try initctl sta
try initctl bo
try initctl status --root $NODE go
try initctl status --root = $NODE w
try initctl restart --root $NODE ''
try initctl status --w
try initctl help uni
try initctl completions ''
try initctl logs -n ''
cd $NODE
try initctl check _initctl.b
try initctl logs --root ru
try initctl logs --root = ru
";
    let Some(said) = answer("bash_completes", &folder, &["bash", "--norc", "-c"], script) else { return };
    let expected = [
        "status start",
        "boot-chart",
        "gossip",
        "wg0",
        "identity wg0 gossip node-agent k3s",
        "--watch --wide",
        "units",
        "bash zsh fish",
        "",
        "_initctl.bash",
        "run",
        "run",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

/// Whoever is root in a container writes what `--root` and `--pid` read.
#[test]
fn bash_expands_no_name() {
    let folder = Folder::new("expands");
    folder.put(&golden("status-units.json").replace("\"gossip\"", "\"gossip$(touch${IFS}$NODE/pwned)\""));
    assert_eq!(said(&["list", "--root", folder.root()]).1, "identity\nwg0\nnode-agent\nk3s\n");
    let script = "\
. <(initctl completions bash)
initctl() { printf '%s\n' 'go$(touch${IFS}$NODE/pwned)' '$HOME' '~'; }
COMP_WORDS=(initctl status go) COMP_CWORD=2
_initctl initctl go status
echo \"${COMPREPLY[*]}\"
";
    let Some(said) = answer("bash_expands_no_name", &folder, &["bash", "--norc", "-c"], script) else { return };
    assert_eq!(said, "go$(touch${IFS}$NODE/pwned)\n");
    assert!(!std::path::Path::new(&folder.path("pwned")).exists());
}

#[test]
fn fish_completes() {
    let folder = node("fish");
    let script = "\
source $NODE/_initctl.fish
function try; complete -C $argv[1] | string replace \\t ': ' | string join '; '; echo; end
complete -C 'initctl sta' | string replace -r '\t.*' '' | string join ' '
try \"initctl status --root $NODE go\"
try \"initctl status --root=$NODE w\"
try 'initctl logs --foll'
try 'initctl completions z'
try 'initctl help boo'
try 'initctl boot-chart --te'
";
    let Some(said) = answer("fish_completes", &folder, &["fish", "--no-config", "-c"], script) else { return };
    let lines: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    let expected = [
        "start status",
        "gossip",
        "wg0",
        "--follow: also what is written from now on, until interrupted",
        "zsh",
        "boot-chart",
        "--text: as text, not as SVG",
    ];
    assert_eq!(lines, expected);
}

/// zsh completes only on a terminal: one of its own is made, a key is pressed, and what is listed is read.
#[test]
fn zsh_completes() {
    let folder = node("zsh");
    let script = "\
zmodload zsh/zpty
zpty z zsh -f -i
feed() { zpty -w -n z \"$1\"; }
see() { zpty -r -m z text \"$1\" || { print -u2 \"no $1 in $text\"; exit 1 }; }
zpty -w z \"PS1=; autoload -U compinit; compinit -u -d $NODE/dump; . $NODE/_initctl.zsh; cd $NODE; bindkey '^I' complete-word; print read''y\"
see '*ready*'
try() { feed \"$1\"$'\\t'\" <end>\"; see \"*$2*<end>*\"; feed $'\\x15'; print \"$1 -> $2\"; }
try 'initctl boo' 'initctl boot-chart'
try 'initctl status --root . go' 'gossip'
try 'initctl status --root=. w' 'wg0'
try 'initctl completions z' 'completions zsh'
try 'initctl logs --foll' '--follow'
zpty -d z
";
    let Some(said) = answer("zsh_completes", &folder, &["zsh", "-f", "-c"], script) else { return };
    assert_eq!(said.lines().count(), 5, "{said}");
}
