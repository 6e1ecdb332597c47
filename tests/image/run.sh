#!/usr/bin/env bash
# What nodes as containers must show, in a Docker engine of the tests' own, and one of them under Podman. Needs root, docker.io,
# docker-compose and debootstrap.
#
#   tests/image/run.sh                 LAB_BIN names built programs; else cargo builds them
#   CHECKS='stop*' tests/image/run.sh  only the checks whose name matches
#   K3S=/path tests/image/run.sh       the nodes run this k3s (the engine must grant --privileged); else a stand-in
#
# Prints `ok NAME`, `not ok NAME: why` or `skipped NAME: why` for each check, and the sum as the last line.
set -uo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=tests/kit/check.sh
. "$repo/tests/kit/check.sh"
# shellcheck source=tests/kit/engine.sh
. "$repo/tests/kit/engine.sh"

if [ "$(id -u)" != 0 ]; then
    skip image "not root: an engine cannot be started"
    summary
    exit
fi
for program in docker dockerd docker-compose debootstrap; do
    command -v "$program" >/dev/null && continue
    skip image "there is no $program here"
    summary
    exit
done

nodes=(1 2 3 4 5)
scratch=/var/tmp/clusteros-image-$$
export CLUSTEROS_BASE=debootstrap LAB_STATE=$scratch/lab LAB_WAIT=${LAB_WAIT:-90} COMPOSE_INTERACTIVE_NO_CLI=1
unset CLUSTER_AUTH_KEY CLUSTEROS_IMAGE
lab() { "$repo/images/lab.sh" --docker "$@"; }
leave() {
    engine_stop
    rm -rf --one-file-system "$scratch"
}
trap leave EXIT
trap 'exit 130' INT TERM HUP
mkdir -p "$LAB_STATE"

# --- asking --------------------------------------------------------------------------------------------------------

on() {
    local k=$1
    shift
    docker exec "cluster-os-node$k" "$@"
}
identity() { on "$1" cat /var/lib/cluster-os/identity.json | jq -er .node_id; }
# K: as the system before was asked
mesh() { on "$1" ip address show wg0 | sed -n 's,^ *inet \([0-9.]*\)/.*,\1,p'; }
health() { docker inspect --format '{{.State.Health.Status}}' "cluster-os-node$1"; }
health_is() { [ "$(health "$1")" = "$2" ]; }
# SECONDS STATE K...
all_become() {
    local limit=$1 state=$2 k
    shift 2
    for k; do
        within "$limit" health_is "$k" "$state" ||
            because "node$k is $(health "$k"), not $state: $(docker inspect --format '{{(index .State.Health.Log 0).Output}}' "cluster-os-node$k" | tail -n 2)" || return
    done
}
logs() { docker logs "cluster-os-node$1" 2>&1; }
# No -q: docker would fail to write to a reader that has gone.
logs_say() { logs "$1" | grep -E -- "$2" >/dev/null; }

# --- one command ---------------------------------------------------------------------------------------------------

busybox=$(command -v busybox)
wrapped() { docker run --rm --network none --volume "$busybox:/busybox:ro" "$@"; }

command_image() {
    local said ended=0
    said=$(wrapped clusteros-init:latest /busybox sh -c 'id -u; exit 7') || ended=$?
    [ "$ended $said" = '7 65532' ] || because "it ended with $ended and said $said" || return
    wrapped --detach --name one clusteros-init:latest /busybox sleep 1000 || return
    docker stop one || return
    [ -z "$(docker ps --all --quiet --filter name=one)" ] || within 5 test -z "$(docker ps --all --quiet --filter name=one)"
}

labels() {
    local image
    for image in clusteros-init:latest cluster-os-node:latest; do
        docker image inspect "$image" | jq -e '.[0].Config | .StopSignal == "SIGTERM" and
            .Labels["org.opencontainers.image.version"] == $version' --arg version "$(sed -n 's/^version = "\(.*\)"/\1/p' "$repo/Cargo.toml" | head -n 1)" ||
            because "$image has no version or no signal to stop it" || return
    done
    docker image inspect cluster-os-node:latest | jq -e '.[0].Config.Healthcheck.Test | join(" ") | contains("initctl status")'
}

