#!/usr/bin/env bash
# A cluster on this machine: N nodes, each with clusteros-init as the PID 1 of its own pid, mount, uts, ipc and network
# namespaces, on a bridge of their own. Needs root, a Debian or Ubuntu machine, and Rust (or LAB_BIN).
#
#   images/lab.sh up [N]             build, start nodes 1..N (default: as last time, else 5), wait for the mesh; exit 0
#                                    only if every node reaches every other over wg0
#   images/lab.sh status             the table: addresses, peers, pings, units
#   images/lab.sh exec NODE CMD...   run CMD inside NODE (node2, or just 2)
#   images/lab.sh logs NODE [-f]     what NODE's PID 1 printed
#   images/lab.sh stop NODE          TERM to NODE's PID 1; KILL after LAB_WAIT seconds
#   images/lab.sh start NODE
#   images/lab.sh down [--purge]     stop all; leaves no process, link or mount; --purge removes the nodes' state too
#   images/lab.sh --docker ...       the same with containers of Docker (see images/containers.sh)
#
# From the environment:
#   LAB_STATE    /var/lib/clusteros-lab   where everything is kept
#   LAB_BRIDGE   clos0                    name of the bridge, at most 10 characters
#   LAB_NET      172.31.86.0/24           the nodes' network, a /24 free of the machine's own routes
#   LAB_BIN      built by cargo           folder with clusteros-init, logd, initctl, gossipd and node-agent
#   LAB_WITH     none                     programs of this machine that every node shall have, too: "serf strace"
#   LAB_WAIT     90                       seconds to wait for any one thing
#
# STATE/nodeK/ holds etc/ (/etc/cluster-os), hosts, lib/ (/var/lib/cluster-os), log/ (/var/log/cluster-os) and console.log.
# STATE/nodeK/knobs, when there, makes a node unlike the others, one word a line: NAME=VALUE and -NAME change its
# environment, no-tun takes /dev/net/tun away, no-net-admin the capability.
set -euo pipefail

self=$(readlink -f "${BASH_SOURCE[0]}")
repo=$(dirname "$(dirname "$self")")
state=${LAB_STATE:-/var/lib/clusteros-lab}
bridge=${LAB_BRIDGE:-clos0}
net=${LAB_NET:-172.31.86.0/24}
wait_limit=${LAB_WAIT:-90}
node_path=/usr/sbin:/usr/bin:/sbin:/bin
# shellcheck source=images/nodes.sh
. "$repo/images/nodes.sh"

usage() {
    sed -n '5,14s/^# \{0,1\}//p' "$self" >&2
    exit 64
}

# --- one node ------------------------------------------------------------------------------------------------------

address() { printf '%s.%s\n' "${net%.*}" "$((10 + $1))"; }
link() { printf '%sn%s\n' "$bridge" "$1"; }

# PID: when it started, in ticks since boot; fails when there is no such process.
started() {
    local stat fields
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    read -ra fields <<<"${stat##*) }"
    [ "${fields[0]}" != Z ] || return 1
    printf '%s\n' "${fields[19]}"
}

# K: the host's pid of node K's PID 1; fails when the node does not run. The pid file alone proves nothing: the pid may
# be someone else's by now, the start time may not.
pid_of() {
    local pid since boot
    { read -r pid since boot <"$state/node$1/pid"; } 2>/dev/null || return 1
    [ "$boot" = "$(</proc/sys/kernel/random/boot_id)" ] && [ "$(started "$pid")" = "$since" ] || return 1
    printf '%s\n' "$pid"
}

