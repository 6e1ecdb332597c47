//! The same promises as in tests/fuzz, kept to with proptest: what breaks one is made small before it is shown.
//!
//! `PROPTEST_CASES` sets how many cases a property is tried on. `THROWS=1,2,3` lives the life of these throws with a trace: the
//! list that proptest shows of a life that broke. A case that once failed becomes a test of its own where it belongs.

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
#[path = "../fuzz/targets.rs"]
mod targets;
#[path = "../sim/world.rs"]
mod world;

use std::time::Duration;

use clusteros_init::control::request;
use clusteros_init::unit::keys::KEYS;
use clusteros_init::unit::{Notice, Request, UnitId, Wish, assignment, duration, notify, read, size};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::{Index, select};

use dice::Dice;

fn cases(most: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(most),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    }
}

/// The throws of a life, most of them small: those decide.
fn throws() -> impl Strategy<Value = Vec<u64>> {
    vec(prop_oneof![3 => 0..300_u64, 1 => any::<u64>()], 0..600)
}

/// A value as a table may hold it, fitting or not.
fn value() -> impl Strategy<Value = String> {
    let word = select(
        &[
            "always",
            "on-failure",
            "never",
            "notify",
            "exec",
            "service",
            "oneshot",
            "cgroup",
            "main",
            "group",
            "file",
            "TERM",
            "HUP",
            "RTMIN+3",
            "10s",
            "250ms..30s",
            "4M",
            "a",
            "b",
            "c",
            "a?",
            "0",
            "",
            "fd:3",
            "/x",
            "é",
        ][..],
    );
    let text = word.clone().prop_map(|word| format!("{word:?}"));
    let list = vec(word, 0..4).prop_map(|words| format!("{words:?}"));
    let table =
        (select(&["env", "program", "path", "file", "size", "keep", "after", "probe", "TERM"][..]), text.clone())
            .prop_map(|(key, value)| format!("{{ {key} = {value} }}"));
    let number = any::<i32>().prop_map(|number| number.to_string());
    prop_oneof![4 => text, 4 => list, 1 => table, 1 => number, 1 => Just("true".to_owned()), 1 => "[ -~]{0,12}"]
}

/// A file with units of these names and those keys, `exec` mostly among them.
fn file() -> impl Strategy<Value = String> {
    let names: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    let key = prop_oneof![9 => select(names).prop_map(str::to_owned), 1 => "[a-z-]{1,12}"];
    let line = (key, value()).prop_map(|(key, value)| format!("{key} = {value}\n"));
    let unit =
        (select(&["a", "b", "c", "d", "x y"][..]), any::<bool>(), vec(line, 0..8)).prop_map(|(name, exec, lines)| {
            let exec = if exec { "exec = [\"x\"]\n" } else { "" };
            format!("[unit.{name}]\n{exec}{}", lines.concat())
        });
    vec(unit, 0..6).prop_map(|units| units.concat())
}

/// Texts that are near to good ones: cut, doubled, or with a letter changed.
fn spoiled() -> impl Strategy<Value = String> {
    let good = include_str!("../golden/units-process.toml").to_owned();
    (prop_oneof![Just(good), file()], vec((any::<Index>(), any::<Index>(), "\\PC?|[\\[\\]\"'\n\\\\=.{}\0]"), 1..6))
        .prop_map(|(text, spoils)| {
            let mut letters: Vec<char> = text.chars().collect();
            for (from, to, letter) in spoils {
                if letters.is_empty() {
                    break;
                }
                let (from, to) = (from.index(letters.len()), to.index(letters.len()));
                match letter.chars().next() {
                    Some(letter) => letters[from] = letter,
                    None => drop(letters.drain(from.min(to)..from.max(to))),
                }
            }
            letters.into_iter().collect()
        })
}

