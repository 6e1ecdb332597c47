#!/usr/bin/env bash
# What a cluster of real parts must show, on the lab of images/lab.sh. Needs root.
#
#   tests/lab/run.sh               LAB_BIN names built programs; else cargo builds debug ones
#   CHECKS='kill*' tests/lab/run.sh    only the checks whose name matches
#   LAB_KEEP=1                     begin with the lab that a run before has left, and leave it
#   LAB_NIGHTLY=1                  the mesh of 20 nodes as well
#
# Prints `ok NAME`, `not ok NAME: why` or `skipped NAME: why` for each check, and the sum as the last line.
set -uo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=tests/kit/check.sh
. "$repo/tests/kit/check.sh"

if [ "$(id -u)" != 0 ]; then
    skip lab "not root: namespaces and links cannot be made"
    summary
    exit
fi

export LAB_STATE=${LAB_STATE:-/var/lib/clusteros-lab-test} LAB_BRIDGE=${LAB_BRIDGE:-clostest} LAB_NET=${LAB_NET:-172.31.87.0/24} LAB_WAIT=${LAB_WAIT:-60}
lab() { "$repo/images/lab.sh" "$@"; }
if [ -z "${LAB_BIN:-}" ]; then
    (cd "$repo" && cargo build --bins) || exit 1
    LAB_BIN=${CARGO_TARGET_DIR:-$repo/target}/$(rustc -vV | sed -n 's/^host: //p')/debug
fi
export LAB_BIN
nodes=(1 2 3 4 5)
[ -n "${LAB_KEEP:-}" ] || trap 'lab down --purge >/dev/null 2>&1' EXIT

# --- asking --------------------------------------------------------------------------------------------------------

pid1() { local pid; read -r pid _ <"$LAB_STATE/node$1/pid" && [ -d "/proc/$pid" ] && echo "$pid"; }
console() { echo "$LAB_STATE/node$1/console.log"; }
log_of() { echo "$LAB_STATE/node$1/log/$2.log"; }
identity() { jq -er .node_id "$LAB_STATE/node$1/lib/identity.json"; }
mesh() { lab exec "$1" ip -4 -o address show dev wg0 2>/dev/null | sed -n 's/.*inet \([0-9.]*\).*/\1/p'; }
# K UNIT FIELD: from the node's status document, "null" when it is not there
unit() { jq -r --arg unit "$2" --arg field "$3" '.units[] | select(.name == $unit) | .[$field]' "/proc/$(pid1 "$1")/root/run/cluster-os/status.json" 2>/dev/null; }
unit_is() { [ "$(unit "$1" "$2" state)" = "$3" ]; }
unit_settled() { case $(unit "$1" "$2" state) in up | done) ;; *) false ;; esac; }
peers() { jq -r '[.peers[] | select(.verified)] | length' "/proc/$(pid1 "$1")/root/run/cluster-os/peers.json" 2>/dev/null; }
peers_are() { [ "$(peers "$1")" = "$2" ]; }
says() { grep -Eqs -- "$2" "$1"; }
sum() { sha256sum <"$1"; }
# FILE: how many bytes it has: what comes later is new
size() { stat -c %s "$1" 2>/dev/null || echo 0; }
since() { tail -c "+$(($2 + 1))" "$1" 2>/dev/null; }
new_says() { since "$1" "$2" | grep -Eq -- "$3"; }

