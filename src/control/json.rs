//! A writer of JSON objects: PID 1 writes one document and reads none, so that this is all it needs.

use crate::unit::snapshot::page::quote;

/// An object in the making.
#[derive(Debug)]
pub struct Object {
    text: String,
}

impl Default for Object {
    fn default() -> Object {
        Object::new()
    }
}

impl Object {
    /// An object without members.
    pub fn new() -> Object {
        Object { text: String::from("{") }
    }

    /// The object with a text; `null` if there is none.
    pub fn text(self, name: &str, value: Option<&str>) -> Object {
        self.raw(name, &value.map_or_else(null, quoted))
    }

    /// The object with a whole number; `null` if there is none.
    pub fn number<N: Into<i128>>(self, name: &str, value: Option<N>) -> Object {
        self.raw(name, &value.map_or_else(null, |number| number.into().to_string()))
    }

    /// The object with yes or no.
    pub fn flag(self, name: &str, value: bool) -> Object {
        self.raw(name, if value { "true" } else { "false" })
    }

    /// The object with an object in it.
    pub fn object(self, name: &str, inner: Object) -> Object {
        self.raw(name, &inner.finish())
    }

    /// The object with a list of texts.
    pub fn texts(self, name: &str, items: &[String]) -> Object {
        let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
        self.raw(name, &format!("[{}]", items.join(",")))
    }

    /// The object with a list of objects.
    pub fn objects(self, name: &str, items: impl Iterator<Item = Object>) -> Object {
        self.list(name, "", items)
    }

    /// The object with a list of objects, one a line so that a person can read it too.
    pub fn lines(self, name: &str, items: impl Iterator<Item = Object>) -> Object {
        self.list(name, "\n", items)
    }

    fn list(mut self, name: &str, before: &str, items: impl Iterator<Item = Object>) -> Object {
        self = self.raw(name, "[");
        for (place, item) in items.enumerate() {
            if place > 0 {
                self.text.push(',');
            }
            self.text.push_str(before);
            self.text.push_str(&item.finish());
        }
        self.text.push_str(before);
        self.text.push(']');
        self
    }

    /// The text of the object.
    pub fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }

    fn raw(mut self, name: &str, value: &str) -> Object {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self.text.push_str(&quoted(name));
        self.text.push(':');
        self.text.push_str(value);
        self
    }
}

fn null() -> String {
    "null".to_owned()
}

/// `text` as a JSON string (RFC 8259, section 7).
fn quoted(text: &str) -> String {
    let mut out = String::new();
    quote(text, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members() {
        let inner = Object::new().number("n", Some(-1)).number("none", None::<u64>);
        let text = Object::new().text("a", Some("x")).text("b", None).lines("list", [inner].into_iter()).finish();
        assert_eq!(text, "{\"a\":\"x\",\"b\":null,\"list\":[\n{\"n\":-1,\"none\":null}\n]}");
        assert_eq!(Object::new().object("o", Object::new()).finish(), "{\"o\":{}}");
        assert_eq!(Object::new().finish(), "{}");
        assert_eq!(Object::new().lines("l", std::iter::empty()).finish(), "{\"l\":[\n]}");
        let two = [Object::new(), Object::new()].into_iter();
        assert_eq!(
            Object::new().objects("o", two).texts("t", &["\"".into()]).finish(),
            "{\"o\":[{},{}],\"t\":[\"\\\"\"]}"
        );
    }

    #[test]
    fn escapes() {
        assert_eq!(
            quoted("a\"b\\c\nd\te\u{1b}\u{7f}\u{9b}ä\u{1f600}"),
            "\"a\\\"b\\\\c\\nd\\u0009e\\u001b\\u007f\\u009bä\u{1f600}\""
        );
        assert_eq!(quoted("\0"), "\"\\u0000\"");
    }
}
