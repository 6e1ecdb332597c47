//! Clusters on a network that never was, with memberlist's rules and nothing above them.
//!
//! `SWIM_SEED` replays a run. `SWIM_NODES="20 10000"` plays clusters of these sizes instead of 10, 100 and 1,000; every scene, but
//! those beyond 1,000 go without the ones that take hours. `SWIM_SCENES="joins,killed"` plays only scenes whose names have one of
//! these in them, whatever they take. What is known of members takes the square of their number in memory: 8 GB for 10,000, one scene at a time.
//! `SWIM_FIGURES=tests/swim` writes what came of it into `figures.tsv` there, and the table and the plot anew.

mod figures;
mod plot;
mod scenes;
#[path = "../kit/seeded.rs"]
mod seeded;
mod world;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use figures::Figures;
use scenes::{Doubt, Quiet};

const HOUR: Duration = Duration::from_secs(3600);
/// Up to this size every scene is played by default.
const SMALL: usize = 100;
/// Up to this size every scene is played if that size is asked for, and others beside it.
const LARGE: usize = 1000;

#[test]
fn clusters_of_all_sizes_do_as_memberlist_does() {
    let (seed, began) = (seed(), Instant::now());
    let given = std::env::var("SWIM_NODES").ok();
    let only = std::env::var("SWIM_SCENES").unwrap_or_default();
    let sizes = given.as_deref().unwrap_or("1000 100 10").split_whitespace();
    let sizes: Vec<usize> = sizes.map(|size| size.parse().expect("SWIM_NODES is a list of numbers")).collect();
    let mut scenes: Vec<(usize, usize, &Scene)> = Vec::new();
    for (order, nodes) in sizes.iter().copied().enumerate() {
        let all = !only.is_empty() || nodes <= if given.is_some() { LARGE } else { SMALL };
        let chosen = SCENES.iter().filter(|scene| all || !scene.slow);
        let chosen = chosen.filter(|scene| only.split(',').any(|part| scene.name.contains(part)));
        scenes.extend(chosen.map(|scene| (order, nodes, scene)));
    }
    let (next, rows, figures) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(kept()));
    let beside = std::thread::available_parallelism().map_or(1, usize::from);
    let beside = if sizes.iter().any(|nodes| *nodes > LARGE) { 1 } else { beside };
    std::thread::scope(|scope| {
        for _ in 0..beside {
            scope.spawn(|| {
                while let Some((order, nodes, scene)) = scenes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    let Told { text, figures: new } = (scene.play)(seed, *nodes);
                    let row =
                        format!("{nodes:>6}  {:<26} {text:<46} {:>5.1} s", scene.name, began.elapsed().as_secs_f64());
                    if given.is_some() {
                        eprintln!("{row}");
                    }
                    rows.lock().expect("no scene failed").push((*order, scene.name, row));
                    let mut figures = figures.lock().expect("no scene failed");
                    new.into_iter().for_each(|(name, value)| figures.set(*nodes, &name, value));
                    keep(&figures);
                }
            });
        }
    });
    let mut rows = rows.into_inner().expect("no scene failed");
    let place = |name: &str| SCENES.iter().position(|scene| scene.name == name);
    rows.sort_by_key(|(order, name, _)| (std::cmp::Reverse(*order), place(name)));
    eprintln!(" nodes  {:<26} {:<46} {:>7}", "scene", "what came of it", "took");
    rows.iter().for_each(|(_, _, row)| eprintln!("{row}"));
    eprintln!("{} scenes from seed {seed}, {:.1} s", rows.len(), began.elapsed().as_secs_f64());
}

#[test]
fn the_table_and_the_plot_are_those_of_the_figures() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/swim");
    let figures = Figures::read(&folder.join("figures.tsv"));
    let there = |name: &str| std::fs::read_to_string(folder.join(name)).expect("it is there");
    assert_eq!(there("FIGURES.md"), page(&figures));
    assert_eq!(there("figures.svg"), plot::plot(&figures));
}

fn page(figures: &Figures) -> String {
    format!("{}\n{}\n![The figures as a plot](figures.svg)\n", include_str!("figures.txt"), figures.table())
}

