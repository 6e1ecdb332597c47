//! /proc/self/mountinfo, as far as k3s depends on it (Documentation/filesystems/proc.rst of the kernel, 3.5).

/// One mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// What of the file system is mounted.
    pub root: String,
    /// Where.
    pub point: String,
    /// Options of the mount.
    pub options: Vec<String>,
    /// Whether what is mounted below it reaches the copies of it in other namespaces.
    pub shared: bool,
    /// The file system.
    pub fstype: String,
    /// Options of the file system.
    pub super_options: Vec<String>,
}

impl Mount {
    /// Whether nothing can be written to it.
    pub fn read_only(&self) -> bool {
        self.has("ro") || self.super_options.iter().any(|option| option == "ro")
    }

    /// Whether the mount has this option.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|known| known == option)
    }
}

/// Every mount that the text names, in its order; lines that are none are left out.
pub fn read(mountinfo: &str) -> Vec<Mount> {
    mountinfo.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Mount> {
    let (own, of_fs) = line.split_once(" - ")?;
    let mut own = own.split(' ').skip(3);
    let list = |text: &str| text.split(',').map(str::to_owned).collect();
    let mut of_fs = of_fs.split(' ');
    Some(Mount {
        root: unescape(own.next()?),
        point: unescape(own.next()?),
        options: list(own.next()?),
        shared: own.any(|field| field.starts_with("shared:")),
        fstype: of_fs.next()?.to_owned(),
        super_options: list(of_fs.nth(1).unwrap_or_default()),
    })
}

/// `\040` for a space, and so on: what the kernel does to space, tab, newline and backslash.
fn unescape(field: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .into_iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(field.to_owned(), |text, (code, letter)| text.replace(code, letter))
}

/// The mount that `path` lies on: the last of the longest mount points above it.
pub fn covering<'a>(mounts: &'a [Mount], path: &str) -> Option<&'a Mount> {
    let above = |mount: &&Mount| {
        mount.point == "/" || path == mount.point || path.strip_prefix(&mount.point).is_some_and(|r| r.starts_with('/'))
    };
    // max_by_key gives the last of several that are equal: the one mounted over the others.
    mounts.iter().filter(above).max_by_key(|mount| mount.point.len())
}

#[cfg(test)]
mod tests {
    use super::{covering, read};

    const TEXT: &str = "22 1 0:20 / / rw,relatime shared:1 - overlay overlay rw,lowerdir=/a\n\
        23 22 0:21 / /proc rw,nosuid - proc proc rw\n\
        24 23 0:21 /sys /proc/sys ro,nosuid - proc proc rw\n\
        25 22 0:22 /../.. /sys/fs/cgroup rw shared:4 master:2 - cgroup2 cgroup rw,nsdelegate\n\
        26 22 8:1 /my\\040disk /var/lib/rancher rw,noexec - ext4 /dev/sda1 ro\n\
        nonsense\n";

    #[test]
    fn mounts_are_read() {
        let mounts = read(TEXT);
        assert_eq!(mounts.len(), 5);
        assert!(mounts[0].shared && !mounts[1].shared && mounts[3].shared);
        assert_eq!((mounts[3].root.as_str(), mounts[3].fstype.as_str()), ("/../..", "cgroup2"));
        assert_eq!(mounts[4].root, "/my disk");
        assert!(mounts[4].has("noexec") && mounts[4].read_only() && mounts[2].read_only() && !mounts[1].read_only());
    }

    #[test]
    fn the_nearest_mount_covers() {
        let mounts = read(TEXT);
        let point = |path| covering(&mounts, path).map(|mount| mount.point.as_str());
        assert_eq!(point("/proc/sys/vm/panic_on_oom"), Some("/proc/sys"));
        assert_eq!(point("/proc/system"), Some("/proc"));
        assert_eq!(point("/var/lib/rancher/k3s"), Some("/var/lib/rancher"));
        assert_eq!(point("/var/lib/ranchers"), Some("/"));
        assert_eq!(covering(&[], "/"), None);
    }
}
