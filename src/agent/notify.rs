//! What is said to the supervisor: sd_notify, a datagram to `NOTIFY_SOCKET`.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use log::warn;

/// Tells the supervisor that this unit is ready, and what it does.
pub fn ready(status: &str) {
    notify(&format!("READY=1\nSTATUS={status}"));
}

/// Tells the supervisor what this unit does or waits for.
pub fn status(status: &str) {
    notify(&format!("STATUS={status}"));
}

/// Without a supervisor nothing happens.
fn notify(text: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return };
    if let Err(cause) = send(&name, text) {
        warn!(
            "unable to notify {}: {cause}; the supervisor does not know: {}",
            name.display(),
            text.replace('\n', " ")
        );
    }
}

/// One datagram to a path, or to an abstract name where `name` begins with `@`.
fn send(name: &OsStr, text: &str) -> io::Result<()> {
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(text.as_bytes(), &address).map(drop)
}
