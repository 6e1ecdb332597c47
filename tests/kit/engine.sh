# A Docker engine of the tests' own: in namespaces and folders of its own, so that it meets neither this machine's engine nor
# its network, and goes without a trace. Sourced, not run; needs root, and `within` of check.sh.
# shellcheck shell=bash

# Where it keeps everything.
engine=
# The process that holds its namespaces.
holder=
# The parent of all its cgroups.
engine_cgroup=clusteros-engine-$$

# DIR: starts an engine in DIR and points DOCKER_HOST at it; fails, with the end of its log, if none starts.
engine_start() {
    local words
    engine=$1
    mkdir -p "$engine"
    export DOCKER_HOST=unix://$engine/docker.sock
    # A machine without nf_tables cannot have its rules, one whose root is an overlay itself not its usual storage.
    for words in '' '--iptables=false' '--iptables=false --storage-driver=vfs'; do
        # shellcheck disable=SC2016 # the variables are the inner shell's
        setsid unshare --fork --kill-child --pid --mount --net --uts --ipc --mount-proc -- sh -c '
            ip link set lo up
            mount -t tmpfs tmpfs /run
            exec dockerd --host "unix://$0/docker.sock" --data-root "$0/data" --exec-root /run/docker --pidfile "$0/dockerd.pid" \
                --cgroup-parent "/$1" $2' "$engine" "$engine_cgroup" "$words" >"$engine/log" 2>&1 </dev/null &
        holder=$!
        if within 30 engine_answers; then return 0; fi
        engine_stop
        mkdir -p "$engine"
    done
    tail -n 5 "$engine/log" 2>/dev/null
    return 1
}

engine_answers() { docker version >/dev/null 2>&1 || ! kill -0 "$holder" 2>/dev/null; docker version >/dev/null 2>&1; }

# Ends the engine, whatever runs on it, and takes its folder and cgroups away.
engine_stop() {
    local cgroup
    [ -n "$holder" ] || return 0
    # With it ends its child, the init of the pid namespace, and with that all others.
    kill -KILL "$holder" 2>/dev/null
    wait "$holder" 2>/dev/null
    holder=
    for cgroup in /sys/fs/cgroup/*/"$engine_cgroup" /sys/fs/cgroup/"$engine_cgroup"; do
        [ ! -d "$cgroup" ] || within 5 empty_cgroup "$cgroup"
    done
    rm -rf --one-file-system "${engine:?}"
}

empty_cgroup() {
    find "$1" -depth -type d -exec rmdir {} + 2>/dev/null
    [ ! -d "$1" ]
}
