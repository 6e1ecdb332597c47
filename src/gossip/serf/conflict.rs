//! Two nodes of one name (section 3.9): whom most others mean by it stays.
//!
//! Serf ends unless most of the answers are for it, so also if nobody answers: one datagram of a stranger ends a node that is alone. Here a
//! node ends only if most of the answers are for another.

use super::complaint::Complaint;
use super::machine::Serf;
use super::output::{Level, Output};
use super::query::{Purpose, Request};
use crate::gossip::swim;
use crate::gossip::wire::serf::SerfMessage;
use crate::unit::Time;

/// What others answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Votes {
    responses: usize,
    /// Those who mean this node.
    matching: usize,
    /// Those who mean another.
    against: usize,
}

impl Votes {
    /// Whether most mean this node.
    fn majority(self) -> bool {
        self.matching > self.responses / 2
    }

    /// Whether most mean another.
    fn minority(self) -> bool {
        self.against > self.responses / 2
    }
}

impl Serf {
    /// memberlist hears of a name from two addresses.
    pub(super) fn conflicting(&mut self, now: Time, known: &swim::Member, other: &swim::Member) {
        let shown = |member: &swim::Member| {
            member.addr.socket(member.port).map_or_else(|| "<nil>".to_owned(), |socket| socket.to_string())
        };
        if known.name != self.config.name {
            return self.complain(now, Complaint::Conflict, || {
                format!(
                    "serf: Name conflict for '{}' both {} and {} are claiming",
                    known.name,
                    shown(known),
                    shown(other)
                )
            });
        }
        let resolves = self.config.resolve_conflicts;
        self.complain(now, Complaint::OwnConflict, || {
            let other = shown(other);
            format!("serf: Node name conflicts with another node at {other}. Names must be unique! (Resolution enabled: {resolves})")
        });
        let running = self.inquiries.values().any(|inquiry| matches!(inquiry.purpose, Purpose::Conflict(_)));
        if resolves && !running && self.is_staying() {
            let name = self.config.name.bytes().to_vec();
            let request = Request { name: "_serf_conflict".into(), payload: Some(name), ..Request::default() };
            if let Err(refusal) = self.ask(now, request, Purpose::Conflict(Votes::default())) {
                self.log(Level::Error, format!("serf: Failed to start name resolution query: {refusal}"));
            }
        }
    }

    /// A response to whose name this is.
    pub(super) fn hear_vote(&mut self, now: Time, ltime: u64, payload: &[u8]) {
        let Ok(SerfMessage::Conflict(member)) = SerfMessage::decode(payload) else {
            return self.complain(now, Complaint::Malformed, || "serf: Invalid conflict query response".to_owned());
        };
        // Who knows nobody of that name answers with none.
        let of = member.and_then(|member| Some((member.addr.ip()?, member.port)));
        let mine = of.is_some() && of == self.config.addr.ip().map(|ip| (ip, self.config.port));
        if let Some(Purpose::Conflict(votes)) = self.inquiries.get_mut(&ltime).map(|inquiry| &mut inquiry.purpose) {
            votes.responses += 1;
            votes.matching += usize::from(mine);
            votes.against += usize::from(of.is_some() && !mine);
        }
    }

    /// Everybody who wanted to has answered.
    pub(super) fn judge(&mut self, now: Time, votes: Votes) {
        let Votes { responses, matching, against } = votes;
        if votes.majority() {
            return self
                .log(Level::Info, format!("serf: majority in name conflict resolution [{matching} / {responses}]"));
        }
        if !votes.minority() {
            return self.complain(now, Complaint::Undecided, || {
                format!("serf: unable to settle whose name this is: {matching} of {responses} answers are for this node, {against} for another; staying, rename one of the two")
            });
        }
        let why = format!("minority in name conflict resolution, quitting [{matching} / {responses}]");
        self.log(Level::Warn, format!("serf: {why}"));
        self.out.push_back(Output::Shutdown { why });
    }
}

#[cfg(test)]
mod tests {
    use super::Votes;
    use crate::gossip::serf::config::Config;
    use crate::gossip::serf::machine::tests::{at, config, drain, hear, known, lines, said, serf, serf_with};
    use crate::gossip::serf::{Output, Serf};
    use crate::gossip::swim::{Delegate, Notice};
    use crate::gossip::wire::message::Addr;
    use crate::gossip::wire::serf::{ConflictMember, Query, QueryResponse, SerfMessage};

    fn conflict(serf: &mut Serf, name: &str) {
        serf.notice(at(0), &Notice::Conflict { known: known(name, 1), other: known(name, 66) });
    }

    fn vote(serf: &mut Serf, query: &Query, from: &str, host: Option<u8>) {
        // In the longer form it is the same address.
        let addr = |host| [&[0; 10][..], &[255, 255, 10, 0, 0, host]].concat();
        let member =
            host.map(|host| ConflictMember { addr: Addr(addr(host)), port: 7946, ..ConflictMember::default() });
        let payload = SerfMessage::Conflict(member).encode();
        let response = QueryResponse { ltime: query.ltime, id: query.id, from: from.into(), flags: 0, payload };
        hear(serf, at(0), SerfMessage::Response(response));
    }