/// Lives again what proptest found.
#[test]
fn the_life_of_these_throws() {
    let Ok(throws) = std::env::var("THROWS") else { return };
    let throws = throws.split(',').map(|number| number.trim().parse().expect("THROWS is a list of numbers")).collect();
    let lived = life::live_dice(Dice::dealt(throws), true);
    assert!(lived.is_ok(), "{}", lived.unwrap_err());
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn a_life_keeps_the_invariants(throws in throws()) {
        let lived = life::live_dice(Dice::dealt(throws), false);
        prop_assert!(lived.is_ok(), "{}", lived.unwrap_err());
    }

    #[test]
    fn no_soup_breaks_the_machine(throws in throws()) {
        let stirred = soup::stir(Dice::dealt(throws));
        prop_assert!(stirred.is_ok(), "{}", stirred.unwrap_err());
    }

    #[test]
    fn a_table_is_taken_whole_or_refused_with_the_place(files in vec(file(), 1..3)) {
        targets::table(files.join("\0").as_bytes());
    }

    #[test]
    fn a_spoiled_table_is_taken_whole_or_refused_with_the_place(text in spoiled()) {
        targets::table(text.as_bytes());
    }

    #[test]
    fn what_is_read_twice_is_the_same(text in file()) {
        let once = read::read(&[("a.toml".to_owned(), text.clone())]);
        let twice = read::read(&[("a.toml".to_owned(), text)]);
        prop_assert_eq!(format!("{once:?}"), format!("{twice:?}"));
    }
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..200)) {
        for (name, target) in targets::TARGETS {
            if *name != "events" {
                target(&bytes);
            }
        }
    }

    #[test]
    fn a_datagram_says_what_its_lines_say(
        lines in vec(select(&["READY=1", "STOPPING=1", "STATUS=x", "WATCHDOG=1", "", "=", "READY=0", "\u{7}"][..]), 0..20)
    ) {
        let text = lines.join("\n");
        targets::notices(text.as_bytes());
        let ready = notify::parse(text.as_bytes()).into_iter().filter(|notice| *notice == Notice::Ready).count();
        prop_assert_eq!(ready, lines.iter().filter(|line| **line == "READY=1").count());
    }

    #[test]
    fn a_request_comes_through(unit in any::<u16>(), generation in any::<u64>(), more in 1..9_usize) {
        for wish in [Wish::Start, Wish::Stop, Wish::Restart, Wish::Reload] {
            let request = Request { unit: UnitId(unit), wish };
            let number = request::number(request, generation);
            prop_assert_eq!(request::read(Some(number), generation, usize::from(unit) + more), Ok(request));
            prop_assert!(request::read(Some(number), generation.wrapping_add(1), usize::MAX).is_err());
            prop_assert!(request::read(Some(number), generation, usize::from(unit)).is_err());
        }
    }

    #[test]
    fn a_duration_is_what_it_says(number in 0..400_000_u64, unit in select(&[("ms", 1), ("s", 1_000), ("m", 60_000)][..])) {
        let span = Duration::from_millis(number * unit.1);
        let fits = span <= Duration::from_secs(365 * 24 * 3600);
        prop_assert_eq!(duration::parse(&format!("{number}{}", unit.0)), fits.then_some(span));
    }

    #[test]
    fn a_size_is_what_it_says(number in any::<u64>(), unit in select(&[("K", 10), ("M", 20), ("G", 30)][..])) {
        prop_assert_eq!(size::parse(&format!("{number}{}", unit.0)), number.checked_mul(1 << unit.1));
    }

    #[test]
    fn an_assignment_is_what_stands_there(name in "[A-Za-z_][A-Za-z0-9_]{0,8}", text in "[ !#-&(-\\[\\]-_a-~]{0,20}", blanks in "[ \t]{0,3}") {
        // Between single quotes every byte means itself.
        let mut line = format!("{blanks}{name}='{text}'{blanks}").into_bytes();
        let length = assignment::settle(&mut line);
        prop_assert!(matches!(length, Ok(Some(_))), "{length:?}");
        let Ok(Some(length)) = length else { return Ok(()) };
        prop_assert_eq!(String::from_utf8_lossy(&line[..length]), format!("{name}={text}"));
    }
}

/// A value that a tag of a record may have, and more often may not.
#[cfg(feature = "mesh")]
fn tag_value() -> impl Strategy<Value = String> {
    const NEAR: &[&str] = &[
        "",
        "0",
        "1",
        "2",
        "051820",
        "+51820",
        "65536",
        "1420",
        "1795000000",
        "10.42.0.1",
        "::1",
        "192.0.2.1:51820",
        "[2001:db8::1]:51820,192.0.2.1:51820",
        "[fe80::1%2]:1",
        "0.0.0.0:0",
        ",",
        "45e4cf33",
        "45E4CF33",
        "é",
        "\u{7}",
        "=",
    ];
    prop_oneof![
        select(NEAR).prop_map(str::to_owned),
        "[A-Za-z0-9+/]{0,90}",
        (1..2_000_usize).prop_map(|length| "a".repeat(length)),
    ]
}

#[cfg(feature = "mesh")]
proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn a_record_is_what_its_node_has_signed(
        tags in vec((select(&clusteros_init::mesh::record::TAGS[..]), tag_value()), 1..4)
    ) {
        let lines: Vec<String> = tags.iter().map(|(tag, value)| format!("{tag}={value}")).collect();
        targets::records::records(lines.join("\n").as_bytes());
    }
}
