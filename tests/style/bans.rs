//! What has no place: in PID 1, in tests, anywhere.

use super::source::{Finding, Source, files, finding, rust, scripts};

/// The rooms that PID 1 is made of.
const INIT: &[&str] = &["unit", "boot", "control", "pid1"];

/// In PID 1, a panic is the end of the machine, a print can be, and a thread or a Command waits out of our sight.
const BANNED: &[&str] = &[
    ".unwrap()",
    ".unwrap_err()",
    ".expect(",
    ".expect_err(",
    "panic!(",
    "unreachable!(",
    "todo!(",
    "unimplemented!(",
    "assert!(",
    "assert_eq!(",
    "assert_ne!(",
    "print!(",
    "println!(",
    "eprint!(",
    "eprintln!(",
    "process::Command",
    "thread::",
    "process::exit(",
    "process::abort(",
];

/// Tests that sleep, and why they must. Everything else waits for a condition, with a limit.
const SLEEPS: &[(&str, &str)] = &[
    ("tests/bench/gossip/trial.rs", "the length of a measurement: a cluster at rest; and the pauses between looks"),
    ("tests/kit/check.sh", "the pause of the one loop that waits for a condition"),
    ("tests/kit/mod.rs", "the pause of the loops that wait for a condition"),
    ("tests/ns/ending.rs", "the pace of three equal signals: the kernel merges those not yet read"),
    ("tests/ns/endurance.rs", "the length of a measurement: an idle PID 1 for 20 s"),
    ("tests/lab/run.sh", "the length of a measurement: an idle PID 1 for 20 s"),
];

fn banned(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for (number, line) in source.product().lines().enumerate() {
        for ban in BANNED {
            let whole = |at: usize| {
                let before = line[..at].chars().next_back();
                ban.starts_with('.') || before.is_none_or(|letter| !(letter.is_alphanumeric() || letter == '_'))
            };
            if line.match_indices(ban).any(|(at, _)| whole(at) && !line.contains(&format!("debug_{ban}"))) {
                found.push(finding(source, number + 1, &format!("{ban} in PID 1")));
            }
        }
        // rustfmt puts a space before every bracket that is not an index.
        let mut before = ' ';
        for letter in line.chars() {
            if letter == '[' && (before.is_alphanumeric() || "_)]?".contains(before)) {
                found.push(finding(source, number + 1, "indexing in PID 1: it panics; use get"));
            }
            before = letter;
        }
    }
    found
}

fn everywhere(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let product = source.product().lines().count();
    for (number, line) in source.code().lines().enumerate() {
        let code = line.trim_start();
        // The tests of a file may take all of that file.
        if number >= product && code == "use super::*;" {
            continue;
        }
        if (code.starts_with("use ") || code.starts_with("pub use ")) && line.contains("::*") || code.contains("{*") {
            found.push(finding(source, number + 1, "a wildcard import"));
        }
        if code.contains("[allow(") {
            found.push(finding(source, number + 1, "allow: say expect, with a reason"));
        }
    }
    found
}

/// Whether a test's line sleeps: in Rust a call, in a shell script a command.
fn sleeps(source: &Source) -> Vec<usize> {
    let code = if source.path.ends_with(".rs") { source.code() } else { source.text.clone() };
    let sleeping = |line: &str| {
        if source.path.ends_with(".rs") {
            let word = |at: usize| !line[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_');
            return line.match_indices("sleep(").any(|(at, _)| word(at));
        }
        let line = line.split(" #").next().unwrap_or_default();
        let words: Vec<_> = line.split_whitespace().collect();
        let command = |at: usize| {
            at == 0
                || ["do", "then", "else", "&&", "||", "!", "{", "("].contains(&words[at - 1])
                || words[at - 1].ends_with(';')
        };
        (0..words.len()).any(|at| words[at] == "sleep" && command(at))
    };
    code.lines().enumerate().filter(|(_, line)| sleeping(line)).map(|(number, _)| number + 1).collect()
}

fn asleep(sources: &[Source]) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in sources {
        let lines = sleeps(source);
        match (lines.first(), SLEEPS.iter().any(|(path, _)| *path == source.path)) {
            (Some(&line), false) => found.push(finding(source, line, "a test sleeps: wait for a condition")),
            (None, true) => found.push(finding(source, 1, "sleeps no more: take it off the list")),
            _ => {}
        }
    }
    found
}