# Numbers of all nodes that run.
running() {
    local dir k
    for dir in "$state"/node*/; do
        k=$(basename "$dir")
        k=${k#node}
        if pid_of "$k" >/dev/null; then printf '%s\n' "$k"; fi
    done | sort -n
}

# K CMD...: run CMD in all of node K's namespaces, on its root.
inside() {
    local pid
    pid=$(pid_of "$1") || fail "unable to enter node$1: it does not run; images/lab.sh start node$1"
    shift
    nsenter --target "$pid" --mount --uts --ipc --net --pid --root --wd=/ -- \
        /usr/bin/busybox env -i PATH="$node_path" HOME=/root TERM="${TERM:-dumb}" "$@"
}

# K: node K's environment, a NAME=VALUE a line.
environment() {
    local k=$1 knob
    {
        printf '%s\n' "PATH=$node_path" HOME=/root container=clusteros-lab "NODE_NAME=node$k" "NODE_ADVERTISE=$(address "$k")"
        printf 'CLUSTER_AUTH_KEY=%s\n' "$(<"$state/cluster.key")"
        if [ "$k" = 1 ]; then echo NODE_BOOTSTRAP=true; else printf 'NODE_JOIN=%s\n' "$(address 1)"; fi
        grep -s = "$state/node$k/knobs" || true
    } | while read -r line; do
        knob=-${line%%=*}
        grep -qsx -- "$knob" "$state/node$k/knobs" || printf '%s\n' "$line"
    done
}

has_knob() { grep -qsx -- "$2" "$state/node$1/knobs"; }

# K: the shipped unit tables into node K's /etc/cluster-os, except those that someone has edited there.
lay_tables() {
    local source=$1/etc/cluster-os etc=$state/node$2/etc file
    mkdir -p "$etc/units.d" "$etc/.shipped"
    (cd "$source" && find . -name '*.toml' -o -name '*.toml.example') | while read -r file; do
        if [ ! -e "$etc/$file" ] || cmp -s "$etc/$file" "$etc/.shipped/$(basename "$file")"; then
            cp "$source/$file" "$etc/$file"
            cp "$source/$file" "$etc/.shipped/$(basename "$file")"
        fi
    done
}

# K: start node K and give it its link; returns when its PID 1 has been executed.
start_node() {
    local k=$1 dir=$state/node$1 image pid
    image=$(readlink -f "$state/image") || fail "unable to start node$k: nothing was built yet; run images/lab.sh up"
    mkdir -p "$dir"/{etc,lib,log,root}
    chmod 700 "$dir"
    lay_tables "$image" "$k"
    rm -f "$dir"/{pid,exit,gate}
    mkfifo "$dir/gate"
    (umask 077 && environment "$k" >"$dir/environment")
    rm -f "$dir/image" && ln -s "$image" "$dir/image"
    setsid -f "$self" __hold "$k" 9>&- </dev/null >>"$dir/console.log" 2>&1
    await "node$k's namespaces" 20 pid_of "$k" >/dev/null || fail "unable to start node$k: no namespaces; the end of its log: $(tail -n 3 "$dir/console.log")"
    pid=$(pid_of "$k")
    if ! connect "$k" "$pid" || ! await "node$k's PID 1" 20 is_init "$pid"; then
        kill -KILL "$pid" 2>/dev/null || true
        rm -f "$dir"/{pid,gate}
        fail "unable to start node$k: see above; the end of its log: $(tail -n 3 "$dir/console.log")"
    fi
    rm -f "$dir/gate"
    say "node$k starts: $(address "$k"), PID 1 is process $pid here"
}

# K PID: node K's link to the bridge, its address, and the word that it may go on.
connect() {
    local name
    name=$(link "$1")
    if [ -e "/sys/class/net/$name" ]; then
        warn "the link $name is there already, perhaps of a node whose state was removed while it ran: end that, or name another LAB_BRIDGE"
        return 1
    fi
    # shellcheck disable=SC2016 # $0 is the inner shell's
    ip link add "$name" type veth peer name eth0 netns "$2" &&
        ip link set "$name" master "$bridge" up &&
        nsenter --target "$2" --net -- ip address add "$(address "$1")/24" dev eth0 &&
        nsenter --target "$2" --net -- ip link set eth0 up &&
        nsenter --target "$2" --net -- ip link set lo up &&
        timeout 10 bash -c 'echo >"$0"' "$state/node$1/gate"
}

is_init() { [ "$(cat "/proc/$1/comm" 2>/dev/null)" = clusteros-init ] || ! started "$1" >/dev/null; }

# __hold K: outlives the person's terminal, makes node K's namespaces, and keeps how its PID 1 ended.
hold() {
    local k=$1 ended=0 wrap=()
    if has_knob "$k" no-net-admin; then wrap=(setpriv --bounding-set=-net_admin); fi
    # PID 1 would make the device itself
    if has_knob "$k" no-tun; then wrap=(setpriv --bounding-set=-mknod); fi
    unshare --fork --pid --mount --uts --ipc --net --propagation private -- "${wrap[@]}" "$self" __node "$k" || ended=$?
    printf '%s\n' "$ended" >"$state/node$k/exit"
}

# __node K: is PID 1 of the new namespaces, furnishes them, and becomes clusteros-init.
become_node() {
    local k=$1 dir=$state/node$1 root=$state/node$1/root pid environment device
    read -r pid _ </proc/self/stat # the host's /proc still: the host's pid
    printf '%s %s %s\n' "$pid" "$(started "$pid")" "$(</proc/sys/kernel/random/boot_id)" >"$dir/pid.new"
    mv "$dir/pid.new" "$dir/pid"
    read -r _ <"$dir/gate"

    echo "node$k" >/proc/sys/kernel/hostname
    mount --bind "$dir/image" "$root"
    mount -o remount,bind,ro "$root"
    mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
    mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs "$root/run"
    mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs "$root/tmp"
    mount -t tmpfs -o nosuid,mode=755 tmpfs "$root/dev"
    mkdir -p "$root"/dev/{net,pts,shm}
    mount -t devpts -o newinstance,nosuid,noexec,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    for device in null zero full random urandom tty; do
        touch "$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    if ! has_knob "$k" no-tun; then
        if [ -e /dev/net/tun ]; then
            touch "$root/dev/net/tun" && mount --bind /dev/net/tun "$root/dev/net/tun"
        else
            mknod -m 600 "$root/dev/net/tun" c 10 200
        fi
    fi
    mount --bind "$dir/etc" "$root/etc/cluster-os"
    # As in containers: a file of the node's own in a root that others have, too.
    cp "$root/etc/hosts" "$dir/hosts" && mount --bind "$dir/hosts" "$root/etc/hosts"
    mount --bind "$dir/lib" "$root/var/lib/cluster-os"
    mount --bind "$dir/log" "$root/var/log/cluster-os"

    mapfile -t environment <"$dir/environment"
    cd "$root"
    pivot_root . mnt
    exec /usr/bin/busybox env -i "${environment[@]}" \
        /usr/bin/busybox sh -c '/usr/bin/busybox umount -l /mnt && exec /usr/bin/clusteros-init'
}

# --- the bridge ----------------------------------------------------------------------------------------------------

# A.B.C.D: the same as a number.
to_number() {
    local IFS=. part
    read -ra part <<<"$1"
    printf '%s\n' $(((part[0] << 24) + (${part[1]:-0} << 16) + (${part[2]:-0} << 8) + ${part[3]:-0}))
}

# Fails, with the route's text, when a route of this machine overlaps the lab's network.
check_routes() {
    local ours route first bits shift
    ours=$(to_number "${net%/*}")
    while read -r route; do
        first=${route%% *}
        [[ $first =~ ^[0-9] ]] || continue
        bits=${first#*/}
        [ "$bits" != "$first" ] || bits=32
        shift=$((32 - (bits < 24 ? bits : 24)))
        if [ $(($(to_number "${first%/*}") >> shift)) = $((ours >> shift)) ]; then
            fail "unable to use $net for the nodes: this machine has a route to $route; name a free /24 in LAB_NET"
        fi
    done < <(ip -4 route show table main | grep -v " dev $bridge ")
}

check_net() {
    [[ $net =~ ^([0-9]{1,3}\.){3}0/24$ ]] || fail "unable to use LAB_NET=$net: not of the form A.B.C.0/24; name a free /24"
    [ "${#bridge}" -le 10 ] || fail "unable to use LAB_BRIDGE=$bridge: longer than 10 characters; shorten it"
    ip link show dev "$bridge" >/dev/null 2>&1 || check_routes
}

lay_bridge() {
    if ! ip link show dev "$bridge" >/dev/null 2>&1; then
        ip link add "$bridge" type bridge stp_state 0 forward_delay 0
        say "bridge $bridge made, the nodes are in $net"
    fi
    ip link set "$bridge" up
    if [ "$(cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null)" = 1 ] &&
        { iptables -S FORWARD 2>/dev/null || true; } | grep -q -- '-P FORWARD DROP'; then
        warn "this machine's firewall sees bridged packets and drops forwarded ones; if the nodes do not meet: iptables -I FORWARD -i $bridge -o $bridge -j ACCEPT"
    fi
}

# --- building ------------------------------------------------------------------------------------------------------

# BIN: lays out the nodes' root as STATE/image-HASH and points STATE/image at it. Nodes that run keep the one they have.
lay_image() {
    local bin=$1 hash new=$state/image.new
    rm -rf "$new"
    # shellcheck disable=SC2086 # one word a program
    "$repo/images/root.sh" "$new" "$bin" wg ip ping ${LAB_WITH:-}
    hash=$(cd "$new" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12)
    if [ -d "$state/image-$hash" ]; then rm -rf "$new"; else mv "$new" "$state/image-$hash"; fi
    ln -sfn "image-$hash" "$state/image"
    sweep_images
}

# Removes the roots that neither a running node nor the next start uses.
sweep_images() {
    local used image k
    used=$(readlink -f "$state/image")
    for k in $(running); do used+=" $(readlink -f "$state/node$k/image")"; done
    for image in "$state"/image-*; do
        [[ " $used " == *" $(readlink -f "$image") "* ]] || rm -rf "$image"
    done
}

# --- what the nodes say --------------------------------------------------------------------------------------------

# K PATH FILTER: jq's answer about a file in node K, or "-".
ask() {
    local pid
    pid=$(pid_of "$1") && jq -er "$3" "/proc/$pid/root$2" 2>/dev/null || printf -- '-\n'
}

# K: node K's address on wg0, or "-".
mesh_address() {
    local pid
    pid=$(pid_of "$1") && nsenter --target "$pid" --net -- ip -j -4 address show dev wg0 2>/dev/null |
        jq -er '.[0].addr_info[0].local // empty' 2>/dev/null || printf -- '-\n'
}

# K: kernel, userspace, or "-": what kind of link wg0 is.
mode() {
    local pid kind
    pid=$(pid_of "$1") && kind=$(nsenter --target "$pid" --net -- ip -j -d link show dev wg0 2>/dev/null | jq -er '.[0].linkinfo.info_kind' 2>/dev/null) || kind=-
    case $kind in wireguard) echo kernel ;; tun) echo userspace ;; *) echo "$kind" ;; esac
}

