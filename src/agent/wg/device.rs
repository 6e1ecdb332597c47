//! One WireGuard device that is there, in either mode: what it is, and how it changes.

use std::io;

use futures_util::{FutureExt, StreamExt};
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::RouteAttribute;
use nix::net::if_::if_indextoname;
use rtnetlink::MulticastGroup;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::error::Error;
use super::kernel::Kernel;
use super::link::{Links, described};
use super::uapi;
use crate::mesh::peers::{Observed, Operation, WgKey};

/// Who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The kernel.
    Kernel,
    /// The process `node-agent wg0`.
    Userspace,
}

impl Mode {
    /// Who does the work of a device, if there is one, in one word.
    pub fn word(mode: Option<Mode>) -> &'static str {
        match mode {
            Some(Mode::Kernel) => "kernel",
            Some(Mode::Userspace) => "userspace",
            None => "absent",
        }
    }
}

/// A device that is there.
pub struct Device {
    name: String,
    /// None in user space.
    kernel: Option<Kernel>,
}

impl Device {
    /// Returns the device `name`: the kernel's if its link is WireGuard's, else the one that answers at the socket of
    /// that name. [`Error::Absent`] if there is neither.
    pub async fn open(name: &str) -> Result<Device, Error> {
        let links = Links::open().map_err(|cause| Error::refused("opening a netlink socket", cause))?;
        let link = links.find(name).await.map_err(|cause| Error::refused("reading the link", cause))?;
        let link = link.ok_or_else(|| Error::Absent(name.to_owned()))?;
        let kernel = match link.kind.as_deref() {
            Some("wireguard") => {
                let opened = Kernel::open(name).await;
                Some(opened.map_err(|cause| Error::refused("reaching the kernel's WireGuard", cause))?)
            }
            Some("tun") if uapi::answers(&uapi::socket(name)).await => None,
            _ => return Err(Error::Absent(name.to_owned())),
        };
        Ok(Device { name: name.to_owned(), kernel })
    }

    /// Who does the work.
    pub const fn mode(&self) -> Mode {
        if self.kernel.is_some() { Mode::Kernel } else { Mode::Userspace }
    }

    /// Returns the device as it is. [`Error::Absent`] if it is gone.
    pub async fn dump(&mut self) -> Result<Observed, Error> {
        let dumped = match &self.kernel {
            Some(kernel) => kernel.dump().await,
            None => uapi::dump(&uapi::socket(&self.name)).await,
        };
        dumped.map_err(|cause| self.failed("reading the device", cause))
    }

    /// Performs the operations in order. One that is refused does not keep the others from being performed; the first
    /// error is returned.
    pub async fn apply(&mut self, operations: &[Operation]) -> Result<(), Error> {
        let Err(cause) = self.attempt(operations).await else { return Ok(()) };
        let error = self.failed("changing the peers", cause);
        if matches!(error, Error::Denied | Error::Absent(_)) || operations.len() < 2 {
            return Err(error);
        }
        let mut first = Ok(());
        for operation in operations {
            if let Err(cause) = self.attempt(std::slice::from_ref(operation)).await {
                let what = format!("changing the peer {}", operation.key());
                first = first.and_then(|()| Err(self.failed(&what, cause)));
            }
        }
        first
    }

    /// Sets the private key, which must be clamped, and the port; what is none stays.
    pub async fn configure(&self, key: Option<&Zeroizing<[u8; 32]>>, port: Option<u16>) -> Result<(), Error> {
        let set = match &self.kernel {
            Some(kernel) => kernel.configure(key, port).await,
            None => uapi::configure(&uapi::socket(&self.name), key, port).await,
        };
        set.map_err(|cause| match (cause.raw_os_error(), port) {
            (Some(libc::EADDRINUSE), Some(port)) => Error::PortTaken(port),
            _ => self.failed("setting the key and the port", cause),
        })
    }

    async fn attempt(&self, operations: &[Operation]) -> io::Result<()> {
        match &self.kernel {
            Some(kernel) => kernel.apply(operations).await,
            None => uapi::apply(&uapi::socket(&self.name), operations).await,
        }
    }

    fn failed(&self, what: &str, cause: io::Error) -> Error {
        match cause.raw_os_error() {
            Some(libc::ENODEV | libc::ENOENT | libc::ECONNREFUSED) => Error::Absent(self.name.clone()),
            _ => Error::refused(what, cause),
        }
    }
}

/// Makes sure that the device is this node's, whose key is `own`: without any key it is still being made, and with
/// another one it is somebody else's, in which nothing is changed.
pub fn owned(name: &str, observed: &Observed, own: WgKey) -> Result<(), Error> {
    match observed.public_key {
        Some(key) if key == own => Ok(()),
        Some(key) => Err(Error::Foreign(name.to_owned(), format!("its WireGuard key is {key}, not this node's"))),
        None => Err(Error::Absent(name.to_owned())),
    }
}

