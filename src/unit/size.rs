//! Sizes as a person writes them in the table.

/// How to write a size, for the end of a message.
pub const HOW: &str = "a whole number and K, M or G, such as \"4M\"";

/// The bytes that `text` writes: `64K`, `4M`, `1G` (K is 1,024 bytes). Nothing if it is anything else.
pub fn parse(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let bytes: u64 = match unit {
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(bytes)
}

/// `bytes` in the largest unit in which it is at least one, for a person: `0`, `512K`, `12M`, `1.5G`.
pub fn shown(bytes: u64) -> String {
    for (shift, unit) in [(30, "G"), (20, "M"), (10, "K")] {
        let whole = bytes >> shift;
        let tenths = (bytes >> (shift - 10) & 1023) * 10 / 1024;
        match (whole, tenths) {
            (0, _) => {}
            (1..10, 1..) => return format!("{whole}.{tenths}{unit}"),
            _ => return format!("{whole}{unit}"),
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::{parse, shown};

    #[test]
    fn what_a_person_reads() {
        let all = [0, 1023, 1024, 1536, 4 << 20, (4 << 20) - 1, 12_345_678, (3 << 30) - (1 << 28), u64::MAX];
        assert_eq!(all.map(shown), ["0", "1023", "1K", "1.5K", "4M", "3.9M", "11M", "2.7G", "17179869183G"]);
    }

    #[test]
    fn what_a_person_writes() {
        assert_eq!(parse("64K"), Some(65_536));
        assert_eq!(parse("4M"), Some(4 << 20));
        assert_eq!(parse("1G"), Some(1 << 30));
        for bad in ["", "M", "4", "4 M", "-4M", "+4M", "1.5M", "4m", "4MB", "4MiB", "99999999999999999999K"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse("18446744073709551615G"), None);
    }
}
