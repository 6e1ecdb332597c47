//! Clusters on a network that never was, with memberlist's rules and nothing above them.
//!
//! `SWIM_SEED` replays a run. `SWIM_NODES="20 10000"` plays clusters of these sizes instead of 10, 100 and 1,000; every scene, but
//! those beyond 1,000 go without the ones that take minutes. What is known of members takes the square of their number in memory.

mod scenes;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use scenes::{Doubt, Quiet};

const HOUR: Duration = Duration::from_secs(3600);
/// Up to this size every scene is played by default.
const SMALL: usize = 100;
/// Up to this size every scene is played if that size is asked for.
const LARGE: usize = 1000;

#[test]
fn clusters_of_all_sizes_do_as_memberlist_does() {
    let (seed, began) = (seed(), Instant::now());
    let given = std::env::var("SWIM_NODES").ok();
    let sizes = given.as_deref().unwrap_or("1000 100 10").split_whitespace();
    let sizes: Vec<usize> = sizes.map(|size| size.parse().expect("SWIM_NODES is a list of numbers")).collect();
    let mut scenes: Vec<(usize, usize, &str, Play)> = Vec::new();
    for (order, nodes) in sizes.iter().copied().enumerate() {
        let all = nodes <= if given.is_some() { LARGE } else { SMALL };
        let chosen = SCENES.iter().filter(|(_, slow, _)| all || !slow);
        scenes.extend(chosen.map(|(name, _, play)| (order, nodes, *name, *play)));
    }
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((order, nodes, name, play)) = scenes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    let told = play(seed, *nodes);
                    let row = format!("{nodes:>6}  {:<26} {told:<46} {:>5.1} s", name, began.elapsed().as_secs_f64());
                    if given.is_some() {
                        eprintln!("{row}");
                    }
                    rows.lock().expect("no scene failed").push((*order, *name, row));
                }
            });
        }
    });
    let mut rows = rows.into_inner().expect("no scene failed");
    let place = |name: &str| SCENES.iter().position(|scene| scene.0 == name);
    rows.sort_by_key(|(order, name, _)| (std::cmp::Reverse(*order), place(name)));
    eprintln!(" nodes  {:<26} {:<46} {:>7}", "scene", "what came of it", "took");
    rows.iter().for_each(|(_, _, row)| eprintln!("{row}"));
    eprintln!("{} scenes from seed {seed}, {:.1} s", rows.len(), began.elapsed().as_secs_f64());
}

/// Plays with a seed and so many nodes, and tells what came of it.
type Play = fn(u64, usize) -> String;

/// The name of a scene, whether it is too slow to be played at every size by default, and the scene.
const SCENES: &[(&str, bool, Play)] = &[
    ("all join at once", true, |seed, nodes| format!("all know all after {}", secs(scenes::gather(seed, nodes)))),
    ("one joins", false, |seed, nodes| format!("all know it after {}", secs(scenes::arrive(seed, nodes)))),
    ("nothing happens", false, |seed, nodes| {
        let Quiet { datagrams, bytes, stream_bytes } = scenes::rest(seed, nodes);
        format!("{datagrams:.2} datagrams, {bytes:.0} + {stream_bytes:.0} bytes a node a second")
    }),
    ("one is killed", false, killed),
    ("one leaves", false, |seed, nodes| {
        let [known, departed] = scenes::leave(seed, nodes);
        format!("all know after {}, it may go after {}", secs(known), secs(departed))
    }),
    ("one is back at once", false, |seed, nodes| {
        format!("its new tags are known after {}", secs(scenes::come_back(seed, nodes, Duration::from_secs(1))))
    }),
    ("one is back when dead", false, |seed, nodes| {
        format!("its new tags are known after {}", secs(scenes::come_back(seed, nodes, Duration::from_secs(25))))
    }),
    ("0 % is lost", true, |seed, nodes| doubt(scenes::lose(seed, nodes, 0.0, span(nodes)))),
    ("5 % is lost", false, |seed, nodes| doubt(scenes::lose(seed, nodes, 0.05, span(nodes)))),
    ("20 % is lost", false, |seed, nodes| {
        let span = if nodes <= SMALL { span(nodes) } else { span(nodes) / 3 };
        doubt(scenes::lose(seed, nodes, 0.2, span))
    }),
    ("cut in two for an hour", true, |seed, nodes| {
        format!("all know all {} after that", secs(scenes::split(seed, nodes, HOUR)))
    }),
];

/// As long as takes seconds to play.
fn span(nodes: usize) -> Duration {
    if nodes <= SMALL { Duration::from_secs(600) } else { Duration::from_secs(60) }
}

/// In small clusters one life says little.
fn killed(seed: u64, nodes: usize) -> String {
    let lives = (1000 / nodes).clamp(1, 50) as u64;
    let mut all: Vec<_> = (0..lives).map(|life| scenes::kill(seed.wrapping_add(life), nodes)).collect();
    all.sort_by_key(|[_, last]| *last);
    let (firsts, median) = (all.iter().map(|[first, _]| *first).min(), all[all.len() / 2][1]);
    let last = all[all.len() - 1][1];
    format!("all know after {}..{}, mostly {}", secs(firsts.expect("one life")), secs(last), secs(median))
}

fn doubt(Doubt { failed, incidents, longest }: Doubt) -> String {
    if failed == 0 {
        return "nobody is believed dead".to_owned();
    }
    format!("{incidents} believed dead by {failed}, for {} at most", secs(longest))
}

fn secs(span: Duration) -> String {
    format!("{:.2} s", span.as_secs_f64())
}

fn seed() -> u64 {
    let given = std::env::var("SWIM_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()) << 32);
    eprintln!("seed {seed}; replay it with SWIM_SEED={seed}");
    seed
}
