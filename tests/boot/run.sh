#!/usr/bin/env bash
# Two machines under Debian's cloud kernel, in QEMU, with clusteros-init as the kernel's own PID 1: kernel wg0, gossip
# over a virtual wire, ping through the tunnel, power-off by signal.
#
#   tests/boot/run.sh              LAB_BIN names built programs; else cargo builds release ones
#
# Prints `ok NAME`, `not ok NAME: why` or `skipped NAME: why` for each check, and the sum as the last line.
set -uo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=tests/kit/check.sh
. "$repo/tests/kit/check.sh"

if [ "$(uname -m)" != x86_64 ]; then
    skip boot "this machine is $(uname -m): the guests are x86_64"
    summary
    exit
fi
if [ "$(id -u)" != 0 ] && ! command -v qemu-system-x86_64 >/dev/null; then
    skip boot "no qemu-system-x86_64 here, and not root to install it"
    summary
    exit
fi

run=$(mktemp -d)
export APPLIANCE_RUN=$run
runner=
# shellcheck disable=SC2329 # called by the trap
clean() {
    [ -z "$runner" ] || kill "$runner" 2>/dev/null
    [ -z "$runner" ] || wait "$runner" 2>/dev/null
    rm -rf "$run"
}
trap clean EXIT

# K SECONDS COMMAND: runs COMMAND in the shell of machine K and prints what it printed; its exit status, or 124 when it
# took longer.
guest() {
    local dir=$run/node$1 mark=done.$RANDOM.$RANDOM line end=$((SECONDS + $2))
    local ours='' part=''
    [ -p "$dir/shell.in" ] && [ -p "$dir/shell.out" ] || return 124
    exec 3<>"$dir/shell.in" 4<>"$dir/shell.out"
    printf 'echo begin.%s""; ( %s\n) 2>&1; echo %s""=$?\n' "$mark" "$3" "$mark" >&3
    while [ "$SECONDS" -lt "$end" ]; do
        # A line may come in pieces.
        if ! IFS= read -r -t 1 line <&4; then
            part+=$line
            continue
        fi
        line=$part${line%$'\r'} part=''
        if [[ $line == *"$mark="* ]]; then
            exec 3>&- 4>&-
            return "${line##*"$mark"=}"
        fi
        # What comes before is the late answer to a command that was given up.
        [ -z "$ours" ] || printf '%s\n' "$line"
        [[ $line != *"begin.$mark" ]] || ours=yes
    done
    exec 3>&- 4>&-
    return 124
}

# K: the name and the wg0 address of machine K
address() { guest "$1" 10 'ip -4 -o address show dev wg0' | sed -n 's/.*inet \([0-9.]*\).*/\1/p'; }
key() { guest "$1" 10 'wg show wg0 public-key'; }
other() { echo $((3 - $1)); }
console() { echo "$run/node$1/console.log"; }

answers() { guest "$1" 5 true; }
booted() {
    local k began=$SECONDS
    for k in 1 2; do
        within 90 answers "$k" || because "machine $k has no shell yet; its console ends: $(tail -n 5 "$(console "$k")")" || return
    done
    guest 1 20 'uname -r; cat /proc/uptime'
    [ "$(guest 1 20 'readlink /proc/1/exe')" = /usr/bin/clusteros-init ] || because "PID 1 is $(guest 1 20 'readlink /proc/1/exe')" || return
    echo "both answer after $((SECONDS - began)) s"
}

settled() {
    guest "$1" 10 'initctl status --json' | jq -e '[.units[] | select(.state != "off" and .state != "skipped")] | length >= 5 and all(.state == "up" or .state == "done")'
}
all_up() {
    local k
    for k in 1 2; do
        within 60 settled "$k" || because "units of machine $k: $(guest "$k" 10 'initctl status' | tail -n +2 | tr '\n' ';')" || return
        guest "$k" 10 'initctl status'
    done
}

kernel_wg0() {
    local k
    for k in 1 2; do
        guest "$k" 10 'ip -d link show wg0; cat /sys/class/net/wg0/uevent'
        guest "$k" 10 'grep -q DEVTYPE=wireguard /sys/class/net/wg0/uevent' || because "wg0 of machine $k is not the kernel's" || return
    done
}

