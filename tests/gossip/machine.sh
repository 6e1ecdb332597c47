#!/usr/bin/env bash
# The tests of gossip on networks that lose, delay and reorder: under Debian's cloud kernel, which has netem, in QEMU, with
# clusteros-init as the machine's PID 1 and the tests as one of its units. MINUTES as in tests/gossip/machine.rs, UNDER_TEST as in
# tests/gossip/cluster.rs. LAB_BIN names a folder of release programs; else they are built: on an emulated processor a debug build
# encrypts so slowly that the others take it for dead.
#
#   images/appliance/build && tests/gossip/machine.sh
#
# Prints what the tests print, and ends as they do. ONLY names a test to run alone.
set -euo pipefail
# shellcheck source=tests/kit/guest.sh
. "$(dirname "${BASH_SOURCE[0]}")/../kit/guest.sh"

PATH=$PATH:/usr/sbin:/sbin
need gossip 'gossip on networks that lose and reorder' busybox serf ip tc
build gossip
system clusteros-init logd gossipd
if [ -z "${LAB_BIN:-}" ]; then
    (cd "$repo" && cargo build --locked --release --bins)
    LAB_BIN=${CARGO_TARGET_DIR:-$repo/target}/$(rustc -vV | sed -n 's/^host: //p')/release
fi
cp "$LAB_BIN/clusteros-init" "$LAB_BIN/logd" "$LAB_BIN/gossipd" "$root$bin/"
tools serf ip tc
# The delays of netem are drawn from it.
table=$(dpkg -L iproute2 | grep '/normal\.dist$') || fail "unable to find normal.dist: iproute2 has none; install Debian's"
mkdir -p "$root$(dirname "$table")"
cp "$table" "$root$table"
modules veth bridge sch_netem virtio_pci virtio_rng
unit "NEED=all MINUTES=${MINUTES:-1} ${UNDER_TEST:+UNDER_TEST=$UNDER_TEST} /test/gossip machine::${ONLY:-} --test-threads=1 --nocapture"
pack "$root" >"$work/initramfs.cpio"
GUEST_LIMIT=${GUEST_LIMIT:-$((600 + 180 * ${MINUTES:-1}))} boot -cpu max -smp 2 -append 'console=ttyS0 panic=-1 quiet rdinit=/init'
