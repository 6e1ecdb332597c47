//! The last steps: the token, config.yaml, and becoming k3s.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use log::info;

use super::{Plan, address as kept, server};
use crate::agent::config::cluster_key;
use crate::agent::files::{self, Place};
use crate::agent::paths::Paths;
use crate::agent::{Failure, config, notify};
use crate::cluster::k3s::configuration::{self, MARK, Wish};
use crate::cluster::k3s::environment;
use crate::cluster::k3s::facts::Facts;
use crate::cluster::k3s::relocation::DATABASE;
use crate::cluster::k3s::role::Start;
use crate::cluster::k3s::token::token;

const CONFIGURATION: &str = "/etc/rancher/k3s/config.yaml";
/// Under /run, so that it is on no disk.
const TOKEN: &str = "/run/cluster-os/k3s-token";

/// Writes what k3s is told, and becomes k3s. Returns only if that fails.
pub(super) fn start(paths: &Paths, plan: &Plan, binary: &Path, facts: &Facts) -> Result<(), Failure> {
    let has_data = paths.resolve(Path::new(DATABASE)).exists();
    let begin = server::begin(paths, plan.role, plan.bootstrap, has_data)?;
    let Some(address) = plan.address() else {
        return Err(Failure::configuration(
            "unable to start k3s: this node has no address; run 'node-agent init' first",
        ));
    };
    write_token(paths, plan)?;
    let text = configuration::text(&Wish {
        role: plan.role,
        start: &begin,
        name: &plan.name,
        address,
        interface: &plan.config.networking.interface,
        ranges: plan.ranges,
        token_file: TOKEN,
        arguments: &facts.arguments,
        extra: plan.extra(),
    });
    write_configuration(paths, &text)?;
    kept::keep(paths, address);

    let role = plan.role.word();
    let how = match begin {
        Start::Join(server) => format!("joins {server}"),
        Start::Found | Start::Wait if has_data => "goes on with its cluster".to_owned(),
        Start::Found | Start::Wait => "begins the cluster".to_owned(),
    };
    info!(
        "K3S: condition: enabled, every need met or overridden; {role} {} {how}; binary {}; address {address} on {}; pid {}",
        plan.name,
        binary.display(),
        plan.config.networking.interface,
        std::process::id()
    );
    notify::status(&format!("k3s {role} starts"));
    let mut command = Command::new(binary);
    command.arg(role);
    clean(&mut command);
    let error = command.exec();
    Err(Failure::internal(format!("unable to run {}: {error}; put a k3s for this machine there", binary.display())))
}

/// The environment that k3s needs, without what would mislead it.
pub(super) fn clean(command: &mut Command) {
    command.env("PATH", environment::path(&std::env::var("PATH").unwrap_or_default()));
    if std::env::var_os("HOME").is_none_or(|home| home.is_empty() || home == "/") {
        command.env("HOME", "/root");
    }
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(environment::is_kept_back) {
            command.env_remove(name);
        }
    }
}

fn write_token(paths: &Paths, plan: &Plan) -> Result<(), Failure> {
    let wrong = |cause: String| Failure::configuration(format!("unable to make the token of k3s: {cause}"));
    let key = plan.config.cluster.auth_key.as_deref();
    let key = key.ok_or_else(|| wrong(format!("CLUSTER_AUTH_KEY is not set; {}", config::MAKE_A_KEY)))?;
    let key = cluster_key(key).map_err(|cause| wrong(format!("cluster.auth_key: {cause}")))?;
    let path = paths.resolve(Path::new(TOKEN));
    let written = files::folder(&path, false).and_then(|()| files::replace(&path, &token(&key), true, Place::Run));
    written.map_err(|error| Failure::internal(format!("unable to write {}: {error}; trying again", path.display())))
}

/// Written only when different. A file of somebody else is not touched.
fn write_configuration(paths: &Paths, text: &str) -> Result<(), Failure> {
    let path = paths.resolve(Path::new(CONFIGURATION));
    let failed = |cause: String| {
        Failure::configuration(format!("unable to write {}: {cause}; make /etc/rancher writable", path.display()))
    };
    let now = files::read(&path).map_err(|error| failed(error.to_string()))?;
    if now.as_ref().is_some_and(|now| !now.starts_with(MARK) && !now.trim().is_empty()) {
        return Err(Failure::configuration(format!(
            "unable to write {}: it was written by somebody else; move what it says to k3s.server or k3s.agent in node.yaml, \
             and the file away",
            path.display()
        )));
    }
    if now.is_some_and(|now| *now == text) && files::close(&path).is_ok() {
        return Ok(());
    }
    let written = files::folder(&path, false).and_then(|()| files::replace(&path, text, true, Place::Kept));
    written.map_err(|error| failed(error.to_string()))?;
    info!("wrote {}", path.display());
    Ok(())
}
