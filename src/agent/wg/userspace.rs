//! WireGuard in user space, for a kernel that has none: this process is the device, and stays.
//!
//! It is served at the same socket and in the same words as every other implementation in user space, so that the `wg`
//! program and `node-agent start` change it. A peer that is changed keeps its session.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gotatun::device::uapi::command::{Get, Request, Set, SetPeer, SetUnset};
use gotatun::device::uapi::{UapiClient, UapiServer};
use gotatun::device::{DefaultDeviceTransports, Device, DeviceBuilder, Peer};
use gotatun::tun::tun;
use gotatun::tun::tun_async_device;
use gotatun::x25519::{PublicKey, StaticSecret};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::error::Error;
use super::link::Links;
use super::{Changes, Settings, changes, uapi};
use crate::agent::notify;

const TUN: &str = "/dev/net/tun";

/// Bytes of one request: about 20 000 peers.
const REQUEST: u64 = 4 * 1024 * 1024;

/// How long the end of the device may take.
const END: Duration = Duration::from_secs(2);

type Wireguard = Device<DefaultDeviceTransports>;

/// A request as it was read, and where its answer goes.
type Asked = (Zeroizing<String>, oneshot::Sender<Zeroizing<String>>);

/// Whether a TUN device can be made here; the node is made if it is not there. The error is why not.
pub fn possible() -> io::Result<()> {
    let open = || -> io::Result<File> { OpenOptions::new().read(true).write(true).open(TUN) };
    match open() {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            // Why it could not be opened says more than why it could not be made.
            let made = DirBuilder::new().recursive(true).mode(0o755).create("/dev/net").and_then(|()| {
                let mode = Mode::from_bits_truncate(0o600);
                mknod(TUN, SFlag::S_IFCHR, mode, makedev(10, 200)).map_err(io::Error::from)
            });
            match made {
                Ok(()) => open().map(drop),
                Err(_) => Err(cause),
            }
        }
        opened => opened.map(drop),
    }
}

/// Makes the device and serves it until TERM or INT; then there is neither link nor socket any more. `asked` is whether
/// somebody wanted it so, and the kernel was not.
pub async fn serve(settings: &Settings, asked: bool, links: &Links) -> Result<(), Error> {
    let mut end = Ends::listen().map_err(|cause| Error::Refused("listening for signals".to_owned(), cause))?;
    let path = uapi::socket(&settings.interface);
    let listener = claim(&path).await?;
    let changes = changes(&settings.interface).await?;
    let served = async {
        let (client, server) = UapiServer::new();
        let device = DeviceBuilder::new()
            .with_uapi(server)
            .with_default_udp()
            .create_tun(&settings.interface)
            .map_err(|error| opened(&settings.interface, error))?
            .build()
            .await
            .map_err(|error| Error::Refused("making the device".to_owned(), io::Error::other(error)))?;
        configure(&device, settings).await?;
        let index = super::dress_anew(settings, links).await?;
        let Settings { interface, address, prefix, .. } = settings;
        if asked {
            log::info!("{interface} is up in user space, as asked: {address}/{prefix}");
        } else {
            log::warn!(
                "this kernel has no WireGuard: {interface} is up in user space, several times slower, {address}/{prefix}; \
                 load the wireguard module on the host"
            );
        }
        notify::ready("USERSPACE WireGuard");
        let place = Place { settings, links, index, changes };
        turn(device, client, &listener, &mut end, place).await
    }
    .await;
    remove(&path);
    // The link goes with the last descriptor of the device, which its tasks may hold for a moment.
    if let Ok(Some(link)) = links.find(&settings.interface).await
        && settings.marked(&link)
    {
        let _ = links.delete(link.index).await;
    }
    served
}

/// The signals that end the device.
struct Ends {
    term: Signal,
    int: Signal,
}

