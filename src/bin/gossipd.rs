//! Door of `gossipd`: see `clusteros_init::gossipd`.

fn main() -> std::process::ExitCode {
    clusteros_init::gossipd::run(std::env::args_os().skip(1))
}
