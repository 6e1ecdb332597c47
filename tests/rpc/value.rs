//! msgpack, read by other code than the one under test.

use clusteros_init::gossip::Name;

/// Any object.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub enum Value {
    Nil,
    Bool(bool),
    Number(u64),
    Float(f64),
    Text(Vec<u8>),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

impl Value {
    pub fn of(bytes: &[u8]) -> Value {
        let mut rest = bytes;
        let value = read(&mut rest).expect("a whole object");
        assert!(rest.is_empty(), "more than one object");
        value
    }

    pub fn get(&self, key: &str) -> Value {
        let Value::Map(pairs) = self else { panic!("no map: {self:?}") };
        let found = pairs.iter().find(|(name, _)| *name == Value::Text(key.as_bytes().to_vec()));
        found.map_or(Value::Nil, |(_, value)| value.clone())
    }

    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Value::Text(bytes) | Value::Bytes(bytes) => bytes.clone(),
            Value::Nil => Vec::new(),
            other => panic!("no bytes: {other:?}"),
        }
    }

    pub fn name(&self) -> Name {
        self.bytes().as_slice().into()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.bytes()).expect("text")
    }

    pub fn number(&self) -> u64 {
        match self {
            Value::Number(number) => *number,
            Value::Text(text) => String::from_utf8_lossy(text).parse().expect("a number"),
            other => panic!("no number: {other:?}"),
        }
    }

    pub fn float(&self) -> f64 {
        let Value::Float(number) = self else { panic!("no float: {self:?}") };
        *number
    }

    pub fn list(&self) -> &[Value] {
        let Value::List(items) = self else { panic!("no list: {self:?}") };
        items
    }

    pub fn pairs(&self) -> &[(Value, Value)] {
        match self {
            Value::Map(pairs) => pairs,
            Value::Nil => &[],
            other => panic!("no map: {other:?}"),
        }
    }

    /// The same with every map in order.
    pub fn sorted(self) -> Value {
        match self {
            Value::List(items) => Value::List(items.into_iter().map(Value::sorted).collect()),
            Value::Map(pairs) => {
                let mut pairs: Vec<_> = pairs.into_iter().map(|(key, value)| (key, value.sorted())).collect();
                pairs.sort_by(|one, other| one.partial_cmp(other).expect("no NaN"));
                Value::Map(pairs)
            }
            other => other,
        }
    }
}

/// The bytes of each object that has come whole.
pub fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut all = Vec::new();
    loop {
        let before = rest;
        if rest.is_empty() || read(&mut rest).is_none() {
            return all;
        }
        all.push(before[..before.len() - rest.len()].to_vec());
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

fn number(rest: &mut &[u8], size: usize) -> Option<usize> {
    Some(take(rest, size)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

fn list(rest: &mut &[u8], count: usize) -> Option<Value> {
    (0..count).map(|_| read(rest)).collect::<Option<_>>().map(Value::List)
}

fn map(rest: &mut &[u8], count: usize) -> Option<Value> {
    (0..count).map(|_| Some((read(rest)?, read(rest)?))).collect::<Option<_>>().map(Value::Map)
}

fn read(rest: &mut &[u8]) -> Option<Value> {
    let first = take(rest, 1)?[0];
    let text = |rest: &mut &[u8], count| take(rest, count).map(|bytes| Value::Text(bytes.to_vec()));
    match first {
        0x00..=0x7f => Some(Value::Number(first.into())),
        0x80..=0x8f => map(rest, usize::from(first & 15)),
        0x90..=0x9f => list(rest, usize::from(first & 15)),
        0xa0..=0xbf => text(rest, usize::from(first & 31)),
        0xc0 => Some(Value::Nil),
        0xc2 | 0xc3 => Some(Value::Bool(first == 0xc3)),
        0xc4..=0xc6 => {
            let count = number(rest, 1 << (first - 0xc4))?;
            take(rest, count).map(|bytes| Value::Bytes(bytes.to_vec()))
        }
        0xcb => Some(Value::Float(f64::from_be_bytes(take(rest, 8)?.try_into().expect("eight")))),
        0xcc..=0xcf => Some(Value::Number(number(rest, 1 << (first - 0xcc))? as u64)),
        0xd9..=0xdb => {
            let count = number(rest, 1 << (first - 0xd9))?;
            text(rest, count)
        }
        0xdc | 0xdd => {
            let count = number(rest, 2 << (first - 0xdc))?;
            list(rest, count)
        }
        0xde | 0xdf => {
            let count = number(rest, 2 << (first - 0xde))?;
            map(rest, count)
        }
        other => panic!("{other:#x}"),
    }
}
