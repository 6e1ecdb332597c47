//! config.yaml of k3s, whole.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::Value;

use super::keys;
use super::ranges::Ranges;
use super::role::{Role, Start};

/// What a person adds under `k3s.server` or `k3s.agent` in node.yaml.
pub type Extra = BTreeMap<String, Value>;

/// What a configuration follows from.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// What this node is to k3s.
    pub role: Role,
    /// How it begins; a node that waits has no configuration yet.
    pub start: &'a Start,
    /// Its name.
    pub name: &'a str,
    /// Its address in the mesh.
    pub address: Ipv4Addr,
    /// The mesh's link.
    pub interface: &'a str,
    /// What pods and services are given.
    pub ranges: Ranges,
    /// Where the token is.
    pub token_file: &'a str,
    /// What the findings ask for.
    pub arguments: &'a [(&'static str, String)],
    /// What a person adds.
    pub extra: &'a Extra,
}

/// The first line: by it our file is told from a person's.
pub const MARK: &str = "# The configuration of k3s, written by 'node-agent k3s' at every start.";

/// k3s's port for servers and agents.
const PORT: u16 = 6443;

/// What a person may add to, not only replace.
const LISTS: &[&str] = &["kubelet-arg", "tls-san"];

/// Each mistake in what a person adds, as `KEY: CAUSE`.
pub fn mistakes(role: Role, extra: &Extra) -> Vec<String> {
    let scalar = |value: &Value| matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_));
    let fits = |value: &Value| scalar(value) || value.as_array().is_some_and(|list| list.iter().all(scalar));
    let of_key = |(key, value): (&String, &Value)| match keys::check(role, key) {
        Err(cause) => Some(format!("k3s.{}.{key}: {cause}", role.word())),
        Ok(()) if !fits(value) => {
            Some(format!("k3s.{}.{key}: neither a text, a number, true, false, nor a list of them", role.word()))
        }
        Ok(()) => None,
    };
    extra.iter().filter_map(of_key).collect()
}

/// The text of config.yaml.
pub fn text(wish: &Wish<'_>) -> String {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    let mut set = |key: &str, value: Value| drop(all.insert(key.to_owned(), value));
    set("node-name", wish.name.into());
    set("node-ip", wish.address.to_string().into());
    set("flannel-iface", wish.interface.into());
    set("token-file", wish.token_file.into());
    match wish.start {
        Start::Found => set("cluster-init", true.into()),
        Start::Join(server) => set("server", format!("https://{server}:{PORT}").into()),
        Start::Wait => {}
    }
    if wish.role == Role::Server {
        set("flannel-backend", "vxlan".into());
        set("cluster-cidr", wish.ranges.pods.to_string().into());
        set("service-cidr", wish.ranges.services.to_string().into());
        set("tls-san", vec![wish.address.to_string()].into());
        set("write-kubeconfig-mode", "0600".into());
    }
    for (key, value) in wish.arguments {
        match value.as_str() {
            value if LISTS.contains(key) => add(&mut all, key, vec![value.into()]),
            "true" => drop(all.insert((*key).to_owned(), true.into())),
            value => drop(all.insert((*key).to_owned(), value.into())),
        }
    }
    for (key, value) in wish.extra {
        let list = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        if LISTS.contains(&key.as_str()) {
            add(&mut all, key, list);
        } else {
            all.insert(key.clone(), value.clone());
        }
    }
    gate(&mut all);
    format!("{MARK}\n# What you add under k3s.{} in node.yaml comes in here.\n{}", wish.role.word(), yaml(&all))
}

