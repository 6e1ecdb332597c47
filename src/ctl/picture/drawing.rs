//! The graph as a picture: units as boxes in layers, what they are tied to on their left.

use super::graph::{Graph, Node, TieKind};
use super::layers::{Layout, Route};
use crate::control::columns::shortened;
use crate::control::svg::{LETTER, Rect, Svg, extent, pixels};

/// Pixels around the picture, of a box, and between boxes.
const MARGIN: f64 = 24.0;
const HIGH: f64 = 40.0;
const ROW: f64 = 58.0;
const BETWEEN: f64 = 70.0;
/// Around a name in its box.
const PADDING: f64 = 14.0;
const LEGEND: f64 = 40.0;
/// A title may be as long as this, in letters.
const TITLE: usize = 90;

impl Graph {
    /// The graph as SVG; `title` says of what.
    pub fn svg(&self, title: &str) -> String {
        let title = &shortened(title, TITLE);
        let layout = Layout::new(self);
        let columns = columns(self, &layout);
        let right = columns.last().map_or(MARGIN, |(x, wide)| x + wide);
        let wide = (right + MARGIN).max(560.0).max(extent(title, LETTER) + 2.0 * MARGIN);
        let high = 2.0 * MARGIN + LETTER + (layout.rows * ROW).max(ROW) + LEGEND;
        let mut svg = Svg::new(wide, high, title);
        svg.text("head", MARGIN, MARGIN + 2.0, "font-weight=\"bold\"", title);
        let top = MARGIN + 2.0 * LETTER;
        let y = |row: f64| top + row * ROW + HIGH / 2.0;
        for Route { unit, tie, points } in &layout.routes {
            if let Some(tie) = self.nodes.get(*unit).and_then(|node| node.ties.get(*tie)) {
                tied(&mut svg, tie.kind, points, &columns, y);
            }
        }
        for (node, (layer, row)) in self.nodes.iter().zip(&layout.places) {
            if let Some((x, wide)) = columns.get(*layer) {
                boxed(&mut svg, node, Rect { x: *x, y: y(*row) - HIGH / 2.0, wide: *wide, high: HIGH });
            }
        }
        legend(&mut svg, high - MARGIN);
        svg.finish()
    }
}

/// Where each layer begins, and how wide its boxes are.
fn columns(graph: &Graph, layout: &Layout) -> Vec<(f64, f64)> {
    let mut x = MARGIN;
    (0..layout.layers)
        .map(|layer| {
            let inside = graph.nodes.iter().zip(&layout.places).filter(|(_, (at, _))| *at == layer);
            let wide = inside.map(|(node, _)| extent(&node.name, LETTER)).fold(60.0, f64::max) + 2.0 * PADDING;
            let column = (x, wide);
            x += wide + BETWEEN;
            column
        })
        .collect()
}

fn boxed(svg: &mut Svg, node: &Node, place: Rect) {
    let class = node.state.as_deref().map_or("plain", class);
    let state = node.state.as_deref().unwrap_or_default();
    let parts = [node.name.as_str(), state, &node.note];
    let note: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    svg.rect(class, place, "rx=\"6\"", &note.join(": "));
    let middle = place.x + place.wide / 2.0;
    let centred = "text-anchor=\"middle\" pointer-events=\"none\"";
    if state.is_empty() {
        svg.text("name", middle, place.y + HIGH / 2.0 + 4.5, centred, &node.name);
    } else {
        svg.text("name", middle, place.y + 17.0, centred, &node.name);
        svg.text("small", middle, place.y + 32.0, centred, state);
    }
}

/// The colours of a state.
pub(super) fn class(state: &str) -> &'static str {
    match state {
        "up" | "done" => "good",
        "waiting" | "backoff" | "starting" | "stopping" => "going",
        "stuck" | "failed" => "bad",
        _ => "none",
    }
}

/// How a tie of this kind is drawn.
const fn stroke(kind: TieKind) -> &'static str {
    match kind {
        TieKind::Needs { optional: false } => "stroke-width=\"1.5\"",
        TieKind::Needs { optional: true } => "stroke-width=\"1.5\" stroke-dasharray=\"7 4\"",
        TieKind::Binds => "stroke-width=\"3.5\"",
        TieKind::Wants => "stroke-width=\"1.5\" stroke-dasharray=\"2 4\" stroke-linecap=\"round\"",
    }
}

/// A line from the unit on the right through all layers to what it is tied to on the left, with a tip there.
fn tied(svg: &mut Svg, kind: TieKind, points: &[(usize, f64)], columns: &[(f64, f64)], y: impl Fn(f64) -> f64) {
    let mut data = String::new();
    let last = points.len().saturating_sub(1);
    let mut here = (0.0, 0.0);
    for (place, (layer, row)) in points.iter().enumerate() {
        let Some((left, wide)) = columns.get(*layer) else { return };
        let height = y(*row);
        if place == 0 {
            here = (*left, height);
            data.push_str(&format!("M{:.1} {height:.1}", here.0));
            continue;
        }
        // The tip takes the last pixels.
        let right = left + wide + if place == last { TIP } else { 0.0 };
        let middle = f64::midpoint(here.0, right);
        data.push_str(&format!(" C{middle:.1} {:.1} {middle:.1} {height:.1} {right:.1} {height:.1}", here.1));
        here = (right, height);
        if place < last {
            data.push_str(&format!(" H{left:.1}"));
            here = (*left, height);
        }
    }
    svg.path("line", &data, stroke(kind));
    let (x, y) = (here.0 - TIP, here.1);
    svg.path("tip", &format!("M{x:.1} {y:.1} l{TIP:.1} -4.5 v9 z"), "");
}

/// How long the tip of a tie is.
const TIP: f64 = 9.0;

fn legend(svg: &mut Svg, y: f64) {
    let [needs, optional] = [false, true].map(|optional| TieKind::Needs { optional });
    for (place, kind) in [needs, optional, TieKind::Binds, TieKind::Wants].into_iter().enumerate() {
        let x = MARGIN + pixels(place) * 130.0;
        svg.path("line", &format!("M{x:.1} {:.1} h40", y - 4.0), stroke(kind));
        svg.text("small", x + 48.0, y, "", kind.name());
    }
}
