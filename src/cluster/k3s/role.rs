//! What a node is to k3s.

use std::net::Ipv4Addr;

use serde::Serialize;

/// What a node is to k3s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It runs the control plane, and pods.
    Server,
    /// It runs pods.
    Agent,
}

impl Role {
    /// k3s's word for it, which is its command and the value of the tag `k3s` in gossip.
    pub const fn word(self) -> &'static str {
        match self {
            Role::Server => "server",
            Role::Agent => "agent",
        }
    }
}

const SERVERS: &[&str] = &["server", "k3s-server", "control-plane", "master"];
const AGENTS: &[&str] = &["agent", "k3s-agent", "worker"];

/// The role; none if k3s is not to run here. `roles` is NODE_ROLES, of which most words mean nothing to k3s.
pub fn role(enabled: Option<bool>, bootstrap: bool, roles: &[String]) -> Result<Option<Role>, String> {
    if enabled == Some(false) {
        return Ok(None);
    }
    let named = |words: &[&str]| roles.iter().find(|role| words.contains(&role.to_ascii_lowercase().as_str()));
    match (named(SERVERS), named(AGENTS)) {
        (Some(server), Some(agent)) => Err(format!("NODE_ROLES says both {server} and {agent}")),
        (None, Some(agent)) if bootstrap => {
            Err(format!("NODE_ROLES says {agent}, and NODE_BOOTSTRAP that this is the first server"))
        }
        (None, Some(_)) => Ok(Some(Role::Agent)),
        (Some(_), None) => Ok(Some(Role::Server)),
        (None, None) => Ok(Some(if bootstrap { Role::Server } else { Role::Agent })),
    }
}

/// How a server begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// It makes the cluster, or goes on with what is in its data directory.
    Found,
    /// It joins the server at this mesh address.
    Join(Ipv4Addr),
    /// It waits until a server shows.
    Wait,
}

/// How a node begins. `has_data` is whether it has been a server before, `server` another server of gossip or the one
/// that was kept.
///
/// A first server that lost its disk while others run joins them: founding a second cluster beside the first would split it.
pub fn start(role: Role, bootstrap: bool, has_data: bool, server: Option<Ipv4Addr>) -> Start {
    match (role, server) {
        (Role::Server, _) if bootstrap && has_data => Start::Found,
        (_, Some(server)) => Start::Join(server),
        (Role::Server, None) if bootstrap || has_data => Start::Found,
        (Role::Server | Role::Agent, None) => Start::Wait,
    }
}

/// The server to join, of those that gossip shows as (mesh address, whether it answers): the kept one while it answers,
/// else the first that answers, else the kept one, else the first.
pub fn choose(shown: &[(Ipv4Addr, bool)], kept: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
    let kept_is_shown = kept.filter(|kept| shown.iter().any(|(address, alive)| address == kept && *alive));
    let least = |alive: bool| shown.iter().filter(|(_, answers)| *answers == alive).map(|(address, _)| *address).min();
    kept_is_shown.or_else(|| least(true)).or(kept).or_else(|| least(false))
}

#[cfg(test)]
mod tests {
    use super::{Role, Start, choose, role, start};

    fn of(enabled: Option<bool>, bootstrap: bool, roles: &[&str]) -> Result<Option<Role>, String> {
        role(enabled, bootstrap, &roles.iter().map(|role| (*role).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_role_follows_from_three_variables() {
        assert_eq!(of(None, true, &[]), Ok(Some(Role::Server)));
        assert_eq!(of(Some(true), false, &["compute", "storage"]), Ok(Some(Role::Agent)));
        assert_eq!(of(None, false, &["compute", "Server"]), Ok(Some(Role::Server)));
        assert_eq!(of(None, true, &["control-plane"]), Ok(Some(Role::Server)));
        assert_eq!(of(Some(false), true, &["server"]), Ok(None));
        assert_eq!(of(None, false, &["server", "worker"]), Err("NODE_ROLES says both server and worker".to_owned()));
        assert_eq!(
            of(None, true, &["agent"]),
            Err("NODE_ROLES says agent, and NODE_BOOTSTRAP that this is the first server".to_owned())
        );
    }

    #[test]
    fn nobody_founds_a_second_cluster() {
        let other = "10.42.0.9".parse().ok();
        let join = Start::Join("10.42.0.9".parse().expect("an address"));
        assert_eq!(start(Role::Server, true, false, None), Start::Found);
        assert_eq!(start(Role::Server, true, true, other), Start::Found);
        assert_eq!(start(Role::Server, true, false, other), join);
        assert_eq!(start(Role::Server, false, true, other), join);
        assert_eq!(start(Role::Server, false, true, None), Start::Found);
        assert_eq!(start(Role::Server, false, false, None), Start::Wait);
        assert_eq!(start(Role::Agent, false, false, other), join);
        assert_eq!(start(Role::Agent, false, true, None), Start::Wait);
    }

    #[test]
    fn the_kept_server_stays_while_it_answers() {
        let [a, b, c] = ["10.42.0.1", "10.42.0.2", "10.42.0.3"].map(|text| text.parse().expect("an address"));
        assert_eq!(choose(&[], None), None);
        assert_eq!(choose(&[], Some(c)), Some(c));
        assert_eq!(choose(&[(b, true), (a, true)], None), Some(a));
        assert_eq!(choose(&[(a, true), (b, true)], Some(b)), Some(b));
        assert_eq!(choose(&[(a, true), (b, false)], Some(b)), Some(a));
        assert_eq!(choose(&[(a, false)], Some(c)), Some(c));
        assert_eq!(choose(&[(b, false), (a, false)], None), Some(a));
    }
}
