//! Whether all members understand each other (section 1.5).

use std::fmt;

use crate::gossip::Name;

/// Least, most and used version of memberlist's protocol, then of the delegate's.
pub type Versions = [u8; 6];

/// What came, if it is versions: six of them, and memberlist's in order.
pub(super) fn versions(bytes: &[u8]) -> Option<Versions> {
    let versions: Versions = bytes.try_into().ok()?;
    let [min, max, ..] = versions;
    (min != 0 && max != 0 && min <= max).then_some(versions)
}

/// A node does not speak what all others understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incompatible {
    /// The node.
    pub node: Name,
    /// What it uses.
    pub used: u8,
    /// The least that all others understand.
    pub min: u8,
    /// The most.
    pub max: u8,
    /// Whether it is the protocol of the delegate, and not memberlist's.
    pub delegate: bool,
}

impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Incompatible { node, used, min, max, delegate } = self;
        let protocol = if *delegate { "delegate protocol" } else { "protocol" };
        write!(f, "Node '{node}' {protocol} version ({used}) is incompatible: [{min}, {max}]")
    }
}

/// What all nodes seen so far understand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common {
    min: u8,
    max: u8,
    delegate_min: u8,
    delegate_max: u8,
}

/// Anything.
impl Default for Common {
    fn default() -> Common {
        Common { min: 0, max: u8::MAX, delegate_min: 0, delegate_max: u8::MAX }
    }
}

impl Common {
    /// One more that is alive.
    pub fn narrow(&mut self, versions: &Versions) {
        let [min, max, _, delegate_min, delegate_max, _] = *versions;
        self.min = self.min.max(min);
        self.max = self.max.min(max);
        self.delegate_min = self.delegate_min.max(delegate_min);
        self.delegate_max = self.delegate_max.min(delegate_max);
    }

    /// Whether a node uses what all understand.
    pub fn admit(&self, node: &Name, versions: &Versions) -> Result<(), Incompatible> {
        let [_, _, used, _, _, delegate_used] = *versions;
        let (min, max) = (self.min, self.max);
        if used < min || used > max {
            return Err(Incompatible { node: node.clone(), used, min, max, delegate: false });
        }
        let (used, min, max) = (delegate_used, self.delegate_min, self.delegate_max);
        if used < min || used > max {
            return Err(Incompatible { node: node.clone(), used, min, max, delegate: true });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Common, versions};

    const USUAL: [u8; 6] = [1, 5, 2, 2, 5, 5];

    #[test]
    fn versions_are_six_and_in_order_2_5() {
        assert_eq!(versions(&USUAL), Some(USUAL));
        for bad in [&[][..], &[1, 5, 2], &[0, 5, 2, 2, 5, 5], &[1, 0, 2, 2, 5, 5], &[3, 2, 2, 2, 5, 5], &[1; 7]] {
            assert_eq!(versions(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn who_is_alive_decides_what_all_must_use_1_5() {
        let mut common = Common::default();
        common.narrow(&USUAL);
        common.narrow(&[1, 3, 2, 2, 4, 4]);
        assert_eq!(common.admit(&"a".into(), &[1, 5, 2, 2, 4, 4]), Ok(()));
        let error = common.admit(&"a".into(), &USUAL).expect_err("5 is more than 4");
        assert_eq!(error.to_string(), "Node 'a' delegate protocol version (5) is incompatible: [2, 4]");
        let error = common.admit(&"b".into(), &[1, 5, 4, 2, 5, 4]).expect_err("4 is more than 3");
        assert_eq!(error.to_string(), "Node 'b' protocol version (4) is incompatible: [1, 3]");
    }
}
