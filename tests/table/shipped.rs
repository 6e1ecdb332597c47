//! The table that is shipped, and what is left of it when bytes are damaged.

use std::path::PathBuf;

use clusteros_init::unit::read::read;

fn text() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("rootfs/etc/cluster-os/units.toml");
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("unable to read {}: {e}", path.display()))
}

#[test]
fn it_is_good() {
    let table = read(&[("units.toml".to_owned(), text())]).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    let name = |id: clusteros_init::unit::UnitId| table.units[id.index()].name.as_str();
    let order: Vec<&str> = table.order().into_iter().map(name).collect();
    assert_eq!(order, ["identity", "wg0", "gossip", "node-agent", "k3s-pods", "k3s", "k3s-node"]);
}

/// What is not ours has no need of it.
#[test]
fn gossip_does_not_inherit_the_key_of_the_cluster() {
    let table = read(&[("units.toml".to_owned(), text())]).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    let gossip = table.units.iter().find(|unit| unit.name == "gossip").expect("the unit");
    assert!(gossip.attributes.clear_env && !gossip.attributes.pass_env.iter().any(|name| name == "CLUSTER_AUTH_KEY"));
}

/// Damages the shipped table 20,000 times, from one bit to whole pieces moved. The reader answers, and every mistake that
/// it names is at a place that exists.
#[test]
fn damaged_bytes_never_panic() {
    let whole = text().into_bytes();
    let mut dice = Dice(0x5eed_0f7a_b1e5);
    let (mut good, mut bad) = (0, 0);
    for round in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..=dice.below(6) {
            damage(&mut bytes, &mut dice);
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines = text.split('\n').count();
        match read(&[("units.toml".to_owned(), text)]) {
            Ok(table) => {
                assert_eq!(table.order().len(), table.units.len(), "round {round}");
                good += 1;
            }
            Err(mistakes) => {
                assert!(!mistakes.is_empty(), "round {round}: refused without a reason");
                for mistake in mistakes {
                    assert!((1..=lines).contains(&mistake.line) && mistake.column >= 1, "round {round}: {mistake}");
                    assert!(!mistake.to_string().contains('\n'), "round {round}: {mistake}");
                }
                bad += 1;
            }
        }
    }
    // Both outcomes were really tried.
    assert!(good > 1000 && bad > 1000, "{good} good, {bad} bad");
}

fn damage(bytes: &mut Vec<u8>, dice: &mut Dice) {
    const PIECES: &[&str] =
        &["[", "]", "\"", "\"\"\"", "=", "\n", "\0", "[unit.x]", "{", "}", "?", "..", "\u{feff}", "\\u0000", "\r"];
    if bytes.is_empty() {
        return;
    }
    let at = dice.below(bytes.len());
    match dice.below(6) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = u8::try_from(dice.below(256)).unwrap_or(0),
        2 => drop(bytes.remove(at)),
        3 => drop(bytes.splice(at..at, PIECES[dice.below(PIECES.len())].bytes())),
        4 => {
            let end = (at + dice.below(80)).min(bytes.len());
            let piece: Vec<u8> = bytes.drain(at..end).collect();
            let to = dice.below(bytes.len() + 1);
            drop(bytes.splice(to..to, piece));
        }
        _ => bytes.truncate(at),
    }
}

/// xorshift64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap_or(1)).unwrap_or(0)
    }
}
