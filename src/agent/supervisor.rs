//! What `node-agent` asks of PID 1.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Has PID 1 restart a unit if it is active, without waiting for it. The error is why it cannot: there is no PID 1 of ours, or no
/// such unit.
pub fn try_restart(unit: &str) -> Result<(), String> {
    ask("initctl", unit)
}

/// `program` is initctl, in systemctl's words, which have this.
fn ask(program: &str, unit: &str) -> Result<(), String> {
    let mut command = Command::new(program);
    command.arg0("systemctl").args(["try-restart", "--no-block", &format!("{unit}.service")]).stdin(Stdio::null());
    let said = command.output().map_err(|error| format!("{program}: {error}"))?;
    if said.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&said.stderr);
    let line = text.lines().last().map_or_else(|| said.status.to_string(), str::to_owned);
    Err(line)
}

#[cfg(test)]
mod tests {
    use super::ask;

    #[test]
    fn what_keeps_it_from_starting_again_is_told() {
        assert_eq!(ask("true", "k3s"), Ok(()));
        assert_eq!(ask("false", "k3s"), Err("exit status: 1".to_owned()));
        assert_eq!(ask("no-such", "k3s"), Err("no-such: No such file or directory (os error 2)".to_owned()));
    }
}