/// What earlier runs left, if this one is to add to it.
fn kept() -> Figures {
    folder().map(|folder| Figures::read(&Path::new(&folder).join("figures.tsv"))).unwrap_or_default()
}

fn keep(figures: &Figures) {
    let Some(folder) = folder() else { return };
    for (name, text) in
        [("figures.tsv", figures.text()), ("FIGURES.md", page(figures)), ("figures.svg", plot::plot(figures))]
    {
        std::fs::write(Path::new(&folder).join(name), text).expect("a folder to write to");
    }
}

fn folder() -> Option<String> {
    std::env::var("SWIM_FIGURES").ok()
}

/// What came of a scene, in words and in figures.
struct Told {
    text: String,
    figures: Vec<(String, f64)>,
}

impl Told {
    fn new(text: String, figures: &[(&str, f64)]) -> Told {
        Told { text, figures: figures.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect() }
    }

    /// One span, under this name.
    fn span(text: &str, name: &str, span: Duration) -> Told {
        Told::new(text.replace("{}", &secs(span)), &[(name, span.as_secs_f64())])
    }
}

struct Scene {
    name: &'static str,
    /// Whether it is too slow to be played at every size by default.
    slow: bool,
    /// Plays with a seed and so many nodes.
    play: fn(u64, usize) -> Told,
}

const SCENES: &[Scene] = &[
    Scene {
        name: "all join at once",
        slow: true,
        play: |seed, nodes| Told::span("all know all after {}", "gather", scenes::gather(seed, nodes)),
    },
    Scene {
        name: "one joins",
        slow: false,
        play: |seed, nodes| {
            let [median, ..] = lives(seed, nodes, |seed| scenes::arrive(seed, nodes));
            Told::span("all know it after {}", "join", median)
        },
    },
    Scene {
        name: "nothing happens",
        slow: false,
        play: |seed, nodes| {
            let Quiet { datagrams, bytes, stream_bytes } = scenes::rest(seed, nodes);
            let text = format!("{datagrams:.2} datagrams, {bytes:.0} + {stream_bytes:.0} bytes a node a second");
            Told::new(text, &[("datagrams", datagrams), ("bytes", bytes), ("stream bytes", stream_bytes)])
        },
    },
    Scene { name: "one is killed", slow: false, play: |seed, nodes| killed(seed, nodes, false) },
    Scene { name: "one is cut off for ever", slow: false, play: |seed, nodes| killed(seed, nodes, true) },
    Scene {
        name: "one leaves",
        slow: false,
        play: |seed, nodes| {
            let [known, departed] = scenes::leave(seed, nodes);
            let text = format!("all know after {}, it may go after {}", secs(known), secs(departed));
            Told::new(text, &[("leave", known.as_secs_f64())])
        },
    },
    Scene {
        name: "one is back at once",
        slow: false,
        play: |seed, nodes| {
            let known = scenes::come_back(seed, nodes, Duration::from_secs(1));
            Told::span("its new tags are known after {}", "back", known)
        },
    },
    Scene {
        name: "one is back when dead",
        slow: false,
        play: |seed, nodes| {
            let known = scenes::come_back(seed, nodes, Duration::from_secs(25));
            Told::span("its new tags are known after {}", "back when dead", known)
        },
    },
    Scene { name: "0 % is lost", slow: true, play: |seed, nodes| doubt(seed, nodes, 0, span(nodes)) },
    Scene { name: "5 % is lost", slow: false, play: |seed, nodes| doubt(seed, nodes, 5, span(nodes)) },
    Scene {
        name: "20 % is lost",
        slow: false,
        play: |seed, nodes| doubt(seed, nodes, 20, if nodes <= SMALL { span(nodes) } else { span(nodes) / 3 }),
    },
    Scene { name: "one is back, 5 % is lost", slow: true, play: |seed, nodes| doubted(seed, nodes, 5) },
    Scene { name: "one is back, 20 % is lost", slow: true, play: |seed, nodes| doubted(seed, nodes, 20) },
    Scene {
        name: "cut in two for an hour",
        slow: true,
        play: |seed, nodes| Told::span("all know all {} after that", "heal", split(seed, nodes)),
    },
];

