#!/usr/bin/env bash
# The tests of cgroups on a machine whose tree is of version 2 alone, with every controller: under Debian's cloud kernel, in
# QEMU, with clusteros-init as the machine's PID 1 and the tests as one of its units.
#
#   images/appliance/build && tests/cgroup/machine.sh
#
# Prints what the tests print, and ends as they do.
set -euo pipefail
# shellcheck source=tests/kit/guest.sh
. "$(dirname "${BASH_SOURCE[0]}")/../kit/guest.sh"

need cgroup 'cgroups of version 2 with every controller' busybox unshare
build cgroup --no-default-features
system clusteros-init logd
# busybox's own has neither cgroup namespaces nor an end with its parent.
tools unshare
unit 'NEED=all /test/cgroup --test-threads=2 --nocapture --skip a_kernel_that_cannot'
pack "$root" >"$work/initramfs.cpio"
boot -smp 2 -append 'console=ttyS0 panic=-1 quiet rdinit=/init'
