//! Files as the rules see them, and the little Rust that a rule must understand.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of the repository.
pub struct Source {
    /// From the top of the repository.
    pub path: String,
    pub text: String,
}

/// One breach of a rule: where, and what.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding(pub String);

pub fn finding(source: &Source, line: usize, what: &str) -> Finding {
    Finding(format!("{}:{line}: {what}", source.path))
}

pub fn repo() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file of the repository below `folder` (or that one file), sorted.
pub fn files(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    walk(&repo().join(folder), &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(path: &Path, found: &mut Vec<Source>) {
    let top = repo();
    let name = path.strip_prefix(&top).expect("below the top").to_string_lossy().into_owned();
    if path.is_symlink() || ["target", ".git"].contains(&name.as_str()) {
        return;
    }
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("listed") {
            walk(&entry.expect("an entry").path(), found);
        }
    } else if let Ok(text) = fs::read_to_string(path) {
        found.push(Source { path: name, text });
    }
}

pub fn rust(folder: &str) -> Vec<Source> {
    files(folder).into_iter().filter(|source| source.path.ends_with(".rs")).collect()
}

/// Shell scripts, by their first line.
pub fn scripts() -> Vec<Source> {
    let is_script = |source: &Source| {
        let first = source.text.lines().next().unwrap_or_default();
        first.starts_with("#!") && first.ends_with("sh")
    };
    files("").into_iter().filter(is_script).collect()
}

impl Source {
    /// A file that a self-test plants.
    pub fn planted(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    /// The room: the folder below `src`, or the file's own name at its top.
    pub fn room(&self) -> &str {
        let below = self.path.strip_prefix("src/").unwrap_or_default();
        below.split_once('/').map_or(below.trim_end_matches(".rs"), |(room, _)| room)
    }

    /// The code alone: comments, strings and character literals blanked, lines kept.
    pub fn code(&self) -> String {
        code(&self.text)
    }

    /// The code before the tests.
    pub fn product(&self) -> String {
        let lines = self.text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
        code(&lines.collect::<Vec<_>>().join("\n"))
    }

    /// Every path that the code before the tests uses, with its line: groups expanded, `super` and `self` resolved.
    pub fn paths(&self) -> Vec<(usize, String)> {
        let mut module: Vec<&str> = vec!["crate"];
        let below = self.path.strip_prefix("src/").unwrap_or_default().trim_end_matches(".rs");
        module.extend(below.split('/').filter(|part| *part != "mod" && *part != "lib"));
        let mut found = Vec::new();
        for (number, tree) in trees(&self.product()) {
            let mut flat = Vec::new();
            expand("", &tree, &mut flat);
            found.extend(flat.into_iter().map(|path| (number, resolve(&path, &module))));
        }
        found
    }
}

fn resolve(path: &str, module: &[&str]) -> String {
    let mut base = module.to_vec();
    let mut parts = path.split("::").peekable();
    let mut relative = false;
    while let Some(part) = parts.next_if(|part| *part == "super" || *part == "self") {
        relative = true;
        if part == "super" {
            base.pop();
        }
    }
    if !relative {
        return path.to_owned();
    }
    base.extend(parts);
    base.join("::")
}

/// Text that starts like a path, `a::b` or `a::{b, c::d}`, with its line. A path may go over lines within its braces.
fn trees(code: &str) -> Vec<(usize, String)> {
    let letters: Vec<char> = code.chars().collect();
    let (mut found, mut line, mut at) = (Vec::new(), 1, 0);
    while let Some(&letter) = letters.get(at) {
        if !(letter.is_alphabetic() || letter == '_') {
            line += usize::from(letter == '\n');
            at += 1;
            continue;
        }
        let (start, first) = (at, line);
        let mut depth = 0_usize;
        while let Some(&letter) = letters.get(at) {
            let colons = letter == ':' && (letters.get(at + 1) == Some(&':') || letters.get(at - 1) == Some(&':'));
            let opens = letter == '{' && letters.get(at - 1) == Some(&':');
            let inside = depth > 0 && (letter.is_whitespace() || "{},*".contains(letter));
            if !(letter.is_alphanumeric() || letter == '_' || colons || opens || inside) {
                break;
            }
            depth = if letter == '{' { depth + 1 } else { depth.saturating_sub(usize::from(letter == '}')) };
            line += usize::from(letter == '\n');
            at += 1;
        }
        let tree: String = letters[start..at].iter().collect();
        if tree.contains("::") {
            found.push((first, tree));
        }
    }
    found
}

fn expand(prefix: &str, tree: &str, flat: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        if !tree.is_empty() {
            let name = tree.split(" as ").next().unwrap_or(tree).trim();
            flat.push(format!("{prefix}{name}"));
        }
        return;
    };
    let rest = rest.strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut start) = (0_usize, 0);
    for (at, letter) in rest.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                expand(&format!("{prefix}{head}"), &rest[start..at], flat);
                start = at + 1;
            }
            _ => {}
        }
    }
    expand(&format!("{prefix}{head}"), &rest[start..], flat);
}

