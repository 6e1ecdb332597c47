#!/usr/bin/env bash
# Measures gossipd beside Debian's serf agent, each cluster in a network namespace of its own, and prints a table of Markdown. As root,
# on a machine that does nothing else; about ten minutes.
#
#   tests/bench/gossip/run.sh      BENCH_ROUNDS=5 BENCH_REST=30 BENCH_NODES="5 20" BENCH_JSON=FILE (every trial, a line each)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
cargo build --release --no-default-features --features gossip --bin gossipd
host=$(rustc -vV | sed -n 's/^host: //p')
export GOSSIPD=${GOSSIPD:-${CARGO_TARGET_DIR:-$PWD/target}/$host/release/gossipd}
exec cargo test --no-default-features --features gossip --test bench-gossip -- --nocapture
