//! `log`: where the lines of a unit go.

use toml::de::DeValue;

use super::draft::Draft;
use super::mistake::quoted;
use super::value::Field;
use super::{size, suggest};

/// `log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// Through `logd` to standard output and to files.
    File {
        /// The size at which a file becomes an older one, in bytes.
        size: u64,
        /// How many older files there are.
        keep: u16,
    },
    /// The unit writes to PID 1's own standard output and error.
    Inherit,
    /// To `/dev/null`.
    Null,
}

impl Default for Log {
    /// 4 MiB and three older ones: a day of a chatty service, and 16 MiB a unit at most on the smallest of disks.
    fn default() -> Log {
        Log::File { size: 4 << 20, keep: 3 }
    }
}

/// Below this, files would change places all the time: one turn of `logd` is as large.
const SMALLEST: u64 = 64 << 10;
/// More than this in one file is a slip of the finger.
const LARGEST: u64 = 1 << 30;
/// The most older files.
const MOST: u16 = 99;

pub(super) fn log(field: &mut Field<'_>, draft: &mut Draft) {
    let DeValue::Table(parts) = field.value.get_ref() else {
        if let Some(log) = field.choice(&[("file", Log::default()), ("inherit", Log::Inherit), ("none", Log::Null)]) {
            draft.unit.log = log;
        }
        return;
    };
    let Log::File { mut size, mut keep } = Log::default() else { return };
    for (name, value) in parts {
        match name.get_ref().as_ref() {
            "size" => match value.get_ref().as_str().map(|text| (text, size::parse(text))) {
                Some((_, Some(bytes))) if (SMALLEST..=LARGEST).contains(&bytes) => size = bytes,
                Some((text, Some(_))) => {
                    field.refuse(
                        value,
                        format!("{} is too small or too large", quoted(text)),
                        "write \"64K\" to \"1G\"",
                    );
                }
                Some((text, None)) => {
                    field.refuse(value, format!("{} is no size", quoted(text)), format!("write {}", size::HOW));
                }
                None => field.refuse(value, "size is no text", format!("write {}", size::HOW)),
            },
            "keep" => {
                let number = match value.get_ref() {
                    DeValue::Integer(number) => u16::from_str_radix(number.as_str(), number.radix()).ok(),
                    _ => None,
                };
                match number.filter(|number| *number <= MOST) {
                    Some(number) => keep = number,
                    None => field.refuse(value, "keep is no number of files", "write a number from 0 to 99"),
                }
            }
            other => {
                let next = match suggest::nearest(other, ["size", "keep"]) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("write {}", field.key.values),
                };
                field.refuse(value, format!("unknown word {}", quoted(other)), next);
            }
        }
    }
    draft.unit.log = Log::File { size, keep };
}
