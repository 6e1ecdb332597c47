//! Text on a terminal: how many columns it takes, and how it is made to fit.

/// What stands where something is missing.
const ELLIPSIS: char = '…';

/// How many columns `text` takes: two for what East Asian scripts and emoji are drawn with, none for marks that combine.
pub fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// `text` in at most `limit` columns, with a mark at its end if something is missing.
pub fn shortened(text: &str, limit: usize) -> String {
    if width(text) <= limit {
        return text.to_owned();
    }
    let (mut short, mut used) = (String::new(), 0);
    for letter in text.chars() {
        // One column is for the mark.
        if used + columns(letter) + 1 > limit {
            break;
        }
        used += columns(letter);
        short.push(letter);
    }
    if limit > 0 {
        short.push(ELLIPSIS);
    }
    short
}

/// `text` and spaces up to `limit` columns.
pub fn padded(text: &str, limit: usize) -> String {
    format!("{text}{}", " ".repeat(limit.saturating_sub(width(text))))
}

/// `words` in lines of at most `limit` columns, `first` before the first and `rest` before the others; a word that is too long
/// for a line is shortened.
pub fn filled<'a>(words: impl IntoIterator<Item = &'a str>, limit: usize, first: &str, rest: &str) -> String {
    let mut out = String::new();
    let mut line = first.to_owned();
    let mut begun = false;
    for word in words {
        if begun && width(&line) + 1 + width(word) > limit {
            end(&mut out, &line);
            line = rest.to_owned();
            begun = false;
        }
        if begun {
            line.push(' ');
        }
        line.push_str(&shortened(word, limit.saturating_sub(width(&line))));
        begun = true;
    }
    end(&mut out, &line);
    out
}

fn end(out: &mut String, line: &str) {
    out.push_str(line.trim_end());
    out.push('\n');
}

/// `text` without what would move a terminal's cursor, or turn the direction of what follows.
pub fn plain(text: &str) -> String {
    let turns = |letter| matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|letter| if letter.is_control() || turns(letter) { '?' } else { letter }).collect()
}

fn columns(letter: char) -> usize {
    let within = |ranges: &[(char, char)]| ranges.iter().any(|(from, to)| (*from..=*to).contains(&letter));
    if within(NONE) {
        0
    } else if within(TWO) {
        2
    } else {
        1
    }
}

/// Marks that are drawn over the letter before (Unicode's category Mn, the blocks that are nothing else), joiners.
const NONE: &[(char, char)] = &[
    ('\u{300}', '\u{36f}'),
    ('\u{1ab0}', '\u{1aff}'),
    ('\u{1dc0}', '\u{1dff}'),
    ('\u{200b}', '\u{200d}'),
    ('\u{20d0}', '\u{20ff}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{fe20}', '\u{fe2f}'),
    ('\u{feff}', '\u{feff}'),
];

/// Blocks whose letters are wide (East_Asian_Width W and F, and emoji).
const TWO: &[(char, char)] = &[
    ('\u{1100}', '\u{115f}'),
    ('\u{2e80}', '\u{303e}'),
    ('\u{3041}', '\u{a4cf}'),
    ('\u{a960}', '\u{a97f}'),
    ('\u{ac00}', '\u{d7a3}'),
    ('\u{f900}', '\u{faff}'),
    ('\u{fe30}', '\u{fe6f}'),
    ('\u{ff00}', '\u{ff60}'),
    ('\u{ffe0}', '\u{ffe6}'),
    ('\u{1f300}', '\u{1f64f}'),
    ('\u{1f680}', '\u{1f6ff}'),
    ('\u{1f900}', '\u{1faff}'),
    ('\u{20000}', '\u{3fffd}'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_letters() {
        for (text, columns) in [("", 0), ("web", 3), ("größe", 5), ("e\u{301}", 1), ("漢字", 4), ("a🚀", 3), ("한", 2)]
        {
            assert_eq!(width(text), columns, "{text}");
        }
    }

    #[test]
    fn nothing_is_longer_than_it_may_be() {
        let text = "web 漢字 größe 🚀 e\u{301}nd";
        for limit in 0..30 {
            let short = shortened(text, limit);
            assert!(width(&short) <= limit, "{limit}: {short}");
            assert_eq!(short == text, limit >= width(text), "{limit}: {short}");
            assert_eq!(width(&padded(&short, limit)), limit);
            for line in filled(text.split(' '), limit, "> ", "  ").lines() {
                assert!(width(line) <= limit.max(1), "{limit}: {line}");
            }
        }
        assert_eq!(shortened("漢字漢字", 6), "漢字…");
    }

    #[test]
    fn nothing_drives_a_terminal() {
        assert_eq!(plain("a\u{1b}[31m\u{202e}b\u{9b}\n"), "a?[31m?b??");
    }
}
