//! What PID 1 is linked with.

use std::process::Command;

use super::source::{Finding, repo};

/// Every crate that may be in PID 1, `logd` and a plain `initctl`, with those that only work at build time.
const LINKED: &[&str] = &[
    "bitflags",
    "cfg-if",
    "clusteros-init",
    "env_filter",
    "env_logger",
    "errno",
    "libc",
    "log",
    "memoffset",
    "nix",
    "serde",
    "serde_core",
    "serde_spanned",
    "signal-hook",
    "signal-hook-registry",
    "toml",
    "toml_datetime",
    "toml_parser",
    "winnow",
];
/// What `serde_derive` is made of: it runs in the compiler.
const AT_BUILD_TIME: &[&str] = &["proc-macro2", "quote", "serde_derive", "syn", "unicode-ident"];

/// The crates of `cargo tree --prefix none`, one a line with their versions, that are on neither list.
fn strangers(tree: &str) -> Vec<Finding> {
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    let known = |name: &&str| LINKED.contains(name) || AT_BUILD_TIME.contains(name);
    let strange: std::collections::BTreeSet<_> = names.filter(|name| !known(name)).collect();
    strange.into_iter().map(|name| Finding(format!("{name}: not in PID 1"))).collect()
}

#[test]
fn pid_1_is_linked_with_little() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let told = Command::new(cargo)
        .args(["tree", "--offline", "--locked", "--no-default-features", "-e", "normal", "--prefix", "none"])
        .current_dir(repo())
        .output()
        .expect("cargo runs");
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success() && text.contains("nix v"), "{}", String::from_utf8_lossy(&told.stderr));
    super::none(&strangers(&text));
}

#[test]
fn planted_breaches_are_found() {
    assert_eq!(strangers("nix v0.31.3\nserde_derive v1.0.0 (proc-macro)\nclusteros-init v0.1.0 (/somewhere)\n"), []);
    for name in ["tokio", "serde_json", "rtnetlink"] {
        assert_eq!(strangers(&format!("nix v0.31.3\n{name} v1.0.0\n")).len(), 1);
    }
}
