//! Two of one name: who came later gives up.

use serde_json::json;

use crate::cluster::{Agent, LIMIT, Program, cluster, no_serf};
use crate::kit::{directory, wait_until};
use crate::need;

#[test]
fn of_two_of_one_name_the_newcomer_gives_up() {
    need!("of_two_of_one_name_the_newcomer_gives_up", no_serf());
    use Program::{Ours, Serf};
    let folder = directory("conflict");
    let agents = cluster(&folder, &[Ours, Serf, Ours], |_| {});
    for newcomer in [Serf, Ours] {
        let mut late = Agent::prepare(&folder, newcomer, &agents[0].name, |configuration| {
            configuration["retry_join"] = json!([agents[1].gossip]);
        });
        late.restart();
        late.end();
        assert!(late.log().contains("minority in name conflict resolution, quitting"), "{}", late.log());
        for agent in &agents {
            agents.iter().for_each(|other| agent.sees(&other.name, "alive"));
        }
    }
}

#[test]
fn who_crashed_may_come_back_at_another_address() {
    if std::env::var_os("UNDER_TEST").is_some() {
        // Serf's agents never let it in.
        return;
    }
    let folder = directory("elsewhere");
    let mut agents = cluster(&folder, &[Program::Ours; 3], |_| {});
    let mut gone = agents.remove(0);
    gone.kill();
    let mut back = Agent::prepare(&folder, Program::Ours, &gone.name, |configuration| {
        configuration["retry_join"] = json!([agents[0].gossip]);
        configuration["tags"] = json!({ "elsewhere": "yes" });
    });
    back.restart();
    // Until the others have found that the old one failed it gives up, and whoever watches over it starts it again.
    wait_until("it is let in", LIMIT, || {
        if back.has_ended() {
            back.restart();
        }
        agents.iter().all(|agent| agent.tags(&gone.name).contains_key("elsewhere"))
    });
    agents.iter().for_each(|agent| back.sees(&agent.name, "alive"));
}
