//! What keeps k3s from starting: one clear line each, exit 78 (1 where trying again may help), and nothing changed.

use super::{IGNORED, Scene, files, kit};
use crate::need;

/// Runs it and answers with its lines of error; nothing may have changed.
fn refused(scene: &Scene) -> Vec<String> {
    refused_with(scene, 78)
}

fn refused_with(scene: &Scene, code: i32) -> Vec<String> {
    let before = files(&scene.root);
    let said = scene.run(&["k3s"]);
    assert_eq!(said.code, Some(code), "{}", said.err);
    assert!(files(&scene.root) == before, "something was changed");
    said.err.lines().filter_map(|line| line.strip_prefix("node-agent: error: ")).map(str::to_owned).collect()
}

#[test]
fn without_the_mesh_nothing_is_changed() {
    need!("refusals::without_the_mesh_nothing_is_changed", kit::no_namespaces());
    let mut scene = Scene::new("no-wg0", &[("NODE_BOOTSTRAP", "true")]);
    scene.wg0 = false;
    assert_eq!(
        refused_with(&scene, 1),
        ["unable to start k3s: wg0: there is no wg0; start the unit wg0 first ('node-agent wg0'), and look at \
             'initctl logs wg0'"]
    );
}

#[test]
fn a_server_whose_etcd_knows_another_address() {
    need!("refusals::a_server_whose_etcd_knows_another_address", kit::no_namespaces());
    let mut scene = Scene::new("moved", &[("NODE_BOOTSTRAP", "true")]);
    assert_eq!(scene.run(&["k3s"]).code, Some(0));
    let address = scene.text("var/lib/cluster-os/k3s-address");
    assert!(scene.text("etc/rancher/k3s/config.yaml").contains(&format!("node-ip: \"{}\"", address.trim())));
    scene.write("var/lib/cluster-os/k3s-address", "10.42.0.9\n");
    scene.write("var/lib/rancher/k3s/server/db/etcd/member", "");
    let said = refused(&scene);
    let line = format!(
        "unable to start k3s: node-ip: this node's mesh address is {}, and its etcd knows it by 10.42.0.9; where ",
        address.trim()
    );
    assert!(said.len() == 1 && said[0].starts_with(&line), "{said:?}");
    // What a person is told to do, either way.
    scene.set("NODE_K3S_IGNORE", &format!("{IGNORED} node-ip"));
    assert_eq!(scene.run(&["k3s"]).code, Some(0));
    assert_eq!(scene.text("var/lib/cluster-os/k3s-address"), address);
    scene.write("var/lib/cluster-os/k3s-address", "10.42.0.9\n");
    scene.set("NODE_K3S_IGNORE", IGNORED);
    std::fs::remove_dir_all(scene.path("var/lib/rancher/k3s/server/db")).expect("away");
    assert_eq!(scene.run(&["k3s"]).code, Some(0));
    assert_eq!(scene.text("var/lib/cluster-os/k3s-address"), address);
}

#[test]
fn a_name_that_overrides_nothing() {
    need!("refusals::a_name_that_overrides_nothing", kit::no_namespaces());
    let mut scene = Scene::new("ignore", &[("NODE_BOOTSTRAP", "true")]);
    scene.set("NODE_K3S_IGNORE", "kmgs");
    assert_eq!(
        refused(&scene),
        [
            "unable to start k3s: NODE_K3S_IGNORE: kmgs is no finding; did you mean kmsg?; correct it and start the node again"
        ]
    );
}

#[test]
fn a_misspelt_key_in_node_yaml() {
    need!("refusals::a_misspelt_key_in_node_yaml", kit::no_namespaces());
    let scene = Scene::new("key", &[("NODE_BOOTSTRAP", "true")]);
    let yaml = scene.text("etc/cluster-os/node.yaml");
    scene.write(
        "etc/cluster-os/node.yaml",
        &format!("{yaml}k3s:\n  server:\n    disabel: [traefik]\n    cluster-cidr: 10.42.0.0/17\n"),
    );
    assert_eq!(
        refused(&scene),
        [
            "unable to start k3s: k3s.server.disabel: k3s has no such key; did you mean disable?; k3s.server.cluster-cidr: \
             10.42.0.0/17 overlaps the mesh, 10.42.0.0/16; correct it and start the node again"
        ]
    );
}

#[test]
fn two_roles_at_once() {
    need!("refusals::two_roles_at_once", kit::no_namespaces());
    let scene = Scene::new("roles", &[("NODE_BOOTSTRAP", "true"), ("NODE_ROLES", "compute,worker")]);
    assert_eq!(
        refused(&scene),
        [
            "unable to start k3s: NODE_ROLES says worker, and NODE_BOOTSTRAP that this is the first server; correct it and \
             start the node again"
        ]
    );
}

#[test]
fn a_configuration_that_somebody_else_wrote_is_left_alone() {
    need!("refusals::a_configuration_that_somebody_else_wrote_is_left_alone", kit::no_namespaces());
    let scene = Scene::new("theirs", &[("NODE_BOOTSTRAP", "true")]);
    scene.write("etc/rancher/k3s/config.yaml", "token: mine\n");
    let said = scene.run(&["k3s"]);
    assert_eq!(said.code, Some(78), "{}", said.err);
    assert!(said.err.contains(
        "config.yaml: it was written by somebody else; move what it says to k3s.server or k3s.agent in node.yaml"
    ));
    assert_eq!(scene.text("etc/rancher/k3s/config.yaml"), "token: mine\n");
}

#[test]
fn no_k3s_is_said_and_is_no_failure() {
    need!("refusals::no_k3s_is_said_and_is_no_failure", kit::no_namespaces());
    let mut scene = Scene::new("off", &[("NODE_K3S_ENABLED", "no")]);
    for arguments in [&["k3s"][..], &["k3s", "--check"]] {
        let said = scene.run(arguments);
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(format!("{}{}", said.out, said.err).contains("NODE_K3S_ENABLED is false\n"));
    }
    scene.set("NODE_K3S_ENABLED", "true");
    std::fs::remove_file(scene.path("bin/k3s")).expect("taken away");
    let said = scene.run(&["k3s"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), "node-agent: info: K3S: skipped: there is no k3s in PATH\n"));
}

#[test]
fn to_check_changes_nothing() {
    need!("refusals::to_check_changes_nothing", kit::no_namespaces());
    let mut scene = Scene::new("check", &[("NODE_BOOTSTRAP", "true")]);
    let before = files(&scene.root);
    let said = scene.run(&["k3s", "--check"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("\nwg0               must    fine     wg0 is up with 10.42."), "{}", said.out);
    let said = scene.run(&["k3s", "--check", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let findings = json["findings"].as_array().expect("findings");
    assert_eq!((findings.len(), json["role"].as_str()), (32, Some("server")));
    assert!(files(&scene.root) == before, "something was changed");
    scene.wg0 = false;
    let said = scene.run(&["k3s", "--check"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.out.contains("\nwg0               must    CANNOT   there is no wg0\n"), "{}", said.out);
}
