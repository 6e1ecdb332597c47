//! `node-agent k3s` in namespaces of its own: what it mends, what it refuses, what it tells k3s, and that it becomes k3s. The k3s here is
//! a stand-in (`tests/kit/k3s.rs`); what needs cgroup v2 is asked in a machine of its own, by `tests/k3s/machine.sh`.

mod container;
#[path = "../kit/k3s.rs"]
mod k3s;
#[path = "../kit/mod.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod kit;
mod kmsg;
mod life;
mod machine;
mod needs;
mod refusals;
mod start;
#[path = "../cgroup/tree.rs"]
#[expect(dead_code, reason = "shared with the tests of cgroups")]
mod tree;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What would change this host, or cannot be had on it; the rest is this test's own.
const IGNORED: &str = "cgroup-v2 cgroup-namespace controllers evacuated kernel-sysctls inotify modules pids";

/// A node's files, and where it runs: a network and a mount namespace of its own, with a `wg0` that is none.
struct Scene {
    root: PathBuf,
    variables: Vec<(String, String)>,
    wg0: bool,
    /// Shell commands run first, in the namespaces.
    before: String,
    /// What `node-agent` is started by.
    by: String,
}

/// What a command said and how it ended.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Scene {
    fn new(name: &str, variables: &[(&str, &str)]) -> Scene {
        let root = kit::directory(&format!("k3s-{name}"));
        let mut scene = Scene { root, variables: Vec::new(), wg0: true, before: String::new(), by: String::new() };
        let given = [("CLUSTER_AUTH_KEY", KEY), ("NODE_NAME", "Node1"), ("NODE_ADVERTISE", "10.0.0.1")];
        for (name, value) in given.iter().chain(variables) {
            scene.set(name, value);
        }
        scene.set("NODE_K3S_IGNORE", IGNORED);
        scene.set("PATH", &format!("{}/bin:/usr/sbin:/usr/bin:/sbin:/bin", scene.root.display()));
        scene.set("STAND_IN_REPORT", &scene.path("report").display().to_string());
        scene.write("bin/k3s", &k3s::script());
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(scene.path("bin/k3s"), mode).expect("its mode");
        let said = scene.run(&["init"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        scene
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.path(path)).expect("a file").permissions().mode() & 0o777
    }

    /// Shell commands that make a wg0 with this node's address.
    fn link(&self) -> String {
        let info = self.text("var/lib/cluster-os/address.json");
        let address =
            info.split("\"address\": \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("10.42.0.1");
        format!(
            "ip link add wg0 type veth peer name wg0-other && ip address add {address}/16 dev wg0 && ip link set wg0 up || exit 99\n"
        )
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let link = self.link();
        let script = format!(
            "{}{}exec {} {} --root {} {}",
            if self.wg0 { &link } else { "" },
            self.before,
            self.by,
            env!("CARGO_BIN_EXE_node-agent"),
            self.root.display(),
            arguments.join(" ")
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "--propagation", "private", "sh", "-c", &script]);
        command.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output().expect("unshare runs");
        // The folder differs from run to run.
        let text = |bytes| String::from_utf8_lossy(bytes).replace(&*self.root.to_string_lossy(), "");
        Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        let err = fs::File::create(self.path("err")).expect("a file");
        command.stdout(Stdio::null()).stderr(err).spawn().expect("unshare runs")
    }

    /// What the stand-in reported under `name`.
    fn reported(&self, name: &str) -> String {
        let report = self.text("report");
        let line = report.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name} in the report: {report:?}; {}", self.text("err"))).to_owned()
    }
}

/// Every file below `folder`, with its text.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if entry.file_type().expect("a type").is_dir() {
            found.push((path.clone(), Vec::new()));
            found.extend(files(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap_or_default()));
        }
    }
    found.sort();
    found
}