/// In halves, for an hour. Each pair that is parted takes 840 bytes on either side, 42 GB for halves of 10,000: in such a cluster a
/// twentieth is cut off, and for ten minutes, after which nothing is said of the others any more.
fn split(seed: u64, nodes: usize) -> Duration {
    if nodes <= LARGE {
        scenes::split(seed, nodes, nodes / 2, HOUR)
    } else {
        scenes::split(seed, nodes, nodes / 20, HOUR / 6)
    }
}

/// As long as takes seconds to play.
fn span(nodes: usize) -> Duration {
    if nodes <= SMALL { Duration::from_secs(600) } else { Duration::from_secs(60) }
}

/// In small clusters one life says little: the median, the least and the most of several.
fn lives(seed: u64, nodes: usize, life: impl Fn(u64) -> Duration) -> [Duration; 3] {
    let lives = (1000 / nodes).clamp(1, 50) as u64;
    let mut all: Vec<_> = (0..lives).map(|number| life(seed.wrapping_add(number))).collect();
    all.sort();
    [all[all.len() / 2], all[0], all[all.len() - 1]]
}

fn killed(seed: u64, nodes: usize, host: bool) -> Told {
    let all = lives(seed, nodes, |seed| scenes::kill(seed, nodes, host)[1]);
    let [median, least, most] = all.map(secs);
    let [middle, first, last] = all.map(|span| span.as_secs_f64());
    let text = format!("all know after {least} to {most}, mostly {median}");
    let what = if host { "silence" } else { "kill" };
    let figures = [(what.to_owned(), middle), (format!("{what} least"), first), (format!("{what} most"), last)];
    Told { text, figures: figures.into() }
}

fn doubt(seed: u64, nodes: usize, percent: u32, span: Duration) -> Told {
    let runs = if nodes <= SMALL { many(nodes, 20) } else { many(nodes, 5) };
    let all: Vec<_> = (0..runs)
        .map(|number| scenes::lose(seed.wrapping_add(number), nodes, f64::from(percent) / 100.0, span))
        .collect();
    let mut spans: Vec<_> = all.iter().flat_map(|Doubt { spans, .. }| spans.iter().copied()).collect();
    spans.sort();
    let incidents = || all.iter().map(|Doubt { incidents, .. }| *incidents);
    let (wrong, most) = (incidents().sum::<usize>(), incidents().max().unwrap_or_default());
    let [median, longest] = [spans.len() / 2, spans.len().wrapping_sub(1)].map(|at| spans.get(at).copied());
    let [median, longest] = [median, longest].map(Option::unwrap_or_default);
    let text = match wrong {
        0 => "nobody is believed dead".to_owned(),
        _ => format!("{wrong} believed dead by {}, for {}, {} at most", spans.len(), secs(median), secs(longest)),
    };
    let figures = [
        ("wrong", wrong as f64),
        ("wrong most", most as f64),
        ("runs", runs as f64),
        ("median", median.as_secs_f64()),
        ("longest", longest.as_secs_f64()),
        ("span", span.as_secs_f64()),
    ];
    let figures = figures.map(|(name, value)| (format!("{name}, {percent} % lost"), value));
    Told { text, figures: figures.into() }
}

fn doubted(seed: u64, nodes: usize, percent: u32) -> Told {
    let runs = (many(nodes, 2000) / nodes as u64).clamp(1, 200);
    let mut spans: Vec<_> = (0..runs)
        .flat_map(|number| scenes::doubted(seed.wrapping_add(number), nodes, f64::from(percent) / 100.0))
        .collect();
    spans.sort();
    let part = |part: usize| spans[(spans.len() * part / 1000).min(spans.len() - 1)];
    let [median, late, longest] = [500, 990, 1000].map(part);
    let text = format!("back after {}, 99 % {}, at most {}", secs(median), secs(late), secs(longest));
    let figures = [("doubt", median), ("doubt 99 %", late), ("doubt longest", longest)];
    let figures = figures.map(|(name, span)| (format!("{name}, {percent} % lost"), span.as_secs_f64()));
    Told { text, figures: figures.into() }
}

/// So many runs where figures are asked for, of clusters that do not take minutes; else one.
fn many(nodes: usize, runs: u64) -> u64 {
    if std::env::var_os("SWIM_NODES").is_some() && nodes <= LARGE { runs } else { 1 }
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
