//! `node-agent` as a person and PID 1 run it: what it makes, what it says, how it ends.

mod refusals;
mod shells;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const ADVICE: &str = "make one with 'head -c 32 /dev/urandom | base64' and give every node of the cluster the same";

struct Node(PathBuf);

/// What a command said and how it ended.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Node {
    fn new(name: &str) -> Node {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("agent-{}-{name}", std::process::id()));
        drop(fs::remove_dir_all(&root));
        fs::create_dir_all(&root).expect("a folder");
        Node(root)
    }

    /// Runs `node-agent` with nothing in its environment but `variables`.
    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_node-agent"))
            .arg("--root")
            .arg(&self.0)
            .args(arguments)
            .env_clear()
            .envs(variables.iter().copied())
            .output()
            .expect("node-agent runs");
        // The folder differs from run to run.
        let text = |bytes| String::from_utf8_lossy(bytes).replace(&*self.0.to_string_lossy(), "");
        Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    fn init(&self, variables: &[(&str, &str)]) -> Said {
        let given = [("CLUSTER_AUTH_KEY", KEY), ("NODE_NAME", "node1"), ("NODE_ADVERTISE", "10.0.0.1")];
        self.run(&["init"], &[&given, variables].concat())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).expect("a file")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.path(path)).expect("a file").permissions().mode() & 0o7777
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

const IDENTITY: &str = "var/lib/cluster-os/identity.json";
const YAML: &str = "etc/cluster-os/node.yaml";
const SERF: &str = "run/cluster-os/serf.json";
const ADDRESS: &str = "var/lib/cluster-os/address.json";
const KEYRING: &str = "var/lib/cluster-os/keyring";

#[test]
fn a_second_init_changes_nothing() {
    let node = Node::new("twice");
    let first = node.init(&[("NODE_JOIN", "10.0.0.2,node3:7946")]);
    assert_eq!(first.code, Some(0), "{}", first.err);
    for (path, mode) in [(IDENTITY, 0o600), (YAML, 0o600), (SERF, 0o600), ("var/lib/cluster-os", 0o700)] {
        assert_eq!(node.mode(path), mode, "{path}");
    }
    let before = [IDENTITY, YAML, SERF, ADDRESS].map(|path| node.text(path));
    let written = [IDENTITY, YAML, ADDRESS].map(|path| fs::metadata(node.path(path)).unwrap().modified().unwrap());
    let second = node.init(&[("NODE_JOIN", "10.0.0.2,node3:7946")]);
    assert_eq!(second.code, Some(0));
    assert_eq!([IDENTITY, YAML, SERF, ADDRESS].map(|path| node.text(path)), before);
    assert_eq!(
        [IDENTITY, YAML, ADDRESS].map(|path| fs::metadata(node.path(path)).unwrap().modified().unwrap()),
        written
    );
    assert!(!second.err.contains("made"), "{}", second.err);
    assert!(before[2].contains("\"10.0.0.2\",\n    \"node3:7946\""));
    // Without the environment, what was written counts.
    let third = node.run(&["init"], &[]);
    assert_eq!((third.code, node.text(SERF) == before[2]), (Some(0), true), "{}", third.err);
}

#[test]
fn the_environment_wins_and_that_is_said() {
    let node = Node::new("environment");
    node.init(&[]);
    let generation = |node: &Node| -> u64 {
        serde_json::from_str::<serde_json::Value>(&node.text(ADDRESS)).unwrap()["generation"].as_u64().unwrap()
    };
    let before = generation(&node);
    let said = node.init(&[("WIREGUARD_PORT", "51999")]);
    assert!(
        said.err.contains("info: /etc/cluster-os/node.yaml: networking.listen_port is now what WIREGUARD_PORT says\n")
    );
    assert!(node.text(YAML).contains("listen_port: 51999"));
    assert!(generation(&node) > before);
    assert!(!said.err.contains(KEY) && !said.out.contains(KEY));
}

