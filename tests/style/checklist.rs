//! `tests/CHECKLIST.md` names tests that are there.

use super::source::{Finding, files};

/// What is between backquotes and names a test: `FILE::TEST`.
fn named(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.split_once("::"))
}

/// Whether `file`, which is under `tests/` or `src/` and may lack its ending, has the test.
fn has(texts: &[(String, String)], file: &str, test: &str) -> bool {
    let paths = [format!("tests/{file}.rs"), format!("src/{file}.rs"), format!("src/{file}/mod.rs"), file.to_owned()];
    let wanted = if file.contains('.') { test.to_owned() } else { format!("fn {test}(") };
    texts.iter().any(|(path, text)| paths.contains(path) && text.contains(&wanted))
}

fn missing(list: &str, texts: &[(String, String)]) -> Vec<Finding> {
    let lines = list.lines().zip(1..);
    let of = |(line, number): (&str, usize)| {
        let absent = named(line).filter(|(file, test)| !has(texts, file, test));
        let told = absent.map(|(file, test)| format!("tests/CHECKLIST.md:{number}: there is no {file}::{test}"));
        let row = line.strip_prefix("| ").is_some_and(|row| row.ends_with("|  |"));
        told.chain(row.then(|| format!("tests/CHECKLIST.md:{number}: neither a test nor a reason"))).collect::<Vec<_>>()
    };
    lines.flat_map(of).map(Finding).collect()
}

#[test]
fn every_test_that_is_named_is_there() {
    let list = files("tests/CHECKLIST.md").remove(0).text;
    let sources = ["src", "tests"].into_iter().flat_map(super::source::rust);
    let mut texts: Vec<_> = sources.map(|source| (source.path, source.text)).collect();
    let scripts = ["tests/run.sh", "tests/image/inside.sh"];
    texts.extend(scripts.map(|path| (path.to_owned(), files(path).remove(0).text)));
    assert!(named(&list).count() > 80);
    super::none(&missing(&list, &texts));
}

#[test]
fn planted_breaches_are_found() {
    let texts = [("tests/ns/a.rs".to_owned(), "#[test]\nfn one() {}\n".to_owned())];
    assert_eq!(missing("| x | `ns/a::one` |\n", &texts), []);
    assert_eq!(missing("| x | `ns/a::on`, `ns/b::one` |\n", &texts).len(), 2);
    assert_eq!(missing("| x |  |\n", &texts).len(), 1);
}