# K: the end of node K's log, indented.
tail_of() { tail -n 15 "$state/node$1/console.log" | sed "s/^/    node$1: /" >&2; }

# --- commands ------------------------------------------------------------------------------------------------------

up() {
    local n=${1:-} k bin started_at=$SECONDS new=() kept=()
    [ -n "$n" ] || n=$(cat "$state/size" 2>/dev/null || echo 5)
    [[ $n =~ ^([1-9]|1[0-9]|20)$ ]] || fail "unable to start '$n' nodes: not a number from 1 to 20; images/lab.sh up 5"
    install_packages wg:wireguard-tools ip:iproute2 ping:iputils-ping busybox:busybox-static unshare:util-linux jq:jq
    check_net
    bin=$(build)
    lay_image "$bin"
    echo "$n" >"$state/size"
    [ -s "$state/cluster.key" ] || (umask 077 && head -c 32 /dev/urandom | base64 >"$state/cluster.key")
    lay_bridge
    for ((k = 1; k <= n; k++)); do
        if pid_of "$k" >/dev/null; then kept+=("node$k"); else
            start_node "$k"
            new+=("node$k")
        fi
    done
    [ "${#kept[@]}" = 0 ] || say "${kept[*]} ran already and stay as they are"
    meet "$n"
    say "up after $((SECONDS - started_at)) s; try: images/lab.sh exec node1 wg show"
}

