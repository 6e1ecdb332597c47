//! What is said to the supervisor: a datagram to NOTIFY_SOCKET.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells the supervisor that this unit is ready, with a line for its status. Without a supervisor nothing happens.
pub fn ready(status: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(cause) = send(&name, &format!("READY=1\nSTATUS={status}")) {
        log::warn!("unable to notify {}: {cause}; the supervisor does not know that this is ready", name.display());
    }
}

/// One datagram to a path, or to an abstract name where `name` begins with `@`.
fn send(name: &OsStr, text: &str) -> io::Result<()> {
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address).map(drop)
}
