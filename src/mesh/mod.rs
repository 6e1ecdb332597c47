//! What a node is in the mesh, as values: nothing here reads a clock, a file or a socket, and nothing knows of gossip.

pub mod peers;