    /// What becomes of the node when others answer that.
    fn judged(votes: &[Option<u8>]) -> (Vec<Output>, Vec<String>) {
        let mut one = serf(&["a", "b", "c"]);
        conflict(&mut one, "me");
        let sent = said(&mut one);
        let [SerfMessage::Query(query)] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!((query.name.bytes(), &query.payload[..], query.flags), (&b"_serf_conflict"[..], &b"me"[..], 0));
        votes.iter().zip(0..).for_each(|(host, n)| vote(&mut one, query, &format!("n{n}"), *host));
        drain(&mut one);
        assert_eq!(one.deadline(), Some(at(3200)));
        one.tick(at(3200));
        let all: Vec<Output> = std::iter::from_fn(|| one.next()).collect();
        let text = |output: &Output| if let Output::Log { text, .. } = output { Some(text.clone()) } else { None };
        let texts = all.iter().filter_map(text).collect();
        (all.into_iter().filter(|output| !matches!(output, Output::Log { .. })).collect(), texts)
    }

    #[test]
    fn section_3_9_the_majority() {
        let majority = |matching, responses| Votes { responses, matching, ..Votes::default() }.majority();
        assert!(!majority(0, 0) && !majority(1, 2) && !majority(1, 3) && !majority(2, 4));
        assert!(majority(1, 1) && majority(2, 2) && majority(2, 3) && majority(3, 4));
        let minority = |against, responses| Votes { responses, against, ..Votes::default() }.minority();
        assert!(!minority(0, 0) && !minority(1, 2) && minority(1, 1) && minority(2, 3));
    }

    #[test]
    fn section_3_9_whom_most_mean_stays() {
        let (outputs, lines) = judged(&[Some(1), Some(66), Some(1)]);
        assert_eq!((outputs, lines), (vec![], vec!["serf: majority in name conflict resolution [2 / 3]".to_owned()]));
    }

    #[test]
    fn section_3_9_whom_few_mean_goes() {
        let (outputs, lines) = judged(&[Some(66), None, Some(66)]);
        let why = "minority in name conflict resolution, quitting [0 / 3]".to_owned();
        assert_eq!((outputs, lines), (vec![Output::Shutdown { why: why.clone() }], vec![format!("serf: {why}")]));
    }

    /// A node that is alone is not ended by one datagram that says its name.
    #[test]
    fn who_has_no_majority_against_it_stays() {
        for (votes, counts) in [
            (&[][..], "0 of 0 answers are for this node, 0 for another"),
            (&[None, None], "0 of 2 answers are for this node, 0 for another"),
            (&[Some(1), Some(66)], "1 of 2 answers are for this node, 1 for another"),
            (&[Some(66), None], "0 of 2 answers are for this node, 1 for another"),
        ] {
            let line = format!("serf: unable to settle whose name this is: {counts}; staying, rename one of the two");
            assert_eq!(judged(votes), (vec![], vec![line]));
        }
    }

    #[test]
    fn section_3_9_one_question_at_a_time() {
        let mut serf = serf(&["a"]);
        conflict(&mut serf, "me");
        conflict(&mut serf, "me");
        assert_eq!(said(&mut serf).len(), 1);
        let line = "serf: Node name conflicts with another node at 10.0.0.66:7946. Names must be unique! (Resolution enabled: true)";
        let told = lines(&mut serf);
        assert_eq!(told.iter().filter(|text| *text == line).count(), 1, "{told:?}");
    }

    #[test]
    fn section_3_9_other_names_are_only_worth_a_word() {
        let mut serf = serf(&["a"]);
        conflict(&mut serf, "a");
        let line = "serf: Name conflict for 'a' both 10.0.0.1:7946 and 10.0.0.66:7946 are claiming";
        assert_eq!((lines(&mut serf), said(&mut serf)), (vec![line.to_owned()], vec![]));
        let mut serf = serf_with(Config { resolve_conflicts: false, ..config() }, &["a"]);
        conflict(&mut serf, "me");
        assert_eq!(said(&mut serf), []);
    }

    #[test]
    fn section_3_9_what_is_no_vote_does_not_count() {
        let mut serf = serf(&["a"]);
        conflict(&mut serf, "me");
        let sent = said(&mut serf);
        let [SerfMessage::Query(query)] = &sent[..] else { panic!("{sent:?}") };
        for (from, payload) in [("x", vec![]), ("y", vec![6, 0xc1]), ("z", vec![1, 0x80])] {
            let response = QueryResponse { ltime: query.ltime, id: query.id, from: from.into(), flags: 0, payload };
            hear(&mut serf, at(0), SerfMessage::Response(response));
        }
        vote(&mut serf, query, "a", Some(1));
        serf.tick(at(3200));
        assert!(lines(&mut serf).contains(&"serf: majority in name conflict resolution [1 / 1]".to_owned()));
    }
}
