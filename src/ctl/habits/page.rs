//! The help of `systemctl` and `journalctl`, made from their tables.

use super::super::commands::Flag;
use super::super::page::{codes, rows, spelled, wrapped};
use super::journalctl;
use super::missing::{self, Missing};
use super::systemctl::{OPTIONS, VERBS, Verb};
use crate::control::systemd::CODES;

/// What systemctl is.
pub(in crate::ctl) const SYSTEMCTL: &str = "\
This is initctl of clusteros-init, called systemctl: it answers in systemd's words and exit codes for what is here, and says \
what is not. NAME and NAME.service are the same unit; in names * and ? stand for any text and any letter.";

/// What journalctl is.
pub(in crate::ctl) const JOURNALCTL: &str = "\
This is initctl of clusteros-init, called journalctl: it shows what units wrote, oldest first, each line with its time (UTC), \
and with its unit's name if there is more than one. -u init are the lines of PID 1 itself.";

/// The page of `systemctl --help`.
pub(super) fn systemctl() -> String {
    let mut page = "usage: systemctl [OPTION...] COMMAND [UNIT...]\n\n".to_owned();
    page.push_str(&wrapped(SYSTEMCTL, "", ""));
    page.push('\n');
    rows(&mut page, VERBS.iter().map(|verb| (usage(verb), verb.text)));
    page.push_str("\noptions, before or after the command:\n");
    options(&mut page, OPTIONS);
    page.push_str("\nnot here:\n");
    absent(&mut page, &[missing::COMMANDS, missing::OPTIONS]);
    page.push_str("\nexit codes:\n");
    codes(&mut page, CODES);
    page
}

/// The page of `journalctl --help`.
pub(super) fn journalctl() -> String {
    let mut page = "usage: journalctl [OPTION...]\n\n".to_owned();
    page.push_str(&wrapped(JOURNALCTL, "", ""));
    page.push('\n');
    options(&mut page, journalctl::OPTIONS);
    page.push_str("\nnot here:\n");
    absent(&mut page, &[missing::LOG_OPTIONS]);
    page.push_str("\nexit codes:\n");
    codes(&mut page, journalctl::CODES);
    page
}

/// The names of a command and what may follow them.
pub(in crate::ctl) fn usage(verb: &Verb) -> String {
    let names = verb.names.join("|");
    if verb.operands.is_empty() { names } else { format!("{names} {}", verb.operands) }
}

fn options(page: &mut String, options: &'static [Flag]) {
    for flag in options {
        page.push_str(&wrapped(&spelled(flag), "  ", "    "));
        page.push_str(&wrapped(flag.text, "      ", "      "));
    }
}

fn absent(page: &mut String, tables: &[Missing]) {
    for (names, instead) in tables.iter().copied().flatten() {
        page.push_str(&wrapped(&names.join(", "), "  ", "    "));
        page.push_str(&wrapped(instead, "      ", "      "));
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::page::WIDTH;
    use super::*;

    #[test]
    fn no_page_is_wider_than_a_terminal() {
        for page in [systemctl(), journalctl()] {
            for line in page.lines() {
                assert!(line.chars().count() <= WIDTH && line == line.trim_end(), "{line}");
            }
        }
    }

    #[test]
    fn what_is_here_is_not_said_to_be_missing() {
        let here = |options: &[Flag]| options.iter().flat_map(|flag| flag.names).copied().collect::<Vec<_>>();
        let verbs = VERBS.iter().flat_map(|verb| verb.names).copied().collect::<Vec<_>>();
        for (here, missing) in [
            (verbs, missing::COMMANDS),
            (here(OPTIONS), missing::OPTIONS),
            (here(journalctl::OPTIONS), missing::LOG_OPTIONS),
        ] {
            let mut all: Vec<&str> = missing.iter().flat_map(|(names, _)| *names).copied().chain(here).collect();
            all.sort_unstable();
            assert!(all.windows(2).all(|pair| pair.first() != pair.last()), "{all:?}");
        }
    }
}
