//! `node-agent k3s`: prepares this host for k3s, writes what k3s is told, and becomes k3s under the same pid.
//! [`crate::cluster::k3s`] decides; this room looks, does, and says.

mod act;
mod address;
mod down;
mod drain;
mod facts;
mod lines;
mod server;
mod start;
mod trial;

pub(super) use address::settle;
pub(super) use down::{clear, down};
pub(super) use drain::{drain, uncordon};

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use log::{error, info, warn};

use super::config::Config;
use super::node::{self, Node};
use super::paths::Paths;
use super::{CONFIGURATION, Failure, notify, say};
use crate::cluster::k3s::cgroups::of_the_unit;
use crate::cluster::k3s::configuration::{self, Extra};
use crate::cluster::k3s::facts::Facts;
use crate::cluster::k3s::finding::{Act, Finding, Need, State};
use crate::cluster::k3s::judge::Failures;
use crate::cluster::k3s::plan::{NAMES, plan};
use crate::cluster::k3s::ranges::{Range, Ranges};
use crate::cluster::k3s::role::{self, Role};
use crate::cluster::k3s::{environment, table};
use crate::mesh::Subnet;
use crate::unit::suggest::nearest;

/// What overrides findings for one start.
const IGNORE: &str = "NODE_K3S_IGNORE";

/// What may be otherwise a moment later, without any change of this node: the link that is made anew, the clock that is set.
const PASSING: [&str; 2] = ["wg0", "clock"];

/// One thing mended may show another: so often is looked again.
const ROUNDS: usize = 6;

/// What is known before anything is looked at.
struct Plan {
    config: Config,
    role: Role,
    bootstrap: bool,
    name: String,
    /// Its id and its address in the mesh; none before it has an identity.
    own: Option<(String, Ipv4Addr)>,
    ranges: Ranges,
    ignored: BTreeSet<String>,
}

/// Whether this node runs a server of k3s, so that others may look for it here.
pub(super) fn is_server(config: &Config) -> bool {
    config.roles.k3s == Some(true) && role_of(config) == Ok(Some(Role::Server)) && binary().is_some()
}

/// Whether this node shall run k3s, and has none.
pub(super) fn is_missing(config: &Config) -> bool {
    config.roles.k3s == Some(true) && binary().is_none()
}

/// Starts k3s, or with `check` says how things stand.
pub(super) fn command(paths: &Paths, check: bool, json: bool) -> Result<(), Failure> {
    let (config, _) = node::configuration(paths)?;
    let role = role_of(&config).map_err(|cause| {
        Failure::configuration(format!("unable to start k3s: {cause}; correct it and start the node again"))
    })?;
    let binary = binary();
    let Some(role) = role else { return skipped(check, "NODE_K3S_ENABLED is false") };
    if check {
        let plan = Plan::new(paths, config, role, true)?;
        let mut facts = plan.look(paths, None, Vec::new());
        facts.cgroup.own = of_the_unit(&facts.cgroup).to_owned();
        return show(&plan, &facts, json);
    }
    let Some(binary) = binary else { return skipped(check, "there is no k3s in PATH") };
    lines::name(paths, role);
    let plan = Plan::new(paths, config, role, false)?;
    let facts = plan.prepare(paths)?;
    start::start(paths, &plan, &binary, &facts)
}

fn role_of(config: &Config) -> Result<Option<Role>, String> {
    role::role(config.roles.k3s, config.discovery.bootstrap == Some(true), &config.roles.enabled)
}

/// Where k3s is; none if it is nowhere.
fn binary() -> Option<PathBuf> {
    let path = environment::path(&std::env::var("PATH").unwrap_or_default());
    let runs = |file: &PathBuf| file.is_file() && nix::unistd::access(file, nix::unistd::AccessFlags::X_OK).is_ok();
    path.split(':').map(|folder| PathBuf::from(folder).join("k3s")).find(runs)
}

/// No k3s is no failure. An end would be one, to a supervisor that keeps k3s running: so this waits to be stopped.
fn skipped(check: bool, why: &str) -> Result<(), Failure> {
    if check {
        return say(&format!("k3s does not run here: {why}\n"));
    }
    info!("K3S: skipped: {why}");
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return Ok(());
    }
    notify::ready(&format!("skipped: {why}"));
    loop {
        nix::unistd::pause();
    }
}