mesh_pings() {
    local wanted=$((${#nodes[@]} * (${#nodes[@]} - 1))) said
    said=$(lab up "${#nodes[@]}" 2>&1)
    local ended=$?
    echo "$said"
    if [ $ended != 0 ] || ! grep -q "^$wanted of $wanted pings\$" <<<"$said"; then
        because "no full mesh: $(grep -E 'pings$' <<<"$said" || tail -n 1 <<<"$said")"
    fi
}

# --- the checks ----------------------------------------------------------------------------------------------------

first_up() {
    mesh_pings || return
    local k
    for k in "${nodes[@]}"; do
        [ "$(lab exec "$k" cat /proc/1/comm)" = clusteros-init ] || because "PID 1 of node$k is $(lab exec "$k" cat /proc/1/comm)" || return
    done
}

second_up() {
    local before after
    before=$(for k in "${nodes[@]}"; do pid1 "$k"; done)
    mesh_pings || return
    after=$(for k in "${nodes[@]}"; do pid1 "$k"; done)
    [ "$before" = "$after" ] || because "nodes were started anew: $before became $after"
}

encrypted() {
    # nothing but WireGuard crosses the bridge between mesh addresses: every peer has shaken hands, and counts bytes
    local k dump
    for k in "${nodes[@]}"; do
        dump=$(lab exec "$k" wg show wg0 dump | tail -n +2) || because "wg show fails on node$k" || return
        echo "$dump"
        [ "$(awk '$5 > 0 && $6 > 0 && $7 > 0' <<<"$dump" | wc -l)" = $((${#nodes[@]} - 1)) ] ||
            because "not every peer of node$k has a handshake and bytes both ways" || return
    done
}

# PID 1 of a settled node
switches() { awk '/ctxt_switches/ { sum += $2 } END { print sum }' "/proc/$1/status"; }
idle() {
    local pid before after
    pid=$(pid1 3)
    before=$(switches "$pid")
    sleep 20 # the length of the measurement
    after=$(switches "$pid")
    [ "$before" = "$after" ] || because "$((after - before)) context switches in 20 s"
}

is_newer() { [ "$(stat -c %Y%Z%i "$1" 2>/dev/null)" != "$2" ]; }
# Who knows systemd asks a node in its words.
habits() {
    local said
    said=$(lab exec 2 systemctl is-active node-agent.service) && [ "$said" = active ] || because "node-agent is ${said:-silent}" || return
    lab exec 2 systemctl status gossip wg0.service | grep -q 'Active: active (' || because "no status" || return
    lab exec 2 journalctl -u node-agent.service --since -1h -n 5 | grep -q . || because "no lines of node-agent" || return
    ! lab exec 2 systemctl enable k3s || because "it enables" || return
    [ "$(lab exec 2 systemctl is-system-running)" = running ] || because "it does not run"
}
outside_status() {
    local pid document
    pid=$(pid1 2)
    document=/proc/$pid/root/run/cluster-os/status.json
    local before at
    before=$(stat -c %Y%Z%i "$document" 2>/dev/null)
    at=$(size "$(console 2)")
    kill -USR1 "$pid"
    within 10 is_newer "$document" "$before" || because "status.json stayed as it was" || return
    jq -e '.units | length > 3' "$document" || because "status.json is no status document" || return
    within 10 new_says "$(console 2)" "$at" 'gossip.*up' || because "no table on the console"
}

# K UNIT PID: UNIT is up as another process than PID
is_back() {
    local new
    new=$(unit "$1" "$2" pid)
    [ -n "$new" ] && [ "$new" != null ] && [ "$new" != "$3" ] && unit_is "$1" "$2" up
}

# UNIT: killed on one node after another
killed() {
    local k old
    for k in "${nodes[@]}"; do
        old=$(unit "$k" "$1" pid)
        if [ "$old" = null ] || [ -z "$old" ]; then
            unit_is "$k" "$1" "done" || because "$1 on node$k has no process and is $(unit "$k" "$1" state)" || return
            continue
        fi
        lab exec "$k" kill -KILL "$old" || return
        within 30 is_back "$k" "$1" "$old" || because "$1 on node$k is $(unit "$k" "$1" state), pid $(unit "$k" "$1" pid) (was $old)" || return
    done
    mesh_pings
}

# K NAME STATUS: what node K's gossip says of a member
sees() { serf_of "$1" members -status="$3" -name="$2" | grep -q "^$2 "; }
stop_start() {
    local id address at
    id=$(identity 3) address=$(mesh 3) at=$(size "$(log_of 1 gossip)")
    # Gossip alone, started again, leaves nobody: its peers stay.
    lab exec 3 initctl restart gossip --wait=30 || because "gossip is $(unit 3 gossip state) after a restart" || return
    lab stop 3 || return
    within 10 sees 1 node3 left || because "node1 sees of node3: $(serf_of 1 members -name=node3)" || return
    [ "$(since "$(log_of 1 gossip)" "$at" | grep -c 'EventMemberLeave: node3')" = 1 ] || because "node3 left more than once" || return
    within 10 peers_are 1 3 || because "node1 has $(peers 1) peers while node3 is gone" || return
    [ "$(cat "$LAB_STATE/node3/exit")" = 0 ] || because "PID 1 ended with $(cat "$LAB_STATE/node3/exit")" || return
    lab start 3 || return
    mesh_pings || return
    [ "$(identity 3) $(mesh 3)" = "$id $address" ] || because "came back as $(identity 3) $(mesh 3), was $id $address"
}

# A node that is simply gone has failed, and stays a peer.
crash() {
    kill -KILL "$(pid1 5)" || return
    within 30 sees 1 node5 failed || because "node1 sees of node5: $(serf_of 1 members -name=node5)" || return
    still_four_of 1 || return
    lab start 5 || return
    mesh_pings
}
still_four_of() { peers_are "$1" 4 || because "node$1 has $(peers "$1") peers"; }

zombies() { lab exec "$1" sh -c 'grep -l "^State:.Z" /proc/[0-9]*/status 2>/dev/null | wc -l'; }
no_zombies() { [ "$(zombies "$1")" = 0 ]; }
orphans() {
    local began
    began=$SECONDS
    # shellcheck disable=SC2016 # the variables are the inner shell's
    lab exec 4 sh -c 'for w in 1 2 3 4; do ( i=0; while [ $i -lt 5000 ]; do ( : & ); i=$((i + 1)); done ) & done; wait' || return
    within 10 no_zombies 4 || because "$(zombies 4) zombies are left" || return
    echo "20,000 orphans in $((SECONDS - began)) s"
    unit_is 4 node-agent up || because "node-agent is $(unit 4 node-agent state)"
}

# K KNOB...: a fresh node that is unlike the others
odd_node() {
    local k=$1
    shift
    lab stop "$k" || return
    rm -rf "$LAB_STATE/node$k"
    mkdir -p "$LAB_STATE/node$k"
    printf '%s\n' "$@" >"$LAB_STATE/node$k/knobs"
}

stranger() {
    local k
    local -A at=()
    odd_node 6 "CLUSTER_AUTH_KEY=$(head -c 32 /dev/urandom | base64)" "NODE_JOIN=$(for k in "${nodes[@]}"; do printf '%s.%d,' "${LAB_NET%.*}" $((10 + k)); done | sed 's/,$//')" || return
    for k in "${nodes[@]}"; do at[$k]=$(size "$(log_of "$k" gossip)"); done
    lab start 6 || return
    for k in "${nodes[@]}"; do
        within 40 new_says "$(log_of "$k" gossip)" "${at[$k]}" 'no key here opens it from=' || because "node$k's gossip log says nothing of a message that no key opens" || return
        since "$(log_of "$k" gossip)" "${at[$k]}" | grep -Em 1 'no key here opens it'
    done
    within 40 says "$(log_of 6 gossip)" 'no key here opens it|Failed to join' || because "the stranger's gossip log does not say why it is alone" || return
    grep -Em 3 'no key here opens it|Failed to join' "$(log_of 6 gossip)"
    still_four || return
    case $(peers 6) in '' | 0) ;; *) because "the stranger has $(peers 6) peers" || return ;; esac
    lab stop 6
}

# K ARGUMENT...: this machine's serf(1) asks node K's gossip
serf_of() {
    local pid password
    pid=$(pid1 "$1") || return
    password=$(jq -r .rpc_auth "/proc/$pid/root/run/cluster-os/serf.json") || return
    shift
    SERF_RPC_AUTH=$password nsenter --target "$pid" --net serf "$@"
}

# NAME: a node that has the cluster key and copies node2's tags, under NAME, and talks to every node: nobody would tell the
# real node2 of another one
impostor_node() {
    local tags
    odd_node 7 || return
    tags=$(serf_of 1 members -format=json | jq -c '.members[] | select(.name == "node2") | .tags')
    [ -n "$tags" ] || because "serf members knows no node2" || return
    mkdir -p "$LAB_STATE/node7/etc" "$LAB_STATE/node7/lib"
    jq -n --argjson tags "$tags" --arg name "$1" --arg key "$(<"$LAB_STATE/cluster.key")" --arg net "${LAB_NET%.*}" --arg self "${LAB_NET%.*}.17" \
        '{node_name: $name, tags: $tags, encrypt_key: $key, retry_join: [range(11; 16) | "\($net).\(.)"], bind: "0.0.0.0:7946", advertise: ($self + ":7946")}' >"$LAB_STATE/node7/lib/serf.json"
    printf '[unit.gossip]\nexec = ["gossipd", "-config-file=/var/lib/cluster-os/serf.json"]\n' >"$LAB_STATE/node7/etc/units.toml"
    lab start 7
}

still_four() {
    local k
    for k in "${nodes[@]}"; do still_four_of "$k" || return; done
}

impostor_other_name() {
    local k
    local -A at=()
    for k in "${nodes[@]}"; do at[$k]=$(size "$(log_of "$k" node-agent)"); done
    impostor_node intruder || return
    for k in "${nodes[@]}"; do
        within 30 new_says "$(log_of "$k" node-agent)" "${at[$k]}" 'node-agent: (warning|error): .*intruder' || because "node$k's node-agent says nothing of the intruder" || return
        since "$(log_of "$k" node-agent)" "${at[$k]}" | grep -m 1 intruder
    done
    still_four || return
    lab stop 7 || return
    mesh_pings
}

impostor_same_name() {
    local k
    local -A at=()
    for k in "${nodes[@]}"; do at[$k]=$(size "$(console "$k")"); done
    impostor_node node2 || return
    for k in "${nodes[@]}"; do
        within 30 new_says "$(console "$k")" "${at[$k]}" 'Node name conflicts with another|Name conflict for .node2' || because "node$k's log says nothing of two nodes named node2" || return
        since "$(console "$k")" "${at[$k]}" | grep -Em 1 '[Cc]onflict'
    done
    within 30 says "$(console 7)" 'minority in name conflict' || because "the impostor was not voted down" || return
    still_four || return
    lab stop 7 || return
    mesh_pings
}

# K PATTERN: node K's log has a line of the grammar that matches
error_line() { within 30 says "$(console "$1")" "(error|warning): unable to .*$2" || because "node$1's log has no line 'unable to ... $2'"; }

damaged_identity() {
    local file=$LAB_STATE/node4/lib/identity.json before
    lab stop 4 || return
    cp -a "$file" "$file.kept"
    head -c 40 "$file.kept" >"$file"
    before=$(sum "$file")
    : >"$(console 4)"
    lab start 4 || return
    error_line 4 'identity.json' && grep -m 1 'identity.json' "$(console 4)" || return
    within 20 unit_is 4 identity failed || because "identity is $(unit 4 identity state)" || return
    unit_is 4 logd up || because "logd is $(unit 4 logd state)" || return
    [ "$(sum "$file")" = "$before" ] || because "the damaged file was overwritten" || return
    lab stop 4 || return
    mv "$file.kept" "$file"
    mesh_pings
}

four_mistakes() {
    local file=$LAB_STATE/node4/etc/units.toml before ended
    lab stop 4 || return
    cp -a "$file" "$file.kept"
    cat >"$file" <<'TOML'
[unit.one]
exce = ["true"]
exec = ["true"]
[unit.two]
exec = "true"
[unit.three]
exec = ["true"]
needs = ["for"]
[unit.four]
exec = ["true"]
restart = "sometimes"
TOML
    before=$(sum "$file")
    : >"$(console 4)"
    rm -f "$LAB_STATE/node4/exit"
    lab start 4 # it may end before or after this returns
    within 20 test -e "$LAB_STATE/node4/exit" || because "PID 1 did not end" || return
    cat "$(console 4)"
    ended=$(cat "$LAB_STATE/node4/exit")
    for line in 2 5 8 11; do says "$(console 4)" "units.toml:$line:" || because "the mistake in line $line is not named" || return; done
    [ "$ended" = 78 ] || because "PID 1 ended with $ended, not 78" || return
    [ "$(sum "$file")" = "$before" ] || because "units.toml was overwritten" || return
    if lab exec 4 true 2>/dev/null; then
        because "node4 still runs"
        return
    fi
    mv "$file.kept" "$file"
    mesh_pings
}

missing_key() {
    odd_node 8 -CLUSTER_AUTH_KEY || return
    lab start 8 || return
    error_line 8 'CLUSTER_AUTH_KEY' && grep -m 1 'CLUSTER_AUTH_KEY' "$(console 8)" || return
    within 20 unit_is 8 identity failed || because "identity is $(unit 8 identity state)" || return
    unit_is 8 logd up || because "logd is $(unit 8 logd state)" || return
    lab stop 8
}

# K PATTERN: wg0 of node K says what is wrong, and gossip and node-agent run all the same
without_wg0() {
    error_line "$1" "$2" && grep -Em 1 "unable to .*$2" "$(console "$1")" || return
    within 45 unit_settled "$1" gossip || because "gossip is $(unit "$1" gossip state)" || return
    if unit_settled "$1" wg0; then
        because "wg0 is $(unit "$1" wg0 state) nevertheless"
        return
    fi
    lab stop "$1"
}

taken_port() {
    odd_node 9 || return
    mkdir -p "$LAB_STATE/node9/etc/units.d"
    cat >"$LAB_STATE/node9/etc/units.d/50-squatter.toml" <<'TOML'
[unit.squatter]
exec = ["gossipd", "-node=squatter", "-bind=0.0.0.0:51820", "-rpc-addr=127.0.0.1:7399"]
[unit.wg0]
needs = ["identity", "squatter"]
TOML
    lab start 9 && without_wg0 9 51820
}

no_tun() {
    odd_node 10 no-tun || return
    lab start 10 && without_wg0 10 /dev/net/tun
}

no_net_admin() {
    odd_node 11 no-net-admin || return
    lab start 11 && without_wg0 11 CAP_NET_ADMIN
}

# The processes and namespaces of all nodes that run, and of those who hold them.
belongings() {
    local dir pid holder
    for dir in "$LAB_STATE"/node*/; do
        pid=$(pid1 "$(basename "${dir%/}" | tr -dc 0-9)") || continue
        holder=$(awk '/^PPid/ { print $2 }' "/proc/$pid/status")
        readlink "/proc/$pid/ns"/{pid,mnt,net,uts,ipc}
        printf '%s\n' "process:$holder" "process:$(awk '/^PPid/ { print $2 }' "/proc/$holder/status")"
    done
}

# What is left of them, and of the lab's links and mounts.
remains() {
    local pid
    for pid in /proc/[0-9]*; do
        readlink "$pid"/ns/{pid,mnt,net,uts,ipc,pid_for_children} 2>/dev/null
        echo "process:${pid#/proc/}"
    done | sort -u | grep -Fxf "$checks/before"
    lsns -n -o TYPE,NS | awk '{ print $1 ":[" $2 "]" }' | grep -Fxf "$checks/before"
    ip -o link | grep -o "${LAB_BRIDGE}[^ @:]*"
    grep "$LAB_STATE" /proc/mounts
    return 0
}
nothing_remains() { [ -z "$(remains)" ]; }

down_leaves_nothing() {
    belongings >"$checks/before"
    [ "$(grep -c process: "$checks/before")" -ge $((2 * ${#nodes[@]})) ] || because "the lab's processes are not all to be found" || return
    lab down || return
    within 5 nothing_remains || because "left behind: $(remains | sort -u | tr '\n' ' ')"
}

down_up() {
    [ "$(for k in "${nodes[@]}"; do identity "$k"; done)" = "$ids" ] || because "identities changed while the lab was down" || return
    mesh_pings || return
    [ "$(for k in "${nodes[@]}"; do identity "$k"; done)" = "$ids" ] || because "node ids changed" || return
    [ "$(for k in "${nodes[@]}"; do mesh "$k"; done)" = "$addresses" ] || because "addresses changed: $addresses"
}

# What is in units.d as an example, put in place: node2 has Serf's own agent, the others have gossipd.
real_serf() {
    local folder=$LAB_STATE/node2/etc/units.d
    lab down || return
    nodes=(1 2 3)
    [ -e "$folder/gossip-serf.toml.example" ] || because "node2 has no example" || return
    cp "$folder/gossip-serf.toml.example" "$folder/gossip-serf.toml"
    LAB_WITH=serf mesh_pings || return
    [ "$(program 1) $(program 2) $(program 3)" = 'gossipd serf gossipd' ] || because "gossip is $(program 1), $(program 2) and $(program 3)" || return
    rm "$folder/gossip-serf.toml"
    lab exec 2 initctl reload || return
    within 30 unit_is 2 gossip up || because "gossip is $(unit 2 gossip state) after it is gossipd again" || return
    [ "$(program 2)" = gossipd ] || because "gossip of node2 is still $(program 2)" || return
    within 30 sees_all 2 3 || because "node2 sees $(serf_of 2 members)" || return
    mesh_pings
}
# K: what its unit gossip runs
program() { lab exec "$1" cat "/proc/$(unit "$1" gossip pid)/comm"; }
# K N: it sees N alive
sees_all() { [ "$(serf_of "$1" members -status=alive | wc -l)" = "$2" ]; }

alone() {
    lab down || return
    nodes=(1)
    mesh_pings
}

many() {
    lab down || return
    mapfile -t nodes < <(seq 20)
    mesh_pings
}

# --- in this order: one lab serves nearly all of them ---------------------------------------------------------------

[ -n "${LAB_KEEP:-}" ] || lab down --purge >/dev/null 2>&1
check up first_up
if [ "$failed" != 0 ]; then
    printf 'not ok lab: without a mesh there is nothing more to look at\n'
    summary
    exit 1
fi
ids=$(for k in "${nodes[@]}"; do identity "$k"; done)
addresses=$(for k in "${nodes[@]}"; do mesh "$k"; done)
check up-again second_up
check handshakes encrypted
check idle-pid1 idle
check status-from-outside outside_status
check habits habits
for unit in gossip node-agent wg0 logd; do check "kill-$unit" killed "$unit"; done
check stop-start stop_start
check crash crash
check orphans orphans
check stranger stranger
check impostor-other-name impostor_other_name
check impostor-same-name impostor_same_name
check damaged-identity damaged_identity
check four-mistakes four_mistakes
check missing-key missing_key
check taken-port taken_port
if ip link add clostest-wg type wireguard 2>/dev/null; then
    ip link delete clostest-wg
    skip no-tun "this kernel has WireGuard of its own, which needs no /dev/net/tun"
else
    check no-tun no_tun
fi
check no-net-admin no_net_admin
check down-leaves-nothing down_leaves_nothing
check down-up down_up
check real-serf real_serf
check alone alone
if [ -n "${LAB_NIGHTLY:-}" ]; then check twenty many; fi
summary
