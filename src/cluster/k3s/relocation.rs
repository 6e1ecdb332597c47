//! A node whose mesh address is another than before. k3s goes by the address that it was started with until it is started again,
//! and its etcd knows a server by that address for ever.

use std::net::Ipv4Addr;

use super::role::Role;

/// Where a server keeps its cluster.
pub const DATABASE: &str = "/var/lib/rancher/k3s/server/db";

/// Where it is, if etcd has it.
pub const ETCD: &str = "/var/lib/rancher/k3s/server/db/etcd";

/// What this node's address means for k3s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relocation {
    /// Nothing: k3s was not started here yet, or with this address.
    Settled,
    /// k3s follows once it is started again.
    Restart {
        /// The address that it was started with.
        from: Ipv4Addr,
    },
    /// It cannot follow: etcd would not know this server any more. A person must move it.
    Stranded {
        /// The address that etcd knows.
        from: Ipv4Addr,
    },
}

/// What the address `now` means for a k3s that was last started with `told`. `etcd` is whether there is one here.
pub fn relocation(role: Role, told: Option<Ipv4Addr>, now: Ipv4Addr, etcd: bool) -> Relocation {
    match told {
        Some(from) if from != now && role == Role::Server && etcd => Relocation::Stranded { from },
        Some(from) if from != now => Relocation::Restart { from },
        Some(_) | None => Relocation::Settled,
    }
}

/// What a person does about a server that is stranded.
pub fn remedy(name: &str, now: Ipv4Addr) -> String {
    format!(
        "where another server runs, say 'k3s kubectl delete node {name}' there, move {DATABASE} away here, and 'initctl restart \
         k3s' joins it anew; where this is the only one, 'initctl stop k3s', then 'k3s server --cluster-reset --node-ip={now}', and start \
         it once with NODE_K3S_IGNORE=node-ip"
    )
}

#[cfg(test)]
mod tests {
    use super::{Relocation, Role, relocation};
    use std::net::Ipv4Addr;

    #[test]
    fn who_has_no_etcd_follows() {
        let [old, new] = [Ipv4Addr::new(10, 42, 0, 1), Ipv4Addr::new(10, 42, 0, 2)];
        for role in [Role::Server, Role::Agent] {
            for etcd in [false, true] {
                assert_eq!(relocation(role, None, new, etcd), Relocation::Settled);
                assert_eq!(relocation(role, Some(new), new, etcd), Relocation::Settled);
            }
            assert_eq!(relocation(role, Some(old), new, false), Relocation::Restart { from: old });
        }
        // What is left of a time as a server does not count.
        assert_eq!(relocation(Role::Agent, Some(old), new, true), Relocation::Restart { from: old });
        assert_eq!(relocation(Role::Server, Some(old), new, true), Relocation::Stranded { from: old });
    }
}