impl Plan {
    fn new(paths: &Paths, config: Config, role: Role, check: bool) -> Result<Plan, Failure> {
        let extra = extra(&config, role);
        let mut mistakes = configuration::mistakes(role, extra);
        let text = |key: &str| extra.get(key).and_then(|value| value.as_str());
        let mesh = config.networking.subnet.parse().unwrap_or(Subnet::DEFAULT);
        let ranges = Ranges::choose(mesh, text("cluster-cidr"), text("service-cidr"));
        let ignored = ignored(&config);
        mistakes.extend(ranges.as_ref().err().map(|cause| format!("k3s.{}.{cause}", role.word())));
        mistakes.extend(ignored.iter().filter(|name| !NAMES.contains(&name.as_str())).map(|name| {
            match nearest(name, NAMES.iter().copied()) {
                Some(near) => format!("{IGNORE}: {name} is no finding; did you mean {near}?"),
                None => format!("{IGNORE}: {name} is no finding; 'node-agent k3s --check' names them"),
            }
        }));
        let ranges = match ranges {
            Ok(ranges) if mistakes.is_empty() => ranges,
            _ => {
                return Err(Failure::configuration(format!(
                    "unable to start k3s: {}; correct it and start the node again",
                    mistakes.join("; ")
                )));
            }
        };
        let bootstrap = config.discovery.bootstrap == Some(true);
        let (name, own) = match Node::load(paths) {
            Ok(node) => (node.name, Some((node.identity.node_id().to_string(), node.address))),
            Err(failure) if !check => return Err(failure),
            Err(_) => (node::name(&config)?, None),
        };
        Ok(Plan { role, bootstrap, name: name.to_ascii_lowercase(), own, ranges, ignored, config })
    }

    fn address(&self) -> Option<Ipv4Addr> {
        self.own.as_ref().map(|(_, address)| *address)
    }

    /// What a person adds to k3s's configuration.
    fn extra(&self) -> &Extra {
        extra(&self.config, self.role)
    }

