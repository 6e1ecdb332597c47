#!/usr/bin/env bash
# What tests/image/machine.sh lets its machine check: a node that runs k3s in a container with what it needs, and in containers that
# lack one thing each, where the remedy that it names is followed.
set -uo pipefail

# shellcheck source=tests/kit/check.sh
. "$(dirname "${BASH_SOURCE[0]}")/check.sh"

image=cluster-os-node:k3s
key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
# As the README starts a node, without the rights that k3s wants. Containers have no network here, and nobody to run healthchecks.
words=(
    --systemd=false --pids-limit=-1 --network none --no-healthcheck --device /dev/net/tun --tmpfs /run:exec --tmpfs /tmp:exec
    -v node1-var:/var -v /lib/modules:/lib/modules:ro --stop-timeout 60
    -e "CLUSTER_AUTH_KEY=$key" -e NODE_BOOTSTRAP=true -e NODE_K3S_ENABLED=true -e NODE_ADVERTISE=192.0.2.1
)
all=(--cgroupns=private --privileged)
# The least with which k3s is started, on a host with the values that it wants: a mesh, cgroups to write to, a log to read.
mesh=(--cap-add NET_ADMIN)
cgroups=(--cgroupns=private --security-opt unmask=/sys/fs/cgroup)
log=(--device /dev/kmsg --cap-add SYSLOG)

# Here each process that is started costs: no sleep(1) in waiting, no `podman rm`, and no collecting of garbage in what ends at once.
export GOGC=off
mkfifo /tmp/never && exec {never}<>/tmp/never
sleep() { read -r -t "$1" -u "$never" || true; }
kill_node() {
    [ ! -e /run/node1.pid ] || kill -KILL "$(</run/node1.pid)"
    rm -f /run/node1.pid /var/log/node1
} 2>/dev/null

# FLAG...: the node, which keeps its volume from one start to the next
start() {
    kill_node
    echo "podman run $*"
    podman run --replace --detach --pidfile /run/node1.pid --name node1 --hostname node1 --log-opt path=/var/log/node1 "${words[@]}" "$@" "$image" --budget 55s >/dev/null
}
on() { podman exec node1 "$@"; }
# Without the engine's own words before each line.
lines() { sed 's/^[^ ]* std[a-z]* [FP] //' /var/log/node1; }
says() { lines | grep -E -- "$1"; }
refusal='node-agent: error: unable to start k3s: '
# TEXT...: one of them was said. Asked often, so without any process: here they are slow.
said() {
    local lines='' text
    read -r -d '' lines </var/log/node1
    for text; do [[ $lines != *"$text"* ]] || return 0; done
    return 1
} 2>/dev/null
begun() { said 'k3s stand-in is up and running'; }
over() { said "$refusal" 'k3s stand-in is up and running'; }
failed_for_good() { said 'unable to start k3s: it exited with status 78 before it was ready; not trying again: permanent-exit'; }

# FINDING FLAG...: in a container with these flags k3s is not started for that one reason, for good. Leaves the line in $told.
told=
refused() {
    local finding=$1
    shift
    start "$@" || because "it does not start" || return
    within 120 over
    told=$(says "$refusal")
    [ -n "$told" ] || lines
    echo "$told"
    { [ "$(wc -l <<<"$told")" = 1 ] && [[ $told == *"$refusal$finding: "* ]]; } || because "with $* it says: ${told:-$(lines | tail -n 3)}" || return
    within 20 failed_for_good || because "it is not over for good: $(lines | tail -n 1)"
}

# FLAG...: with these it is started.
taken() {
    start "$@" || because "it does not start" || return
    within 120 over
    begun || because "with $* it says: $(says "$refusal" || lines | tail -n 3)" || return
    says 'K3S: condition'
}

# WORDS: they are in the remedy, word by word
advised() { [[ $told == *"$1"* ]] || because "it does not say '$1', but $told"; }

# --- a container that has everything -------------------------------------------------------------------------------

green() {
    local open
    start "${all[@]}" -e STAND_IN_PREFLIGHT=1 || return
    within 180 over
    begun || because "k3s does not start: $(lines | tail -n 3)" || return
    says 'preflight '
    open=$(says 'preflight .*: ok$' | wc -l)
    [ "$open" = 8 ] || because "not all gates are open: $(says 'preflight ' | grep -v ': ok$' | head -n 1)" || return
    on sh -c 'node-agent k3s --check && systemctl is-active k3s.service' >/tmp/check || because "node-agent k3s --check: $(grep -A1 CANNOT /tmp/check)" || return
    cat /tmp/check
    ! grep -E 'CANNOT|to do' /tmp/check || because "not all is green: $(grep -E 'CANNOT|to do' /tmp/check | head -n 1)" || return
    [ "$(tail -n 1 /tmp/check)" = active ] || because "k3s is $(tail -n 1 /tmp/check)"
}

