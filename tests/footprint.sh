#!/usr/bin/env bash
# What PID 1 and gossip weigh: the size of the static programs, PID 1's resident memory with ten units at rest, and gossip's in a
# cluster of five. As root.
#
#   tests/footprint.sh DIR      with the built programs of DIR
set -uo pipefail
dir=$(cd "$1" && pwd) || exit 64
# shellcheck source=tests/kit/check.sh
. "$(dirname "$0")/kit/check.sh"

# FIGURE LIMIT UNIT
at_most() {
    echo "size $1 $3, of $2" >&2
    [ "$1" -le "$2" ] || because "$1 $3 of $2"
}

scratch=$(mktemp -d) || exit 70
outer=
gossips=()
trap '[ -z "$outer" ] || kill -KILL "$outer"; [ "${#gossips[@]}" = 0 ] || kill -KILL "${gossips[@]}"; rm -rf "$scratch"' EXIT
cp "$dir/clusteros-init" "$dir/logd" "$dir/gossipd" "$scratch"
for number in 0 1 2 3 4 5 6 7 8 9; do
    printf '[unit.s%d]\nexec = ["sleep", "1000"]\n' "$number"
done >"$scratch/units.toml"

# Of PID 1, in kB; what only the start needed is given back when every unit is where it stays.
memory() {
    local pid
    pid=$(cat "/proc/$outer/task/$outer/children") && sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/${pid%% *}/status"
}
all_up() { [ "$(grep -c ' is up ' "$scratch/out")" -ge 10 ]; }
rests() { [ "$(memory)" -le 1400 ]; }
small_at_rest() {
    # shellcheck disable=SC2016
    unshare --mount --pid --fork --kill-child --mount-proc sh -c '
        mount -t tmpfs none /run && mount -t tmpfs none /var/log && mount --bind /tmp /tmp &&
        exec "$1/clusteros-init" --units "$1/units.toml"' sh "$scratch" >"$scratch/out" 2>&1 &
    outer=$!
    # The sum is the last line: the shell is to say nothing of its end.
    disown "$outer"
    within 20 all_up || because "not all units came up: $(tail -n 3 "$scratch/out")" || return
    within 5 rests
    at_most "$(memory)" 1400 "kB with ten units"
}

# Five on one address each, with a key, as in a cluster.
gossip_port=27946
gossip_key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
met() {
    local number
    for number in 1 2 3 4 5; do
        [ "$(grep -o 'EventMemberJoin: n[1-5] ' "$scratch/gossip$number" | sort -u | wc -l)" = 5 ] || return
    done
}
largest() {
    local pid most=0 size
    for pid in "${gossips[@]}"; do
        size=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pid/status") || return
        [ "$size" -le "$most" ] || most=$size
    done
    echo "$most"
}
gossip_small_in_a_cluster() {
    local number
    for number in 1 2 3 4 5; do
        "$scratch/gossipd" -node="n$number" -bind="127.0.0.$number:$gossip_port" -rpc-addr= -encrypt="$gossip_key" -retry-interval=1s \
            -retry-join="127.0.0.1:$gossip_port" -tag="of=n$number" >"$scratch/gossip$number" 2>&1 &
        gossips+=($!)
        disown $!
    done
    within 30 met || because "they did not meet: $(tail -n 2 "$scratch"/gossip? | tr '\n' ' ')" || return
    at_most "$(largest)" 3072 "kB, the largest of five members"
}

size=$(stat --format %s "$dir/clusteros-init")
gossip_size=$(stat --format %s "$dir/gossipd")
check size at_most "$size" 1600000 bytes
check gossip-size at_most "$gossip_size" 2500000 bytes
check gossip-memory gossip_small_in_a_cluster
check memory small_at_rest
echo "size gossipd $gossip_size bytes, $(largest) kB of memory in a cluster of five"
echo "size clusteros-init $size bytes, $(memory) kB of memory with ten units"
summary
