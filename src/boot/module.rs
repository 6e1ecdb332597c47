//! Kernel modules: which are wanted, which files they are, and in which order these must be loaded.

use std::collections::{BTreeMap, BTreeSet};

/// One line of /etc/cluster-os/modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The module's name, or the path of its file if it starts with `/`.
    pub name: String,
    /// Its parameters, `key=value` separated by spaces.
    pub parameters: String,
}

/// The lines of /etc/cluster-os/modules: a name or an absolute path, then parameters; `#` starts a comment.
pub fn wanted(text: &str) -> Vec<Wanted> {
    let line = |line: &str| {
        let line = line.split('#').next().unwrap_or_default().trim();
        let (name, parameters) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        (!name.is_empty()).then(|| Wanted { name: name.to_owned(), parameters: parameters.trim().to_owned() })
    };
    text.lines().filter_map(line).collect()
}

/// What depmod wrote for one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// From a module's name to its file.
    files: BTreeMap<String, String>,
    /// From a file to the files that it leans on, the one to be loaded first last.
    leans: BTreeMap<String, Vec<String>>,
    built_in: BTreeSet<String>,
}

impl Index {
    /// The index of modules.dep (`FILE: FILE FILE ...`) and modules.builtin (`FILE` a line).
    pub fn parse(dep: &str, builtin: &str) -> Index {
        let mut index = Index { built_in: builtin.lines().filter_map(name).collect(), ..Index::default() };
        for line in dep.lines() {
            let Some((file, leans)) = line.split_once(':') else { continue };
            let Some(name) = name(file) else { continue };
            index.files.insert(name, file.to_owned());
            index.leans.insert(file.to_owned(), leans.split_whitespace().map(str::to_owned).collect());
        }
        index
    }

    /// The files to load for the module, in order, the module itself last; none if it is part of the kernel; `None` if
    /// there is no such module. Files are as in modules.dep: below /lib/modules/RELEASE, or absolute.
    pub fn order(&self, module: &str) -> Option<Vec<&str>> {
        let module = canonical(module);
        let Some((file, _)) = self.files.get(&module).and_then(|file| self.leans.get_key_value(file)) else {
            return self.built_in.contains(&module).then(Vec::new);
        };
        let mut order: Vec<&str> = Vec::new();
        let mut seen = BTreeSet::new();
        // Each entry: a file, and whether what it leans on is already in the order. A set and not a recursion: the file
        // may be damaged, and lean on itself.
        let mut todo = vec![(file.as_str(), false)];
        while let Some((file, ready)) = todo.pop() {
            if ready {
                order.push(file);
            } else if seen.insert(file) {
                todo.push((file, true));
                todo.extend(self.leans.get(file).into_iter().flatten().map(|file| (file.as_str(), false)));
            }
        }
        Some(order)
    }
}

/// A module's name from its file's: without folders, `.ko` and what a compressor adds; dashes are underscores, as the
/// kernel has it.
fn name(file: &str) -> Option<String> {
    let (name, ending) = file.trim().rsplit('/').next()?.split_once(".ko")?;
    matches!(ending, "" | ".xz" | ".zst" | ".gz").then(|| canonical(name))
}

fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::{Index, Wanted, wanted};

    #[test]
    fn a_list_of_modules() {
        let one = |name: &str, parameters: &str| Wanted { name: name.into(), parameters: parameters.into() };
        assert_eq!(
            wanted("# wire\nwireguard\n\n  virtio-net  # the card\ndummy numdummies=0  x=1\n/lib/modules/6.1/a.ko\n"),
            [
                one("wireguard", ""),
                one("virtio-net", ""),
                one("dummy", "numdummies=0  x=1"),
                one("/lib/modules/6.1/a.ko", ""),
            ]
        );
    }

    /// As Debian's 6.1 and 6.12 have it, the second compressed.
    const DEP: &str = "\
kernel/drivers/net/wireguard/wireguard.ko: kernel/net/ipv4/udp_tunnel.ko kernel/net/ipv6/ip6_udp_tunnel.ko \
kernel/arch/x86/crypto/curve25519-x86_64.ko kernel/lib/crypto/libchacha20poly1305.ko kernel/lib/crypto/libchacha.ko
kernel/lib/crypto/libchacha20poly1305.ko: kernel/lib/crypto/libchacha.ko
kernel/lib/crypto/libchacha.ko:
kernel/net/ipv4/udp_tunnel.ko:
kernel/net/ipv6/ip6_udp_tunnel.ko: kernel/net/ipv4/udp_tunnel.ko
kernel/arch/x86/crypto/curve25519-x86_64.ko:
kernel/drivers/net/tun.ko.xz:
kernel/a.ko: kernel/b.ko
kernel/b.ko: kernel/a.ko
";

    #[test]
    fn what_a_module_leans_on_comes_first() {
        let index = Index::parse(DEP, "kernel/net/ipv6/ipv6.ko\nkernel/fs/overlay-fs.ko\n");
        let order = index.order("wireguard").expect("known");
        let at = |end: &str| order.iter().position(|file| file.ends_with(end)).expect(end);
        assert_eq!(order.len(), 6, "{order:?}");
        assert_eq!(at("/wireguard.ko"), 5);
        assert!(at("/udp_tunnel.ko") < at("/ip6_udp_tunnel.ko"));
        assert!(at("/libchacha.ko") < at("/libchacha20poly1305.ko"));
        assert_eq!(index.order("tun"), Some(vec!["kernel/drivers/net/tun.ko.xz"]));
        assert_eq!(index.order("curve25519_x86_64").expect("known").len(), 1, "dash or underscore");
    }

    #[test]
    fn part_of_the_kernel_unknown_and_damaged() {
        let index = Index::parse(DEP, "kernel/net/ipv6/ipv6.ko\nkernel/fs/overlay-fs.ko\n");
        assert_eq!(index.order("ipv6"), Some(Vec::new()));
        assert_eq!(index.order("overlay_fs"), Some(Vec::new()));
        assert_eq!(index.order("nothing"), None);
        assert_eq!(index.order("a"), Some(vec!["kernel/b.ko", "kernel/a.ko"]), "a circle ends");
        assert_eq!(Index::parse("garbage\n\0:\n", "").order("garbage"), None);
    }
}
