//! The sockets on which units say that they are ready (sd_notify).

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::{fs, io};

use nix::cmsg_space;
use nix::sys::socket::sockopt::PassCred;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, UnixAddr, UnixCredentials, bind, getsockname, recvmsg, setsockopt,
};
use std::os::unix::fs::PermissionsExt;

use super::Errno;

/// One unit's socket.
pub struct NotifySocket(UnixDatagram);

impl NotifySocket {
    /// A datagram socket at `path`, mode 0600, that tells each sender's pid.
    pub fn bind(path: &Path) -> io::Result<NotifySocket> {
        let socket = UnixDatagram::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        NotifySocket::telling(socket)
    }

    /// The same under an abstract name that the kernel picks, and `@` with that name. Everybody in the network namespace can
    /// reach it.
    pub fn bind_nameless() -> io::Result<(NotifySocket, String)> {
        let socket = UnixDatagram::unbound()?;
        // An address without a name asks the kernel for a free one (unix(7), autobind).
        bind(socket.as_raw_fd(), &UnixAddr::new_unnamed())?;
        let address: UnixAddr = getsockname(socket.as_raw_fd())?;
        let name = address.as_abstract().ok_or(Errno::EADDRNOTAVAIL)?;
        let name = format!("@{}", String::from_utf8_lossy(name));
        Ok((NotifySocket::telling(socket)?, name))
    }

    fn telling(socket: UnixDatagram) -> io::Result<NotifySocket> {
        socket.set_nonblocking(true)?;
        setsockopt(&socket, PassCred, &true)?;
        Ok(NotifySocket(socket))
    }

    /// The next datagram, without waiting: how many bytes of `into` it filled (what is longer is cut), and the pid of its
    /// sender as the kernel says, 0 if it does not. Descriptors that came along are closed.
    pub fn receive(&self, into: &mut [u8]) -> Result<(usize, i32), Errno> {
        // The kernel closes by itself those that find no room here.
        let mut control = cmsg_space!(UnixCredentials, [RawFd; 16]);
        let mut parts = [IoSliceMut::new(into)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
        let mut pid = 0;
        for part in message.cmsgs().into_iter().flatten() {
            match part {
                ControlMessageOwned::ScmCredentials(sender) => pid = sender.pid(),
                ControlMessageOwned::ScmRights(passed) => {
                    for fd in passed {
                        // SAFETY: the kernel has just made this descriptor for us, and nothing else knows it.
                        drop(unsafe { OwnedFd::from_raw_fd(fd) });
                    }
                }
                _ => {}
            }
        }
        Ok((message.bytes, pid))
    }
}

impl From<OwnedFd> for NotifySocket {
    /// The socket that another program bound and left open.
    fn from(fd: OwnedFd) -> NotifySocket {
        NotifySocket(fd.into())
    }
}

impl AsRawFd for NotifySocket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
