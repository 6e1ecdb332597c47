//! Lines of `/etc/passwd` and `/etc/group`. Nothing allocates: they are read in a process that is on its way to its program.

/// What a line of `/etc/passwd` says of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account<'a> {
    /// The user's number.
    pub user: u32,
    /// The number of the user's own group.
    pub group: u32,
    /// The home directory.
    pub home: &'a [u8],
}

/// The account of `name` in the text of `/etc/passwd`: the first good line with that name.
pub fn user<'a>(text: &'a [u8], name: &[u8]) -> Option<Account<'a>> {
    lines(text).find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        if fields.next()? != name {
            return None;
        }
        let (user, group) = (number(fields.nth(1)?)?, number(fields.next()?)?);
        Some(Account { user, group, home: fields.nth(1).unwrap_or_default() })
    })
}

/// The number of the group `name` in the text of `/etc/group`: the first good line with that name.
pub fn group(text: &[u8], name: &[u8]) -> Option<u32> {
    lines(text).find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        if fields.next()? == name { number(fields.nth(1)?) } else { None }
    })
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii)
}

/// A number as these files write it. Not the last one: to the kernel it means "leave it".
fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok().filter(|number| *number != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let text = b"# a comment\nroot:x:0:0:root:/root:/bin/sh\nwww:x:33:34:Web:/srv/www:/bin/false\nshort:x:5:6\n";
        assert_eq!(user(text, b"www"), Some(Account { user: 33, group: 34, home: b"/srv/www" }));
        assert_eq!(user(text, b"short"), Some(Account { user: 5, group: 6, home: b"" }));
        for absent in [&b"ww"[..], b"wwww", b"", b"x", b"#", b"WWW"] {
            assert_eq!(user(text, absent), None, "{absent:?}");
        }
    }

    #[test]
    fn a_bad_number_is_never_root() {
        for bad in ["", "-1", "+1", "4294967295", "4294967296", "0x1", "1 ", "a"] {
            let text = format!("u:x:{bad}:7::/:\n");
            assert_eq!(user(text.as_bytes(), b"u"), None, "{bad:?}");
            let text = format!("u:x:7:{bad}::/:\n");
            assert_eq!(user(text.as_bytes(), b"u"), None, "{bad:?}");
            let text = format!("g:x:{bad}:\n");
            assert_eq!(group(text.as_bytes(), b"g"), None, "{bad:?}");
        }
        for text in [&b"u"[..], b"u:", b"u:x", b"u:x:", b"u:x:1", b"u:x:1:", b"\n\n", b"", b":::::", b"\xff:\xff:1:1"] {
            assert_eq!(user(text, b"u"), None);
        }
    }

    #[test]
    fn groups() {
        let text = b"root:x:0:\nadm:*:4:syslog,me\nlast:x:70000:";
        assert_eq!(group(text, b"adm"), Some(4));
        assert_eq!(group(text, b"last"), Some(70_000));
        assert_eq!(group(text, b"me"), None);
    }
}
