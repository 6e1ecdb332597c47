//! The help and the man page, made from the table of commands.

use super::commands::{CODES, COMMANDS, Command, Flag, GENERAL};
use super::environment::VARIABLES;
use crate::control::columns::filled;
use crate::control::roff::{Roff, plain};

/// How wide a page is.
const WIDTH: usize = 80;

/// What it is, in a line.
const WHAT: &str = "a node's identity, its wg0, and its peers";

/// Variables that are no keys of node.yaml.
const OTHERS: [(&str, &str); 3] = [
    ("NODE_INTERFACE, NODE_ADDRESS, NODE_GATEWAY", "What `network` gives a machine."),
    ("NODE_K3S_IGNORE", "What k3s is started in spite of: names that `k3s --check` shows."),
    ("NOTIFY_SOCKET", "Who is told, by sd_notify, that `wg0`, `start` or `k3s` is ready."),
];

const FILES: [(&str, &str); 8] = [
    ("/etc/cluster-os/node.yaml", "The configuration."),
    ("/var/lib/cluster-os/identity.json", "Who the node is: its private key."),
    ("/var/lib/cluster-os/keyring", "The keys of the cluster, the one in use first. Gossip keeps it."),
    ("/var/lib/cluster-os/address.json", "The node's address in the mesh, and the generation of its record."),
    (
        "/var/lib/cluster-os/clock",
        "When the node was up last, in seconds since 1970: a clock that is behind is set forward to it.",
    ),
    ("/var/lib/cluster-os/seeds", "The addresses of other nodes' gossip."),
    ("/run/cluster-os/serf.json", "The configuration of gossip, with the password of its RPC."),
    ("/run/cluster-os/peers.json", "What `start` saw last."),
];

/// The page of `node-agent help`.
pub(super) fn help() -> String {
    let mut page = format!("usage: node-agent COMMAND [OPTION...]\n\nnode-agent: {WHAT}\n\n");
    rows(&mut page, COMMANDS.iter().map(|command| (command.name.to_owned(), command.brief)));
    page.push('\n');
    rows(&mut page, GENERAL.iter().map(|flag| (flag.spelled(), flag.text)));
    page.push_str("\n`node-agent COMMAND --help` says more.\n\nexit codes:\n");
    rows(&mut page, CODES.iter().map(|(code, text)| (code.to_string(), *text)));
    page
}

/// The page of `node-agent COMMAND --help`.
pub(super) fn of(command: &Command) -> String {
    let usage = command.usage();
    let mut page = filled(usage.iter().map(String::as_str), WIDTH, "usage: node-agent ", "           ");
    page.push_str(&format!("\n{}\n\n", command.brief));
    for paragraph in command.text.split("\n\n") {
        page.push_str(&filled(paragraph.split_whitespace(), WIDTH, "", ""));
        page.push('\n');
    }
    rows(&mut page, command.options.iter().map(|flag| (flag.spelled(), flag.text)));
    page.trim_end().to_owned() + "\n"
}

/// Two columns.
fn rows(page: &mut String, rows: impl Iterator<Item = (String, &'static str)>) {
    let rows: Vec<(String, &str)> = rows.collect();
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or(0);
    let rest = " ".repeat(width + 4);
    for (left, right) in rows {
        page.push_str(&filled(right.split_whitespace(), WIDTH, &format!("  {left:width$}  "), &rest));
    }
}

/// The man page in roff.
pub(super) fn page() -> String {
    let mut roff = Roff::new("node-agent", 8, WHAT);
    roff.heading("SYNOPSIS");
    for command in COMMANDS {
        roff.line(".br");
        roff.line(&format!("\\fBnode\\-agent\\fR {}", plain(&command.usage().join(" "))));
    }
    roff.heading("DESCRIPTION");
    roff.paragraph(
        "It makes a node of a cluster: who it is, its WireGuard interface, the members of gossip that become its peers, and what k3s \
         needs. `clusteros-init` runs `init`, `wg0`, `start` and `k3s` as units; the other commands are for people.",
    );
    roff.heading("COMMANDS");
    for command in COMMANDS {
        roff.line(&format!(".SS \"{}\"", plain(&command.usage().join(" "))));
        roff.paragraph(&sentence(command.brief));
        command.text.split("\n\n").for_each(|paragraph| roff.paragraph(paragraph));
        options(&mut roff, command.options);
    }
    roff.heading("OPTIONS");
    options(&mut roff, GENERAL);
    roff.heading("EXIT STATUS");
    roff.codes(CODES);
    roff.heading("ENVIRONMENT");
    for (variable, key) in VARIABLES {
        roff.tagged(variable, &format!("Sets `{key}` of node.yaml."));
    }
    OTHERS.iter().for_each(|(variable, text)| roff.tagged(variable, text));
    roff.heading("FILES");
    FILES.iter().for_each(|(file, text)| roff.tagged(file, text));
    roff.heading("EXAMPLES");
    roff.example(
        "node-agent peers\nnode-agent status --check\nnode-agent mesh --svg >mesh.svg\nnode-agent keys rotate",
    );
    roff.see_also([("clusteros-init", 8), ("gossipd", 8), ("initctl", 1), ("units", 5)].into_iter())
}

fn options(roff: &mut Roff, options: &[Flag]) {
    options.iter().for_each(|flag| roff.tagged(&flag.spelled(), &sentence(flag.text)));
}

/// A line of the table as a sentence; what begins with a program's or an interface's name stays as it is.
fn sentence(text: &str) -> String {
    let (first, rest) = text.split_at_checked(1).unwrap_or((text, ""));
    let name =
        text.split([' ', ',']).next().is_some_and(|word| word == "lo" || word.chars().any(|c| c.is_ascii_digit()));
    let first = if name { first.to_owned() } else { first.to_uppercase() };
    format!("{first}{rest}.")
}

#[cfg(test)]
mod tests {
    use super::{WIDTH, help, of, page};
    use crate::agent::commands::COMMANDS;
    use crate::golden::assert_golden;

    #[test]
    fn help_is_as_it_was() {
        assert_golden("node-agent-help.txt", &help());
        assert_golden("node-agent-help-keys.txt", &of(crate::agent::commands::find("keys").unwrap()));
        for page in COMMANDS.iter().map(of).chain([help()]) {
            assert!(page.lines().all(|line| line.chars().count() <= WIDTH && line == line.trim_end()), "{page}");
        }
    }

    #[test]
    fn the_page_has_every_command_and_option() {
        let page = page();
        assert_golden("man/node-agent.roff", &page);
        for command in COMMANDS {
            assert!(!command.brief.is_empty() && !command.text.is_empty(), "{}", command.name);
            for name in command.options.iter().map(|flag| flag.name).chain([command.name]) {
                assert!(page.contains(&name.replace('-', "\\-")), "{name}");
            }
        }
    }
}