#[test]
fn what_is_missing_or_wrong_is_said_with_what_to_do() {
    let node = Node::new("missing");
    let said = node.run(&["init"], &[("NODE_NAME", "node1")]);
    let expected = format!(
        "node-agent: error: unable to make the configuration of gossip: CLUSTER_AUTH_KEY is not set; {ADVICE}\n"
    );
    assert_eq!((said.code, said.err), (Some(78), expected));
    assert!(!node.path(IDENTITY).exists());

    let said = node.init(&[("SERF_BIND_PORT", "many"), ("NODE_BOOTSTRAP", "perhaps")]);
    let expected = "node-agent: error: unable to use the environment: NODE_BOOTSTRAP: \"perhaps\" is neither true nor false; \
                    SERF_BIND_PORT: \"many\" is no port (1 to 65535); correct it and start the node again\n";
    assert_eq!((said.code, said.err.as_str()), (Some(78), expected));

    node.write(YAML, "discovery:\n  bind_prot: 7946\n");
    let said = node.init(&[]);
    let expected = "node-agent: error: unable to use /etc/cluster-os/node.yaml: line 2, column 3: unknown field `bind_prot`, \
                    expected one of bind_addr, bind_port, advertise, bootstrap_peers, bootstrap, node_name, encrypt_key; \
                    correct it and start the node again\n";
    assert_eq!((said.code, said.err.as_str()), (Some(78), expected));
    assert_eq!(node.text(YAML), "discovery:\n  bind_prot: 7946\n");

    node.write(YAML, "cluster:\n  auth_key: c2hvcnQ=\n");
    let said = node.run(&["init"], &[("NODE_NAME", "node1")]);
    let expected = format!(
        "node-agent: error: unable to use /etc/cluster-os/node.yaml: cluster.auth_key: 5 bytes, and at least 32 are needed; \
         {ADVICE}; correct it and start the node again\n"
    );
    assert_eq!((said.code, said.err), (Some(78), expected));
}

#[test]
fn a_damaged_identity_is_never_replaced() {
    let node = Node::new("damaged");
    assert_eq!(node.init(&[]).code, Some(0));
    let half = node.text(IDENTITY)[..40].to_owned();
    node.write(IDENTITY, &half);
    for command in ["init", "info", "start", "wg0"] {
        let said = node.run(&[command], &[("CLUSTER_AUTH_KEY", KEY), ("NODE_NAME", "node1")]);
        let expected = "node-agent: error: unable to read /var/lib/cluster-os/identity.json: line 2, column 38: EOF while \
                        parsing a string; put back a copy of this node's file, or move it away and this node becomes a new \
                        one (nothing was changed)\n";
        assert_eq!((said.code, said.err.as_str()), (Some(78), expected), "{command}");
        assert_eq!(node.text(IDENTITY), half);
    }
}

#[test]
fn an_identity_that_others_could_read_is_closed() {
    let node = Node::new("open");
    node.init(&[]);
    fs::set_permissions(node.path(IDENTITY), fs::Permissions::from_mode(0o644)).unwrap();
    let said = node.init(&[]);
    assert!(said.err.contains("warning: /var/lib/cluster-os/identity.json could be read by others"), "{}", said.err);
    assert_eq!(node.mode(IDENTITY), 0o600);
}

