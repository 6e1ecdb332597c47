//! Who is alive: memberlist's protocol.
