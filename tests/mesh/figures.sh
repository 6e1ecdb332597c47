#!/usr/bin/env bash
# Measures what peers cost, ours beside wg and wg-quick, in a machine with the kernel's WireGuard, and prints a table of Markdown. On a
# host that does nothing else; about twenty minutes.
#
#   images/appliance/build && tests/mesh/figures.sh      BENCH_ROUNDS=3 BENCH_PEERS="1000 10000"
set -euo pipefail
export BENCH_PROFILE=${BENCH_PROFILE:-sim} BENCH_PEERS=${BENCH_PEERS:-1000 10000} BENCH_ROUNDS=${BENCH_ROUNDS:-3} GUEST_LIMIT=${GUEST_LIMIT:-3600}
"$(dirname "${BASH_SOURCE[0]}")/machine.sh" figures:: | grep '^|'
