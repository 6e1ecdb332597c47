//! One program for all targets: `FUZZ_TARGET` names the one.
#![no_main]

#[path = "../sim/dice.rs"]
mod dice;
#[path = "../sim/life.rs"]
#[expect(dead_code, reason = "seeded lives are for tests/sim")]
mod life;
#[path = "../sim/reload.rs"]
mod reload;
#[path = "../sim/soup.rs"]
mod soup;
#[path = "../sim/tables.rs"]
mod tables;
mod targets;
#[path = "../sim/world.rs"]
mod world;

use std::sync::OnceLock;

static TARGET: OnceLock<targets::Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let wanted = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
        let (_, target) = targets::TARGETS.iter().find(|(name, _)| *name == wanted).expect("there is such a target");
        TARGET.get_or_init(|| *target);
    },
    |bytes: &[u8]| {
        if let Some(target) = TARGET.get() {
            target(bytes);
        }
    }
);
