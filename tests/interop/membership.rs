//! Our client and our following of gossip, against `gossipd` and against a real `serf agent`.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use clusteros_init::agent::gossip::{Own, follow};
use clusteros_init::agent::rpc::{Client, Error};
use clusteros_init::cluster::{Local, Member, Refusal, Status, verify};
use clusteros_init::mesh::record::{Flaw, Tags};
use clusteros_init::mesh::{Identity, Keyring, Record, Subnet};
use tokio::sync::{mpsc, watch};
use tokio::time::{interval, timeout};

use crate::agent::{Agent, Program};
use crate::kit::directory;

const LIMIT: Duration = Duration::from_secs(60);

/// The same questions to both.
macro_rules! both {
    ($($name:ident),* $(,)?) => {
        mod gossipd {
            use crate::agent::Program;

            $(#[test]
            fn $name() {
                super::$name(Program::Gossipd);
            })*
        }

        mod serf {
            use crate::agent::{Program, no_serf};
            use crate::need;

            $(#[test]
            fn $name() {
                need!(concat!("serf::", stringify!($name)), no_serf());
                super::$name(Program::Serf);
            })*
        }
    };
}

both! {
    members_tags_joins_and_events,
    following_survives_every_restart_of_gossip,
    a_record_survives_gossip_and_a_copy_of_it_does_not,
    without_the_password_nothing_is_told,
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { timeout(LIMIT * 2, test).await.expect("the test ends in time") });
}

/// A connection, as soon as the agent answers.
async fn connect(agent: &Agent) -> Client {
    let mut every = interval(Duration::from_millis(20));
    let patiently = async {
        loop {
            every.tick().await;
            if let Ok(client) = Client::connect(&agent.rpc, "").await {
                return client;
            }
        }
    };
    timeout(LIMIT, patiently).await.unwrap_or_else(|_| panic!("no answer from {}:\n{}", agent.name, agent.log()))
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn statuses(members: &[Member]) -> BTreeMap<String, Status> {
    members.iter().map(|member| (member.name.clone(), member.status)).collect()
}

fn members_tags_joins_and_events(program: Program) {
    let folder = directory(&format!("members-{program:?}"));
    let one = Agent::start(program, &folder, "one", |_| {});
    let mut two = Agent::start(program, &folder, "two", |_| {});
    run(async {
        let mut client = connect(&one).await;
        connect(&two).await;
        client.subscribe().await.expect("a subscription");
        let members = client.members().await.expect("members");
        assert_eq!(statuses(&members), [("one".to_owned(), Status::Alive)].into());
        assert_eq!(format!("{}:{}", members[0].addr, members[0].port), one.gossip);

        client.set_tags(&tags(&[("v", "1"), ("mtu", "1420"), ("sig", &"x".repeat(86))]), &[]).await.expect("tags");
        client.set_tags(&tags(&[("v", "2")]), &["mtu"]).await.expect("tags");
        let members = client.members().await.expect("members");
        assert_eq!(members[0].tags, tags(&[("v", "2"), ("sig", &"x".repeat(86))]));

        let mut other = connect(&one).await;
        let refused = other.join(&["127.0.0.1:1".to_owned()]).await;
        assert!(matches!(&refused, Err(Error::Said(text)) if text.contains("127.0.0.1:1")), "{refused:?}");
        other.join(&[two.gossip.clone()]).await.expect("a join after one that failed, on the same connection");
        until(&mut client, |all| all.get("two") == Some(&Status::Alive)).await;

        let too_long = other.set_tags(&tags(&[("x", &"y".repeat(600))]), &[]).await;
        assert!(
            matches!(&too_long, Err(Error::Said(text)) if text.contains("exceeds limit of 512 bytes")),
            "{too_long:?}"
        );

        two.kill();
        until(&mut client, |all| all.get("two") == Some(&Status::Failed)).await;
        two.restart();
        connect(&two).await;
        other.join(&[two.gossip.clone()]).await.expect("a join");
        until(&mut client, |all| all.get("two") == Some(&Status::Alive)).await;
        connect(&two).await.leave(LIMIT).await.expect("a leave");
        until(&mut client, |all| all.get("two") == Some(&Status::Left)).await;
    });
}

/// Waits for events until the membership is as it should be.
async fn until(client: &mut Client, holds: impl Fn(&BTreeMap<String, Status>) -> bool) {
    let waiting = async {
        loop {
            let members = statuses(&client.members().await.expect("members"));
            if holds(&members) {
                return;
            }
            client.stirred().await.expect("an event");
        }
    };
    timeout(LIMIT, waiting).await.expect("an event for every change");
}

fn following_survives_every_restart_of_gossip(program: Program) {
    let folder = directory(&format!("follow-{program:?}"));
    let password = |configuration: &mut serde_json::Value| configuration["rpc_auth"] = "open sesame".into();
    let mut one = Agent::start(program, &folder, "one", password);
    let two = Agent::start(program, &folder, "two", |_| {});
    run(async {
        connect(&two).await;
        let (out, mut memberships) = mpsc::channel(1);
        let own = Own {
            rpc: one.rpc.clone(),
            password: zeroize::Zeroizing::new("open sesame".to_owned()),
            name: "one".to_owned(),
            tags: watch::channel(tags(&[("v", "1"), ("id", "me")])).1,
            targets: vec![two.gossip.clone()],
        };
        let following = tokio::spawn(follow(own, out));
        for round in 0..3 {
            let waiting = async {
                loop {
                    let members = memberships.recv().await.expect("following goes on");
                    let tagged = members.iter().any(|member| member.name == "one" && member.tags.contains_key("id"));
                    if tagged && statuses(&members).get("two") == Some(&Status::Alive) {
                        return;
                    }
                }
            };
            timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("round {round}: not joined, or no tags"));
            one.restart();
        }
        drop(memberships);
        timeout(LIMIT, following).await.expect("following ends when nobody listens").expect("no panic");
    });
}

