//! WireGuard in user space, by its text protocol over a unix socket (wireguard.com/xplatform).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;
use zeroize::{Zeroize, Zeroizing};

use crate::mesh::Psk;
use crate::mesh::peers::{Observed, ObservedPeer, Operation, WgKey};

/// Where the `wg` program looks for sockets.
const DIRECTORY: &str = "/var/run/wireguard";

/// How long the other side may take: it works in memory.
const LIMIT: Duration = Duration::from_secs(10);

/// Operations in one request.
const BATCH: usize = 256;

/// Returns the socket of the interface `name`.
pub fn socket(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(format!("{name}.sock"))
}

/// Whether something answers at the socket. A socket that nobody listens at is a leftover.
pub async fn answers(socket: &Path) -> bool {
    timeout(LIMIT, UnixStream::connect(socket)).await.is_ok_and(|connected| connected.is_ok())
}

/// Returns the device as it is. ENOENT or ECONNREFUSED if nothing serves it.
pub async fn dump(socket: &Path) -> io::Result<Observed> {
    let text = ask(socket, "get=1\n\n").await?;
    parsed(&text)
}

/// Performs the operations in order, as few requests as the protocol allows.
pub async fn apply(socket: &Path, operations: &[Operation]) -> io::Result<()> {
    for request in requests(operations) {
        let text = ask(socket, &request).await?;
        parsed(&text)?;
    }
    Ok(())
}

/// Sets the private key, which must be clamped, and the port; what is none stays.
pub async fn configure(socket: &Path, key: Option<&Zeroizing<[u8; 32]>>, port: Option<u16>) -> io::Result<()> {
    let mut request = Zeroizing::new("set=1\n".to_owned());
    if let Some(key) = key {
        let _ = writeln!(request, "private_key={}", *Zeroizing::new(hex(&**key)));
    }
    if let Some(port) = port {
        let _ = writeln!(request, "listen_port={port}");
    }
    request.push('\n');
    let text = ask(socket, &request).await?;
    parsed(&text).map(drop)
}

/// Sends one request and returns the answer, without the empty line at its end.
async fn ask(socket: &Path, request: &str) -> io::Result<Zeroizing<String>> {
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut reader = BufReader::new(stream);
        let mut text = Zeroizing::new(String::new());
        loop {
            let before = text.len();
            if reader.read_line(&mut text).await? == 0 {
                return Err(io::Error::other("the device did not understand the request"));
            }
            if text.get(before..) == Some("\n") {
                return Ok(text);
            }
        }
    };
    timeout(LIMIT, exchange).await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
}

/// The operations as requests. A key may come once a request, and the order is kept.
fn requests(operations: &[Operation]) -> Vec<Zeroizing<String>> {
    let mut all = Vec::new();
    let mut text = Zeroizing::new(String::new());
    let mut keys = BTreeSet::new();
    for operation in operations {
        if keys.len() >= BATCH || !keys.insert(*operation.key()) {
            all.push(ended(&mut text));
            keys.clear();
            keys.insert(*operation.key());
        }
        put(&mut text, operation);
    }
    if !text.is_empty() {
        all.push(ended(&mut text));
    }
    all
}

fn ended(text: &mut Zeroizing<String>) -> Zeroizing<String> {
    let body = std::mem::take(text);
    Zeroizing::new(format!("set=1\n{}\n", body.as_str()))
}

fn put(text: &mut String, operation: &Operation) {
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        // A string takes every write.
        let _ = writeln!(text, "{key}={value}");
    };
    line("public_key", &hex(&operation.key().0));
    let (endpoint, allowed, keepalive, psk) = match operation {
        Operation::Remove(_) => {
            line("remove", &true);
            return;
        }
        Operation::Add(spec) => {
            (spec.endpoint, Some(&spec.allowed), Some(spec.keepalive), Some(&spec.psk).filter(|psk| psk.is_some()))
        }
        Operation::Update { endpoint, allowed, keepalive, psk, .. } => {
            line("update_only", &true);
            (*endpoint, allowed.as_ref(), *keepalive, psk.as_ref())
        }
    };
    if let Some(psk) = psk {
        // Zeros take it away.
        line("preshared_key", &*Zeroizing::new(hex(psk.bytes())));
    }
    if let Some(endpoint) = endpoint {
        line("endpoint", &endpoint);
    }
    if let Some(keepalive) = keepalive {
        line("persistent_keepalive_interval", &keepalive);
    }
    if let Some(allowed) = allowed {
        line("replace_allowed_ips", &true);
        for (address, prefix) in allowed {
            line("allowed_ip", &format_args!("{address}/{prefix}"));
        }
    }
}