#[test]
fn a_key_in_the_configuration_that_others_could_read_is_closed() {
    let node = Node::new("open-key");
    node.write(YAML, "discovery:\n  node_name: node1\n  advertise: 10.0.0.1\n");
    let key = format!("cluster:\n  auth_key: {KEY}\n");
    node.write(YAML, &(node.text(YAML) + &key));
    fs::set_permissions(node.path(YAML), fs::Permissions::from_mode(0o644)).unwrap();
    let said = node.run(&["init"], &[]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let line = "warning: /etc/cluster-os/node.yaml could be read by others than root, and holds the cluster's key; its mode is 0600 now\n";
    assert!(said.err.contains(line), "{}", said.err);
    assert_eq!((node.mode(YAML), node.text(YAML).ends_with(&key)), (0o600, true));
    assert!(!node.run(&["init"], &[]).err.contains("could be read"));
}

#[test]
fn info_says_who_the_node_is_and_no_secret() {
    let node = Node::new("info");
    node.write(IDENTITY, &clusteros_init::mesh::Identity::from_seed(&[0; 32]).text());
    assert_eq!(node.init(&[]).code, Some(0));
    let said = node.run(&["info"], &[]);
    let expected = format!(
        "node          node1\n\
         node id       4zvwRjXUKGfvwnParsHAS3HuSVzV5cA4McphgmoCtajS\n\
         wireguard key t1mnTfOpDcJgElw1bzVDsgZ7bsXk7+7pZLMjzwatXm4=\n\
         mesh address  10.42.227.168 in 10.42.0.0/16\n\
         mesh IPv6     fde2:1b26:8c8:0:6674:3ac4:5e71:2d66 in fde2:1b26:8c8::/64\n\
         cluster keys  d33459ed\n\
         versions      node-agent {}, member record 1\n",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!((said.code, said.out), (Some(0), expected));
}

#[test]
fn the_keyring_is_made_once_and_counts_from_then_on() {
    let node = Node::new("keyring");
    let said = node.init(&[]);
    assert!(
        said.err
            .contains("info: made /var/lib/cluster-os/keyring from the configured key: gossip keeps it from now on\n"),
        "{}",
        said.err
    );
    assert_eq!((node.text(KEYRING), node.mode(KEYRING)), (format!("[\n  \"{KEY}\"\n]"), 0o600));
    let serf = node.text(SERF);
    assert!(
        !serf.contains(KEY) && serf.contains("\"keyring_file\": ") && serf.contains("var/lib/cluster-os/keyring\"")
    );

    // As `serf keys -install` and `-use` leave it.
    let new = "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";
    let rotated = format!("[\n  \"{new}\",\n  \"{KEY}\"\n]");
    node.write(KEYRING, &rotated);
    let said = node.init(&[]);
    assert_eq!((said.code, node.text(KEYRING)), (Some(0), rotated), "{}", said.err);
    assert!(!said.err.contains("keyring holds"), "{}", said.err);
    assert!(node.run(&["info"], &[]).out.contains("\ncluster keys  45e4cf33, d33459ed\n"));
    let tags: serde_json::Value = serde_json::from_str(&node.text(SERF)).unwrap();
    assert_eq!(tags["tags"]["keys"], "45e4cf33d33459ed");

    node.write(KEYRING, &format!("[\n  \"{new}\"\n]"));
    let said = node.init(&[]);
    assert!(
        said.err.contains(
            "info: the cluster's key was changed: /var/lib/cluster-os/keyring holds 45e4cf33, and counts before the configured \
             d33459ed, from which the RPC's password and k3s's token still follow\n"
        ),
        "{}",
        said.err
    );
}

#[test]
fn another_configured_key_makes_the_keyring_anew_and_damage_does_not() {
    let node = Node::new("another-key");
    node.init(&[]);
    let new = "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";
    let said = node.init(&[("CLUSTER_AUTH_KEY", new)]);
    assert!(
        said.err.contains(
            "warning: the configured key is 45e4cf33 now and was d33459ed: /var/lib/cluster-os/keyring held d33459ed, and is made \
             anew from it\n"
        ),
        "{}",
        said.err
    );
    assert_eq!(node.text(KEYRING), format!("[\n  \"{new}\"\n]"));
    assert!(!said.err.contains(new) && !said.err.contains(KEY));

    // A change that is under way goes on, and what it was made of is then the other one.
    let both = format!("[\n  \"{new}\",\n  \"{KEY}\"\n]");
    node.write(KEYRING, &both);
    for key in [KEY, KEY, new] {
        let said = node.init(&[("CLUSTER_AUTH_KEY", key)]);
        assert_eq!(node.text(KEYRING), both, "{}", said.err);
    }

    for (text, cause) in [("", "the file is empty"), ("[]", "it holds no key")] {
        node.write(KEYRING, text);
        for command in ["init", "info", "start", "wg0"] {
            let said = node.run(&[command], &[("CLUSTER_AUTH_KEY", KEY)]);
            let expected = format!(
                "node-agent: error: unable to read /var/lib/cluster-os/keyring: {cause}; put back a copy of another node's \
                 file, or move it away and it is made anew from the configured key (nothing was changed)\n"
            );
            assert_eq!((said.code, said.err, node.text(KEYRING)), (Some(78), expected, text.to_owned()), "{command}");
        }
    }
}

#[test]
fn the_command_line_is_read_strictly() {
    let node = Node::new("usage");
    for (arguments, error) in [
        (&[][..], "unable to read the command line: no command; run 'node-agent help'"),
        (&["--frob"], "unable to read the command line: no such option: --frob; run 'node-agent help'"),
        (&["init", "now"], "unable to read the command line: one argument too many: now; run 'node-agent help'"),
        (&["frob"], "unable to read the command line: no such command: frob; run 'node-agent help'"),
    ] {
        let said = node.run(arguments, &[]);
        assert_eq!((said.code, said.err), (Some(64), format!("node-agent: error: {error}\n")));
    }
    for command in ["peers", "status"] {
        let said = node.run(&[command], &[]);
        let expected = "node-agent: error: unable to read /run/cluster-os/peers.json: no such file; is 'node-agent start' \
                        running?\n";
        assert_eq!((said.code, said.err.as_str()), (Some(1), expected));
    }
    assert_eq!(node.run(&["--version"], &[]).out, format!("node-agent {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(node.run(&["help"], &[]).code, Some(0));
}
