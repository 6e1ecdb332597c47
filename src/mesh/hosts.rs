//! The names of the mesh in `/etc/hosts`: a block between two marks, and nothing else of the file.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv4Addr;

/// What every name ends with.
pub const DOMAIN: &str = "mesh";

/// The lines around the block, with what ends a line.
const BEGIN: &str = "# begin of the mesh: node-agent keeps these lines\n";
const END: &str = "# end of the mesh\n";

/// What a file that is not there, or has nothing in it, must have for others to be able to use it.
const FIRST: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost\n";

/// The lines of the block. A name that is no host name is left out, whatever it would do to the file; and so is one that is another's,
/// but for the size of its letters: `names` come in the order in which they may claim.
pub fn lines<'a>(names: impl IntoIterator<Item = (&'a str, Ipv4Addr)>) -> String {
    let mut claimed: BTreeMap<String, Ipv4Addr> = BTreeMap::new();
    for (name, address) in names {
        let name = format!("{name}.{DOMAIN}").to_ascii_lowercase();
        if is_host(&name) {
            claimed.entry(name).or_insert(address);
        }
    }
    let mut text = String::new();
    for (name, address) in claimed {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{address}\t{name}");
    }
    text
}

/// The file with these lines as its block, or without one if they are none; none if it is so already. Every other byte stays as it is:
/// a block that is there is changed where it is, a new one is put at the end. A block without its end is left as it is by everything, for
/// nobody can tell what of it is ours, and a new one is put at the end.
pub fn with(file: &[u8], lines: &str) -> Option<Vec<u8>> {
    let (before, after) = match block(file) {
        Some((begin, end)) => (file.get(..begin)?, file.get(end..)?),
        None if lines.is_empty() => return None,
        None => (file, &[][..]),
    };
    let mut new = Vec::with_capacity(file.len() + lines.len() + BEGIN.len() + END.len());
    if before.iter().chain(after).all(u8::is_ascii_whitespace) && !lines.is_empty() {
        new.extend_from_slice(FIRST.as_bytes());
    }
    new.extend_from_slice(before);
    if !lines.is_empty() {
        if before.last().is_some_and(|last| *last != b'\n') {
            new.push(b'\n');
        }
        for text in [BEGIN, lines, END] {
            new.extend_from_slice(text.as_bytes());
        }
    }
    new.extend_from_slice(after);
    (new != file).then_some(new)
}

/// Whether the file has a block with `line` in it.
pub fn has(file: &[u8], line: &str) -> bool {
    let lines = block(file).and_then(|(begin, end)| file.get(begin..end)).unwrap_or_default();
    lines.split_inclusive(|byte| *byte == b'\n').any(|one| one == line.as_bytes())
}

/// Where the block begins and ends: from the last begin that has an end behind it.
fn block(file: &[u8]) -> Option<(usize, usize)> {
    let mut at = 0;
    let (mut begin, mut found) = (None, None);
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        let end = at + line.len();
        if line == BEGIN.as_bytes() {
            begin = Some(at);
        } else if line == END.as_bytes() || line == END.trim_end().as_bytes() {
            found = begin.take().map(|begin| (begin, end)).or(found);
        }
        at = end;
    }
    found
}

/// Whether `name` is a host name (RFC 1123), in small letters: 1 to 63 letters, digits and hyphens between dots, none of them a hyphen
/// at an end, 253 in all.
fn is_host(name: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.chars().all(fits) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::{has, lines, with};
    use std::net::Ipv4Addr;

    const OTHER: &[u8] = b"127.0.0.1 localhost\n\xff\xfe not UTF-8\n\n10.0.0.1\thost # theirs\n";
    const BLOCK: &str = "# begin of the mesh: node-agent keeps these lines\n10.42.0.1\tnode1.mesh\n# end of the mesh\n";

    fn block(names: &[&str]) -> String {
        lines(names.iter().zip(1..).map(|(name, last)| (*name, Ipv4Addr::new(10, 42, 0, last))))
    }

    fn joined(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn a_name_is_a_host_name_or_it_is_left_out() {
        assert_eq!(
            block(&["node2", "node1", "a.b-c"]),
            "10.42.0.3\ta.b-c.mesh\n10.42.0.2\tnode1.mesh\n10.42.0.1\tnode2.mesh\n"
        );
        let long = "a".repeat(64);
        let whole = ["a"; 130].join(".");
        for hostile in [
            "",
            ".",
            "a.",
            "-a",
            "a-",
            "a b",
            "a\tb",
            "a\n10.0.0.1 github.com #",
            "a#",
            "# end of the mesh",
            "a_b",
            "a\0",
            "\u{1b}[2J",
            "ä",
            "a..b",
            "a/b",
            "localhost\r",
            &long,
            &whole,
        ] {
            assert_eq!(block(&[hostile]), "", "{hostile:?}");
        }
    }

    #[test]
    fn a_name_in_other_letters_takes_nobodys() {
        assert_eq!(block(&["node1", "NODE1", "Node2"]), "10.42.0.1\tnode1.mesh\n10.42.0.3\tnode2.mesh\n");
    }

    #[test]
    fn the_block_comes_changes_and_goes_and_nothing_else_does() {
        let one = block(&["node1"]);
        let first = with(OTHER, &one).unwrap();
        assert_eq!(first, joined(&[OTHER, BLOCK.as_bytes()]));
        assert_eq!(with(&first, &one), None);
        assert!(has(&first, &one) && !has(&first, "10.42.0.1\tnode2.mesh\n") && !has(OTHER, &one));
        let later = joined(&[&first, b"10.0.0.9 appended by another, no end of line"]);
        let two = with(&later, &block(&["node1", "node2"])).unwrap();
        assert!(
            two.starts_with(OTHER)
                && two.ends_with(
                    b"10.42.0.2\tnode2.mesh\n# end of the mesh\n10.0.0.9 appended by another, no end of line"
                )
        );
        assert_eq!(with(&two, "").unwrap(), joined(&[OTHER, b"10.0.0.9 appended by another, no end of line"]));
        assert_eq!(with(OTHER, ""), None);
    }

    #[test]
    fn a_last_line_without_an_end_gets_one() {
        assert_eq!(
            with(b"127.0.0.1 localhost", &block(&["node1"])).unwrap(),
            joined(&[b"127.0.0.1 localhost\n", BLOCK.as_bytes()])
        );
    }

    #[test]
    fn a_file_without_anything_in_it_gets_what_others_need() {
        for empty in [&b""[..], b"\n"] {
            let new = with(empty, &block(&["node1"])).unwrap();
            assert!(new.starts_with(b"127.0.0.1\tlocalhost\n::1\tlocalhost\n"));
            assert_eq!(with(&new, &block(&["node1"])), None);
        }
    }

    #[test]
    fn half_a_block_is_nobodys() {
        let half = b"# begin of the mesh: node-agent keeps these lines\n10.0.0.1 mine\n";
        let new = with(half, &block(&["node1"])).unwrap();
        assert_eq!(new, joined(&[half, BLOCK.as_bytes()]));
        assert_eq!(with(&new, "").unwrap(), half);
        let end = b"# end of the mesh\n10.0.0.1 mine\n";
        assert_eq!(with(end, "").as_deref(), None);
        // Its own block without the last end of line is whole.
        let cut = BLOCK.trim_end().as_bytes();
        assert_eq!(with(cut, "").unwrap(), b"");
    }
}
