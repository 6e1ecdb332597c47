//! The help, made from the table of commands.

use super::code::CODES;
use super::commands::{COMMANDS, Command, Flag, Operands, Value};

/// How wide a page is.
pub(super) const WIDTH: usize = 80;

/// The page of `initctl help`.
pub(super) fn help() -> String {
    let mut page =
        "usage: initctl COMMAND [OPTION...] [UNIT...]\n\nWhat PID 1 runs, and whether its table is right.\n\n"
            .to_owned();
    rows(&mut page, COMMANDS.iter().map(|command| (command.names.join("|"), command.brief)));
    page.push_str("\n`initctl COMMAND --help` says more, `initctl --version` the version.\n\nexit codes:\n");
    codes(&mut page, CODES);
    page
}

/// The page of `initctl COMMAND --help`.
pub(super) fn of(command: &Command) -> String {
    let mut page = String::new();
    let usage = usage(command);
    page.push_str(&filled(usage.iter().map(String::as_str), "usage: initctl ", "           "));
    page.push('\n');
    for paragraph in command.text.split("\n\n") {
        page.push_str(&wrapped(paragraph, "", ""));
        page.push('\n');
    }
    if !command.options.is_empty() {
        rows(&mut page, command.options.iter().map(|flag| (spelled(flag), flag.text)));
        page.push('\n');
    }
    if !command.codes.is_empty() {
        page.push_str("exit codes:\n");
        codes(&mut page, command.codes);
    }
    page.trim_end().to_owned() + "\n"
}

/// The names of a command and what may follow them.
pub(super) fn usage(command: &Command) -> Vec<String> {
    let mut parts = vec![command.names.join("|")];
    parts.extend(command.options.iter().map(|flag| {
        let name = flag.names.first().copied().unwrap_or_default();
        match flag.value {
            Value::None => format!("[{name}]"),
            Value::Must(label, _) => format!("[{name} {label}]"),
            Value::May(label) => format!("[{name}[={label}]]"),
        }
    }));
    parts.extend(match &command.operands {
        Operands::None => None,
        Operands::Units(0) => Some("[UNIT...]".to_owned()),
        Operands::Units(_) => Some("UNIT...".to_owned()),
        Operands::Files => Some("[FILE...]".to_owned()),
        Operands::Word { label, needed: true, .. } => Some((*label).to_owned()),
        Operands::Word { label, needed: false, .. } => Some(format!("[{label}]")),
    });
    parts
}

/// All spellings of an option, and its value.
pub(super) fn spelled(flag: &Flag) -> String {
    let names = flag.names.join(", ");
    match flag.value {
        Value::None => names,
        Value::Must(label, _) => format!("{names} {label}"),
        Value::May(label) => format!("{names}[={label}]"),
    }
}

pub(super) fn codes(page: &mut String, codes: &[(u8, &'static str)]) {
    rows(page, codes.iter().map(|(code, text)| (code.to_string(), *text)));
}

/// Two columns.
pub(super) fn rows(page: &mut String, rows: impl Iterator<Item = (String, &'static str)>) {
    let rows: Vec<(String, &str)> = rows.collect();
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or(0);
    let rest = " ".repeat(width + 4);
    for (left, right) in rows {
        page.push_str(&wrapped(right, &format!("  {left:width$}  "), &rest));
    }
}

/// `text` in lines of at most [`WIDTH`] columns, `first` before the first and `rest` before the others.
pub(super) fn wrapped(text: &str, first: &str, rest: &str) -> String {
    filled(text.split_whitespace(), first, rest)
}

fn filled<'a>(words: impl Iterator<Item = &'a str>, first: &str, rest: &str) -> String {
    let mut out = String::new();
    let mut line = first.to_owned();
    let mut begun = false;
    for word in words {
        if begun && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(line.trim_end());
            out.push('\n');
            line = rest.to_owned();
            begun = false;
        }
        if begun {
            line.push(' ');
        }
        line.push_str(word);
        begun = true;
    }
    out.push_str(line.trim_end());
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_page_is_wider_than_a_terminal() {
        for (name, page) in COMMANDS.iter().map(|command| (command.brief, of(command))).chain([("help", help())]) {
            for line in page.lines() {
                assert!(line.chars().count() <= WIDTH && line == line.trim_end(), "{name}: {line}");
            }
        }
    }

    #[test]
    fn names_and_spellings_are_one_thing_each() {
        let mut names: Vec<&str> = COMMANDS.iter().flat_map(|command| command.names).copied().collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair.first() != pair.last()), "{names:?}");
        for command in COMMANDS {
            let mut names: Vec<&str> = command.options.iter().flat_map(|flag| flag.names).copied().collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair.first() != pair.last()), "{names:?}");
            let known = |code: &u8| CODES.iter().any(|(known, _)| known == code);
            assert!(command.codes.iter().all(|(code, _)| known(code)), "{}", command.brief);
        }
    }
}
