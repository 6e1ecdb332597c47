#!/usr/bin/env bash
# A cluster on this machine, each node a container of Docker: what images/compose.yaml describes. Needs a running engine
# (DOCKER_HOST counts), and docker compose or docker-compose.
#
#   images/lab.sh --docker up [N]        build the image, start nodes 1..N (default 5), wait for the mesh; exit 0 only if
#                                        every node reaches every other over wg0
#   images/lab.sh --docker status        the table: addresses, peers, pings, units
#   images/lab.sh --docker exec NODE CMD...
#   images/lab.sh --docker logs NODE [-f]
#   images/lab.sh --docker stop NODE     and start NODE
#   images/lab.sh --docker down [--purge]   stop and remove the containers; --purge removes the nodes' volumes and key too
#   images/lab.sh --docker --k3s PATH up [N]   on the image for k3s, privileged, with the k3s binary PATH
#
# From the environment:
#   LAB_STATE       /var/lib/clusteros-lab/docker   where the cluster's key is kept
#   LAB_BIN         built by cargo                  folder with clusteros-init, logd, initctl, gossipd and node-agent
#   LAB_WAIT        90                              seconds to wait for any one thing
#   CLUSTEROS_IMAGE cluster-os-node:latest          taken as it is, and nothing is built
set -euo pipefail

self=$(readlink -f "${BASH_SOURCE[0]}")
repo=$(dirname "$(dirname "$self")")
state=${LAB_STATE:-/var/lib/clusteros-lab/docker}
# shellcheck disable=SC2034 # nodes.sh waits so long
wait_limit=${LAB_WAIT:-90}
# shellcheck source=images/nodes.sh
. "$repo/images/nodes.sh"

usage() {
    sed -n '5,12s/^# \{0,1\}//p' "$self" >&2
    exit 64
}

# --- one node ------------------------------------------------------------------------------------------------------

inside() {
    local k=$1
    shift
    docker exec "cluster-os-node$k" "$@"
}
ask() { inside "$1" cat "$2" 2>/dev/null | jq -er "$3" 2>/dev/null || printf -- '-\n'; }
mesh_address() {
    local found
    found=$(inside "$1" ip -4 -o address show dev wg0 2>/dev/null | sed -n 's,.* inet \([0-9.]*\).*,\1,p')
    printf '%s\n' "${found:--}"
}
mode() { ask "$1" /run/cluster-os/peers.json .self.mode; }
tail_of() { docker logs --tail 15 "cluster-os-node$1" 2>&1 | sed "s/^/    node$1: /" >&2; }
running() { docker ps --filter name='^/?cluster-os-node[1-5]$' --format '{{.Names}}' | sed 's/^cluster-os-node//' | sort -n; }

# --- compose -------------------------------------------------------------------------------------------------------

# ARGUMENT...: docker compose of whatever kind is here.
compose() {
    if docker compose version >/dev/null 2>&1; then
        docker compose --project-name cluster-os --file "$repo/images/compose.yaml" "$@"
    else
        # 1.29 knows neither line. The first is said above; the second is what Docker does by itself on cgroups of version 2.
        sed '/^name:/d; /^  cgroup: private$/d' "$repo/images/compose.yaml" >"$state/compose.yaml"
        docker-compose --project-name cluster-os --file "$state/compose.yaml" "$@"
    fi
}

up() {
    local n=${1:-5} started_at=$SECONDS
    [[ $n =~ ^[1-5]$ ]] || fail "unable to start '$n' nodes: not a number from 1 to 5; images/lab.sh --docker up 5"
    if [ -z "${CLUSTEROS_IMAGE:-}" ]; then
        if [ -n "$k3s" ]; then
            "$repo/images/build" --k3s "$k3s" k3s
            export CLUSTEROS_IMAGE=cluster-os-node:k3s
        else
            "$repo/images/build" node
        fi
    fi
    local nodes=() k
    for ((k = 1; k <= n; k++)); do nodes+=("node$k"); done
    compose up -d "${nodes[@]}" 9>&- || fail "unable to start the nodes: see above; images/lab.sh --docker logs node1 shows more"
    meet "$n"
    say "up after $((SECONDS - started_at)) s; try: docker exec cluster-os-node1 initctl status"
}

status() {
    local nodes
    mapfile -t nodes < <(running)
    [ "${#nodes[@]}" -gt 0 ] || fail "unable to show a lab: no node runs; images/lab.sh --docker up"
    ping_all 3 "${nodes[@]}"
    table "${nodes[@]}"
}

down() {
    if [ "${1:-}" = --purge ]; then
        compose down --volumes
        rm -rf "${state:?}"/{cluster.key,compose.yaml,apt.log}
        rmdir "$state" 2>/dev/null || true
        say "down; nothing is left of the nodes"
    else
        compose down
        say "down; the nodes' state is kept in volumes of Docker, the key in $state"
    fi
}

k3s=
if [ "${1:-}" = --k3s ]; then
    k3s=$(readlink -f "${2:-}") || usage
    export CLUSTEROS_PRIVILEGED=${CLUSTEROS_PRIVILEGED:-true}
    shift 2
fi
command=${1:-}
[ -n "$command" ] || usage
shift
mkdir -p "$state" || exit
if ! command -v docker >/dev/null || ! { docker compose version || command -v docker-compose; } >/dev/null 2>&1; then
    install_packages docker:docker.io docker-compose:docker-compose
fi
install_packages jq:jq
docker version >/dev/null 2>&1 || fail "unable to reach Docker: no engine answers; start it (systemctl start docker), or name it in DOCKER_HOST"
[ -s "$state/cluster.key" ] || (umask 077 && head -c 32 /dev/urandom | base64 >"$state/cluster.key")
CLUSTER_AUTH_KEY=${CLUSTER_AUTH_KEY:-$(<"$state/cluster.key")}
export CLUSTER_AUTH_KEY
case $command in
up) up "${1:-}" ;;
status) status ;;
down) down "${1:-}" ;;
exec)
    [ $# -ge 2 ] || usage
    k=$(number "$1")
    shift
    inside "$k" "$@"
    ;;
logs)
    [ $# -ge 1 ] || usage
    exec docker logs ${2:+"$2"} "cluster-os-node$(number "$1")"
    ;;
start | stop)
    [ $# = 1 ] || usage
    docker "$command" "cluster-os-node$(number "$1")"
    ;;
*) usage ;;
esac
