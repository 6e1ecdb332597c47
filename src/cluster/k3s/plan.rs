//! All that k3s needs of its surroundings, in the order in which it is to be mended.

use super::facts::Facts;
use super::finding::{Finding, Need};
use super::judge::{Failures, Judge, Title};
use super::{cgroups, host, kernel, network, storage};

/// Every finding, and among them every one of the 24 items. `failed` are acts that were tried in vain.
pub fn plan(facts: &Facts, failed: &Failures) -> Vec<Finding> {
    let judge = &Judge { facts, failed };
    let mut all = vec![kernel::kmsg(judge), kernel::user_namespace(judge), kernel::sysctls(judge)];
    all.extend(cgroups::all(judge));
    all.extend(storage::all(judge));
    all.push(kernel::modules(judge));
    all.extend(network::all(judge));
    all.extend(host::all(judge));
    all
}

/// The names of all findings, so that an override that means none is found.
pub const NAMES: &[&str] = &[
    "kmsg",
    "user-namespace",
    "kernel-sysctls",
    "controllers",
    "evacuated",
    "init-scope",
    "cgroup-namespace",
    "environment",
    "cgroup-v2",
    "propagation",
    "data-dir",
    "snapshotter",
    "mounts",
    "modules",
    "forwarding",
    "inotify",
    "open-files",
    "pids",
    "oom-score",
    "dns",
    "iptables",
    "wg0",
    "node-ip",
    "ranges",
    "node-name",
    "node-password",
    "machine-id",
    "clock",
    "files",
    "disk",
    "block-devices",
    "reaper",
];

