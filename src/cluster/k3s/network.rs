//! Items 14, 16, 17 and 18: what packets need, and the mesh itself.

use std::net::{IpAddr, Ipv4Addr};

use super::finding::{Act, Finding, Need};
use super::judge::{Judge, Title};
use super::kernel::differing;
use super::relocation::{ETCD, Relocation, relocation, remedy};

/// Where the servers of names go that pods can reach.
const RESOLV_CONF: &str = "/run/cluster-os/resolv.conf";

pub(super) fn all(judge: &Judge<'_>) -> Vec<Finding> {
    vec![forwarding(judge), inotify(judge), dns(judge), iptables(judge), link(judge), node_ip(judge), ranges(judge)]
}

fn forwarding(judge: &Judge<'_>) -> Finding {
    let title = Title(14, "forwarding", Need::Should);
    let mut wanted = vec![("net.ipv4.conf.all.forwarding", "1"), ("net.ipv4.conf.default.forwarding", "1")];
    // Strict reverse paths drop what comes out of vxlan.
    for key in ["net.ipv4.conf.all.rp_filter", "net.ipv4.conf.default.rp_filter"] {
        if judge.facts.sysctl(key) == Ok("1") {
            wanted.push((key, "2"));
        }
    }
    wanted.push(("net.bridge.bridge-nf-call-iptables", "1"));
    differing(judge, title, &wanted)
}

fn inotify(judge: &Judge<'_>) -> Finding {
    let title = Title(14, "inotify", Need::Should);
    let low: Vec<_> = [("fs.inotify.max_user_watches", "524288"), ("fs.inotify.max_user_instances", "512")]
        .into_iter()
        .filter(|(key, least)| {
            let now = judge.facts.sysctl(key).ok().and_then(|now| now.parse::<u64>().ok());
            now.is_some_and(|now| least.parse().is_ok_and(|least| now < least))
        })
        .collect();
    if low.is_empty() { title.fine("enough files can be watched") } else { differing(judge, title, &low) }
}

fn dns(judge: &Judge<'_>) -> Finding {
    let title = Title(16, "dns", Need::Should);
    if judge.facts.arguments.iter().any(|(key, _)| *key == "resolv-conf") {
        return title.fine("k3s is told which servers of names pods ask");
    }
    let text = judge.facts.resolv_conf.as_deref().unwrap_or_default();
    let (near, far) = servers(text);
    if near.is_empty() && !far.is_empty() {
        return title.fine("/etc/resolv.conf names servers that pods can reach");
    }
    let seen = match near.first() {
        Some(near) => format!("/etc/resolv.conf names {near}, which pods cannot reach"),
        None => "/etc/resolv.conf names no server".to_owned(),
    };
    if far.is_empty() {
        let role = judge.facts.role.word();
        let remedy = format!(
            "start the container with --dns ADDRESS of a server that pods can reach, or set resolv-conf under k3s.{role} in \
             node.yaml; without either k3s has pods ask 8.8.8.8"
        );
        return title.cannot(seen, remedy);
    }
    let text: String = far.iter().map(|address| format!("nameserver {address}\n")).collect();
    let acts = vec![
        Act::File { path: RESOLV_CONF, text },
        Act::Argument { key: "resolv-conf", value: RESOLV_CONF.to_owned() },
    ];
    judge.todo(title, &seen, acts, "make /run/cluster-os writable")
}

/// The servers that only this host can reach, and those that pods can reach, too. Docker names the servers behind its own
/// in a comment.
fn servers(text: &str) -> (Vec<IpAddr>, Vec<IpAddr>) {
    let mut all: Vec<IpAddr> = Vec::new();
    for line in text.lines() {
        if let Some(server) = line.trim().strip_prefix("nameserver") {
            all.extend(server.trim().parse::<IpAddr>());
        }
        if let Some((_, list)) = line.split_once("ExtServers:") {
            let list = list.trim().trim_start_matches('[').trim_end_matches(']');
            all.extend(list.split([' ', ',']).filter_map(|server| server.parse::<IpAddr>().ok()));
        }
    }
    all.into_iter().partition(|address| match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified(),
    })
}

