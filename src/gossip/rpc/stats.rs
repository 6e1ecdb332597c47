//! The numbers of a node, as `serf info` shows them: sections of keys and texts.

use crate::gossip::Name;
use crate::gossip::serf::Numbers;
use crate::gossip::wire::tags::Tags;

/// The numbers of a node.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// The node's own.
    pub name: Name,
    /// What the program is made of and runs on, in Go's words: `os`, `arch`, `version`, ...
    pub runtime: Vec<(&'static str, String)>,
    /// Serf's.
    pub numbers: Numbers,
    /// How unwell the node is; 0 is good.
    pub health: u32,
    /// Whether there is a key.
    pub encrypted: bool,
    /// The node's own.
    pub tags: Tags,
    /// Events and the scripts for them.
    pub event_handlers: Tags,
}

impl Stats {
    /// The sections by name.
    pub fn sections(&self) -> [(&'static str, Tags); 5] {
        let text = |(key, value): (&str, String)| (Name::from(key), Name::from(value.as_str()));
        let of = &self.numbers;
        let numbers = [
            ("members", of.members.to_string()),
            ("failed", of.failed.to_string()),
            ("left", of.left.to_string()),
            ("health_score", self.health.to_string()),
            ("member_time", of.member_time.to_string()),
            ("event_time", of.event_time.to_string()),
            ("query_time", of.query_time.to_string()),
            ("intent_queue", of.intent_queue.to_string()),
            ("event_queue", of.event_queue.to_string()),
            ("query_queue", of.query_queue.to_string()),
            ("encrypted", self.encrypted.to_string()),
            ("coordinate_resets", of.coordinate_resets.to_string()),
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