    fn look(
        &self,
        paths: &Paths,
        overlay: Option<Result<(), String>>,
        arguments: Vec<(&'static str, String)>,
    ) -> Facts {
        let mut arguments = arguments;
        // What a person has chosen is not chosen again.
        for key in ["snapshotter", "resolv-conf"] {
            let chosen = self.extra().get(key).and_then(|value| value.as_str());
            if let Some(chosen) = chosen.filter(|_| !arguments.iter().any(|(known, _)| *known == key)) {
                arguments.push((key, chosen.to_owned()));
            }
        }
        facts::look(paths, self, overlay, arguments)
    }

    /// Mends what can be mended, says what was done and what cannot be, and answers with the facts as they are then.
    fn prepare(&self, paths: &Paths) -> Result<Facts, Failure> {
        notify::status("preparing this host for k3s");
        let (mut failed, mut done) = (Failures::new(), BTreeSet::new());
        let mut arguments = Vec::new();
        // Where something is in the way that cannot be mended, nothing is changed.
        self.judge(&plan(&self.look(paths, None, Vec::new()), &failed), false)?;
        let mut overlay = trial::overlay(paths);
        let mut facts = self.look(paths, Some(overlay.clone()), Vec::new());
        for _ in 0..ROUNDS {
            let findings = plan(&facts, &failed).into_iter();
            let wanted = findings.filter(|finding| !self.ignored.contains(finding.name));
            let acts: Vec<Act> = wanted.flat_map(|finding| finding.acts).collect();
            if acts.is_empty() {
                break;
            }
            for act in acts {
                let told = if done.contains(&act) {
                    Err("it had no effect".to_owned())
                } else if let Act::Argument { key, value } = &act {
                    arguments.push((*key, value.clone()));
                    Ok(None)
                } else {
                    act::perform(paths, &act)
                };
                match told {
                    Ok(change) => {
                        change.iter().for_each(|change| info!("{change}"));
                        done.insert(act);
                    }
                    Err(cause) => drop(failed.insert(act, cause)),
                }
            }
            if overlay.is_err() && !arguments.iter().any(|(key, _)| *key == "snapshotter") {
                overlay = trial::overlay(paths);
            }
            facts = self.look(paths, Some(overlay.clone()), arguments.clone());
        }
        self.judge(&plan(&facts, &failed), true)?;
        Ok(facts)
    }

    /// Whether k3s is not started for it.
    fn stops(&self, finding: &Finding) -> bool {
        finding.is_obstacle() && !self.ignored.contains(finding.name)
    }

    /// Fails with what keeps k3s from starting; says what else could not be mended if this is the `last` word on it.
    fn judge(&self, findings: &[Finding], last: bool) -> Result<(), Failure> {
        let mut obstacles = Vec::new();
        for finding in findings.iter().filter(|finding| finding.state == State::Cannot) {
            let remedy = finding.remedy.as_deref().unwrap_or_default();
            let line = format!("{}: {}; {remedy}", finding.name, finding.seen);
            match finding.need {
                Need::Must if self.stops(finding) => obstacles.push(table::obstacle(finding)),
                _ if !last => {}
                _ if self.ignored.contains(finding.name) => warn!("overridden by {IGNORE}: {line}"),
                Need::Must | Need::Should => warn!("{line}"),
                Need::May => info!("{line}"),
            }
        }
        let names: Vec<_> = findings.iter().filter(|found| self.stops(found)).map(|found| found.name).collect();
        let Some(text) = obstacles.pop() else { return Ok(()) };
        info!("K3S: condition: not met ({}); {} {} is not started", names.join(", "), self.role.word(), self.name);
        obstacles.iter().for_each(|line| error!("{line}"));
        Err(Failure { code: code(&names), text })
    }
}

/// How it ends where these findings are in the way: those that pass by themselves are a reason to try again.
fn code(names: &[&str]) -> u8 {
    if names.iter().all(|name| PASSING.contains(name)) { 1 } else { CONFIGURATION }
}

/// What to say where node.yaml gives pods or services, if k3s is to run here, a range that overlaps the mesh. Those that are
/// chosen when it says nothing never do.
pub fn overlap(config: &Config, mesh: Subnet) -> Option<String> {
    let role = role_of(config).ok().flatten()?;
    let range = |key: &str| Range::read(extra(config, role).get(key)?.as_str()?).ok();
    ["cluster-cidr", "service-cidr"].into_iter().find_map(|key| {
        let range = range(key).filter(|range| range.overlaps(mesh))?;
        Some(format!("k3s.{}.{key}: {range} overlaps the mesh, {mesh}", role.word()))
    })
}

fn extra(config: &Config, role: Role) -> &Extra {
    match role {
        Role::Server => &config.k3s.server,
        Role::Agent => &config.k3s.agent,
    }
}

/// The findings that are overridden: by node.yaml, and for this start by the environment.
fn ignored(config: &Config) -> BTreeSet<String> {
    let variable = std::env::var(IGNORE).unwrap_or_default();
    let words = variable.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_owned);
    config.k3s.ignore.iter().cloned().chain(words).collect()
}

fn show(shown: &Plan, facts: &Facts, json: bool) -> Result<(), Failure> {
    let findings = plan(facts, &Failures::new());
    if json {
        let text = serde_json::to_string_pretty(&serde_json::json!({
            "version": 1,
            "role": shown.role,
            "ignored": shown.ignored,
            "findings": findings,
        }));
        say(&(text.map_err(|error| Failure::internal(error.to_string()))? + "\n"))?;
    } else {
        say(&table::table(&findings))?;
    }
    match findings.iter().filter(|finding| shown.stops(finding)).count() {
        0 => Ok(()),
        count => Err(Failure {
            code: 1,
            text: format!("unable to start k3s here: {count} of its needs are not met; follow the remedies above"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn what_passes_is_tried_again() {
        assert_eq!([code(&["wg0"]), code(&["clock", "wg0"])], [1, 1]);
        assert_eq!([code(&["kmsg"]), code(&["wg0", "kmsg"])], [78, 78]);
    }
}