# Its pods live on when k3s ends, and nothing of them when they end; nothing of the node on the host when it ends.
nothing_is_left() {
    podman container exists node1 || taken "${all[@]}" -e STAND_IN_PREFLIGHT=1 || return
    # shellcheck disable=SC2016 # the node's shell expands it
    on sh -c 'systemctl stop k3s; ls -d /sys/fs/cgroup/kubepods; systemctl stop k3s-pods; echo ---; ls -d /sys/fs/cgroup/kubepods
        cat /proc/self/mountinfo; ls /run/netns; ip -o link; cat /proc/[0-9]*/comm; true' >/tmp/left || return
    cat /tmp/left
    sed '/^---/,$d' /tmp/left | grep kubepods || because "pods have ended with k3s" || return
    sed '1,/^---/d' /tmp/left >/tmp/after
    grep ': wg0:' /tmp/after || because "wg0 is gone" || return
    ! grep -E 'kubepods|/run/k3s|kubelet/pods|cni|flannel|shim' /tmp/after || because "left: $(grep -E 'kubepods|/run/k3s|kubelet/pods|cni|flannel|shim' /tmp/after | head -n 1)" || return
    podman stop node1 || return
    [ "$(podman inspect --format '{{.State.ExitCode}}' node1)" = 0 ] || because "it ended with $(podman inspect --format '{{.State.ExitCode}}' node1)" || return
    says 'everything is down after' || because "its last line is $(lines | tail -n 1)" || return
    ! pgrep 'gossipd|k3s|containerd-shim|logd|node-agent' || because "processes are left" || return
    ! find /sys/fs/cgroup -path '*libpod*' -name 'k3s*' | grep . || because "cgroups are left" || return
    ! grep -E '^pods |/run/k3s' /proc/mounts || because "mounts are left"
}

# --- containers that lack one thing --------------------------------------------------------------------------------

# Where there is no device an empty file in its place is enough for kubelet; here there is one, and it does not open.
kmsg() {
    sysctl -w kernel.dmesg_restrict=1
    refused kmsg "${mesh[@]}" "${cgroups[@]}" --device /dev/kmsg || return
    advised '--device /dev/kmsg --cap-add SYSLOG' || return
    taken "${mesh[@]}" "${cgroups[@]}" --device /dev/kmsg --cap-add SYSLOG
}

kernel_sysctls() {
    local command
    sysctl -w vm.overcommit_memory=0 kernel.panic=0
    refused kernel-sysctls "${mesh[@]}" "${cgroups[@]}" "${log[@]}" || return
    advised 'on the host: sysctl -w vm.overcommit_memory=1 kernel.panic=10; or start the container with --privileged' || return
    command=$(grep -o 'sysctl -w [^;]*' <<<"$told")
    $command || return
    on systemctl start k3s || because "$command was not enough: $(lines | tail -n 1)"
}

controllers() {
    refused controllers --cgroupns=private "${mesh[@]}" "${log[@]}" || return
    advised '--cap-add SYS_ADMIN and --cgroupns=private' || return
    taken "${mesh[@]}" "${log[@]}" --cap-add SYS_ADMIN --cgroupns=private
}

cgroup_namespace() {
    refused cgroup-namespace --privileged --cgroupns=host || return
    advised 'start it with --cgroupns=private and without -v /sys/fs/cgroup' || return
    refused cgroup-namespace "${all[@]}" -v /sys/fs/cgroup:/sys/fs/cgroup:rw || return
    advised 'start it with --cgroupns=private and without -v /sys/fs/cgroup'
}

evacuated() {
    local ended=0
    kill_node
    told=$(podman run --rm "${all[@]}" "${words[@]}" --entrypoint sh "$image" -c 'node-agent init && node-agent wg0 && node-agent k3s' 2>&1) || ended=$?
    echo "$told"
    [ "$ended" = 78 ] || because "it ended with $ended" || return
    [ "$(grep -c "$refusal" <<<"$told")" = 1 ] || because "there is more than one line" || return
    advised 'unable to start k3s: evacuated: ' || return
    advised 'start the container with clusteros-init as its first process, --cgroupns=private and --privileged'
}

data_dir() {
    refused data-dir "${all[@]}" --tmpfs /var/lib/rancher:noexec || return
    advised 'start the container with a volume each at /var/lib/rancher/k3s, /var/lib/kubelet, /var/lib/cni and /var/log' || return
    taken "${all[@]}" -v node1-k3s:/var/lib/rancher/k3s -v node1-kubelet:/var/lib/kubelet -v node1-cni:/var/lib/cni -v node1-log:/var/log
}

# A name that Kubernetes would not take is refused before, by the unit identity.
node_name() {
    start "${all[@]}" -e NODE_NAME=node_1 || return
    within 60 said 'unable to use the environment: NODE_NAME: "node_1" is no node name: 1 to 63 letters, digits, ' || because "it says: $(lines | tail -n 3)" || return
    ! begun || because "k3s was started" || return
    taken "${all[@]}" -e NODE_NAME=node-1
}

node_password() {
    local joined
    joined=/var/lib/containers/storage/volumes/node1-var/_data/lib/rancher/k3s/agent
    mkdir -p "$joined" && touch "$joined/client-kubelet.crt"
    refused node-password "${all[@]}" && advised 'k3s kubectl delete node node1; then start again with NODE_K3S_IGNORE=node-password' &&
        taken "${all[@]}" -e NODE_K3S_IGNORE=node-password
    local ended=$?
    rm -r "$joined"
    return "$ended"
}

wg0() {
    start "${cgroups[@]}" "${log[@]}" || return
    within 60 said 'unable to bring up wg0' || because "nothing is said of wg0" || return
    told=$(on sh -c 'node-agent k3s; initctl logs -n 1 wg0' 2>&1)
    echo "$told"
    [ "$(grep -c "$refusal" <<<"$told")" = 1 ] || because "there is another line: $told" || return
    advised 'unable to start k3s: wg0: there is no wg0; ' && advised "look at 'initctl logs wg0'" && advised '--cap-add NET_ADMIN' || return
    taken "${cgroups[@]}" "${log[@]}" --cap-add NET_ADMIN
}

# What these two advise is what `green` starts it with.
check cgroup-namespace cgroup_namespace
check evacuated evacuated
check green green
check nothing-is-left nothing_is_left
check kmsg kmsg
check kernel-sysctls kernel_sysctls
check controllers controllers
check data-dir data_dir
check node-name node_name
check node-password node_password
check wg0 wg0
summary
