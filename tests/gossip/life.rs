//! A cluster from its first join to its last leave.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};

use crate::cluster::{Agent, LIMIT, Program, cluster, no_serf};
use crate::kit::{directory, wait_until};
use crate::need;

/// What every agent of these clusters has beside its key: a script that keeps events and one that answers.
fn scripts(folder: &Path, configuration: &mut Json) {
    let name = configuration["node_name"].as_str().expect("a name").to_owned();
    let file = folder.join(format!("events-{name}"));
    configuration["event_handlers"] = json!([
        format!("user=(echo -n $SERF_USER_EVENT' '; cat) >> {}", file.display()),
        format!("member-failed,member-leave=(echo $SERF_EVENT; cat) >> {}", file.display()),
        "query:load=echo $SERF_SELF_NAME:$(cat)".to_owned(),
    ]);
}

fn life(test: &str, programs: &[Program], key: &str) {
    need!(test, no_serf());
    let folder = directory(test);
    let key = key.to_owned();
    let mut agents = cluster(&folder, programs, |configuration| {
        if !key.is_empty() {
            configuration["encrypt_key"] = key.clone().into();
        }
        scripts(&folder, configuration);
    });
    let names: Vec<_> = agents.iter().map(|agent| agent.name.clone()).collect();
    let events = |name: &str| fs::read_to_string(folder.join(format!("events-{name}"))).unwrap_or_default();

    // Tags of each, seen by each.
    for agent in &agents {
        agent.ask(&["tags", "-set", "role=web", "-set", &format!("of={}", agent.name)]);
    }
    for agent in &agents {
        for name in &names {
            wait_until(&format!("{} sees the tags of {name}", agent.name), LIMIT, || {
                agent.tags(name).get("of") == Some(name)
            });
        }
        assert!(agent.ask(&["members", "-tag", "role=w.b", "-status=alive"]).lines().count() == names.len());
        assert!(agent.ask(&["members", "-tag", "role=w"]).trim().is_empty());
    }
    agents[0].ask(&["tags", "-delete", "role"]);
    wait_until("a tag is gone", LIMIT, || !agents[1].tags(&names[0]).contains_key("role"));

    // Events of each, heard by each.
    for agent in &agents {
        agent.ask(&["event", "-coalesce=false", &format!("from-{}", agent.name), "payload"]);
    }
    for name in &names {
        for from in &names {
            wait_until(&format!("{name} hears of {from}"), LIMIT, || {
                events(name).contains(&format!("from-{from} payload"))
            });
        }
    }

    // Queries of each, answered by each.
    for agent in &agents {
        let said = agent.ask(&["query", "-timeout=1s", "load", "how"]);
        for name in &names {
            assert!(said.contains(&format!("Ack from '{name}'")), "{said}");
            assert!(said.contains(&format!("Response from '{name}': {name}:how")), "{said}");
        }
        let said =
            agent.ask(&["query", "-timeout=1s", "-node", &names[1], "-no-ack", "-relay-factor=1", "load", "you"]);
        assert!(said.contains(&format!("Response from '{}'", names[1])) && !said.contains(&names[0]), "{said}");
        assert!(agent.ask(&["info"]).contains(&format!("members = {}", names.len())));
        let (well, said) = agent.try_ask(&["query", "_serf_foo"]);
        assert!(!well && said.contains("Queries cannot contain the '_serf_' prefix"), "{said}");
        let (well, said) = agent.try_ask(&["join", "127.0.0.1:1"]);
        assert!(!well && said.contains("connection refused"), "{said}");
        let other = if agent.name == names[0] { &names[1] } else { &names[0] };
        wait_until("a way in time", LIMIT, || agent.try_ask(&["rtt", other]).1.contains("rtt:"));
    }

    let said = agents[0].ask(&["reachability"]);
    assert!(said.contains("Successfully contacted all live nodes"), "{said}");

    // One leaves, one dies, one comes back.
    let last = agents.len() - 1;
    agents[last].ask(&["leave"]);
    agents[last].end();
    for agent in &agents[..last] {
        agent.sees(&names[last], "left");
        wait_until("the leave is told", LIMIT, || {
            events(&agent.name).contains(&format!("member-leave\n{}", names[last]))
        });
    }
    agents[0].kill();
    for agent in &agents[1..last] {
        agent.sees(&names[0], "failed");
        wait_until("the failure is told", LIMIT, || {
            events(&agent.name).contains(&format!("member-failed\n{}", names[0]))
        });
    }
    agents[0].restart();
    agents[0].wait();
    agents[0].ask(&["join", &agents[1].gossip]);
    for agent in &agents[..last] {
        agents[..last].iter().for_each(|other| agent.sees(&other.name, "alive"));
    }
    agents[0].kill();
    // Each finds it by itself, and one sooner than the other.
    agents[1..last].iter().for_each(|agent| agent.sees(&names[0], "failed"));
    agents[1].ask(&["force-leave", &names[0]]);
    for agent in &agents[1..last] {
        agent.sees(&names[0], "left");
    }
    agents[1].ask(&["force-leave", "-prune", &names[0]]);
    for agent in &agents[1..last] {
        wait_until("one is forgotten", LIMIT, || !agent.statuses().contains_key(&names[0]));
    }
}