/// 1.8.0 to 1.8.4 lose rules; k3s brings a newer one.
fn iptables(judge: &Judge<'_>) -> Finding {
    let title = Title(17, "iptables", Need::Must);
    let Some(text) = &judge.facts.iptables else { return title.fine("none here, so k3s takes its own") };
    let version = text.split_whitespace().find_map(|word| word.strip_prefix('v')).unwrap_or("?");
    if matches!(version, "1.8.0" | "1.8.1" | "1.8.2" | "1.8.3" | "1.8.4") {
        let seen = format!("iptables {version} is known to lose rules");
        return judge.told(title, &seen, "prefer-bundled-bin", "true".to_owned());
    }
    title.fine(format!("iptables {version}"))
}

/// flannel takes the link as it finds it, once.
fn link(judge: &Judge<'_>) -> Finding {
    let title = Title(18, "wg0", Need::Must);
    let name = &judge.facts.interface;
    let Some(address) = &judge.facts.address else {
        return title.cannot("this node has no identity, and so no address", "run 'node-agent init' first");
    };
    let remedy = "start the unit wg0 first ('node-agent wg0'), and look at 'initctl logs wg0'";
    match &judge.facts.link {
        None => title.cannot(format!("there is no {name}"), remedy),
        Some(link) if !link.up => title.cannot(format!("{name} is down"), remedy),
        Some(link) if !link.addresses.contains(address) => {
            title.cannot(format!("{name} does not have {address}"), remedy)
        }
        Some(_) => title.fine(format!("{name} is up with {address}")),
    }
}

/// etcd knows a server by its address for ever.
fn node_ip(judge: &Judge<'_>) -> Finding {
    let title = Title(18, "node-ip", Need::Must);
    let facts = judge.facts;
    let Some(now) = facts.address else { return title.moot("see wg0") };
    match relocation(facts.role, facts.told, now, facts.has(ETCD)) {
        Relocation::Settled => title.fine(format!("k3s goes by {now}")),
        Relocation::Restart { from } => title.fine(format!("k3s went by {from}, and goes by {now} once it is started")),
        Relocation::Stranded { from } => title.cannot(
            format!("this node's mesh address is {now}, and its etcd knows it by {from}"),
            remedy(&facts.node_name, now),
        ),
    }
}

/// What pods and services are given must be nobody else's.
fn ranges(judge: &Judge<'_>) -> Finding {
    let title = Title(18, "ranges", Need::Should);
    let ranges = &judge.facts.ranges;
    let clash = judge.facts.networks.iter().find_map(|(name, network, length)| {
        let range = ranges.both().into_iter().find(|range| range.overlaps_network(*network, *length))?;
        Some((range, name, network, length))
    });
    match clash {
        None => title.fine(format!("pods get {}, services {}, and no link has either", ranges.pods, ranges.services)),
        Some((range, name, network, length)) => title.cannot(
            format!("{range} overlaps {} of {name}", network_of(*network, *length)),
            "set cluster-cidr and service-cidr under k3s.server in node.yaml, the same on every server, before the first start",
        ),
    }
}

fn network_of(address: Ipv4Addr, length: u8) -> String {
    let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
    format!("{}/{length}", Ipv4Addr::from_bits(address.to_bits() & mask))
}

#[cfg(test)]
mod tests {
    use super::servers;

    #[test]
    fn dockers_resolver_names_those_behind_it() {
        let text = "# Generated by Docker Engine.\nnameserver 127.0.0.11\noptions ndots:0\n\
                    # Based on host file: '/etc/resolv.conf' (internal resolver)\n# ExtServers: [host(127.0.0.53) 10.0.0.2]\n";
        let (near, far) = servers(text);
        assert_eq!((near.len(), far), (1, vec!["10.0.0.2".parse().expect("an address")]));
        assert_eq!(servers("nameserver fe80::1\nnameserver 192.168.1.1\n").0.len(), 1);
        assert_eq!(servers(""), (Vec::new(), Vec::new()));
    }
}
