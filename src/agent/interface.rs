//! The mesh's link as `node-agent start` keeps it: looked at now and then, known in between, and brought in line with the roster.

use std::collections::BTreeSet;
use std::time::Duration;

use log::{info, warn};
use tokio::time::Instant;

use super::wg::{self, Device, Mode, Settings};
use super::{node, supervisor};
use crate::cluster::{Roster, Verified};
use crate::mesh::WgKey;
use crate::mesh::endpoints::Trials;
use crate::mesh::known::{displaced, doubtful, perform};
use crate::mesh::peers::{OFTEN, Observed, Operation, SELDOM, diff};

/// A link that is gone for this long does not come back by itself: a unit that restarts makes it anew in less.
const GONE: Duration = Duration::from_secs(2);

/// The link.
#[derive(Default)]
pub struct Interface {
    device: Option<Device>,
    /// What the device holds: as it was seen, and as it was changed since.
    known: Option<Observed>,
    /// What was tried to reach each peer.
    trials: Trials,
    /// Since when the kernel's link is gone.
    lost: Option<Instant>,
}

impl Interface {
    /// Who does the work; none while there is no device.
    pub fn mode(&self) -> Option<Mode> {
        self.device.as_ref().map(Device::mode)
    }

    /// The device, as far as is known.
    pub fn observed(&self) -> Option<&Observed> {
        self.known.as_ref().filter(|_| self.device.is_some())
    }

    /// Looks at all of it, and puts right what somebody changed of the link, though not its peers. `own` is this node's public key.
    pub async fn look(&mut self, settings: &Settings, own: WgKey) -> Result<(), wg::Error> {
        let name = &settings.interface;
        let begins = self.device.is_none();
        let device = match &mut self.device {
            Some(device) => device,
            None => self.device.insert(Device::open(name).await?),
        };
        let mut observed = device.dump().await?;
        let changed = wg::repair(settings, own, device, &observed).await?;
        if !changed.is_empty() {
            // Another process may just be making it, and this node may have moved since.
            if !begins {
                info!("{name} was not as it should be; this is as it was again: {}", changed.join(", "));
            }
            observed = device.dump().await?;
        }
        if let (Some(before), Mode::Kernel, false) = (&self.known, device.mode(), begins) {
            let back = displaced(before, &observed);
            device.apply(&back).await?;
            perform(&mut observed, &back);
        }
        self.known = Some(observed);
        self.lost = None;
        Ok(())
    }

    /// Takes where the roster's peers may be reached, and in which run their hosts are.
    pub fn hear(&mut self, roster: &Roster) {
        self.trials.announce(roster.announced());
        self.trials.hear(roster.verified().filter_map(Verified::run), node::now());
    }

    /// Makes the roster's peers those of the device, as it is known; true if there was anything to do. `alone`: gossip shows nobody
    /// else, so it has just begun, and that is no reason to close a tunnel that an agent before this one opened.
    /// `translated`: the addresses of this node are other ones on the way to the others.
    pub async fn follow(&mut self, roster: &Roster, translated: bool, alone: bool) -> Result<bool, wg::Error> {
        let (Some(device), Some(known)) = (&mut self.device, &mut self.known) else { return Ok(false) };
        let often = translated || device.mode() == Mode::Userspace;
        let desired = roster.desired(if often { OFTEN } else { SELDOM });
        let difference = |known: &Observed| {
            let mut trials = self.trials.clone();
            let mut operations = diff(known, &desired, &mut trials, node::now());
            let comes_back = |key: &WgKey| desired.iter().any(|spec| spec.key == *key);
            operations.retain(|operation| match operation {
                Operation::Remove(key) => !alone || comes_back(key),
                Operation::Add(_) | Operation::Update { .. } => true,
            });
            (operations, trials)
        };
        let (mut operations, mut trials) = difference(known);
        if doubtful(known, &operations, node::now()) {
            *known = device.dump().await?;
            (operations, trials) = difference(known);
        }
        if !operations.is_empty() {
            device.apply(&operations).await?;
            for peer in anew(&operations, roster) {
                let name = &peer.record().name;
                info!("the tunnel to node {name} is made anew: it was of an earlier run of its host, or dead");
            }
            perform(known, &operations);
        }
        self.trials = trials;
        Ok(!operations.is_empty())
    }

    /// Whether there is a peer that is to be tried elsewhere soon.
    pub fn tries(&self) -> bool {
        self.trials.pending()
    }

    /// Lets go of the device, which failed, or is not there if `absent`; true if it was held.
    pub fn release(&mut self, absent: bool) -> bool {
        let held = self.device.take();
        if absent && held.as_ref().is_some_and(|device| device.mode() == Mode::Kernel) {
            self.lost = Some(Instant::now());
        }
        held.is_some()
    }

    /// When somebody must see to a link that is gone; none if it is there, or was taken down.
    pub fn overdue(&self) -> Option<Instant> {
        self.lost.map(|since| since + GONE)
    }

    /// Has a link that was deleted made anew, once it is overdue: by PID 1, which restarts what is bound to it, too, or else at once.
    /// `alias` is what it had last: one that was taken down says so.
    pub async fn revive(&mut self, settings: &Settings, alias: Option<&str>) {
        if self.overdue().is_none_or(|due| due > Instant::now()) {
            return;
        }
        self.lost = None;
        if alias == Some(settings.farewell().as_str()) {
            return;
        }
        let name = &settings.interface;
        let Err(unasked) = supervisor::try_restart("wg0") else {
            info!("somebody deleted {name}: the unit wg0 starts again if it was active");
            return;
        };
        match wg::restore(settings).await {
            Ok(()) => info!("somebody deleted {name}: it is made anew"),
            Err(error) => warn!(
                "unable to make {name} anew, which somebody deleted: {error}, and PID 1 does not: {unasked}; restart the unit wg0"
            ),
        }
    }
}

/// The peers that are removed and added again.
fn anew<'a>(operations: &[Operation], roster: &'a Roster) -> Vec<&'a Verified> {
    let gone = operations.iter().filter_map(|operation| match operation {
        Operation::Remove(key) => Some(key),
        Operation::Add(_) | Operation::Update { .. } => None,
    });
    let gone: BTreeSet<&WgKey> = gone.collect();
    if gone.is_empty() {
        return Vec::new();
    }
    roster.verified().filter(|peer| gone.contains(&peer.record().key)).collect()
}
