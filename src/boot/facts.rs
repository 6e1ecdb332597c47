//! What is there already.

use std::collections::BTreeSet;

use super::module::Wanted;

/// The folders whose being writable matters.
pub const ASKED_WRITABLE: &[&str] = &["/run", "/tmp"];
/// The paths whose being there matters.
pub const ASKED_PRESENT: &[&str] =
    &["/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/ptmx", "/run", "/tmp", "/var/run"];

/// What the plan follows from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The first process of a machine (`true`), or of a container.
    pub appliance: bool,
    /// Mount points. Empty when there is no /proc to read them from: then nothing but the root is mounted.
    pub mounted: BTreeSet<String>,
    /// Which of [`ASKED_WRITABLE`] are.
    pub writable: BTreeSet<String>,
    /// Which of [`ASKED_PRESENT`] are.
    pub present: BTreeSet<String>,
    /// /etc/cluster-os/modules.
    pub modules: Vec<Wanted>,
    /// `NODE_NAME` from the environment, if it is set and not empty.
    pub node_name: Option<String>,
}

/// The mount points that /proc/self/mountinfo names: its fifth field, with its octal escapes undone.
pub fn mount_points(mountinfo: &str) -> BTreeSet<String> {
    mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape).collect()
}

/// `\040` for a space, and so on: what the kernel does to space, tab, newline and backslash.
fn unescape(field: &str) -> String {
    let mut pieces = field.split('\\');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let code = piece.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (code, piece.get(3..)) {
            (Some(code), Some(rest)) => {
                out.push(char::from(code));
                out.push_str(rest);
            }
            _ => {
                out.push('\\');
                out.push_str(piece);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::mount_points;

    #[test]
    fn mountinfo() {
        let text = "22 1 0:20 / /proc rw,nosuid - proc proc rw\n\
                    23 1 0:21 / /sys ro shared:2 master:1 - sysfs sysfs ro\n\
                    24 1 8:1 / /mnt/my\\040disk\\134x rw - ext4 /dev/sda rw\n\
                    nonsense\n\
                    25 1 8:1 / /odd\\9 rw - ext4 /dev/sda rw\n";
        let points: Vec<_> = mount_points(text).into_iter().collect();
        assert_eq!(points, ["/mnt/my disk\\x", "/odd\\9", "/proc", "/sys"]);
    }
}
