//! One value of one key: what type it must have, and the mistake if it has another.

use toml::Spanned;
use toml::de::DeValue;

use super::keys::Key;
use super::mistake::{Found, Place, quoted};

/// A value as the parser left it.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// The value of `key` of `unit`, and where its mistakes go.
pub(super) struct Field<'a> {
    pub key: &'static Key,
    pub unit: &'a str,
    pub file: usize,
    pub value: &'a Value<'a>,
    pub found: &'a mut Vec<Found>,
}

impl<'a> Field<'a> {
    /// Where `value` is.
    pub fn place(&self, value: &Value<'_>) -> Place {
        Place { file: self.file, byte: value.span().start }
    }

    /// Notes a mistake at `value`, with what to do about it.
    pub fn refuse(&mut self, value: &Value<'_>, cause: impl Into<String>, next: impl Into<String>) {
        let place = self.place(value);
        let text = format!("unable to read {} of unit {}: {}", self.key.name, self.unit, cause.into());
        self.found.push(Found { place, text, suggestion: Some(next.into()) });
    }

    /// Notes that `value` is of the wrong type or not among the key's values.
    pub fn wrong(&mut self, value: &Value<'_>) {
        self.refuse(value, described(value), format!("write {}", self.key.values));
    }

    /// A text without NUL.
    pub fn text(&mut self) -> Option<&'a str> {
        self.text_at(self.value)
    }

    /// `true` or `false`.
    pub fn flag(&mut self) -> Option<bool> {
        let flag = self.value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong(self.value);
        }
        flag
    }

    /// One of `choices`.
    pub fn choice<T: Copy>(&mut self, choices: &[(&str, T)]) -> Option<T> {
        let chosen = self.value.get_ref().as_str().and_then(|text| choices.iter().find(|(name, _)| *name == text));
        if chosen.is_none() {
            self.wrong(self.value);
        }
        chosen.map(|(_, choice)| *choice)
    }

    /// A list, whatever is in it.
    pub fn list(&mut self) -> Option<&'a [Value<'a>]> {
        match self.value.get_ref() {
            DeValue::Array(items) => Some(items),
            _ => {
                self.wrong(self.value);
                None
            }
        }
    }

    /// A list of texts. Every item that is none is a mistake of its own, and then there is no list.
    pub fn texts(&mut self) -> Option<Vec<(&'a str, &'a Value<'a>)>> {
        let items = self.list()?;
        let texts: Vec<_> = items.iter().filter_map(|item| Some((self.text_at(item)?, item))).collect();
        (texts.len() == items.len()).then_some(texts)
    }

    /// A command: a list of texts, the first not empty.
    pub fn argv(&mut self) -> Option<Vec<String>> {
        if let Some(line) = self.value.get_ref().as_str() {
            let words: Vec<String> = line.split_whitespace().map(quoted).collect();
            self.refuse(
                self.value,
                "it is one text, and no shell will split it",
                format!("write a list: {} = [{}]", self.key.name, words.join(", ")),
            );
            return None;
        }
        let words = self.texts()?;
        match words.first() {
            None => {
                self.refuse(self.value, "the list is empty", "write the program and its arguments");
                None
            }
            Some((program, at)) if program.trim().is_empty() => {
                self.refuse(at, "the program's name is empty", "write the program and its arguments");
                None
            }
            Some(_) => Some(words.into_iter().map(|(word, _)| word.to_owned()).collect()),
        }
    }

    /// `value` as a text without NUL.
    pub fn text_at(&mut self, value: &'a Value<'a>) -> Option<&'a str> {
        match value.get_ref().as_str() {
            Some(text) if text.contains('\0') => {
                self.refuse(value, format!("{} has a zero byte in it", quoted(text)), "remove it");
                None
            }
            Some(text) => Some(text),
            None => {
                self.wrong(value);
                None
            }
        }
    }
}

/// What a value is, for the middle of a message.
pub(super) fn described(value: &Value<'_>) -> String {
    match value.get_ref() {
        DeValue::String(text) => format!("{} is not one of its values", quoted(text)),
        DeValue::Integer(_) => "a whole number is not one of its values".to_owned(),
        DeValue::Float(_) => "a number is not one of its values".to_owned(),
        DeValue::Boolean(flag) => format!("{flag} is not one of its values"),
        DeValue::Datetime(_) => "a date is not one of its values".to_owned(),
        DeValue::Array(_) => "a list is not one of its values".to_owned(),
        DeValue::Table(_) => "a table is not one of its values".to_owned(),
    }
}
