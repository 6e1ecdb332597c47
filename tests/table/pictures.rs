//! The pictures that `initctl` draws: what they show, that they are XML, and that no text of a unit becomes markup.

use std::fs;

use crate::ctl::{Folder, said};
use crate::golden::{assert_golden, golden};

/// Says what is wrong with `text` as XML, as far as a picture may hold it: every element is closed in turn, every attribute is
/// quoted and there once, no text has a `<` or a `&` of its own, and there is one root.
fn well_formed(text: &str) -> Result<usize, String> {
    let (mut open, mut rest, mut elements) = (Vec::new(), text, 0);
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        entities(before)?;
        if open.is_empty() && elements > 0 && !before.trim().is_empty() {
            return Err(format!("text outside of the root: {before:?}"));
        }
        let end = tag.find('>').ok_or("a tag has no end")?;
        let (inside, after) = (&tag[1..end], &tag[end + 1..]);
        rest = after;
        if let Some(name) = inside.strip_prefix('/') {
            let expected = open.pop();
            if expected != Some(name) {
                return Err(format!("</{name}> closes {expected:?}"));
            }
            continue;
        }
        let (inside, closed) = inside.strip_suffix('/').map_or((inside, false), |inside| (inside, true));
        let (name, attributes) = inside.split_once(' ').unwrap_or((inside, ""));
        self::attributes(attributes).map_err(|wrong| format!("<{name} {attributes}>: {wrong}"))?;
        if open.is_empty() && elements > 0 {
            return Err(format!("a second root <{name}>"));
        }
        elements += 1;
        if !closed {
            open.push(name);
        }
    }
    if open.is_empty() && rest.trim().is_empty() { Ok(elements) } else { Err(format!("{open:?} is not closed")) }
}

fn attributes(text: &str) -> Result<(), String> {
    let (mut rest, mut seen) = (text.trim(), Vec::new());
    while !rest.is_empty() {
        let (name, more) = rest.split_once("=\"").ok_or("an attribute has no value")?;
        let (value, more) = more.split_once('"').ok_or("a value has no end")?;
        entities(value)?;
        if name.contains([' ', '<', '"']) || seen.contains(&name) {
            return Err(format!("the attribute {name:?}"));
        }
        seen.push(name);
        rest = more.trim_start();
    }
    Ok(())
}

fn entities(text: &str) -> Result<(), String> {
    for part in text.split('&').skip(1) {
        let (name, _) = part.split_once(';').ok_or_else(|| format!("a bare & before {part:?}"))?;
        if !["amp", "lt", "gt", "quot", "#39"].contains(&name) {
            return Err(format!("the entity {name:?}"));
        }
    }
    let odd = text.chars().find(|letter| letter.is_control() && *letter != '\n');
    odd.map_or(Ok(()), |odd| Err(format!("the control character {odd:?}")))
}

#[test]
fn what_is_no_xml_is_found() {
    assert_eq!(well_formed("<a b=\"1\" c=\"&lt;\"><d/>x &amp; y</a>\n"), Ok(2));
    for bad in [
        "<a>",
        "<a></b>",
        "<a b=1/>",
        "<a b=\"1\" b=\"2\"/>",
        "<a>&</a>",
        "<a>&x;</a>",
        "<a/><b/>",
        "<a>\u{7}</a>",
        "<a/>x<b/>",
    ] {
        assert!(well_formed(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_graph_of_a_running_node() {
    let folder = Folder::new("graph");
    folder.put(&golden("status-units.json"));
    let (code, dot, err) = said(&["graph", "--root", folder.root()]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_golden("graph.dot", &dot);
    let (code, svg, err) = said(&["graph", "--svg", "--root", folder.root()]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(well_formed(&svg).is_ok_and(|count| count > 30), "{:?}", well_formed(&svg));
    assert_golden("graph.svg", &svg);
}

#[test]
fn the_graph_of_a_table() {
    let table = format!("{}/rootfs/etc/cluster-os/units.toml", env!("CARGO_MANIFEST_DIR"));
    let (code, dot, err) = said(&["graph", &table]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(dot.contains("  \"node-agent\" -> \"gossip\";\n"), "{dot}");
    let (code, svg, _) = said(&["graph", "--svg", &table]);
    assert!(code == 0 && well_formed(&svg).is_ok(), "{svg}");
    let wrong = format!("{}/tests/golden/units-mistakes.toml", env!("CARGO_MANIFEST_DIR"));
    let (code, out, err) = said(&["graph", &wrong]);
    assert_eq!((code, out.as_str()), (78, ""));
    assert!(err.starts_with("initctl: error: unable to draw this table: it has "), "{err}");
    let (code, _, err) = said(&["graph", "/nowhere.toml"]);
    let cause = "unable to read /nowhere.toml: no such file or directory; nothing is drawn";
    assert_eq!((code, err), (78, format!("initctl: error: {cause}\n")));
}

#[test]
fn how_the_node_came_up() {
    let folder = Folder::new("chart");
    folder.put(&golden("status-units.json"));
    let (code, svg, err) = said(&["boot-chart", "--root", folder.root()]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(well_formed(&svg).is_ok_and(|count| count > 20), "{:?}", well_formed(&svg));
    assert_golden("boot-chart.svg", &svg);
    let (code, text, _) = said(&["boot-chart", "--text", "--root", folder.root()]);
    assert!(code == 0 && text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_golden("boot-chart.txt", &text);
}

#[test]
fn no_text_of_a_unit_is_markup() {
    let folder = Folder::new("markup");
    let evil = "</text><script>alert(1)</script>&amp;\\\"'\\u0000\\u001b[2J";
    let text = golden("status-units.json");
    for place in ["gossip", "this node's identity", "backoff", "clusteros-init 0.1.0"] {
        folder.put(&text.replace(place, evil));
        for arguments in [&["graph", "--svg"][..], &["boot-chart"]] {
            let (code, svg, err) = said(&[arguments, &["--root", folder.root()]].concat());
            assert_eq!((code, well_formed(&svg).err(), err.as_str()), (0, None, ""), "{place}");
            assert!(!svg.contains("<script"), "{place}: {svg}");
        }
        for arguments in [&["graph"][..], &["boot-chart", "--text"], &["status"], &["status", "wg0"]] {
            let (_, out, _) = said(&[arguments, &["--root", folder.root()]].concat());
            assert!(!out.contains(|letter: char| letter.is_control() && letter != '\n'), "{place}: {out:?}");
        }
    }
    drop(fs::remove_dir_all(folder.path("run")));
    assert_eq!(said(&["graph", "--root", folder.root()]).0, 111);
    assert_eq!(said(&["boot-chart", "--root", folder.root()]).0, 111);
}
