# What the shell tests share: checks that are counted, and waiting for a condition with a limit. Sourced, not run.
# shellcheck shell=bash

passed=0 failed=0 skipped=0 why=
checks=$(mktemp -d)
# CHECKS, a pattern of names, runs only those.

# NAME FUNCTION [ARG...]: prints `ok NAME (seconds)` or `not ok NAME: why`. FUNCTION says why by `because`, or by the end
# of its output.
check() {
    local name=$1 began=$EPOCHREALTIME
    shift
    # shellcheck disable=SC2053 # a pattern is meant
    [[ $name == ${CHECKS:-*} ]] || return 0
    why=
    if "$@" >"$checks/output" 2>&1; then
        passed=$((passed + 1))
        printf 'ok %s (%d.%01d s)\n' "$name" $(((${EPOCHREALTIME/./} - ${began/./}) / 1000000)) $(((${EPOCHREALTIME/./} - ${began/./}) / 100000 % 10))
    else
        failed=$((failed + 1))
        printf 'not ok %s: %s\n' "$name" "${why:-$(tail -n 1 "$checks/output")}"
        tail -n 40 "$checks/output" | sed 's/^/    /'
    fi
}

# NAME REASON: says so loudly; a failure when NEED=all.
skip() {
    # shellcheck disable=SC2053
    [[ $1 == ${CHECKS:-*} ]] || return 0
    if [ "${NEED:-}" = all ]; then
        failed=$((failed + 1))
        printf 'not ok %s: skipped although NEED=all: %s\n' "$1" "$2"
    else
        skipped=$((skipped + 1))
        printf 'skipped %s: %s\n' "$1" "$2"
    fi
}

# TEXT: why the check fails; use as `... || because TEXT || return`.
because() {
    why=$*
    echo "$*"
    return 1
}

# SECONDS COMMAND...: until COMMAND succeeds; fails after SECONDS.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

# The last line, and the exit status.
summary() {
    rm -rf "$checks"
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    [ "$failed" = 0 ]
}
