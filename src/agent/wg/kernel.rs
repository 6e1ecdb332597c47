//! WireGuard in the kernel, by generic netlink.
//!
//! Nothing here is ever printed with `{:?}`: the messages hold private keys.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use futures_util::StreamExt;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable, Nla,
};
use netlink_packet_generic::GenlMessage;
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute, WireguardCmd,
    WireguardDeviceFlags, WireguardMessage, WireguardPeer, WireguardPeerAttribute, WireguardPeerFlags,
};
use netlink_proto::ConnectionHandle;
use netlink_proto::sys::{AsyncSocket, SocketAddr, TokioSocket, protocols};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::mesh::Psk;
use crate::mesh::peers::{Observed, ObservedPeer, Operation, PeerSpec, WgKey};

/// Bytes of peers in one message. An attribute's length is 16 bits and nothing checks it; small messages also let go of
/// the device's lock in between.
const BATCH: usize = 16 * 1024;

/// Networks of one peer in one message: 40 bytes each at most, so that they are within [`BATCH`].
const NETWORKS: usize = 400;

/// A device that changes while it is read is read again, but not for ever.
const DUMPS: usize = 5;

/// A connection to the kernel's WireGuard. It lives inside a tokio runtime, in a task of its own.
pub struct Kernel {
    name: String,
    family: u16,
    handle: ConnectionHandle<GenlMessage<WireguardMessage>>,
    task: JoinHandle<()>,
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Kernel {
    /// Returns a connection for the device `name`, which need not be there yet. ENOENT if the kernel has no WireGuard.
    pub async fn open(name: &str) -> io::Result<Kernel> {
        let family = family().await?;
        let (handle, task) = connect()?;
        Ok(Kernel { name: name.to_owned(), family, handle, task })
    }

    /// Returns the device as it is. ENODEV if there is no such link, EOPNOTSUPP if it is not WireGuard's.
    pub async fn dump(&self) -> io::Result<Observed> {
        for _ in 0..DUMPS {
            let mut request = self.message(WireguardCmd::GetDevice, Vec::new());
            request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
            let answers = self.handle.request(request, SocketAddr::new(0, 0)).map_err(closed)?;
            if let Some(observed) = whole(answers.collect().await)? {
                return Ok(observed);
            }
        }
        Err(io::Error::new(io::ErrorKind::Interrupted, "it changes while it is read"))
    }

    /// Sets the private key, which must be clamped, and the port; what is none stays.
    pub async fn configure(&self, key: Option<&Zeroizing<[u8; 32]>>, port: Option<u16>) -> io::Result<()> {
        let mut attributes = Vec::new();
        attributes.extend(key.map(|key| WireguardAttribute::PrivateKey(**key)));
        attributes.extend(port.map(WireguardAttribute::ListenPort));
        self.set(attributes).await
    }

    /// Removes every peer in one request. Deleting a link that still has peers takes 12 ms a peer.
    pub async fn clear(&self) -> io::Result<()> {
        let attributes =
            vec![WireguardAttribute::Flags(WireguardDeviceFlags::ReplacePeers), WireguardAttribute::Peers(Vec::new())];
        self.set(attributes).await
    }

    /// Performs the operations in order, as few messages as the sizes allow.
    pub async fn apply(&self, operations: &[Operation]) -> io::Result<()> {
        for batch in batches(operations) {
            self.set(vec![WireguardAttribute::Peers(batch)]).await?;
        }
        Ok(())
    }

    async fn set(&self, attributes: Vec<WireguardAttribute>) -> io::Result<()> {
        let mut request = self.message(WireguardCmd::SetDevice, attributes);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
        let mut answers = self.handle.request(request, SocketAddr::new(0, 0)).map_err(closed)?;
        while let Some(answer) = answers.next().await {
            match answer.payload {
                NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                _ => {}
            }
        }
        Ok(())
    }

    fn message(
        &self,
        cmd: WireguardCmd,
        attributes: Vec<WireguardAttribute>,
    ) -> NetlinkMessage<GenlMessage<WireguardMessage>> {
        let mut all = vec![WireguardAttribute::IfName(self.name.clone())];
        all.extend(attributes);
        let mut message = GenlMessage::from_payload(WireguardMessage { cmd, attributes: all });
        message.set_resolved_family_id(self.family);
        NetlinkMessage::from(message)
    }
}

/// The bytes that the kernel is sent for the operations, where the link has a name of three letters.
pub fn weight(operations: &[Operation]) -> usize {
    let message = |batch| {
        let attributes = vec![WireguardAttribute::IfName("wg0".to_owned()), WireguardAttribute::Peers(batch)];
        let payload = WireguardMessage { cmd: WireguardCmd::SetDevice, attributes };
        NetlinkMessage::from(GenlMessage::from_payload(payload)).buffer_len()
    };
    batches(operations).into_iter().map(message).sum()
}

/// The number that the kernel gave WireGuard's messages. Asking for it loads the module.
async fn family() -> io::Result<u16> {
    let (handle, task) = connect::<GenlMessage<GenlCtrl>>()?;
    let asked = GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas: vec![GenlCtrlAttrs::FamilyName("wireguard".to_owned())] };
    let mut request = NetlinkMessage::from(GenlMessage::from_payload(asked));
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    let mut answers = handle.request(request, SocketAddr::new(0, 0)).map_err(closed)?;
    let mut found = Err(io::Error::from_raw_os_error(libc::ENOENT));
    while let Some(answer) = answers.next().await {
        match answer.payload {
            NetlinkPayload::InnerMessage(message) => {
                for attribute in message.payload.nlas {
                    if let GenlCtrlAttrs::FamilyId(id) = attribute {
                        found = Ok(id);
                    }
                }
            }
            NetlinkPayload::Error(error) if error.code.is_some() => found = Err(error.to_io()),
            _ => {}
        }
    }
    task.abort();
    found
}

