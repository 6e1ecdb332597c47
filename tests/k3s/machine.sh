#!/usr/bin/env bash
# The tests of k3s's surroundings where the cgroup tree is of version 2 alone, with every controller: under Debian's cloud kernel,
# in QEMU, with clusteros-init as the machine's PID 1 and the tests as one of its units. The k3s in them is a stand-in.
#
#   images/appliance/build && tests/k3s/machine.sh
#
# Prints what the tests print, and ends as they do. ONLY names a test to run alone.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
built=$repo/target/appliance

fail() {
    printf 'k3s: error: %s\n' "$*" >&2
    exit 1
}
leave() {
    printf 'skipped: k3s on cgroups of version 2: %s\n' "$*" >&2
    [ "${NEED:-}" != all ]
    exit
}

[ "$(uname -m)" = x86_64 ] || leave "this machine is $(uname -m), the guest is x86_64"
for tool in qemu-system-x86_64 busybox cpio unshare setpriv ip; do
    command -v "$tool" >/dev/null || leave "no $tool"
done
[ -e "$built/vmlinuz" ] || leave "nothing was built yet; run images/appliance/build"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

options=(--locked --no-default-features --features agent)
(cd "$repo" && cargo build "${options[@]}" --bins && cargo test "${options[@]}" --test k3s --no-run) \
    2>"$work/cargo" || { cat "$work/cargo" >&2; fail "unable to build the tests: cargo failed"; }
program=$(sed -n 's/.*Executable .*(\(.*\))$/\1/p' "$work/cargo")
case $program in /*) ;; *) program=$repo/$program ;; esac
bin=${program%/deps/*}

root=$work/root
mkdir -p "$root"/{dev,proc,sys,run,tmp,mnt,root,lib/modules,var/log,var/lib,etc/cluster-os,usr/bin,test} "$root$bin"
for link in bin:usr/bin sbin:usr/bin usr/sbin:bin; do
    ln -s "${link#*:}" "$root/${link%%:*}"
done
cp "$(command -v busybox)" "$root/usr/bin/busybox"
"$root/usr/bin/busybox" --list | while read -r applet; do
    [ -e "$root/usr/bin/$applet" ] || ln -s busybox "$root/usr/bin/$applet"
done
rm -f "$root/usr/bin/init"
# busybox's own cannot do what the tests ask of them, and its shell takes its own of everything.
for tool in sh unshare setpriv ip mount umount; do
    rm -f "$root/usr/bin/$tool"
    path=$(command -v "$tool")
    cp -L "$path" "$root/usr/bin/$tool"
    for file in $(ldd "$path" | sed -n 's,^[^/]*\(/[^ ]*\).*,\1,p'); do
        mkdir -p "$root$(dirname "$file")"
        [ -e "$root$file" ] || cp -L "$file" "$root$file"
    done
done
# Where the tests look for them: the path is part of them.
for name in clusteros-init logd node-agent; do
    strip -o "$root$bin/$name" "$bin/$name"
done
mkdir -p "$root${bin%/*/*}/tmp" "$root${bin%/*}/tmp"
ln -s "$bin/clusteros-init" "$root/init"
strip -o "$root/test/k3s" "$program"

# What pods' networks lean on, and what these lean on.
release=$(basename "$built"/kernel/lib/modules/*)
from=$built/kernel/lib/modules/$release
to=$root/lib/modules/$release
[ -e "$from/modules.dep" ] || PATH=$PATH:/usr/sbin:/sbin depmod -b "$built/kernel" "$release"
mkdir -p "$to"
cp "$from/modules.builtin" "$to/"
for module in overlay veth vxlan bridge br_netfilter nf_conntrack virtio_pci virtio_rng; do
    printf '%s\n' "$module" >>"$root/etc/cluster-os/modules"
    line=$(grep -E "(^|/)${module//[-_]/[-_]}\.ko[^ ]*:" "$from/modules.dep") || continue
    for file in ${line/:/}; do
        mkdir -p "$to/$(dirname "$file")"
        cp "$from/$file" "$to/$file"
        grep "^$file:" "$from/modules.dep" >>"$to/modules.dep"
    done
done
# Linux 6.1 takes CAP_SYS_ADMIN for CAP_SYSLOG, so there who may mount may read: kmsg::not_permitted is for newer hosts.
cat >"$root/etc/cluster-os/units.toml" <<TOML
[unit.tests]
exec = ["sh", "-c", "sysctl -w kernel.dmesg_restrict=1; NEED=all /test/k3s ${ONLY:-} --test-threads=1 --nocapture --skip not_permitted; echo ended: \$?; kill -38 1"]
log = "inherit"
restart = "never"
TOML
(cd "$root" && find . -print0 | cpio --null --quiet -o -H newc) >"$work/initramfs.cpio"

# Ten minutes: an emulated processor on a busy host takes two or three.
timeout "${GUEST_LIMIT:-600}" qemu-system-x86_64 -accel "${APPLIANCE_ACCEL:-tcg}" -m 1024 -smp 2 -nodefaults -display none -no-reboot \
    -kernel "$built/vmlinuz" -initrd "$work/initramfs.cpio" -append "console=ttyS0 panic=-1 quiet rdinit=/init" \
    -serial stdio -device virtio-rng-pci </dev/null | sed -u 's/\r//g' | tee "$work/console"
grep -q '^ended: 0$' "$work/console" || fail "the tests failed in the machine; what they printed is above"
