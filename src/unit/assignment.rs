//! Lines of an `env-file`: `NAME=VALUE`. Nothing allocates: they are read in a process that is on its way to its program.

/// Turns `line` in place into `NAME=VALUE` as an environment has it, at its start, and answers with the length; none if the
/// line is blank or a comment (`#`, `;`). The value is what stands there without blanks around it; or what stands between two
/// `'`; or between two `"`, where `\` makes `"`, `\`, `$` and a backquote plain.
///
/// # Errors
/// It is nothing of the kind: no `=`, a name that is none, an open quote, something behind a quote, a `\` at the end
/// (systemd goes on in the next line there), a zero byte.
pub fn settle(line: &mut [u8]) -> Result<Option<usize>, Bad> {
    let blanks = line.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let end = line.len() - line.iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count().min(line.len());
    match line.get(blanks..end).and_then(<[u8]>::first) {
        None | Some(b'#' | b';') => return Ok(None),
        Some(_) => {}
    }
    if line.contains(&0) {
        return Err(Bad);
    }
    let mut out = Writer { line, from: blanks, end, to: 0 };
    out.name()?;
    out.blanks();
    match out.peek() {
        Some(b'\'') => out.single()?,
        Some(b'"') => out.double()?,
        _ => out.plain()?,
    }
    Ok(Some(out.to))
}

/// A line that is no assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad;

/// Reads `line` from `from` to `end` and writes what it means from its start to `to`, which never overtakes `from`.
struct Writer<'a> {
    line: &'a mut [u8],
    from: usize,
    end: usize,
    to: usize,
}

impl Writer<'_> {
    fn peek(&self) -> Option<u8> {
        self.line.get(..self.end)?.get(self.from).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.from += 1;
        Some(byte)
    }

    fn put(&mut self, byte: u8) {
        if let Some(slot) = self.line.get_mut(self.to) {
            *slot = byte;
            self.to += 1;
        }
    }

    fn name(&mut self) -> Result<(), Bad> {
        loop {
            let byte = self.take().ok_or(Bad)?;
            let letter = byte.is_ascii_alphabetic() || byte == b'_' || self.to > 0 && byte.is_ascii_digit();
            if !letter && (byte != b'=' || self.to == 0) {
                return Err(Bad);
            }
            self.put(byte);
            if byte == b'=' {
                return Ok(());
            }
        }
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.from += 1;
        }
    }

    fn plain(&mut self) -> Result<(), Bad> {
        let mut last = 0;
        while let Some(byte) = self.take() {
            self.put(byte);
            last = byte;
        }
        if last == b'\\' { Err(Bad) } else { Ok(()) }
    }

    fn single(&mut self) -> Result<(), Bad> {
        self.from += 1;
        loop {
            match self.take().ok_or(Bad)? {
                b'\'' => return self.over(),
                byte => self.put(byte),
            }
        }
    }

    fn double(&mut self) -> Result<(), Bad> {
        self.from += 1;
        loop {
            match self.take().ok_or(Bad)? {
                b'"' => return self.over(),
                b'\\' if self.peek().is_some_and(|byte| b"\"\\$`".contains(&byte)) => {
                    let byte = self.take().ok_or(Bad)?;
                    self.put(byte);
                }
                byte => self.put(byte),
            }
        }
    }

    /// Behind the closing quote nothing follows.
    fn over(&self) -> Result<(), Bad> {
        if self.from == self.end { Ok(()) } else { Err(Bad) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(line: &str) -> Result<Option<String>, Bad> {
        let mut bytes = line.as_bytes().to_vec();
        let length = settle(&mut bytes)?;
        Ok(length.map(|length| String::from_utf8(bytes[..length].to_vec()).unwrap()))
    }

    #[test]
    fn what_a_line_means() {
        for (line, meaning) in [
            ("A=1", "A=1"),
            ("  _a9 =", ""),
            ("A=", "A="),
            ("A=  two words \r", "A=two words"),
            ("A='$x \\ \"'", "A=$x \\ \""),
            ("A=\"a\\\"b\\\\c\\$d\\`e\\n 'f'\"", "A=a\"b\\c$d`e\\n 'f'"),
            ("A='' ", "A="),
            ("A=b#c", "A=b#c"),
            ("A=it's", "A=it's"),
            ("A=x=y", "A=x=y"),
        ] {
            let expected = if meaning.is_empty() { Err(Bad) } else { Ok(Some(meaning.to_owned())) };
            assert_eq!(settled(line), expected, "{line}");
        }
        for line in ["", "   ", "# A=1", " ;A=1", "\r"] {
            assert_eq!(settled(line), Ok(None), "{line:?}");
        }
    }

    #[test]
    fn what_is_no_assignment() {
        for line in [
            "A",
            "=1",
            "1A=2",
            "A B=1",
            "export A=1",
            "A='x",
            "A=\"x",
            "A='x' y",
            "A=\"x\\\"",
            "A=x\\",
            "A=\0",
            "ä=1",
            "-=1",
        ] {
            assert_eq!(settled(line), Err(Bad), "{line:?}");
        }
    }
}