type Connected<T> = (ConnectionHandle<T>, JoinHandle<()>);

fn connect<T>() -> io::Result<Connected<T>>
where
    T: std::fmt::Debug + NetlinkSerializable + NetlinkDeserializable + Unpin + Send + 'static,
{
    let (mut connection, handle, _) =
        netlink_proto::new_connection_with_socket::<T, TokioSocket>(protocols::NETLINK_GENERIC)?;
    let socket = connection.socket_mut().socket_mut();
    // Without it an error comes back with the whole request, private key included.
    socket.set_cap_ack(true)?;
    socket.set_ext_ack(true)?;
    Ok((handle, tokio::spawn(connection)))
}

fn closed(_: netlink_proto::NetlinkProtoError) -> io::Error {
    io::Error::other("the netlink connection was closed")
}

/// The peers of each message. A key comes once a message, in the order of the operations.
fn batches(operations: &[Operation]) -> Vec<Vec<WireguardPeer>> {
    let mut all: Vec<Vec<WireguardPeer>> = Vec::new();
    let mut keys: Vec<WgKey> = Vec::new();
    let mut bytes = 0;
    for operation in operations {
        for piece in pieces(operation) {
            let size = piece.value_len() + 4;
            match all.last_mut() {
                Some(batch) if bytes + size <= BATCH && !keys.contains(operation.key()) => {
                    batch.push(piece);
                    bytes += size;
                }
                _ => {
                    all.push(vec![piece]);
                    keys.clear();
                    bytes = size;
                }
            }
            keys.push(*operation.key());
        }
    }
    all
}

/// One operation as one peer, or as several where its networks are too many for one message.
fn pieces(operation: &Operation) -> Vec<WireguardPeer> {
    match operation {
        Operation::Remove(key) => vec![WireguardPeer(vec![
            WireguardPeerAttribute::PublicKey(key.0),
            WireguardPeerAttribute::Flags(WireguardPeerFlags::RemoveMe),
        ])],
        Operation::Add(PeerSpec { key, endpoint, allowed, keepalive, psk }) => {
            let psk = Some(psk).filter(|psk| psk.is_some());
            peer(*key, WireguardPeerFlags::empty(), *endpoint, Some(*keepalive), Some(allowed), psk)
        }
        // Update only: a peer that was removed meanwhile must not come back without addresses.
        Operation::Update { key, endpoint, allowed, keepalive, psk } => {
            peer(*key, WireguardPeerFlags::UpdateOnly, *endpoint, *keepalive, allowed.as_ref(), psk.as_ref())
        }
    }
}