# --- five nodes ----------------------------------------------------------------------------------------------------

full_mesh() {
    local said ended=0
    said=$(lab up 2>&1) || ended=$?
    echo "$said"
    if [ "$ended" != 0 ] || ! grep -q '^20 of 20 pings$' <<<"$said"; then
        because "no full mesh: $(grep -E 'pings$' <<<"$said" || tail -n 1 <<<"$said")"
    fi
}

as_before() {
    local k
    for k in "${nodes[@]}"; do
        [ "$(docker inspect --format '{{.Config.Hostname}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "cluster-os-node$k")" = "node$k 10.90.0.$((9 + k))" ] ||
            because "cluster-os-node$k has another name or address" || return
    done
    docker inspect cluster-os-node1 | jq -e '.[0].HostConfig.PortBindings | keys == ["51820/udp", "6443/tcp", "7946/tcp", "7946/udp"]' || because "node1 has other ports" || return
    docker inspect cluster-os-node1 | jq -e '[.[0].Mounts[].Source | select(startswith("/sys"))] == []' || because "something of the host's /sys is mounted"
}

# The test suite of ClusterOS, line by line, and the commands of its documentation.
old_suite() {
    local k to id ids=()
    for k in "${nodes[@]}"; do
        docker ps | grep "cluster-os-node$k" || because "node$k does not run" || return
        on "$k" /usr/local/bin/node-agent --version || because "node$k has no node-agent" || return
        on "$k" node-agent info || because "node-agent info fails on node$k" || return
        on "$k" test -f /var/lib/cluster-os/identity.json || because "node$k has no identity" || return
        id=$(identity "$k") || because "node$k has no id" || return
        [[ " ${ids[*]} " != *" $id "* ]] || because "node$k has the id of another" || return
        ids+=("$id")
        on "$k" test -f /etc/cluster-os/node.yaml || because "node$k has no node.yaml" || return
        on "$k" env | grep CLUSTER_AUTH_KEY >/dev/null || because "node$k has no key" || return
        on "$k" ip link show wg0 || because "node$k has no wg0" || return
        on "$k" wg show wg0 | grep '^interface: wg0' || because "wg show fails on node$k" || return
        for to in "${nodes[@]}"; do
            on "$k" ping -c 1 "$(mesh "$to")" >/dev/null || because "node$k does not reach node$to by wg0" || return
        done
    done
    for to in 2 3 4 5; do
        on 1 ping -c 1 -W 2 "node$to" || because "node1 does not reach node$to by its name" || return
        docker logs cluster-os-node1 2>&1 | grep "node node$to authenticated successfully" || because "node$to was not authenticated" || return
    done
    docker logs cluster-os-node1 2>&1 | grep "K3S:" || because "docker logs says nothing of k3s"
}

old_habits() {
    local k
    for k in "${nodes[@]}"; do
        [ "$(on "$k" systemctl is-active node-agent.service)" = active ] || because "systemctl is-active node-agent.service is not active on node$k" || return
        [ "$(on "$k" journalctl -u node-agent.service --no-pager -n 10 | wc -l)" -gt 0 ] || because "journalctl shows no line on node$k" || return
    done
}

prefixes() {
    local unit
    for unit in init identity wg0 gossip node-agent; do
        logs_say 1 "^$unit +\| " || because "docker logs has no line of $unit" || return
    done
}

signal_shows_the_table() {
    local before
    before=$(logs 2 | wc -l)
    docker kill --signal USR1 cluster-os-node2 || return
    within 10 table_came "$before" || because "no table came"
}
table_came() { logs 2 | tail -n "+$(($1 + 1))" | grep -E 'gossip +up ' >/dev/null; }

