//! Tells the linker where `clusteros-init` starts: `src/sys/entry.rs` says why.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "cargo:rerun-if-changed=src/build.rs")?;
    let target = |key| std::env::var(format!("CARGO_CFG_TARGET_{key}")).unwrap_or_default();
    if target("OS") == "linux" && target("ARCH") == "x86_64" {
        writeln!(out, "cargo:rustc-link-arg-bin=clusteros-init=-Wl,--entry=clusteros_init_entry")?;
    }
    Ok(())
}
