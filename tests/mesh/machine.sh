#!/usr/bin/env bash
# The tests of wg0 with a kernel that has WireGuard: under Debian's cloud kernel, in QEMU.
#
#   images/appliance/build && tests/mesh/machine.sh
#
# Prints what the tests print, and ends as they do.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
built=$repo/target/appliance

fail() {
    printf 'mesh: error: %s\n' "$*" >&2
    exit 1
}
leave() {
    printf 'skipped: mesh on a kernel with WireGuard: %s\n' "$*" >&2
    [ "${NEED:-}" != all ]
    exit
}

[ "$(uname -m)" = x86_64 ] || leave "this machine is $(uname -m), the guest is x86_64"
command -v qemu-system-x86_64 >/dev/null || leave "no qemu-system-x86_64"
[ -e "$built/initramfs.cpio" ] || leave "nothing was built yet; run images/appliance/build"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

(cd "$repo" && cargo test --locked --test mesh --no-run) 2>"$work/cargo" || { cat "$work/cargo" >&2; fail "unable to build the tests: cargo failed"; }
program=$(sed -n 's/.*Executable .*(\(.*\))$/\1/p' "$work/cargo")
mkdir -p "$work/root/mesh"
(cd "$repo" && strip -o "$work/root/mesh/mesh" "$program" && strip -o "$work/root/mesh/node-agent" "${program%/deps/*}/node-agent")
veth=$(find "$built/kernel/lib/modules" -name 'veth.ko*' | head -n 1)
[ -n "$veth" ] || fail "unable to find the module veth in $built/kernel; run images/appliance/build again"
cp "$veth" "$work/root/mesh/"
cat >"$work/root/mesh/init" <<'SH'
#!/bin/busybox sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp && mount -t tmpfs run /run
insmod /mesh/veth.ko*
for module in $(sed 's/#.*//' /etc/cluster-os/modules); do modprobe "$module"; done
# What only a kernel without WireGuard can show, and what needs a tool that is not here, is for the host.
AGENT=/mesh/node-agent /mesh/mesh --test-threads=1 --nocapture --skip without_the_capability --skip without_a_tun_device \
    --skip the_process_in_user_space
echo "ended: $?"
poweroff -f
SH
chmod +x "$work/root/mesh/init"
(cd "$work/root" && find . -print0 | cpio --null --quiet -o -H newc) >"$work/overlay.cpio"
cat "$built/initramfs.cpio" "$work/overlay.cpio" >"$work/initramfs.cpio"

# Half an hour: an emulated processor on a busy host takes some minutes.
timeout 1800 qemu-system-x86_64 -accel "${APPLIANCE_ACCEL:-tcg}" -m 1024 -smp 1 -nodefaults -display none -no-reboot \
    -kernel "$built/vmlinuz" -initrd "$work/initramfs.cpio" -append "console=ttyS0 panic=-1 quiet rdinit=/mesh/init" \
    -serial stdio -device virtio-rng-pci </dev/null | sed -u 's/\r//g' | tee "$work/console"
grep -q '^ended: 0$' "$work/console" || fail "the tests failed in the machine; what they printed is above"
! grep -q '^skipped: .*: the kernel has no WireGuard' "$work/console" || fail "the machine's kernel has no WireGuard"
