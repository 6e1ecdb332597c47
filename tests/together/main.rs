//! Clusters of whole nodes on a network that never was: gossip, roster, address and device together, in the code that runs.
//!
//! `SWIM_SEED` replays a run. `MESH_NODES=1000` plays a cluster of that size instead of a small one, and `MESH_PREFIX=24` takes
//! addresses from a network of that size: of 100 nodes in 254 addresses a third must move. `MESH_FIGURES=tests/together` writes
//! what came of it into `FIGURES.md` there.

mod agent;
mod device;
mod figures;
#[path = "../kit/seeded.rs"]
mod seeded;
mod village;
#[expect(dead_code, reason = "the rest is for the tests of nodes")]
#[path = "../node/world.rs"]
mod world;

use std::time::{Duration, Instant};

use figures::Figures;
use village::{KEEPALIVE, Village};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_cluster_comes_together_and_each_change_costs_what_it_must() {
    let (seed, nodes) = (seed(), number("MESH_NODES", 25));
    let prefix = number("MESH_PREFIX", if nodes <= 100 { 24 } else { 16 });
    let began = Instant::now();
    let mut figures = Figures::new(seed, nodes, prefix);
    let mut village = Village::new(seed, prefix as u8);

    // All start within a second.
    let cost = village.gather(nodes);
    figures.add("all join within a second", cost);
    assert!(cost.dropped <= village.moved() * nodes, "only who moved to another address was made anew");

    let cost = village.change("it joins", |village| village.arrive(nodes));
    // Those that were there add it, and it adds them.
    assert!(cost.operations >= 2 * nodes);
    figures.add("one more joins", cost);

    // Tunnels that stand by now.
    village.pass(KEEPALIVE);
    let cost = village.change("it listens on another port", |village| village.announce(3, 4242));
    // It is heard from there, and that is where WireGuard sends to.
    assert_eq!((cost.operations, cost.dropped), (0, 0), "nothing is written over a session that lives");
    figures.add("one listens on another port", cost);

    let cost = village.change("it is killed", |village| village.kill(5));
    assert_eq!(cost.operations, 0, "its tunnels stay");
    figures.add("one is killed", cost);

    let cost = village.change("it is back", |village| village.back(5));
    // It finds its device as it left it: the kernel's outlives the agent.
    assert_eq!((cost.operations, cost.dropped), (0, 0), "it is as it was");
    figures.add("it is back", cost);

    let cost = village.change("it leaves", |village| village.leave(7));
    assert_eq!((cost.operations, cost.dropped), (nodes, nodes), "everybody closes one tunnel");
    figures.add("one leaves", cost);

    let cost = village.split(2 * MINUTE);
    assert_eq!(cost.operations, 0, "no tunnel is touched by a gossip that is cut in two");
    figures.add("cut in two for two minutes, and healed", cost);

    eprint!("{}", figures.text());
    eprintln!("seed {seed}, {} moved, {:.1} s", village.moved(), began.elapsed().as_secs_f64());
    figures.keep();
}

#[test]
fn many_that_are_forged_to_one_address_settle_the_same_way() {
    let seed = seed();
    for round in 0..5 {
        let mut village = Village::new(seed.wrapping_add(round), 24);
        village.forge(3);
        let cost = village.meet();
        assert!(cost.took <= Duration::from_secs(2), "{:?} after they met", cost.took);
        assert_eq!(village.moved(), 2, "one of three stays");
        let held = village.addresses();
        village.restart_all();
        assert_eq!(village.addresses(), held, "and it stays so");
    }
}

#[test]
fn nobody_holds_an_address_twice_whatever_happens() {
    let seed = seed();
    let mut village = Village::new(seed, 27);
    village.gather(16);
    village.churn(5 * MINUTE, 0.1);
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn seed() -> u64 {
    let given = std::env::var("SWIM_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()) << 32);
    eprintln!("seed {seed}; replay it with SWIM_SEED={seed}");
    seed
}
