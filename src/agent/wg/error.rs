//! What can go wrong with a WireGuard device, in words that say what to do.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;

/// Why a device could not be opened, changed, brought up or taken down. The text is a cause and, after a semicolon,
/// what a person can do; the caller says what it was doing.
#[derive(Debug)]
pub enum Error {
    /// The process may not change this network.
    Denied,
    /// The kernel has no WireGuard, and there is no TUN device for the one in user space.
    Unsupported(io::Error),
    /// The kernel has no WireGuard, and this program was built without the one in user space.
    NoUserspace,
    /// Another program has the UDP port.
    PortTaken(u16),
    /// There is a link of that name that is not ours: its name, and what it is.
    Foreign(String, String),
    /// Another process serves the link in user space; the socket at which it answers.
    Running(PathBuf),
    /// There is no WireGuard link of that name.
    Absent(String),
    /// The device refused a request: what was asked, and the system's error.
    Refused(String, io::Error),
}

impl Error {
    /// The exit code: 78 where only a person can help, 1 where trying again may.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Error::Denied | Error::Foreign(..) => 78,
            Error::Unsupported(_)
            | Error::NoUserspace
            | Error::PortTaken(_)
            | Error::Running(_)
            | Error::Absent(_)
            | Error::Refused(..) => 1,
        }
    }

    /// The error of a request `what`; without the capability it is [`Error::Denied`].
    pub(super) fn refused(what: impl Into<String>, cause: io::Error) -> Error {
        match cause.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Error::Denied,
            _ => Error::Refused(what.into(), cause),
        }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Error::Denied => f.write_str(
                "no permission to change the network; give the container CAP_NET_ADMIN (--cap-add NET_ADMIN)",
            ),
            Error::Unsupported(cause) => write!(
                f,
                "this kernel has no WireGuard and /dev/net/tun cannot be used ({}); \
                 load the wireguard module on the host, or give the container --device /dev/net/tun",
                plain(cause)
            ),
            Error::NoUserspace => f.write_str(
                "this kernel has no WireGuard and this node-agent was built without the one in user space; \
                 load the wireguard module on the host",
            ),
            Error::PortTaken(port) => write!(
                f,
                "UDP port {port} is taken by another program; \
                 stop it, or choose another port with WIREGUARD_PORT"
            ),
            Error::Foreign(name, what) => {
                write!(f, "{name} is there already and is not ours ({what}); remove it, or choose another name")
            }
            Error::Running(socket) => {
                write!(f, "another process serves it already and answers at {}; stop that one first", socket.display())
            }
            Error::Absent(name) => write!(f, "there is no WireGuard link {name}; is `node-agent wg0` up?"),
            Error::Refused(what, cause) => write!(f, "{what}: {}", plain(cause)),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Unsupported(cause) | Error::Refused(_, cause) => Some(cause),
            Error::Denied
            | Error::NoUserspace
            | Error::PortTaken(_)
            | Error::Foreign(..)
            | Error::Running(_)
            | Error::Absent(_) => None,
        }
    }
}

/// The system's words for an error, without the number that the standard library adds.
fn plain(cause: &io::Error) -> String {
    let text = cause.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::Error;
    use std::io;
    use std::path::PathBuf;

    #[test]
    fn every_error_says_what_to_do() {
        let missing = || io::Error::from_raw_os_error(libc::ENOENT);
        let lines = [
            (
                Error::Denied,
                "no permission to change the network; give the container CAP_NET_ADMIN (--cap-add NET_ADMIN)",
            ),
            (
                Error::Unsupported(missing()),
                "this kernel has no WireGuard and /dev/net/tun cannot be used (No such file or directory); \
                 load the wireguard module on the host, or give the container --device /dev/net/tun",
            ),
            (
                Error::NoUserspace,
                "this kernel has no WireGuard and this node-agent was built without the one in user space; \
                 load the wireguard module on the host",
            ),
            (
                Error::PortTaken(51820),
                "UDP port 51820 is taken by another program; stop it, or choose another port with WIREGUARD_PORT",
            ),
            (
                Error::Foreign("wg0".to_owned(), "a bridge".to_owned()),
                "wg0 is there already and is not ours (a bridge); remove it, or choose another name",
            ),
            (
                Error::Running(PathBuf::from("/var/run/wireguard/wg0.sock")),
                "another process serves it already and answers at /var/run/wireguard/wg0.sock; stop that one first",
            ),
            (Error::Absent("wg0".to_owned()), "there is no WireGuard link wg0; is `node-agent wg0` up?"),
            (
                Error::Refused("setting the address".to_owned(), missing()),
                "setting the address: No such file or directory",
            ),
        ];
        for (error, line) in lines {
            assert_eq!(error.to_string(), line);
        }
    }
}