/// A device from an answer; the error that it reports, if it reports one.
fn parsed(text: &str) -> io::Result<Observed> {
    let mut observed = Observed::default();
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=') else { continue };
        match name {
            "errno" => match number(name, value)? {
                0_i32 => {}
                code => return Err(io::Error::from_raw_os_error(code.abs())),
            },
            "private_key" => {
                let mut secret = unhex(value).ok_or_else(|| wrong(name))?;
                let public = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(secret));
                secret.zeroize();
                observed.public_key = Some(WgKey(public.to_bytes()));
            }
            "listen_port" => observed.port = number(name, value)?,
            "public_key" => {
                let key = WgKey(unhex(value).ok_or_else(|| wrong(name))?);
                let (endpoint, allowed) = (None, Vec::new());
                observed.peers.push(ObservedPeer {
                    key,
                    endpoint,
                    allowed,
                    keepalive: 0,
                    psk: Psk::none(),
                    handshake: None,
                    rx: 0,
                    tx: 0,
                });
            }
            _ => {
                if let Some(peer) = observed.peers.last_mut() {
                    read(peer, name, value)?;
                }
            }
        }
    }
    Ok(observed)
}

fn read(peer: &mut ObservedPeer, name: &str, value: &str) -> io::Result<()> {
    match name {
        "endpoint" => peer.endpoint = Some(number(name, value)?),
        "preshared_key" => peer.psk = Psk::new(unhex(value).ok_or_else(|| wrong(name))?),
        "persistent_keepalive_interval" => peer.keepalive = number(name, value)?,
        "last_handshake_time_sec" => peer.handshake = Some(number(name, value)?).filter(|seconds| *seconds > 0),
        "rx_bytes" => peer.rx = number(name, value)?,
        "tx_bytes" => peer.tx = number(name, value)?,
        "allowed_ip" => {
            let (address, prefix) = value.split_once('/').ok_or_else(|| wrong(name))?;
            let address: IpAddr = number(name, address)?;
            peer.allowed.push((address, number(name, prefix)?));
        }
        // The protocol grows by keys that an older reader does not know.
        _ => {}
    }
    Ok(())
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> io::Result<T> {
    value.parse().map_err(|_| wrong(name))
}

fn wrong(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the device answered with a {name} that is none"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::{parsed, requests};
    use crate::mesh::Psk;
    use crate::mesh::peers::{Observed, ObservedPeer, Operation, PeerSpec, WgKey};

    fn operations() -> Vec<Operation> {
        vec![
            Operation::Remove(WgKey([0x0a; 32])),
            Operation::Update {
                key: WgKey([0x0b; 32]),
                endpoint: Some("[fd00::2]:51820".parse().expect("an address")),
                allowed: None,
                keepalive: Some(25),
                psk: Some(Psk::none()),
            },
            Operation::Update {
                key: WgKey([0x0c; 32]),
                endpoint: None,
                allowed: Some(vec![]),
                keepalive: None,
                psk: None,
            },
            Operation::Add(PeerSpec {
                key: WgKey([0x0d; 32]),
                endpoint: Some("192.0.2.4:51820".parse().expect("an address")),
                allowed: vec![
                    ("10.42.0.4".parse().expect("an address"), 32),
                    ("fd12::4".parse().expect("an address"), 128),
                ],
                keepalive: 0,
                psk: Psk::new([0x5a; 32]),
            }),
        ]
    }

    #[test]
    fn operations_become_one_request() {
        let expected = "set=1
public_key=0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a
remove=true
public_key=0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b
update_only=true
preshared_key=0000000000000000000000000000000000000000000000000000000000000000
endpoint=[fd00::2]:51820
persistent_keepalive_interval=25
public_key=0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c
update_only=true
replace_allowed_ips=true
public_key=0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d
preshared_key=5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a
endpoint=192.0.2.4:51820
persistent_keepalive_interval=0
replace_allowed_ips=true
allowed_ip=10.42.0.4/32
allowed_ip=fd12::4/128

";
        let made = requests(&operations());
        assert_eq!(made.iter().map(|request| request.as_str()).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn nothing_to_do_is_no_request() {
        assert!(requests(&[]).is_empty());
    }

    #[test]
    fn a_peer_made_anew_takes_two_requests() {
        let spec = PeerSpec { key: WgKey([1; 32]), endpoint: None, allowed: vec![], keepalive: 0, psk: Psk::none() };
        let made_anew = requests(&[Operation::Remove(spec.key), Operation::Add(spec)]);
        assert_eq!(made_anew.len(), 2);
        assert!(made_anew.iter().all(|request| request.starts_with("set=1\n") && request.ends_with("\n\n")));
    }

    #[test]
    fn many_operations_are_cut_and_none_is_lost() {
        let many: Vec<Operation> = (0..=255_u8)
            .flat_map(|high| (0..4_u8).map(move |low| (high, low)))
            .map(|(high, low)| {
                let mut key = [7; 32];
                key[0] = high;
                key[1] = low;
                Operation::Remove(WgKey(key))
            })
            .collect();
        let sizes: Vec<usize> = requests(&many).iter().map(|request| request.matches("remove=true").count()).collect();
        assert_eq!(sizes, [256, 256, 256, 256]);
    }

    #[test]
    fn an_answer_is_read() {
        let text = "private_key=0000000000000000000000000000000000000000000000000000000000000040
listen_port=51820
public_key=0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b
preshared_key=5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a
endpoint=192.0.2.2:51820
persistent_keepalive_interval=25
last_handshake_time_sec=1800000000
last_handshake_time_nsec=5
rx_bytes=7
tx_bytes=8
allowed_ip=10.42.0.2/32
allowed_ip=fd12::2/128
public_key=0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c
last_handshake_time_sec=0
a_key_of_tomorrow=1
errno=0

";
        let observed = parsed(text).expect("an answer");
        let clamped = {
            let mut key = [0; 32];
            key[31] = 0x40;
            x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(key)).to_bytes()
        };
        let expected = Observed {
            public_key: Some(WgKey(clamped)),
            port: 51820,
            peers: vec![
                ObservedPeer {
                    key: WgKey([0x0b; 32]),
                    endpoint: Some("192.0.2.2:51820".parse().expect("an address")),
                    allowed: vec![
                        ("10.42.0.2".parse().expect("an address"), 32),
                        ("fd12::2".parse().expect("an address"), 128),
                    ],
                    keepalive: 25,
                    psk: Psk::new([0x5a; 32]),
                    handshake: Some(1_800_000_000),
                    rx: 7,
                    tx: 8,
                },
                ObservedPeer {
                    key: WgKey([0x0c; 32]),
                    endpoint: None,
                    allowed: vec![],
                    keepalive: 0,
                    psk: Psk::none(),
                    handshake: None,
                    rx: 0,
                    tx: 0,
                },
            ],
        };
        assert_eq!(observed, expected);
    }

    #[test]
    fn an_error_number_is_an_error() {
        for text in ["errno=98\n\n", "errno=-98\n\n"] {
            let error = parsed(text).expect_err("an error");
            assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE), "{text}");
        }
    }

    #[test]
    fn nonsense_is_an_error_that_names_the_key_and_not_the_value() {
        for text in ["private_key=12\n", "listen_port=99999\n", "public_key=zz\n"] {
            let error = parsed(text).expect_err("an error").to_string();
            let name = text.split('=').next().expect("a key");
            assert_eq!(error, format!("the device answered with a {name} that is none"));
        }
    }
}
