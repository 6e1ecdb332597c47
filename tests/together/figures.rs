//! What changes of clusters came to, as a table in a file that keeps those of other sizes.

use std::path::Path;

use super::village::Cost;

/// The tables of one run.
pub struct Figures {
    head: String,
    rows: Vec<(&'static str, Cost)>,
    nodes: usize,
}

impl Figures {
    pub fn new(seed: u64, nodes: usize, prefix: usize) -> Figures {
        let head = format!("## {nodes} nodes, addresses from a /{prefix}, seed {seed}");
        Figures { head, rows: Vec::new(), nodes }
    }

    pub fn add(&mut self, name: &'static str, cost: Cost) {
        self.rows.push((name, cost));
    }

    pub fn text(&self) -> String {
        let mut text = format!(
            "{}\n\n| | all right after | operations a node | netlink, bytes a node | sessions lost | gossip, bytes a node |\n|---|---|---|---|---|---|\n",
            self.head
        );
        let each = |value: f64| value / self.nodes as f64;
        for (name, cost) in &self.rows {
            let Cost { took, operations, dropped, netlink, said } = cost;
            text += &format!(
                "| {name} | {:.1} s | {:.2} | {:.0} | {dropped} | {:.0} |\n",
                took.as_secs_f64(),
                each(*operations as f64),
                each(*netlink as f64),
                each(*said as f64),
            );
        }
        text
    }

    /// Puts the table of this size into the file, in the place of the one that was there.
    pub fn keep(&self) {
        let Ok(folder) = std::env::var("MESH_FIGURES") else { return };
        let path = Path::new(&folder).join("FIGURES.md");
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        let size = |part: &str| -> usize { part.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0) };
        let mut parts: Vec<String> =
            before.split("## ").skip(1).map(|part| format!("## {}\n", part.trim_end())).collect();
        parts.retain(|part| size(&part[3..]) != self.nodes);
        parts.push(self.text());
        parts.sort_by_key(|part| size(&part[3..]));
        let text = format!("{}\n{}", include_str!("figures.txt"), parts.join("\n"));
        std::fs::write(path, text).expect("a folder to write to");
    }
}
