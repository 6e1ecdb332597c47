//! How PID 1 is called: one table for its `--help` and its man page.

/// The line that follows "usage:".
pub const USAGE: &str = "clusteros-init [options] [--] [COMMAND ARGUMENT...]";

/// What it is.
pub const WHAT: &str = "\
PID 1 for a container or a machine. With a command it runs that command, passes
signals on, reaps, and ends with its status. With a unit table
(/etc/cluster-os/units.toml, then units.d/*.toml) it starts and keeps the units
of the table; with both, the command is the unit `main`.";

/// Every option and what it is for.
pub const OPTIONS: &[(&str, &str)] = &[
    ("--units FILE", "read this table instead"),
    ("--check", "read the table, say every mistake in it, start nothing"),
    ("--mode MODE", "container or appliance, instead of finding out"),
    ("--budget TIME", "how long a shutdown may take; 9s in a container, else 60s"),
    ("-v, --verbose", "say more: what happens; twice: every signal and orphan, too"),
    ("-s", "adopt orphans (done anyway where this is not PID 1)"),
    ("-l, -L", "name the licence"),
    ("-V, --version", "print the version"),
    ("-h, --help", "print this text"),
];

/// What the options after this line are.
pub const WITHOUT_TABLE: &str = "With a command and no table, as tini, dumb-init and catatonit have them:";

/// Options for a command without a table.
pub const WRAPPING: &[(&str, &str)] = &[
    ("-g", "pass signals to the command's process group (the default)"),
    ("-c, --single-child", "pass signals to the command alone"),
    ("-r, --rewrite FROM:TO", "pass TO when FROM comes; 0 for TO: pass nothing"),
    ("-e STATUS", "exit with 0 when the command exits with STATUS"),
    ("--kill-after TIME", "kill a command that is still there TIME after a TERM"),
    ("-p SIGNAL", "get SIGNAL when our own parent ends"),
    ("-w", "warn of every orphan that is reaped"),
    ("-P", "no command: reap until TERM or INT"),
];

/// What else is to be known of them.
pub const REST: &str = "-r and -e may be given more than once; signals are names or numbers.";

/// The text of `--help`.
pub fn help() -> String {
    let mut page = format!("usage: {USAGE}\n\n{WHAT}\n\n");
    rows(&mut page, OPTIONS);
    page.push_str(&format!("\n{WITHOUT_TABLE}\n\n"));
    rows(&mut page, WRAPPING);
    page.push_str(&format!("\n{REST}\n"));
    page
}

fn rows(page: &mut String, rows: &[(&str, &str)]) {
    for (names, text) in rows {
        let gap = if names.len() < 18 { 18 - names.len() } else { 3 };
        page.push_str(&format!("  {names}{:gap$}{text}\n", ""));
    }
}

#[cfg(test)]
mod tests {
    use super::help;

    #[test]
    fn it_fits_a_terminal() {
        assert!(help().lines().all(|line| line.len() <= 80), "{}", help());
        assert!(help().contains("\n  -e STATUS         exit with 0 when"), "{}", help());
    }
}
