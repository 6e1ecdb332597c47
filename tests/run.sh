#!/usr/bin/env bash
# Every test, rung by rung.
#
#   tests/run.sh             all rungs: style unit sim ns build lab image boot
#   tests/run.sh RUNG...     only these, in this order
#   NEED=all tests/run.sh    what cannot run here is a failure, not a skip
#
# For a fresh Debian or Ubuntu with Rust. As root it installs the Debian packages that are missing and says which; without
# root it skips what needs them. LAB_BIN names a folder of built programs for lab, image and boot; else `build` makes them.
#
# Each rung's whole output is kept in target/test-logs/RUNG.log. The last line is `N passed, N failed, N skipped`, and the
# exit status is 0 only if nothing failed.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 70
PATH=$PATH:/usr/sbin:/sbin:${CARGO_HOME:-$HOME/.cargo}/bin
export NEED=${NEED:-} CARGO_TERM_COLOR=never RUST_BACKTRACE=${RUST_BACKTRACE:-0}
target=${CARGO_TARGET_DIR:-$PWD/target}
logs=$target/test-logs
rungs=(style unit sim ns build lab image boot)
# No rung may hang for ever.
limit=${RUNG_LIMIT:-1800}

say() { printf 'run: %s\n' "$*"; }
fail() {
    printf 'run: error: %s\n' "$1" >&2
    exit "${2:-70}"
}

# --- what the machine must have --------------------------------------------------------------------------------------

# COMMAND:PACKAGE
tools=(
    cc:gcc c++:g++ readelf:binutils serf:serf wg:wireguard-tools ip:iproute2 ping:iputils-ping busybox:busybox-static
    iptables-restore:iptables qemu-system-x86_64:qemu-system-x86 cpio:cpio depmod:kmod shellcheck:shellcheck unshare:util-linux setpriv:util-linux jq:jq
    tini:tini dumb-init:dumb-init catatonit:catatonit strace:strace scriptreplay:bsdutils zsh:zsh fish:fish groff:groff-base
    dockerd:docker.io docker:docker.io docker-compose:docker-compose debootstrap:debootstrap podman:podman
    runc:runc mke2fs:e2fsprogs sysctl:procps
)

install_tools() {
    local pair missing=()
    for pair in "${tools[@]}"; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
    done
    [ -e /usr/lib/x86_64-linux-gnu/libc.a ] || [ "$(uname -m)" != x86_64 ] || missing+=(libc6-dev)
    if [ "${#missing[@]}" = 0 ]; then
        return
    fi
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "warning: unable to install ${missing[*]}: that needs root and apt-get; tests that need them are skipped"
        return
    fi
    say "installing ${missing[*]}"
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } \
        >"$logs/install.log" 2>&1; then
        say "warning: unable to install ${missing[*]}: apt-get failed, see $logs/install.log; tests that need them are skipped"
    fi
}

# --- counting --------------------------------------------------------------------------------------------------------

passed=0 failed=0 skipped=0
table=()

# N passed, N failed, N skipped in this rung so far
ok=0 bad=0 left=0

# NAME COMMAND...: one check of a rung, counted by its exit status; its output goes where the rung's goes.
one() {
    local name=$1
    shift
    echo "--- $name: $*"
    if "$@"; then
        ok=$((ok + 1))
        echo "ok $name"
    else
        bad=$((bad + 1))
        echo "not ok $name"
    fi
}

# Tests under cargo.
tests() { results cargo test --locked "$@"; }

# COMMAND...: counted from its `test result:` lines. A test that cannot run here passes for cargo and prints
# `skipped: NAME: REASON`.
results() {
    local out=$logs/cargo.$BASHPID line here=0 status
    echo "--- $*"
    # No pipe: whoever outlives the tests would keep it open.
    "$@" >"$out" 2>&1
    status=$?
    cat "$out"
    while read -r line; do
        if [[ $line =~ ([0-9]+)\ passed\;\ ([0-9]+)\ failed\;\ ([0-9]+)\ ignored ]]; then
            ok=$((ok + BASH_REMATCH[1])) bad=$((bad + BASH_REMATCH[2])) left=$((left + BASH_REMATCH[3]))
            here=$((here + BASH_REMATCH[2]))
        fi
    done < <(grep '^test result:' "$out")
    line=$(grep -c 'skipped: [^ ]*: ' "$out")
    ok=$((ok - line)) left=$((left + line))
    rm -f "$out"
    # It did not compile, or was ended before it could say how it went.
    if [ "$status" != 0 ] && [ "$here" = 0 ]; then
        bad=$((bad + 1))
        echo "not ok: $1 ended with $status"
    fi
}