# The unit is gossipd, and it sees both; no serf(1) is in the machine.
knows_other() { guest "$1" 10 'node-agent status --json' | jq -e '.gossip.alive == 2'; }
gossip() {
    local k
    for k in 1 2; do
        within 60 knows_other "$k" || because "machine $k sees: $(guest "$k" 10 'node-agent status')" || return
        guest "$k" 5 'node-agent status; initctl status gossip'
        guest "$k" 5 'pidof gossipd && ! pidof serf' || because "gossip of machine $k is not gossipd" || return
    done
}

has_peer() { [ "$(guest "$1" 10 'wg show wg0 peers')" = "$(key "$(other "$1")")" ]; }
tunnel() {
    local k target dump
    for k in 1 2; do
        within 60 has_peer "$k" || because "machine $k has not the other's key as its peer: $(guest "$k" 10 'wg show wg0')" || return
        target=$(address "$(other "$k")")
        [ -n "$target" ] || because "machine $(other "$k") has no address on wg0" || return
        guest "$k" 30 "n=0; until ping -c 1 -W 2 $target; do n=\$((n + 1)); [ \$n -lt 10 ] || exit 1; done" || because "machine $k gets no answer from $target" || return
    done
    for k in 1 2; do
        dump=$(guest "$k" 10 'wg show wg0 dump' | tail -n +2)
        echo "$dump"
        [ "$(cut -f1 <<<"$dump")" = "$(key "$(other "$k")")" ] || because "wg show on machine $k has another key" || return
        [ "$(awk '$5 > 0 && $6 > 0 && $7 > 0' <<<"$dump" | wc -l)" = 1 ] || because "wg show on machine $k: no handshake or no bytes: $dump" || return
    done
}

# PID 1 goes by the time since boot: what somebody does to the clock of the wall is no concern of its timers.
clock_jumps() {
    local to
    for to in '1970-01-01 00:01:00' '2100-01-01 00:00:00'; do
        guest 1 10 "date -s '$to'" || because "the clock does not go to $to" || return
        guest 1 40 'initctl restart gossip --wait=30' || because "at $to gossip is not up again: $(guest 1 10 'initctl status gossip')" || return
        guest 1 10 'killall -9 gossipd'
        within 30 settled 1 || because "at $to: $(guest 1 10 'initctl status' | tail -n +2 | tr '\n' ';')" || return
        guest 1 10 'date; initctl status'
    done
}

is_off() { [ -e "$run/node$1/exit" ]; }
# K SIGNAL: machine K goes off by itself
power_off() {
    guest "$1" 1 "kill -$2 1" >/dev/null
    within 30 is_off "$1" || because "machine $1 is still on after 30 s; its console ends: $(tail -n 5 "$(console "$1")")" || return
    tail -n 5 "$(console "$1")"
    [ "$(cat "$run/node$1/exit")" = 0 ] || because "QEMU ended with $(cat "$run/node$1/exit")" || return
    grep -q 'Power down' "$(console "$1")" || because "the kernel did not power down: $(tail -n 1 "$(console "$1")")"
}

no_panic() {
    local k
    for k in 1 2; do
        if grep -E 'Kernel panic|Oops|BUG:|Attempted to kill init' "$(console "$k")"; then
            because "machine $k: $(grep -E -m 1 'Kernel panic|Oops|BUG:|Attempted' "$(console "$k")")"
            return
        fi
    done
}

build() { "$repo/images/appliance/build"; }
check build build
if [ "$failed" != 0 ]; then
    summary
    exit 1
fi
"$repo/images/appliance/run" 2 >"$run.log" 2>&1 &
runner=$!
check boot booted
if [ "$failed" = 0 ]; then
    check units-up all_up
    check kernel-wg0 kernel_wg0
    check gossip gossip
    check tunnel tunnel
    check clock-jumps clock_jumps
    check power-off-rtmin4 power_off 1 38
    check power-off-pwr power_off 2 PWR
fi
check no-panic no_panic
rm -f "$run.log"
summary
