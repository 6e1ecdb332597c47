//! Serf's RPC: what its command line and programs like `node-agent` ask.
