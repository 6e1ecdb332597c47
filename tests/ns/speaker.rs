//! A service that speaks sd_notify: this very test program, started by the node with `SPEAK` in its environment.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The words that start it as a unit's `exec`.
pub fn exec() -> String {
    exec_of(&std::env::current_exe().expect("our own path"))
}

/// The same for a copy of this program.
pub fn exec_of(copy: &std::path::Path) -> String {
    format!("[{:?}, \"--exact\", \"speaker::speak\", \"--nocapture\"]", copy.display().to_string())
}

/// No test: does nothing without `SPEAK`.
#[test]
fn speak() {
    let Ok(text) = std::env::var("SPEAK") else { return };
    let socket = std::env::var("NOTIFY_SOCKET");
    match (std::env::var("SPEAK_TO"), socket) {
        // To a socket that is another unit's.
        (Ok(path), _) | (Err(_), Ok(path)) => {
            let speaker = UnixDatagram::unbound().expect("a socket");
            let address = match path.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(&path),
            };
            let address = address.expect("an address");
            speaker.send_to_addr(b"", &address).expect("nothing said");
            speaker.send_to_addr(text.as_bytes(), &address).expect("said");
            // It says that it lives, as often as it is to.
            let pause: Option<u64> = std::env::var("SPEAK_EVERY").ok().and_then(|millis| millis.parse().ok());
            while let Some(millis) = pause {
                std::thread::park_timeout(std::time::Duration::from_millis(millis));
                speaker.send_to_addr(b"WATCHDOG=1", &address).expect("said again");
            }
        }
        (Err(_), Err(_)) => panic!("no NOTIFY_SOCKET"),
    }
    loop {
        std::thread::park();
    }
}
