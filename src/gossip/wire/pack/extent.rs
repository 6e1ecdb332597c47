//! How far a value reaches that has not come whole: every byte is looked at once, and nothing is kept but two numbers, so that
//! neither depth nor a count that was only announced can cost anything.

use super::Malformed;
use super::reader::{Head, head};

/// The end of one value, looked for in a buffer that grows.
#[derive(Clone, Debug)]
pub struct Extent {
    /// Values that are still to come.
    due: u64,
    /// Where the next one begins; behind the buffer while bytes are awaited.
    at: usize,
}

impl Default for Extent {
    fn default() -> Extent {
        Extent { due: 1, at: 0 }
    }
}

impl Extent {
    /// Where the value ends that `bytes` begin with; nothing while it has not come whole. To be called with more of the same bytes.
    pub fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        while self.due > 0 {
            let Some(rest) = bytes.get(self.at..) else { return Ok(None) };
            let Some((head, length)) = head(rest)? else { return Ok(None) };
            let (values, body) = match head {
                Head::Nil | Head::Bool(_) | Head::Uint(_) | Head::Int(_) | Head::Float(_) => (0, 0),
                Head::Raw(length) | Head::Other(length) => (0, length),
                Head::Array(count) => (u64::from(count), 0),
                Head::Map(count) => (u64::from(count) * 2, 0),
            };
            self.due = (self.due - 1).saturating_add(values);
            self.at = self.at.saturating_add(length).saturating_add(body as usize);
        }
        Ok(Some(self.at).filter(|end| *end <= bytes.len()))
    }

    /// How long the value is at least, by what is known of it: what is announced has a byte each.
    pub fn least(&self) -> usize {
        self.at.saturating_add(usize::try_from(self.due).unwrap_or(usize::MAX))
    }
}

/// A stream of values, one behind the other.
#[derive(Clone, Debug)]
pub struct Objects {
    buffer: Vec<u8>,
    /// Where the next value begins.
    start: usize,
    extent: Extent,
    largest: usize,
}

impl Objects {
    /// None yet; `largest` is how many bytes a value may have.
    pub fn new(largest: usize) -> Objects {
        Objects { buffer: Vec::new(), start: 0, extent: Extent::default(), largest }
    }

    /// More of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The bytes of the next value; nothing while it has not come whole. Too large a value is known by its announcement. After a
    /// [`Malformed`] the stream has no more sense.
    pub fn take(&mut self) -> Result<Option<&[u8]>, Malformed> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let end = self.extent.end(rest)?;
        if self.extent.least() > self.largest {
            return Err(Malformed("a value that is too long"));
        }
        let value = end.and_then(|end| rest.get(..end));
        if let Some(value) = value {
            self.start += value.len();
            self.extent = Extent::default();
        }
        Ok(value)
    }

    /// The next bytes, which are no value: as many as there are of `count`.
    pub fn raw(&mut self, count: usize) -> &[u8] {
        let from = self.start;
        self.start = self.buffer.len().min(from.saturating_add(count));
        self.buffer.get(from..self.start).unwrap_or_default()
    }

    /// How many bytes wait for the rest of their value.
    pub fn waiting(&self) -> usize {
        self.buffer.len() - self.start
    }
}
