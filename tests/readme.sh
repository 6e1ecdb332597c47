#!/usr/bin/env bash
# The examples of the README, run as they stand there: each `sh` block under a comment `prints:` must print those lines, in
# that order, if more words or other lines come between and behind them. As root.
#
#   tests/readme.sh DIR      with the built programs of DIR
set -uo pipefail
readme=$(dirname "$(readlink -f "$0")")/../README.md
PATH=$(cd "$1" && pwd):$PATH
passed=0 failed=0

# What they write under /run and /var/log is not this machine's.
if [ "${2:-}" != inside ]; then
    exec unshare --mount --propagation private bash "$0" "$1" inside
fi
mount -t tmpfs none /run && mount -t tmpfs none /var/log || exit 70
scratch=$(mktemp -d) && cd "$scratch" || exit 70
trap 'rm -rf "$scratch"' EXIT

# NUMBER: the lines that example NUMBER is to print, then its text, into want and text.
example() {
    awk -v wanted="$1" '
        /^<!-- prints: / { number++; sub(/^<!-- prints: /, ""); listing = armed = 1 }
        listing { over = sub(/ -->$/, ""); if (number == wanted) print > "want"; if (over) listing = 0; next }
        /^```/ && inside { inside = armed = 0; next }
        $0 == "```sh" && armed { inside = 1; next }
        inside && number == wanted { print > "text" }
    ' "$readme"
}

for number in 1 2 3 4 5 6 7 8 9; do
    rm -f want text
    example "$number"
    [ -e want ] || break
    timeout 60 bash text >out 2>&1 </dev/null
    if awk 'NR == FNR { want[NR] = $0; count = NR; next }
            { line = $0; gsub(/ +/, " ", line); first = want[at + 1]; gsub(/ +/, " ", first) }
            at < count && index(line, first) == 1 { at++ }
            END { exit at != count }' want out; then
        passed=$((passed + 1))
        echo "ok example $number"
    else
        failed=$((failed + 1))
        echo "not ok example $number: it prints"
        sed 's/^/    /' out
    fi
done
[ "$((passed + failed))" -ge 2 ] || failed=$((failed + 1))
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
