#!/usr/bin/env bash
# What PID 1 weighs: the size of the static program, and its resident memory with ten units at rest. As root.
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
trap '[ -z "$outer" ] || kill -KILL "$outer"; rm -rf "$scratch"' EXIT
cp "$dir/clusteros-init" "$dir/logd" "$scratch"
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

size=$(stat --format %s "$dir/clusteros-init")
check size at_most "$size" 1600000 bytes
check memory small_at_rest
echo "size clusteros-init $size bytes, $(memory) kB of memory with ten units"
summary
