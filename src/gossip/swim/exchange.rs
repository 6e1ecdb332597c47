//! Push/pull: everything that two nodes know (sections 1.5, 2.5 and 2.7).

use super::delegate::Delegate;
use super::event::{Action, Warning};
use super::machine::{Swim, Turn};
use super::member::State;
use super::version::{Common, Incompatible, versions};
use crate::gossip::Dice;
use crate::gossip::wire::message::{Alive, Dead, Suspect};
use crate::gossip::wire::push_pull::{self, NodeState, PushPull};
use crate::unit::Time;

impl Swim {
    /// This node's half of a push/pull. The answer to one that came has the `join` of that.
    pub fn local_state(&self, join: bool, delegate: &mut dyn Delegate) -> PushPull {
        let nodes = self.roster.iter().map(|member| member.as_node()).collect();
        PushPull { join, nodes, user: delegate.local_state(join) }
    }

    /// Takes in the other half of a push/pull: all of it, or, if not all understand each other, nothing.
    pub fn merge(
        &mut self,
        now: Time,
        remote: PushPull,
        dice: &mut dyn Dice,
        delegate: &mut dyn Delegate,
    ) -> Result<(), Incompatible> {
        if let Err(why) = self.verify(&remote.nodes) {
            self.warn(Warning::Incompatible(why.clone()));
            return Err(why);
        }
        let turn = &mut Turn { now, dice, delegate };
        remote.nodes.into_iter().for_each(|node| self.merge_node(turn, node));
        if !remote.user.is_empty() {
            turn.delegate.merge_state(now, &remote.user, remote.join);
        }
        self.go_on_leaving(now);
        Ok(())
    }

    /// Whether all that are alive understand what all use. A node without versions is not looked at: no node takes it from us.
    fn verify(&self, nodes: &[NodeState]) -> Result<(), Incompatible> {
        let mut common = Common::default();
        let here = self.roster.iter();
        let there = || nodes.iter().filter_map(|node| Some((node, versions(&node.vsn)?)));
        here.filter(|member| member.state == State::Alive).for_each(|member| common.narrow(&member.vsn));
        there().filter(|(node, _)| node.state == push_pull::State::Alive).for_each(|(_, vsn)| common.narrow(&vsn));
        there().try_for_each(|(node, vsn)| common.admit(&node.name, &vsn))?;
        self.roster.iter().try_for_each(|member| common.admit(&member.name, &member.vsn))
    }

    fn merge_node(&mut self, turn: &mut Turn, node: NodeState) {
        let NodeState { name, addr, port, meta, incarnation, state, vsn } = node;
        match state {
            push_pull::State::Alive => self.alive(turn, Alive { incarnation, node: name, addr, port, meta, vsn }),
            push_pull::State::Left => self.hear_dead(turn, Dead { incarnation, node: name.clone(), from: name }),
            // Nobody is dead on hearsay: it may still object.
            push_pull::State::Dead | push_pull::State::Suspect => {
                let from = self.my_name();
                self.hear_suspect(turn, Suspect { incarnation, node: name, from });
            }
            push_pull::State::Other(_) => {}
        }
    }

