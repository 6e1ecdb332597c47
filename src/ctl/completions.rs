//! Completions for shells, made from the table of commands. Names of units come from `initctl list` at the moment of typing.

use super::commands::{COMMANDS, Command, Flag, Kind, Operands, Value};

/// The shells.
pub(super) const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// The completion script for `shell`, which is one of [`SHELLS`].
pub(super) fn script(shell: &str) -> String {
    match shell {
        "bash" => bash(),
        "zsh" => zsh(),
        _ => fish(),
    }
}

/// Every name of a command, and the command.
fn all() -> impl Iterator<Item = (&'static str, &'static Command)> {
    COMMANDS.iter().flat_map(|command| command.names.iter().map(move |name| (*name, command)))
}

fn spellings(command: &Command) -> Vec<&'static str> {
    command.options.iter().flat_map(|flag| flag.names).copied().chain(["--help"]).collect()
}

/// The spellings of the options of `command` whose value is of this kind.
fn valued(command: &Command, kind: Kind) -> Vec<&'static str> {
    let such = command.options.iter().filter(|flag| matches!(flag.value, Value::Must(_, of) if of == kind));
    such.flat_map(|flag| flag.names).copied().collect()
}

fn bash() -> String {
    let mut text = "\
# Completion of initctl for bash; `initctl completions bash` made it.
_initctl() {
    local word=$2 before=$3 command=${COMP_WORDS[1]} options operands units paths name i of=()
    # Bash parts a word at `=`.
    if [[ $word == = ]]; then
        word=
    elif [[ $before == = ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 2; i < COMP_CWORD; i++)); do
        if [[ ${COMP_WORDS[i]} == --pid || ${COMP_WORDS[i]} == --root ]]; then
            if [[ ${COMP_WORDS[i + 1]} == = ]]; then
                of+=(\"${COMP_WORDS[i]}=${COMP_WORDS[i + 2]}\")
            else
                of+=(\"${COMP_WORDS[i]}=${COMP_WORDS[i + 1]}\")
            fi
        fi
    done
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
"
    .to_owned();
    let names: Vec<&str> = all().map(|(name, _)| name).chain(["--help", "--version"]).collect();
    text.push_str(&format!("        mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$word\")\n", names.join(" ")));
    text.push_str("        return\n    fi\n    case $command in\n");
    for command in COMMANDS {
        text.push_str(&format!("        {})\n", command.names.join(" | ")));
        let values = command.options.iter().any(|flag| matches!(flag.value, Value::Must(..)));
        if values {
            text.push_str("            case $before in\n");
        }
        for (kind, reply) in [
            (
                Kind::Process,
                "compopt -o nosort 2>/dev/null\n                    mapfile -t COMPREPLY < <(compgen -W \"$(cd /proc && echo [0-9]*)\" -- \"$word\")",
            ),
            (
                Kind::Folder,
                "compopt -o filenames 2>/dev/null\n                    mapfile -t COMPREPLY < <(compgen -d -- \"$word\")",
            ),
            (Kind::Text, ":"),
        ] {
            let options = valued(command, kind);
            if !options.is_empty() {
                let options = options.join(" | ");
                text.push_str(&format!("                {options})\n                    {reply}\n                    return\n                    ;;\n"));
            }
        }
        if values {
            text.push_str("            esac\n");
        }
        text.push_str(&format!("            options='{}'\n", spellings(command).join(" ")));
        match &command.operands {
            Operands::None => {}
            Operands::Units(_) => text.push_str("            units=yes\n"),
            Operands::Files => text.push_str("            paths=yes\n"),
            Operands::Word { words, .. } => {
                text.push_str(&format!("            operands='{}'\n", words().join(" ")));
            }
        }
        text.push_str("            ;;\n");
    }
    text + "\
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\")
    elif [[ -n $paths ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")
    elif [[ -n $units ]]; then
        # Of these names nothing is expanded.
        while read -r name; do
            [[ $name == \"$word\"* ]] && COMPREPLY+=(\"$name\")
        done < <(initctl list \"${of[@]}\" 2>/dev/null)
    else
        mapfile -t COMPREPLY < <(compgen -W \"$operands\" -- \"$word\")
    fi
}
complete -F _initctl initctl
"
}

fn zsh() -> String {
    let mut text = "\
#compdef initctl
# Completion of initctl for zsh; `initctl completions zsh` made it.
_initctl_units() {
    local -a units of
    local place
    for ((place = 1; place < CURRENT; place++)); do
        case $words[place] in
            --pid=* | --root=*) of+=($words[place]) ;;
            --pid | --root) of+=($words[place] $words[place+1]) ;;
        esac
    done
    units=(${(f)\"$(initctl list $of 2>/dev/null)\"})
    compadd -a units
}
_initctl() {
    local -a commands
    if ((CURRENT == 2)); then
        commands=(
"
    .to_owned();
    for (name, command) in all() {
        text.push_str(&format!("            {}\n", single(&format!("{name}:{}", command.brief))));
    }
    text.push_str("        )\n        _describe command commands\n        return\n    fi\n");
    text.push_str("    shift words\n    ((CURRENT--))\n    case $words[1] in\n");
    for command in COMMANDS {
        text.push_str(&format!("        {})\n            _arguments -s -S", command.names.join(" | ")));
        for flag in command.options {
            text.push_str(&format!(" \\\n                {}", zsh_option(flag)));
        }
        text.push_str(" \\\n                '--help[what the command does]'");
        match &command.operands {
            Operands::None => {}
            Operands::Units(_) => text.push_str(" \\\n                '*:unit:_initctl_units'"),
            Operands::Files => text.push_str(" \\\n                '*:file:_files'"),
            Operands::Word { words, .. } => {
                text.push_str(&format!(" \\\n                '1:word:({})'", words().join(" ")));
            }
        }
        text.push_str("\n            ;;\n");
    }
    text + "    esac\n}\n# Sourced, or found by name in fpath.\nif [[ $funcstack[1] == _initctl ]]; then\n    _initctl \"$@\"\nelse\n    compdef _initctl initctl\nfi\n"
}

fn zsh_option(flag: &Flag) -> String {
    let what: String = flag
        .text
        .chars()
        .flat_map(|letter| if "[]:\\".contains(letter) { vec!['\\', letter] } else { vec![letter] })
        .collect();
    let value = match flag.value {
        Value::None => String::new(),
        Value::May(label) => format!("::{label}:"),
        Value::Must(label, Kind::Folder) => format!(":{label}:_files -/"),
        Value::Must(label, Kind::Process) => format!(":{label}:_pids"),
        Value::Must(label, Kind::Text) => format!(":{label}:"),
    };
    let one = |name: &str| {
        let sign = match flag.value {
            Value::None => "",
            Value::May(_) => "=-",
            Value::Must(..) if name.starts_with("--") => "=",
            Value::Must(..) => "+",
        };
        single(&format!("({}){name}{sign}[{what}]{value}", flag.names.join(" ")))
    };
    flag.names.iter().map(|name| one(name)).collect::<Vec<_>>().join(" ")
}

fn fish() -> String {
    let mut text = "\
# Completion of initctl for fish; `initctl completions fish` made it.
function __initctl_units
    set -l of
    set -l words (commandline -opc)
    for place in (seq (count $words))
        switch $words[$place]
            case '--pid=*' '--root=*'
                set -a of $words[$place]
            case --pid --root
                set -a of $words[$place] $words[(math $place + 1)]
        end
    end
    initctl list $of 2>/dev/null
end
function __initctl_command
    set -l words (commandline -opc)
    test (count $words) -gt 1; and contains -- $words[2] $argv
end
complete -c initctl -f
complete -c initctl -n 'test (count (commandline -opc)) -eq 1' -l version -d 'the version'
complete -c initctl -l help -d 'what the command does'
"
    .to_owned();
    for (name, command) in all() {
        text.push_str(&format!(
            "complete -c initctl -n 'test (count (commandline -opc)) -eq 1' -a {name} -d {}\n",
            fished(command.brief)
        ));
    }
    for command in COMMANDS {
        let when = format!("complete -c initctl -n '__initctl_command {}'", command.names.join(" "));
        for flag in command.options {
            let names: Vec<String> = flag
                .names
                .iter()
                .map(|name| match name.strip_prefix("--") {
                    Some(long) => format!("-l {long}"),
                    None => format!("-s {}", name.trim_start_matches('-')),
                })
                .collect();
            let value = match flag.value {
                Value::None | Value::May(_) => "",
                Value::Must(_, Kind::Folder) => " -x -a '(__fish_complete_directories)'",
                Value::Must(_, Kind::Process) => " -x -a '(__fish_complete_pids)'",
                Value::Must(_, Kind::Text) => " -x",
            };
            text.push_str(&format!("{when} {}{value} -d {}\n", names.join(" "), fished(flag.text)));
        }
        match &command.operands {
            Operands::None => {}
            Operands::Units(_) => text.push_str(&format!("{when} -a '(__initctl_units)'\n")),
            Operands::Files => text.push_str(&format!("{when} -F\n")),
            Operands::Word { words, .. } => {
                text.push_str(&format!("{when} -a '{}'\n", words().join(" ")));
            }
        }
    }
    text
}

/// `text` as one word of a shell such as zsh.
fn single(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// `text` as one word of fish.
fn fished(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
