//! The name of a member.

use std::fmt;
use std::sync::Arc;

/// The bytes of a name, as they came. Serf compares bytes: a name need not be text.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<[u8]>);

impl Name {
    /// The bytes on the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&[u8]> for Name {
    fn from(bytes: &[u8]) -> Name {
        Name(bytes.into())
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Name {
        Name(text.as_bytes().into())
    }
}

/// As it can stand in a line: what is no UTF-8 is replaced, control characters are `?`.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        let text = String::from_utf8_lossy(&self.0);
        text.chars().try_for_each(|c| f.write_char(if c.is_control() { '?' } else { c }))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn a_name_is_shown_on_one_line() {
        assert_eq!(Name::from("node1").to_string(), "node1");
        assert_eq!(Name::from(&b"a\nb\xff\x1b"[..]).to_string(), "a?b\u{fffd}?");
    }
}