impl Ends {
    fn listen() -> io::Result<Ends> {
        Ok(Ends { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

/// The link that this process serves, and the news of it.
struct Place<'a> {
    settings: &'a Settings,
    links: &'a Links,
    index: u32,
    changes: Changes,
}

impl Place<'_> {
    /// Waits until the link was taken down, which is no error, or was lost, which is one. The device itself does not
    /// always notice.
    async fn lost(&mut self) -> Result<(), Error> {
        loop {
            let subscribed = self.changes.next().await;
            let found = self.links.find(&self.settings.interface).await;
            match found.map_err(|cause| Error::refused("reading the link", cause))? {
                Some(link) if link.index == self.index => {
                    if link.alias == Some(self.settings.farewell()) {
                        return Ok(());
                    }
                }
                _ => {
                    let cause = io::Error::other("somebody deleted it");
                    return Err(Error::Refused("the link is gone".to_owned(), cause));
                }
            }
            if !subscribed {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The one place where this process waits: a request, a signal, or the loss of the link.
async fn turn(
    mut device: Wireguard,
    client: UapiClient,
    listener: &UnixListener,
    end: &mut Ends,
    mut place: Place<'_>,
) -> Result<(), Error> {
    let (asks, mut asked) = mpsc::channel::<Asked>(16);
    loop {
        tokio::select! {
            () = end.wait() => break,
            lost = place.lost() => {
                lost?;
                break;
            }
            () = device.wait() => {
                let cause = io::Error::other("it failed");
                return Err(Error::Refused("the device cannot go on".to_owned(), cause));
            }
            Ok((stream, _)) = listener.accept() => {
                drop(tokio::spawn(converse(stream, asks.clone())));
            }
            Some((text, answer)) = asked.recv() => {
                let _ = answer.send(answered(&device, &client, &text).await);
            }
        }
    }
    if tokio::time::timeout(END, device.stop()).await.is_err() {
        log::warn!("unable to stop the device within {} s; ending without it", END.as_secs());
    }
    Ok(())
}

/// One connection: requests end with an empty line, and so do answers.
async fn converse(stream: UnixStream, asks: mpsc::Sender<Asked>) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut text = Zeroizing::new(String::new());
        let mut limited = (&mut reader).take(REQUEST);
        loop {
            let before = text.len();
            match limited.read_line(&mut text).await {
                Ok(0) | Err(_) => return,
                Ok(_) if text.get(before..) == Some("\n") => break,
                Ok(_) => {}
            }
        }
        text.pop();
        if text.is_empty() {
            continue;
        }
        let (answer, answered) = oneshot::channel();
        if asks.send((text, answer)).await.is_err() {
            return;
        }
        let Ok(reply) = answered.await else { return };
        if writer.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn answered(device: &Wireguard, client: &UapiClient, text: &str) -> Zeroizing<String> {
    let code = match text.parse() {
        Ok(Request::Get(_)) => match client.send(Get::default()).await {
            Ok(response) => return Zeroizing::new(format!("{response}\n")),
            Err(_) => libc::EIO,
        },
        Ok(Request::Set(set)) => change(device, set).await,
        Err(_) => libc::EINVAL,
    };
    Zeroizing::new(format!("errno={code}\n\n"))
}

/// Performs a request and returns its error number. A peer that the device has is changed in place: making it anew, as
/// the library's own server does, would end its session.
async fn change(device: &Wireguard, set: Set) -> i32 {
    let changed = device
        .write(async |writing| {
            if set.replace_peers {
                writing.clear_peers();
            }
            if let Some(port) = set.listen_port {
                writing.set_listen_port(port);
            }
            if let Some(key) = set.private_key {
                writing.set_private_key(StaticSecret::from(key.0)).await;
            }
            let mark = match set.fwmark {
                Some(SetUnset::Set(mark)) => Some(mark.get()),
                Some(SetUnset::Unset) => Some(0),
                None => None,
            };
            if let Some(mark) = mark {
                writing.set_fwmark(mark)?;
            }
            for SetPeer { peer, remove, update_only, replace_allowed_ips, .. } in set.peers {
                let key = PublicKey::from(peer.public_key.0);
                if remove {
                    writing.remove_peer(&key).await;
                    continue;
                }
                let secret = peer.preshared_key.map(|secret| match secret {
                    SetUnset::Set(secret) => Some(secret.0),
                    SetUnset::Unset => None,
                });
                let present = writing
                    .modify_peer(&key, |known| {
                        if replace_allowed_ips {
                            known.clear_allowed_ips();
                        }
                        known.add_allowed_ips(peer.allowed_ip.iter().copied());
                        if peer.endpoint.is_some() {
                            known.set_endpoint(peer.endpoint);
                        }
                        if peer.persistent_keepalive_interval.is_some() {
                            known.set_keepalive(peer.persistent_keepalive_interval);
                        }
                        if let Some(secret) = secret {
                            known.set_preshared_key(secret);
                        }
                    })
                    .await;
                // The kernel takes the zero key; no node has it.
                if present || update_only || key.to_bytes() == [0; 32] {
                    continue;
                }
                let mut new = Peer::new(key).with_allowed_ips(peer.allowed_ip);
                new.endpoint = peer.endpoint;
                new.keepalive = peer.persistent_keepalive_interval;
                new.preshared_key = secret.flatten();
                writing.add_peer(new);
            }
            Ok::<(), gotatun::device::Error>(())
        })
        .await;
    match changed {
        Ok(Ok(())) => 0,
        Ok(Err(error)) | Err(error) => number(&error),
    }
}

/// Key and port. The sockets are bound here, so a taken port is seen here.
async fn configure(device: &Wireguard, settings: &Settings) -> Result<(), Error> {
    let key = StaticSecret::from(*settings.clamped());
    let set = device
        .write(async |writing| {
            writing.set_listen_port(settings.port);
            writing.set_private_key(key).await;
        })
        .await;
    set.map_err(|error| match number(&error) {
        libc::EADDRINUSE => Error::PortTaken(settings.port),
        code => Error::refused("binding the UDP sockets", io::Error::from_raw_os_error(code)),
    })
}

/// The system's number of the library's error.
fn number(error: &gotatun::device::Error) -> i32 {
    match error {
        gotatun::device::Error::IoError(cause) | gotatun::device::Error::Bind(cause, _) => {
            cause.raw_os_error().unwrap_or(libc::EIO)
        }
        _ => libc::EINVAL,
    }
}

fn opened(name: &str, error: gotatun::device::Error) -> Error {
    let what = "opening a TUN device";
    match error {
        gotatun::device::Error::TunDevice(tun_async_device::Error::OpenTun(tun::Error::Io(cause))) => {
            match cause.raw_os_error() {
                Some(libc::EBUSY) => Error::Foreign(name.to_owned(), "another process holds it".to_owned()),
                _ => Error::refused(what, cause),
            }
        }
        other => Error::refused(what, io::Error::other(other)),
    }
}

/// The socket, once it is sure that nobody answers there.
async fn claim(path: &Path) -> Result<UnixListener, Error> {
    let refused = |cause| Error::Refused(format!("listening at {}", path.display()), cause);
    if let Some(directory) = path.parent() {
        if let Some(above) = directory.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(above).map_err(refused)?;
        }
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(refused)?;
    }
    if uapi::answers(path).await {
        return Err(Error::Running(PathBuf::from(path)));
    }
    remove(path);
    let listener = UnixListener::bind(path).map_err(refused)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(refused)?;
    Ok(listener)
}

/// Removes the socket; one that is gone already is no error.
pub fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            log::warn!("unable to remove {}: {cause}; going on", path.display());
        }
        _ => {}
    }
}
