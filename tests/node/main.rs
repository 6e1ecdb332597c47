//! Whole nodes in a network in memory, on a clock of their own.

#[path = "../kit/seeded.rs"]
mod seeded;
mod world;

use std::time::Duration;

use clusteros_init::gossip::Dice;
use clusteros_init::gossip::node::{Event, PEERS, Setup};
use clusteros_init::gossip::serf::Status;
use clusteros_init::gossip::wire::message::{Alive, Message, VSN};
use seeded::Seeded;
use world::{World, address, keyring, name};

const MINUTE: Duration = Duration::from_secs(60);

/// `count` nodes that all start at once, with the first as the seed of all.
fn cluster(world: &mut World, count: usize, change: impl Fn(&mut Setup)) {
    for _ in 0..count {
        world.start(|setup| {
            setup.seeds = vec!["10.0.0.0".to_owned()];
            change(setup);
        });
    }
    let took = world.until("all see all", MINUTE, |world| world.all_see(0..count, Status::Alive));
    assert!(took < Duration::from_secs(2), "{count} nodes took {took:?}");
}

#[test]
fn a_life_from_join_to_leave_with_and_without_a_key() {
    for (seed, loss, encrypted) in [(1, 0, false), (2, 0, true), (3, 20, true)] {
        let mut world = World::new(seed);
        let change = |setup: &mut Setup| {
            setup.keyring = encrypted.then(|| keyring(7));
            setup.serf.encrypted = encrypted;
        };
        cluster(&mut world, 5, change);
        world.loss = loss;
        world.run(10 * MINUTE);
        assert!(world.all_see(0..5, Status::Alive), "{loss} % loss");

        world.kill(4);
        let took = world.until("a failure is seen", MINUTE, |world| world.all_see(4..5, Status::Failed));
        assert!(took < Duration::from_secs(if loss == 0 { 10 } else { 40 }), "{took:?}");
        world.restart(4, |setup| {
            setup.seeds = vec!["10.0.0.1".to_owned()];
            change(setup);
        });
        world.until("it is back", MINUTE, |world| world.all_see(0..5, Status::Alive));

        let client = world.client(3);
        world.say(3, client, b"\x82\xa7Command\xa5leave\xa3Seq\x02");
        let took = world.until("it has left", MINUTE, |world| world.hosts[3].exit == Some(true));
        assert!(took < Duration::from_secs(8), "{took:?}");
        assert!(world.told(3, client).ends_with(b"\x82\xa5Error\xa0\xa3Seq\x02"));
        world.kill(3);
        world.until("the leave is seen", MINUTE, |world| world.all_see(3..4, Status::Left));
    }
}

#[test]
fn a_node_that_gossip_alone_found_goes_on_trying_its_seeds() {
    let mut world = World::new(6);
    world.start(|_| {});
    world.kill(0);
    world.start(|setup| setup.seeds = vec!["10.0.0.0".to_owned()]);
    let vsn = VSN.to_vec();
    let news = Alive { incarnation: 1, node: name(9), addr: address(9).ip().into(), port: 7946, meta: Vec::new(), vsn };
    world.handle(1, Event::Datagram { from: address(9), bytes: &Message::Alive(news).encode() });
    assert_eq!(world.status(1, 9), Some(Status::Alive));
    world.run(Duration::from_secs(4));
    assert_eq!(world.status(1, 9), Some(Status::Alive));
    // At once, after 0.25, 0.5, 1, ... s.
    let tries = world.hosts[1].log.iter().filter(|line| line.contains("memberlist: Failed to join 10.0.0.0")).count();
    assert_eq!(tries, 5);
}

#[test]
fn a_network_that_was_cut_in_two_is_one_again() {
    let mut world = World::new(12);
    cluster(&mut world, 8, |_| {});
    (0..8).for_each(|at| world.side(at, at % 2));
    let lost = |world: &World| {
        (0..8).all(|at| (0..8).all(|other| (world.status(at, other) == Some(Status::Failed)) == (at % 2 != other % 2)))
    };
    world.until("each half has lost the other", MINUTE, lost);
    world.run(10 * MINUTE);
    (0..8).for_each(|at| world.side(at, 0));
    world.until("all see all again", 5 * MINUTE, |world| world.all_see(0..8, Status::Alive));
}

#[test]
fn a_seed_that_comes_late_and_one_that_is_lost_are_found() {
    let mut world = World::new(5);
    world.start(|_| {});
    world.kill(0);
    world.start(|setup| setup.seeds = vec!["10.0.0.0".to_owned()]);
    world.run(10 * MINUTE);
    // Twenty tries, and once a minute that they fail.
    let said = world.hosts[1].log.iter().filter(|line| line.contains("[WARN] agent: error joining")).count();
    assert!((8..=11).contains(&said), "{said}");
    world.restart(0, |_| {});
    world.until("it is joined", Duration::from_secs(31), |world| world.all_see(0..2, Status::Alive));
    // It comes back as if it had never been there, and knows nobody.
    world.kill(0);
    world.until("it failed", MINUTE, |world| world.status(1, 0) == Some(Status::Failed));
    world.run(3 * MINUTE);
    world.restart(0, |_| {});
    world.until("it is joined again", Duration::from_secs(61), |world| world.all_see(0..2, Status::Alive));
}