/// Blanks comments, strings and character literals.
fn code(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < letters.len() {
        let end = literal_end(&letters, at);
        if end == at {
            out.push(letters[at]);
            at += 1;
        } else {
            out.extend(letters[at..end].iter().map(|&letter| if letter == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` if none does.
fn literal_end(letters: &[char], at: usize) -> usize {
    let is = |offset: usize, letter: char| letters.get(at + offset) == Some(&letter);
    let until = |from: usize, end: &[char]| {
        (from..letters.len()).find(|&place| letters[place..].starts_with(end)).map_or(letters.len(), |p| p + end.len())
    };
    if is(0, '/') && is(1, '/') {
        return until(at, &['\n']).saturating_sub(1).max(at);
    }
    if is(0, '/') && is(1, '*') {
        return until(at + 2, &['*', '/']);
    }
    let after_a_name = at > 0 && letters.get(at - 1).is_some_and(|&l| l.is_alphanumeric() || l == '_');
    if is(0, 'r') && !after_a_name || is(0, 'b') && is(1, 'r') && !after_a_name {
        let start = at + if is(0, 'b') { 2 } else { 1 };
        let hashes = letters[start..].iter().take_while(|&&letter| letter == '#').count();
        if letters.get(start + hashes) == Some(&'"') {
            let mut end = vec!['"'];
            end.extend(std::iter::repeat_n('#', hashes));
            return until(start + hashes + 1, &end);
        }
    }
    if is(0, '"') {
        let mut place = at + 1;
        while place < letters.len() && letters[place] != '"' {
            place += if letters[place] == '\\' { 2 } else { 1 };
        }
        return (place + 1).min(letters.len());
    }
    if is(0, '\'') && (is(1, '\\') || is(2, '\'')) {
        return if is(1, '\\') { until(at + 3, &['\'']) } else { at + 3 };
    }
    at
}

#[test]
fn comments_and_literals_are_blanked() {
    let source =
        Source::planted("src/x/y.rs", "let a = \"un\\\"safe\"; // unsafe\nlet b = 'x'; r#\"pa\"nic\"# 'a: loop {}");
    let code = source.code();
    assert!(!code.contains("safe") && !code.contains("nic") && code.contains("'a: loop"), "{code}");
    assert_eq!(code.lines().count(), 2);
    let tested = Source::planted("src/x.rs", "fn a() {}\n#[cfg(test)]\nmod tests { b() }\n");
    assert!(tested.code().contains("b()") && !tested.product().contains("b()"));
}

#[test]
fn paths_are_expanded_and_resolved() {
    let source = Source::planted(
        "src/unit/deep.rs",
        "use std::{env,\n  fs::{self, File}};\nuse super::super::sys::Errno;\nfn f() { std::thread::spawn(g) }\n",
    );
    let paths: Vec<_> = source.paths().into_iter().map(|(line, path)| format!("{line} {path}")).collect();
    let expected = ["1 std::env", "1 std::fs::self", "1 std::fs::File", "3 crate::sys::Errno", "4 std::thread::spawn"];
    assert_eq!(paths, expected);
    assert_eq!(source.room(), "unit");
}
