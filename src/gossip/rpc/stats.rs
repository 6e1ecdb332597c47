//! The numbers of a node, as `serf info` shows them: sections of keys and texts.

use crate::gossip::Name;
use crate::gossip::wire::tags::Tags;

/// The numbers of a node.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// The node's own.
    pub name: Name,
    /// What the program is made of and runs on, in Go's words: `os`, `arch`, `version`, ...
    pub runtime: Vec<(&'static str, String)>,
    /// All that are known.
    pub members: usize,
    /// Those gone without a word.
    pub failed: usize,
    /// Those that left.
    pub left: usize,
    /// 0 is good.
    pub health: usize,
    /// Serf's clock of members.
    pub member_time: u64,
    /// Serf's clock of events.
    pub event_time: u64,
    /// Serf's clock of queries.
    pub query_time: u64,
    /// Intents yet to be told.
    pub intents: usize,
    /// Events yet to be told.
    pub events: usize,
    /// Queries yet to be told.
    pub queries: usize,
    /// Whether there is a key.
    pub encrypted: bool,
    /// How often the own coordinate became nonsense.
    pub coordinate_resets: usize,
    /// The node's own.
    pub tags: Tags,
    /// Events and the scripts for them.
    pub event_handlers: Tags,
}

impl Stats {
    /// The sections by name.
    pub fn sections(&self) -> [(&'static str, Tags); 5] {
        let text = |(key, value): (&str, String)| (Name::from(key), Name::from(value.as_str()));
        let numbers = [
            ("members", self.members.to_string()),
            ("failed", self.failed.to_string()),
            ("left", self.left.to_string()),
            ("health_score", self.health.to_string()),
            ("member_time", self.member_time.to_string()),
            ("event_time", self.event_time.to_string()),
            ("query_time", self.query_time.to_string()),
            ("intent_queue", self.intents.to_string()),
            ("event_queue", self.events.to_string()),
            ("query_queue", self.queries.to_string()),
            ("encrypted", self.encrypted.to_string()),
            ("coordinate_resets", self.coordinate_resets.to_string()),
        ];
        [
            ("agent", [("name".into(), self.name.clone())].into()),
            ("event_handlers", self.event_handlers.clone()),
            ("runtime", self.runtime.iter().cloned().map(text).collect()),
            ("serf", numbers.into_iter().map(text).collect()),
            ("tags", self.tags.clone()),
        ]
    }
}
