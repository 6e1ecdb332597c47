#!/usr/bin/env bash
# The tests of wg0 with a kernel that has WireGuard: under Debian's cloud kernel, in QEMU.
#
#   images/appliance/build && tests/mesh/machine.sh [NAME...]     only tests whose names have one of these in them
#
# Prints what the tests print, and ends as they do.
set -euo pipefail
# shellcheck source=tests/kit/guest.sh
. "$(dirname "${BASH_SOURCE[0]}")/../kit/guest.sh"

need mesh 'mesh on a kernel with WireGuard' bash ip wg wg-quick
# shellcheck disable=SC2086 # an option and its value
build mesh ${BENCH_PROFILE:+--profile "$BENCH_PROFILE"}
# Over the appliance's own system.
root=$work/root
mkdir -p "$root/mesh" "$root/var/tmp"
strip -o "$root/mesh/mesh" "$program"
# Released ones where there are any: those of the tests' own build take an emulated processor seconds to start.
for name in node-agent gossipd; do
    strip -o "$root/mesh/$name" "${LAB_BIN:-$bin}/$name"
done
# What ours is measured beside.
mkdir -p "$root"/usr/{bin,lib,lib64}
ln -s usr/lib "$root/lib" && ln -s usr/lib64 "$root/lib64"
tools bash ip wg
cp "$(command -v wg-quick)" "$root/usr/bin/"
printf 'export BENCH_PEERS="%s" BENCH_ROUNDS="%s"\n' "${BENCH_PEERS:-8}" "${BENCH_ROUNDS:-1}" >"$root/mesh/sizes"
veth=$(find "$built/kernel/lib/modules" -name 'veth.ko*' | head -n 1)
[ -n "$veth" ] || fail "unable to find the module veth in $built/kernel: it is not there; run images/appliance/build again"
cp "$veth" "$root/mesh/"
printf '%s\n' "$@" >"$root/mesh/only"
cat >"$root/mesh/init" <<'SH'
#!/bin/busybox sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp && mount -t tmpfs tmp /var/tmp && mount -t tmpfs run /run
ln -s /proc/self/fd /dev/fd
. /mesh/sizes
insmod /mesh/veth.ko*
for module in $(sed 's/#.*//' /etc/cluster-os/modules); do modprobe "$module"; done
# What only a kernel without WireGuard can show, what needs a tool that is not here, and a crowd of gossips, which an emulated
# processor is too slow for, is for the host.
AGENT=/mesh/node-agent GOSSIPD=/mesh/gossipd /mesh/mesh $(cat /mesh/only) --test-threads=1 --nocapture --skip without_the_capability --skip without_a_tun_device \
    --skip the_process_in_user_space --skip beside_serf --skip would_lose_somebody --skip insider:: --skip collision:: --skip in_user_space_too \
    --skip churn:: --skip cannot_be_believed --skip preshared
echo "ended: $?"
poweroff -f
SH
chmod +x "$root/mesh/init"
{ cat "$built/initramfs.cpio" && pack "$root"; } >"$work/initramfs.cpio"
boot -smp 1 -append 'console=ttyS0 panic=-1 quiet rdinit=/mesh/init'
! grep -q '^skipped: .*: the kernel has no WireGuard' "$work/console" || fail "the machine's kernel has no WireGuard"