#[test]
fn a_join_at_the_start_that_fails_ends_the_node() {
    let mut world = World::new(6);
    world.start(|setup| setup.join = vec!["10.0.0.9".to_owned(), "nowhere".to_owned()]);
    world.until("it ends", MINUTE, |world| world.hosts[0].exit == Some(false));
    let log = world.hosts[0].log.join("\n");
    assert!(log.contains("Failed to join 10.0.0.9: dial tcp 10.0.0.9:7946: connect: connection refused"), "{log}");
    assert!(log.contains("Failed to resolve nowhere: lookup nowhere: no such host"), "{log}");
}

#[test]
fn a_flood_of_garbage_changes_nothing_and_is_answered_by_nothing() {
    for encrypted in [false, true] {
        let mut world = World::new(7);
        cluster(&mut world, 3, |setup| {
            setup.keyring = encrypted.then(|| keyring(7));
            setup.serf.encrypted = encrypted;
        });
        world.run(MINUTE);
        let (sent, lines) = (world.hosts[0].sent, world.hosts[0].log.len());
        let mut dice = Seeded(8);
        for _ in 0..20_000 {
            let mut bytes = vec![0; dice.below(1500)];
            dice.fill(&mut bytes);
            world.handle(0, Event::Datagram { from: address(99), bytes: &bytes });
        }
        let said = world.hosts[0].log.len() - lines;
        assert!(said <= 8, "{said}: {:?}", &world.hosts[0].log[lines..]);
        if encrypted {
            assert_eq!(world.hosts[0].sent, sent);
            assert_eq!(
                said,
                4,
                "plain, broken, of another key, of another cluster: {:?}",
                &world.hosts[0].log[lines..]
            );
        }
        world.run(MINUTE);
        assert!(world.all_see(0..3, Status::Alive));
    }
}

#[test]
fn connections_that_say_nothing_end() {
    let mut world = World::new(9);
    world.start(|_| {});
    let node = world.hosts[0].node.as_mut().expect("it runs");
    let links: Vec<_> = (0..PEERS + 9).map(|_| node.accept(world.now, address(5))).collect();
    assert_eq!(links.iter().flatten().count(), PEERS);
    world.run(Duration::from_secs(11));
    let node = world.hosts[0].node.as_mut().expect("it runs");
    assert!(links.iter().flatten().all(|link| node.is_over(*link)));
    assert!(node.accept(world.now, address(5)).is_some());
}

#[test]
fn streams_of_strangers_take_little_together() {
    let mut world = World::new(11);
    world.start(|setup| {
        setup.keyring = Some(keyring(7));
        setup.serf.encrypted = true;
    });
    let now = world.now;
    let node = world.hosts[0].node.as_mut().expect("it runs");
    let links: Vec<_> = (0..PEERS).filter_map(|at| node.accept(now, address(at))).collect();
    // Each announces 20 MB and sends 2 of them.
    let chunk = vec![7; 64 << 10];
    for link in &links {
        world.handle(0, Event::Received { link: *link, bytes: b"\x0a\x01\x31\x2d\x00" });
        (0..32).for_each(|_| world.handle(0, Event::Received { link: *link, bytes: &chunk }));
    }
    let node = world.hosts[0].node.as_ref().expect("it runs");
    let open = links.iter().filter(|link| !node.is_over(**link)).count();
    assert!((1..=9).contains(&open), "{open} of 2 MB");
    let said = world.hosts[0].log.iter().filter(|line| line.contains("Too much at once")).count();
    assert_eq!(said, 1);
}

#[test]
fn a_client_that_asks_all_at_once_is_answered_in_order() {
    let mut world = World::new(10);
    world.start(|_| {});
    let client = world.client(0);
    let mut bytes = Vec::new();
    for _ in 0..20_000 {
        bytes.extend(b"\x82\xa7Command\xa4join\xa3Seq\x02\x82\xa8Existing\x91\xa1:\xa6Replay\xc2");
    }
    bytes.extend(b"\x82\xa7Command\xa5stats\xa3Seq\x03");
    world.say(0, client, &bytes);
    world.run(MINUTE);
    let told = world.told(0, client);
    assert!(told.windows(4).filter(|window| window == b"\xa3Num").count() == 20_000);
    assert!(told.windows(12).any(|window| window == b"health_score"));
    assert!(told.windows(name(0).bytes().len()).any(|window| window == name(0).bytes()));
}