# A shell rung counts for itself, and ends with the line `N passed, N failed, N skipped`.
script() {
    local out=$logs/script.$BASHPID status last
    if [ ! -x "$1" ]; then
        left=$((left + 1))
        echo "skipped $1: it is not there"
        return
    fi
    "$@" >"$out" 2>&1
    status=$?
    cat "$out"
    last=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$out" | tail -n 1)
    rm -f "$out"
    if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]]; then
        ok=$((ok + BASH_REMATCH[1])) bad=$((bad + BASH_REMATCH[2])) left=$((left + BASH_REMATCH[3]))
        [ "$status" = 0 ] || [ "${BASH_REMATCH[2]}" != 0 ] || bad=$((bad + 1))
    else
        bad=$((bad + 1))
        echo "not ok $1: ended with $status and without its sum"
    fi
}

# --- the rungs -------------------------------------------------------------------------------------------------------

rung_style() {
    if ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
        rustup component add rustfmt clippy
    fi
    one format cargo fmt --check
    one clippy cargo clippy --locked --all-targets -- -D warnings
    tests --test style -- --nocapture
}

rung_unit() { tests --lib -- --nocapture; }

# Tests that need nothing of the host, beside the simulation.
pure=(machine node properties rpc table wire)

rung_sim() {
    local name arguments=()
    for name in "${pure[@]}"; do
        arguments+=(--test "$name")
    done
    tests --no-fail-fast "${arguments[@]}" -- --nocapture
    # Each of them takes all processors by itself, so that what it prints is its own time. A larger cache of freed memory is
    # 4 % of it.
    GLIBC_TUNABLES=glibc.malloc.tcache_count=127 SIM_LIVES=${SIM_LIVES:-1000000} tests --profile sim --no-default-features --features gossip,mesh --test sim --test swim --test together -- --nocapture --test-threads=1
    script tests/fuzz/run.sh
}

# All others that Cargo.toml lists, so that none is forgotten; but what only measures.
rung_ns() {
    local name arguments=()
    while read -r name; do
        [[ " style sim swim together bench-gossip ${pure[*]} " == *" $name "* ]] || arguments+=(--test "$name")
    done < <(sed -n '/^\[\[test\]\]/,/^$/s/^name = "\(.*\)"/\1/p' Cargo.toml)
    # What only the kernel's WireGuard, cgroup controllers or a machine can show is for rung boot: there they are for certain.
    tests --no-fail-fast "${arguments[@]}" -- --nocapture --skip kernel:: --skip limits:: --skip machine:: --skip figures:: \
        --skip clock_is_a_day_back
}

rung_build() {
    one pid1-alone cargo build --locked --no-default-features --bin clusteros-init
    one release cargo build --locked --release --bins
    local bin
    for bin in clusteros-init logd initctl gossipd node-agent; do
        one "static-$bin" is_static "$release/$bin"
        one "stripped-$bin" is_stripped "$release/$bin"
    done
    one own-start starts_with_its_own
    script tests/footprint.sh "$release"
    script tests/readme.sh "$release"
    (cd "$release" && stat --format 'size %n %s bytes' clusteros-init logd initctl gossipd node-agent)
}

# A program that names no interpreter and no library runs in an empty image.
is_static() {
    [ -x "$1" ] && ! readelf --wide --program-headers "$1" | grep -q INTERP && ! readelf --dynamic "$1" | grep -q NEEDED
}

