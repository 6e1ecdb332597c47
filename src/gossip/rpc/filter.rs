//! Which members and which events a client wants.

use regex_lite::Regex;

use crate::gossip::Name;
use crate::gossip::serf::{Event, Kind, Member};
use crate::gossip::wire::tags::Tags;

const KINDS: [Kind; 5] = [Kind::Join, Kind::Leave, Kind::Failed, Kind::Update, Kind::Reap];

/// What a member must be like; by default, anything.
#[derive(Debug, Default)]
pub struct MemberFilter {
    name: Option<Regex>,
    status: Option<Regex>,
    tags: Vec<(Name, Regex)>,
}

impl MemberFilter {
    /// The filter of these expressions, each of which must fit the whole of what it is about. Without a name or a status
    /// any will do; a tag's expression counts even if it is empty. No filter if one of them is no expression.
    pub fn new(name: &[u8], status: &[u8], tags: &Tags) -> Option<MemberFilter> {
        let whole = |text: &[u8]| Regex::new(&format!("^{}$", std::str::from_utf8(text).ok()?)).ok();
        let optional = |text: &[u8]| if text.is_empty() { Some(None) } else { whole(text).map(Some) };
        Some(MemberFilter {
            name: optional(name)?,
            status: optional(status)?,
            tags: tags.iter().map(|(tag, text)| Some((tag.clone(), whole(text.bytes())?))).collect::<Option<_>>()?,
        })
    }

    /// Whether a member is wanted. A tag that it has not is empty.
    pub fn admits(&self, member: &Member) -> bool {
        let fits = |regex: &Regex, bytes: &[u8]| regex.is_match(&String::from_utf8_lossy(bytes));
        let tagged =
            |tags: &Tags| self.tags.iter().all(|(tag, regex)| fits(regex, tags.get(tag).map_or(&[][..], Name::bytes)));
        (self.tags.is_empty() || tagged(&member.tags()))
            && self.status.as_ref().is_none_or(|regex| regex.is_match(member.status.word()))
            && self.name.as_ref().is_none_or(|regex| fits(regex, member.name.bytes()))
    }
}

/// One of the events that a stream or a script is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventFilter {
    /// `*`
    Any,
    /// `member-join` and its like.
    Member(Kind),
    /// `user`, `user:NAME`
    User(Option<Name>),
    /// `query`, `query:NAME`
    Query(Option<Name>),
}

impl EventFilter {
    /// The filters of a list with commas; nothing means anything. None if a word in it is no event.
    pub fn list(text: &[u8]) -> Option<Vec<EventFilter>> {
        if text.is_empty() {
            return Some(vec![EventFilter::Any]);
        }
        text.split(|byte| *byte == b',').map(EventFilter::of).collect()
    }

    fn of(word: &[u8]) -> Option<EventFilter> {
        let word = word.trim_ascii();
        if word == b"*" {
            return Some(EventFilter::Any);
        }
        let split = word.iter().position(|byte| *byte == b':').and_then(|at| word.split_at_checked(at));
        let (what, name) = match split {
            Some((what, rest)) => (what, rest.get(1..).map(Name::from).filter(|name| !name.is_empty())),
            None => (word, None),
        };
        match what {
            b"user" => Some(EventFilter::User(name)),
            b"query" => Some(EventFilter::Query(name)),
            _ if split.is_some() => None,
            _ => KINDS.into_iter().find(|kind| kind.word().as_bytes() == what).map(EventFilter::Member),
        }
    }

    /// Whether it is for this event.
    pub fn admits(&self, event: &Event) -> bool {
        let named = |wanted: &Option<Name>, name: &Name| wanted.as_ref().is_none_or(|wanted| wanted == name);
        match (self, event) {
            (EventFilter::Any, _) => true,
            (EventFilter::Member(wanted), Event::Members { kind, .. }) => wanted == kind,
            (EventFilter::User(wanted), Event::User { name, .. }) => named(wanted, name),
            (EventFilter::Query(wanted), Event::Query { name, .. }) => named(wanted, name),
            (EventFilter::Member(_) | EventFilter::User(_) | EventFilter::Query(_), _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EventFilter, MemberFilter};
    use crate::gossip::Name;
    use crate::gossip::serf::{Event, Kind, Member, Status};
    use crate::gossip::swim::Record;
    use crate::gossip::wire::tags;

    fn filter(name: &str, status: &str, tags: &[(&str, &str)]) -> Option<MemberFilter> {
        let names = |(tag, text): &(&str, &str)| (Name::from(*tag), Name::from(*text));
        MemberFilter::new(name.as_bytes(), status.as_bytes(), &tags.iter().map(names).collect())
    }

    #[test]
    fn a_member_fits_as_a_whole() {
        let meta = tags::encode(&[("role".into(), "web".into())].into());
        let record = Record { name: "web1".into(), meta, ..Record::default() };
        let web = Member { record: record.into(), status: Status::Alive };
        for (name, status, tags, fits) in [
            ("", "", &[][..], true),
            ("web", "", &[], false),
            ("web.", "", &[], true),
            ("", "alive", &[], true),
            ("", "left|failed", &[], false),
            ("", "", &[("role", "w.b")], true),
            ("", "", &[("role", "w")], false),
            ("", "", &[("dc", "")], true),
            ("", "", &[("role", "")], false),
        ] {
            assert_eq!(filter(name, status, tags).unwrap().admits(&web), fits, "{name} {status} {tags:?}");
        }
        assert!(filter("", "(", &[]).is_none());
        assert!(filter("", "", &[("a", "[")]).is_none());
    }

    #[test]
    fn events_are_chosen_by_kind_and_name() {
        let list = |text: &str| EventFilter::list(text.as_bytes());
        assert_eq!(list(""), Some(vec![EventFilter::Any]));
        assert_eq!(
            list("member-join, user:deploy,query"),
            Some(vec![
                EventFilter::Member(Kind::Join),
                EventFilter::User(Some("deploy".into())),
                EventFilter::Query(None)
            ])
        );
        for wrong in ["member-join,bogus", "member-join:x", ",", "user,"] {
            assert_eq!(list(wrong), None, "{wrong}");
        }
        let event = Event::User { ltime: 1, name: "deploy".into(), payload: Vec::new(), coalesce: true };
        let admits = |text: &str| list(text).unwrap().iter().any(|filter| filter.admits(&event));
        assert!(admits("user") && admits("*") && admits("user:deploy") && admits("query,user:deploy"));
        assert!(!admits("user:other") && !admits("query:deploy") && !admits("member-join"));
    }
}
