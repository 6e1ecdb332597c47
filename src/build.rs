//! Tells the linker where `clusteros-init` starts (`src/sys/entry.rs` says why), to write a program's relocations to itself in a
//! bit each (DT_RELR, 60 KB less) where the libc of this machine can read that, what else may be left out, and when the
//! sources were written.

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

fn main() -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "cargo:rerun-if-changed=src/build.rs")?;
    let target = |key| env::var(format!("CARGO_CFG_TARGET_{key}")).unwrap_or_default();
    if target("OS") == "linux" && target("ARCH") == "x86_64" {
        writeln!(out, "cargo:rustc-link-arg-bin=clusteros-init=-Wl,--entry=clusteros_init_entry")?;
    }
    // It aborts where it would unwind, so nobody reads the index of unwind tables.
    if env::var("PROFILE").as_deref() == Ok("release") && target("ENV") == "gnu" {
        writeln!(out, "cargo:rustc-link-arg-bin=clusteros-init=-Wl,--no-eh-frame-hdr")?;
    }
    if let Some(time) = source_time(&mut out)? {
        writeln!(out, "cargo:rustc-env=SOURCE_TIME={time}")?;
    }
    let here = env::var_os("HOST") == env::var_os("TARGET");
    if here && target("ENV") == "gnu" && libc_version().is_some_and(|version| version >= PACKED) {
        writeln!(out, "cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs")?;
    }
    Ok(())
}

/// The date of the sources, in seconds since 1970, so that who builds them again gets the same: what is asked for, or that of the
/// commit. Others than released programs have none: each commit would build them anew.
fn source_time(out: &mut impl Write) -> io::Result<Option<u64>> {
    writeln!(out, "cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH")?;
    let read = |text: String| text.trim().parse().ok();
    if let Ok(asked) = env::var("SOURCE_DATE_EPOCH") {
        return Ok(read(asked));
    }
    if env::var("PROFILE").as_deref() != Ok("release") || !Path::new(".git").exists() {
        return Ok(None);
    }
    let git = |words: &[&str]| {
        let told = Command::new("git").args(words).output().ok().filter(|told| told.status.success())?;
        String::from_utf8(told.stdout).ok()
    };
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        writeln!(out, "cargo:rerun-if-changed={}", log.trim())?;
    }
    Ok(git(&["log", "-1", "--format=%ct"]).and_then(read))
}

/// glibc's first that relocates a static program so.
const PACKED: (u32, u32) = (2, 36);

/// glibc's version; none if this is another libc, or nobody tells.
fn libc_version() -> Option<(u32, u32)> {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?.stdout;
    let told = String::from_utf8(told).ok()?;
    let (major, minor) = told.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
