#!/usr/bin/env bash
# The chaos run on a machine of its own, whose wall clock may jump: under Debian's cloud kernel, in QEMU, with clusteros-init as
# the machine's PID 1 and the chaos as one of its units. CHAOS and CHAOS_SEED as in tests/chaos/main.rs.
# LAB_BIN names a folder of release programs; else they are debug builds.
#
#   images/appliance/build && tests/chaos/machine.sh
#
# Prints what the test prints, and ends as it does.
set -euo pipefail
# shellcheck source=tests/kit/guest.sh
. "$(dirname "${BASH_SOURCE[0]}")/../kit/guest.sh"

need chaos 'chaos with a clock that jumps' busybox unshare prlimit
build chaos --no-default-features
system clusteros-init logd
# On an emulated processor a debug build falls behind 200 units.
if [ -n "${LAB_BIN:-}" ]; then
    cp "$LAB_BIN/clusteros-init" "$LAB_BIN/logd" "$root$bin/"
fi
# busybox's own has no end with its parent, and no limits of other processes.
tools unshare prlimit
unit "CHAOS=${CHAOS:-60} CHAOS_SEED=${CHAOS_SEED:-$(date +%s)} CHAOS_CLOCK=1 CHAOS_PATIENCE=4 NEED=all /test/chaos --test-threads=1 --nocapture"
pack "$root" >"$work/initramfs.cpio"
boot -smp 2 -append 'console=ttyS0 panic=-1 quiet rdinit=/init'