clean_stop() {
    local began=$SECONDS
    docker stop cluster-os-node3 || return
    echo "stopped after $((SECONDS - began)) s"
    [ "$(docker inspect --format '{{.State.Status}} {{.State.ExitCode}}' cluster-os-node3)" = "exited 0" ] ||
        because "it is $(docker inspect --format '{{.State.Status}} {{.State.ExitCode}}' cluster-os-node3)" || return
    [ $((SECONDS - began)) -lt 10 ] || because "it took $((SECONDS - began)) s" || return
    logs_say 3 'everything is down after' || because "its last line is $(logs 3 | tail -n 1)" || return
    docker start cluster-os-node3
}

restart_keeps() {
    local before after
    before="$(identity 4) $(mesh 4)"
    docker restart cluster-os-node4 || return
    all_become 60 healthy 3 4 || return
    after="$(identity 4) $(mesh 4)"
    [ "$before" = "$after" ] || because "it was $before and is $after" || return
    full_mesh
}

# A unit that failed shows, and so does a node whose units are all up, but which is not of the cluster; the others stay as they are.
healthcheck() {
    all_become 60 healthy "${nodes[@]}" || return
    docker run --detach --name cluster-os-node6 --hostname stranger --network cluster-os_cluster_net --cap-add NET_ADMIN --device /dev/net/tun \
        --env NODE_JOIN=10.90.0.10:7946 --env "CLUSTER_AUTH_KEY=$(head -c 32 /dev/urandom | base64)" \
        --health-interval 3s --health-start-period 1s cluster-os-node:latest || return
    # shellcheck disable=SC2016
    on 2 sh -c 'printf "[unit.broken]\nexec = [\"false\"]\nrestart = \"never\"\n" >/etc/cluster-os/units.d/90-broken.toml; initctl reload' || return
    all_become 60 unhealthy 2 6 || return
    all_become 1 healthy 1 3 4 5 || return
    health_says 2 'broken +failed' && health_says 6 'units up' && health_says 6 'no verified peer is alive, and 10.90.0.10:7946 does not answer' || return
    docker rm --force cluster-os-node6 || return
    on 2 sh -c 'rm /etc/cluster-os/units.d/90-broken.toml; initctl reload' || return
    all_become 60 healthy 2
}
# A node that loses its network. Until gossip has noticed, or its tunnels are over, which takes three minutes, other checks go on. Then it
# is unhealthy and the others are not; with its network it is healthy again, as who it was.
cut_off() {
    docker run --detach --name cluster-os-node7 --hostname node7 --network cluster-os_cluster_net --cap-add NET_ADMIN --device /dev/net/tun \
        --env NODE_JOIN=10.90.0.10:7946 --env "CLUSTER_AUTH_KEY=$(<"$LAB_STATE/cluster.key")" \
        --health-interval 3s --health-start-period 60s cluster-os-node:latest || return
    all_become 60 healthy 7 || return
    was="$(identity 7) $(mesh 7)"
    docker network disconnect cluster-os_cluster_net cluster-os-node7 || return
    cut=$SECONDS
}
cut_off_shows() {
    [ -n "${cut:-}" ] || because "it was not cut off" || return
    all_become $((240 - (SECONDS - cut))) unhealthy 7 || return
    echo "unhealthy after $((SECONDS - cut)) s"
    all_become 1 healthy 1 2 3 4 5 || return
    health_says 7 'units up' && health_says 7 'no verified peer is alive, and 10.90.0.10:7946 does not answer|no tunnel to any of' || return
    docker network connect cluster-os_cluster_net cluster-os-node7 || return
    all_become 120 healthy 7 || return
    [ "$(identity 7) $(mesh 7)" = "$was" ] || because "it was $was and is $(identity 7) $(mesh 7)" || return
    docker rm --force cluster-os-node7
}
health_says() {
    docker inspect "cluster-os-node$1" | jq -r '.[0].State.Health.Log[-1].Output' | tee /dev/stderr | grep -E -- "$2" >/dev/null || because "the health of node$1 does not say '$2'"
}

