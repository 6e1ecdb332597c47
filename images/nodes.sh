# What both labs share, that of namespaces (images/lab.sh) and that of containers (images/containers.sh): the table of the
# nodes, and who reaches whom. Sourced, not run. Whoever sources it has `ask K PATH FILTER` (jq's answer about a file in node
# K, or "-"), `inside K CMD...`, `mesh_address K` and `mode K`.
# What it reads is set by them, too.
# shellcheck shell=bash disable=SC2154

say() { printf 'lab: %s\n' "$*"; }
warn() { printf 'lab: warning: %s\n' "$*" >&2; }
fail() {
    printf 'lab: error: %s\n' "$*" >&2
    exit 1
}

# NODE: its number, from "node3" or "3".
number() {
    local k=${1#node}
    [[ $k =~ ^[1-9][0-9]?$ ]] || fail "unable to find node '$1': nodes are called node1, node2, ...; see images/lab.sh status"
    printf '%s\n' "$k"
}

# DESCRIPTION SECONDS COMMAND...: wait until COMMAND succeeds; fails after SECONDS.
await() {
    local description=$1 end=$((SECONDS + $2))
    shift 2
    until "$@"; do
        if [ "$SECONDS" -ge "$end" ]; then
            [ -z "$description" ] || warn "waited in vain for $description"
            return 1
        fi
        sleep 0.1
    done
}

verified() { ask "$1" /run/cluster-os/peers.json '[.peers[] | select(.verified)] | length'; }
# K: peers that have shaken hands within the 180 s that a session lasts. From the device: the file is some seconds late.
connected() {
    inside "$1" wg show wg0 latest-handshakes 2>/dev/null | awk -v since=$(($(date +%s) - 180)) '$2 > since { n++ } END { print n + 0 }'
}
units() {
    ask "$1" /run/cluster-os/status.json '[.units[] | select(.state != "off" and .state != "skipped")] |
        "\([.[] | select(.state == "up" or .state == "done")] | length)/\(length)"'
}

# SECONDS K...: every node pings every other over wg0, all at once, until it answers; leaves the addresses that node K
# reached in PINGS/K.
pings=
ping_all() {
    local limit=$1 from to targets
    shift
    pings=$(mktemp -d)
    local -A mesh=()
    for from in "$@"; do mesh[$from]=$(mesh_address "$from"); done
    for from in "$@"; do
        targets=()
        for to in "$@"; do [ "$to" = "$from" ] || targets+=("${mesh[$to]}"); done
        # shellcheck disable=SC2016 # the variables are the inner shell's
        inside "$from" sh -c 'limit=$1; shift; end=$(($(date +%s) + limit))
            for to; do
                [ "$to" != - ] || continue
                ( until ping -q -c 1 -W 2 "$to" >/dev/null 2>&1; do [ "$(date +%s)" -lt "$end" ] || exit 1; sleep 0.2; done; echo "$to" ) &
            done; wait' sh "$limit" "${targets[@]}" >"$pings/$from" 2>/dev/null 9>&- &
    done
    wait
}

# K...: the table, and the sum below it; fails unless every node reached every other.
table() {
    local k reached all=0 wanted=$(($# * ($# - 1)))
    printf '%-8s %-16s %-10s %-20s %-12s %s\n' node 'mesh address' WireGuard 'verified/connected' 'ping (wg0)' 'units up'
    for k in "$@"; do
        reached=$(wc -l <"$pings/$k")
        all=$((all + reached))
        printf '%-8s %-16s %-10s %-20s %-12s %s\n' "node$k" "$(mesh_address "$k")" "$(mode "$k")" \
            "$(verified "$k") / $(connected "$k")" "$reached/$(($# - 1))" "$(units "$k")"
    done
    rm -rf "$pings"
    echo "$all of $wanted pings"
    [ "$all" = "$wanted" ]
}

# N K: whether node K has an address and has verified N - 1 others.
ready() { [ "$(mesh_address "$2")" != - ] && [ "$(verified "$2")" = $(($1 - 1)) ]; }

# N: waits until nodes 1 to N have met, and shows the table; fails unless every node reaches every other over wg0.
meet() {
    local n=$1 k late=()
    say "waiting until every node has wg0 and has verified the $((n - 1)) others (at most $wait_limit s)"
    local end=$((SECONDS + wait_limit))
    for ((k = 1; k <= n; k++)); do
        if await "" "$((end > SECONDS ? end - SECONDS : 0))" ready "$n" "$k"; then
            say "node$k is ready: $(mesh_address "$k") ($(mode "$k")), $(verified "$k") of $((n - 1)) verified"
        else
            late+=("$k")
        fi
    done
    for k in "${late[@]}"; do
        warn "node$k is late: mesh address $(mesh_address "$k"), $(verified "$k") of $((n - 1)) peers verified, units up $(units "$k"); the end of its log:"
        tail_of "$k"
    done
    say "pinging from every node to every other over wg0"
    # shellcheck disable=SC2046 # one word a number
    ping_all "$([ "${#late[@]}" = 0 ] && echo "$((wait_limit / 3))" || echo 2)" $(seq "$n")
    for ((k = 1; k <= n; k++)); do
        if [ "$(wc -l <"$pings/$k")" -lt $((n - 1)) ] && [ "${#late[@]}" = 0 ]; then
            warn "node$k reaches only: $(tr '\n' ' ' <"$pings/$k"); the end of its log:"
            tail_of "$k"
        fi
    done
    # shellcheck disable=SC2046
    table $(seq "$n") || fail "unable to bring the whole mesh up: see above; images/lab.sh logs NODE shows more"
}

# --- building ------------------------------------------------------------------------------------------------------

# COMMAND:PACKAGE...: Debian packages for the programs that are not there.
install_packages() {
    local missing=() pair
    for pair; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    command -v apt-get >/dev/null || fail "unable to install ${missing[*]}: no apt-get here; install them by hand"
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    local log=$state/apt.log
    { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 9>&- ||
        fail "unable to install ${missing[*]}: apt-get failed; see $log: $(tail -n 2 "$log")"
}

# Prints the folder of the binaries, building them unless LAB_BIN names one.
build() {
    if [ -n "${LAB_BIN:-}" ]; then
        readlink -f "$LAB_BIN"
        return
    fi
    command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    command -v cargo >/dev/null || fail "unable to build: no cargo here; install Rust 1.95 or later, or name built programs in LAB_BIN"
    say "building release binaries (some minutes the first time)" >&2
    (cd "$repo" && cargo build --release --bins 9>&- >&2) || fail "unable to build: cargo failed; its messages are above"
    printf '%s/%s/release\n' "${CARGO_TARGET_DIR:-$repo/target}" "$(rustc -vV | sed -n 's/^host: //p')"
}
