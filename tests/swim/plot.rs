//! The figures as a picture: SVG, sizes from left to right, both axes logarithmic.

use std::fmt::Write;

use crate::figures::{Figures, detection, spread};

const WIDTH: f64 = 330.0;
const HEIGHT: f64 = 240.0;
/// The sizes at the left and right end, as powers of ten.
const SIZES: [f64; 2] = [0.5, 4.2];

/// One of the two diagrams.
struct Panel {
    title: &'static str,
    left: f64,
    /// Its lowest and highest value, as powers of ten.
    range: [i32; 2],
}

const TOP: f64 = 40.0;

impl Panel {
    fn place(&self, nodes: f64, value: f64) -> [f64; 2] {
        let [least, most] = self.range.map(f64::from);
        let across = (nodes.log10() - SIZES[0]) / (SIZES[1] - SIZES[0]);
        let up = (value.log10() - least) / (most - least);
        [self.left + WIDTH * across, TOP + HEIGHT * (1.0 - up)]
    }

    fn frame(&self, svg: &mut String) {
        let Panel { title, left, range: [least, most] } = self;
        put(svg, format!(r##"<text x="{left}" y="20" font-weight="bold">{title}</text>"##));
        for power in *least..=*most {
            let value = 10_f64.powi(power);
            let [_, y] = self.place(10.0, value);
            let (right, label) = (left + WIDTH, left - 6.0);
            put(svg, format!(r##"<path d="M{left} {y:.1}H{right}" stroke="#ddd"/>"##));
            put(svg, format!(r##"<text x="{label}" y="{:.1}" text-anchor="end">{value}</text>"##, y + 4.0));
        }
        for nodes in [10, 100, 1000, 10_000] {
            let [x, _] = self.place(f64::from(nodes), 1.0);
            let (bottom, below) = (TOP + HEIGHT, TOP + HEIGHT + 16.0);
            put(svg, format!(r##"<path d="M{x:.1} {TOP}V{bottom}" stroke="#eee"/>"##));
            put(svg, format!(r##"<text x="{x:.1}" y="{below}" text-anchor="middle">{nodes}</text>"##));
        }
    }

    /// A line through these, with its name at the right end.
    fn line(&self, svg: &mut String, points: &[[f64; 2]], colour: &str, kind: Kind) {
        let places: Vec<_> = points.iter().map(|[nodes, value]| self.place(*nodes, *value)).collect();
        let path: Vec<_> = places.iter().map(|[x, y]| format!("{x:.1} {y:.1}")).collect();
        let path = path.join("L");
        match kind {
            Kind::Formula => {
                put(svg, format!(r##"<path d="M{path}" fill="none" stroke="{colour}" stroke-dasharray="5 4"/>"##));
            }
            Kind::Played => {
                put(svg, format!(r##"<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>"##));
                for [x, y] in places {
                    put(svg, format!(r##"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"##));
                }
            }
            Kind::Serf => {
                for [x, y] in places {
                    put(svg, format!(r##"<circle cx="{x:.1}" cy="{y:.1}" r="5" fill="none" stroke="{colour}"/>"##));
                }
            }
        }
    }

    fn legend(&self, svg: &mut String, entries: &[(&str, &str)]) {
        let (x, mut y) = (self.left, TOP + HEIGHT + 36.0);
        for (text, colour) in entries {
            put(svg, format!(r##"<text x="{x}" y="{y}" fill="{colour}">{text}</text>"##));
            y += 15.0;
        }
    }
}

/// Where a line is from.
#[derive(Clone, Copy)]
enum Kind {
    Formula,
    Played,
    Serf,
}

const RED: &str = "#b03020";
const BLUE: &str = "#2060a0";

/// The picture.
pub fn plot(figures: &Figures) -> String {
    let mut svg = String::new();
    put(
        &mut svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 370" font-family="sans-serif" font-size="12">"##,
    );
    put(&mut svg, r##"<rect width="800" height="370" fill="white"/>"##);
    let time = Panel { title: "seconds until all know it, by nodes", left: 50.0, range: [-3, 2] };
    let traffic = Panel { title: "bytes a node a second at rest, by nodes", left: 450.0, range: [1, 5] };
    let of = |name: &str| -> Vec<[f64; 2]> {
        figures.sizes().into_iter().filter_map(|nodes| Some([nodes as f64, figures.get(nodes, name)?])).collect()
    };
    let formula = |formula: fn(usize) -> std::time::Duration| -> Vec<[f64; 2]> {
        figures.sizes().into_iter().map(|nodes| [nodes as f64, formula(nodes).as_secs_f64()]).collect()
    };
    time.frame(&mut svg);
    time.line(&mut svg, &formula(detection), RED, Kind::Formula);
    time.line(&mut svg, &formula(spread), BLUE, Kind::Formula);
    time.line(&mut svg, &of("kill"), RED, Kind::Played);
    time.line(&mut svg, &of("join"), BLUE, Kind::Played);
    time.line(&mut svg, &of("serf kill"), RED, Kind::Serf);
    time.legend(
        &mut svg,
        &[
            ("one is killed (circles: serf agent, measured)", RED),
            ("one joins", BLUE),
            ("dashed: memberlist's formulas", "#444"),
        ],
    );
    traffic.frame(&mut svg);
    traffic.line(&mut svg, &of("bytes"), BLUE, Kind::Played);
    traffic.line(&mut svg, &of("stream bytes"), RED, Kind::Played);
    traffic.legend(&mut svg, &[("streams: all that is known, with one other", RED), ("datagrams", BLUE)]);
    svg.push_str("</svg>\n");
    svg
}

fn put(svg: &mut String, line: impl AsRef<str>) {
    writeln!(svg, "{}", line.as_ref()).expect("a string");
}
