//! Where the units of a graph are drawn: in layers, dependencies first, so that every tie goes one way and few cross.

use super::graph::Graph;

/// How often the order within the layers is improved. More than this changes little in graphs of a hundred units.
const SWEEPS: usize = 12;
/// The distance between two rows, and of a tie that passes by.
const ROW: f64 = 1.0;
const PASSING: f64 = 0.5;

/// Where everything is: a layer from the left, and a height in rows.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// By unit.
    pub places: Vec<(usize, f64)>,
    /// Every tie.
    pub routes: Vec<Route>,
    /// How many layers there are.
    pub layers: usize,
    /// How many rows the highest has.
    pub rows: f64,
}

/// The way of a tie.
#[derive(Debug)]
pub(super) struct Route {
    /// Of which unit.
    pub unit: usize,
    /// Which of its ties.
    pub tie: usize,
    /// Where it passes, from the unit to what it is tied to.
    pub points: Vec<(usize, f64)>,
}

/// A unit, or a tie on its way through a layer.
struct Spot {
    layer: usize,
    unit: bool,
    /// Neighbours in the layer before and after.
    before: Vec<usize>,
    after: Vec<usize>,
    y: f64,
}

impl Layout {
    /// A layout of `graph`.
    pub fn new(graph: &Graph) -> Layout {
        let depth = depths(graph);
        let mut spots: Vec<Spot> = depth
            .iter()
            .map(|layer| Spot { layer: *layer, unit: true, before: Vec::new(), after: Vec::new(), y: 0.0 })
            .collect();
        let mut chains = Vec::new();
        for (unit, node) in graph.nodes.iter().enumerate() {
            for (number, tie) in node.ties.iter().enumerate() {
                chains.push((unit, number, chain(&mut spots, unit, tie.to)));
            }
        }
        let count = depth.iter().max().map_or(0, |deepest| deepest + 1);
        let mut layers: Vec<Vec<usize>> = vec![Vec::new(); count];
        for (spot, place) in spots.iter().enumerate() {
            layers[place.layer].push(spot);
        }
        arrange(&mut spots, &mut layers);
        let top = spots.iter().map(|spot| spot.y).fold(f64::INFINITY, f64::min);
        let bottom = spots.iter().map(|spot| spot.y).fold(f64::NEG_INFINITY, f64::max);
        let at = |spot: usize| (spots[spot].layer, spots[spot].y - top);
        Layout {
            places: (0..graph.nodes.len()).map(at).collect(),
            routes: chains
                .into_iter()
                .map(|(unit, tie, chain)| Route { unit, tie, points: chain.into_iter().map(at).collect() })
                .collect(),
            layers: count,
            rows: if spots.is_empty() { 0.0 } else { bottom - top + ROW },
        }
    }
}