/// `environment`: what is done about the environment is done always.
pub(super) fn environment(judge: &Judge<'_>) -> Finding {
    let title = Title(8, "environment", Need::Must);
    let kept: Vec<_> = judge.facts.variables.iter().filter(|name| super::environment::is_kept_back(name)).collect();
    if kept.is_empty() {
        return title.fine("nothing in it misleads k3s");
    }
    let names: Vec<&str> = kept.into_iter().map(String::as_str).collect();
    title.fine(format!("kept from k3s: {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::{NAMES, plan};
    use crate::cluster::k3s::facts::{ASKED, Cgroup, Data, Facts, Link, Password, SYSCTLS};
    use crate::cluster::k3s::finding::{Act, Finding, Need, State};
    use crate::cluster::k3s::judge::Failures;
    use crate::cluster::k3s::ranges::Ranges;
    use crate::cluster::k3s::role::Role;
    use crate::cluster::k3s::{mounts, table};
    use crate::mesh::Subnet;

    const MOUNTS: &str = "1 0 0:1 / / rw shared:1 - overlay overlay rw\n\
        2 1 0:2 / /proc rw - proc proc rw\n3 1 0:3 / /sys rw - sysfs sysfs rw\n\
        4 3 0:4 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n5 1 0:5 / /run rw - tmpfs tmpfs rw\n\
        6 1 8:1 /volume /var/lib/rancher/k3s rw - ext4 /dev/sda1 rw\n";

    /// A privileged container on pure cgroup v2 in which PID 1 has done its part.
    fn facts() -> Facts {
        let address = "10.42.133.224".parse().expect("an address");
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let sysctl = |key: &&str| {
            let value = match *key {
                "vm.panic_on_oom" | "net.ipv4.conf.all.rp_filter" | "net.ipv4.conf.default.rp_filter" => "0",
                "kernel.panic" => "10",
                "kernel.keys.root_maxkeys" => "1000000",
                "kernel.keys.root_maxbytes" => "25000000",
                "fs.inotify.max_user_watches" => "1000000",
                "fs.inotify.max_user_instances" => "8192",
                _ => "1",
            };
            ((*key).to_owned(), Ok(format!("{value}\n")))
        };
        let controllers = set(&["cpu", "cpuset", "hugetlb", "io", "memory", "pids"]);
        Facts {
            role: Role::Server,
            node_name: "node1".into(),
            container: true,
            user_namespace: false,
            user: 0,
            capabilities: u64::MAX >> 23,
            mounts: mounts::read(MOUNTS),
            kmsg: Ok(()),
            sysctls: SYSCTLS.iter().map(sysctl).collect(),
            cgroup: Cgroup {
                unified: true,
                own: "/k3s.service".into(),
                first: "/init.scope".into(),
                kernel_root: false,
                enabled: controllers,
                controllers: set(&["cpu", "cpuset", "hugetlb", "io", "memory", "pids"]),
                processes: 0,
            },
            variables: vec!["PATH".into(), "NOTIFY_SOCKET".into()],
            data: Data { magic: 0xef53, overlay: Some(Ok(())), free: 60 },
            modules: set(&["br_netfilter", "nf_conntrack", "vxlan", "veth", "bridge"]),
            open_files: 1_048_576,
            pids_max: None,
            resolv_conf: Some("nameserver 192.168.1.1\n".into()),
            iptables: Some("iptables v1.8.9 (nf_tables)".into()),
            link: Some(Link { up: true, addresses: vec![address] }),
            interface: "wg0".into(),
            address: Some(address),
            told: Some(address),
            networks: vec![("eth0".into(), "172.17.0.2".parse().expect("an address"), 16)],
            ranges: Ranges::choose(Subnet::DEFAULT, None, None).expect("ranges"),
            password: Password { kept: true, folder: true, joined: true },
            machine_id: Some("0".repeat(32)),
            own_machine_id: "f".repeat(32),
            clock: 1_800_000_000,
            present: ASKED.iter().map(|path| (*path).to_owned()).collect(),
            hosts: "127.0.0.1 localhost\n".into(),
            first: "clusteros-init".into(),
            arguments: Vec::new(),
        }
    }

    fn with(change: impl FnOnce(&mut Facts)) -> Facts {
        let mut facts = facts();
        change(&mut facts);
        facts
    }

    fn find(facts: &Facts, failed: &Failures, name: &str) -> Finding {
        plan(facts, failed).into_iter().find(|finding| finding.name == name).expect("a finding")
    }

    /// The finding with nothing tried: its state and its acts.
    fn acts(facts: &Facts, name: &str) -> (State, Vec<String>) {
        let finding = find(facts, &Failures::new(), name);
        (finding.state, finding.acts.iter().map(ToString::to_string).collect())
    }

    fn todo(facts: &Facts, name: &str, expected: &[&str]) {
        assert_eq!(acts(facts, name), (State::ToDo, expected.iter().map(|act| (*act).to_owned()).collect()), "{name}");
    }

    /// What is said when k3s cannot be started for it.
    fn cannot(facts: &Facts, name: &str, expected: &str) {
        let finding = find(facts, &Failures::new(), name);
        assert_eq!((finding.state, table::obstacle(&finding).as_str()), (State::Cannot, expected));
        assert!(finding.remedy.is_some_and(|remedy| !remedy.is_empty()), "{name}");
    }

    fn mount(facts: &mut Facts, from: &str, to: &str) {
        let text = MOUNTS.replace(from, to);
        assert_ne!(text, MOUNTS);
        facts.mounts = mounts::read(&text);
    }

    fn drop_right(facts: &mut Facts, number: u8) {
        facts.capabilities &= !(1 << number);
    }

    #[test]
    fn everything_is_fine_where_everything_is_there() {
        let all = plan(&facts(), &Failures::new());
        let names: std::collections::BTreeSet<_> = all.iter().map(|finding| finding.name).collect();
        assert_eq!(names, NAMES.iter().copied().collect());
        assert_eq!(all.len(), NAMES.len(), "a name twice");
        let items: std::collections::BTreeSet<_> = all.iter().map(|finding| finding.item).collect();
        assert_eq!(items, (1..=24).collect());
        for finding in all {
            assert!(matches!(finding.state, State::Fine | State::Moot), "{}: {}", finding.name, finding.seen);
        }
    }

    #[test]
    fn item_1_kmsg() {
        let of = |number| with(|facts| facts.kmsg = Err(number));
        todo(&of(libc::ENOENT), "kmsg", &["make the device /dev/kmsg (1:11)"]);
        for number in [libc::EPERM, libc::EACCES] {
            todo(&of(number), "kmsg", &["bind /dev/null over /dev/kmsg"]);
        }
        // Without the right to make devices, a file; if that fails, too, /dev/null cannot be bound over nothing either.
        let mut facts = of(libc::ENOENT);
        drop_right(&mut facts, 27);
        todo(&facts, "kmsg", &["write /dev/kmsg"]);
        let file = Act::File { path: "/dev/kmsg", text: String::new() };
        let failed = Failures::from([(file, "read-only file system".to_owned())]);
        assert_eq!(find(&facts, &failed, "kmsg").state, State::ToDo);
        drop_right(&mut facts, 21);
        assert_eq!(find(&facts, &failed, "kmsg").state, State::Cannot);
        let mut facts = of(libc::EACCES);
        drop_right(&mut facts, 21);
        cannot(
            &facts,
            "kmsg",
            "unable to start k3s: kmsg: /dev/kmsg does not open: permission denied; to bind /dev/null over /dev/kmsg needs \
             CAP_SYS_ADMIN; start the container with --device /dev/kmsg --cap-add SYSLOG, or with --privileged",
        );
        facts.user_namespace = true;
        assert_eq!(find(&facts, &Failures::new(), "kmsg").need, Need::May);
    }

    #[test]
    fn item_2_user_namespace() {
        let mut facts = with(|facts| facts.user_namespace = true);
        todo(&facts, "user-namespace", &["start k3s with kubelet-arg: feature-gates=KubeletInUserNamespace=true"]);
        facts.arguments.push(("kubelet-arg", "feature-gates=KubeletInUserNamespace=true".into()));
        assert_eq!(find(&facts, &Failures::new(), "user-namespace").state, State::Fine);
    }

    #[test]
    fn item_3_kernel_sysctls() {
        let mut facts = with(|facts| {
            facts.sysctls.insert("vm.overcommit_memory".into(), Ok("0\n".into()));
            facts.sysctls.insert("kernel.panic".into(), Ok("0\n".into()));
        });
        todo(&facts, "kernel-sysctls", &["set vm.overcommit_memory to 1", "set kernel.panic to 10"]);
        mount(&mut facts, "3 1 0:3", "9 2 0:2 /sys /proc/sys ro - proc proc rw\n3 1 0:3");
        assert_eq!(acts(&facts, "kernel-sysctls").1[0], "remount /proc/sys for writing");
        drop_right(&mut facts, 21);
        cannot(
            &facts,
            "kernel-sysctls",
            "unable to start k3s: kernel-sysctls: vm.overcommit_memory is 0, not 1, kernel.panic is 0, not 10; to remount \
             /proc/sys for writing needs CAP_SYS_ADMIN; on the host: sysctl -w vm.overcommit_memory=1 kernel.panic=10; or \
             start the container with --privileged",
        );
        facts.sysctls.insert("kernel.keys.root_maxkeys".into(), Err(libc::ENOENT));
        cannot(
            &facts,
            "kernel-sysctls",
            "unable to start k3s: kernel-sysctls: kernel.keys.root_maxkeys cannot be read: no such file or directory; mount \
             /proc in the container whole; on a kernel without KEYS use another",
        );
        facts.user_namespace = true;
        assert_eq!(find(&facts, &Failures::new(), "kernel-sysctls").state, State::Moot);
    }

    #[test]
    fn items_4_to_9_cgroups() {
        let facts = with(|facts| assert!(facts.cgroup.controllers.remove("cpuset")));
        cannot(
            &facts,
            "controllers",
            "unable to start k3s: controllers: /sys/fs/cgroup lacks cpuset; start the container with --cgroupns=private \
             --privileged, on a host whose own cgroup has them",
        );
        assert_eq!(find(&facts, &Failures::new(), "evacuated").state, State::Moot);
        let facts = with(|facts| mount(facts, "cgroup rw - cgroup2", "cgroup ro - cgroup2"));
        todo(&facts, "controllers", &["remount /sys/fs/cgroup for writing"]);
        // Then PID 1 could not do its part either: one cause, one line.
        let mut facts = with(|facts| facts.cgroup.processes = 3);
        mount(&mut facts, "cgroup rw - cgroup2", "cgroup ro - cgroup2");
        drop_right(&mut facts, 21);
        let obstacles = plan(&facts, &Failures::new()).iter().filter(|finding| finding.is_obstacle()).count();
        assert_eq!((obstacles, find(&facts, &Failures::new(), "controllers").state), (1, State::Cannot));
        let of_pid_1 = "PID 1 does it: start the container with clusteros-init as its first process, --cgroupns=private and \
                        --privileged";
        let facts = with(|facts| facts.cgroup.processes = 3);
        cannot(
            &facts,
            "evacuated",
            &format!(
                "unable to start k3s: evacuated: 3 processes are in the root cgroup, so no pod can be; {of_pid_1}"
            ),
        );
        let facts = with(|facts| assert!(facts.cgroup.enabled.remove("memory")));
        cannot(
            &facts,
            "evacuated",
            &format!("unable to start k3s: evacuated: the root cgroup does not hand on memory; {of_pid_1}"),
        );
        let facts = with(|facts| facts.cgroup.first = "/".into());
        assert_eq!(find(&facts, &Failures::new(), "init-scope").state, State::Fine);
        let facts = with(|facts| facts.cgroup.own = "/k3s.scope".into());
        todo(&facts, "init-scope", &["start k3s with kubelet-arg: kubelet-cgroups=/k3s.scope"]);
        let advice =
            "the host's cgroups are in the container: start it with --cgroupns=private and without -v /sys/fs/cgroup";
        let facts = with(|facts| mount(facts, "0:4 / /sys/fs/cgroup", "0:4 /../.. /sys/fs/cgroup"));
        cannot(
            &facts,
            "cgroup-namespace",
            &format!(
                "unable to start k3s: cgroup-namespace: /sys/fs/cgroup is \"/../..\" of the host's tree; {advice}"
            ),
        );
        assert_eq!(find(&facts, &Failures::new(), "evacuated").state, State::Moot);
        let facts = with(|facts| facts.cgroup.first = "/docker/1234".into());
        cannot(
            &facts,
            "cgroup-namespace",
            &format!(
                "unable to start k3s: cgroup-namespace: PID 1 is in /docker/1234, so this is the host's tree; {advice}"
            ),
        );
        let facts = with(|facts| facts.variables.push("INVOCATION_ID".into()));
        assert_eq!(find(&facts, &Failures::new(), "environment").seen, "kept from k3s: INVOCATION_ID");
        let facts = with(|facts| facts.cgroup = Cgroup::default());
        cannot(
            &facts,
            "cgroup-v2",
            "unable to start k3s: cgroup-v2: the host has cgroup v1, or both, and kubelet 1.35 refuses it; start the host \
             with systemd.unified_cgroup_hierarchy=1 or cgroup_no_v1=all on its kernel's command line",
        );
        let obstacles = plan(&facts, &Failures::new()).iter().filter(|finding| finding.is_obstacle()).count();
        assert_eq!(obstacles, 1, "one cause, one line");
    }

    #[test]
    fn on_a_machine_the_root_cgroup_is_the_kernels() {
        let facts = with(|facts| {
            facts.container = false;
            facts.cgroup.kernel_root = true;
            facts.cgroup.processes = 90;
            facts.cgroup.enabled.clear();
        });
        assert_eq!(plan(&facts, &Failures::new()).iter().filter(|finding| finding.is_obstacle()).count(), 0);
    }

    #[test]
    fn items_10_to_12_mounts() {
        let mut facts = with(|facts| mount(facts, " shared:1", ""));
        todo(&facts, "propagation", &["make / shared"]);
        drop_right(&mut facts, 21);
        assert_eq!(find(&facts, &Failures::new(), "propagation").state, State::Cannot);
        let facts = with(|facts| mount(facts, "k3s rw -", "k3s rw,noexec -"));
        assert!(find(&facts, &Failures::new(), "data-dir").is_obstacle());
        for (magic, fuse, expected) in [
            (0x794c_7630, true, "fuse-overlayfs"),
            (0x794c_7630, false, "native"),
            (0x2fc1_2fc1, true, "native"),
            (0x0102_1994, true, "native"),
        ] {
            let mut facts = with(|facts| {
                facts.data.magic = magic;
                facts.data.overlay = Some(Err("invalid argument".into()));
                if !fuse {
                    facts.present.remove("/dev/fuse");
                }
            });
            todo(&facts, "snapshotter", &[&format!("start k3s with snapshotter: {expected}")]);
            facts.arguments.push(("snapshotter", expected.into()));
            assert_eq!(find(&facts, &Failures::new(), "snapshotter").state, State::Fine);
        }
        let facts = with(|facts| mount(facts, "/run rw - tmpfs", "/run rw - ext4"));
        cannot(
            &facts,
            "mounts",
            "unable to start k3s: mounts: missing: a tmpfs at /run; start the container with --tmpfs /run --tmpfs /tmp",
        );
        let facts = with(|facts| mount(facts, "/sys rw - sysfs", "/sys ro - sysfs"));
        todo(&facts, "mounts", &["remount /sys for writing"]);
    }

    #[test]
    fn items_13_and_14_modules_and_network() {
        let mut facts = with(|facts| assert!(facts.modules.remove("vxlan")));
        todo(&facts, "modules", &["load the module vxlan"]);
        drop_right(&mut facts, 16);
        assert_eq!(find(&facts, &Failures::new(), "modules").remedy.as_deref(), Some("on the host: modprobe -a vxlan"));
        facts.present.remove("/lib/modules");
        let remedy = find(&facts, &Failures::new(), "modules").remedy.expect("a remedy");
        assert!(remedy.ends_with("-v /lib/modules:/lib/modules:ro --cap-add SYS_MODULE"), "{remedy}");
        let mut facts = with(|facts| {
            facts.sysctls.insert("net.ipv4.conf.all.forwarding".into(), Ok("0\n".into()));
            facts.sysctls.insert("net.ipv4.conf.all.rp_filter".into(), Ok("1\n".into()));
            facts.sysctls.insert("net.bridge.bridge-nf-call-iptables".into(), Err(libc::ENOENT));
        });
        let expected = ["set net.ipv4.conf.all.forwarding to 1", "set net.ipv4.conf.all.rp_filter to 2"];
        todo(&facts, "forwarding", &expected);
        drop_right(&mut facts, 12);
        assert_eq!(find(&facts, &Failures::new(), "forwarding").state, State::Cannot);
        let mut facts =
            with(|facts| drop(facts.sysctls.insert("fs.inotify.max_user_instances".into(), Ok("128".into()))));
        todo(&facts, "inotify", &["set fs.inotify.max_user_instances to 512"]);
        facts.user_namespace = true;
        assert_eq!(find(&facts, &Failures::new(), "inotify").state, State::Cannot);
    }

    #[test]
    fn item_15_limits() {
        let mut facts = with(|facts| facts.open_files = 1024);
        todo(&facts, "open-files", &["raise the limit of open files to 1048576"]);
        drop_right(&mut facts, 24);
        assert!(
            find(&facts, &Failures::new(), "open-files").remedy.is_some_and(|text| text.contains("--ulimit nofile="))
        );
        assert_eq!(find(&facts, &Failures::new(), "oom-score").state, State::Cannot);
        let facts = with(|facts| facts.pids_max = Some(2048));
        assert!(find(&facts, &Failures::new(), "pids").remedy.is_some_and(|text| text.contains("--pids-limit=-1")));
    }

    #[test]
    fn items_16_to_18_names_and_the_mesh() {
        let mut facts = with(|facts| facts.resolv_conf = Some("nameserver 127.0.0.11\n".into()));
        assert_eq!(find(&facts, &Failures::new(), "dns").state, State::Cannot);
        facts.resolv_conf = Some("nameserver 127.0.0.11\n# ExtServers: [10.0.0.2]\n".into());
        let told = "start k3s with resolv-conf: /run/cluster-os/resolv.conf";
        todo(&facts, "dns", &["write /run/cluster-os/resolv.conf", told]);
        let facts = with(|facts| facts.iptables = Some("iptables v1.8.2 (nf_tables)".into()));
        todo(&facts, "iptables", &["start k3s with prefer-bundled-bin: true"]);
        let facts = with(|facts| facts.iptables = None);
        assert_eq!(find(&facts, &Failures::new(), "iptables").state, State::Fine);
        let remedy = "start the unit wg0 first ('node-agent wg0'), and look at 'initctl logs wg0'";
        let facts = with(|facts| facts.link = None);
        cannot(&facts, "wg0", &format!("unable to start k3s: wg0: there is no wg0; {remedy}"));
        let facts = with(|facts| facts.link = Some(Link { up: true, addresses: Vec::new() }));
        cannot(&facts, "wg0", &format!("unable to start k3s: wg0: wg0 does not have 10.42.133.224; {remedy}"));
        let facts = with(|facts| facts.networks = vec![("eth1".into(), "10.44.7.1".parse().expect("an address"), 24)]);
        assert_eq!(find(&facts, &Failures::new(), "ranges").seen, "10.44.0.0/16 overlaps 10.44.7.0/24 of eth1");
    }

    #[test]
    fn item_18_an_address_that_etcd_does_not_know() {
        let moved = |role| {
            with(|facts| {
                facts.role = role;
                facts.told = Some("10.42.0.9".parse().expect("an address"));
            })
        };
        cannot(
            &moved(Role::Server),
            "node-ip",
            "unable to start k3s: node-ip: this node's mesh address is 10.42.133.224, and its etcd knows it by 10.42.0.9; where another server \
             runs, say 'k3s kubectl delete node node1' there, move /var/lib/rancher/k3s/server/db away here, and 'initctl restart \
             k3s' joins it anew; where this is the only one, 'initctl stop k3s', then 'k3s server --cluster-reset \
             --node-ip=10.42.133.224', and start it once with NODE_K3S_IGNORE=node-ip",
        );
        let follows = find(&moved(Role::Agent), &Failures::new(), "node-ip");
        assert_eq!(follows.state, State::Fine);
        assert_eq!(follows.seen, "k3s went by 10.42.0.9, and goes by 10.42.133.224 once it is started");
    }

    #[test]
    fn items_19_to_24_the_host() {
        let facts = with(|facts| facts.node_name = "Node_1".into());
        assert!(find(&facts, &Failures::new(), "node-name").is_obstacle());
        let lost = Password { kept: false, folder: true, joined: true };
        let facts = with(|facts| facts.password = lost);
        assert!(
            find(&facts, &Failures::new(), "node-password")
                .remedy
                .is_some_and(|text| text.contains("delete node node1"))
        );
        let facts = with(|facts| facts.password = Password { folder: false, joined: false, ..lost });
        todo(&facts, "node-password", &["link /etc/rancher/node to /var/lib/rancher/k3s/node"]);
        let facts = with(|facts| facts.machine_id = None);
        todo(&facts, "machine-id", &["write /etc/machine-id"]);
        let facts = with(|facts| facts.clock = 0);
        assert!(find(&facts, &Failures::new(), "clock").is_obstacle());
        let mut facts = with(|facts| assert!(facts.present.remove("/etc/nsswitch.conf")));
        facts.hosts.clear();
        todo(&facts, "files", &["write /etc/nsswitch.conf", "write /etc/hosts"]);
        let facts = with(|facts| assert!(facts.present.remove("/etc/ssl/certs")));
        assert_eq!(find(&facts, &Failures::new(), "files").state, State::Cannot);
        let facts = with(|facts| facts.data.free = 7);
        assert_eq!(find(&facts, &Failures::new(), "disk").state, State::Cannot);
        let facts = with(|facts| {
            facts.data.magic = 0x9123_683e;
            facts.present.remove("/dev/mapper");
        });
        assert_eq!(find(&facts, &Failures::new(), "block-devices").state, State::Cannot);
        let facts = with(|facts| facts.first = "node".into());
        assert_eq!(find(&facts, &Failures::new(), "reaper").state, State::Cannot);
    }

    #[test]
    fn what_was_tried_in_vain_is_not_tried_again() {
        let facts = with(|facts| facts.kmsg = Err(libc::EPERM));
        let bind = Act::Bind { from: "/dev/null", over: "/dev/kmsg" };
        let failed = Failures::from([(bind, "permission denied".to_owned())]);
        let finding = find(&facts, &failed, "kmsg");
        assert!(finding.is_obstacle() && finding.acts.is_empty());
        let seen = "/dev/kmsg does not open: operation not permitted; unable to bind /dev/null over /dev/kmsg: permission denied";
        assert_eq!(finding.seen, seen);
    }
}
