//! Items 10, 11, 12, 22 and 23: mounts and file systems.

use super::facts::DATA;
use super::finding::{Act, Finding, Need};
use super::judge::{Judge, Title};
use super::mounts::{Mount, covering};

const OVERLAY: i64 = 0x794c_7630;
const FUSE: i64 = 0x6573_5546;
const ZFS: i64 = 0x2fc1_2fc1;
const BTRFS: i64 = 0x9123_683e;

/// Below this many percent free kubelet soon evicts pods: it begins at 5, and wants 15 before it ends.
const FREE: u8 = 15;

/// What k3s keeps, for a remedy.
const VOLUMES: &str =
    "start the container with a volume each at /var/lib/rancher/k3s, /var/lib/kubelet, /var/lib/cni and /var/log";

pub(super) fn all(judge: &Judge<'_>) -> Vec<Finding> {
    vec![propagation(judge), data_dir(judge), snapshotter(judge), mounts(judge), disk(judge), block_devices(judge)]
}

fn propagation(judge: &Judge<'_>) -> Finding {
    let title = Title(10, "propagation", Need::Should);
    if covering(&judge.facts.mounts, "/").is_some_and(|mount| mount.shared) {
        return title.fine("/ is shared");
    }
    let remedy = "start the container with --privileged, or mount what pods share with :rshared";
    judge.todo(title, "/ is private, so what pods mount stays with them", vec![Act::Shared("/")], remedy)
}

fn data_dir(judge: &Judge<'_>) -> Finding {
    let title = Title(11, "data-dir", Need::Must);
    let mount = covering(&judge.facts.mounts, DATA);
    if mount.is_some_and(|mount| mount.has("noexec")) {
        return title.cannot(
            format!("{DATA} is mounted noexec, and k3s runs its programs from there"),
            format!("mount it without noexec: {VOLUMES}"),
        );
    }
    if mount.is_some_and(Mount::read_only) {
        return title.cannot(format!("{DATA} is read-only"), VOLUMES);
    }
    title.fine(match mount {
        Some(mount) => format!("{DATA} is on {}", mount.fstype),
        None => format!("{DATA} is on the root"),
    })
}

fn snapshotter(judge: &Judge<'_>) -> Finding {
    let title = Title(11, "snapshotter", Need::Must);
    let data = &judge.facts.data;
    let key = "snapshotter";
    if let Some((_, chosen)) = judge.facts.arguments.iter().find(|(known, _)| *known == key) {
        return title.fine(format!("k3s is told {key}: {chosen}"));
    }
    let cause = match &data.overlay {
        Some(Ok(())) => return title.fine("overlayfs can be mounted there"),
        Some(Err(cause)) => cause.clone(),
        // Looking changes nothing, so nothing was mounted.
        None if !matches!(data.magic, OVERLAY | FUSE | ZFS) => return title.fine("overlayfs was not tried"),
        None => "overlayfs was not tried there".to_owned(),
    };
    let fuse = matches!(data.magic, OVERLAY | FUSE) && judge.facts.has("/dev/fuse");
    let (value, cost) = match data.magic {
        ZFS => ("native", "full copies of images, slow and large"),
        _ if fuse => ("fuse-overlayfs", "slower"),
        _ => ("native", "full copies of images, slow and large"),
    };
    let seen = format!("overlayfs cannot be mounted there ({cause}); {cost}, unless {DATA} is a volume");
    judge.told(title, &seen, key, value.to_owned())
}

fn mounts(judge: &Judge<'_>) -> Finding {
    let title = Title(12, "mounts", Need::Should);
    let facts = judge.facts;
    let mut missing: Vec<_> = ["/dev/shm", "/dev/pts"].into_iter().filter(|path| !facts.has(path)).collect();
    // A leftover /run/flannel of the start before misleads the next.
    if facts.container && covering(&facts.mounts, "/run").is_none_or(|mount| mount.fstype != "tmpfs") {
        missing.push("a tmpfs at /run");
    }
    let sys = covering(&facts.mounts, "/sys").is_some_and(Mount::read_only);
    if missing.is_empty() && sys {
        let remedy = "start the container with --privileged";
        return judge.todo(title, "/sys is read-only", vec![Act::Writable("/sys")], remedy);
    }
    if missing.is_empty() {
        return title.fine("/run is a tmpfs, /dev/shm and /dev/pts are there");
    }
    title.cannot(format!("missing: {}", missing.join(", ")), "start the container with --tmpfs /run --tmpfs /tmp")
}

fn disk(judge: &Judge<'_>) -> Finding {
    let title = Title(22, "disk", Need::Should);
    let free = judge.facts.data.free;
    let seen = format!("{free} % of {DATA} are free");
    if free >= FREE {
        return title.fine(seen);
    }
    title.cannot(
        format!("{seen}: at 5 % kubelet puts pods out, until {FREE} % are free"),
        format!(
            "free some, or for a trial set kubelet-arg under k3s.{} in node.yaml: \
             [\"eviction-hard=imagefs.available<1%,nodefs.available<1%\", \
             \"eviction-minimum-reclaim=imagefs.available=1%,nodefs.available=1%\"]",
            judge.facts.role.word()
        ),
    )
}

fn block_devices(judge: &Judge<'_>) -> Finding {
    let title = Title(23, "block-devices", Need::May);
    let facts = judge.facts;
    if !facts.container || !matches!(facts.data.magic, BTRFS | ZFS) || facts.has("/dev/mapper") {
        return title.fine("kubelet finds the data directory's disk, or needs none");
    }
    title
        .cannot("kubelet does not find the disk of btrfs or zfs", "start the container with -v /dev/mapper:/dev/mapper")
}
