//! Keys, rotated from either side.

use std::fs;

use crate::cluster::{LIMIT, Program, cluster, no_serf};
use crate::kit::{directory, wait_until};
use crate::need;

const OLD: &str = "Vk/hxhubMAAPFe+bEcR5FGmiRas2bpzCs5FfX1eQpTM=";
const SHORT: &str = "dGVzdGtleTE2Ynl0ZXMhIQ==";
const LONG: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[test]
fn keys_are_rotated_from_either_side() {
    need!("keys_are_rotated_from_either_side", no_serf());
    use Program::{Ours, Serf};
    let folder = directory("keys");
    let agents = cluster(&folder, &[Ours, Serf, Ours], |configuration| {
        let file = folder.join(format!("keyring-{}", configuration["node_name"].as_str().expect("a name")));
        fs::write(&file, format!("[\"{OLD}\"]")).expect("a keyring");
        configuration["keyring_file"] = file.display().to_string().into();
    });
    let mut old = OLD;
    for (asked, new) in [(0, SHORT), (1, LONG)] {
        let agent = &agents[asked];
        let said = agent.ask(&["keys", "-install", new]);
        assert!(said.contains("Successfully installed key"), "{said}");
        let said = agent.ask(&["keys", "-use", new]);
        assert!(said.contains("Successfully changed primary key"), "{said}");
        let (well, said) = agent.try_ask(&["keys", "-remove", new]);
        assert!(!well && said.contains("Removing the primary key is not allowed"), "{said}");
        assert!(said.contains("3/3 nodes reported failure"), "{said}");
        let said = agent.ask(&["keys", "-remove", old]);
        assert!(said.contains("Successfully removed key"), "{said}");
        for agent in &agents {
            let listed = agent.ask(&["keys", "-list"]);
            assert!(listed.contains(&format!("{new}  [3/3]")) && !listed.contains(old), "{listed}");
            let file = folder.join(format!("keyring-{}", agent.name));
            wait_until("the keyring is kept", LIMIT, || {
                fs::read_to_string(&file).is_ok_and(|text| text == format!("[\n  \"{new}\"\n]"))
            });
        }
        let (well, said) = agent.try_ask(&["keys", "-use", old]);
        assert!(!well && said.contains("Requested key is not in the keyring"), "{said}");
        old = new;
    }
    for agent in &agents {
        agents.iter().for_each(|other| agent.sees(&other.name, "alive"));
    }
}

#[test]
fn a_key_that_a_node_cannot_keep_is_told() {
    need!("a_key_that_a_node_cannot_keep_is_told", no_serf());
    use Program::{Ours, Serf};
    let root = directory("unkept");
    let folder = |name: &str| root.join(format!("of-{name}"));
    let agents = cluster(&root, &[Ours, Serf], |configuration| {
        let folder = folder(configuration["node_name"].as_str().expect("a name"));
        fs::create_dir(&folder).expect("a folder");
        let file = folder.join("keyring");
        fs::write(&file, format!("[\"{OLD}\"]")).expect("a keyring");
        configuration["keyring_file"] = file.display().to_string().into();
    });
    for (victim, new) in [(0, SHORT), (1, LONG)] {
        let folder = folder(&agents[victim].name);
        fs::remove_dir_all(&folder).expect("its folder is gone");
        for asked in &agents {
            let (well, said) = asked.try_ask(&["keys", "-install", new]);
            assert!(!well && said.contains("1/2 nodes reported failure"), "{said}");
            assert!(said.contains("Failed to write keyring file"), "{said}");
        }
        fs::create_dir(&folder).expect("a folder");
        let said = agents[victim].ask(&["keys", "-install", new]);
        assert!(said.contains("Successfully installed key"), "{said}");
        assert!(fs::read_to_string(folder.join("keyring")).expect("it is kept").contains(new));
    }
}

#[test]
fn without_the_key_nobody_comes_in() {
    need!("without_the_key_nobody_comes_in", no_serf());
    use Program::{Ours, Serf};
    let folder = directory("stranger");
    let agents = cluster(&folder, &[Ours, Serf], |configuration| configuration["encrypt_key"] = OLD.into());
    for (name, key) in [("plain", ""), ("other", LONG)] {
        for program in [Ours, Serf] {
            let stranger = crate::cluster::Agent::start(&folder, program, name, |configuration| {
                configuration["encrypt_key"] = key.into();
            });
            for agent in &agents {
                assert!(!stranger.try_ask(&["join", &agent.gossip]).0);
                assert!(!agent.try_ask(&["join", &stranger.gossip]).0);
            }
            assert_eq!(stranger.statuses().len(), 1);
        }
    }
    for agent in &agents {
        assert_eq!(agent.statuses().len(), 2);
        agents.iter().for_each(|other| agent.sees(&other.name, "alive"));
    }
    if std::env::var_os("UNDER_TEST").is_none() {
        // Twelve refusals of two kinds, each said once with the sender.
        let log = agents[0].log();
        let said = log.lines().filter(|line| line.contains("Stream refused")).count();
        assert!((1..=2).contains(&said) && log.contains("from=127.0.0.1:"), "{said}: {log}");
    }
}
