#!/usr/bin/env bash
# A node under Podman, without network but its own: comes up, is healthy, ends, and comes back as who it was. In namespaces of
# its own; images/build has laid out what the image is made of. Ends with 1 and says why.
#
#   tests/image/podman.sh DIR     everything of Podman is kept in DIR
set -uo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# For `within`.
# shellcheck source=tests/kit/check.sh
. "$repo/tests/kit/check.sh"
rmdir "$checks"
dir=$1
if [ "${2:-}" != inside ]; then
    exec unshare --fork --kill-child --pid --mount --net --uts --ipc --mount-proc -- "$0" "$dir" inside
fi
ip link set lo up && mount -t tmpfs tmpfs /run || exit
mkdir -p "$dir"
printf '[storage]\ndriver = "overlay"\ngraphroot = "%s/data"\nrunroot = "%s/run"\n' "$dir" "$dir" >"$dir/storage.conf"
export CONTAINERS_STORAGE_CONF=$dir/storage.conf

fail() {
    podman logs node 2>&1 | tail -n 15
    printf 'podman: %s\n' "$*"
    exit 1
}
healthy() { podman healthcheck run node; }
id() { podman exec node node-agent info | grep -E '^(node id|mesh address)'; }

CLUSTEROS_ENGINE=podman "$repo/images/build" node command || fail "unable to build the images"
# Limits that every machine can give: Podman asks for more by itself.
limits=(--ulimit nofile=1024:1024 --ulimit nproc=1000:1000)

said=$(podman run --rm "${limits[@]}" --network none --volume "$(command -v busybox):/busybox:ro" clusteros-init:latest /busybox sh -c 'id -u; exit 7')
[ "$? $said" = '7 65532' ] || fail "a command ended otherwise, and said $said"

podman run --detach --name node "${limits[@]}" --systemd=false --pids-limit=-1 --network none --cap-add NET_ADMIN,NET_RAW --device /dev/net/tun \
    --tmpfs /run:exec --tmpfs /tmp:exec --volume node-var:/var --env NODE_NAME=node --env NODE_BOOTSTRAP=true --env NODE_ADVERTISE=192.0.2.1 \
    --env "CLUSTER_AUTH_KEY=$(head -c 32 /dev/urandom | base64)" cluster-os-node:latest || fail "unable to start a node"
within 30 healthy || fail "the node is not healthy"
before=$(id)
podman stop node || fail "unable to stop it"
[ "$(podman inspect --format '{{.State.ExitCode}}' node)" = 0 ] || fail "it ended with $(podman inspect --format '{{.State.ExitCode}}' node)"
podman start node || fail "unable to start it again"
within 30 healthy || fail "it does not come back"
[ "$(id)" = "$before" ] || fail "it was $before, and is $(id)"
podman rm --force node