fn peer(
    key: WgKey,
    flags: WireguardPeerFlags,
    endpoint: Option<std::net::SocketAddr>,
    keepalive: Option<u16>,
    allowed: Option<&Vec<(IpAddr, u8)>>,
    psk: Option<&Psk>,
) -> Vec<WireguardPeer> {
    let replace = if allowed.is_some() { WireguardPeerFlags::ReplaceAllowedIps } else { WireguardPeerFlags::empty() };
    let mut first = vec![WireguardPeerAttribute::PublicKey(key.0), WireguardPeerAttribute::Flags(flags | replace)];
    first.extend(psk.map(|psk| WireguardPeerAttribute::PresharedKey(*psk.bytes())));
    first.extend(endpoint.map(WireguardPeerAttribute::Endpoint));
    first.extend(keepalive.map(WireguardPeerAttribute::PersistentKeepalive));
    let mut networks = allowed.map(Vec::as_slice).unwrap_or_default().chunks(NETWORKS);
    first.extend(networks.next().map(|chunk| WireguardPeerAttribute::AllowedIps(allowed_ips(chunk))));
    let mut peers = vec![WireguardPeer(first)];
    peers.extend(networks.map(|chunk| {
        WireguardPeer(vec![
            WireguardPeerAttribute::PublicKey(key.0),
            WireguardPeerAttribute::Flags(WireguardPeerFlags::UpdateOnly),
            WireguardPeerAttribute::AllowedIps(allowed_ips(chunk)),
        ])
    }));
    peers
}

fn allowed_ips(networks: &[(IpAddr, u8)]) -> Vec<WireguardAllowedIp> {
    let one = |(address, prefix): &(IpAddr, u8)| {
        let family = match address {
            IpAddr::V4(_) => WireguardAddressFamily::Ipv4,
            IpAddr::V6(_) => WireguardAddressFamily::Ipv6,
        };
        WireguardAllowedIp(vec![
            WireguardAllowedIpAttr::Family(family),
            WireguardAllowedIpAttr::IpAddr(*address),
            WireguardAllowedIpAttr::Cidr(*prefix),
        ])
    };
    networks.iter().map(one).collect()
}

/// The device in the answers to one request; none if it changed between them, so that they do not fit together.
fn whole(answers: Vec<NetlinkMessage<GenlMessage<WireguardMessage>>>) -> io::Result<Option<Observed>> {
    let mut pieces = Vec::new();
    let mut changed = false;
    for answer in answers {
        changed |= answer.header.flags & NLM_F_DUMP_INTR != 0;
        match answer.payload {
            NetlinkPayload::InnerMessage(message) => pieces.push(message.payload.attributes),
            NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
            _ => {}
        }
    }
    Ok((!changed).then(|| joined(pieces)))
}

/// One device from the messages of a dump: a long one cuts a peer in two, and only its first piece has everything.
fn joined(pieces: Vec<Vec<WireguardAttribute>>) -> Observed {
    let mut observed = Observed::default();
    let mut places: BTreeMap<WgKey, usize> = BTreeMap::new();
    for attribute in pieces.into_iter().flatten() {
        match attribute {
            WireguardAttribute::PublicKey(key) => observed.public_key = Some(WgKey(key)),
            WireguardAttribute::ListenPort(port) => observed.port = port,
            WireguardAttribute::Peers(peers) => {
                for attributes in peers {
                    let Some(key) = key(&attributes) else { continue };
                    let place = *places.entry(key).or_insert_with(|| {
                        observed.peers.push(unheard(key));
                        observed.peers.len() - 1
                    });
                    if let Some(peer) = observed.peers.get_mut(place) {
                        read(peer, attributes.0);
                    }
                }
            }
            // A copy of the private key is wiped as soon as it is seen.
            WireguardAttribute::PrivateKey(key) => drop(Zeroizing::new(key)),
            _ => {}
        }
    }
    observed
}

fn key(attributes: &WireguardPeer) -> Option<WgKey> {
    attributes.0.iter().find_map(|attribute| match attribute {
        WireguardPeerAttribute::PublicKey(key) => Some(WgKey(*key)),
        _ => None,
    })
}

fn unheard(key: WgKey) -> ObservedPeer {
    let psk = Psk::none();
    ObservedPeer { key, endpoint: None, allowed: Vec::new(), keepalive: 0, psk, handshake: None, rx: 0, tx: 0 }
}

fn read(peer: &mut ObservedPeer, attributes: Vec<WireguardPeerAttribute>) {
    for attribute in attributes {
        match attribute {
            WireguardPeerAttribute::Endpoint(endpoint) => peer.endpoint = Some(endpoint),
            WireguardPeerAttribute::PersistentKeepalive(seconds) => peer.keepalive = seconds,
            WireguardPeerAttribute::LastHandshake(at) => {
                peer.handshake = u64::try_from(at.seconds).ok().filter(|seconds| *seconds > 0);
            }
            WireguardPeerAttribute::RxBytes(bytes) => peer.rx = bytes,
            WireguardPeerAttribute::TxBytes(bytes) => peer.tx = bytes,
            WireguardPeerAttribute::AllowedIps(networks) => peer.allowed.extend(networks.iter().filter_map(network)),
            WireguardPeerAttribute::PresharedKey(key) => peer.psk = Psk::new(key),
            _ => {}
        }
    }
}

