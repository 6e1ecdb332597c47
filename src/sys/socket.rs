//! The sockets on which units say that they are ready (sd_notify).

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::{fs, io};

use nix::cmsg_space;
use nix::sys::socket::sockopt::PassCred;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt};
use std::os::unix::fs::PermissionsExt;

use super::Errno;

/// One unit's socket.
pub struct NotifySocket(UnixDatagram);

impl NotifySocket {
    /// A datagram socket at `path`, mode 0600, that tells each sender's pid.
    pub fn bind(path: &Path) -> io::Result<NotifySocket> {
        let socket = UnixDatagram::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
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

impl AsRawFd for NotifySocket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
