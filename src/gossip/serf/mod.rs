//! What Serf adds: intents, events, queries, tags, coordinates.
