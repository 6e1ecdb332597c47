//! The rules of the house, as tests. Each is tried on a planted breach, too: a rule that cannot fail checks nothing.

mod bans;
mod checklist;
mod package;
mod rooms;
mod shape;
mod source;

use source::Finding;

/// Fails with every finding, one a line.
fn none(found: &[Finding]) {
    let lines: Vec<_> = found.iter().map(|finding| finding.0.as_str()).collect();
    assert!(lines.is_empty(), "{} findings:\n{}", lines.len(), lines.join("\n"));
}

/// Says that a test could not run; with `NEED=all`, that is a failure.
fn skip(name: &str, reason: &str) {
    assert!(std::env::var_os("NEED").is_none_or(|need| need != "all"), "skipped: {name}: {reason}");
    eprintln!("skipped: {name}: {reason}");
}
