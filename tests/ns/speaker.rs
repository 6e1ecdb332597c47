//! A service that speaks sd_notify: this very test program, started by the node with `SPEAK` in its environment.

use std::os::unix::net::UnixDatagram;

/// The words that start it as a unit's `exec`.
pub fn exec() -> String {
    let own = std::env::current_exe().expect("our own path");
    format!("[{:?}, \"--exact\", \"speaker::speak\", \"--nocapture\"]", own.display().to_string())
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
            speaker.send_to(b"", &path).expect("nothing said");
            speaker.send_to(text.as_bytes(), &path).expect("said");
        }
        (Err(_), Err(_)) => panic!("no NOTIFY_SOCKET"),
    }
    loop {
        std::thread::park();
    }
}
