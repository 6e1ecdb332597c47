//! Who is not of the cluster, but on its network, sends as fast as it can.

use std::net::UdpSocket;
use std::time::Instant;

use clusteros_init::gossip::Dice;
use clusteros_init::gossip::wire::crypt::{Key, Keyring};
use clusteros_init::gossip::wire::message::{Addr, Alive, Dead, Message, Suspect};
use clusteros_init::gossip::wire::{Layers, packet};

use crate::cluster::{Agent, LIMIT, Program, cluster};
use crate::kit::{directory, wait_until};

const KEY: &str = "Vk/hxhubMAAPFe+bEcR5FGmiRas2bpzCs5FfX1eQpTM=";
const OTHER: &str = "dGVzdGtleTE2Ynl0ZXMhIQ==";
/// Each kind of flood has so many datagrams: on a machine that does nothing else, seconds of 100,000.
const COUNT: usize = 100_000;

/// SplitMix64.
struct Seeded(u64);

impl Dice for Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// What a member of the cluster of this key might say, in one datagram.
fn sealed(key: &str, parts: &[Message], dice: &mut Seeded) -> Vec<u8> {
    let ring = Keyring::new(Key::from_base64(key).expect("a key")).expect("a ring");
    let layers = Layers { keyring: Some(&ring), ..Layers::default() };
    let parts: Vec<_> = parts.iter().map(Message::encode).collect();
    packet::encode(&parts, Some(5), &layers, dice).remove(0)
}

/// Of a member: that it is elsewhere, that it is suspected, that it is dead, all from before it said more.
fn rumours(name: &str) -> [Message; 3] {
    let node = || name.into();
    [
        Message::Alive(Alive {
            incarnation: 0,
            node: node(),
            addr: Addr(vec![127, 0, 0, 9]),
            port: 9,
            ..Alive::default()
        }),
        Message::Suspect(Suspect { incarnation: 0, node: node(), from: "nobody".into() }),
        Message::Dead(Dead { incarnation: 0, node: node(), from: "nobody".into() }),
    ]
}

#[test]
fn a_flood_leaves_membership_right_and_memory_flat() {
    let folder = directory("flood");
    let agents = cluster(&folder, &[Program::Ours; 3], |configuration| {
        configuration["encrypt_key"] = KEY.into();
        configuration["log_level"] = "info".into();
    });
    let names: Vec<_> = agents.iter().map(|agent| agent.name.clone()).collect();
    let mut dice = Seeded(1);
    let genuine: Vec<_> = names.iter().map(|name| sealed(KEY, &rumours(name), &mut dice)).collect();
    let foreign: Vec<_> = names.iter().map(|name| sealed(OTHER, &rumours(name), &mut dice)).collect();
    let plain: Vec<_> = names.iter().flat_map(|name| rumours(name).map(|message| message.encode())).collect();
    let victim = &agents[0];
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    stranger.connect(&victim.gossip).expect("an address");
    // What it takes and says is not of the protocol.
    let ours = std::env::var_os("UNDER_TEST").is_none();
    let start = Instant::now();
    let mut most = 0;
    for kind in ["garbage", "plain", "another key", "changed", "cut", "replayed"] {
        let began = Instant::now();
        for _ in 0..COUNT {
            let mut of = |datagrams: &[Vec<u8>]| datagrams[dice.below(datagrams.len())].clone();
            let datagram = match kind {
                "garbage" => {
                    let mut bytes = vec![0; dice.below(1400)];
                    dice.fill(&mut bytes);
                    bytes
                }
                "plain" => of(&plain),
                "another key" => of(&foreign),
                "replayed" => of(&genuine),
                "cut" => {
                    let mut bytes = of(&genuine);
                    bytes.truncate(dice.below(bytes.len()));
                    bytes
                }
                _ => {
                    let mut bytes = of(&genuine);
                    let at = dice.below(bytes.len());
                    bytes[at] ^= 1 << dice.below(8);
                    bytes
                }
            };
            // What its socket has no room for is lost, as on a network.
            drop(stranger.send(&datagram));
        }
        // It has taken all that it is going to take of this.
        for agent in &agents {
            names.iter().for_each(|name| agent.sees(name, "alive"));
            assert_eq!(agent.statuses().len(), names.len(), "{kind}");
        }
        let memory = victim.memory();
        eprintln!("{kind}: {:.0} datagrams a second, then {memory} kB", COUNT as f64 / began.elapsed().as_secs_f64());
        // The first ones fill what is filled once.
        assert!(most == 0 || memory <= most + 512 || !ours, "{kind}: {memory} kB after {most} kB");
        most = most.max(memory);
    }
    let minutes = usize::try_from(start.elapsed().as_secs() / 60).expect("a number");
    if ours {
        said(victim, &stranger.local_addr().expect("an address").to_string(), minutes);
    }
    // Its word still counts: a tag gets around.
    agents[0].change(|configuration| configuration["tags"] = serde_json::json!({"after": "all"}));
    agents[0].signal(1);
    wait_until("a tag gets around", LIMIT, || agents[2].tags(&names[0]).contains_key("after"));
}

/// Each cause was said with who it was, and no more often than once a minute.
fn said(victim: &Agent, stranger: &str, minutes: usize) {
    let log = victim.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("acket") && line.contains("refused: ")).collect();
    for cause in ["Plain packet refused: it is not encrypted", "Packet of another key refused: no key here opens it"] {
        assert!(lines.iter().any(|line| line.contains(cause) && line.contains(stranger)), "{log}");
    }
    assert!(lines.iter().all(|line| line.contains(" from=")), "{log}");
    assert!(lines.len() <= 4 * (minutes + 1), "{} lines: {log}", lines.len());
}
