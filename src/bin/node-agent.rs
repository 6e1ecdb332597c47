//! Door of `node-agent`: see `clusteros_init::agent`.

fn main() -> std::process::ExitCode {
    clusteros_init::agent::command(std::env::args_os().skip(1))
}