# The linker only warns when it does not find the start that it was told, and then PID 1 loses early signals.
starts_with_its_own() {
    [ "$(uname -m)" = x86_64 ] || return 0
    local at
    at=$((16#$(readelf --file-header "$release/clusteros-init" | sed -n 's/.*Entry point address: *0x//p')))
    # mov r8,rdx; mov eax,14 (rt_sigprocmask)
    objdump --disassemble --start-address=$at --stop-address=$((at + 8)) "$release/clusteros-init" |
        grep -A1 'mov *%rdx,%r8' | grep -q 'mov *.0xe,%eax'
}

is_stripped() { [ -x "$1" ] && ! readelf --wide --sections "$1" | grep -qE '\.(symtab|debug_info)'; }

programs() {
    if [ -z "${LAB_BIN:-}" ]; then
        cargo build --locked --release --bins || return
        export LAB_BIN=$release
    fi
}

rung_lab() { programs && script tests/lab/run.sh; }
# K3S=/path: with a real k3s.
rung_image() { programs && script tests/image/run.sh; }
rung_boot() {
    programs && script tests/boot/run.sh
    results tests/mesh/machine.sh
    results tests/cgroup/machine.sh
    results tests/chaos/machine.sh
    results tests/k3s/machine.sh
    script tests/image/machine.sh
    results tests/gossip/machine.sh
}

# --- running them ----------------------------------------------------------------------------------------------------

# Runs in a process of its own, so that a rung that hangs can be ended with all that it started.
if [ "${1:-}" = --rung ]; then
    release=$target/$(rustc -vV | sed -n 's/^host: //p')/release
    # A rung that ends before its tests, a build that failed say, has one failure.
    "rung_$2" || [ "$bad" != 0 ] || bad=1
    printf '%d %d %d\n' "$ok" "$bad" "$left" >"$logs/$2.count"
    exit 0
fi

run() {
    local rung=$1 began=$SECONDS result=ok
    say "$rung: started"
    rm -f "$logs/$rung.count"
    timeout --kill-after=10 "$limit" "$0" --rung "$rung" >"$logs/$rung.log" 2>&1 </dev/null &
    current=$!
    wait "$current"
    local status=$?
    current=
    if read -r ok bad left 2>/dev/null <"$logs/$rung.count"; then :; else
        ok=0 bad=1 left=0
        [ "$status" != 124 ] || say "$rung: not done after $limit seconds"
    fi
    rm -f "$logs/$rung.count"
    if [ "$NEED" = all ] && [ "$left" != 0 ]; then
        say "$rung: $left skipped although NEED=all"
        bad=$((bad + left)) left=0
    fi
    [ "$bad" = 0 ] || result=FAILED
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + left))
    grep -E '^size |skipped:? ' "$logs/$rung.log" | sed 's/^/    /'
    if [ "$bad" != 0 ]; then
        # A panic's reason follows its place.
        awk '/panicked at/ { more = 4 } /^not ok|\.\.\. FAILED|^error/ && more < 1 { more = 1 }
            more > 0 { print "    " NR ":" substr($0, 1, 400); more-- }' "$logs/$rung.log" | head -n 60
        tail -n 60 "$logs/$rung.log" | sed 's/^/    | /'
        say "$rung: the whole output is in $logs/$rung.log"
    fi
    say "$rung: $result, $ok passed, $bad failed, $left skipped, $((SECONDS - began)) s"
    table+=("$(printf '%-8s %-7s %7d %7d %7d %8d' "$rung" "$result" "$ok" "$bad" "$left" $((SECONDS - began)))")
}

current=
stop() {
    [ -z "$current" ] || kill "$current" 2>/dev/null
    [ -z "$current" ] || wait "$current"
    exit 130
}
trap stop INT TERM HUP

if [ "$#" != 0 ]; then
    for rung; do
        [[ " ${rungs[*]} " == *" $rung "* ]] || fail "there is no rung $rung; there are ${rungs[*]}" 64
    done
    rungs=("$@")
fi
mkdir -p "$logs" || exit
command -v cargo >/dev/null || fail "unable to find cargo: Rust is not installed; see https://rustup.rs"
install_tools
cargo fetch --locked >"$logs/fetch.log" 2>&1 || say "warning: unable to fetch all crates, see $logs/fetch.log; trying with those that are here"

for rung in "${rungs[@]}"; do
    run "$rung"
done

# What tests left that had mounts of their own; a failed one is left to be looked at.
[ "$failed" != 0 ] || rm -rf --one-file-system /var/tmp/clusteros-[0-9]*

printf '\n%-8s %-7s %7s %7s %7s %8s\n' rung result passed failed skipped seconds
printf '%s\n' "${table[@]}"
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