#[test]
fn a_cluster_of_two_and_two() {
    use Program::{Ours, Serf};
    life("a_cluster_of_two_and_two", &[Ours, Serf, Ours, Serf], "");
}

#[test]
fn a_cluster_with_a_key() {
    use Program::{Ours, Serf};
    life("a_cluster_with_a_key", &[Serf, Ours, Serf, Ours], "Vk/hxhubMAAPFe+bEcR5FGmiRas2bpzCs5FfX1eQpTM=");
}

#[test]
fn a_cluster_with_a_short_key() {
    use Program::{Ours, Serf};
    life("a_cluster_with_a_short_key", &[Ours, Ours, Serf, Ours], "dGVzdGtleTE2Ynl0ZXMhIQ==");
}

#[test]
fn who_is_gone_for_long_is_forgotten() {
    need!("who_is_gone_for_long_is_forgotten", no_serf());
    use Program::{Ours, Serf};
    let folder = directory("reap");
    let mut agents = cluster(&folder, &[Ours, Serf, Ours, Serf, Ours], |configuration| {
        configuration["reconnect_timeout"] = "5s".into();
        configuration["tombstone_timeout"] = "5s".into();
        let file = folder.join(format!("events-{}", configuration["node_name"].as_str().expect("a name")));
        configuration["event_handlers"] = json!([format!("member-reap=cat >> {}", file.display())]);
    });
    // One of each leaves, one of each fails.
    let mut gone: Vec<_> = agents.drain(1..).collect();
    gone[0].ask(&["leave"]);
    gone[1].ask(&["leave"]);
    gone[2].kill();
    gone[3].kill();
    for other in &gone {
        wait_until(&format!("{} is forgotten", other.name), LIMIT, || {
            let events = fs::read_to_string(folder.join("events-ours0")).unwrap_or_default();
            !agents[0].statuses().contains_key(&other.name) && events.contains(&other.name)
        });
    }
}

#[test]
fn a_monitor_shows_lines_as_they_come() {
    need!("a_monitor_shows_lines_as_they_come", no_serf());
    let folder = directory("monitor");
    let ours = Agent::start(&folder, Program::Ours, "ours", |_| {});
    let shown = folder.join("shown");
    let mut monitor = Command::new("serf")
        .args(["monitor", "-log-level=debug", &format!("-rpc-addr={}", ours.rpc)])
        .stdout(fs::File::create(&shown).expect("a file"))
        .spawn()
        .expect("serf runs");
    let shows = |text: &str| fs::read_to_string(&shown).is_ok_and(|said| said.contains(text));
    // What was said before it came, and what happens now: lines and events.
    wait_until("what was said is shown", LIMIT, || shows("agent: Serf agent starting"));
    ours.ask(&["event", "-coalesce=false", "deploy", "now"]);
    wait_until("what happens is shown", LIMIT, || shows("deploy"));
    monitor.kill().expect("a process of our own");
    monitor.wait().expect("a process of our own");
    // Who goes away without a word takes nobody along.
    assert!(ours.ask(&["info"]).contains("members = 1"));
}

#[test]
fn a_snapshot_finds_the_way_back() {
    need!("a_snapshot_finds_the_way_back", no_serf());
    let folder = directory("snapshot");
    let stays = Agent::start(&folder, Program::Serf, "stays", |_| {});
    let path = folder.join("snapshot");
    let mut back = Agent::start(&folder, Program::Ours, "back", |configuration| {
        configuration["snapshot_path"] = path.display().to_string().into();
    });
    back.ask(&["join", &stays.gossip]);
    back.ask(&["event", "once"]);
    stays.sees("back", "alive");
    // Serf writes the rest of its file at its end.
    back.signal(15);
    back.end();
    stays.sees("back", "failed");
    // Nobody tells it whom to join.
    back.restart();
    back.wait();
    back.sees("stays", "alive");
    stays.sees("back", "alive");
    assert!(back.log().contains("Re-joined to previously known node: stays"), "{}", back.log());
}
