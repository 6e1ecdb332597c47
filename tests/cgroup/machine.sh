#!/usr/bin/env bash
# The tests of cgroups on a machine whose tree is of version 2 alone, with every controller: under Debian's cloud kernel, in
# QEMU, with clusteros-init as the machine's PID 1 and the tests as one of its units.
#
#   images/appliance/build && tests/cgroup/machine.sh
#
# Prints what the tests print, and ends as they do.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
built=$repo/target/appliance

fail() {
    printf 'cgroup: error: %s\n' "$*" >&2
    exit 1
}
leave() {
    printf 'skipped: cgroups of version 2 with every controller: %s\n' "$*" >&2
    [ "${NEED:-}" != all ]
    exit
}

[ "$(uname -m)" = x86_64 ] || leave "this machine is $(uname -m), the guest is x86_64"
for tool in qemu-system-x86_64 busybox cpio unshare; do
    command -v "$tool" >/dev/null || leave "no $tool"
done
[ -e "$built/vmlinuz" ] || leave "nothing was built yet; run images/appliance/build"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

(cd "$repo" && cargo build --locked --no-default-features --bins && cargo test --locked --no-default-features --test cgroup --no-run) \
    2>"$work/cargo" || { cat "$work/cargo" >&2; fail "unable to build the tests: cargo failed"; }
program=$(sed -n 's/.*Executable .*(\(.*\))$/\1/p' "$work/cargo")
case $program in /*) ;; *) program=$repo/$program ;; esac
bin=${program%/deps/*}

root=$work/root
mkdir -p "$root"/{dev,proc,sys,run,tmp,mnt,var/log,var/lib,etc/cluster-os,usr/bin,test} "$root$bin"
for link in bin:usr/bin sbin:usr/bin usr/sbin:bin; do
    ln -s "${link#*:}" "$root/${link%%:*}"
done
cp "$(command -v busybox)" "$root/usr/bin/busybox"
"$root/usr/bin/busybox" --list | while read -r applet; do
    [ -e "$root/usr/bin/$applet" ] || ln -s busybox "$root/usr/bin/$applet"
done
rm -f "$root/usr/bin/unshare" "$root/usr/bin/init"
# busybox's own has neither cgroup namespaces nor an end with its parent.
for file in $(command -v unshare) $(ldd "$(command -v unshare)" | sed -n 's,^[^/]*\(/[^ ]*\).*,\1,p'); do
    mkdir -p "$root$(dirname "$file")"
    cp -L "$file" "$root$file"
done
# Where the tests look for it: the path is part of them.
for name in clusteros-init logd; do
    strip -o "$root$bin/$name" "$bin/$name"
done
ln -s "$bin/clusteros-init" "$root/init"
strip -o "$root/test/cgroup" "$program"
cat >"$root/etc/cluster-os/units.toml" <<'TOML'
[unit.tests]
exec = ["sh", "-c", "NEED=all /test/cgroup --test-threads=2 --nocapture --skip a_kernel_that_cannot; echo ended: $?; kill -38 1"]
log = "inherit"
restart = "never"
TOML
(cd "$root" && find . -print0 | cpio --null --quiet -o -H newc) >"$work/initramfs.cpio"

# Ten minutes: an emulated processor on a busy host takes one or two.
timeout "${GUEST_LIMIT:-600}" qemu-system-x86_64 -accel "${APPLIANCE_ACCEL:-tcg}" -m 1024 -smp 2 -nodefaults -display none -no-reboot \
    -kernel "$built/vmlinuz" -initrd "$work/initramfs.cpio" -append "console=ttyS0 panic=-1 quiet rdinit=/init" \
    -serial stdio -device virtio-rng-pci </dev/null | sed -u 's/\r//g' | tee "$work/console"
grep -q '^ended: 0$' "$work/console" || fail "the tests failed in the machine; what they printed is above"
