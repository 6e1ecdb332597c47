# shellcheck shell=bash
# What the tests in a machine of their own have in common: sourced by tests/*/machine.sh. The machine is QEMU's, under Debian's
# cloud kernel, which images/appliance/build keeps in target/appliance.

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
built=$repo/target/appliance

fail() {
    printf '%s: error: %s\n' "$guest" "$*" >&2
    exit 1
}

# Nobody asked for everything: then what cannot run is only said.
leave() {
    printf 'skipped: %s: %s\n' "$shows" "$*" >&2
    [ "${NEED:-}" != all ]
    exit
}

# NAME SHOWS TOOL...: leaves where the machine cannot run, and says that SHOWS is not shown then; makes the folder $work, which
# goes at the end.
need() {
    local tool
    guest=$1 shows=$2
    shift 2
    [ "$(uname -m)" = x86_64 ] || leave "this machine is $(uname -m), the guest is x86_64"
    for tool in qemu-system-x86_64 cpio "$@"; do
        command -v "$tool" >/dev/null || leave "no $tool"
    done
    [ -e "$built/initramfs.cpio" ] || leave "nothing was built yet; run images/appliance/build"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
}

# TEST OPTION...: builds cargo's test of that name; sets $program to it and $bin to the folder of our programs.
build() {
    local test=$1
    shift
    (cd "$repo" && cargo build --locked "$@" --bins && cargo test --locked "$@" --test "$test" --no-run) 2>"$work/cargo" || {
        cat "$work/cargo" >&2
        fail "unable to build the tests: cargo failed; its messages are above"
    }
    program=$(sed -n 's/.*Executable .*(\(.*\))$/\1/p' "$work/cargo")
    case $program in /*) ;; *) program=$repo/$program ;; esac
    bin=${program%/deps/*}
}

# NAME...: a root of busybox with clusteros-init as PID 1, and our programs where the tests look for them: the path is part of
# them. $program is /test/TEST.
system() {
    local link name
    root=$work/root
    mkdir -p "$root"/{dev,proc,sys,run,tmp,mnt,root,lib/modules,var/log,var/lib,var/tmp,etc/cluster-os,usr/bin,test} "$root$bin"
    for link in bin:usr/bin sbin:usr/bin usr/sbin:bin; do
        ln -s "${link#*:}" "$root/${link%%:*}"
    done
    cp "$(command -v busybox)" "$root/usr/bin/busybox"
    "$root/usr/bin/busybox" --list | while read -r name; do
        [ -e "$root/usr/bin/$name" ] || ln -s busybox "$root/usr/bin/$name"
    done
    rm -f "$root/usr/bin/init"
    for name in "$@"; do
        strip -o "$root$bin/$name" "$bin/$name"
    done
    ln -s "$bin/clusteros-init" "$root/init"
    strip -o "$root/test/$guest" "$program"
}

# TOOL...: this host's own in the place of busybox's, with the libraries that they need.
tools() {
    local tool path file
    for tool in "$@"; do
        rm -f "$root/usr/bin/$tool"
        path=$(command -v "$tool")
        cp -L "$path" "$root/usr/bin/$tool"
        for file in $(ldd "$path" | sed -n 's,^[^/]*\(/[^ ]*\).*,\1,p'); do
            mkdir -p "$root$(dirname "$file")"
            [ -e "$root$file" ] || cp -L "$file" "$root$file"
        done
    done
}

# MODULE...: the kernel's, which PID 1 loads, and what they lean on.
modules() {
    local release from to module line file
    release=$(basename "$built"/kernel/lib/modules/*)
    from=$built/kernel/lib/modules/$release
    to=$root/lib/modules/$release
    [ -e "$from/modules.dep" ] || PATH=$PATH:/usr/sbin:/sbin depmod -b "$built/kernel" "$release"
    mkdir -p "$to"
    cp "$from/modules.builtin" "$to/"
    for module in "$@"; do
        printf '%s\n' "$module" >>"$root/etc/cluster-os/modules"
        line=$(grep -E "(^|/)${module//[-_]/[-_]}\.ko[^ ]*:" "$from/modules.dep") || continue
        for file in ${line/:/}; do
            mkdir -p "$to/$(dirname "$file")"
            cp "$from/$file" "$to/$file"
            grep "^$file:" "$from/modules.dep" >>"$to/modules.dep"
        done
    done
}

# COMMANDS: a unit that runs them and then `ended: STATUS`, which switches the machine off.
unit() {
    cat >"$root/etc/cluster-os/units.toml" <<TOML
[unit.tests]
exec = ["sh", "-c", "$1; echo ended: \$?; kill -38 1"]
log = "inherit"
restart = "never"
TOML
}

# FOLDER: what `boot` unpacks.
pack() { (cd "$1" && find . -print0 | cpio --null --quiet -o -H newc); }

# OPTION...: runs $work/initramfs.cpio and ends as the tests in it do. Twenty minutes: an emulated processor on a busy host takes
# some.
boot() {
    timeout "${GUEST_LIMIT:-1200}" qemu-system-x86_64 -accel "${APPLIANCE_ACCEL:-tcg}" -m "${GUEST_MEMORY:-1024}" -nodefaults -display none -no-reboot \
        -kernel "$built/vmlinuz" -initrd "$work/initramfs.cpio" -serial stdio -device virtio-rng-pci "$@" </dev/null |
        sed -u 's/\r//g' | tee "$work/console"
    grep -q '^ended: 0$' "$work/console" || fail "the tests failed in the machine; what they printed is above"
}