down_keeps_and_purge_does_not() {
    lab down || return
    [ -z "$(docker ps --all --quiet)" ] || because "containers are left" || return
    [ "$(docker volume ls --quiet | wc -l)" = 5 ] || because "the volumes are gone" || return
    lab down --purge || return
    [ -z "$(docker volume ls --quiet)" ] || because "volumes are left" || return
    [ ! -e "$LAB_STATE/cluster.key" ] || because "the key is left"
}

# --- on Debian, with k3s -------------------------------------------------------------------------------------------

missing=kmsg,kernel-sysctls,cgroup-v2
k3s_mesh() {
    local said ended=0
    # What this engine may not give is overridden by name: the stand-in needs none of it.
    [ -n "${K3S:-}" ] || export CLUSTEROS_PRIVILEGED=false NODE_K3S_IGNORE=$missing
    said=$(lab --k3s "${K3S:-$repo/tests/image/k3s}" up 2>&1) || ended=$?
    echo "$said"
    [ "$ended" = 0 ] || because "no full mesh: $(tail -n 1 <<<"$said")"
}

k3s_says() {
    local k
    docker logs cluster-os-node1 2>&1 | grep "K3S:" | grep -E 'condition: enabled.* server node1 .*binary /usr/local/bin/k3s; address 10\.42\.[0-9.]+ on wg0; pid [0-9]+' || because "docker logs of node1 does not say how k3s was started: $(logs 1 | grep -E 'K3S:|k3s' | tail -n 1)" || return
    docker exec cluster-os-node1 tail -100 /var/log/cluster-os/k3s-server.log | grep k3s || because "k3s-server.log has no line" || return
    for k in 2 3 4 5; do
        within 60 logs_say "$k" "K3S: .* agent node$k joins .*$(mesh 1)" || because "k3s on node$k is no agent of node1: $(logs "$k" | grep 'K3S:' | tail -n 1)" || return
    done
    all_become 120 healthy "${nodes[@]}"
}

# A mesh address that is another than before, as when two nodes had the same: k3s of an agent is started again with it, and of a server
# whose etcd knows the old one it is said what to do.
next_address() { on "$1" sh -c 'sed -i "s/\"attempt\": 0/\"attempt\": 1/" /var/lib/cluster-os/address.json && initctl restart --wait node-agent'; }
k3s_follows() {
    local agent server k
    agent=$(mesh 5) server=$(mesh 1)
    next_address 5 || return
    within 30 logs_say 5 "this node's mesh address was $agent and is [0-9.]*: k3s starts again if it runs" || because "node5 does not start k3s again" || return
    [ "$(mesh 5)" != "$agent" ] || because "node5 is still $agent" || return
    within 60 logs_say 5 "K3S: .*; address $(mesh 5) on wg0" || because "k3s on node5 is not started with $(mesh 5)" || return
    on 5 grep "node-ip: \"$(mesh 5)\"" /etc/rancher/k3s/config.yaml || because "config.yaml of node5 has the old address" || return
    on 1 mkdir -p /var/lib/rancher/k3s/server/db/etcd || return
    next_address 1 || return
    within 30 logs_say 1 "unable to move k3s from $server to $(mesh 1): its etcd knows this server by $server; where another server runs" || because "node1 does not say what to do" || return
    ! logs_say 1 "k3s starts again" || because "k3s on node1 was started again" || return
    for k in "${nodes[@]}"; do
        within 60 on "$k" ping -c 1 -W 1 "$(mesh 1)" || because "node$k does not reach node1 at $(mesh 1)" || return
    done
}

