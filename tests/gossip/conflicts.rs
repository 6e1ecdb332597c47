//! Two of one name: who came later gives up.

use serde_json::json;

use crate::cluster::{Agent, Program, cluster, no_serf};
use crate::kit::directory;
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