status() {
    local nodes
    mapfile -t nodes < <(running)
    [ "${#nodes[@]}" -gt 0 ] || fail "unable to show a lab: no node runs; images/lab.sh up"
    ping_all 3 "${nodes[@]}"
    table "${nodes[@]}"
}

# K PID: node K's PID 1 is gone, and its link with it.
gone() { ! started "$2" >/dev/null && [ ! -e "/sys/class/net/$(link "$1")" ]; }

# K PID: wait for the end of a node that was told to stop; KILL after the limit.
finish_node() {
    local k=$1 pid=$2 since=$SECONDS
    while started "$pid" >/dev/null && [ $((SECONDS - since)) -lt "$wait_limit" ]; do sleep 0.05; done
    if started "$pid" >/dev/null; then
        warn "node$k did not stop within $wait_limit s: killing its PID 1"
        kill -KILL "$pid" 2>/dev/null || true
    fi
    if ! await "" 10 gone "$k" "$pid"; then
        ip link delete "$(link "$k")" 2>/dev/null || true
    fi
    await "node$k's end" 5 test -e "$state/node$k/exit" || true
    rm -f "$state/node$k"/{pid,gate}
    say "node$k has stopped (exit $(cat "$state/node$k/exit" 2>/dev/null || echo unknown))"
}

