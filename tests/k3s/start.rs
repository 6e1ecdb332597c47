//! What k3s is told and given, and that it is started in our stead.

use std::os::unix::fs::MetadataExt;

use super::{KEY, Scene, kit};
use crate::need;

/// HKDF of [`KEY`], by Python's hmac.
const TOKEN: &str = "4f6af662eb4cb636c0ab6d5283dc7880c2b6575b45e72567cce0550298b561f9";

#[test]
fn the_first_server() {
    need!("start::the_first_server", kit::no_namespaces());
    let mut scene = Scene::new("server", &[("NODE_BOOTSTRAP", "true")]);
    let theirs = [
        ("INVOCATION_ID", "x"),
        ("WATCHDOG_USEC", "1"),
        ("K3S_URL", "https://x"),
        ("NOTIFY_SOCKET", "@nobody"),
        ("KEPT", ""),
    ];
    theirs.iter().for_each(|(name, value)| scene.set(name, value));
    let mut child = scene.start(&["k3s"]);
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "{}", scene.text("err"));
    assert_eq!(scene.reported("words"), "server");
    // unshare, sh and node-agent became each other: the pid is the one that was started.
    assert_eq!(scene.reported("pid"), child.id().to_string());
    let variables = scene.reported("variables");
    let names: Vec<&str> = variables.split(' ').collect();
    for name in ["INVOCATION_ID", "WATCHDOG_USEC", "K3S_URL", "CLUSTER_AUTH_KEY"] {
        assert!(!names.contains(&name), "{name} reached k3s");
    }
    for name in ["NOTIFY_SOCKET", "NODE_NAME", "KEPT"] {
        assert!(names.contains(&name), "{name} did not reach k3s");
    }
    assert_eq!(scene.reported("home"), "/root");
    assert!(scene.reported("path").ends_with("/usr/local/sbin:/usr/local/bin"));
    let yaml = scene.text("etc/rancher/k3s/config.yaml");
    for line in [
        "cluster-cidr: \"10.44.0.0/16\"",
        "cluster-init: true",
        "flannel-iface: \"wg0\"",
        "node-name: \"node1\"",
        "token-file: \"/run/cluster-os/k3s-token\"",
    ] {
        assert!(yaml.lines().any(|found| found == line), "{line} is not in {yaml}");
    }
    assert_eq!(scene.text("run/cluster-os/k3s-token"), TOKEN);
    assert!(!yaml.contains(TOKEN) && !yaml.contains(KEY));
    assert_eq!((scene.mode("etc/rancher/k3s/config.yaml"), scene.mode("run/cluster-os/k3s-token")), (0o600, 0o600));
    let said = scene.text("err");
    let line = "info: K3S: condition: enabled, every need met or overridden; server node1 begins the cluster; binary ";
    assert!(said.contains(line), "{said}");
    // Its password is kept with the data directory.
    let link = std::fs::read_link(scene.path("etc/rancher/node")).expect("a link");
    assert_eq!(link.as_os_str(), "../../var/lib/rancher/k3s/node");

    let before = std::fs::metadata(scene.path("etc/rancher/k3s/config.yaml")).expect("a file").ino();
    let said = scene.run(&["k3s"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(!said.err.contains("wrote /etc"), "{}", said.err);
    assert_eq!(std::fs::metadata(scene.path("etc/rancher/k3s/config.yaml")).expect("a file").ino(), before);
}

fn peers(address: &str) -> String {
    format!(
        "{{\"version\":1,\"self\":{{\"name\":\"node1\",\"node_id\":\"x\",\"address\":\"10.42.0.1\",\"key\":\"\",\"interface\":\"wg0\",\"mode\":\"kernel\"}},\
         \"gossip\":{{}},\"asking\":[],\"peers\":[{{\"name\":\"node2\",\"node_id\":null,\"address\":\"{address}\",\"endpoint\":null,\"key\":null,\
         \"status\":\"alive\",\"verified\":true,\"reason\":null,\"connected\":true,\"handshake\":null,\"k3s\":\"server\",\"rx\":0,\"tx\":0}}]}}"
    )
}

#[test]
fn an_agent_waits_for_a_server_and_keeps_it() {
    need!("start::an_agent_waits_for_a_server_and_keeps_it", kit::no_namespaces());
    let scene = Scene::new("agent", &[]);
    let mut child = scene.start(&["k3s"]);
    kit::wait_until("it waits", kit::SOON, || scene.text("err").contains("info: waiting for a server of k3s"));
    // A member that is no server, and then one that is.
    scene.write("run/cluster-os/peers.json", &peers("10.42.0.7").replace("\"k3s\":\"server\",", ""));
    scene.write("run/cluster-os/peers.json", &peers("10.42.0.7"));
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "{}", scene.text("err"));
    assert_eq!(scene.reported("words"), "agent");
    let yaml = scene.text("etc/rancher/k3s/config.yaml");
    assert!(yaml.contains("server: \"https://10.42.0.7:6443\"\n"), "{yaml}");
    for key in ["cluster-cidr", "tls-san", "flannel-backend", "cluster-init", "write-kubeconfig-mode"] {
        assert!(!yaml.contains(key), "an agent with {key} does not start: {yaml}");
    }
    assert_eq!(scene.text("var/lib/cluster-os/k3s-server"), "10.42.0.7\n");
    // The next boot: gossip shows nobody yet.
    std::fs::remove_file(scene.path("run/cluster-os/peers.json")).expect("taken away");
    let said = scene.run(&["k3s"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("agent node1 joins 10.42.0.7; "), "{}", said.err);
}

#[test]
fn a_first_server_that_lost_its_disk_joins_the_others() {
    need!("start::a_first_server_that_lost_its_disk_joins_the_others", kit::no_namespaces());
    let scene = Scene::new("lost", &[("NODE_BOOTSTRAP", "true")]);
    scene.write("run/cluster-os/peers.json", &peers("10.42.0.7"));
    let said = scene.run(&["k3s"]);
    assert!(said.err.contains("server node1 joins 10.42.0.7; "), "{}", said.err);
    // With its disk it is the first.
    std::fs::create_dir_all(scene.path("var/lib/rancher/k3s/server/db")).expect("a folder");
    let said = scene.run(&["k3s"]);
    assert!(said.err.contains("server node1 goes on with its cluster; "), "{}", said.err);
    assert!(scene.text("etc/rancher/k3s/config.yaml").contains("cluster-init: true\n"));
}

/// A node that was killed leaves addresses that no pod has any more; where a pod lives they are its own.
#[test]
fn what_an_end_without_order_left_is_taken_away() {
    need!("start::what_an_end_without_order_left", kit::no_namespaces());
    let mut scene = Scene::new("clear", &[("NODE_BOOTSTRAP", "true")]);
    let lease = "var/lib/cni/networks/cbr0/10.44.0.2";
    let data = scene.path("var/lib/rancher/k3s/data/abc/bin").display().to_string();
    let shim = format!("{data}/containerd-shim-runc-v2");
    scene.write(lease, "");
    scene.before = format!(
        "mkdir -p {data} && cp -L \"$(command -v sh)\" {shim} && mkfifo {root}/fifo || exit 98\n\
         {shim} -c 'read -r line <>{root}/fifo' >/dev/null 2>&1 &\n\
         until [ \"$(readlink /proc/$!/exe)\" = {shim} ]; do sleep 0.02; done\n",
        root = scene.root.display()
    );
    // The shim ends with the command.
    scene.by = "sh -c '\"$@\"; status=$?; kill -9 $(cat shim); exit $status' sh".to_owned();
    scene.before.push_str(&format!("cd {} && echo $! >shim\n", scene.root.display()));
    let said = scene.run(&["k3s", "--clear"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("info: pods live here: nothing of theirs is taken away\n"), "{}", said.err);
    assert!(scene.path(lease).exists());

    let point = scene.path("run/k3s/containers/rootfs").display().to_string();
    scene.before = format!("mkdir -p {point} && mount -t tmpfs pods {point} || exit 98\n");
    scene.by = String::new();
    let said = scene.run(&["k3s", "--clear"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("info: unmounted 1 mounts of pods\n"), "{}", said.err);
    // The folder may be a volume.
    assert!(!scene.path("var/lib/cni/networks/cbr0").exists() && scene.path("var/lib/cni").exists());
}

/// As the documentation of ClusterOS has it: `tail -100 /var/log/cluster-os/k3s-server.log`, and the lines with `K3S:`.
#[test]
fn its_lines_have_the_names_that_they_had() {
    need!("start::its_lines_have_the_names", kit::no_namespaces());
    let mut scene = Scene::new("lines", &[("NODE_BOOTSTRAP", "true")]);
    let [server, agent] = ["server", "agent"].map(|role| scene.path(&format!("var/log/cluster-os/k3s-{role}.log")));
    scene.write("var/log/cluster-os/k3s.log", "a line of k3s\n");
    let mut child = scene.start(&["k3s"]);
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "{}", scene.text("err"));
    assert_eq!(std::fs::read_to_string(&server).expect("a log"), "a line of k3s\n");
    assert!(!agent.exists());
    let said = scene.text("err");
    let line = said.lines().find(|line| line.contains("K3S:")).expect("a line");
    let (binary, pid) = (scene.path("bin/k3s").display().to_string(), child.id().to_string());
    for part in ["condition: enabled", &format!("binary {binary}"), "address 10.42.", &format!("pid {pid}")] {
        assert!(line.contains(part), "{part}: {line}");
    }
    // It is an agent now; and a log that somebody keeps is his.
    scene.set("NODE_BOOTSTRAP", "false");
    scene.write("run/cluster-os/peers.json", &peers("10.42.0.7"));
    scene.write("var/log/cluster-os/k3s-agent.log", "mine\n");
    let said = scene.run(&["k3s"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(!server.exists() && std::fs::read_to_string(&agent).expect("a log") == "mine\n");
}

/// Further servers: embedded etcd takes them only if what they say of the cluster is what the first one said.
#[test]
fn a_further_server_joins_whom_gossip_shows() {
    need!("start::a_further_server_joins", kit::no_namespaces());
    let yaml = |scene: &Scene| scene.text("etc/rancher/k3s/config.yaml");
    let first = Scene::new("first", &[("NODE_BOOTSTRAP", "true"), ("NODE_ROLES", "server,storage")]);
    assert_eq!(first.run(&["k3s"]).code, Some(0));
    let second = Scene::new("second", &[("NODE_ROLES", "Server")]);
    second.write("run/cluster-os/peers.json", &peers("10.42.0.7"));
    let said = second.run(&["k3s"]);
    assert!(said.err.contains("server node1 joins 10.42.0.7; "), "{}", said.err);
    assert_eq!(second.reported("words"), "server");
    let (of_first, of_second) = (yaml(&first), yaml(&second));
    assert!(of_first.contains("cluster-init: true\n") && !of_second.contains("cluster-init"), "{of_second}");
    assert!(of_second.contains("server: \"https://10.42.0.7:6443\"\n"), "{of_second}");
    // The same of all that a server must not differ in, and the same token, without a copy.
    for key in ["cluster-cidr", "service-cidr", "flannel-backend", "flannel-iface", "disable"] {
        let line = |text: &str| text.lines().find(|line| line.starts_with(&format!("{key}:"))).map(str::to_owned);
        assert_eq!(line(&of_first), line(&of_second), "{key}");
    }
    assert_eq!(second.text("run/cluster-os/k3s-token"), first.text("run/cluster-os/k3s-token"));
    // The one that it joined is remembered while gossip shows nobody, and another one is taken when that alone answers.
    std::fs::remove_file(second.path("run/cluster-os/peers.json")).expect("taken away");
    assert!(second.run(&["k3s"]).err.contains("server node1 joins 10.42.0.7; "));
    let other = peers("10.42.0.9");
    let failed = peers("10.42.0.7").replace("\"alive\"", "\"failed\"");
    let entry = failed.split("\"peers\":[").nth(1).and_then(|rest| rest.strip_suffix("]}")).expect("a peer");
    let both = other.replace("\"peers\":[", &format!("\"peers\":[{entry},"));
    second.write("run/cluster-os/peers.json", &both);
    assert!(second.run(&["k3s"]).err.contains("server node1 joins 10.42.0.9; "));
    assert_eq!(second.text("var/lib/cluster-os/k3s-server"), "10.42.0.9\n");
    // With a database of its own it goes on, should nobody be there.
    let alone = Scene::new("alone", &[("NODE_ROLES", "server")]);
    std::fs::create_dir_all(alone.path("var/lib/rancher/k3s/server/db")).expect("a folder");
    assert!(alone.run(&["k3s"]).err.contains("server node1 goes on with its cluster; "));
}

#[test]
fn a_server_says_so_in_gossip() {
    need!("start::a_server_says_so_in_gossip", kit::no_namespaces());
    let variables = [("NODE_BOOTSTRAP", "true"), ("NODE_K3S_ENABLED", "true")];
    let mut scene = Scene::new("tag", &variables);
    let tag = |scene: &Scene| {
        let json: serde_json::Value = serde_json::from_str(&scene.text("run/cluster-os/serf.json")).expect("JSON");
        json["tags"]["k3s"].as_str().map(str::to_owned)
    };
    // With `init` alone, too: /bin has the stand-in already.
    let said = scene.run(&["init"]);
    assert_eq!((said.code, tag(&scene).as_deref()), (Some(0), Some("server")), "{}", said.err);
    scene.set("NODE_K3S_ENABLED", "false");
    let said = scene.run(&["init"]);
    assert_eq!((said.code, tag(&scene)), (Some(0), None), "{}", said.err);
}

fn no_user_namespaces() -> Option<&'static str> {
    let tried = std::process::Command::new("unshare").args(["--user", "--map-root-user", "true"]).output();
    let made = tried.is_ok_and(|output| output.status.success());
    kit::no_namespaces().or((!made).then_some("no user namespaces"))
}

/// As under an engine without root: kubelet is told, and what the kernel then refuses is said and not tried for ever.
#[test]
fn in_a_user_namespace_kubelet_is_told_so() {
    need!("start::in_a_user_namespace", no_user_namespaces());
    let mut scene = Scene::new("userns", &[("NODE_BOOTSTRAP", "true")]);
    scene.before = "echo 0 >/proc/sys/net/ipv4/conf/all/forwarding\n".to_owned();
    scene.by = "unshare --user --map-root-user --mount --propagation private".to_owned();
    let said = scene.run(&["k3s", "--check"]);
    assert!(
        said.out.contains("kernel-sysctls    must    -        in a user namespace kubelet goes without\n"),
        "{}",
        said.out
    );
    let said = scene.run(&["k3s"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let yaml = scene.text("etc/rancher/k3s/config.yaml");
    assert!(yaml.contains("kubelet-arg:\n  - \"feature-gates=KubeletInUserNamespace=true\"\n"), "{yaml}");
    let line = "warning: forwarding: net.ipv4.conf.all.forwarding is 0, not 1";
    let lines: Vec<&str> = said.err.lines().filter(|found| found.contains(line)).collect();
    assert_eq!(lines.len(), 1, "{}", said.err);
    assert!(lines[0].contains("unable to set net.ipv4.conf.all.forwarding to 1: "), "{}", lines[0]);
}

/// As where no volume is mounted for k3s: overlayfs does not go onto the container's own.
#[test]
fn on_overlayfs_another_snapshotter_is_chosen() {
    need!("start::on_overlayfs", kit::no_namespaces());
    let filesystems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    need!("start::on_overlayfs", (!filesystems.contains("\toverlay\n")).then_some("no overlayfs"));
    let mut scene = Scene::new("overlay", &[("NODE_BOOTSTRAP", "true")]);
    let (at, data) = (scene.path("disk").display().to_string(), scene.path("var/lib/rancher").display().to_string());
    scene.before = format!(
        "mkdir -p {at} {data} && mount -t tmpfs tmpfs {at} && mkdir {at}/lower {at}/upper {at}/inner \
         && mount -t overlay overlay -o lowerdir={at}/lower,upperdir={at}/upper,workdir={at}/inner {data} || exit 98\n"
    );
    let said = scene.run(&["k3s"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let yaml = scene.text("etc/rancher/k3s/config.yaml");
    let fuse = std::path::Path::new("/dev/fuse").exists();
    let expected = format!("snapshotter: \"{}\"\n", if fuse { "fuse-overlayfs" } else { "native" });
    assert!(yaml.contains(&expected), "{yaml}{}", said.err);
}
