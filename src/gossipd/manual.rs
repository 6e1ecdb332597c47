//! What `-help` and the man page say, from the one table of settings.

use super::settings::{KEYS, Key, Takes};
use crate::control::roff::Roff;

/// Flags that are no settings.
const OTHERS: [(&str, &str); 2] =
    [("-config-file=FILE", "JSON, as Serf's; may be given again"), ("-config-dir=DIR", "every .json file in it")];

/// What ends `-help`.
const SIGNALS: [(&str, &str); 3] = [
    ("SIGINT", "leaves the cluster, and ends"),
    ("SIGTERM", "ends"),
    ("SIGHUP", "reads tags, log level and event handlers again"),
];

/// What it ends with.
const CODES: [(u8, &str); 5] = [
    (0, "it has left the cluster"),
    (1, "it was ended without a leave, lost its name to another node, or something of the machine is not to be had"),
    (64, "the command line is wrong"),
    (70, "an internal error"),
    (78, "the configuration is wrong: trying again would not help"),
];

/// The form of a setting's value, and what it is.
fn parts(key: &Key) -> (&'static str, &'static str) {
    match key.help.split_once("  ") {
        Some(parts) if key.takes != Takes::Switch => parts,
        _ => ("", key.help),
    }
}

/// A flag as it is typed.
fn flag(key: &Key) -> String {
    let (value, _) = parts(key);
    if value.is_empty() { format!("-{}", key.flag) } else { format!("-{}={value}", key.flag) }
}

/// The flags that are heeded.
fn flags() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| key.heeded && !key.flag.is_empty())
}

/// What `-help` says.
pub fn help() -> String {
    let mut text = "usage: gossipd [OPTION...]\n\n\
                    Membership of a cluster, by Serf's protocol, with the options of 'serf agent'.\n\n"
        .to_owned();
    let mut row = |flag: &str, what: &str| {
        // What is too long has a line of its own.
        let gap = if flag.len() > 24 { format!("\n{:26}", "") } else { String::new() };
        text += &format!("  {flag:<24}{gap} {what}\n");
    };
    OTHERS.iter().for_each(|(flag, what)| row(flag, what));
    flags().for_each(|key| row(&flag(key), parts(key).1));
    row("-man", "print the man page: keys of files, too");
    row("-version", "print the version");
    text.push('\n');
    for (signal, what) in SIGNALS {
        text += &format!("  {signal:<24} {what}\n");
    }
    text
}

/// What `-version` says.
pub fn version() -> String {
    format!("gossipd {}\nAgent Protocol: 5 (Understands back to: 2)\n", env!("CARGO_PKG_VERSION"))
}

/// The man page in roff.
pub fn page() -> String {
    let mut roff = Roff::new("gossipd", 8, "membership of a cluster, by Serf's protocol");
    roff.heading("SYNOPSIS");
    roff.line("\\fBgossipd\\fR [OPTION...]");
    roff.heading("DESCRIPTION");
    roff.paragraph(
        "It finds out which nodes there are, and tells whoever asks by Serf's RPC. It speaks the protocol of HashiCorp's Serf 0.9, so its \
         cluster may have agents of Serf, and the command line of `serf` works against it. Its options are those of `serf agent`; \
         the word `agent` may stand before them.",
    );
    roff.paragraph("A TIME is as Go writes it: 30s, 500ms, 1m30s. Options may have one dash or two, and a space for the equals sign.");
    roff.heading("OPTIONS");
    OTHERS.iter().for_each(|(flag, what)| roff.tagged(flag, what));
    for key in flags() {
        roff.tagged(&flag(key), &key_too(key));
    }
    roff.tagged("-man, -version, -help", "Print this page, the version, or the options, and end.");
    roff.heading("CONFIGURATION");
    roff.paragraph(
        "A file is an object of JSON. Its keys are named with the options above; lists take several values, `tags` is an object. What was \
         typed has the last word, and lists are one list. A key that is not known is refused. These are keys only:",
    );
    for key in KEYS.iter().filter(|key| key.heeded && key.flag.is_empty()) {
        let (value, what) = parts(key);
        roff.tagged(format!("{} {value}", key.key).trim_end(), what);
    }
    roff.heading("WHAT IS SERF'S ALONE");
    roff.paragraph("Taken, and said in the log to be of no effect:");
    for key in KEYS.iter().filter(|key| !key.heeded) {
        let names: Vec<String> =
            [if key.flag.is_empty() { String::new() } else { format!("-{}", key.flag) }, key.key.to_owned()]
                .into_iter()
                .filter(|name| !name.is_empty())
                .collect();
        roff.tagged(&names.join(", "), parts(key).1);
    }
    roff.heading("SIGNALS");
    SIGNALS.iter().for_each(|(signal, what)| roff.tagged(signal, what));
    roff.heading("ENVIRONMENT");
    roff.tagged("NOTIFY_SOCKET", "Who is told, by sd_notify, that it listens.");
    roff.heading("EXIT STATUS");
    roff.codes(&CODES);
    roff.heading("FILES");
    roff.tagged(
        "/run/cluster-os/serf.json",
        "The configuration that `node-agent init` makes, with the password of the RPC.",
    );
    roff.tagged(
        "/var/lib/cluster-os/keyring",
        "The cluster's keys, the one in use first, which `node-agent init` makes of the configured key; every change of them is kept there.",
    );
    roff.heading("EXAMPLES");
    roff.example("gossipd -node=a -bind=10.0.0.1 -encrypt=\"$KEY\" -retry-join=10.0.0.2\nserf members");
    roff.see_also([("initctl", 1), ("clusteros-init", 8), ("units", 5)].into_iter())
}

/// What a setting is, and its key where that is called otherwise.
fn key_too(key: &Key) -> String {
    let (_, what) = parts(key);
    if key.key.is_empty() || key.key == key.flag { what.to_owned() } else { format!("{what} (`{}`)", key.key) }
}

#[cfg(test)]
mod tests {
    use super::{help, page};
    use crate::golden::assert_golden;
    use crate::gossipd::settings::KEYS;

    #[test]
    fn help_is_as_it_was() {
        let text = help();
        assert_golden("gossipd-help.txt", &text);
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }

    #[test]
    fn the_page_has_every_flag_and_key() {
        let page = page();
        assert_golden("man/gossipd.roff", &page);
        for key in KEYS {
            assert!(!key.help.is_empty(), "{}{}", key.flag, key.key);
            for name in [key.flag, key.key] {
                assert!(page.contains(&name.replace('-', "\\-")), "{name}");
            }
        }
    }
}
