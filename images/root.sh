#!/usr/bin/env bash
# Lays out a node's root file system: rootfs/, our binaries, busybox, and the programs named, each with the libraries
# that ldd finds for it.
#
#   images/root.sh OUT BIN PROGRAM...
#
# OUT must not exist yet. BIN holds clusteros-init, logd, initctl, gossipd and node-agent. Nothing outside OUT is touched.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=$1 bin=$2
shift 2

fail() {
    printf 'root: error: %s\n' "$*" >&2
    exit 1
}

[ ! -e "$out" ] || fail "unable to lay out $out: it exists; name a folder that does not"
mkdir -p "$out"/usr/{bin,lib,lib64,local} "$out"/{etc,dev,proc,sys,run,tmp,mnt,root} "$out"/var/{lib,log}/cluster-os
chmod 700 "$out/root"
chmod 1777 "$out/tmp"
for link in bin:usr/bin sbin:usr/bin lib:usr/lib lib64:usr/lib64 usr/sbin:bin usr/local/bin:../bin var/run:../run; do
    ln -s "${link#*:}" "$out/${link%%:*}"
done
cp -R "$here/rootfs/." "$out/"
mkdir -p "$out/etc/cluster-os/units.d"

for program in clusteros-init logd initctl gossipd node-agent; do
    [ -x "$bin/$program" ] || fail "unable to find $program in $bin: no such program; run cargo build --release"
    cp "$bin/$program" "$out/usr/bin/$program"
done
for habit in systemctl journalctl; do
    ln "$out/usr/bin/initctl" "$out/usr/bin/$habit"
done
ln -s clusteros-init "$out/usr/bin/init"
ln -s usr/bin/clusteros-init "$out/init"

# PROGRAM: copies it and its libraries, to the places where its loader looks for them.
install_program() {
    local path library
    path=$(PATH=$PATH:/usr/sbin:/sbin type -P "$1") || fail "unable to find $1: no such program; install its package"
    cp -L "$path" "$out/usr/bin/$1"
    { ldd "$path" 2>/dev/null || true; } | sed -n 's,^[^/]*\(/[^ ]*\).*,\1,p' | while read -r library; do
        [ -e "$out$library" ] || { mkdir -p "$out$(dirname "$library")" && cp -L "$library" "$out$library"; }
    done
}
for program in busybox "$@"; do
    install_program "$program"
done

# busybox's own ideas of an init stay out: its poweroff would send PID 1 signals that mean something else here.
"$out/usr/bin/busybox" --list | while read -r applet; do
    case $applet in init | linuxrc | halt | poweroff | reboot) continue ;; esac
    [ -e "$out/usr/bin/$applet" ] || ln -s busybox "$out/usr/bin/$applet"
done