fn a_record_survives_gossip_and_a_copy_of_it_does_not(program: Program) {
    let folder = directory(&format!("record-{program:?}"));
    let identity = Identity::from_seed(&[2; 32]);
    let own = Identity::from_seed(&[1; 32]);
    let keyring = Keyring::new([&[1; 32][..], &[2; 32], &[3; 32], &[4; 32]]);
    let record = |identity: &Identity, name: &str| Record {
        node_id: identity.node_id().clone(),
        name: name.to_owned(),
        key: identity.wireguard_key(),
        address: clusteros_init::mesh::address::address(identity.node_id(), Subnet::DEFAULT, 0),
        port: 51820,
        generation: u64::MAX,
        keys: keyring.fingerprints(),
        settled: true,
        run: Some(u32::MAX),
        mtu: Some(u16::MAX),
        endpoints: vec!["[2001:2001:2001:2001:2001:2001:2001:2001]:65535".parse().expect("an address"); 3],
    };
    let signed = record(&identity, "two").tags(&identity, &keyring);
    let one = Agent::start(program, &folder, "one", |_| {});
    let join = |configuration: &mut serde_json::Value| {
        configuration["tags"] = serde_json::json!(signed);
        configuration["retry_join"] = serde_json::json!([one.gossip]);
    };
    let _two = Agent::start(program, &folder, "two", join);
    let _copy = Agent::start(program, &folder, "copy", join);
    run(async {
        let mut client = connect(&one).await;
        client.subscribe().await.expect("a subscription");
        until(&mut client, |all| all.len() == 3).await;
        let members = client.members().await.expect("members");
        let local = Local { record: record(&own, "one"), subnet: Subnet::DEFAULT, keyring: keyring.clone() };
        let judged = |name: &str| {
            let member = members.iter().find(|member| member.name == name).expect("a member");
            verify(member, &local).map(|verified| verified.endpoint().map(|at| at.to_string()))
        };
        // What it signed comes before where gossip shows it.
        let signed = "[2001:2001:2001:2001:2001:2001:2001:2001]:65535".to_owned();
        assert_eq!(judged("two"), Ok(Some(signed)));
        assert_eq!(judged("copy"), Err(Refusal::Record(Flaw::Forged(identity.node_id().clone()))));
        assert_eq!(judged("one"), Err(Refusal::Record(Flaw::None)));
    });
}

fn without_the_password_nothing_is_told(program: Program) {
    let folder = directory(&format!("password-{program:?}"));
    let password = |configuration: &mut serde_json::Value| configuration["rpc_auth"] = "open sesame".into();
    let one = Agent::start(program, &folder, "one", password);
    let open = Agent::start(program, &folder, "open", |_| {});
    run(async {
        for (agent, given, told) in
            [(&one, "", false), (&one, "open", false), (&one, "open sesame", true), (&open, "open sesame", true)]
        {
            let mut every = interval(Duration::from_millis(20));
            let mut client = loop {
                every.tick().await;
                if let Ok(client) = Client::connect(&agent.rpc, given).await {
                    break client;
                }
            };
            let members = client.members().await;
            assert_eq!(members.is_ok(), told, "{given:?}");
            if let Err(error) = members {
                assert_eq!(error.to_string(), "it has another password than this node's serf.json");
            }
        }
    });
}