/// Tells when the links of this network namespace change.
pub struct Changes {
    names: Vec<String>,
    alias: Option<String>,
    messages: Messages,
    task: JoinHandle<()>,
}

type Messages = futures_util::stream::BoxStream<'static, Subject>;

/// What a message is about.
enum Subject {
    /// A link that came, went or changed: its name and its alias.
    Link(String, Option<String>),
    /// The link of this number, which lost an address or a route.
    Loss(u32),
    /// Perhaps anything: messages were lost.
    Any,
    /// Nothing of interest.
    Nothing,
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns a subscription to the changes of the link `name`. What happens from here on is not missed. Errors are the
/// socket's.
pub async fn changes(name: &str) -> Result<Changes, Error> {
    Changes::listen(Some(name))
}

impl Changes {
    /// A subscription to the changes of the link `name`, or of every link; inside a tokio runtime.
    pub fn listen(name: Option<&str>) -> Result<Changes, Error> {
        Changes::of(&[MulticastGroup::Link], name)
    }

    /// The same of the link `name`, and when it loses an address or a route.
    pub fn and_losses(name: &str) -> Result<Changes, Error> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
        ];
        Changes::of(&groups, Some(name))
    }

    fn of(groups: &[MulticastGroup], name: Option<&str>) -> Result<Changes, Error> {
        let opened = rtnetlink::new_multicast_connection(groups);
        let (connection, _, messages) =
            opened.map_err(|cause| Error::refused("listening for changes of links", cause))?;
        let messages = messages.map(|(message, _)| match message.payload {
            NetlinkPayload::InnerMessage(message) => subject(&message),
            _ => Subject::Any,
        });
        let names = name.map(str::to_owned).into_iter().collect();
        Ok(Changes { names, alias: None, messages: messages.boxed(), task: tokio::spawn(connection) })
    }

    /// Waits until the link came, went or changed; false if the subscription has ended. What came together is told once.
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> bool {
        while let Some(subject) = self.messages.next().await {
            if self.concerns(&subject) {
                while let Some(Some(more)) = self.messages.next().now_or_never() {
                    self.concerns(&more);
                }
                return true;
            }
        }
        false
    }

    /// Has it tell of the link `name`, too.
    pub fn also(&mut self, name: &str) {
        self.names.truncate(1);
        self.names.push(name.to_owned());
    }

    /// The alias that the link was last seen with; a link that is gone, the one that it had then.
    pub fn alias(&self) -> Option<&str> {
        self.alias.as_deref()
    }

    fn concerns(&mut self, subject: &Subject) -> bool {
        match subject {
            Subject::Link(name, alias) => {
                if self.names.first() == Some(name) {
                    self.alias.clone_from(alias);
                }
                self.names.is_empty() || self.names.contains(name)
            }
            Subject::Loss(index) => {
                let name = if_indextoname(*index).ok().and_then(|name| name.into_string().ok());
                name.is_some() && self.names.first() == name.as_ref()
            }
            Subject::Any => true,
            Subject::Nothing => false,
        }
    }
}

fn subject(message: &RouteNetlinkMessage) -> Subject {
    match message {
        RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link) => {
            let link = described(link);
            Subject::Link(link.name, link.alias)
        }
        RouteNetlinkMessage::DelAddress(address) => Subject::Loss(address.header.index),
        RouteNetlinkMessage::DelRoute(route) => {
            let over = route.attributes.iter().find_map(|attribute| match attribute {
                RouteAttribute::Oif(index) => Some(*index),
                _ => None,
            });
            over.map_or(Subject::Nothing, Subject::Loss)
        }
        _ => Subject::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::owned;
    use crate::mesh::peers::{Observed, WgKey};

    #[test]
    fn a_device_with_another_key_is_somebody_elses() {
        let said = |key: Option<u8>| {
            let observed = Observed { public_key: key.map(|byte| WgKey([byte; 32])), ..Observed::default() };
            owned("wg0", &observed, WgKey([1; 32])).map_err(|error| (error.exit_code(), error.to_string()))
        };
        assert_eq!(said(Some(1)), Ok(()));
        assert_eq!(
            said(Some(2)),
            Err((
                78,
                "wg0 is there already and is not ours (its WireGuard key is \
                 AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=, not this node's); remove it, or choose another name"
                    .to_owned()
            ))
        );
        assert_eq!(said(None), Err((1, "there is no WireGuard link wg0; is `node-agent wg0` up?".to_owned())));
    }
}
