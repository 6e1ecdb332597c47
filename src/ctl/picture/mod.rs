//! Pictures: the graph of the units, and how a node came up. Values in, text out.

pub(super) mod chart;
mod drawing;
pub(super) mod graph;
mod layers;
