#!/usr/bin/env bash
# A node that runs k3s, in containers as the README starts them, where the cgroup tree is of version 2 alone and --privileged is
# granted: Podman of Debian in a machine of its own, in QEMU under Debian's cloud kernel, with clusteros-init as the machine's
# PID 1. The k3s in the image is a stand-in, tests/image/k3s. What is checked is in tests/image/inside.sh.
#
#   images/appliance/build && tests/image/machine.sh
#
# LAB_BIN names built programs; else cargo builds them. CHECKS, a pattern, runs only the checks whose name matches. Prints a line
# for each, and the sum as the last line. Needs root, for the file system of the machine.
set -uo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=tests/kit/check.sh
. "$repo/tests/kit/check.sh"
# shellcheck source=tests/kit/guest.sh
. "$repo/tests/kit/guest.sh"
guest=containers

leave() {
    skip k3s-in-containers "$*"
    summary
    exit
}
[ "$(uname -m)" = x86_64 ] || leave "this machine is $(uname -m), the guest is x86_64"
[ "$(id -u)" = 0 ] || leave "not root: no image can be made"
programs=(podman conmon runc bash mount umount ip modprobe sysctl)
PATH=$PATH:/usr/sbin:/sbin
for program in qemu-system-x86_64 mke2fs cpio busybox debootstrap "${programs[@]}"; do
    command -v "$program" >/dev/null || leave "there is no $program here"
done
[ -e "$built/vmlinuz" ] || leave "there is no kernel for the guest; run images/appliance/build"

# A file system of its own: where the root is an overlay, Podman could keep no image on it.
if [ "${IN_NAMESPACE:-}" != yes ]; then
    rm -rf "$checks"
    IN_NAMESPACE=yes exec unshare --mount -- "$0" "$@"
fi
work=$(mktemp -d)
trap 'umount "$work"; rmdir "$work"' EXIT
mount -t tmpfs -o size=4G,mode=700 tmpfs "$work" || leave "no tmpfs can be mounted"
trap 'cd /; umount "$work"; rmdir "$work"; rm -rf "$checks"' EXIT

bin=${LAB_BIN:-}
if [ -z "$bin" ]; then
    (cd "$repo" && cargo build --locked --release --bins) || fail "unable to build: cargo failed; its messages are above"
    bin=${CARGO_TARGET_DIR:-$repo/target}/$(rustc -vV | sed -n 's/^host: //p')/release
fi
export LAB_BIN=$bin

# --- the machine's root --------------------------------------------------------------------------------------------

root=$work/root
"$repo/images/root.sh" "$root" "$bin" "${programs[@]}" || fail "unable to lay out the machine; see above"
release=$(basename "$built"/kernel/lib/modules/*)
[ -e "$built/kernel/lib/modules/$release/modules.dep" ] || depmod -b "$built/kernel" "$release"
cp -R "$built/kernel/lib/modules" "$root/usr/lib/"
mkdir -p "$root"/{etc/containers,var/tmp,test,etc/security,usr/share}
cp -R /usr/share/containers "$root/usr/share/"
cp /etc/containers/policy.json "$root/etc/containers/"
printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\n' >"$root/etc/group"
# No systemd, and no journal.
printf '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n[containers]\nlog_driver = "k8s-file"\n' >"$root/etc/containers/containers.conf"
storage() { printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' "$1" "$2"; }
storage /var/lib/containers/storage /run/containers/storage >"$root/etc/containers/storage.conf"
cp "$repo/tests/kit/check.sh" "$repo/tests/image/inside.sh" "$root/test/"
rm -rf "$root"/etc/cluster-os/*
cat >"$root/etc/cluster-os/units.toml" <<TOML
[unit.tests]
exec = ["bash", "-c", "CHECKS='${CHECKS:-}' /test/inside.sh; echo ended: \$?; kill -38 1"]
log = "inherit"
restart = "never"
TOML

# --- the image, from what images/build makes of it -----------------------------------------------------------------

storage "$root/var/lib/containers/storage" "$work/run" >"$work/storage.conf"
began=$SECONDS
if ! CONTAINERS_STORAGE_CONF=$work/storage.conf BUILDAH_ISOLATION=chroot CLUSTEROS_ENGINE=podman CLUSTEROS_BASE=debootstrap \
    "$repo/images/build" --k3s "$repo/tests/image/k3s" k3s; then
    fail "unable to build the image; see above"
fi
echo "the image is there after $((SECONDS - began)) s"
# Where it was made is of no concern to who starts it.
rm -rf "$root"/var/lib/containers/storage/libpod "$root"/var/lib/containers/cache
umount "$root/var/lib/containers/storage/overlay" 2>/dev/null

# --- disk and kernel -----------------------------------------------------------------------------------------------

mke2fs -q -t ext4 -d "$root" -L machine "$work/disk" 3G || fail "unable to make the disk; see above"
rm -rf "$root"
mkdir -p "$work/first"/{bin,dev,proc,new,modules}
cp "$(command -v busybox)" "$work/first/bin/busybox"
while read -r module; do
    from=$built/kernel/lib/modules/$release
    line=$(grep -E "(^|/)${module}\.ko[^ ]*:" "$from/modules.dep") || continue
    # What it leans on stands behind it.
    for file in $(tac -s ' ' <<<"${line/:/} " | tr '\n' ' '); do
        name=$(basename "$file")
        [ -e "$work/first/modules/$name" ] || { cp "$from/$file" "$work/first/modules/" && echo "$name" >>"$work/first/modules/order"; }
    done
done <<<$'virtio_pci\nvirtio_blk\nvirtio_rng\ncrc32c_generic\next4'
cat >"$work/first/init" <<'SH'
#!/bin/busybox sh
while read -r name; do /bin/busybox insmod "/modules/$name"; done </modules/order
/bin/busybox mount -t devtmpfs dev /dev
until [ -b /dev/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 /dev/vda /new && /bin/busybox umount /dev && exec /bin/busybox switch_root /new /usr/bin/clusteros-init
SH
chmod +x "$work/first/init"
pack "$work/first" >"$work/initramfs.cpio"
GUEST_MEMORY=2048 boot -smp 2 -drive "file=$work/disk,format=raw,if=virtio,cache=unsafe" -append 'console=ttyS0 panic=-1 quiet mitigations=off rdinit=/init'
