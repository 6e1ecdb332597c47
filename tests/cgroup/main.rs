//! Units in cgroups of their own, under a real `clusteros-init`. Needs root, unshare(1) and a cgroup tree of version 2 that
//! may be changed. What needs controllers, or a machine, runs under `tests/cgroup/machine.sh`.

#[path = "../kit/mod.rs"]
#[expect(dead_code, reason = "the rest is for the other tests of PID 1")]
mod kit;

mod container;
mod limits;
mod machine;
mod refusals;
#[path = "../ns/speaker.rs"]
mod speaker;
mod tree;
