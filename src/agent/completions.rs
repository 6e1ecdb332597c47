//! Completions for shells, made from the table of commands.

use super::commands::{COMMANDS, Command, Flag, GENERAL};

/// The completion script for `shell`, one of [`super::commands::SHELLS`].
pub(super) fn script(shell: &str) -> String {
    match shell {
        "bash" => bash(),
        "zsh" => zsh(),
        _ => fish(),
    }
}

/// The words that the first operand may be.
fn words(command: &Command) -> Vec<&'static str> {
    match command.name {
        "help" => COMMANDS.iter().map(|command| command.name).collect(),
        _ => command.operands.words.to_vec(),
    }
}

fn bash() -> String {
    let names = |flags: &'static [Flag]| flags.iter().map(|flag| flag.name);
    let mut text = "\
# Completion of node-agent for bash; `node-agent completions bash` made it.
_node_agent() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command= i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --root | --file) i=$((i + 1)) ;;
        -*) ;;
        *)
            command=${COMP_WORDS[i]}
            break
            ;;
        esac
    done
    case $before in
    --root) mapfile -t COMPREPLY < <(compgen -d -- \"$word\") ;;
    --file) mapfile -t COMPREPLY < <(compgen -f -- \"$word\") ;;
    *)
        case $command in
"
    .to_owned();
    let mut row = |command: &str, all: Vec<&str>| {
        text.push_str(&format!(
            "        {command}) mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$word\") ;;\n",
            all.join(" ")
        ));
    };
    row("''", COMMANDS.iter().map(|command| command.name).chain(names(GENERAL)).collect());
    for command in COMMANDS {
        let all = words(command).into_iter().chain(names(command.options)).chain(["--root", "--help"]);
        row(command.name, all.collect());
    }
    text + "        esac\n        ;;\n    esac\n}\ncomplete -o filenames -F _node_agent node-agent\n"
}

/// An option as zsh's `_arguments` takes it.
fn zsh_option(flag: &Flag) -> String {
    let value = match flag.value {
        "" => "",
        "DIR" => ":folder:_directories",
        _ => ":file:_files",
    };
    single(&format!("{}[{}]{value}", flag.name, flag.text.replace('[', "\\[").replace(']', "\\]").replace(':', "\\:")))
}

fn zsh() -> String {
    let general: Vec<String> = GENERAL.iter().map(zsh_option).collect();
    let mut text = "\
#compdef node-agent
# Completion of node-agent for zsh; `node-agent completions zsh` made it.
_node_agent() {
    local state line
    local -a commands=(
"
    .to_owned();
    for command in COMMANDS {
        text.push_str(&format!("        {}\n", single(&format!("{}:{}", command.name, command.brief))));
    }
    text.push_str(&format!(
        "    )\n    _arguments -C {} '1: :->commands' '*:: :->rest'\n    case $state in\n    commands) _describe command commands ;;\n    \
         rest)\n        case $line[1] in\n",
        general.join(" ")
    ));
    for command in COMMANDS {
        let mut all: Vec<String> = command.options.iter().map(zsh_option).collect();
        all.extend(GENERAL.iter().map(zsh_option));
        let words = words(command);
        if !words.is_empty() {
            all.push(single(&format!("1:word:({})", words.join(" "))));
        }
        text.push_str(&format!("        {}) _arguments {} ;;\n", command.name, all.join(" ")));
    }
    text + "        esac\n        ;;\n    esac\n}\n\
            if [[ $funcstack[1] == _node_agent ]]; then _node_agent \"$@\"; else compdef _node_agent node-agent; fi\n"
}

fn fish() -> String {
    let mut text = "\
# Completion of node-agent for fish; `node-agent completions fish` made it.
complete -c node-agent -f
"
    .to_owned();
    let names: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
    let none = format!("not __fish_seen_subcommand_from {}", names.join(" "));
    let mut option = |when: &str, flag: &Flag| {
        let value = match flag.value {
            "" => "",
            "DIR" => " -x -a '(__fish_complete_directories)'",
            _ => " -r -F",
        };
        let name = flag.name.trim_start_matches('-');
        text.push_str(&format!("complete -c node-agent{when} -l {name}{value} -d {}\n", fished(flag.text)));
    };
    GENERAL.iter().for_each(|flag| option("", flag));
    for command in COMMANDS {
        let when = format!(" -n '__fish_seen_subcommand_from {}'", command.name);
        command.options.iter().for_each(|flag| option(&when, flag));
    }
    for command in COMMANDS {
        text.push_str(&format!(
            "complete -c node-agent -n '{none}' -a {} -d {}\n",
            command.name,
            fished(command.brief)
        ));
        let words = words(command);
        if !words.is_empty() {
            text.push_str(&format!(
                "complete -c node-agent -n '__fish_seen_subcommand_from {0}; and not __fish_seen_subcommand_from {1}' -a '{1}'\n",
                command.name,
                words.iter().filter(|word| **word != command.name).copied().collect::<Vec<_>>().join(" ")
            ));
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
