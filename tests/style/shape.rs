//! The shape of files: sizes, names, headers, the changelog, the licence, scripts.

use std::process::Command;

use super::source::{Finding, Source, files, finding, repo, rust, scripts};

/// Lines of a file before its tests.
const LONGEST: usize = 400;

/// Names that say nothing of the field.
const NAMELESS: &[&str] = &["manager", "handler", "helper", "helpers", "util", "utils", "common", "core", "misc"];

fn shape(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let lines = source.text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
    if lines > LONGEST {
        found.push(finding(source, lines, &format!("{lines} lines before the tests, of {LONGEST}: split it by noun")));
    }
    if !source.text.starts_with("//! ") {
        found.push(finding(source, 1, "does not begin by saying what it owns (//!)"));
    }
    let name = source.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
    if NAMELESS.contains(&name) || NAMELESS.contains(&source.room()) {
        found.push(finding(source, 1, "a name that says nothing of the field"));
    }
    found
}

/// `# Changelog`, then `## Unreleased` or `## VERSION - DATE`, each with entries of one line that end in a full stop.
fn changelog(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut sections = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for (number, line) in source.text.lines().enumerate().map(|(number, line)| (number + 1, line)) {
        let wrong = |what: &str| finding(source, number, what);
        match line.strip_prefix("## ") {
            Some(section) => sections.push(section),
            None if number == 1 && line != "# Changelog" => found.push(wrong("does not begin with # Changelog")),
            None if line.starts_with('#') && number > 1 => found.push(wrong("a heading that is no release")),
            None if sections.is_empty() || line.is_empty() => {}
            None if !line.starts_with("- ") || !line.ends_with('.') => {
                found.push(wrong("an entry is one line: `- ` and a sentence"));
            }
            None if !seen.insert(line) => found.push(wrong("said twice")),
            None => {}
        }
    }
    if sections.first() != Some(&"Unreleased") {
        found.push(finding(source, 1, "the first section is not Unreleased"));
    }
    found
}

/// Every folder of tests with a `main.rs` is a `[[test]]`: `autotests` is off, and nobody misses a test that never runs.
fn unlisted(manifest: &str, paths: &[String]) -> Vec<Finding> {
    let is_test = |path: &&String| path.starts_with("tests/") && path.ends_with("/main.rs");
    let missing = paths.iter().filter(is_test).filter(|path| !manifest.contains(&format!("path = \"{path}\"")));
    missing.map(|path| Finding(format!("{path}: not in Cargo.toml"))).collect()
}

#[test]
fn files_are_short_and_say_what_they_own() {
    let found: Vec<_> = rust("src").iter().flat_map(shape).collect();
    super::none(&found);
}

#[test]
fn the_changelog_has_its_shape() {
    let found: Vec<_> = files("CHANGELOG.md").iter().flat_map(changelog).collect();
    super::none(&found);
    assert_eq!(files("CHANGELOG.md").len(), 1);
}

#[test]
fn the_licence_is_apache_2() {
    let text = files("LICENSE").remove(0).text;
    assert!(text.contains("Apache License") && text.contains("Version 2.0, January 2004"));
    assert!(files("Cargo.toml").remove(0).text.contains("\nlicense = \"Apache-2.0\"\n"));
}

#[test]
fn every_test_is_listed() {
    let manifest = files("Cargo.toml").remove(0).text;
    let paths: Vec<_> = rust("tests").into_iter().map(|source| source.path).collect();
    super::none(&unlisted(&manifest, &paths));
}

#[test]
fn shellcheck_is_content_with_every_script() {
    if Command::new("shellcheck").arg("--version").output().is_err() {
        return super::skip("shellcheck_is_content_with_every_script", "there is no shellcheck");
    }
    let paths: Vec<_> = scripts().into_iter().map(|source| source.path).collect();
    if paths.is_empty() {
        return;
    }
    let told = Command::new("shellcheck").arg("-x").args(&paths).current_dir(repo()).output().expect("shellcheck runs");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stdout));
    // A script with a mistake, so that we know that it looks.
    let planted = std::env::temp_dir().join(format!("style-{}.sh", std::process::id()));
    std::fs::write(&planted, "#!/bin/sh\nrm -rf $1/*\n").expect("planted");
    let told = Command::new("shellcheck").arg(&planted).output().expect("shellcheck runs");
    std::fs::remove_file(&planted).expect("taken away");
    assert!(!told.status.success());
}

#[test]
fn planted_breaches_are_found() {
    let line = "//! A.\n";
    assert_eq!(shape(&Source::planted("src/unit/a.rs", &line.repeat(400))), []);
    assert_eq!(shape(&Source::planted("src/unit/a.rs", &line.repeat(401))).len(), 1);
    let tested = format!("{line}#[cfg(test)]\n{}", "x\n".repeat(900));
    assert_eq!(shape(&Source::planted("src/unit/a.rs", &tested)), []);
    assert_eq!(shape(&Source::planted("src/unit/a.rs", "fn f() {}")).len(), 1);
    assert_eq!(shape(&Source::planted("src/unit/utils.rs", line)).len(), 1);
    assert_eq!(shape(&Source::planted("src/common/a.rs", line)).len(), 1);

    let log = |text: &str| changelog(&Source::planted("CHANGELOG.md", text)).len();
    assert_eq!(log("# Changelog\n\nWords.\n\n## Unreleased\n\n- A thing.\n\n## 0.1.0\n\n- Another.\n"), 0);
    assert_eq!(log("# Changes\n\n## Unreleased\n"), 1);
    assert_eq!(log("# Changelog\n\n## 0.1.0\n"), 1);
    assert_eq!(log("# Changelog\n\n## Unreleased\n\n- No full stop\n* A star.\n- A.\n- A.\n### Deep\n"), 4);

    let paths = ["tests/a/main.rs".to_owned(), "tests/a/b.rs".to_owned(), "tests/c/main.rs".to_owned()];
    assert_eq!(unlisted("path = \"tests/a/main.rs\"", &paths), [Finding("tests/c/main.rs: not in Cargo.toml".into())]);
}
