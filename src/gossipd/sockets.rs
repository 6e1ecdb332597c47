//! The sockets of gossip: one for datagrams, listeners, connections.

use std::fs;
use std::io::{self, IoSliceMut, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, SockaddrStorage, connect, recvmsg, setsockopt,
    socket, sockopt,
};

/// As much may wait to be received, if the kernel allows it; memberlist's number.
const RECEIVE: usize = 2 << 20;
/// Ports that are tried when any will do, as it must be free for both kinds of socket.
const TRIES: usize = 32;

/// The sockets for datagrams and for streams, on one port.
pub fn gossip(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = if address.port() == 0 { TRIES } else { 1 };
    loop {
        tries -= 1;
        let listener = TcpListener::bind(address)?;
        match UdpSocket::bind(listener.local_addr()?) {
            Ok(socket) => {
                // What the kernel gives is what there is.
                setsockopt(&socket, sockopt::RcvBuf, &RECEIVE).unwrap_or_default();
                // Without them a host that has nothing there is as one that is silent.
                setsockopt(&socket, sockopt::Ipv4RecvErr, &true).unwrap_or_default();
                setsockopt(&socket, sockopt::Ipv6RecvErr, &true).unwrap_or_default();
                socket.set_nonblocking(true)?;
                listener.set_nonblocking(true)?;
                return Ok((socket, listener));
            }
            Err(error) if tries == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

/// Where a datagram went whose host says that nothing listens there, of those that nobody asked for yet; `None` of one that went
/// wrong otherwise. An error if there is none.
pub fn unheard(socket: &UdpSocket) -> nix::Result<Option<SocketAddr>> {
    let mut bytes = [0; 1];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let mut space = cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let found = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let errors = found.cmsgs()?.filter_map(|message| match message {
        ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => Some(error.ee_errno),
        _ => None,
    });
    let refused = errors.map(|errno| Errno::from_raw(errno.cast_signed())).any(|errno| errno == Errno::ECONNREFUSED);
    let to = found.address.filter(|_| refused).and_then(|to| {
        let v4 = to.as_sockaddr_in().map(|to| SocketAddr::from(*to));
        v4.or_else(|| to.as_sockaddr_in6().map(|to| SocketAddr::from(*to)))
    });
    Ok(to.map(|to| SocketAddr::new(to.ip().to_canonical(), to.port())))
}

/// A listener for clients.
#[derive(Debug)]
pub enum Clients {
    /// On an address.
    Tcp(TcpListener),
    /// On a path.
    Unix(UnixListener),
}

impl Clients {
    /// Listens on an address.
    pub fn tcp(address: SocketAddr) -> io::Result<Clients> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Clients::Tcp(listener))
    }

    /// Listens on a path, for the own user alone. A socket that is there already is nobody's: it is replaced.
    pub fn unix(path: &Path) -> io::Result<Clients> {
        if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Clients::Unix(listener))
    }

    /// For polling.
    pub fn fd(&self) -> RawFd {
        match self {
            Clients::Tcp(listener) => listener.as_raw_fd(),
            Clients::Unix(listener) => listener.as_raw_fd(),
        }
    }

    /// The next client that waits.
    pub fn accept(&self) -> io::Result<Stream> {
        match self {
            Clients::Tcp(listener) => listener.accept().and_then(|(stream, _)| Stream::tcp(stream)),
            Clients::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(Stream::Unix(stream))
            }
        }
    }
}

/// A connection. Nothing on it waits.
#[derive(Debug)]
pub enum Stream {
    /// Over a network.
    Tcp(TcpStream),
    /// On this host.
    Unix(UnixStream),
}

impl Stream {
    /// A connection that was accepted.
    pub fn tcp(stream: TcpStream) -> io::Result<Stream> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Stream::Tcp(stream))
    }

    /// Begins to connect. When it is writable, [`Stream::error`] says what came of it.
    pub fn connect(address: SocketAddr) -> io::Result<Stream> {
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let fd: OwnedFd = socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?;
        match connect(fd.as_raw_fd(), &SockaddrStorage::from(address)) {
            Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        Stream::tcp(fd.into())
    }

    /// What went wrong.
    pub fn error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Stream::Tcp(stream) => stream.take_error(),
            Stream::Unix(stream) => stream.take_error(),
        }
    }

    /// For polling.
    pub fn fd(&self) -> RawFd {
        match self {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
        }
    }

    /// Reads what is there.
    pub fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&mut &*stream).read(into),
            Stream::Unix(stream) => (&mut &*stream).read(into),
        }
    }

    /// Writes what is taken.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&mut &*stream).write(bytes),
            Stream::Unix(stream) => (&mut &*stream).write(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

    use nix::errno::Errno;

    use super::{gossip, unheard};

    #[test]
    fn a_host_that_has_nothing_there_says_so() {
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
        for (own, other, to) in [
            (SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), None),
            (SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Some(mapped)),
        ] {
            let Ok((udp, _listener)) = gossip(own) else {
                eprintln!("skipped: a_host_that_has_nothing_there_says_so: no {own} here");
                continue;
            };
            let free =
                UdpSocket::bind(other).and_then(|socket| socket.local_addr()).expect("a port that is free again");
            assert_eq!(unheard(&udp), Err(Errno::EAGAIN), "nothing was sent");
            let to = to.map_or(free, |ip| SocketAddr::from((ip, free.port())));
            udp.send_to(b"x", to).expect("it goes out");
            // On a host's own loopback the answer is there at once.
            assert_eq!(unheard(&udp), Ok(Some(free)));
            assert_eq!(unheard(&udp), Err(Errno::EAGAIN), "it is said once");
        }
    }
}