fn network(attributes: &WireguardAllowedIp) -> Option<(IpAddr, u8)> {
    let mut address = None;
    let mut prefix = None;
    for attribute in &attributes.0 {
        match attribute {
            WireguardAllowedIpAttr::IpAddr(ip) => address = Some(*ip),
            WireguardAllowedIpAttr::Cidr(length) => prefix = Some(*length),
            _ => {}
        }
    }
    Some((address?, prefix?))
}

#[cfg(test)]
mod tests {
    use super::{BATCH, batches, joined, pieces, whole};
    use crate::mesh::Psk;
    use crate::mesh::peers::{Observed, ObservedPeer, Operation, PeerSpec, WgKey};
    use netlink_packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NetlinkMessage, Nla};
    use netlink_packet_generic::GenlMessage;
    use netlink_packet_wireguard::{
        WireguardAttribute, WireguardCmd, WireguardMessage, WireguardPeer, WireguardPeerAttribute, WireguardPeerFlags,
        WireguardTimeSpec,
    };
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    fn spec(n: u32, allowed: Vec<(IpAddr, u8)>) -> PeerSpec {
        let mut key = [3; 32];
        key[..4].copy_from_slice(&n.to_be_bytes());
        let endpoint = Some("[2001:db8::1]:51820".parse().expect("an address"));
        PeerSpec { key: WgKey(key), endpoint, allowed, keepalive: 25, psk: Psk::none() }
    }

    fn v4(n: u32) -> (IpAddr, u8) {
        (Ipv4Addr::from_bits(n).into(), 32)
    }

    fn key(peer: &WireguardPeer) -> WgKey {
        super::key(peer).expect("a key")
    }

    fn networks(peer: &WireguardPeer) -> Vec<(IpAddr, u8)> {
        let lists = peer.0.iter().filter_map(|attribute| match attribute {
            WireguardPeerAttribute::AllowedIps(list) => Some(list),
            _ => None,
        });
        lists.flatten().map(|one| super::network(one).expect("a network")).collect()
    }

    fn flags(peer: &WireguardPeer) -> WireguardPeerFlags {
        let found = peer.0.iter().find_map(|attribute| match attribute {
            WireguardPeerAttribute::Flags(flags) => Some(*flags),
            _ => None,
        });
        found.unwrap_or(WireguardPeerFlags::empty())
    }

    #[test]
    fn no_message_nears_the_limit_and_no_peer_is_lost() {
        let operations: Vec<Operation> = (0..2000).map(|n| Operation::Add(spec(n, vec![v4(n)]))).collect();
        let batches = batches(&operations);
        for batch in &batches {
            let bytes = WireguardAttribute::Peers(batch.clone()).value_len();
            assert!(bytes <= BATCH, "{bytes}");
        }
        let keys: Vec<WgKey> = batches.iter().flatten().map(key).collect();
        assert_eq!(keys, operations.iter().map(|operation| *operation.key()).collect::<Vec<_>>());
        assert!(batches.len() < 25, "{} messages", batches.len());
    }

    #[test]
    fn a_peer_made_anew_comes_in_a_message_of_its_own() {
        let spec = spec(1, vec![v4(1)]);
        let made = batches(&[Operation::Remove(spec.key), Operation::Add(spec)]);
        assert_eq!(made.len(), 2);
        assert_eq!(flags(&made[0][0]), WireguardPeerFlags::RemoveMe);
        assert_eq!(flags(&made[1][0]), WireguardPeerFlags::ReplaceAllowedIps);
    }

    #[test]
    fn an_update_says_only_what_it_changes() {
        let key = WgKey([4; 32]);
        let operation = Operation::Update { key, endpoint: None, allowed: None, keepalive: Some(0), psk: None };
        let expected = WireguardPeer(vec![
            WireguardPeerAttribute::PublicKey(key.0),
            WireguardPeerAttribute::Flags(WireguardPeerFlags::UpdateOnly),
            WireguardPeerAttribute::PersistentKeepalive(0),
        ]);
        assert_eq!(pieces(&operation), [expected]);
        let psk = Some(Psk::new([5; 32]));
        let operation = Operation::Update { key, endpoint: None, allowed: None, keepalive: None, psk };
        let expected = WireguardPeer(vec![
            WireguardPeerAttribute::PublicKey(key.0),
            WireguardPeerAttribute::Flags(WireguardPeerFlags::UpdateOnly),
            WireguardPeerAttribute::PresharedKey([5; 32]),
        ]);
        assert_eq!(pieces(&operation), [expected]);
        let operation = Operation::Update { key, endpoint: None, allowed: Some(vec![]), keepalive: None, psk: None };
        let expected = WireguardPeer(vec![
            WireguardPeerAttribute::PublicKey(key.0),
            WireguardPeerAttribute::Flags(WireguardPeerFlags::UpdateOnly | WireguardPeerFlags::ReplaceAllowedIps),
        ]);
        assert_eq!(pieces(&operation), [expected]);
    }

    #[test]
    fn a_peer_with_very_many_networks_is_cut_and_replaces_only_once() {
        let all: Vec<(IpAddr, u8)> = (0..1000_u128).map(|n| (Ipv6Addr::from_bits(n).into(), 128)).collect();
        let batches = batches(&[Operation::Add(spec(1, all.clone()))]);
        assert_eq!(batches.len(), 3);
        let pieces: Vec<&WireguardPeer> = batches.iter().flatten().collect();
        assert_eq!(pieces.iter().flat_map(|piece| networks(piece)).collect::<Vec<_>>(), all);
        assert!(flags(pieces[0]).contains(WireguardPeerFlags::ReplaceAllowedIps));
        assert!(pieces[1..].iter().all(|piece| flags(piece) == WireguardPeerFlags::UpdateOnly));
        for batch in batches {
            assert!(WireguardAttribute::Peers(batch).value_len() <= BATCH);
        }
    }

    #[test]
    fn a_peer_that_a_dump_cut_in_two_is_joined() {
        let key = [5; 32];
        let first = WireguardPeer(vec![
            WireguardPeerAttribute::PublicKey(key),
            WireguardPeerAttribute::PresharedKey([5; 32]),
            WireguardPeerAttribute::PersistentKeepalive(25),
            WireguardPeerAttribute::LastHandshake(WireguardTimeSpec { seconds: 1_800_000_000, nano_seconds: 1 }),
            WireguardPeerAttribute::RxBytes(7),
            WireguardPeerAttribute::AllowedIps(super::allowed_ips(&[v4(1)])),
        ]);
        let rest = WireguardPeer(vec![
            WireguardPeerAttribute::PublicKey(key),
            WireguardPeerAttribute::AllowedIps(super::allowed_ips(&[v4(2)])),
        ]);
        let silent = WireguardPeer(vec![
            WireguardPeerAttribute::PublicKey([6; 32]),
            WireguardPeerAttribute::LastHandshake(WireguardTimeSpec { seconds: 0, nano_seconds: 0 }),
        ]);
        let dump = vec![
            vec![
                WireguardAttribute::PrivateKey([9; 32]),
                WireguardAttribute::PublicKey([8; 32]),
                WireguardAttribute::ListenPort(51820),
                WireguardAttribute::Peers(vec![first]),
            ],
            vec![WireguardAttribute::Peers(vec![rest, silent])],
        ];
        let expected = Observed {
            public_key: Some(WgKey([8; 32])),
            port: 51820,
            peers: vec![
                ObservedPeer {
                    key: WgKey(key),
                    endpoint: None,
                    allowed: vec![v4(1), v4(2)],
                    keepalive: 25,
                    psk: Psk::new([5; 32]),
                    handshake: Some(1_800_000_000),
                    rx: 7,
                    tx: 0,
                },
                super::unheard(WgKey([6; 32])),
            ],
        };
        assert_eq!(joined(dump), expected);
    }

    #[test]
    fn a_device_that_changed_while_it_was_read_is_read_again() {
        let answer = |flags: u16| {
            let attributes = vec![WireguardAttribute::ListenPort(51820)];
            let message = WireguardMessage { cmd: WireguardCmd::GetDevice, attributes };
            let mut answer = NetlinkMessage::from(GenlMessage::from_payload(message));
            answer.header.flags = flags;
            answer
        };
        let port = |answers| whole(answers).expect("no error").map(|observed| observed.port);
        assert_eq!(port(vec![answer(NLM_F_DUMP), answer(0)]), Some(51820));
        assert_eq!(port(vec![answer(0), answer(NLM_F_DUMP_INTR)]), None);
    }
}
