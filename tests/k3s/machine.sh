#!/usr/bin/env bash
# The tests of k3s's surroundings where the cgroup tree is of version 2 alone, with every controller: under Debian's cloud kernel,
# in QEMU, with clusteros-init as the machine's PID 1 and the tests as one of its units. The k3s in them is a stand-in.
#
#   images/appliance/build && tests/k3s/machine.sh
#
# Prints what the tests print, and ends as they do. ONLY names a test to run alone.
set -euo pipefail
# shellcheck source=tests/kit/guest.sh
. "$(dirname "${BASH_SOURCE[0]}")/../kit/guest.sh"

need k3s 'k3s on cgroups of version 2' busybox unshare setpriv ip
build k3s --no-default-features --features agent
system clusteros-init logd node-agent
# busybox's own cannot do what the tests ask of them, and its shell takes its own of everything.
tools sh unshare setpriv ip mount umount
mkdir -p "$root${bin%/*/*}/tmp" "$root${bin%/*}/tmp"

# What pods' networks lean on.
modules overlay veth vxlan bridge br_netfilter nf_conntrack virtio_pci virtio_rng
# Linux 6.1 takes CAP_SYS_ADMIN for CAP_SYSLOG, so there who may mount may read: kmsg::not_permitted is for newer hosts.
# The lives are shown on any host; here one of them is enough, in machine.rs.
unit "sysctl -w kernel.dmesg_restrict=1; NEED=all OWN_MACHINE=1 /test/k3s ${ONLY:-} --test-threads=1 --nocapture --skip not_permitted --skip life::"
pack "$root" >"$work/initramfs.cpio"
boot -smp 2 -append 'console=ttyS0 panic=-1 quiet rdinit=/init'
