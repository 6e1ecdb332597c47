//! `node-agent mesh`: the cluster as this node sees it, as a picture and as JSON. What this node cannot know, the tunnels between
//! others, is not in it.

use std::f64::consts::{FRAC_PI_2, TAU};
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use super::report::{Document, Peer};
use super::state::{State, lasted};
use crate::control::columns::{shortened, width};
use crate::control::svg::{LETTER, Rect, Svg, extent, pixels};

/// Pixels around the picture, of a node's box, and between boxes.
const MARGIN: f64 = 24.0;
const HIGH: f64 = 62.0;
const PADDING: f64 = 12.0;
const BETWEEN: f64 = 36.0;
const LEGEND: f64 = 44.0;
/// The smallest circle, from its middle.
const RADIUS: f64 = 170.0;
/// Of a name no more than this is drawn, in columns; the rest is in its title.
const NAME: usize = 28;

/// A node in the picture: three lines in a box.
struct Drawn {
    lines: [String; 3],
    title: String,
    state: Option<State>,
}

/// The picture as SVG, `now` in seconds since 1970.
pub fn svg(document: &Document, now: u64) -> String {
    let own = &document.own;
    let mut nodes = vec![Drawn {
        lines: [shortened(&own.name, NAME), own.address.to_string(), "this node".to_owned()],
        title: format!("{}, this node: node id {}, WireGuard {}", own.name, own.node_id, own.mode),
        state: None,
    }];
    nodes.extend(document.peers.iter().map(|peer| drawn(peer, now)));
    let title = format!("The mesh as {} sees it", own.name);
    let columns = nodes.iter().flat_map(|node| &node.lines).map(|line| width(line)).max().unwrap_or(0);
    let wide = pixels(columns) * extent("m", LETTER) + 2.0 * PADDING;
    let radius = RADIUS.max(pixels(nodes.len()) * (wide.max(HIGH) + BETWEEN) / TAU);
    let (across, down) = (2.0 * (radius + MARGIN) + wide, 2.0 * (radius + MARGIN) + HIGH);
    let legend = State::ALL.map(|state| format!("{} {}", count(document, state), legend(state)));
    let room = legend.iter().map(|text| extent(text, LETTER) + BETWEEN + 2.0 * MARGIN).sum::<f64>();
    let across = across.max(room + MARGIN).max(extent(&title, LETTER) + 2.0 * MARGIN);

    let mut svg = Svg::new(across, down + 2.0 * LETTER + LEGEND, &title);
    svg.describe(&description(document, now));
    svg.text("head", MARGIN, MARGIN + 2.0, "font-weight=\"bold\"", &title);
    let (x, y) = (across / 2.0, 2.0 * LETTER + MARGIN + HIGH / 2.0 + radius);
    // This node is at the top; the others follow as a clock goes.
    let place = |number: usize| {
        let angle = pixels(number) * TAU / pixels(nodes.len()) - FRAC_PI_2;
        (x + radius * angle.cos(), y + radius * angle.sin())
    };
    let (from_x, from_y) = place(0);
    for (number, node) in nodes.iter().enumerate() {
        if let Some(state) = node.state {
            let (to_x, to_y) = place(number);
            let (class, dashes) = line(state);
            svg.path(class, &format!("M{from_x:.1} {from_y:.1}L{to_x:.1} {to_y:.1}"), dashes);
        }
    }
    for (number, node) in nodes.iter().enumerate() {
        let (x, y) = place(number);
        let (class, more) =
            node.state.map_or(("plain", "rx=\"8\" stroke-width=\"3\""), |state| (line(state).0, "rx=\"8\""));
        svg.rect(class, Rect { x: x - wide / 2.0, y: y - HIGH / 2.0, wide, high: HIGH }, more, &node.title);
        for (line, (text, class)) in node.lines.iter().zip(["head", "small", "small"]).enumerate() {
            let weight = if line == 0 { " font-weight=\"bold\"" } else { "" };
            svg.text(class, x, y - 14.0 + 18.0 * pixels(line), &format!("text-anchor=\"middle\"{weight}"), text);
        }
    }
    let (mut x, y) = (MARGIN, down + 2.0 * LETTER + LEGEND / 2.0);
    for (state, text) in State::ALL.into_iter().zip(&legend) {
        let (class, dashes) = line(state);
        svg.path(class, &format!("M{x:.1} {:.1}L{:.1} {:.1}", y - 4.0, x + BETWEEN, y - 4.0), dashes);
        svg.text("small", x + BETWEEN + 8.0, y, "", text);
        x += BETWEEN + 2.0 * MARGIN + extent(text, LETTER);
    }
    svg.finish()
}

fn drawn(peer: &Peer, now: u64) -> Drawn {
    let state = State::of(peer);
    let age = peer.handshake.map(|at| lasted(now.saturating_sub(at)));
    let last = match (state, age) {
        (State::Connected, Some(age)) => format!("handshake {age} ago"),
        (State::Silent | State::Failed, Some(age)) => format!("{}, last {age} ago", state.word()),
        (State::Waiting, _) => "no handshake yet".to_owned(),
        _ => state.word().to_owned(),
    };
    let address = peer.address.map_or_else(|| "-".to_owned(), |address| address.to_string());
    let why = peer.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let id = peer.node_id.as_ref().map(|id| format!(", node id {id}")).unwrap_or_default();
    let endpoint = peer.endpoint.map(|endpoint| format!(", endpoint {endpoint}")).unwrap_or_default();
    let title = format!("{}, {}{why}{id}{endpoint}, gossip: {}", peer.name, state.word(), peer.status);
    Drawn { lines: [shortened(&peer.name, NAME), address, last], title, state: Some(state) }
}