down() {
    local k pid
    local -A pids=()
    for k in $(running); do
        pids[$k]=$(pid_of "$k")
        kill -TERM "${pids[$k]}"
    done
    for k in "${!pids[@]}"; do finish_node "$k" "${pids[$k]}"; done
    if ip link show dev "$bridge" >/dev/null 2>&1; then
        for pid in /sys/class/net/"$bridge"/brif/*; do
            [ ! -e "$pid" ] || ip link delete "$(basename "$pid")" 2>/dev/null || true
        done
        ip link delete "$bridge"
    fi
    if [ "${1:-}" = --purge ]; then
        rm -rf "${state:?}"/{node*,image*,cluster.key,size,apt.log}
        rm -f "$state/lock"
        rmdir "$state" 2>/dev/null || true
        say "down; nothing is left of $state"
    else
        sweep_images
        say "down; the nodes' state is kept in $state"
    fi
}

command=${1:-}
[ -n "$command" ] || usage
if [ "$command" = --docker ]; then
    shift
    exec "$repo/images/containers.sh" "$@"
fi
shift
[ "$(id -u)" = 0 ] || fail "unable to run a lab: not root; run it with sudo"
case $command in
__hold) hold "$1" ;;
__node) become_node "$1" ;;
status) status ;;
exec)
    [ $# -ge 2 ] || usage
    k=$(number "$1")
    shift
    inside "$k" "$@"
    ;;
logs)
    [ $# -ge 1 ] || usage
    k=$(number "$1")
    [ -e "$state/node$k/console.log" ] || fail "unable to show node$k's log: it never ran; images/lab.sh up"
    if [ "${2:-}" = -f ]; then exec tail -n 100 -f "$state/node$k/console.log"; else exec cat "$state/node$k/console.log"; fi
    ;;
up | start | stop | down)
    mkdir -p "$state"
    exec 9>"$state/lock"
    flock -w 5 9 || {
        say "waiting for another images/lab.sh to finish (at most 600 s)"
        flock -w 600 9 || fail "unable to lock $state/lock: another images/lab.sh holds it; wait for it or end it"
    }
    case $command in
    up) up "${1:-}" ;;
    down) down "${1:-}" ;;
    start)
        [ $# = 1 ] || usage
        k=$(number "$1")
        if pid_of "$k" >/dev/null; then say "node$k runs already"; else
            check_net
            lay_bridge
            start_node "$k"
        fi
        ;;
    stop)
        [ $# = 1 ] || usage
        k=$(number "$1")
        if pid=$(pid_of "$k"); then
            kill -TERM "$pid"
            finish_node "$k" "$pid"
        else
            say "node$k does not run"
        fi
        ;;
    esac
    ;;
*) usage ;;
esac