fn add(all: &mut BTreeMap<String, Value>, key: &str, values: Vec<Value>) {
    let list = all.entry(key.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
    if let Some(list) = list.as_array_mut() {
        for value in values {
            if !list.contains(&value) {
                list.push(value);
            }
        }
    }
}

/// Of several feature gates, kubelet hears only the last: they become one.
fn gate(all: &mut BTreeMap<String, Value>) {
    let Some(list) = all.get_mut("kubelet-arg").and_then(Value::as_array_mut) else { return };
    let gates: Vec<String> =
        list.iter().filter_map(|value| value.as_str()?.strip_prefix("feature-gates=").map(str::to_owned)).collect();
    if gates.len() > 1 {
        list.retain(|value| value.as_str().is_none_or(|text| !text.starts_with("feature-gates=")));
        list.push(format!("feature-gates={}", gates.join(",")).into());
    }
}

/// Every text in quotes, as JSON has them: YAML reads these alike.
fn yaml(all: &BTreeMap<String, Value>) -> String {
    let mut text = String::new();
    for (key, value) in all {
        match value.as_array() {
            Some(list) => {
                text.push_str(&format!("{key}:\n"));
                list.iter().for_each(|value| text.push_str(&format!("  - {value}\n")));
            }
            None => text.push_str(&format!("{key}: {value}\n")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Extra, Wish, mistakes, text};
    use crate::cluster::k3s::ranges::Ranges;
    use crate::cluster::k3s::role::{Role, Start};
    use crate::mesh::Subnet;
    use serde_json::json;

    fn extra(value: serde_json::Value) -> Extra {
        serde_json::from_value(value).expect("a map")
    }

    fn written(role: Role, start: &Start, arguments: &[(&'static str, String)], added: &Extra) -> String {
        let text = text(&Wish {
            role,
            start,
            name: "node1",
            address: "10.42.133.224".parse().expect("an address"),
            interface: "wg0",
            ranges: Ranges::choose(Subnet::DEFAULT, None, None).expect("ranges"),
            token_file: "/run/cluster-os/k3s-token",
            arguments,
            extra: added,
        });
        text.lines().skip(2).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn the_first_server() {
        let added = extra(json!({"disable": ["traefik", "servicelb"], "tls-san": "k3s.example"}));
        assert_eq!(
            written(Role::Server, &Start::Found, &[], &added),
            "cluster-cidr: \"10.44.0.0/16\"\n\
             cluster-init: true\n\
             disable:\n  - \"traefik\"\n  - \"servicelb\"\n\
             flannel-backend: \"vxlan\"\n\
             flannel-iface: \"wg0\"\n\
             node-ip: \"10.42.133.224\"\n\
             node-name: \"node1\"\n\
             service-cidr: \"10.43.0.0/16\"\n\
             tls-san:\n  - \"10.42.133.224\"\n  - \"k3s.example\"\n\
             token-file: \"/run/cluster-os/k3s-token\"\n\
             write-kubeconfig-mode: \"0600\"\n"
        );
    }

    #[test]
    fn an_agent_has_no_key_of_a_servers() {
        let join = Start::Join("10.42.0.9".parse().expect("an address"));
        let arguments = [
            ("kubelet-arg", "feature-gates=KubeletInUserNamespace=true".to_owned()),
            ("snapshotter", "native".to_owned()),
            ("prefer-bundled-bin", "true".to_owned()),
        ];
        let added = extra(json!({"kubelet-arg": ["max-pods=20", "feature-gates=A=true"], "debug": true}));
        assert_eq!(
            written(Role::Agent, &join, &arguments, &added),
            "debug: true\n\
             flannel-iface: \"wg0\"\n\
             kubelet-arg:\n  - \"max-pods=20\"\n  - \"feature-gates=KubeletInUserNamespace=true,A=true\"\n\
             node-ip: \"10.42.133.224\"\n\
             node-name: \"node1\"\n\
             prefer-bundled-bin: true\n\
             server: \"https://10.42.0.9:6443\"\n\
             snapshotter: \"native\"\n\
             token-file: \"/run/cluster-os/k3s-token\"\n"
        );
    }

    #[test]
    fn a_further_server_joins_and_says_the_same_of_the_cluster() {
        let join = Start::Join("10.42.0.9".parse().expect("an address"));
        let text = written(Role::Server, &join, &[], &Extra::new());
        assert!(text.contains("server: \"https://10.42.0.9:6443\"\n") && !text.contains("cluster-init"));
        assert!(text.contains("cluster-cidr: \"10.44.0.0/16\"\n") && text.contains("service-cidr: \"10.43.0.0/16\"\n"));
    }

    #[test]
    fn what_a_person_adds_is_checked() {
        let added = extra(json!({"disabel": ["traefik"], "node-ip": "1.2.3.4", "node-label": {"a": "b"}, "v": 2}));
        assert_eq!(
            mistakes(Role::Server, &added),
            [
                "k3s.server.disabel: k3s has no such key; did you mean disable?",
                "k3s.server.node-ip: not to be set: it is this node's address in the mesh",
                "k3s.server.node-label: neither a text, a number, true, false, nor a list of them",
            ]
        );
    }
}