# FLAG...: what k3s would find of /dev/kmsg in a container with these flags
kmsg() {
    # It ends with 1 where anything is missing.
    { docker run --rm --env NODE_K3S_ENABLED=true --env NODE_BOOTSTRAP=true --env "CLUSTER_AUTH_KEY=$(<"$LAB_STATE/cluster.key")" "$@" \
        --entrypoint node-agent cluster-os-node:k3s k3s --check --json || true; } | jq -e '.findings[] | select(.name == "kmsg")'
}

# What the finding tells a person to do is enough.
kmsg_remedy() {
    local told flags
    told=$(kmsg --device /dev/kmsg) || because "there is no such finding" || return
    echo "$told"
    if [ "$(jq -r .state <<<"$told")" = fine ]; then
        echo "this host lets everyone read its messages"
        return
    fi
    flags=$(grep -o -- '--device /dev/kmsg --cap-add SYSLOG' <<<"$told") || because "the remedy names no flags" || return
    # shellcheck disable=SC2086 # they are words
    [ "$(kmsg $flags | jq -r .state)" = fine ] || because "with $flags it is $(kmsg $flags)"
}

k3s_nodes() { [ "$(on 1 k3s kubectl get nodes --no-headers 2>/dev/null | awk '$2 == "Ready"' | wc -l)" = 5 ]; }
k3s_real() { within 300 k3s_nodes || because "not every node is Ready: $(on 1 k3s kubectl get nodes 2>&1 | tail -n 5 | tr '\n' ';')"; }

debian_tools() {
    local k program
    for k in "${nodes[@]}"; do
        on "$k" ip link show wg0 && on "$k" ip address show wg0 && on "$k" ping -c 1 "$(mesh 1)" || because "ip or ping fails on node$k" || return
    done
    for program in iptables conntrack modprobe fuse-overlayfs ip ping wg gossipd; do
        on 1 sh -c "command -v $program" || because "there is no $program" || return
    done
}

# Of these images, where there is a podman.
podman_node() { "$repo/tests/image/podman.sh" "$scratch/podman"; }

nothing_is_left() {
    lab down --purge || return
    local pid=$holder
    engine_stop
    [ ! -e "$scratch/engine" ] || because "$scratch/engine is left" || return
    ! kill -0 "$pid" 2>/dev/null || because "the engine still runs" || return
    ! grep -q "$scratch" /proc/mounts || because "a mount is left" || return
    [ -z "$(find /sys/fs/cgroup -maxdepth 3 -name "$engine_cgroup")" ] || because "a cgroup is left"
}

# --- in this order -------------------------------------------------------------------------------------------------

if ! engine_start "$scratch/engine"; then
    skip image "no Docker engine starts here"
    summary
    exit
fi
echo "an engine of our own: $(docker version --format '{{.Server.Version}}'), storage $(docker info --format '{{.Driver}}, cgroups {{.CgroupVersion}}')"
check images "$repo/images/build" node command
check labels labels
check mesh full_mesh
# shellcheck disable=SC2154 # check.sh counts
if [ "$failed" != 0 ]; then
    printf 'not ok image: without a mesh there is nothing more to look at\n'
    summary
    exit 1
fi
check cut-off cut_off
check command-image command_image
check names-and-ports as_before
check old-test-suite old_suite
check old-habits old_habits
check prefixes prefixes
check usr1 signal_shows_the_table
check stop clean_stop
check restart restart_keeps
check health healthcheck
check cut-off-shows cut_off_shows
check down down_keeps_and_purge_does_not
check k3s-mesh k3s_mesh
check k3s-lines k3s_says
[ -n "${K3S:-}" ] || check k3s-follows k3s_follows
check debian-tools debian_tools
check kmsg-remedy kmsg_remedy
if [ -n "${K3S:-}" ]; then
    check k3s-nodes k3s_real
else
    echo "no K3S=/path was given: a stand-in ran in place of k3s"
fi
if command -v podman >/dev/null; then check podman podman_node; else skip podman "there is no podman here"; fi
check nothing-is-left nothing_is_left
summary
