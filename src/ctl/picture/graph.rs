//! The units and what ties them together, as a graph: from a running node or from a table; as DOT.

use crate::control::columns::plain;
use crate::control::{Status, UnitStatus};
use crate::unit::{Table, Unit, UnitId};

/// The units in the order of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// Its nodes.
    pub nodes: Vec<Node>,
}

/// A unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its state, where a node runs.
    pub state: Option<String>,
    /// What a pointer on it shows: its description, why it is in its state.
    pub note: String,
    /// What it is tied to.
    pub ties: Vec<Tie>,
}

/// One tie of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tie {
    /// To which node, by its place.
    pub to: usize,
    /// How.
    pub kind: TieKind,
}

/// How a unit is tied to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TieKind {
    /// `needs`; whether one that is skipped or switched off will do.
    Needs {
        /// `"wg0?"`.
        optional: bool,
    },
    /// `binds`.
    Binds,
    /// `wants`.
    Wants,
}

impl TieKind {
    /// Its name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            TieKind::Needs { optional: false } => "needs",
            TieKind::Needs { optional: true } => "needs?",
            TieKind::Binds => "binds",
            TieKind::Wants => "wants",
        }
    }
}

impl Graph {
    /// That of a running node.
    pub fn of_status(status: &Status) -> Graph {
        let place = |name: &str| status.units.iter().position(|unit| unit.name == name);
        let node = |unit: &UnitStatus| {
            let needs = unit.needs.iter().filter_map(|name| {
                let bare = name.strip_suffix('?');
                let kind = TieKind::Needs { optional: bare.is_some() };
                Some(Tie { to: place(bare.unwrap_or(name))?, kind })
            });
            let of = |names: &[String], kind| -> Vec<Tie> {
                names.iter().filter_map(|name| Some(Tie { to: place(name)?, kind })).collect()
            };
            let note = [Some(unit.description.as_str()), unit.why.as_deref()];
            let note: Vec<&str> = note.into_iter().flatten().filter(|part| !part.is_empty()).collect();
            Node {
                name: unit.name.clone(),
                state: Some(unit.state.clone()),
                note: note.join("; "),
                ties: needs.chain(of(&unit.binds, TieKind::Binds)).chain(of(&unit.wants, TieKind::Wants)).collect(),
            }
        };
        Graph { nodes: status.units.iter().map(node).collect() }
    }

    /// That of a table.
    pub fn of_table(table: &Table) -> Graph {
        let node = |unit: &Unit| {
            let needs = unit.needs.iter();
            let needs =
                needs.map(|need| Tie { to: need.unit.index(), kind: TieKind::Needs { optional: need.optional } });
            let of = |ids: &[UnitId], kind| -> Vec<Tie> { ids.iter().map(|id| Tie { to: id.index(), kind }).collect() };
            Node {
                name: unit.name.clone(),
                state: (!unit.enabled).then(|| "off".to_owned()),
                note: unit.description.clone(),
                ties: needs.chain(of(&unit.binds, TieKind::Binds)).chain(of(&unit.wants, TieKind::Wants)).collect(),
            }
        };
        Graph { nodes: table.units.iter().map(node).collect() }
    }

    /// The graph in the language of Graphviz, from a unit to what it is tied to.
    pub fn dot(&self) -> String {
        let mut text = "digraph units {\n  rankdir=RL;\n  node [shape=box, style=\"rounded,filled\", fillcolor=white, fontname=monospace];\n".to_owned();
        for node in &self.nodes {
            let colour = match node.state.as_deref() {
                None => "lightblue",
                Some("up" | "done") => "palegreen",
                Some("waiting" | "backoff" | "starting" | "stopping") => "khaki",
                Some("stuck" | "failed") => "lightpink",
                Some(_) => "lightgrey",
            };
            let (name, note) = (quoted(&[&node.name]), quoted(&[&node.note]));
            let label = match &node.state {
                Some(state) => quoted(&[&node.name, state]),
                None => name.clone(),
            };
            text.push_str(&format!("  {name} [label={label}, fillcolor={colour}, tooltip={note}];\n"));
        }
        for node in &self.nodes {
            for tie in &node.ties {
                let Some(to) = self.nodes.get(tie.to) else { continue };
                let style = match tie.kind {
                    TieKind::Needs { optional: false } => "",
                    TieKind::Needs { optional: true } => " [style=dashed, label=\"?\"]",
                    TieKind::Binds => " [style=bold, arrowhead=diamond]",
                    TieKind::Wants => " [style=dotted]",
                };
                text.push_str(&format!("  {} -> {}{style};\n", quoted(&[&node.name]), quoted(&[&to.name])));
            }
        }
        text + "}\n"
    }
}

/// Lines as a string of DOT.
fn quoted(lines: &[&str]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| plain(line).replace('\\', "\\\\").replace('"', "\\\"")).collect();
    format!("\"{}\"", lines.join("\\n"))
}
