//! Bytes to values and back: what Serf and memberlist put on the wire.
