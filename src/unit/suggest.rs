//! The name that was probably meant.

/// Longer words are not compared: no name in a table is that long, and the cost grows with the square.
const LONGEST: usize = 64;

/// The candidate nearest to `word`, if one is near enough to be what was meant: at most a third of its letters wrong.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().map(plain).take(LONGEST + 1).collect();
    if word.len() > LONGEST {
        return None;
    }
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other: Vec<char> = candidate.chars().map(plain).collect();
            let allowed = word.len().max(other.len()).div_ceil(3);
            let apart = distance(&word, &other);
            (apart <= allowed && apart < other.len()).then_some((apart, candidate))
        })
        .min_by_key(|(apart, _)| *apart)
        .map(|(_, candidate)| candidate)
}

/// `_` for `-` and capitals for small letters are no difference in meaning.
fn plain(letter: char) -> char {
    if letter == '_' { '-' } else { letter.to_ascii_lowercase() }
}

/// Insertions, deletions, replacements and swaps of neighbours that make `right` from `left`.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    let mut left_before = None;
    for (row, &l) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        let mut right_before = None;
        for (column, &r) in right.iter().enumerate() {
            let at = |cells: &[usize], index: usize| cells.get(index).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&above, column) + usize::from(l != r);
            let added = at(&line, column) + 1;
            let removed = at(&above, column + 1) + 1;
            let mut least = replaced.min(added).min(removed);
            if left_before == Some(r) && right_before == Some(l) && column > 0 {
                least = least.min(at(&before, column - 1) + 1);
            }
            line.push(least);
            right_before = Some(r);
        }
        left_before = Some(l);
        before = std::mem::replace(&mut above, line);
    }
    above.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(left: &str, right: &str) -> usize {
        distance(&left.chars().collect::<Vec<_>>(), &right.chars().collect::<Vec<_>>())
    }

    #[test]
    fn distances() {
        assert_eq!(apart("", ""), 0);
        assert_eq!(apart("", "exec"), 4);
        assert_eq!(apart("exec", ""), 4);
        assert_eq!(apart("exec", "exce"), 1);
        assert_eq!(apart("exec", "xec"), 1);
        assert_eq!(apart("gossip", "gosip"), 1);
        assert_eq!(apart("kitten", "sitting"), 3);
    }

    #[test]
    fn only_what_is_near() {
        let names = ["exec", "env", "stop", "stop-timeout", "stop-signal"];
        assert_eq!(nearest("exce", names), Some("exec"));
        assert_eq!(nearest("stop_timeout", names), Some("stop-timeout"));
        assert_eq!(nearest("Stop-Timout", names), Some("stop-timeout"));
        assert_eq!(nearest("zebra", names), None);
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest(&"x".repeat(100_000), names), None);
    }
}
