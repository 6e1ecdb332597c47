//! Bytes into lines: where a line ends, and what becomes of one that does not.

use crate::control::line::Line;

/// The longest line kept in one piece, in bytes: the size of a pipe, so that one read never makes more than two pieces.
pub const LONGEST: usize = 64 * 1024;

/// The bytes of one pipe, cut into lines. It holds at most [`LONGEST`] bytes.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Gives every line that `bytes` completes to `each`, in order, and keeps what is left.
    pub fn take(&mut self, mut bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let (line, after) = bytes.split_at(end);
            self.add(line, &mut each);
            each(Line { text: &self.rest, goes_on: false });
            self.rest.clear();
            bytes = &after[1..];
        }
        self.add(bytes, &mut each);
    }

    /// With `rest`, the beginning of a line, already there.
    pub fn going_on(rest: Vec<u8>) -> Lines {
        Lines { rest }
    }

    /// The beginning of a line whose end has not come.
    pub fn rest(&self) -> &[u8] {
        &self.rest
    }

    /// Gives what is left, if anything is, to `each`: the pipe has ended.
    pub fn finish(&mut self, each: impl FnOnce(Line<'_>)) {
        if !self.rest.is_empty() {
            each(Line { text: &self.rest, goes_on: false });
            self.rest = Vec::new();
        }
    }

    fn add(&mut self, mut bytes: &[u8], each: &mut impl FnMut(Line<'_>)) {
        while self.rest.len() + bytes.len() > LONGEST {
            let (fits, after) = bytes.split_at(LONGEST - self.rest.len());
            self.rest.extend_from_slice(fits);
            each(Line { text: &self.rest, goes_on: true });
            self.rest.clear();
            bytes = after;
        }
        self.rest.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, Line, Lines};

    fn lines(chunks: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
        let mut out = Vec::new();
        let mut lines = Lines::default();
        let mut each = |line: Line<'_>| out.push((line.text.to_vec(), line.goes_on));
        for chunk in chunks {
            lines.take(chunk, &mut each);
        }
        lines.finish(each);
        out
    }

    #[test]
    fn whole_lines_split_lines_and_an_unfinished_one() {
        let expected = vec![(b"one".to_vec(), false), (b"".to_vec(), false), (b"two three".to_vec(), false)];
        assert_eq!(lines(&[b"one\n\ntwo three"]), expected);
        assert_eq!(lines(&[b"on", b"e\n", b"\ntwo", b" three"]), expected);
        assert_eq!(lines(&[b"one\n"]), [(b"one".to_vec(), false)]);
        assert_eq!(lines(&[]), []);
    }

    #[test]
    fn the_cuts_of_the_reader_do_not_show() {
        let text: Vec<u8> = (0..5000_u32).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let whole = lines(&[&text]);
        for size in [1, 2, 3, 7, 1000, 4096] {
            assert_eq!(lines(&text.chunks(size).collect::<Vec<_>>()), whole, "chunks of {size}");
        }
    }

    #[test]
    fn a_line_that_never_ends_is_cut_and_its_memory_is_bounded() {
        let long = vec![b'x'; LONGEST * 2 + 5];
        let mut ended = long.clone();
        ended.push(b'\n');
        let sizes: Vec<_> = lines(&[&ended]).iter().map(|(text, goes_on)| (text.len(), *goes_on)).collect();
        assert_eq!(sizes, [(LONGEST, true), (LONGEST, true), (5, false)]);
        let pieces = lines(&long.chunks(1000).collect::<Vec<_>>());
        assert_eq!(pieces.len(), 3);
        // Exactly the limit is one line, not two.
        assert_eq!(lines(&[&vec![b'x'; LONGEST], b"\n"]).len(), 1);

        let mut lines = Lines::default();
        for chunk in long.chunks(777) {
            lines.take(chunk, |_| ());
            assert!(lines.rest.len() <= LONGEST);
        }
    }
}