/// The picture in words.
fn description(document: &Document, now: u64) -> String {
    if document.peers.is_empty() {
        return "No other node is known.".to_owned();
    }
    let one = |peer: &Peer| {
        let node = drawn(peer, now);
        format!("{}: {}", peer.name, node.lines.last().map(String::as_str).unwrap_or_default())
    };
    let all: Vec<String> = document.peers.iter().map(one).collect();
    format!("Tunnels from {} to {}.", document.own.name, all.join("; "))
}

fn count(document: &Document, state: State) -> usize {
    document.peers.iter().filter(|peer| State::of(peer) == state).count()
}

/// What a state is called where its colour is explained.
const fn legend(state: State) -> &'static str {
    match state {
        State::Waiting => "no handshake yet",
        state => state.word(),
    }
}

/// The class of a line, and what makes it another one for who sees no colours.
const fn line(state: State) -> (&'static str, &'static str) {
    match state {
        State::Connected => ("good", "stroke-width=\"2\""),
        State::Waiting => ("plain", "stroke-width=\"2\" stroke-dasharray=\"10 5\""),
        State::Silent => ("going", "stroke-width=\"2\" stroke-dasharray=\"6 4\""),
        State::Failed => ("bad", "stroke-width=\"2\" stroke-dasharray=\"3 4\""),
        State::Refused => ("none", "stroke-width=\"2\" stroke-dasharray=\"1 6\""),
    }
}

/// The same as JSON.
#[derive(Debug, Serialize)]
pub struct Mesh<'a> {
    nodes: Vec<Node<'a>>,
    edges: Vec<Edge<'a>>,
}

#[derive(Debug, Serialize)]
struct Node<'a> {
    name: &'a str,
    /// Whether it is the node that was asked.
    own: bool,
    node_id: Option<&'a str>,
    address: Option<Ipv4Addr>,
    ula: Option<Ipv6Addr>,
    gossip: &'a str,
}

#[derive(Debug, Serialize)]
struct Edge<'a> {
    from: &'a str,
    to: &'a str,
    state: &'static str,
    why: Option<&'a str>,
    /// Seconds since the last handshake.
    handshake_age: Option<u64>,
}

impl<'a> Mesh<'a> {
    /// The nodes of `document`, and the tunnels of the one that it is of, `now` in seconds since 1970.
    pub fn new(document: &'a Document, now: u64) -> Mesh<'a> {
        let own = &document.own;
        let this = Node {
            name: &own.name,
            own: true,
            node_id: Some(&own.node_id),
            address: Some(own.address),
            ula: own.ula,
            gossip: "alive",
        };
        let others = document.peers.iter().map(|peer| Node {
            name: &peer.name,
            own: false,
            node_id: peer.node_id.as_deref(),
            address: peer.address,
            ula: peer.ula,
            gossip: &peer.status,
        });
        let edges = document.peers.iter().map(|peer| Edge {
            from: &own.name,
            to: &peer.name,
            state: State::of(peer).word(),
            why: peer.why.as_deref(),
            handshake_age: peer.handshake.map(|at| now.saturating_sub(at)),
        });
        Mesh { nodes: std::iter::once(this).chain(others).collect(), edges: edges.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mesh, svg};
    use crate::agent::report::Peer;
    use crate::agent::report::tests::document;
    use crate::golden::assert_golden;

    /// The document with a peer of every state, and one whose name wants to be markup.
    fn every() -> crate::agent::report::Document {
        let mut all = document();
        let peer = all.peers[0].clone();
        let more = [
            Peer { name: "node4".to_owned(), handshake: None, connected: false, ..peer.clone() },
            Peer { name: "node5".to_owned(), handshake: Some(100), connected: false, ..peer.clone() },
            Peer { name: "</title><script>alert('&')</script>".to_owned(), ..peer },
        ];
        all.peers.extend(more);
        for peer in &mut all.peers {
            peer.why = crate::agent::state::why(peer, &all.own, 1012);
        }
        all
    }

    #[test]
    fn the_picture_is_as_it_was() {
        let text = svg(&every(), 1012);
        assert_golden("mesh.svg", &text);
    }

    #[test]
    fn no_name_is_markup() {
        let text = svg(&every(), 1012);
        assert!(
            !text.contains("<script")
                && text.contains("&lt;/title&gt;&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;")
        );
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_node_that_is_alone_and_one_of_thousands_have_a_picture() {
        let mut one = document();
        one.peers.truncate(1);
        let peer = one.peers.remove(0);
        let alone = svg(&one, 1012);
        assert!(alone.contains("<desc>No other node is known.</desc>") && alone.ends_with("</svg>\n"));
        one.peers = vec![peer; 3000];
        assert_eq!(svg(&one, 1012).matches("<rect class=\"good\"").count(), 3000);
    }

    #[test]
    fn the_same_is_told_as_json() {
        let all = every();
        let json = serde_json::to_value(Mesh::new(&all, 1012)).unwrap();
        assert_eq!(json["nodes"][0]["own"], true);
        assert_eq!(json["nodes"].as_array().unwrap().len(), 7);
        assert_eq!(
            json["edges"][0],
            serde_json::json!({"from": "node1", "to": "node2", "state": "connected", "why": null, "handshake_age": 12})
        );
        let states: Vec<_> =
            json["edges"].as_array().unwrap().iter().map(|edge| edge["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["connected", "failed", "refused", "waiting", "silent", "connected"]);
    }
}