    /// Exchanges everything with somebody.
    pub(super) fn push_pull(&mut self, turn: &mut Turn) {
        let picked = self.roster.pick_alive(1, turn.dice, None);
        let somebody = picked.first().and_then(|slot| self.roster.get(*slot));
        if let Some((to, node)) = somebody.and_then(|member| Some((member.socket()?, member.name.clone()))) {
            self.act(Action::PushPull { to, node });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::trial::{Trial, alive, dead, home, suspect};
    use super::super::{Action, LAN, Member, State};
    use crate::gossip::wire::message::{Alive, VSN};
    use crate::gossip::wire::push_pull::{self, NodeState, PushPull};

    fn node(name: &str, incarnation: u32, state: push_pull::State) -> NodeState {
        let Alive { node: name, addr, port, meta, vsn, .. } = alive(name, incarnation);
        NodeState { name, addr, port, meta, incarnation, state, vsn }
    }

    fn merge(trial: &mut Trial, nodes: Vec<NodeState>) -> Result<(), String> {
        let remote = PushPull { join: true, nodes, user: vec![2, 9] };
        let merged = trial.swim.merge(trial.now, remote, &mut trial.dice, &mut trial.above);
        merged.map_err(|why| why.to_string())
    }

    #[test]
    fn everybody_is_told_of_in_any_state_1_4() {
        let mut trial = Trial::among(&["b", "c", "d"]);
        trial.hear(suspect("b", 1, "x"));
        trial.hear(dead("c", 1, "x"));
        trial.hear(dead("d", 2, "d"));
        let mut state = trial.swim.local_state(true, &mut trial.above);
        state.nodes.sort_by(|one, other| one.name.cmp(&other.name));
        let nodes =
            [("b", 1, push_pull::State::Suspect), ("c", 1, push_pull::State::Dead), ("d", 2, push_pull::State::Left)];
        assert_eq!(state.nodes[..3], nodes.map(|(name, incarnation, state)| node(name, incarnation, state)));
        assert_eq!(Some(&state.nodes[3]), trial.swim.me().map(Member::as_node).as_ref());
        assert_eq!((state.join, state.user), (true, vec![2, 1]));
    }

    #[test]
    fn nobody_is_dead_on_hearsay_2_5() {
        use push_pull::State::{Alive, Dead, Left, Other, Suspect};
        let mut trial = Trial::among(&["b", "c", "d", "e"]);
        let nodes = [("b", Dead), ("c", Suspect), ("d", Left), ("e", Other(9)), ("f", Alive), ("g", Dead), ("h", Left)];
        let nodes = nodes.map(|(name, state)| node(name, 1, state));
        assert_eq!(merge(&mut trial, nodes.into()), Ok(()));
        let states = ["b", "c", "d", "e", "f", "g", "h"].map(|name| trial.state(name).map(|(state, _)| state));
        let [s, l, a] = [State::Suspect, State::Left, State::Alive].map(Some);
        assert_eq!(states, [s, s, l, a, a, None, None]);
        assert!(trial.news().contains(&suspect("b", 1, "me")));
        assert_eq!(trial.above.merged, [(vec![2, 9], true)]);
    }

    #[test]
    fn what_others_believe_of_this_node_is_refuted_2_5() {
        use push_pull::State::{Alive, Dead, Left, Suspect};
        for (state, incarnation) in [(Alive, 5), (Dead, 3), (Suspect, 3), (Left, 3)] {
            let mut trial = Trial::among(&["b"]);
            let addr = trial.swim.me().map(|me| me.addr.clone()).expect("it knows");
            let me = NodeState { name: "me".into(), addr, ..node("b", incarnation, state) };
            assert_eq!(merge(&mut trial, vec![me]), Ok(()));
            assert_eq!(trial.state("me"), Some((State::Alive, incarnation + 1)));
        }
    }

    #[test]
    fn all_must_understand_each_other_1_5() {
        let mut trial = Trial::among(&["b"]);
        let with = |name, state, vsn: [u8; 6]| NodeState { vsn: vsn.to_vec(), ..node(name, 1, state) };
        let future = with("f", push_pull::State::Alive, [3, 7, 5, 2, 5, 5]);
        let refused = merge(&mut trial, vec![node("c", 1, push_pull::State::Alive), future]);
        assert_eq!(refused, Err("Node 'c' protocol version (2) is incompatible: [3, 5]".into()));
        assert_eq!((trial.state("c"), trial.above.merged.len(), trial.warnings().len()), (None, 0, 1));
        // The dead do not decide, but must be understood, too.
        let dead = with("f", push_pull::State::Dead, [3, 7, 2, 2, 5, 5]);
        assert_eq!(merge(&mut trial, vec![node("c", 1, push_pull::State::Alive), dead]), Ok(()));
        let dead = with("f", push_pull::State::Dead, [1, 5, 2, 2, 5, 6]);
        assert!(merge(&mut trial, vec![dead]).is_err());
    }

    #[test]
    fn a_node_without_versions_stops_nobody_trap_2() {
        let mut trial = Trial::among(&["b"]);
        for vsn in [Vec::new(), vec![0; 6]] {
            let odd = NodeState { vsn, ..node("f", 1, push_pull::State::Alive) };
            assert_eq!(merge(&mut trial, vec![odd, node("c", 1, push_pull::State::Alive)]), Ok(()));
            assert_eq!((trial.state("f"), trial.state("c")), (None, Some((State::Alive, 1))));
        }
        assert_eq!(node("c", 1, push_pull::State::Alive).vsn, VSN);
    }

    #[test]
    fn everything_is_exchanged_with_one_other_now_and_then_2_7() {
        let mut trial = Trial::among(&["b", "c"]);
        trial.hear(dead("c", 1, "c"));
        trial.swim.probe_at = trial.now + Duration::from_secs(1000);
        let all = trial.pass(Duration::from_secs(200));
        let exchanges: Vec<_> = all
            .iter()
            .filter_map(
                |(at, action)| if let Action::PushPull { to, node } = action { Some((*at, *to, node)) } else { None },
            )
            .collect();
        assert!(exchanges.len() >= 4);
        assert!(exchanges.iter().all(|(_, to, node)| *to == home("b") && **node == "b".into()));
        assert!(exchanges.windows(2).all(|pair| pair[1].0.since(pair[0].0) == LAN.push_pull_interval));
    }
}