/// Words of the desk that this was written at, not of the project. In pieces, so that this file has none.
fn desk(source: &Source) -> Vec<Finding> {
    let folder = concat!("/wo", "rk/");
    let is_path = |line: &str| {
        line.match_indices(folder)
            .any(|(at, _)| line[..at].chars().next_back().is_none_or(|l| !l.is_alphanumeric() && !".-_}".contains(l)))
    };
    let lines = source.text.lines().enumerate().filter(|(_, line)| is_path(line));
    lines.map(|(number, _)| finding(source, number + 1, "a path of somebody's desk")).collect()
}

#[test]
fn pid_1_has_no_way_to_fall_over() {
    let found: Vec<_> = rust("src").iter().filter(|source| INIT.contains(&source.room())).flat_map(banned).collect();
    super::none(&found);
}

#[test]
fn no_wildcards_and_no_allow() {
    let found: Vec<_> = rust("").iter().flat_map(everywhere).collect();
    super::none(&found);
}

#[test]
fn tests_wait_for_conditions() {
    let mut sources = rust("tests");
    sources.extend(scripts().into_iter().filter(|source| source.path.starts_with("tests/")));
    super::none(&asleep(&sources));
}

#[test]
fn the_repository_speaks_of_the_project_alone() {
    let found: Vec<_> = files("").iter().flat_map(desk).collect();
    super::none(&found);
}

#[test]
fn planted_breaches_are_found() {
    for text in [
        "x.unwrap();",
        "x.expect(\"a\");",
        "panic!();",
        "unreachable!()",
        "println!(\"a\")",
        "eprint!(\"\")",
        "std::process::Command::new(a)",
        "use std::thread::spawn;",
        "let a = b[0];",
        "f()[1..]",
        "a[0][..]",
        "assert!(a)",
    ] {
        assert!(!banned(&Source::planted("src/pid1/a.rs", text)).is_empty(), "{text}");
    }
    for text in [
        "x.unwrap_or(1); // panic!()",
        "let [a, b] = c; let d: &[u8] = vec![1];",
        "#[derive(Debug)]",
        "self.expected()",
        "fn f(a: &mut [u8]) {}\n#[cfg(test)]\nmod tests { x.unwrap() }",
        "debug_assert!(a)",
        "panic::catch_unwind(f)",
    ] {
        assert_eq!(banned(&Source::planted("src/pid1/a.rs", text)), [], "{text}");
    }
    let wild = "use a::*;\npub use b::*;\n#[allow(dead_code)]\nlet c = 2 * 3;\n";
    assert_eq!(everywhere(&Source::planted("src/a.rs", wild)).len(), 3);
    let own = "use super::*;\n#[cfg(test)]\nmod tests {\n    use super::*;\n    use a::*;\n}\n";
    assert_eq!(everywhere(&Source::planted("src/a.rs", own)).len(), 2);
    let rust = Source::planted("tests/a/main.rs", "thread::sleep(x);\nlet a = \"sleep(1)\";");
    assert_eq!(sleeps(&rust), [1]);
    let shell = "sleep 1\nif a; then sleep 2; fi\nrun sleep 1000\n# sleep 3\nwhile a; do sleep 0.1; done\n";
    assert_eq!(sleeps(&Source::planted("tests/a.sh", shell)), [1, 2, 5]);
    assert_eq!(asleep(&[rust, Source::planted("tests/kit/check.sh", "true")]).len(), 2);
    let path = format!("cd {}/x\n", concat!("/wo", "rk"));
    assert_eq!(desk(&Source::planted("a.sh", &path)).len(), 1);
    assert_eq!(desk(&Source::planted("a.sh", concat!("lower,upper,$dir/wo", "rk/x"))), []);
}