/// How deep each unit is: 0 without dependencies, else one more than the deepest of them. A circle, which no table has but a
/// document may, is cut.
fn depths(graph: &Graph) -> Vec<usize> {
    let mut depth = vec![0; graph.nodes.len()];
    for _ in 0..graph.nodes.len() {
        let mut changed = false;
        for (unit, node) in graph.nodes.iter().enumerate() {
            let below = node.ties.iter().filter(|tie| tie.to != unit).filter_map(|tie| depth.get(tie.to)).max();
            let least = below.map_or(0, |below| below + 1).min(graph.nodes.len() - 1);
            if depth[unit] < least {
                depth[unit] = least;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    depth
}

/// The spots that a tie passes from `unit` to `to`, both included; those between are made.
fn chain(spots: &mut Vec<Spot>, unit: usize, to: usize) -> Vec<usize> {
    let (from, end) = (spots[unit].layer, spots.get(to).map_or(0, |spot| spot.layer));
    let mut chain = vec![unit];
    for layer in (end + 1..from).rev() {
        spots.push(Spot { layer, unit: false, before: Vec::new(), after: Vec::new(), y: 0.0 });
        chain.push(spots.len() - 1);
    }
    chain.push(to);
    for pair in chain.windows(2) {
        if let [right, left] = *pair
            && left < spots.len()
        {
            spots[right].before.push(left);
            spots[left].after.push(right);
        }
    }
    chain.retain(|spot| *spot < spots.len());
    chain
}

/// Orders the spots of each layer by where their neighbours are, from left to right and back, and then moves them as near to
/// their neighbours as the order allows.
fn arrange(spots: &mut [Spot], layers: &mut [Vec<usize>]) {
    for layer in layers.iter() {
        stack(spots, layer);
    }
    for sweep in 0..SWEEPS * 2 {
        let forward = sweep % 2 == 0;
        for place in 0..layers.len() {
            let layer = &mut layers[if forward { place } else { layers.len() - 1 - place }];
            let wish: Vec<(usize, f64)> = layer.iter().map(|spot| (*spot, wish(spots, *spot, Some(forward)))).collect();
            if sweep < SWEEPS {
                let mut wish = wish;
                wish.sort_by(|(_, left), (_, right)| left.total_cmp(right));
                *layer = wish.into_iter().map(|(spot, _)| spot).collect();
                stack(spots, layer);
            } else {
                let wish: Vec<f64> = layer.iter().map(|spot| self::wish(spots, *spot, None)).collect();
                settle(spots, layer, &wish);
            }
        }
    }
}

/// Where the neighbours of a spot are on average: those before, those after, or all.
fn wish(spots: &[Spot], spot: usize, before: Option<bool>) -> f64 {
    let this = &spots[spot];
    let near: Vec<usize> = match before {
        Some(true) => this.before.clone(),
        Some(false) => this.after.clone(),
        None => this.before.iter().chain(&this.after).copied().collect(),
    };
    if near.is_empty() { this.y } else { near.iter().map(|near| spots[*near].y).sum::<f64>() / near.len() as f64 }
}

/// How far two spots that follow each other are apart.
fn apart(spots: &[Spot], upper: usize, lower: usize) -> f64 {
    if spots[upper].unit || spots[lower].unit { ROW } else { PASSING }
}

/// One below the other, around 0.
fn stack(spots: &mut [Spot], layer: &[usize]) {
    let wish = vec![0.0; layer.len()];
    settle(spots, layer, &wish);
}

/// As near to `wish` as the order and the distances allow.
fn settle(spots: &mut [Spot], layer: &[usize], wish: &[f64]) {
    // Neighbours that push each other share the way: groups that are moved as one.
    let mut groups: Vec<(Vec<usize>, f64, f64)> = Vec::new();
    for (spot, wish) in layer.iter().zip(wish) {
        // Spots, the offset of the last of them, and the sum of where they want the first to be.
        let mut group = (vec![*spot], 0.0, *wish);
        while let Some((members, last, sum)) = groups.pop() {
            let start = |members: &[usize], sum: f64| sum / members.len() as f64;
            let gap = last + apart(spots, members[members.len() - 1], group.0[0]);
            if start(&members, sum) + gap <= start(&group.0, group.2) {
                groups.push((members, last, sum));
                break;
            }
            let moved = group.2 - gap * group.0.len() as f64;
            let joined: Vec<usize> = members.into_iter().chain(group.0).collect();
            group = (joined, gap + group.1, sum + moved);
        }
        groups.push(group);
    }
    for (members, _, sum) in groups {
        let mut y = sum / members.len() as f64;
        for (place, spot) in members.iter().enumerate() {
            if let Some(upper) = place.checked_sub(1).and_then(|upper| members.get(upper)) {
                y += apart(spots, *upper, *spot);
            }
            spots[*spot].y = y;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph::{Node, Tie, TieKind};
    use super::*;

    fn graph(ties: &[&[usize]]) -> Graph {
        let node = |(unit, ties): (usize, &&[usize])| Node {
            name: unit.to_string(),
            ties: ties.iter().map(|to| Tie { to: *to, kind: TieKind::Binds }).collect(),
            ..Node::default()
        };
        Graph { nodes: ties.iter().enumerate().map(node).collect() }
    }

    #[test]
    fn dependencies_are_left_and_nothing_overlaps() {
        let many: Vec<Vec<usize>> =
            (0..60_usize).map(|unit| (0..unit).filter(|to| (to * 7 + unit) % 9 == 0).collect()).collect();
        let many: Vec<&[usize]> = many.iter().map(Vec::as_slice).collect();
        for graph in [graph(&[]), graph(&[&[]]), graph(&[&[], &[0], &[0, 1], &[0, 2], &[]]), graph(&many)] {
            let layout = Layout::new(&graph);
            assert_eq!(layout.places.len(), graph.nodes.len());
            for (unit, node) in graph.nodes.iter().enumerate() {
                let (layer, y) = layout.places[unit];
                assert!(y >= 0.0 && y < layout.rows && layer < layout.layers);
                assert!(node.ties.iter().all(|tie| layout.places[tie.to].0 < layer));
                for (other, (beside, height)) in layout.places.iter().enumerate() {
                    assert!(other == unit || *beside != layer || (y - height).abs() > 0.99, "{unit} on {other}");
                }
            }
            for Route { unit, tie, points } in &layout.routes {
                let layers: Vec<usize> = points.iter().map(|(layer, _)| *layer).collect();
                assert_eq!(points.first(), Some(&layout.places[*unit]));
                assert_eq!(points.last(), Some(&layout.places[graph.nodes[*unit].ties[*tie].to]));
                assert!(layers.windows(2).all(|pair| pair[0] == pair[1] + 1), "{layers:?}");
            }
        }
    }

    #[test]
    fn a_circle_ends() {
        let layout = Layout::new(&graph(&[&[1], &[2], &[0, 2], &[9]]));
        assert_eq!(layout.places.len(), 4);
    }
}
