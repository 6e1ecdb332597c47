//! A machine with this test as one of its units.

use std::fs;
use std::path::Path;

use crate::need;
use crate::tree::read;

fn no_machine() -> Option<String> {
    let init = fs::read_link("/proc/1/exe").ok().and_then(|exe| Some(exe.file_name()?.to_owned()));
    (init.is_none_or(|name| name != "clusteros-init")).then(|| "PID 1 is no clusteros-init".to_owned())
}

#[test]
fn the_root_holds_the_kernels_threads_alone() {
    need!("the_root_holds", no_machine());
    let root = Path::new("/sys/fs/cgroup");
    let procs = read(root, "cgroup.procs");
    let pids: Vec<&str> = procs.lines().collect();
    assert!(pids.contains(&"2"), "{pids:?}");
    for pid in pids {
        assert_eq!(read(Path::new("/proc"), &format!("{pid}/cmdline")), "", "{pid}");
    }
    assert_eq!(read(root, "init.scope/cgroup.procs"), "1\n");
    assert_eq!(read(Path::new("/proc"), "1/cgroup"), "0::/init.scope\n");
    let mut controllers = [read(root, "cgroup.controllers"), read(root, "cgroup.subtree_control")]
        .map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    controllers.iter_mut().for_each(|names| names.sort());
    assert!(controllers[0] == controllers[1] && controllers[0].len() > 4, "{controllers:?}");
}
