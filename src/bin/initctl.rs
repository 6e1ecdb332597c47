//! Door.
use std::process::ExitCode;

fn main() -> ExitCode {
    clusteros_init::ctl::run(std::env::args_os())
}
